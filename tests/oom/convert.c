/* SPDX-License-Identifier: MIT */
/* Every allocation of planning, converting, reading plans and expanding fails once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../activations.h"
#include "../graph.h"
#include "../plan.h"
#include "oom.h"
#include <lbw/convert.h>

#include "pass/plan.h"

static struct text bytes; /* of the model */
static char plan_path[300], state_path[300];

/* What the running scenario does. */
static enum lbw_encoding encoding;
static bool is_inline, is_calibrated, is_rounded;

/* Folded, shared, Constant, depthwise, transposed and half weights. */
static void write_model(void)
{
    struct text graph = {0}, attributes = {0};
    float *values = draw_values("k", 256, 0, 1);
    attribute_int(&attributes, "group", 16);
    put_op(&graph, "Conv", "x w1", "c", NULL);
    put_op(&graph, "BatchNormalization", "c scale shift mean var", "d", NULL);
    put_op(&graph, "Conv", "d w2 b", "e", NULL);
    put_op(&graph, "Conv", "e w2 b", "f", NULL);
    put_op(&graph, "ConvTranspose", "f w3", "g", NULL);
    put_op(&graph, "Conv", "g deep", "h", &attributes);
    struct text tensor = tensor_of("", TYPE(FLOAT), (const int64_t[]){16, 16, 1, 1}, 4, values);
    attribute_message(&attributes, "value", 5, 4, &tensor);
    put_op(&graph, "Constant", "", "k", &attributes);
    put_op(&graph, "Conv", "h k", "y", NULL);
    put_op(&graph, "Conv", "half x16", "z", NULL);
    put_weight(&graph, "w1", 16, 16, 3);
    put_weight(&graph, "w2", 16, 16, 1);
    put_weight(&graph, "w3", 16, 16, 2);
    put_weight(&graph, "deep", 16, 1, 5);
    put_random(&graph, "x16", TYPE(FLOAT16), (const int64_t[]){16, 16, 2, 2}, 4, 0, 1);
    static const char *const vectors[] = {"scale", "shift", "mean", "var", "b"};
    for (size_t i = 0; i < 5; i++)
        put_vector(&graph, vectors[i], 16, 2, 1);
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "y");
    put_port(&graph, 12, "z");
    bytes = finish_model(&graph, 8, 13);
    free(values);
}

/* Two layers that are quick to solve, one of them in groups. */
static void write_small_model(void)
{
    struct text graph = {0}, attributes = {0};
    attribute_int(&attributes, "group", 2);
    put_op(&graph, "Conv", "x w1", "c", NULL);
    put_op(&graph, "Conv", "c w3", "y", &attributes);
    put_weight(&graph, "w1", 4, 4, 1);
    put_weight(&graph, "w3", 4, 2, 1);
    put_port(&graph, 12, "y");
    free(bytes.data);
    bytes = finish_model(&graph, 8, 13);
}

/* ---- calibration data out of thin air ---- */

static enum lbw_status show(struct lbw_activations *self, const char *name,
                            lbw_activation_fn fn, void *user, struct lbw_error *err)
{
    static float values[4 * 5 * 5];
    static const int64_t dims[] = {1, 4, 5, 5};
    struct lbw_random random = {(uint64_t)name[0]};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        values[i] = (float)lbw_random_unit(&random);
    const struct lbw_activation activation = {0, 4, dims, values, values};
    (void)self;
    return fn(user, &activation, err);
}

static enum lbw_status round_value(struct lbw_activations *self, const char *name,
                                   const struct lbw_ranges *ranges, struct lbw_error *err)
{
    (void)self, (void)name, (void)ranges, (void)err;
    return LBW_OK;
}

/* Every fit agrees more than the one before. */
static double agreement;

static enum lbw_status judge(double *out, struct lbw_activations *self, struct lbw_error *err)
{
    (void)self, (void)err;
    *out = agreement += 1;
    return LBW_OK;
}

static enum lbw_status restart(struct lbw_activations *self, struct lbw_error *err)
{
    (void)self, (void)err;
    return LBW_OK;
}

static struct lbw_activations activations = {.show = show,
                                             .replace = ignore_values,
                                             .settle = ignore_position,
                                             .num_samples = 1,
                                             .identity = 1,
                                             .round = round_value,
                                             .judge = judge,
                                             .restart = restart};

/* ---- scenarios ---- */

static enum lbw_status print_and_apply(struct lbw_plan *plan, struct lbw_error *err)
{
    char *text = NULL;
    LBW_TRY(lbw_plan_print(&text, plan, false, err));
    __real_free(text); /* the C library's own, not counted */
    return lbw_plan_apply(plan, plan_path, err);
}

static enum lbw_status convert(struct lbw_model *model, struct lbw_error *err)
{
    const struct lbw_plan_rule rule = {"w2", lbw_grid_by_name("2")};
    const struct lbw_plan_params params = {.rules = &rule,
                                           .num_rules = 1,
                                           .activations = is_rounded ? LBW_ACTIVATIONS_INT8
                                                                     : LBW_ACTIVATIONS_FLOAT};
    const struct lbw_convert_params how = {.encode = {encoding, is_inline},
                                           .activations = is_calibrated ? &activations : NULL,
                                           .state = is_calibrated ? state_path : NULL};
    struct lbw_plan *plan = NULL;
    struct lbw_report *report = NULL;
    LBW_TRY(prepare_and_plan(&plan, model, &params, err));
    enum lbw_status status = print_and_apply(plan, err);
    if (status == LBW_OK)
        status = lbw_convert(&report, model, plan, &how, err);
    if (status == LBW_OK && report->num_converted == 0)
        status = lbw_fail(err, LBW_ERR_FORMAT, "nothing was converted");
    if (status == LBW_OK && is_rounded && report->range_power != 2)
        status = lbw_fail(err, LBW_ERR_FORMAT, "the second fit did not stay");
    if (report)
        lbw_report_free(&report);
    lbw_plan_free(&plan);
    return status;
}

static enum lbw_status there(struct lbw_error *err)
{
    struct lbw_model *model = NULL;
    LBW_TRY(lbw_model_open_memory(&model, bytes.data, bytes.size, err));
    if (is_calibrated)
        unlink(state_path);
    enum lbw_status status = convert(model, err);
    lbw_model_close(&model);
    return status;
}

static struct text coded; /* the converted model */

static enum lbw_status back(struct lbw_error *err)
{
    struct lbw_model *model = NULL;
    LBW_TRY(lbw_model_open_memory(&model, coded.data, coded.size, err));
    enum lbw_status status = lbw_expand(model, NULL, err);
    lbw_model_close(&model);
    return status;
}

static void make_coded(void)
{
    struct lbw_model *model = NULL;
    struct lbw_error err = {0};
    void *data = NULL;
    assert_int_equal(lbw_model_open_memory(&model, bytes.data, bytes.size, &err), LBW_OK);
    assert_int_equal(convert(model, &err), LBW_OK);
    assert_int_equal(lbw_model_save_memory(model, &data, &coded.size, &err), LBW_OK);
    coded.data = data;
    lbw_model_close(&model);
}

static void there_and_back(const char *name, enum lbw_encoding how, bool in_graph)
{
    encoding = how;
    is_inline = in_graph;
    is_calibrated = false;
    assert_true(oom_run(name, there));
    make_coded();
    assert_true(oom_run("expanding that", back));
    lbw_free(coded.data);
}

static void test_packed(void **state)
{
    (void)state;
    there_and_back("packed", LBW_ENCODING_PACKED, false);
}

static void test_inline(void **state)
{
    (void)state;
    there_and_back("inline", LBW_ENCODING_PACKED, true);
}

static void test_dq(void **state)
{
    (void)state;
    there_and_back("dq", LBW_ENCODING_DQ, false);
}

static void test_float(void **state)
{
    (void)state;
    there_and_back("float", LBW_ENCODING_FLOAT, false);
}

static void test_calibrated(void **state)
{
    (void)state;
    encoding = LBW_ENCODING_PACKED;
    is_inline = false;
    is_calibrated = true;
    write_small_model();
    assert_true(oom_run("calibrated", there));
    is_rounded = true;
    assert_true(oom_run("8-bit activations", there));
}

int main(void)
{
    static const char plan[] = "3 pow2 tensor w1\n2 real channel w3\n";
    snprintf(plan_path, sizeof plan_path, "%s", temporary_path("oom.plan"));
    snprintf(state_path, sizeof state_path, "%s", temporary_path("oom.state"));
    write_file(plan_path, plan, sizeof plan - 1);
    write_model();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed),     cmocka_unit_test(test_inline),
        cmocka_unit_test(test_dq),         cmocka_unit_test(test_float),
        cmocka_unit_test(test_calibrated),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(plan_path);
    unlink(state_path);
    free(bytes.data);
    return failed;
}
