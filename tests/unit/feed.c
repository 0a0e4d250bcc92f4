/* SPDX-License-Identifier: MIT */
/* Feeding: which input takes the image, how large it is, what is assumed, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <sys/stat.h>
#include <turbojpeg.h>
#include <cmocka.h>

#include <lbw/convert.h>
#include <lbw/profile.h>

#include "../npy.h"
#include "base/bits.h"
#include "detect/assume.h"
#include "onnx/metadata.h"

/* -1 is a dynamic dim, -2 ends the list; NULL: not even the rank is known. */
static void put_shaped(struct text *graph, unsigned field, const char *name, int32_t type,
                       const int64_t *dims)
{
    struct text shape = {0}, tensor = {0}, holder = {0}, value = {0};
    put_int(&tensor, 1, (uint64_t)type);
    for (size_t i = 0; dims && dims[i] > -2; i++) {
        struct text dim = {0};
        if (dims[i] < 0)
            put_text(&dim, 2, "n");
        else
            put_int(&dim, 1, (uint64_t)dims[i]);
        put_message(&shape, 1, &dim);
    }
    if (dims)
        put_message(&tensor, 2, &shape);
    put_message(&holder, 1, &tensor);
    put_text(&value, 1, name);
    put_message(&value, 2, &holder);
    put_message(graph, field, &value);
}

#define DIMS(...) ((const int64_t[]){__VA_ARGS__, -2})

/* A model of which only the ports count: input "x" and output "y". */
static struct lbw_model *model_of(int32_t type, const int64_t *input, const int64_t *output)
{
    struct text graph = {0};
    put_node(&graph, 1, "Identity", "x", "y", NULL);
    put_shaped(&graph, 11, "x", type, input);
    put_shaped(&graph, 12, "y", type, output);
    struct text t = wrap(&graph);
    struct lbw_model *model = NULL;
    assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, NULL), LBW_OK);
    free(t.data);
    return model;
}

/* The message of opening, or "" and the first sample in *out. */
static const char *first_sample(struct lbw_array *out, struct lbw_model *model,
                                const struct lbw_feed_params *params)
{
    static char message[600];
    struct lbw_feed *feed = NULL;
    struct lbw_error err = {0};
    const char *assumed = NULL;
    *message = '\0';
    if (lbw_assumed_feed_open(&feed, model, params, &assumed, &err) != LBW_OK) {
        assert_null(feed);
        strcpy(message, err.message);
        return message;
    }
    assert_non_null(assumed);
    assert_int_equal(lbw_feed_num_inputs(feed), 1);
    assert_int_equal(lbw_feed_get(feed, 0, out, &err), LBW_OK);
    const struct lbw_feed_input *input = lbw_feed_input(feed, 0);
    assert_int_equal(out->num_dims, input->num_dims);
    assert_memory_equal(out->dims, input->dims, out->num_dims * sizeof *out->dims);
    lbw_feed_close(&feed);
    return message;
}

static const struct {
    int64_t dims[7];
    int width, height; /* given by the user */
    int64_t expected[6];
    const char *message;
} shapes[] = {
    {{1, 3, 24, 32, -2}, 0, 0, {1, 3, 24, 32}, ""},
    {{1, 24, 32, 3, -2}, 0, 0, {1, 24, 32, 3}, ""},
    {{-1, 3, 24, 32, -2}, 0, 0, {1, 3, 24, 32}, ""},
    {{2, 1, 24, 32, -2}, 0, 0, {2, 1, 24, 32}, ""},
    {{3, 24, 32, -2}, 0, 0, {3, 24, 32}, ""},
    {{3, -1, -1, -2}, 32, 64, {3, 64, 32}, ""},
    {{1, 24, 24, -2}, 0, 0, {1, 24, 24}, ""},
    {{-1, 3, -1, -1, -2}, 60, 33, {1, 3, 64, 64}, ""}, /* multiples of 32 */
    {{-1, -1, -1, -1, -2}, 64, 32, {1, 3, 32, 64}, ""},
    {{1, 3, 24, 32, -2}, 32, 24, {1, 3, 24, 32}, ""},
    {{1, 3, 24, 32, -2},
     64,
     24,
     {0},
     "memory: input 'x' has a fixed side of 32; --size cannot change it to 64"},
    {{-1, 3, -1, -1, -2},
     0,
     0,
     {0},
     "memory: input 'x' has a dynamic size (?x3x?x?): use --size WIDTHxHEIGHT"},
    {{1, 7, 24, 32, -2},
     0,
     0,
     {0},
     "memory: no input takes images (the first, 'x', is 1x7x24x32); give arrays "
     "of that shape: FILE.npz"},
    {{-1, 1, -1, -2},
     0,
     0,
     {0},
     "memory: no input takes images (the first, 'x', is ?x1x?); give arrays of that shape: "
     "FILE.npz"},
    {{1, 1, 16000, -2},
     0,
     0,
     {0},
     "memory: no input takes images (the first, 'x', is 1x1x16000); give arrays of that shape: "
     "FILE.npz"},
    {{-1, 50, 1, -2},
     0,
     0,
     {0},
     "memory: no input takes images (the first, 'x', is ?x50x1); give arrays of that shape: "
     "FILE.npz"},
    {{-1, 3, 1024, -2},
     0,
     0,
     {0},
     "memory: no input takes images (the first, 'x', is ?x3x1024); give arrays of that shape: "
     "FILE.npz"},
    {{1, 3, 1024, -2},
     0,
     0,
     {0},
     "memory: no input takes images (the first, 'x', is 1x3x1024); give arrays of that shape: "
     "FILE.npz"},
    {{1, 197, 768, -2},
     0,
     0,
     {0},
     "memory: no input takes images (the first, 'x', is 1x197x768); give arrays of that shape: "
     "FILE.npz"},
    {{-1, -1, 3, -2},
     0,
     0,
     {0},
     "memory: no input takes images (the first, 'x', is ?x?x3); give arrays of that shape: "
     "FILE.npz"},
    {{1, 1, 16, 32, 32, -2},
     0,
     0,
     {0},
     "memory: no input takes images (the first, 'x', is 1x1x16x32x32); give arrays of that "
     "shape: FILE.npz"},
    {{1, 10, -2},
     0,
     0,
     {0},
     "memory: no input takes images (the first, 'x', is 1x10); give arrays "
     "of that shape: FILE.npz"},
};

static void test_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct lbw_model *model = model_of(TYPE(FLOAT), shapes[i].dims, DIMS(1));
        struct lbw_feed_params params = {.width = shapes[i].width, .height = shapes[i].height};
        struct lbw_array array = {0};
        assert_string_equal(first_sample(&array, model, &params), shapes[i].message);
        size_t size = 4;
        for (size_t k = 0; k < array.num_dims; k++) {
            assert_int_equal(array.dims[k], shapes[i].expected[k]);
            size *= (size_t)array.dims[k];
        }
        if (!*shapes[i].message)
            assert_int_equal(array.size, size);
        lbw_array_release(&array);
        lbw_model_close(&model);
    }
    struct lbw_model *model = model_of(TYPE(FLOAT), NULL, DIMS(1));
    struct lbw_array array = {0};
    struct lbw_feed_params params = {.width = 64, .height = 32};
    assert_string_equal(first_sample(&array, model, &params), "");
    assert_int_equal(array.num_dims, 4);
    assert_int_equal(array.dims[3], 64);
    lbw_array_release(&array);
    lbw_model_close(&model);
}

/* float16 and uint8 inputs get the same images as float32 ones. */
static void test_types(void **state)
{
    (void)state;
    static const int32_t types[] = {TYPE(FLOAT), TYPE(FLOAT16), TYPE(UINT8), TYPE(INT32)};
    struct lbw_array arrays[4] = {0};
    for (size_t i = 0; i < 4; i++) {
        struct lbw_model *model = model_of(types[i], DIMS(1, 3, 16, 16), DIMS(1));
        struct lbw_preprocess raw = {.std = {1, 1, 1}};
        /* Whole numbers are told from the type alone, with a profile or without. */
        struct lbw_preprocess unit = {.mean = {1, 1, 1}, .std = {255, 255, 255}};
        struct lbw_feed_params params = {.preprocess = i < 2 ? &raw : i == 2 ? &unit : NULL};
        assert_string_equal(first_sample(&arrays[i], model, &params), "");
        assert_int_equal(arrays[i].data_type, types[i]);
        lbw_model_close(&model);
    }
    for (size_t i = 0; i < 3 * 16 * 16; i++) {
        float value = ((float *)arrays[0].data)[i];
        assert_true(lbw_half_to_float(((uint16_t *)arrays[1].data)[i]) == value);
        assert_true((float)((uint8_t *)arrays[2].data)[i] == value);
        assert_true((float)((int32_t *)arrays[3].data)[i] == value);
    }
    for (size_t i = 0; i < 4; i++)
        lbw_array_release(&arrays[i]);
}

/* What the user asked for holds for whole numbers, too. */
static void test_whole_as_asked(void **state)
{
    (void)state;
    struct lbw_preprocess p = {.mean = {1, 1, 1}, .std = {9, 9, 9}};
    struct lbw_model *model = model_of(TYPE(INT8), DIMS(1, 3, 16, 16), DIMS(1));
    struct lbw_feed_params params = {.preprocess = &p};
    struct lbw_array array = {0};
    assert_int_equal(lbw_preprocess_option(&p, "std", "255", NULL), LBW_OK);
    assert_string_equal(first_sample(&array, model, &params), "");
    for (size_t i = 0; i < array.size; i++)
        assert_in_range(((int8_t *)array.data)[i], 0, 1);
    lbw_array_release(&array);
    assert_int_equal(lbw_preprocess_option(&p, "mean", "128", NULL), LBW_OK);
    assert_int_equal(lbw_preprocess_option(&p, "std", "1", NULL), LBW_OK);
    assert_string_equal(first_sample(&array, model, &params), "");
    int least = 0;
    for (size_t i = 0; i < array.size; i++)
        least = ((int8_t *)array.data)[i] < least ? ((int8_t *)array.data)[i] : least;
    assert_true(least < -50);
    lbw_array_release(&array);
    lbw_model_close(&model);
}

/* The layout is the model's; where its shape leaves that open, the user's. */
static void test_layout(void **state)
{
    (void)state;
    static const struct {
        int64_t dims[6], expected[4];
        int channels_last;
        const char *message;
    } cases[] = {
        {{1, 24, 32, 3, -2}, {1, 24, 32, 3}, 0, ""},
        {{1, 3, 24, 32, -2}, {1, 3, 24, 32}, 1, ""},
        {{-1, -1, -1, -1, -2}, {1, 64, 96, 3}, 1, ""},
        {{-1, -1, -1, -1, -2}, {1, 3, 64, 96}, 0, ""},
        {{1, 3, 24, 3, -2}, {1, 3, 24, 3}, 1, ""},
        {{1, 3, 24, 3, -2}, {1, 3, 24, 3}, 0, ""},
        {{1, 7, -1, -1, -2},
         {1, 7, 96, 3},
         1,
         "memory: input 'x' has a fixed side of 7; --size cannot change it to 64"},
        {{1, 7, -1, -1, -2},
         {0},
         0,
         "memory: no input takes images (the first, 'x', is 1x7x?x?); give arrays "
         "of that shape: FILE.npz"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_model *model = model_of(TYPE(FLOAT), cases[i].dims, DIMS(1));
        bool is_open = cases[i].dims[2] < 0;
        struct lbw_preprocess p = {.std = {1, 1, 1}, .channels_last = cases[i].channels_last};
        struct lbw_feed_params params = {
            .preprocess = &p, .width = is_open ? 96 : 0, .height = is_open ? 64 : 0};
        struct lbw_array array = {0};
        assert_string_equal(first_sample(&array, model, &params), cases[i].message);
        for (size_t k = 0; k < array.num_dims; k++)
            assert_int_equal(array.dims[k], cases[i].expected[k]);
        lbw_array_release(&array);
        lbw_model_close(&model);
    }
}

static void test_several_inputs(void **state)
{
    (void)state;
    struct text graph = {0};
    put_node(&graph, 1, "Identity", "image", "y", NULL);
    put_shaped(&graph, 11, "im_shape", TYPE(FLOAT), DIMS(-1, 2));
    put_shaped(&graph, 11, "image", TYPE(FLOAT), DIMS(-1, 3, 16, 32));
    put_shaped(&graph, 11, "scale_factor", TYPE(FLOAT), DIMS(-1, 2));
    put_shaped(&graph, 11, "w", TYPE(FLOAT), DIMS(3)); /* an initializer is not fed */
    put_initializer(&graph, "w", 1, 3);
    put_port(&graph, 12, "y");
    struct text t = wrap(&graph);
    struct lbw_model *model = NULL;
    assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, NULL), LBW_OK);
    free(t.data);
    struct lbw_feed *feed = NULL;
    const char *assumed = NULL;
    struct lbw_feed_params params = {.source = "generated:3"};
    assert_int_equal(lbw_assumed_feed_open(&feed, model, &params, &assumed, NULL), LBW_OK);
    assert_string_equal(assumed, "3 generated images, 32x16 stretch rgb, mean 0,0,0, std "
                                 "255,255,255 (assumed: nothing in the model says otherwise); "
                                 "input 'im_shape': the image's size; input 'scale_factor': 1");
    assert_int_equal(lbw_feed_num_samples(feed), 3);
    assert_int_equal(lbw_feed_num_inputs(feed), 3);
    struct lbw_array arrays[3];
    assert_int_equal(lbw_feed_get(feed, 2, arrays, NULL), LBW_OK);
    const float *shape = arrays[0].data, *scale = arrays[2].data;
    assert_true(shape[0] == 16 && shape[1] == 32 && scale[0] == 1 && scale[1] == 1);
    for (int i = 0; i < 3; i++)
        lbw_array_release(&arrays[i]);
    lbw_feed_close(&feed);
    assert_null(feed);
    lbw_model_close(&model);
}

/* Which profile the outputs look like. */
static void test_guess(void **state)
{
    (void)state;
    static const struct {
        int64_t input[5], output[5];
        const char *profile;
    } cases[] = {
        {{1, 3, 416, 416, -2}, {1, 3549, 85, -2}, "yolox"},
        {{1, 3, 640, 640, -2}, {1, 25200, 85, -2}, "yolov5"},
        {{1, 3, 640, 640, -2}, {1, 84, 8400, -2}, "yolov8"},
        {{1, 3, 640, 480, -2}, {1, 6, 6300, -2}, "yolov8"},
        {{1, 3, 352, 352, -2}, {1, 85, 22, 22, -2}, "fastestdet"},
        {{1, 3, 224, 224, -2}, {1, 1000, -2}, NULL},
        {{1, 3, -1, -1, -2}, {1, -1, 85, -2}, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_model *model = model_of(TYPE(FLOAT), cases[i].input, cases[i].output);
        const struct lbw_profile *profile = lbw_profile_guess(model);
        if (cases[i].profile) {
            assert_non_null(profile);
            assert_string_equal(profile->name, cases[i].profile);
        } else {
            assert_null(profile);
        }
        lbw_model_close(&model);
    }
}

static void put_metadata(struct lbw_model *model, const char *const *entries, size_t num)
{
    Onnx__StringStringEntryProto **list =
        lbw_arena_calloc(&model->arena, num + 1, sizeof *list);
    for (size_t i = 0; i < num; i++) {
        list[i] = lbw_arena_calloc(&model->arena, 1, sizeof **list);
        onnx__string_string_entry_proto__init(list[i]);
        list[i]->key = lbw_arena_strdup(&model->arena, entries[2 * i]);
        list[i]->value = lbw_arena_strdup(&model->arena, entries[2 * i + 1]);
    }
    model->proto->metadata_props = list;
    model->proto->n_metadata_props = num;
}

/* Poses, masks and oriented boxes are detectors too; a classifier is none. */
static void test_other_task(void **state)
{
    (void)state;
    static const struct {
        const char *task, *shape;
        int64_t channels;
        int num_classes, num_extra; /* -1: not recognised */
    } cases[] = {
        {"detect", "", 56, 52, 0}, {"pose", "[17, 3]", 56, 1, 51},
        {"obb", "", 20, 15, 1},    {"classify", "", 56, -1, 0},
        {"", "", 56, 52, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const entries[] = {"task", cases[i].task, "kpt_shape", cases[i].shape};
        struct lbw_model *model =
            model_of(TYPE(FLOAT), DIMS(1, 3, 640, 640), DIMS(1, cases[i].channels, 8400));
        put_metadata(model, entries, 2);
        const struct lbw_profile *guess = lbw_profile_guess(model);
        assert_int_equal(guess != NULL, cases[i].num_classes >= 0);
        struct lbw_profile profile = *(guess ? guess : lbw_profile_at(0));
        if (guess) {
            assert_string_equal(guess->name, "yolov8");
            assert_int_equal(lbw_profile_adapt(&profile, model, NULL), LBW_OK);
            assert_int_equal(profile.num_classes, cases[i].num_classes);
            assert_int_equal(profile.num_extra, cases[i].num_extra);
        }
        lbw_profile_release(&profile);
        lbw_model_close(&model);
    }
}

/* A detector of `num` strides with an output of classes and one of distances for each. */
static struct lbw_model *open_pairs(size_t num_strides, int64_t num_classes)
{
    struct text graph = {0};
    put_node(&graph, 1, "Identity", "x", "y", NULL);
    put_shaped(&graph, 11, "x", TYPE(FLOAT), DIMS(1, 3, 320, 320));
    for (size_t i = 0; i < 2 * num_strides; i++) {
        int64_t side = (320 + (8 << i / 2) - 1) / (8 << i / 2);
        put_shaped(&graph, 12, "y", TYPE(FLOAT),
                   DIMS(1, side * side, i % 2 ? 32 : num_classes));
    }
    struct text t = wrap(&graph);
    struct lbw_model *model = NULL;
    assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, NULL), LBW_OK);
    free(t.data);
    return model;
}

static void test_pairs(void **state)
{
    (void)state;
    static const struct {
        size_t num_strides;
        int64_t num_classes;
        const char *profile;
        int adapted;
    } cases[] = {{3, 80, "nanodet", 80}, {4, 80, "picodet", 80}, {4, 10, "picodet", 10},
                 {3, 20, "nanodet", 20}, {3, 32, "nanodet", 32}, {3, 8, "nanodet", 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_model *model = open_pairs(cases[i].num_strides, cases[i].num_classes);
        const struct lbw_profile *guess = lbw_profile_guess(model);
        assert_non_null(guess);
        assert_string_equal(guess->name, cases[i].profile);
        struct lbw_profile profile = *guess;
        assert_int_equal(lbw_profile_adapt(&profile, model, NULL), LBW_OK);
        assert_int_equal(profile.num_classes, cases[i].adapted);
        lbw_profile_release(&profile);
        lbw_model_close(&model);
    }
}

static void test_labels(void **state)
{
    (void)state;
    static const struct {
        const char *text, *joined; /* NULL: no labels */
    } cases[] = {
        {"{0: 'person', 1: \"driver's seat\", 2: 'a\\'b'}", "person|driver's seat|a'b"},
        {"{0:'one'}", "one"},
        {"[ 'cat' , \"dog, {large}\" ] ", "cat|dog, {large}"},
        {"{1: 'one'}", NULL},
        {"{0: 'one', 2: 'two'}", NULL},
        {"{0: 'one'", NULL},
        {"{0: 'one", NULL},
        {"{0 'one'}", NULL},
        {"{0: one}", NULL},
        {"['one']]", "one"}, /* what follows is left */
        {"{}", NULL},
        {"", NULL},
        {"person", NULL},
        {"['\\", NULL},
        {"{0: 'traffic\\xa0light', 1: 'zero\\u200bwidth'}",
         "traffic\u00a0light|zero\u200bwidth"}, /* escapes as Python reads them */
        {"['\\U0001f600\\t\\101\\\\n\\q\\'']", "\U0001f600\tA\\n\\q'"},
        {"['\\xa']", NULL},
        {"['\\ud800']", NULL},
        {"['\\x00']", NULL},
        {"['\\x", NULL},
        {"text\ntitle\n", "text|title"}, /* the first of lines */
        {"text\n\nfigure", "text||figure"},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *entries[] = {"stride", "32", i < 20 ? "names" : "character", cases[i].text};
        struct lbw_model_info info = {.num_metadata = 2, .metadata = entries};
        struct lbw_arena arena = {0};
        const char *const *labels = NULL;
        size_t num = 9;
        char joined[100] = "";
        assert_int_equal(lbw_metadata_labels(&labels, &num, &arena, &info, NULL), LBW_OK);
        for (size_t k = 0; k < num; k++) {
            strcat(joined, k ? "|" : "");
            strcat(joined, labels[k]);
        }
        assert_string_equal(joined, cases[i].joined ? cases[i].joined : "");
        assert_int_equal(num > 0, cases[i].joined != NULL);
        lbw_arena_release(&arena);
    }
}

/* What a model of two classes makes of a profile of eighty, or of the user's own. */
static void test_adapt(void **state)
{
    (void)state;
    static const char *const named[] = {"names",  "{0: 'cat', 1: 'dog'}", "imgsz", "[96, 160]",
                                        "author", "Ultralytics",          "task",  "detect"};
    static const char own[] = "{\"extends\": \"yolov8\", \"labels\": [\"a\", \"b\"], "
                              "\"size\": [64, 32]}";
    static const char same[] = "{\"extends\": \"yolov8\", \"classes\": 80}";
    static const char counted[] = "{\"extends\": \"yolov8\", \"classes\": 3}";
    static const struct {
        const char *profile; /* JSON or a name */
        int64_t side;        /* of the input, or -1 */
        int64_t output[5];   /* rows or columns of a detector */
        size_t num_metadata; /* of `named` */
        int num_classes;
        const char *label; /* of the last class, or NULL */
        int width, height;
    } cases[] = {
        {"yolov8", 640, {1, 6, 8400, -2}, 2, 2, "dog", 160, 96},
        {"yolov8", -1, {1, 8400, 6, -2}, 1, 2, "dog", 640, 640},
        {"yolov8", 640, {-1, 6, 8400, -2}, 0, 2, NULL, 640, 640},
        {"yolov8", 640, {1, 7, 8400, -2}, 1, 2, "dog", 640, 640}, /* one channel is no class */
        {"yolov8", -1, {-1, -1, -1, -2}, 1, 2, "dog", 640, 640},
        {"yolov8", -1, {-1, 7, -1, -2}, 4, 2, "dog", 160, 96},
        {"yolov8", 64, {1, 116, 84, -2}, 0, 112, NULL, 640, 640}, /* more classes than boxes */
        {"yolov8", -1, {-1, 6, -1, -2}, 0, 80, "toothbrush", 640, 640},    /* may be anything */
        {"yolov8", 416, {1, 3549, 85, -2}, 0, 80, "toothbrush", 640, 640}, /* a YOLOX */
        {"yolov8", 640, {1, 84, 8400, -2}, 0, 80, "toothbrush", 640, 640},
        {"yolov5", 640, {1, 25200, 7, -2}, 1, 2, "dog", 640, 640},
        {"yolov5", 640, {1, 8400, 7, -2}, 0, 80, "toothbrush", 640, 640}, /* a YOLOX */
        {"yolov5", 640, {1, 3, 80, 80, 7}, 0, 2, NULL, 640, 640},
        {"yolox", 416, {1, 3549, 7, -2}, 0, 2, NULL, 640, 640},
        {"yolox", 640, {1, 84, 8400, -2}, 0, 80, "toothbrush", 640, 640}, /* a YOLOv8 */
        {"fastestdet", 352, {1, 7, 22, 22, -2}, 1, 2, "dog", 352, 352},
        {"fastestdet", 352, {1, 7, 22, 22, -2}, 0, 2, NULL, 352, 352},
        {own, 640, {1, 6, 8400, -2}, 2, 2, "b", 64, 32},
        {counted, 640, {1, 6, 8400, -2}, 2, 3, NULL, 160, 96},
        {same, 640, {1, 6, 8400, -2}, 2, 80, "toothbrush", 160, 96},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t output[6] = {0, 0, 0, 0, 0, -2};
        memcpy(output, cases[i].output, sizeof cases[i].output);
        struct lbw_model *model =
            model_of(TYPE(FLOAT), DIMS(1, 3, cases[i].side, cases[i].side), output);
        struct lbw_profile profile;
        put_metadata(model, named, cases[i].num_metadata);
        if (*cases[i].profile == '{')
            assert_int_equal(lbw_profile_parse(&profile, cases[i].profile,
                                               strlen(cases[i].profile), "own", NULL),
                             LBW_OK);
        else
            assert_int_equal(lbw_profile_find(&profile, cases[i].profile, NULL), LBW_OK);
        assert_int_equal(lbw_profile_adapt(&profile, model, NULL), LBW_OK);
        assert_int_equal(profile.num_classes, cases[i].num_classes);
        assert_int_equal(profile.num_labels, cases[i].label ? cases[i].num_classes : 0);
        if (cases[i].label)
            assert_string_equal(profile.labels[profile.num_labels - 1], cases[i].label);
        assert_int_equal(profile.preprocess.width, cases[i].width);
        assert_int_equal(profile.preprocess.height, cases[i].height);
        lbw_profile_release(&profile);
        lbw_model_close(&model);
    }
}

static void put_constant(struct text *graph, const char *name, const int64_t *dims,
                         const float *values, size_t num)
{
    struct text tensor = {0};
    for (size_t i = 0; dims[i] > -2; i++)
        put_int(&tensor, 1, (uint64_t)dims[i]);
    put_int(&tensor, 2, TYPE(FLOAT));
    put_text(&tensor, 8, name);
    put_bytes(&tensor, 9, values, num * sizeof *values);
    put_message(graph, 5, &tensor);
}

/*
 * A Conv that passes red, green and blue through and a BatchNormalization that remembers what
 * photographs look like under a normalisation: it must be recognised.
 */
static void test_batch_normalization(void **state)
{
    (void)state;
    static const struct {
        float mean[3], std[3];
        const char *why;
    } cases[] = {
        {{0, 0, 0}, {255, 255, 255}, "BatchNormalization: 0 to 1)"},
        {{127.5f, 127.5f, 127.5f}, {127.5f, 127.5f, 127.5f}, "BatchNormalization: -1 to 1)"},
        {{123.675f, 116.28f, 103.53f},
         {58.395f, 57.12f, 57.375f},
         "BatchNormalization: ImageNet's mean and deviation)"},
        {{123.675f, 116.28f, 103.53f}, {1, 1, 1}, "BatchNormalization: ImageNet's mean alone)"},
        {{0, 0, 0}, {1, 1, 1}, "BatchNormalization: 0 to 255)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static const float photograph[3] = {125, 116, 101}, deviation[3] = {65, 66, 69};
        float weight[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, mean[3], variance[3],
              ones[3] = {1, 1, 1};
        for (int c = 0; c < 3; c++) {
            float share = deviation[c] / cases[i].std[c];
            mean[c] = (photograph[c] - cases[i].mean[c]) / cases[i].std[c];
            variance[c] = share * share;
        }
        struct text graph = {0};
        put_node(&graph, 1, "Conv", "x w", "c", NULL);
        put_node(&graph, 1, "BatchNormalization", "c s s m v", "y", NULL);
        put_constant(&graph, "w", DIMS(3, 3, 1, 1), weight, 9);
        put_constant(&graph, "s", DIMS(3), ones, 3);
        put_constant(&graph, "m", DIMS(3), mean, 3);
        put_constant(&graph, "v", DIMS(3), variance, 3);
        put_shaped(&graph, 11, "x", TYPE(FLOAT), DIMS(1, 3, 32, 32));
        put_port(&graph, 12, "y");
        struct text t = wrap(&graph);
        struct lbw_model *model = NULL;
        struct lbw_feed *feed = NULL;
        struct lbw_error err = {0};
        struct lbw_feed_params params = {0};
        const char *assumed = "";
        assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, &err), LBW_OK);
        assert_int_equal(lbw_assumed_feed_open(&feed, model, &params, &assumed, &err), LBW_OK);
        if (!strstr(assumed, cases[i].why))
            fail_msg("\"%s\", expected \"%s\"", assumed, cases[i].why);
        lbw_feed_close(&feed);
        lbw_model_close(&model);
        free(t.data);
    }
}

static void write_jpeg(const char *folder, const char *name, unsigned char gray)
{
    char path[600];
    unsigned char pixels[16 * 16], *jpeg = NULL;
    unsigned long size = 0;
    memset(pixels, gray, sizeof pixels);
    tjhandle handle = tjInitCompress();
    assert_int_equal(
        tjCompress2(handle, pixels, 16, 0, 16, TJPF_GRAY, &jpeg, &size, TJSAMP_GRAY, 95, 0), 0);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    write_file(path, jpeg, size);
    tjFree(jpeg);
    tjDestroy(handle);
}

/* The gray of each sample of the folder, rounded to tens. */
static size_t grays(int *out, struct lbw_model *model, const char *folder, size_t most,
                    size_t *skipped)
{
    struct lbw_preprocess raw = {.std = {1, 1, 1}};
    struct lbw_feed_params params = {.source = folder, .max_samples = most, .preprocess = &raw};
    struct lbw_feed *feed = NULL;
    struct lbw_error err = {0};
    assert_int_equal(lbw_assumed_feed_open(&feed, model, &params, NULL, &err), LBW_OK);
    size_t num = lbw_feed_num_samples(feed);
    for (size_t i = 0; i < num; i++) {
        struct lbw_array array;
        assert_int_equal(lbw_feed_get(feed, i, &array, &err), LBW_OK);
        out[i] = (int)lrintf(*(float *)array.data / 10) * 10;
        lbw_array_release(&array);
    }
    *skipped = lbw_feed_num_skipped(feed);
    for (size_t i = 0; i < *skipped; i++)
        assert_non_null(strstr(lbw_feed_skipped(feed, i), folder));
    lbw_feed_close(&feed);
    return num;
}

static void test_folder(void **state)
{
    (void)state;
    char folder[300], path[600];
    strcpy(folder, temporary_path("folder"));
    assert_int_equal(mkdir(folder, 0700), 0);
    struct lbw_model *model = model_of(TYPE(FLOAT), DIMS(1, 3, 16, 16), DIMS(1));
    struct lbw_feed_params params = {.source = folder};
    struct lbw_feed *feed = NULL;
    struct lbw_error err = {0};
    assert_int_equal(lbw_assumed_feed_open(&feed, model, &params, NULL, &err), LBW_ERR_FORMAT);
    assert_non_null(strstr(err.message, "holds no .jpg, .jpeg or .png"));

    /* Pipes are refused without waiting for data; folders are not searched. */
    snprintf(path, sizeof path, "%s/pipe.jpg", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(lbw_assumed_feed_open(&feed, model, &params, NULL, &err), LBW_ERR_FORMAT);
    assert_non_null(strstr(err.message, "holds no .jpg, .jpeg or .png"));
    assert_null(strstr(err.message, "folders"));
    snprintf(path, sizeof path, "%s/more.jpg", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(lbw_assumed_feed_open(&feed, model, &params, NULL, &err), LBW_ERR_FORMAT);
    assert_non_null(strstr(err.message, ".png; subfolders are not searched"));
    rmdir(path);

    snprintf(path, sizeof path, "%s/0.png", folder);
    write_file(path, "not a png", 9);
    assert_int_equal(lbw_assumed_feed_open(&feed, model, &params, NULL, &err), LBW_ERR_FORMAT);
    assert_non_null(strstr(err.message, "none of 1 images can be read; the first: "));
    snprintf(path, sizeof path, "%s/labels.txt", folder);
    write_file(path, "0 0 0 1 1", 9);
    static const char *const names[] = {"c.jpg", "a.jpg", "d.JPEG", "b.jpg"};
    for (size_t i = 0; i < 4; i++)
        write_jpeg(folder, names[i], (unsigned char)(names[i][0] - 'a' + 1) * 10);
    snprintf(path, sizeof path, "%s/aa.jpg", folder);
    assert_int_equal(symlink("a.jpg", path), 0); /* counts as the file it leads to */
    assert_int_equal(grays((int[8]){0}, model, folder, 0, &(size_t){0}), 5);
    unlink(path);
    int got[8];
    size_t skipped;
    assert_int_equal(grays(got, model, folder, 0, &skipped), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(got[i], 10 * (i + 1)); /* in the order of their names */
    assert_int_equal(skipped, 1);
    assert_int_equal(grays(got, model, folder, 2, &skipped), 2); /* 0 a | b c d: a and c */
    assert_int_equal(got[0], 10);
    assert_int_equal(got[1], 30);
    assert_int_equal(grays(got, model, folder, 5, &skipped), 4);
    lbw_model_close(&model);

    /* A fixed batch of 3 takes the four images in two samples, the last filled up. */
    model = model_of(TYPE(FLOAT), DIMS(3, 3, 16, 16), DIMS(1));
    assert_int_equal(grays(got, model, folder, 0, &skipped), 2);
    assert_int_equal(got[1], 40);
    lbw_model_close(&model);
    static const char *const all[] = {"c.jpg", "a.jpg",      "d.JPEG",  "b.jpg",
                                      "0.png", "labels.txt", "pipe.jpg"};
    for (size_t i = 0; i < 7; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, all[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void test_sources(void **state)
{
    (void)state;
    static const struct {
        const char *source, *message;
    } cases[] = {
        {"generated:0", "'generated:0': expected generated:N with N from 1 to 1000000"},
        {"generated:-1", "'generated:-1': expected generated:N with N from 1 to 1000000"},
        {"generated:5x", "'generated:5x': expected generated:N with N from 1 to 1000000"},
        {"/nonexistent/x", "/nonexistent/x: cannot open: No such file or directory"},
    };
    struct lbw_model *model = model_of(TYPE(FLOAT), DIMS(1, 3, 16, 16), DIMS(1));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_feed_params params = {.source = cases[i].source};
        struct lbw_array array;
        assert_string_equal(first_sample(&array, model, &params), cases[i].message);
    }
    assert_true(lbw_source_is_generated(NULL) && lbw_source_is_generated("generated") &&
                lbw_source_is_generated("generated:9"));
    assert_false(lbw_source_is_generated("generated_photos/"));
    struct lbw_feed_params params = {.source = "generated:5", .max_samples = 4};
    struct lbw_feed *feed = NULL;
    assert_int_equal(lbw_assumed_feed_open(&feed, model, &params, NULL, NULL), LBW_OK);
    assert_int_equal(lbw_feed_num_samples(feed), 4);
    lbw_feed_close(&feed);
    params = (struct lbw_feed_params){0};
    assert_int_equal(lbw_assumed_feed_open(&feed, model, &params, NULL, NULL), LBW_OK);
    assert_int_equal(lbw_feed_num_samples(feed), 32);
    lbw_feed_close(&feed);
    struct lbw_preprocess gray = {.color = LBW_COLOR_GRAY, .std = {1, 1, 1}};
    params.preprocess = &gray;
    struct lbw_array array;
    assert_string_equal(first_sample(&array, model, &params),
                        "memory: input 'x' takes 3 channels, the preprocessing makes 1");
    lbw_model_close(&model);
}

/* Writes "x" (and "y") of the shapes, counting up from 0, and opens the feed of the model. */
static const char *feed_arrays(struct lbw_feed **feed, struct lbw_model *model,
                               const char *name, const char *shape, size_t count)
{
    static char message[600];
    float values[600];
    assert_true(count <= 600);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)i;
    struct zip_text zip = {0};
    struct text array = npy("<f4", shape, values, count * 4);
    zip_add(&zip, name, &array, true);
    struct text t = zip_finish(&zip);
    const char *path = temporary_path("feed.npz");
    write_file(path, t.data, t.size);
    free(t.data);
    struct lbw_feed_params params = {.source = path};
    struct lbw_error err = {0};
    lbw_assumed_feed_open(feed, model, &params, NULL, &err);
    unlink(path);
    const char *end = strstr(err.message, "feed.npz: ");
    strcpy(message, end ? end + strlen("feed.npz: ") : err.message);
    return message;
}

static void test_arrays(void **state)
{
    (void)state;
    static const struct {
        int64_t input[6];
        const char *name, *shape;
        size_t count, samples, first_of_last;
        const char *message;
    } cases[] = {
        {{1, 2, 3, -2}, "x.npy", "(5, 2, 3)", 30, 5, 24, ""},
        {{-1, 2, 3, -2}, "x.npy", "(5, 2, 3)", 30, 5, 24, ""},
        {{2, 2, 3, -2}, "x.npy", "(5, 2, 3)", 30, 2, 12, ""},
        {{1, 2, 3, -2}, "x.npy", "(5, 1, 2, 3)", 30, 5, 24, ""},
        {{-1, -1, 3, -2}, "other.npy", "(1, 2, 3)", 6, 1, 0, ""}, /* the only one */
        {{5, -2}, "x.npy", "(2, 5)", 10, 2, 5, ""},
        {{7, 2, 3, -2},
         "x.npy",
         "(5, 2, 3)",
         30,
         0,
         0,
         "input 'x': the array holds less than one sample"},
        {{1, 2, 4, -2},
         "x.npy",
         "(5, 2, 3)",
         30,
         0,
         0,
         "input 'x': the array is 5x2x3, the input 1x2x4"},
        {{1, 2, 3, -2}, "x.npy", "(6,)", 6, 0, 0, "input 'x': the array is 6, the input 1x2x3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_model *model = model_of(TYPE(DOUBLE), cases[i].input, DIMS(1));
        struct lbw_feed *feed = NULL;
        assert_string_equal(
            feed_arrays(&feed, model, cases[i].name, cases[i].shape, cases[i].count),
            cases[i].message);
        if (feed) {
            struct lbw_array array;
            size_t num = lbw_feed_num_samples(feed);
            assert_int_equal(num, cases[i].samples);
            assert_int_equal(lbw_feed_get(feed, num - 1, &array, NULL), LBW_OK);
            assert_int_equal(array.data_type, TYPE(DOUBLE));
            const double *values = array.data;
            assert_true(values[0] == (double)cases[i].first_of_last);
            assert_true(values[array.size / 8 - 1] ==
                        (double)(cases[i].first_of_last + array.size / 8 - 1));
            lbw_array_release(&array);
            lbw_feed_close(&feed);
        }
        lbw_model_close(&model);
    }
}

/* With two inputs the names count; one sample serves all. */
static void test_two_arrays(void **state)
{
    (void)state;
    struct text graph = {0};
    put_node(&graph, 1, "Add", "a b", "y", NULL);
    put_shaped(&graph, 11, "a", TYPE(FLOAT), DIMS(1, 2));
    put_shaped(&graph, 11, "b", TYPE(INT64), NULL);
    put_port(&graph, 12, "y");
    struct text t = wrap(&graph);
    struct lbw_model *model = NULL;
    assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, NULL), LBW_OK);
    free(t.data);
    static const float a[] = {1, 2, 3, 4, 5, 6};
    static const int64_t b = 9;
    const char *path = temporary_path("two.npz");
    struct lbw_feed *feed = NULL;
    struct lbw_error err = {0};
    for (int with_b = 0; with_b < 2; with_b++) {
        struct zip_text zip = {0};
        struct text array = npy("<f4", "(3, 2)", a, sizeof a);
        zip_add(&zip, "a.npy", &array, false);
        array = npy("<i8", "(1,)", &b, sizeof b);
        zip_add(&zip, with_b ? "b.npy" : "c.npy", &array, false);
        t = zip_finish(&zip);
        write_file(path, t.data, t.size);
        free(t.data);
        struct lbw_feed_params params = {.source = path, .max_samples = 2};
        enum lbw_status status = lbw_assumed_feed_open(&feed, model, &params, NULL, &err);
        assert_int_equal(status, with_b ? LBW_OK : LBW_ERR_ARGUMENT);
    }
    assert_non_null(strstr(err.message, "no array 'b'; there are 'a', 'c'"));
    struct lbw_array arrays[2];
    assert_int_equal(lbw_feed_num_samples(feed), 2);
    assert_int_equal(lbw_feed_get(feed, 1, arrays, NULL), LBW_OK);
    assert_true(((float *)arrays[0].data)[0] == 5); /* of three the first and the last */
    assert_true(*(int64_t *)arrays[1].data == 9);
    lbw_array_release(&arrays[0]);
    lbw_array_release(&arrays[1]);
    lbw_feed_close(&feed);
    unlink(path);
    lbw_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_whole_as_asked),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_several_inputs),
        cmocka_unit_test(test_guess),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_other_task),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_adapt),
        cmocka_unit_test(test_batch_normalization),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_two_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
