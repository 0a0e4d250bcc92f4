/* SPDX-License-Identifier: MIT */
/* The public contract: whatever a caller hands in, in whatever order handles are closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include <cblas.h>
#include <lbw/lbw.h>

#include "../check.h"
#include "../plan.h"
#include "num/reconstruct.h"

#define BAD 7 /* no enum of the API has so many enumerators, but for families */

/* A prepared model and its plan, with one weight of 4 × 8 × 5 × 5. */
static struct lbw_plan *planned(struct lbw_model **model)
{
    struct text graph = {0}, tensor = {0};
    float values[4 * 8 * 5 * 5];
    struct lbw_plan *plan = NULL;
    struct lbw_error err = {0};
    const uint64_t dims[] = {4, 8, 5, 5};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        values[i] = (float)((i * 37) % 101) / 50 - 1;
    for (size_t i = 0; i < 4; i++)
        put_int(&tensor, 1, dims[i]);
    put_int(&tensor, 2, TYPE(FLOAT));
    put_text(&tensor, 8, "w");
    put_bytes(&tensor, 9, values, sizeof values);
    put_node(&graph, 1, "Conv", "x w", "y", NULL);
    put_text(&graph, 2, "g");
    put_message(&graph, 5, &tensor);
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "y");
    struct text bytes = wrap(&graph);
    *model = open_text(&bytes);
    check(prepare_and_plan(&plan, *model, &(struct lbw_plan_params){0}, &err), &err);
    assert_non_null(lbw_plan_item(plan, 0)->grid);
    return plan;
}

static void refuses(enum lbw_status status, const struct lbw_error *err, const char *part)
{
    assert_int_equal(status, LBW_ERR_ARGUMENT);
    if (!strstr(err->message, part))
        fail_msg("'%s' does not mention '%s'", err->message, part);
}

/* The plan needs the model, the report the plan; each is freed by who comes last. */
static void test_closing_order(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_model *model;
    struct lbw_report *report = NULL;
    char *text = NULL;
    struct lbw_plan *plan = planned(&model);
    lbw_model_close(&model);
    assert_null(model);
    check(lbw_plan_print(&text, plan, false, &err), &err);
    assert_non_null(strstr(text, "w 4x8x5x5"));
    lbw_free(text);
    lbw_plan_free(&plan);

    plan = planned(&model);
    check(lbw_convert(&report, model, plan, NULL, &err), &err);
    lbw_model_close(&model);
    lbw_plan_free(&plan);
    assert_string_equal(lbw_report_row(report, 0)->item->tensor, "w");
    assert_null(lbw_report_row(report, 1));
    lbw_report_free(&report);
    lbw_report_free(&report);
}

/* A plan is for the model as it was planned, and is spent by a conversion. */
static void test_plan_spent(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_model *model, *other;
    void *first = NULL, *again = NULL;
    size_t size = 0, size_again = 0;
    struct lbw_plan *plan = planned(&model), *stranger = planned(&other);
    refuses(lbw_convert(NULL, model, stranger, NULL, &err), &err, "another model");
    check(lbw_convert(NULL, model, plan, NULL, &err), &err);
    check(lbw_model_save_memory(model, &first, &size, &err), &err);
    refuses(lbw_convert(NULL, model, plan, NULL, &err), &err, "changed since");
    check(lbw_model_prepare(model, &(struct lbw_prepare_params){.requantize = true}, &err),
          &err);
    refuses(lbw_convert(NULL, model, plan, NULL, &err), &err, "changed since");
    lbw_plan_free(&plan);

    /* what was refused has changed nothing */
    check(lbw_plan_new(&plan, other, NULL, &err), &err);
    refuses(lbw_convert(NULL, other, plan, &(struct lbw_convert_params){.encode.encoding = BAD},
                        &err),
            &err, "encoding 7");
    check(lbw_convert(NULL, other, plan, NULL, &err), &err);
    check(lbw_model_save_memory(other, &again, &size_again, &err), &err);
    assert_int_equal(size, size_again);
    assert_memory_equal(first, again, size);
    lbw_free(first);
    lbw_free(again);
    lbw_plan_free(&plan);
    lbw_plan_free(&stranger);
    lbw_model_close(&model);
    lbw_model_close(&other);
}

/* A change that fails half way leaves a model that says so, and is not saved. */
static void test_spoiled(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_plan *plan = NULL;
    struct text bytes = small_model();
    struct lbw_model *model = open_text(&bytes);
    void *data = NULL;
    size_t size = 0;
    char digest[LBW_DIGEST_SIZE];
    assert_int_equal(lbw_model_rewritten(model, LBW_ERR_MEMORY), LBW_ERR_MEMORY);
    const char *part = "failed half way";
    refuses(lbw_model_save_memory(model, &data, &size, &err), &err, part);
    refuses(lbw_model_save(model, "absent/model.onnx", &err), &err, part);
    refuses(lbw_model_prepare(model, NULL, &err), &err, part);
    refuses(lbw_plan_new(&plan, model, NULL, &err), &err, part);
    refuses(lbw_model_lift(model, 21, &err), &err, part);
    refuses(lbw_expand(model, NULL, &err), &err, part);
    refuses(lbw_reencode(NULL, NULL, NULL, model, NULL, &err), &err, part);
    refuses(lbw_digest(digest, model, &err), &err, part);
    assert_null(data);
    assert_null(plan);
    lbw_model_close(&model);
}

static void test_convert_params(void **state)
{
    (void)state;
    static const struct {
        struct lbw_convert_params params;
        const char *part;
    } cases[] = {
        {{.encode.encoding = BAD}, "encoding 7: expected 0 … 3"},
        {{.encode.encoding = (enum lbw_encoding) - 1}, "encoding"},
        {{.encode.target = BAD}, "target 7"},
        {{.encode.opset = 21}, "lift it before planning"},
        {{.damping = -1}, "damping -1"},
        {{.damping = NAN}, "damping nan"},
        {{.state = "file"}, "state"},
    };
    struct lbw_model *model;
    struct lbw_plan *plan = planned(&model);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_error err = {0};
        refuses(lbw_convert(NULL, model, plan, &cases[i].params, &err), &err, cases[i].part);
    }
    struct lbw_error err = {0};
    refuses(lbw_convert(NULL, model, NULL, NULL, &err), &err, "plan: missing");
    refuses(lbw_convert(NULL, NULL, plan, NULL, &err), &err, "model: missing");
    refuses(lbw_reencode(NULL, NULL, NULL, model, &(struct lbw_encode_params){.encoding = BAD},
                         &err),
            &err, "encoding 7");
    lbw_plan_free(&plan);
    lbw_model_close(&model);
}

static void test_plan_params(void **state)
{
    (void)state;
    const struct lbw_grid invented = *lbw_grid_by_name("4");
    const struct lbw_plan_rule no_regex = {NULL, NULL}, odd_grid = {"x", &invented};
    const struct {
        struct lbw_plan_params params;
        const char *part;
    } cases[] = {
        {{.method = BAD}, "method 7"},
        {{.scale = BAD}, "scale 7"},
        {{.group = BAD}, "group 7"},
        {{.mu = NAN}, "mu nan"},
        {{.mu = -1}, "mu -1"},
        {{.grid = &invented}, "grid"},
        {{.num_rules = 1}, "rules: missing"},
        {{.num_rules = 1, .rules = &no_regex}, "regex: missing"},
        {{.num_rules = 1, .rules = &odd_grid}, "grid"},
    };
    struct lbw_error err = {0};
    struct lbw_model *model;
    struct lbw_plan *plan = planned(&model), *unused = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuses(lbw_plan_new(&unused, model, &cases[i].params, &err), &err, cases[i].part);
    refuses(lbw_plan_new(&unused, NULL, NULL, &err), &err, "model: missing");
    refuses(lbw_plan_set_grid(plan, 1, NULL, &err), &err, "weight 1");
    refuses(lbw_plan_set_grid(plan, 0, &invented, &err), &err, "grid");
    refuses(lbw_plan_apply(plan, NULL, &err), &err, "path: missing");
    assert_null(unused);
    assert_null(lbw_plan_item(plan, 1));
    assert_int_equal(lbw_plan_item(plan, 0)->bytes, 4 * 8 * 5 * 5 * sizeof(float));
    lbw_plan_free(&plan);
    lbw_model_close(&model);
}

/* The plan of a search is optional, its test is not. */
static void test_search_params(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_search_result *result = NULL;
    const struct lbw_eval_params test = {0};
    refuses(lbw_search(&result, "absent.onnx", NULL, &err), &err, "params: missing");
    refuses(lbw_search(&result, "absent.onnx", &(struct lbw_search_params){0}, &err), &err,
            "test: missing");
    refuses(
        lbw_search(&result, "absent.onnx", &(struct lbw_search_params){.test = &test}, &err),
        &err, "profile: missing");
    assert_null(result);
}

static void test_detection_params(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_evaluation *evaluation = NULL;
    struct lbw_dataset *dataset = NULL;
    struct lbw_detector *detector = NULL;
    struct lbw_model *model;
    struct lbw_plan *plan = planned(&model);
    struct lbw_profile profile = *lbw_profile_by_name("yolox");
    refuses(lbw_eval(&evaluation, &model, 1, &(struct lbw_eval_params){0}, &err), &err,
            "dataset: missing");
    refuses(lbw_dataset_open(&dataset, &(struct lbw_dataset_params){0}, &err), &err,
            "images: missing");
    refuses(lbw_detector_open(&detector, model, NULL, NULL, &err), &err, "profile: missing");
    profile.family = 99;
    refuses(lbw_detector_open(&detector, model, &profile, NULL, &err), &err, "family 99");
    profile = *lbw_profile_by_name("yolox");
    profile.num_strides = 99;
    refuses(lbw_detector_open(&detector, model, &profile, NULL, &err), &err, "strides 99");
    profile = (struct lbw_profile){0};
    refuses(lbw_detector_open(&detector, model, &profile, NULL, &err), &err, "max_boxes");
    profile = *lbw_profile_by_name("yolox");
    profile.preprocess.color = BAD;
    refuses(lbw_detector_open(&detector, model, &profile, NULL, &err), &err, "color 7");
    lbw_plan_free(&plan);
    lbw_model_close(&model);
}

static void test_calibration_params(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_activations *activations = NULL;
    struct lbw_comparison *comparison = NULL;
    struct lbw_bench *bench = NULL;
    struct lbw_tuner *tuner = NULL;
    struct lbw_model *model, *other;
    struct lbw_plan *plan = planned(&model), *second = planned(&other);
    const struct lbw_preprocess nothing = {0};
    const struct lbw_calibrate_params odd = {.preprocess = &nothing};
    refuses(lbw_calibrate_open(&activations, model, &odd, NULL, &err), &err, "std 0");
    const struct lbw_calibrate_params minus = {.width = -1};
    refuses(lbw_calibrate_open(&activations, model, &minus, NULL, &err), &err, "width -1");
    refuses(lbw_compare(&comparison, model, NULL, NULL, &err), &err, "B: model: missing");
    refuses(lbw_bench(&bench, NULL, 0, NULL, &err), &err, "models: missing");
    refuses(lbw_bench(&bench, (struct lbw_model *[]){NULL}, 1, NULL, &err), &err, "missing");
    refuses(lbw_bench(&bench, &model, 1, &(struct lbw_bench_params){.seconds = -1}, &err), &err,
            "seconds -1");
    refuses(lbw_bench(&bench, &model, 1, &(struct lbw_bench_params){.width = -1}, &err), &err,
            "size -1x0");
    const struct lbw_tune_params way = {.optimizer = BAD};
    refuses(lbw_tune_open(&tuner, model, plan, &way, NULL, &err), &err, "optimizer 7");
    refuses(lbw_tune_open(&tuner, model, second, NULL, NULL, &err), &err, "another model");
    lbw_plan_free(&plan);
    lbw_plan_free(&second);
    lbw_model_close(&model);
    lbw_model_close(&other);
}

/* Copies by assignment borrow, so that releasing both frees once. */
static void test_profile_copies(void **state)
{
    (void)state;
    static const char text[] =
        "{\"name\":\"mine\",\"family\":\"yolox\",\"labels\":[\"a\",\"b\"]}";
    struct lbw_error err = {0};
    struct lbw_profile first, whole;
    check(lbw_profile_parse(&first, text, sizeof text - 1, NULL, &err), &err);
    struct lbw_profile copy = first;
    check(lbw_profile_copy(&whole, &copy, &err), &err);
    lbw_profile_release(&copy);
    assert_string_equal(first.labels[1], "b");
    lbw_profile_release(&first);
    lbw_profile_release(&first);
    assert_string_equal(whole.name, "mine");
    assert_string_equal(whole.labels[1], "b");
    lbw_profile_release(&whole);
    lbw_profile_release(NULL);
}

static void test_names(void **state)
{
    (void)state;
    assert_null(lbw_encoding_name(BAD));
    assert_null(lbw_target_name(BAD));
    assert_null(lbw_method_name(BAD));
    assert_null(lbw_scale_name(BAD));
    assert_null(lbw_group_name((enum lbw_group) - 1));
    assert_string_equal(lbw_family_name((enum lbw_family) - 1), "unknown");
    assert_string_equal(lbw_status_name((enum lbw_status) - 1), "unknown status");
    assert_null(lbw_grid_by_name(NULL));
    assert_null(lbw_profile_by_name(NULL));
    assert_null(lbw_grid_at(SIZE_MAX));
    for (size_t i = 0; lbw_grid_at(i); i++)
        assert_ptr_equal(lbw_grid_by_name(lbw_grid_at(i)->name), lbw_grid_at(i));
    char described[256];
    lbw_preprocess_describe(described, sizeof described,
                            &(struct lbw_preprocess){.resize = BAD, .color = BAD});
    assert_non_null(strstr(described, "unknown"));
}

static void test_files(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_model *model = NULL;
    struct lbw_image image = {0};
    struct lbw_profile profile;
    refuses(lbw_model_open(&model, NULL, &err), &err, "path: missing");
    refuses(lbw_model_open_memory(&model, NULL, 4, &err), &err, "data: missing");
    refuses(lbw_image_read(&image, NULL, &err), &err, "path: missing");
    refuses(lbw_profile_find(&profile, NULL, &err), &err, "profile: missing");
    const struct lbw_panel panel = {.num_boxes = 1};
    refuses(lbw_draw("-", &image, &panel, 1, NULL, 0, &err), &err, "without pixels");
    uint8_t pixels[3] = {0};
    const enum lbw_mark mark = BAD;
    const struct lbw_box box = {0};
    const struct lbw_panel odd = {.boxes = &box, .marks = &mark, .num_boxes = 1};
    image = (struct lbw_image){1, 1, pixels};
    refuses(lbw_draw("-", &image, &panel, 1, NULL, 0, &err), &err, "boxes: missing");
    refuses(lbw_draw("-", &image, &odd, 1, NULL, 0, &err), &err, "mark 7");
    assert_null(model);
}

/* OpenBLAS computes on one thread for us, and on the caller's number for the caller. */
static void test_blas_threads(void **state)
{
    (void)state;
    struct lbw_moments moments;
    float x[4 * 3] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 4, 2}, y[4 * 3] = {0};
    int before = openblas_get_num_threads();
    openblas_set_num_threads(3);
    int set = openblas_get_num_threads(); /* a build without threads has one */
    assert_int_equal(lbw_moments_init(&moments, x, 1, 3, 0, false, NULL), LBW_OK);
    assert_int_equal(lbw_moments_add(&moments, x, y, 4, 1, NULL), LBW_OK);
    lbw_moments_release(&moments);
    assert_int_equal(openblas_get_num_threads(), set);
    openblas_set_num_threads(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closing_order),
        cmocka_unit_test(test_plan_spent),
        cmocka_unit_test(test_spoiled),
        cmocka_unit_test(test_convert_params),
        cmocka_unit_test(test_plan_params),
        cmocka_unit_test(test_search_params),
        cmocka_unit_test(test_detection_params),
        cmocka_unit_test(test_calibration_params),
        cmocka_unit_test(test_profile_copies),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_blas_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
