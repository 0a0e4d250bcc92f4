/* SPDX-License-Identifier: MIT */
/*
 * Structures that users of quantizers reported trouble with, built small: what is said of each
 * is true, nothing grows, and the result loads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "../check.h"
#include "../graph.h"
#include "../plan.h"
#include "../runtime.h"
#include <lbw/convert.h>
#include <lbw/profile.h>

static const int64_t picture[] = {1, 3, 32, 32};

/* A model on its way through a conversion. */
struct run {
    struct lbw_model *model;
    struct lbw_plan *plan;
    struct lbw_report *report;
    char *assumed;
};

static void run_release(struct run *r)
{
    lbw_report_free(&r->report);
    lbw_plan_free(&r->plan);
    lbw_model_close(&r->model);
    free(r->assumed);
}

/* Prepared, planned, calibrated with four generated images, converted; frees the bytes. */
static void run_all(struct run *r, struct text *bytes, const struct lbw_plan_params *plan)
{
    struct lbw_error err = {0};
    struct lbw_activations *activations = NULL;
    const struct lbw_calibrate_params calibrate = {.num_samples = 4};
    const char *assumed = NULL;
    *r = (struct run){.model = open_text(bytes)};
    check(prepare_and_plan(&r->plan, r->model, plan, &err), &err);
    check(lbw_calibrate_open(&activations, r->model, &calibrate, &assumed, &err), &err);
    r->assumed = strdup(assumed);
    check(lbw_convert(&r->report, r->model, r->plan,
                      &(struct lbw_convert_params){.activations = activations}, &err),
          &err);
    lbw_calibrate_close(&activations);
}

static const struct lbw_report_row *row_of(const struct run *r, const char *node)
{
    for (size_t i = 0; i < r->report->num_rows; i++)
        if (strcmp(lbw_report_row(r->report, i)->item->node, node) == 0)
            return lbw_report_row(r->report, i);
    fail_msg("no row for node '%s'", node);
    return NULL;
}

static void says(const struct run *r, const char *node, const char *text)
{
    const struct lbw_report_row *row = row_of(r, node);
    if (!strstr(row->how, text))
        fail_msg("'%s': \"%s\", not \"%s\"", node, row->how, text);
}

/* A convolution of 3x3 that keeps its size, with its weight. */
static void put_conv(struct text *graph, const char *input, const char *output, int64_t from,
                     int64_t to)
{
    static const int64_t pads[] = {1, 1, 1, 1};
    struct text attributes = {0};
    char inputs[100], weight[50];
    snprintf(weight, sizeof weight, "%s.w", output);
    snprintf(inputs, sizeof inputs, "%s %s", input, weight);
    attribute_ints(&attributes, "pads", pads, 4);
    put_op(graph, "Conv", inputs, output, &attributes);
    put_weight(graph, weight, to, from, 3);
}

static struct text finish(struct text *graph, const char *output, int64_t opset)
{
    put_typed_port(graph, 11, "x", TYPE(FLOAT), picture, 4);
    put_typed_port(graph, 12, output, TYPE(FLOAT), NULL, 0);
    return finish_model(graph, 8, opset);
}

/* ---- what calibration did not reach ---- */

/* An operator that the runtime does not know, in front of the second of three. */
static void test_unknown_operator(void **state)
{
    (void)state;
    struct text graph = {0}, node = {0}, import = {0};
    put_conv(&graph, "x", "a", 3, 16);
    put_names(&node, "DCNv2_TRT", "a", "d");
    put_text(&node, 7, "mmdeploy");
    put_message(&graph, 1, &node);
    put_conv(&graph, "d", "b", 16, 16);
    put_conv(&graph, "b", "y", 16, 16);
    struct text bytes = finish(&graph, "y", 13);
    put_text(&import, 1, "mmdeploy");
    put_int(&import, 2, 1);
    put_message(&bytes, 8, &import);
    struct run r;
    run_all(&r, &bytes, &(struct lbw_plan_params){0});
    assert_int_equal(r.report->num_converted, 3);
    assert_int_equal(r.report->num_calibrated, 1);
    assert_int_equal(r.report->num_measured, 1);
    assert_true(fabs(r.report->snr - row_of(&r, "a")->snr) < 1e-9);
    says(&r, "b", "DCNv2_TRT");
    says(&r, "b", "is not a registered function");
    char *json = NULL;
    check(lbw_report_print(&json, r.report, NULL), &(struct lbw_error){0});
    assert_non_null(strstr(json, "\"num_calibrated\": 1"));
    lbw_free(json);
    run_release(&r);
}

/* A second stage for boxes that are not found in any image. */
static void test_no_rows(void **state)
{
    (void)state;
    struct text graph = {0}, order = {0}, to = {0};
    static const int64_t perm[] = {1, 0}, dims[] = {4, 400};
    static const float zero[] = {0};
    put_conv(&graph, "x", "a", 3, 16);
    struct text starts = tensor_of("zeros", TYPE(FLOAT), NULL, 0, zero);
    put_message(&graph, 5, &starts);
    /* nothing is below zero */
    put_op(&graph, "Mul", "a zeros", "nothing", NULL);
    put_op(&graph, "Less", "nothing zeros", "hit", NULL);
    put_op(&graph, "NonZero", "hit", "places", NULL);
    attribute_ints(&order, "perm", perm, 2);
    put_op(&graph, "Transpose", "places", "rows", &order);
    attribute_int(&to, "to", TYPE(FLOAT));
    put_op(&graph, "Cast", "rows", "f", &to);
    put_op(&graph, "MatMul", "f w", "y", NULL);
    put_random(&graph, "w", TYPE(FLOAT), dims, 2, 0, 1);
    struct text bytes = finish(&graph, "y", 13);
    struct run r;
    run_all(&r, &bytes, &(struct lbw_plan_params){.ops = "Conv,MatMul"});
    says(&r, "y", "projection: its input has no rows in any sample");
    assert_int_equal(r.report->num_calibrated, 1);
    run_release(&r);
}

/* ---- what is written loads ---- */

static void loads(const void *data, size_t size, const char *what)
{
    struct lbw_error err = {0};
    struct lbw_session *session = NULL;
    const struct lbw_session_params params = {.optimize = 99};
    if (lbw_session_open(&session, data, size, &params, &err) != LBW_OK)
        fail_msg("%s: %s", what, err.message);
    lbw_session_close(&session);
}

/* Rounds and encodes a copy of the model in every way; each loads. */
static void all_load(const struct text *bytes, const struct lbw_plan_params *plan_params,
                     int64_t opset)
{
    static const struct lbw_encode_params ways[] = {
        {.encoding = LBW_ENCODING_PACKED},
        {.encoding = LBW_ENCODING_PACKED, .inline_nodes = true},
        {.encoding = LBW_ENCODING_DQ},
        {.encoding = LBW_ENCODING_FLOAT},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct lbw_error err = {0};
        struct lbw_model *model = NULL;
        struct lbw_plan *plan = NULL;
        void *data = NULL;
        size_t size;
        keep_fixture(bytes->data, bytes->size);
        check(lbw_model_open_memory(&model, bytes->data, bytes->size, &err), &err);
        if (opset)
            check(lbw_model_lift(model, opset, &err), &err);
        check(prepare_and_plan(&plan, model, plan_params, &err), &err);
        check(lbw_convert(NULL, model, plan, &(struct lbw_convert_params){.encode = ways[i]},
                          &err),
              &err);
        check(lbw_model_save_memory(model, &data, &size, &err), &err);
        loads(data, size, lbw_encoding_name(ways[i].encoding));
        lbw_free(data);
        lbw_plan_free(&plan);
        lbw_model_close(&model);
    }
}

static void put_import(struct text *model, const char *domain, int64_t version)
{
    struct text import = {0};
    put_text(&import, 1, domain);
    put_int(&import, 2, (uint64_t)version);
    put_message(model, 8, &import);
}

/* A graph whose ReduceMean takes its axes as an attribute: below opset 18 alone. */
static struct text mean_of_conv(void)
{
    static const int64_t axes[] = {2, 3};
    struct text graph = {0}, attributes = {0}, model = {0};
    put_conv(&graph, "x", "a", 3, 32);
    attribute_ints(&attributes, "axes", axes, 2);
    put_op(&graph, "ReduceMean", "a", "y", &attributes);
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), picture, 4);
    put_typed_port(&graph, 12, "y", TYPE(FLOAT), NULL, 0);
    put_text(&graph, 2, "g");
    put_int(&model, 1, 8);
    put_message(&model, 7, &graph);
    return model;
}

static void test_imports(void **state)
{
    (void)state;
    static const struct {
        const char *domains[2];
        int64_t versions[2];
    } cases[] = {
        {{"", "ai.onnx"}, {13, 13}}, {{"ai.onnx", ""}, {13, 13}}, {{"", "ai.onnx"}, {18, 13}},
        {{"ai.onnx", ""}, {18, 13}}, {{"", ""}, {18, 13}},        {{"ai.onnx", NULL}, {13, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text bytes = mean_of_conv();
        for (size_t k = 0; k < 2 && cases[i].domains[k]; k++)
            put_import(&bytes, cases[i].domains[k], cases[i].versions[k]);
        loads(bytes.data, bytes.size, "before");
        all_load(&bytes, &(struct lbw_plan_params){0}, 0);
        all_load(&bytes, &(struct lbw_plan_params){0}, 18);
        free(bytes.data);
    }
}

/* The version of the operators is anyone's guess: refused, before anything is written. */
static void test_no_import(void **state)
{
    (void)state;
    static const char *const domains[] = {"ai.onnx.ml", NULL};
    for (size_t i = 0; i < 2; i++) {
        struct text bytes = mean_of_conv();
        struct lbw_error err = {0};
        if (domains[i])
            put_import(&bytes, domains[i], 3);
        struct lbw_model *model = open_text(&bytes);
        assert_int_equal(lbw_model_prepare(model, NULL, &err), LBW_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.message, "does not import the default operator set"));
        assert_int_equal(lbw_model_lift(model, 18, &err), LBW_ERR_UNSUPPORTED);
        lbw_model_close(&model);
        bytes = mean_of_conv();
        model = open_text(&bytes);
        assert_int_equal(lbw_reencode(NULL, NULL, NULL, model, NULL, &err),
                         LBW_ERR_UNSUPPORTED);
        lbw_model_close(&model);
    }
}

/* Every node is called like a tensor, some like what an encoding would call its own. */
static void test_names(void **state)
{
    (void)state;
    static const char *const names[] = {"a.w", "b.w", "lbw_1", "b.w_scale"};
    struct text graph = {0};
    put_conv(&graph, "x", "a", 3, 16);
    put_conv(&graph, "a", "b", 16, 16);
    for (size_t i = 0; i < 4; i++) {
        struct text node = {0};
        char out[20];
        snprintf(out, sizeof out, i == 3 ? "y" : "r%zu", i);
        put_text(&node, 1, i ? "r0" : "b");
        put_text(&node, 2, out);
        put_text(&node, 3, names[i]);
        put_text(&node, 4, "Relu");
        put_message(&graph, 1, &node);
    }
    struct text bytes = finish(&graph, "y", 17);
    loads(bytes.data, bytes.size, "before");
    all_load(&bytes, &(struct lbw_plan_params){0}, 0);
    all_load(&bytes, &(struct lbw_plan_params){0}, 21);
    free(bytes.data);
}

/* ---- nothing is asked of a model that an earlier step has changed ---- */

/* A first BatchNormalization whose statistics are those of pixels from 0 to 255. */
static struct text raw_stem(void)
{
    struct text graph = {0}, attributes = {0};
    const int64_t dims[] = {16, 3, 3, 3}, channels = 16;
    float *mean = calloc(16, sizeof *mean), *variance = calloc(16, sizeof *variance);
    float *w = draw_values("x.w", 16 * 27, 0, 0.2f);
    attribute_float(&attributes, "epsilon", 1e-5f);
    put_op(&graph, "Conv", "x x.w", "c", NULL);
    put_op(&graph, "BatchNormalization", "c scale shift mean var", "n", &attributes);
    put_conv(&graph, "n", "y", 16, 16);
    struct text weight = tensor_of("x.w", TYPE(FLOAT), dims, 4, w);
    put_message(&graph, 5, &weight);
    for (size_t i = 0; i < 16; i++) { /* of values about 110 that vary by about 60 together */
        double sum = 0;
        for (size_t k = 0; k < 27; k++)
            sum += (double)w[i * 27 + k];
        mean[i] = (float)(110 * sum);
        variance[i] = (float)(3600 * sum * sum + 100);
    }
    struct text means = tensor_of("mean", TYPE(FLOAT), &channels, 1, mean);
    struct text variances = tensor_of("var", TYPE(FLOAT), &channels, 1, variance);
    put_message(&graph, 5, &means);
    put_message(&graph, 5, &variances);
    put_vector(&graph, "scale", 16, 1, 0.2f);
    put_vector(&graph, "shift", 16, 0, 1);
    free(mean);
    free(variance);
    free(w);
    return finish(&graph, "y", 13);
}

static void test_stem(void **state)
{
    (void)state;
    static const char what[] = "fits the model's first BatchNormalization: 0 to 255";
    struct text bytes = raw_stem(), again = raw_stem();
    struct lbw_error err = {0};
    struct lbw_preprocess before = {0}, after = {0};
    struct run r;
    run_all(&r, &bytes, &(struct lbw_plan_params){0});
    assert_int_equal(lbw_plan_num_folded(r.plan), 1);
    if (!strstr(r.assumed, what))
        fail_msg("%s", r.assumed);
    run_release(&r);
    /* the same by the public API, in either order */
    struct lbw_model *model = open_text(&again);
    check(lbw_preprocess_assume(&before, model, &err), &err);
    check(lbw_model_prepare(model, NULL, &err), &err);
    check(lbw_preprocess_assume(&after, model, &err), &err);
    assert_true(before.std[0] == 1.0f);
    assert_memory_equal(before.mean, after.mean, sizeof before.mean);
    assert_memory_equal(before.std, after.std, sizeof before.std);
    lbw_model_close(&model);
}

/* ---- nothing grows ---- */

/* One weight for three levels, each with its own BatchNormalization. */
static void test_levels(void **state)
{
    (void)state;
    struct text graph = {0};
    static const int64_t pads[] = {5, 5, 5, 5};
    for (size_t i = 0; i < 3; i++) {
        char in[10], conv[10], out[10], inputs[100], name[20];
        snprintf(in, sizeof in, i ? "n%zu" : "x", i);
        snprintf(conv, sizeof conv, "c%zu", i + 1);
        snprintf(out, sizeof out, i == 2 ? "y" : "n%zu", i + 1);
        struct text attributes = {0};
        attribute_ints(&attributes, "pads", pads, 4);
        snprintf(inputs, sizeof inputs, "%s w", in);
        put_op(&graph, "Conv", inputs, conv, &attributes);
        snprintf(inputs, sizeof inputs, "%s g%zu b%zu m%zu v%zu", conv, i, i, i, i);
        put_op(&graph, "BatchNormalization", inputs, out, NULL);
        for (const char *p = "gbmv"; *p; p++) {
            snprintf(name, sizeof name, "%c%zu", *p, i);
            put_vector(&graph, name, 3, 2, 0.5f);
        }
    }
    put_weight(&graph, "w", 3, 3, 11);
    struct text bytes = finish(&graph, "y", 17);
    uint64_t size = bytes.size;
    struct run r;
    struct text copy = {0};
    put(&copy, bytes.data, bytes.size);
    struct lbw_model *model = open_text(&copy);
    check(lbw_model_prepare(model, NULL, &(struct lbw_error){0}), &(struct lbw_error){0});
    assert_true(lbw_model_size(model) < size + 1000); /* a bias for each */
    lbw_model_close(&model);
    run_all(&r, &bytes, &(struct lbw_plan_params){0});
    assert_int_equal(r.report->num_rows, 1);
    assert_int_equal(r.report->num_calibrated, 1);
    assert_int_equal(r.report->bytes_before, size);
    assert_int_equal(lbw_report_row(r.report, 0)->bytes_before, 4 * 9 * 11 * 11);
    assert_true(r.report->bytes_after < size / 2);
    run_release(&r);
}

/* ---- what others have quantized, and what is not looked at ---- */

static void put_codes(struct text *graph, const char *name, const int64_t *dims,
                      size_t num_dims, size_t num)
{
    struct text tensor = {0};
    signed char *values = malloc(num);
    for (size_t i = 0; i < num; i++)
        values[i] = (signed char)(i * 37 % 255 - 127);
    for (size_t i = 0; i < num_dims; i++)
        put_int(&tensor, 1, (uint64_t)dims[i]);
    put_int(&tensor, 2, TYPE(INT8));
    put_text(&tensor, 8, name);
    put_bytes(&tensor, 9, values, num);
    put_message(graph, 5, &tensor);
    free(values);
}

/* int8 weights with and without zero points, and one that is quantized in the graph. */
static struct text quantized_by_others(void)
{
    struct text graph = {0}, attributes = {0};
    static const int64_t dims[] = {32, 3, 3, 3}, deep[] = {32, 32, 3, 3}, channels = 32;
    put_codes(&graph, "a.q", dims, 4, 32 * 27);
    put_codes(&graph, "b.q", deep, 4, 32 * 32 * 9);
    put_codes(&graph, "zeros", &channels, 1, 32);
    put_vector(&graph, "steps", 32, 0.01f, 0.005f);
    attribute_int(&attributes, "axis", 0);
    put_op(&graph, "DequantizeLinear", "a.q steps zeros", "a.w", &attributes);
    put_op(&graph, "Conv", "x a.w", "a", NULL);
    attribute_int(&attributes, "axis", 0);
    put_op(&graph, "DequantizeLinear", "b.q steps", "b.w", &attributes);
    put_op(&graph, "Conv", "a b.w", "b", NULL);
    put_weight(&graph, "c.f", 32, 32, 3);
    attribute_int(&attributes, "axis", 0);
    put_op(&graph, "QuantizeLinear", "c.f steps zeros", "c.q", &attributes);
    attribute_int(&attributes, "axis", 0);
    put_op(&graph, "DequantizeLinear", "c.q steps zeros", "c.w", &attributes);
    put_op(&graph, "Conv", "b c.w", "c", NULL);
    put_conv(&graph, "c", "y", 32, 32);
    return finish(&graph, "y", 13);
}

static void test_quantized_by_others(void **state)
{
    (void)state;
    struct text bytes = quantized_by_others();
    struct lbw_error err = {0};
    size_t size = bytes.size;
    struct run r;
    all_load(&bytes, &(struct lbw_plan_params){0}, 0);
    for (enum lbw_encoding e = LBW_ENCODING_PACKED; e <= LBW_ENCODING_FLOAT; e++) {
        struct lbw_model *model = NULL;
        size_t num = 99;
        keep_fixture(bytes.data, bytes.size);
        check(lbw_model_open_memory(&model, bytes.data, bytes.size, &err), &err);
        check(lbw_reencode(&num, NULL, NULL, model, &(struct lbw_encode_params){.encoding = e},
                           &err),
              &err);
        assert_int_equal(num, 0);
        assert_int_equal(lbw_model_size(model), size);
        check(lbw_expand(model, &num, &err), &err);
        assert_int_equal(num, 0);
        lbw_model_close(&model);
    }
    run_all(&r, &bytes, &(struct lbw_plan_params){0});
    says(&r, "a", "quantized by another tool: int8 with zero points");
    says(&r, "b", "quantized by another tool: int8");
    says(&r, "c", "quantized by another tool: QuantizeLinear and DequantizeLinear");
    says(&r, "y", "reconstruction");
    assert_int_equal(r.report->num_converted, 1);
    assert_true(r.report->bytes_after < size);
    run_release(&r);
}

static void test_other_operators(void **state)
{
    (void)state;
    struct text graph = {0}, node = {0}, equation = {0}, attribute = {0};
    static const int64_t dims[] = {32, 32};
    put_conv(&graph, "x", "a", 3, 32);
    put_random(&graph, "matrix", TYPE(FLOAT), dims, 2, 0, 1);
    put_text(&attribute, 1, "equation");
    put_text(&attribute, 4, "bchw,cd->bdhw");
    put_int(&attribute, 20, 3);
    put_message(&equation, 5, &attribute);
    put_op(&graph, "Einsum", "a matrix", "e", &equation);
    put_names(&node, "Conv", "e packed", "p");
    put_text(&node, 7, "com.microsoft.nchwc");
    put_message(&graph, 1, &node);
    put_weight(&graph, "packed", 32, 32, 3);
    put_op(&graph, "Add", "p anchors", "y", NULL);
    put_weight(&graph, "anchors", 1, 32, 32);
    struct text bytes = finish(&graph, "y", 13);
    struct lbw_model *model = open_text(&bytes);
    struct lbw_plan *plan = NULL;
    char *text = NULL;
    check(prepare_and_plan(&plan, model, &(struct lbw_plan_params){0}, NULL),
          &(struct lbw_error){0});
    assert_int_equal(lbw_plan_num_others(plan), 2);
    assert_string_equal(lbw_plan_other(plan, 0)->op, "com.microsoft.nchwc:Conv");
    assert_int_equal(lbw_plan_other(plan, 0)->bytes, 4 * 32 * 32 * 9);
    assert_non_null(strstr(lbw_plan_other(plan, 0)->note, "before"));
    assert_string_equal(lbw_plan_other(plan, 1)->op, "Einsum");
    assert_int_equal(lbw_plan_other(plan, 1)->bytes, 4 * 32 * 32);
    assert_null(lbw_plan_other(plan, 2));
    check(lbw_plan_print(&text, plan, false, NULL), &(struct lbw_error){0});
    assert_non_null(strstr(text, "# not looked at: Einsum, 4096 bytes in 1 weight"));
    check(lbw_plan_apply_memory(plan, text, strlen(text), "plan", NULL),
          &(struct lbw_error){0});
    lbw_free(text);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
}

/* What an input makes, what several read, and what is no operator of ours: told apart. */
static void test_reasons(void **state)
{
    (void)state;
    struct text graph = {0}, attributes = {0};
    static const int64_t swap[] = {1, 0, 2, 3};
    put_conv(&graph, "x", "a", 3, 16);
    attribute_ints(&attributes, "perm", swap, 4);
    put_op(&graph, "Transpose", "tied", "t", &attributes);
    put_op(&graph, "Conv", "a t", "b", NULL);
    put_op(&graph, "Mul", "b tied", "b2", NULL);
    put_op(&graph, "Sin", "sine", "s", NULL);
    put_op(&graph, "Conv", "b2 s", "c", NULL);
    put_op(&graph, "GlobalAveragePool", "c", "pool", NULL);
    put_op(&graph, "Add", "pool w", "dynamic", NULL);
    put_op(&graph, "Conv", "c dynamic", "y", NULL);
    put_weight(&graph, "tied", 16, 16, 1);
    put_weight(&graph, "sine", 16, 16, 1);
    put_weight(&graph, "w", 16, 16, 1);
    struct text bytes = finish(&graph, "y", 13);
    struct lbw_model *model = open_text(&bytes);
    struct lbw_plan *plan = NULL;
    static const char *const reasons[] = {"made of constants that 'b2' reads too",
                                          "made of constants by Sin, which is not folded",
                                          "computed at run time from an input"};
    check(prepare_and_plan(&plan, model, &(struct lbw_plan_params){0}, NULL),
          &(struct lbw_error){0});
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(lbw_plan_item(plan, i + 1)->reason, reasons[i]);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
}

/* ---- Gemm and MatMul ---- */

static void put_sizes(struct text *graph, const char *name, const int64_t *sizes, size_t num)
{
    struct text tensor = {0};
    put_int(&tensor, 1, num);
    put_int(&tensor, 2, TYPE(INT64));
    put_text(&tensor, 8, name);
    put_bytes(&tensor, 9, sizes, num * sizeof *sizes);
    put_message(graph, 5, &tensor);
}

static void put_matrix(struct text *graph, const char *name, int64_t batch, int64_t a,
                       int64_t b)
{
    const int64_t dims[] = {batch, a, b};
    put_random(graph, name, TYPE(FLOAT), batch ? dims : dims + 1, batch ? 3 : 2, 0, 1);
}

/* A weight in every place of a product; they hold all there is, so nobody has to ask for it. */
static void test_linear(void **state)
{
    (void)state;
    static const int64_t deep[] = {1, 96, 32}, flat[] = {96, 32}, swap[] = {0, 2, 1};
    struct text graph = {0}, a = {0};
    put_sizes(&graph, "deep", deep, 3);
    put_sizes(&graph, "flat", flat, 2);
    put_op(&graph, "Reshape", "x deep", "r", NULL);
    put_op(&graph, "Reshape", "x flat", "f", NULL);
    put_op(&graph, "MatMul", "r w1", "right", NULL);
    put_op(&graph, "MatMul", "w2 r", "left", NULL);
    put_op(&graph, "MatMul", "r w3", "batch", NULL);
    attribute_int(&a, "transA", 1);
    attribute_int(&a, "transB", 1);
    put_op(&graph, "Gemm", "f w4 b", "across", &a);
    put_op(&graph, "Gemm", "w5 f b32", "first", NULL);
    put_op(&graph, "MatMul", "f v", "vector", NULL);
    put_op(&graph, "Transpose", "w6", "t", NULL);
    put_op(&graph, "MatMul", "f t", "tied", NULL);
    put_op(&graph, "Neg", "w6", "negative", NULL);
    attribute_ints(&a, "perm", swap, 3);
    put_op(&graph, "Transpose", "r", "q", &a);
    put_op(&graph, "MatMul", "r q", "attention", NULL);
    put_op(&graph, "Identity", "left", "y", NULL);
    put_matrix(&graph, "w1", 1, 32, 32);
    put_matrix(&graph, "w2", 0, 16, 96);
    put_matrix(&graph, "w3", 3, 32, 32);
    put_matrix(&graph, "w4", 0, 16, 96);
    put_matrix(&graph, "w5", 0, 32, 96);
    put_matrix(&graph, "w6", 0, 64, 32);
    put_vector(&graph, "b", 16, 0, 1);
    put_vector(&graph, "b32", 32, 0, 1);
    put_vector(&graph, "v", 32, 0, 1);
    struct text bytes = finish(&graph, "y", 13);
    all_load(&bytes, &(struct lbw_plan_params){0}, 0);
    struct run r;
    run_all(&r, &bytes, &(struct lbw_plan_params){0});
    assert_int_equal(r.report->num_rows, 7);
    assert_int_equal(r.report->num_converted, 5);
    assert_int_equal(r.report->num_calibrated, 4);
    static const char *const calibrated[] = {"right", "left", "across", "first"};
    for (size_t i = 0; i < 4; i++) {
        const struct lbw_report_row *row = row_of(&r, calibrated[i]);
        says(&r, calibrated[i], "reconstruction");
        /* fitted to the wrong columns it would be worse than rounded */
        if (!(row->snr > row->snr_projection + 1))
            fail_msg("'%s': %.1f dB, rounded %.1f dB", calibrated[i], row->snr,
                     row->snr_projection);
    }
    assert_int_equal(row_of(&r, "right")->item->axis, 2);
    assert_int_equal(row_of(&r, "left")->item->axis, 0);
    says(&r, "batch", "projection: a batch of matrices");
    says(&r, "vector", "a vector, not a matrix");
    says(&r, "tied", "made of constants that 'negative' reads too");
    run_release(&r);
}

/* ---- values ---- */

static void test_values(void **state)
{
    (void)state;
    static const int64_t dims[] = {16, 3, 3, 3}, none[] = {0, 3, 1, 1};
    static const struct {
        double value;
        const char *reason;
        double largest;
    } cases[] = {{1e300, "holds values beyond float32", 1e300},
                 {NAN, "holds NaN or infinity", INFINITY}};
    for (size_t i = 0; i < 2; i++) {
        struct text graph = {0}, tensor = {0}, empty = {0};
        double values[16 * 27] = {1, -2, cases[i].value};
        for (size_t k = 3; k < 16 * 27; k++)
            values[k] = (double)k / 100;
        put_op(&graph, "Conv", "x w", "y", NULL);
        put_op(&graph, "Conv", "x z", "nothing", NULL);
        for (size_t k = 0; k < 4; k++) {
            put_int(&tensor, 1, (uint64_t)dims[k]);
            put_int(&empty, 1, (uint64_t)none[k]);
        }
        put_int(&tensor, 2, TYPE(DOUBLE));
        put_text(&tensor, 8, "w");
        put_bytes(&tensor, 9, values, sizeof values);
        put_message(&graph, 5, &tensor);
        put_int(&empty, 2, TYPE(FLOAT));
        put_text(&empty, 8, "z");
        put_message(&graph, 5, &empty);
        struct text bytes = finish(&graph, "y", 13);
        struct lbw_model *model = open_text(&bytes);
        struct lbw_plan *plan = NULL;
        check(prepare_and_plan(&plan, model, &(struct lbw_plan_params){0}, NULL),
              &(struct lbw_error){0});
        assert_string_equal(lbw_plan_item(plan, 0)->reason, cases[i].reason);
        assert_true(lbw_plan_item(plan, 0)->max_magnitude == cases[i].largest);
        assert_string_equal(lbw_plan_item(plan, 1)->reason, "holds no values");
        lbw_plan_free(&plan);
        lbw_model_close(&model);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_operator),
        cmocka_unit_test(test_no_rows),
        cmocka_unit_test(test_stem),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_quantized_by_others),
        cmocka_unit_test(test_other_operators),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_imports),
        cmocka_unit_test(test_no_import),
        cmocka_unit_test(test_names),
    };
    if (!has_runtime())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests_name("reported", tests, NULL, NULL);
}
