/* SPDX-License-Identifier: MIT */
/*
 * Native operators: a model of layers between QuantizeLinear and DequantizeLinear gives the
 * same as calls of ai.lbw, with the operator library on every instruction set and without it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../native_layers.h"
#include <lbw/convert.h>

/* Byte tensors a and b side by side, then pooled: `out`. */
static void put_join(struct text *graph, const char *a, const char *b, const char *out)
{
    char inputs[200];
    struct text attributes = {0};
    put_dequantize(graph, a, "_part");
    put_dequantize(graph, b, "_part");
    snprintf(inputs, sizeof inputs, "%s_part %s_part", a, b);
    attribute_int(&attributes, "axis", 1);
    put_op(graph, "Concat", inputs, "side_by_side", &attributes);
    put_scaling(graph, "joined", .055F, 110);
    put_quantize(graph, "side_by_side", "joined", "joined");
    put_dequantize(graph, "joined", "_real");
    attribute_ints(&attributes, "kernel_shape", (const int64_t[]){3, 3}, 2);
    attribute_ints(&attributes, "strides", (const int64_t[]){2, 2}, 2);
    attribute_ints(&attributes, "pads", (const int64_t[]){1, 1, 1, 1}, 4);
    put_op(graph, "MaxPool", "joined_real", "pooled", &attributes);
    put_scaling(graph, "most", .055F, 110);
    put_quantize(graph, "pooled", "most", "most");
    put_dequantize(graph, "most", "_real");
    attribute_ints(&attributes, "kernel_shape", (const int64_t[]){3, 2}, 2);
    attribute_ints(&attributes, "pads", (const int64_t[]){1, 0, 1, 1}, 4);
    attribute_int(&attributes, "count_include_pad", 1);
    put_op(graph, "AveragePool", "most_real", "mean", &attributes);
    put_scaling(graph, out, .05F, 100);
    put_quantize(graph, "mean", out, out);
}

/* Every operator: quarters, 9 convolutions, a concatenation, two poolings. */
static struct text make_model(void)
{
    const struct layer layers[] = {
        {"q", "a", "Clip", 16, CHANNELS, 1, 3, 1, .02F, false},
        {"a", "b", "Silu", 16, 16, 16, 3, 1, SCALE, false},
        {"b", "c", "Relu", 24, 16, 1, 1, 1, SCALE, false},
        {"c", "d", "LeakyRelu", 12, 24, 4, 3, 1, SCALE, false},
        {"d", "e", "HardSilu", 12, 12, 1, 5, 1, SCALE, true},
        {"e", "f", "HardSigmoid", 16, 12, 1, 1, 1, SCALE, false},
    };
    const struct layer last[] = {
        {"p", "g", "HardSwish", 20, 28, 1, 3, 2, .05F, false},
        {"g", "h", "Sigmoid", 7, 20, 1, 1, 1, SCALE, false},
        {"h", "out", NULL, 5, 7, 1, 1, 1, SCALE, false},
    };
    struct text graph = {0};
    put_quarters(&graph, large[0]);
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        put_layer(&graph, &layers[i]);
    put_join(&graph, "f", "d", "p");
    for (size_t i = 0; i < sizeof last / sizeof *last; i++)
        put_layer(&graph, &last[i]);
    put_dequantize(&graph, "out", "_y");
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), (const int64_t[]){-1, CHANNELS / 4, -1, -1},
                   4);
    put_typed_port(&graph, 12, "out_y", TYPE(FLOAT), NULL, 0);
    return finish_model(&graph, 8, 14);
}

static struct lbw_model *nativize(const struct text *bytes)
{
    struct lbw_native_count count;
    struct lbw_model *model = open_native(&count, bytes);
    assert_int_equal(count.num_convs, 9);
    assert_int_equal(count.num_others, 4);
    for (size_t i = 0; i < model->proto->graph->n_node; i++) {
        const char *op = model->proto->graph->node[i]->op_type;
        assert_true(*op == 'Q' || strcmp(op, "DequantizeLinear") == 0);
    }
    return model;
}

/* Layers with scales per channel: of what they read, of what they write, and between. */
static struct text make_channels(void)
{
    const struct layer layers[] = {
        {"a", "b", "Silu", 8, 8, 8, 3, 1, SCALE, false, true, true, false},
        {"b", "c", "Relu", 24, 8, 1, 1, 1, SCALE, false, false, false, true},
        {"c", "d", NULL, 24, 24, 24, 5, 2, SCALE, true, true, false, false},
        {"d", "e", "HardSilu", 12, 24, 1, 3, 1, SCALE, true, false, true, true},
        {"e", "f", "LeakyRelu", 12, 12, 12, 3, 1, SCALE, false, true, false, false},
        {"f", "g", "HardSigmoid", 16, 12, 1, 1, 1, SCALE, false, false, true, false},
        {"g", "h", "Clip", 16, 16, 1, 1, 1, SCALE, false, false, false, true},
        {"h", "i", "HardSwish", 16, 16, 16, 3, 1, SCALE, false, true, true, false},
        {"i", "out", "Sigmoid", 16, 16, 1, 1, 1, SCALE, false, false, true, false},
    };
    const struct layer first = {
        .to = "a", .activation = "Silu", .outputs = 8, .c_differs = true, .y_differs = true};
    const float one = 1, low = -1.5F, high = 2;
    struct text graph = {0};
    put_tensor(&graph, "one", TYPE(FLOAT), NULL, 0, &one, 4);
    put_tensor(&graph, "low", TYPE(FLOAT), NULL, 0, &low, 4);
    put_tensor(&graph, "high", TYPE(FLOAT), NULL, 0, &high, 4);
    put_float_conv(&graph, "x", "a", 1);
    put_activation(&graph, &first);
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        put_layer(&graph, &layers[i]);
    put_dequantize(&graph, "out", "_y");
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), wide, 4);
    put_typed_port(&graph, 12, "out_y", TYPE(FLOAT), NULL, 0);
    return finish_model(&graph, 8, 14);
}

static void all_give_the_same(void **unused)
{
    (void)unused;
    struct text bytes = make_model();
    struct lbw_model *model = nativize(&bytes);
    compare_all(&bytes, model, 1);
    free(bytes.data);
    lbw_model_close(&model);
}

static void scales_per_channel_give_the_same(void **unused)
{
    (void)unused;
    static const char *const ops[] = {
        "FCConvSilu",      "QCConvSilu",      "QCConvRelu",        "QCConv",
        "QCConvHardSilu",  "QCConvLeakyRelu", "QCConvHardSigmoid", "QCConvClip",
        "QCConvHardSwish", "QCConvSigmoid"};
    struct lbw_error err = {0};
    struct text bytes = make_channels();
    struct lbw_native_count count;
    size_t num = 0;
    char digest[LBW_DIGEST_SIZE];
    struct lbw_model *model = open_native(&count, &bytes);
    assert_int_equal(count.num_convs, sizeof ops / sizeof *ops);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!calls(model, ops[i]))
            fail_msg("%s is not called", ops[i]);
    image = wide;
    compare_all(&bytes, model, 2);
    check(lbw_digest(digest, model, &err), &err); /* opens the functions */
    const struct lbw_encode_params params = {.encoding = LBW_ENCODING_NATIVE};
    check(lbw_reencode(&num, NULL, NULL, model, &params, &err), &err);
    assert_true(num > 0);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!calls(model, ops[i]))
            fail_msg("%s is not called again", ops[i]);
    compare_all(&bytes, model, 2);
    image = large;
    lbw_model_close(&model);
    free(bytes.data);
}

/* ---- sums ---- */

/* Bytes a and b added up, perhaps behind a Relu, to bytes TO. */
static void put_sum(struct text *graph, const char *a, const char *b, const char *to,
                    bool has_relu)
{
    char inputs[200];
    const char *sum = name_of(to, "_sum"), *above = name_of(to, "_above");
    put_dequantize(graph, a, name_of("_in_", to));
    put_dequantize(graph, b, name_of("_in_", to));
    snprintf(inputs, sizeof inputs, "%s_in_%s %s_in_%s", a, to, b, to);
    put_op(graph, "Add", inputs, sum, NULL);
    if (has_relu)
        put_op(graph, "Relu", sum, above, NULL);
    put_scaling(graph, to, SCALE, has_relu ? 90 : 120);
    put_quantize(graph, has_relu ? above : sum, to, to);
}

/* Every activation in front of a sum; one of two layers, and one with bytes for each channel.
 */
static struct text make_sums(void)
{
    static const char *const activations[] = {NULL,        "Relu",    "Clip",
                                              "LeakyRelu", "Sigmoid", "HardSigmoid",
                                              "HardSwish", "Silu",    "HardSilu"};
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    const struct layer first = {"q", "s", NULL, 16, CHANNELS, 1, 3, 1, .02F, false};
    const struct layer left = {"si", "t", NULL, 16, 16, 1, 1, 1, SCALE, false};
    const struct layer right = {"si", "u", NULL, 16, 16, 16, 3, 1, SCALE, false};
    const struct layer last = {"v", "w", "Relu", 16, 16, 1, 3, 2, SCALE, false};
    const int64_t dims[] = {16, 1, 1};
    uint8_t each[16];
    char from[8] = "s", result[8];
    struct text graph = {0};
    put_quarters(&graph, large[0]);
    put_layer(&graph, &first);
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        const struct layer layer = {from,          names[i], activations[i], 16,   16, 1,
                                    i % 3 ? 1 : 3, 1,        SCALE,          false};
        put_layer(&graph, &layer);
        snprintf(result, sizeof result, "s%s", names[i]);
        put_sum(&graph, i % 2 ? from : names[i], i % 2 ? names[i] : from, result, i % 4 > 1);
        strcpy(from, result);
    }
    put_layer(&graph, &left);
    put_layer(&graph, &right);
    put_sum(&graph, "t", "u", "v", false);
    put_layer(&graph, &last);
    for (size_t i = 0; i < sizeof each; i++)
        each[i] = (uint8_t)(100 + 3 * i);
    put_tensor(&graph, "k", TYPE(UINT8), dims, 3, each, sizeof each);
    put_scaling(&graph, "k", SCALE, 120);
    put_sum(&graph, "w", "k", "out", false);
    put_dequantize(&graph, "out", "_y");
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), (const int64_t[]){-1, CHANNELS / 4, -1, -1},
                   4);
    put_typed_port(&graph, 12, "out_y", TYPE(FLOAT), NULL, 0);
    return finish_model(&graph, 8, 14);
}

static size_t num_calls(const struct lbw_model *model, const char *part)
{
    size_t num = 0;
    for (size_t i = 0; i < model->proto->graph->n_node; i++)
        num += strstr(model->proto->graph->node[i]->op_type, part) != NULL;
    return num;
}

static void sums_belong_to_convolutions(void **unused)
{
    (void)unused;
    struct lbw_error err = {0};
    struct text bytes = make_sums();
    struct lbw_native_count count;
    char digest[LBW_DIGEST_SIZE];
    size_t num = 0;
    const struct lbw_encode_params params = {.encoding = LBW_ENCODING_NATIVE};
    struct lbw_model *model = open_native(&count, &bytes);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(num_calls(model, "QConv"), 13);
        assert_int_equal(num_calls(model, "Add"), 11);
        assert_int_equal(num_calls(model, "AddRelu"), 4);
        assert_true(calls(model, "QConvHardSiluAdd") && calls(model, "QConvSiluAddRelu"));
        compare_all(&bytes, model, 2); /* ten sums add up differences */
        if (i)
            break;
        check(lbw_digest(digest, model, &err), &err); /* opens the functions */
        assert_int_equal(num_calls(model, "QConv"), 0);
        check(lbw_reencode(&num, NULL, NULL, model, &params, &err), &err);
    }
    assert_int_equal(count.num_convs, 13);
    lbw_model_close(&model);
    free(bytes.data);
}

static void float_models_are_refused(void **unused)
{
    (void)unused;
    struct text graph = {0}, bytes;
    struct lbw_error err = {0};
    struct lbw_model *model = NULL;
    const struct lbw_encode_params params = {.encoding = LBW_ENCODING_NATIVE};
    put_op(&graph, "Conv", "x w", "y", NULL);
    put_weight(&graph, "w", 8, 8, 3);
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), whole, 4);
    put_port(&graph, 12, "y");
    bytes = finish_model(&graph, 8, 14);
    check(lbw_model_open_memory(&model, bytes.data, bytes.size, &err), &err);
    assert_int_equal(lbw_reencode(NULL, NULL, NULL, model, &params, &err), LBW_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "8-bit activations"));
    lbw_model_close(&model);
    free(bytes.data);
}

/* Inlining the functions gives a model that nativizes to the same again. */
static void converts_back_and_forth(void **unused)
{
    (void)unused;
    struct lbw_error err = {0};
    struct text bytes = make_model();
    struct lbw_model *model = nativize(&bytes);
    char digest[LBW_DIGEST_SIZE];
    size_t num = 0;
    check(lbw_digest(digest, model, &err), &err); /* opens the functions */
    assert_int_equal(model->proto->n_functions, 0);
    const struct lbw_encode_params params = {.encoding = LBW_ENCODING_NATIVE};
    check(lbw_reencode(&num, NULL, NULL, model, &params, &err), &err);
    assert_int_equal(num, 9);
    assert_true(model->proto->n_functions > 0 && calls(model, "QFocus"));
    lbw_model_close(&model);
    free(bytes.data);
}

/* One call of QConv with something wrong in it; the runtime's message must say what. */
static void refuse(const char *what, float x_scale, float w_scale, int64_t channels,
                   int64_t stride, size_t num_pads)
{
    struct text graph = {0}, attributes = {0};
    const int64_t dims[] = {4, channels, 3, 3}, pads[] = {1, 1, 1, 1, 1, 1};
    int8_t weights[4 * 16 * 9] = {0};
    int32_t bias[4] = {0};
    put_scaling(&graph, "q", .02F, 100);
    put_quantize(&graph, "x", "q", "q");
    put_tensor(&graph, "x_scale", TYPE(FLOAT), NULL, 0, &x_scale, 4);
    put_tensor(&graph, "w", TYPE(INT8), dims, 4, weights, 4 * (size_t)channels * 9);
    put_tensor(&graph, "w_scale", TYPE(FLOAT), NULL, 0, &w_scale, 4);
    put_tensor(&graph, "b", TYPE(INT32), dims, 1, bias, sizeof bias);
    put_scaling(&graph, "y", .02F, 100);
    attribute_ints(&attributes, "strides", (const int64_t[]){stride, stride}, 2);
    attribute_ints(&attributes, "pads", pads, num_pads);
    put_call(&graph, "QConv", "q x_scale q_zero w w_scale b y_scale y_zero", "y", &attributes);
    put_dequantize(&graph, "y", "_real");
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), whole, 4);
    put_typed_port(&graph, 12, "y_real", TYPE(FLOAT), NULL, 0);
    struct text model = finish_calls(&graph);
    struct lbw_session *session = NULL;
    struct lbw_error err = {0};
    struct lbw_array x, y;
    const struct lbw_session_params params = {.optimize = 99, .native = 1, .num_threads = 1};
    enum lbw_status status = lbw_session_open(&session, model.data, model.size, &params, &err);
    if (status == LBW_OK) {
        check(lbw_array_init(&x, TYPE(FLOAT), whole, 4, &err), &err);
        status = lbw_session_run(session, &x, &y, &err);
        lbw_array_release(&x);
        if (status == LBW_OK)
            lbw_array_release(&y);
    }
    lbw_session_close(&session);
    check_refusal(what, status, &err);
    free(model.data);
}

static void wrong_calls_are_refused(void **unused)
{
    (void)unused;
    refuse(NULL, .02F, .01F, CHANNELS, 1, 4);
    refuse("x_scale is 0", 0, .01F, CHANNELS, 1, 4);
    refuse("x_scale is -1", -1, .01F, CHANNELS, 1, 4);
    refuse("scale of output channel 0", .02F, INFINITY, CHANNELS, 1, 4);
    refuse("8 channels, expected 4 and 7", .02F, .01F, 7, 1, 4);
    refuse("out of range", .02F, .01F, CHANNELS, 0, 4);
    refuse("'pads' has 3 numbers", .02F, .01F, CHANNELS, 1, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_give_the_same),
        cmocka_unit_test(scales_per_channel_give_the_same),
        cmocka_unit_test(converts_back_and_forth),
        cmocka_unit_test(sums_belong_to_convolutions),
        cmocka_unit_test(float_models_are_refused),
        cmocka_unit_test(wrong_calls_are_refused),
    };
    int missing = miss_kernels();
    return missing ? missing : cmocka_run_group_tests(tests, NULL, NULL);
}
