/* SPDX-License-Identifier: MIT */
/* Detectors: which inputs take an image and how, inferred from the outputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lbw/eval.h>

#include "graph.h"
#include "runtime.h"

#define SIDE  64
#define BOXES 84 /* cells of 64×64 at the strides 8, 16 and 32 */
#define OPEN  ((int64_t)-1)

/*
 * Outputs [1,6,84] as YOLOv8 of two classes: two boxes of 20×20, at 32 and 36, whose scores of
 * class 0 are the mean of the input.
 */
static struct lbw_model *mean_model(int32_t type, const int64_t dims[4])
{
    struct text graph = {0}, cast = {0}, mean = {0};
    static const int64_t out_dims[] = {1, 6, BOXES};
    float boxes[6 * BOXES] = {0}, scores[6 * BOXES] = {0};
    for (size_t i = 0; i < 2; i++) {
        boxes[i] = boxes[BOXES + i] = 32 + 4 * (float)i;
        boxes[2 * BOXES + i] = boxes[3 * BOXES + i] = 20;
        scores[4 * BOXES + i] = 1;
    }
    attribute_int(&cast, "to", TYPE(FLOAT));
    attribute_int(&mean, "keepdims", 0);
    put_op(&graph, "Cast", "x", "wide", &cast);
    put_op(&graph, "ReduceMean", "wide", "m", &mean);
    put_op(&graph, "Mul", "scores m", "s", NULL);
    put_op(&graph, "Add", "s boxes", "y", NULL);
    struct text tensor = tensor_of("scores", TYPE(FLOAT), out_dims, 3, scores);
    put_message(&graph, 5, &tensor);
    tensor = tensor_of("boxes", TYPE(FLOAT), out_dims, 3, boxes);
    put_message(&graph, 5, &tensor);
    put_typed_port(&graph, 11, "x", type, dims, 4);
    put_typed_port(&graph, 12, "y", TYPE(FLOAT), out_dims, 3);
    struct text t = finish_model(&graph, 8, 13);
    struct lbw_model *model = NULL;
    assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, NULL), LBW_OK);
    free(t.data);
    return model;
}

/* The score of the best box in a white image; *num, if wanted, of how many. */
static const char *try_model(double *score, size_t *num, struct lbw_model *model,
                             const struct lbw_profile *profile)
{
    static struct lbw_error err;
    static uint8_t white[16 * 16 * 3];
    memset(white, 255, sizeof white);
    const struct lbw_image image = {16, 16, white};
    struct lbw_detector *detector = NULL;
    struct lbw_box *boxes = NULL;
    size_t found = 0;
    err = (struct lbw_error){0};
    *score = 0;
    if (lbw_detector_open(&detector, model, profile, NULL, &err) == LBW_OK &&
        lbw_detector_run(detector, &image, &boxes, &found, &err) == LBW_OK && found)
        *score = (double)boxes[0].score;
    if (num)
        *num = found;
    lbw_free(boxes);
    lbw_detector_close(&detector);
    return err.message;
}

static struct lbw_profile two_classes(void)
{
    struct lbw_profile profile = *lbw_profile_by_name("yolov8");
    profile.num_classes = 2;
    profile.preprocess.width = profile.preprocess.height = 0; /* no usual size */
    return profile;
}

/* Floats are normalised, whole numbers are not, unless that was asked for. */
static void test_types(void **state)
{
    (void)state;
    static const int32_t types[] = {TYPE(FLOAT), TYPE(FLOAT16), TYPE(UINT8), TYPE(INT32)};
    static const int64_t dims[] = {1, 3, SIDE, SIDE};
    for (size_t i = 0; i < 4; i++) {
        struct lbw_model *model = mean_model(types[i], dims);
        struct lbw_profile profile = two_classes();
        double score;
        assert_string_equal(try_model(&score, NULL, model, &profile), "");
        assert_float_equal(score, i < 2 ? 1 : 255, 1e-3);
        assert_int_equal(lbw_preprocess_option(&profile.preprocess, "std", "5", NULL), LBW_OK);
        assert_string_equal(try_model(&score, NULL, model, &profile), "");
        assert_float_equal(score, 51, 1e-3);
        lbw_model_close(&model);
    }
}

static void test_inputs(void **state)
{
    (void)state;
    static const struct {
        int64_t dims[4];
        const char *size;
        const char *layout;
        const char *message;
    } cases[] = {
        {{1, 3, SIDE, SIDE}, NULL, NULL, ""},
        {{1, SIDE, SIDE, 3}, NULL, NULL, ""},
        {{OPEN, SIDE, SIDE, 3}, "64x64", NULL, ""},
        {{OPEN, OPEN, OPEN, OPEN}, "64x64", "nhwc", ""},
        {{OPEN, OPEN, OPEN, OPEN},
         NULL,
         NULL,
         "memory: input 'x' has a dynamic size (?x?x?x?): use --size WIDTHxHEIGHT"},
        {{1, 3, SIDE, SIDE},
         "128x64",
         NULL,
         "memory: input 'x' has a fixed side of 64; --size cannot change it to 128"},
        {{4, 3, SIDE, SIDE},
         NULL,
         NULL,
         "memory: input 'x' is 4x3x64x64: batches of 4, but a detector takes one image; export "
         "the "
         "model with batch size 1 or a dynamic batch"},
        {{1, 7, SIDE, SIDE},
         NULL,
         NULL,
         "memory: input 'x' is 1x7x64x64, not an image of 1 or 3 channels"},
        {{1, SIDE, SIDE, 1},
         NULL,
         NULL,
         "memory: input 'x' takes 1 channel, the preprocessing makes 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_model *model = mean_model(TYPE(FLOAT), cases[i].dims);
        struct lbw_profile profile = two_classes();
        struct lbw_preprocess *p = &profile.preprocess;
        double score;
        if (cases[i].size)
            assert_int_equal(lbw_preprocess_option(p, "size", cases[i].size, NULL), LBW_OK);
        if (cases[i].layout)
            assert_int_equal(lbw_preprocess_option(p, "layout", cases[i].layout, NULL), LBW_OK);
        assert_string_equal(try_model(&score, NULL, model, &profile), cases[i].message);
        assert_float_equal(score, *cases[i].message ? 0 : 1, 1e-3);
        lbw_model_close(&model);
    }
}

/* Nothing stands for "not given": 0 suppresses every overlap, and keeps every score. */
static void test_zero(void **state)
{
    (void)state;
    static const int64_t dims[] = {1, 3, SIDE, SIDE};
    struct lbw_model *model = mean_model(TYPE(FLOAT), dims);
    struct lbw_profile profile = two_classes();
    double score;
    size_t num;
    assert_string_equal(try_model(&score, &num, model, &profile), "");
    assert_int_equal(num, 2); /* IoU of the two: .47 */
    profile.nms = 0;
    assert_string_equal(try_model(&score, &num, model, &profile), "");
    assert_int_equal(num, 1);
    profile.nms = 1;
    profile.class_agnostic = true;
    profile.score = 0;
    assert_string_equal(try_model(&score, &num, model, &profile), "");
    assert_int_equal(num, 4); /* of both classes, those without a size left out */
    lbw_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_zero),
    };
    if (!has_runtime())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
