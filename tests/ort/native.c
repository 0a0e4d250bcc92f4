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

#include "../check.h"
#include "../graph.h"
#include "../native.h"
#include "../runtime.h"
#include <lbw/convert.h>
#include <lbw/runtime.h>

#include "feed/array.h"
#include "kernels/isa.h"
#include "pass/native.h"
#include "run/session.h"

#define CHANNELS 8
#define SCALE    .05F /* of the last output */

static const int64_t large[] = {2, CHANNELS / 4, 40, 44};
static const int64_t *image = large; /* that run() makes up */
static const int64_t whole[] = {2, CHANNELS, 20, 22};

/* ---- scales per channel: factors around QuantizeLinear and DequantizeLinear ---- */

static float share_of(int64_t channel)
{
    return .3F + .1F * (float)(channel % 8);
}

/* NAME_scale, one for each of `num` channels, and NAME_zero. */
static void put_scalings(struct text *graph, const char *name, float scale, uint8_t zero,
                         int64_t num)
{
    const int64_t dims[] = {num, 1, 1};
    float scales[64];
    for (int64_t m = 0; m < num; m++)
        scales[m] = scale * share_of(m);
    put_tensor(graph, name_of(name, "_scale"), TYPE(FLOAT), dims, 3, scales, 4 * (size_t)num);
    put_tensor(graph, name_of(name, "_zero"), TYPE(UINT8), NULL, 0, &zero, 1);
}

static void put_quantize_each(struct text *graph, const char *from, const char *to)
{
    char inputs[200];
    snprintf(inputs, sizeof inputs, "%s %s_scale", from, to);
    put_op(graph, "Div", inputs, name_of(to, "_steps"), NULL);
    snprintf(inputs, sizeof inputs, "%s_steps one %s_zero", to, to);
    put_op(graph, "QuantizeLinear", inputs, to, NULL);
}

static void put_dequantize_each(struct text *graph, const char *name, const char *suffix)
{
    char inputs[200];
    snprintf(inputs, sizeof inputs, "%s one %s_zero", name, name);
    put_op(graph, "DequantizeLinear", inputs, name_of(name, "_codes"), NULL);
    snprintf(inputs, sizeof inputs, "%s_codes %s_scale", name, name);
    put_op(graph, "Mul", inputs, name_of(name, suffix), NULL);
}

/* One convolution with what follows it; bytes `from` become bytes `to`. */
struct layer {
    const char *from, *to;
    const char *activation; /* NULL: none; "Silu", "HardSilu": with a gate */
    int64_t outputs, inputs, groups, kernel, stride;
    float from_scale;
    bool has_no_bias;
    bool x_differs, c_differs, y_differs; /* has scales per channel */
};

/* Weights of up to 40, a scale per channel, and a bias in the scale of the sums. */
static void put_weights(struct text *graph, const struct layer *l)
{
    const int64_t dims[] = {l->outputs, l->inputs / l->groups, l->kernel, l->kernel};
    size_t count = dims_count(dims, 4);
    struct lbw_random random = {count};
    int8_t *codes = calloc(count, 1);
    float scales[64], bias_scales[64];
    int32_t bias[64];
    assert_non_null(codes);
    for (size_t i = 0; i < count; i++)
        codes[i] = (int8_t)((int)lbw_random_below(&random, 81) - 40);
    for (int64_t m = 0; m < l->outputs; m++) {
        float fan = sqrtf((float)(dims[1] * l->kernel * l->kernel));
        scales[m] = .05F / fan * (1 + .1F * (float)m);
        bias_scales[m] = l->from_scale * (l->x_differs ? share_of(m) : 1) * scales[m];
        bias[m] = (int32_t)lbw_random_below(&random, 2000) - 1000;
    }
    put_tensor(graph, name_of(l->to, "_w"), TYPE(INT8), dims, 4, codes, count);
    put_tensor(graph, name_of(l->to, "_w_scale"), TYPE(FLOAT), dims, 1, scales,
               4 * (size_t)l->outputs);
    put_tensor(graph, name_of(l->to, "_b"), TYPE(INT32), dims, 1, bias, 4 * (size_t)l->outputs);
    put_tensor(graph, name_of(l->to, "_b_scale"), TYPE(FLOAT), dims, 1, bias_scales,
               4 * (size_t)l->outputs);
    memset(bias, 0, sizeof bias);
    put_tensor(graph, name_of(l->to, "_b_zero"), TYPE(INT32), dims, 1, bias,
               4 * (size_t)l->outputs); /* which other quantizers write, and some read */
    free(codes);
}

static void put_weight_nodes(struct text *graph, const struct layer *l)
{
    char inputs[200];
    struct text axis = {0};
    attribute_int(&axis, "axis", 0);
    snprintf(inputs, sizeof inputs, "%s_w %s_w_scale", l->to, l->to);
    put_op(graph, "DequantizeLinear", inputs, name_of(l->to, "_w_real"), &axis);
    if (l->has_no_bias)
        return;
    attribute_int(&axis, "axis", 0);
    snprintf(inputs, sizeof inputs, "%s_b %s_b_scale%s%s", l->to, l->to,
             l->groups == 1 ? " " : "", l->groups == 1 ? l->to : "");
    if (l->groups == 1)
        strcat(inputs, "_b_zero");
    put_op(graph, "DequantizeLinear", inputs, name_of(l->to, "_b_real"), &axis);
}

/* To bytes TO. */
static void put_result(struct text *graph, const struct layer *l, const char *result)
{
    if (l->y_differs) {
        put_scalings(graph, l->to, SCALE, 120, l->outputs);
        put_quantize_each(graph, result, l->to);
        return;
    }
    put_scaling(graph, l->to, SCALE, 120);
    put_quantize(graph, result, l->to, l->to);
}

/* From the result of the convolution, TO_conv, to bytes TO. */
static void put_activation(struct text *graph, const struct layer *l)
{
    const char *conv = name_of(l->to, "_conv"), *c = name_of(l->to, "_c");
    const char *real = name_of(l->to, "_c_real"), *gate = name_of(l->to, "_g");
    const char *result = name_of(l->to, "_result"), *exact = name_of(l->to, "_exact");
    char inputs[200];
    bool is_silu = l->activation && strstr(l->activation, "Silu");
    bool is_bound = l->activation &&
                    (strcmp(l->activation, "Relu") == 0 || strcmp(l->activation, "Clip") == 0);
    if (!l->activation || is_bound) {
        snprintf(inputs, sizeof inputs, "%s%s", conv,
                 is_bound && *l->activation == 'C' ? " low high" : "");
        if (l->activation)
            put_op(graph, l->activation, inputs, result, NULL);
        put_result(graph, l, l->activation ? result : conv);
        return;
    }
    if (l->c_differs) {
        put_scalings(graph, c, .06F, 121, l->outputs);
        put_quantize_each(graph, conv, c);
        put_dequantize_each(graph, c, "_real");
    } else {
        put_scaling(graph, c, .06F, 121);
        put_quantize(graph, conv, c, c);
        put_dequantize(graph, c, "_real");
    }
    put_op(graph,
           !is_silu                ? l->activation
           : *l->activation == 'H' ? "HardSigmoid"
                                   : "Sigmoid",
           real, is_silu ? exact : result, NULL);
    if (is_silu) {
        put_scaling(graph, gate, 1.F / 255, 0);
        put_quantize(graph, exact, gate, gate);
        put_dequantize(graph, gate, "_real");
        snprintf(inputs, sizeof inputs, "%s %s_real", real, gate);
        put_op(graph, "Mul", inputs, result, NULL);
    }
    put_result(graph, l, result);
}

static void put_layer(struct text *graph, const struct layer *l)
{
    char inputs[200];
    int64_t pad = l->kernel / 2;
    struct text attributes = {0};
    put_weights(graph, l);
    if (l->x_differs)
        put_dequantize_each(graph, l->from, name_of("_for_", l->to));
    else
        put_dequantize(graph, l->from, name_of("_for_", l->to));
    put_weight_nodes(graph, l);
    snprintf(inputs, sizeof inputs, "%s_for_%s %s_w_real%s%s%s", l->from, l->to, l->to,
             l->has_no_bias ? "" : " ", l->has_no_bias ? "" : l->to,
             l->has_no_bias ? "" : "_b_real");
    attribute_ints(&attributes, "kernel_shape", (const int64_t[]){l->kernel, l->kernel}, 2);
    attribute_ints(&attributes, "strides", (const int64_t[]){l->stride, l->stride}, 2);
    attribute_ints(&attributes, "pads", (const int64_t[]){pad, pad, pad, pad}, 4);
    attribute_int(&attributes, "group", l->groups);
    put_op(graph, "Conv", inputs, name_of(l->to, "_conv"), &attributes);
    put_activation(graph, l);
}

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

static void put_int64(struct text *graph, const char *name, int64_t value)
{
    const int64_t one = 1;
    put_tensor(graph, name, TYPE(INT64), &one, 1, &value, 8);
}

/* Every other row and column of x, from all four of them on, as channels: `q`. */
static void put_quarters(struct text *graph, int64_t batch)
{
    static const char *const from[4] = {"n0 n0", "n1 n0", "n0 n1", "n1 n1"};
    const int64_t parts[] = {batch, CHANNELS / 4, 20, 22};
    struct text axis = {0};
    char inputs[200];
    put_int64(graph, "n0", 0);
    put_int64(graph, "n1", 1);
    put_int64(graph, "n2", 2);
    put_int64(graph, "n3", 3);
    put_int64(graph, "end", INT64_MAX);
    put_scaling(graph, "q", .02F, 100);
    for (int i = 0; i < 4; i++) {
        char half[8], quarter[8];
        snprintf(half, sizeof half, "half%d", i);
        snprintf(quarter, sizeof quarter, "part%d", i);
        snprintf(inputs, sizeof inputs, "x %.2s end n2 n2", from[i]);
        put_op(graph, "Slice", inputs, half, NULL);
        snprintf(inputs, sizeof inputs, "%s %.2s end n3 n2", half, from[i] + 3);
        put_op(graph, "Slice", inputs, quarter, NULL);
        put_quantize(graph, quarter, "q", name_of(quarter, "_bytes"));
        snprintf(inputs, sizeof inputs, "%s_bytes q_scale q_zero", quarter);
        put_op(graph, "DequantizeLinear", inputs, name_of(quarter, "_real"), NULL);
        put_typed_port(graph, 13, name_of(quarter, "_real"), TYPE(FLOAT), parts, 4);
    }
    attribute_int(&axis, "axis", 1);
    put_op(graph, "Concat", "part0_real part1_real part2_real part3_real", "quarters", &axis);
    const float low = -1.5F, high = 2; /* of the first convolution's Clip */
    put_tensor(graph, "low", TYPE(FLOAT), NULL, 0, &low, 4);
    put_tensor(graph, "high", TYPE(FLOAT), NULL, 0, &high, 4);
    put_quantize(graph, "quarters", "q", "q");
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

static struct lbw_array run(const void *bytes, size_t size, bool is_native)
{
    struct lbw_error err = {0};
    struct lbw_session *session = NULL;
    struct lbw_array x, y;
    const struct lbw_session_params params = {
        .optimize = 99, .native = is_native, .num_threads = 2};
    check(lbw_session_open(&session, bytes, size, &params, &err), &err);
    check(lbw_array_init(&x, TYPE(FLOAT), image, 4, &err), &err);
    float *values = draw_values("picture", x.size / 4, 0, 2.5F);
    memcpy(x.data, values, x.size);
    free(values);
    check(lbw_session_run(session, &x, &y, &err), &err);
    lbw_array_release(&x);
    lbw_session_close(&session);
    assert_int_equal(y.data_type, TYPE(FLOAT));
    return y;
}

/* The most that they are apart, in steps of the output's scale. */
static double steps_apart(const struct lbw_array *a, const struct lbw_array *b)
{
    const float *x = a->data, *y = b->data;
    double most = 0;
    assert_int_equal(a->size, b->size);
    for (size_t i = 0; i < a->size / 4; i++)
        most = fmax(most, fabs((double)x[i] - (double)y[i]) / (double)SCALE);
    return most;
}

static struct lbw_model *nativize(const struct text *bytes)
{
    struct lbw_model *model = NULL;
    struct lbw_error err = {0};
    struct lbw_native_count count = {0};
    check(lbw_model_open_memory(&model, bytes->data, bytes->size, &err), &err);
    check(lbw_nativize(&count, model, &err), &err);
    assert_int_equal(count.num_convs, 9);
    assert_int_equal(count.num_others, 4);
    for (size_t i = 0; i < model->proto->graph->n_node; i++) {
        const char *op = model->proto->graph->node[i]->op_type;
        assert_true(*op == 'Q' || strcmp(op, "DequantizeLinear") == 0);
    }
    return model;
}

/* ---- layers beside floats, shuffled channels, softmax ---- */

static const int64_t small[] = {1, 8, 6, 10};
static const int64_t wide[] = {1, 8, 30, 41};

/* A convolution of floats or bytes with float weights, of which each row has one step. */
static void put_float_conv(struct text *graph, const char *from, const char *to, int64_t stride)
{
    const int64_t dims[] = {8, 1, 3, 3};
    float w[72], bias[8];
    char inputs[200];
    struct lbw_random random = {3};
    struct text attributes = {0};
    for (int i = 0; i < 72; i++)
        w[i] = .01F * (float)(1 + i / 9) * (float)((int)lbw_random_below(&random, 17) - 8);
    for (int i = 0; i < 8; i++)
        bias[i] = .1F * (float)i - .3F;
    put_tensor(graph, name_of(to, "_f"), TYPE(FLOAT), dims, 4, w, sizeof w);
    put_tensor(graph, name_of(to, "_bias"), TYPE(FLOAT), dims, 1, bias, sizeof bias);
    attribute_ints(&attributes, "kernel_shape", (const int64_t[]){3, 3}, 2);
    attribute_ints(&attributes, "strides", (const int64_t[]){stride, stride}, 2);
    attribute_ints(&attributes, "pads", (const int64_t[]){1, 1, 1, 1}, 4);
    attribute_int(&attributes, "group", 8);
    snprintf(inputs, sizeof inputs, "%s %s_f %s_bias", from, to, to);
    put_op(graph, "Conv", inputs, name_of(to, "_conv"), &attributes);
}

/* Bytes a and b shuffled by Reshape and Transpose, and every other channel of that: `s`. */
static void put_shuffle(struct text *graph)
{
    static const int64_t together[] = {2, 1, 8, 6, 10}, three = 3, five = 5;
    const int64_t second = 1;
    struct text attributes = {0};
    put_dequantize(graph, "a", "_part");
    put_dequantize(graph, "b", "_part");
    put_typed_port(graph, 13, "a_part", TYPE(FLOAT), small, 4);
    put_typed_port(graph, 13, "b_part", TYPE(FLOAT), small, 4);
    attribute_int(&attributes, "axis", 1);
    put_op(graph, "Concat", "a_part b_part", "both", &attributes);
    put_tensor(graph, "apart", TYPE(INT64), &three, 1, (const int64_t[]){8, 2, 60}, 24);
    put_tensor(graph, "together", TYPE(INT64), &five, 1, together, sizeof together);
    put_tensor(graph, "second", TYPE(INT64), NULL, 0, &second, 8);
    put_op(graph, "Reshape", "both apart", "pairs", NULL);
    attribute_ints(&attributes, "perm", (const int64_t[]){1, 0, 2}, 3);
    put_op(graph, "Transpose", "pairs", "turned", &attributes);
    put_op(graph, "Reshape", "turned together", "halves", NULL);
    attribute_int(&attributes, "axis", 0);
    put_op(graph, "Gather", "halves second", "half", &attributes);
    put_scaling(graph, "s", .05F, 128);
    put_quantize(graph, "half", "s", "s");
}

/* t_w, 1x1, with t_w_scale and t_bias. */
static void put_integer_weight(struct text *graph)
{
    const int64_t dims[] = {8, 8, 1, 1};
    int8_t codes[64];
    float scales[8], bias[8] = {.1F, .2F, -.3F};
    for (int i = 0; i < 64; i++)
        codes[i] = (int8_t)(i * 7 % 17 - 8);
    for (int i = 0; i < 8; i++)
        scales[i] = .02F + .001F * (float)i;
    put_tensor(graph, "t_w", TYPE(INT8), dims, 4, codes, sizeof codes);
    put_tensor(graph, "t_w_scale", TYPE(FLOAT), dims, 1, scales, sizeof scales);
    put_tensor(graph, "t_bias", TYPE(FLOAT), dims, 1, bias, sizeof bias);
}

static struct text make_mixed(void)
{
    const struct layer bytes = {"a", "b", "Silu", 8, 8, 1, 1, 1, SCALE, false};
    struct text graph = {0}, axis = {0};
    put_float_conv(&graph, "x", "a", 1); /* float to bytes */
    put_op(&graph, "Relu", "a_conv", "a_exact", NULL);
    put_scaling(&graph, "a", SCALE, 0);
    put_quantize(&graph, "a_exact", "a", "a");
    put_layer(&graph, &bytes);
    put_shuffle(&graph);
    put_dequantize(&graph, "s", "_real");
    put_integer_weight(&graph);
    attribute_int(&axis, "axis", 0);
    put_op(&graph, "DequantizeLinear", "t_w t_w_scale", "t_real", &axis);
    put_op(&graph, "Conv", "s_real t_real t_bias", "t", NULL);
    put_op(&graph, "Sigmoid", "t", "t_gate", NULL);
    put_scaling(&graph, "g", 1.F / 256, 0);
    put_quantize(&graph, "t_gate", "g", "g");
    put_dequantize(&graph, "g", "_real");
    put_op(&graph, "Mul", "t g_real", "u", NULL);
    put_typed_port(&graph, 13, "u", TYPE(FLOAT), small, 4);
    attribute_int(&axis, "axis", 1);
    put_op(&graph, "Softmax", "u", "y", &axis);
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), small, 4);
    put_typed_port(&graph, 12, "y", TYPE(FLOAT), NULL, 0);
    return finish_model(&graph, 8, 14);
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

static bool calls(const struct lbw_model *model, const char *op)
{
    for (size_t i = 0; i < model->proto->graph->n_node; i++)
        if (strcmp(model->proto->graph->node[i]->op_type, op) == 0)
            return true;
    return false;
}

static void layers_beside_floats_give_the_same(void **unused)
{
    (void)unused;
    static const char *const ops[] = {"FConvRelu", "QConvSilu", "QChannels2", "QConvSiluF",
                                      "FSoftmax"};
    struct lbw_error err = {0};
    struct text bytes = make_mixed();
    struct lbw_model *model = NULL;
    struct lbw_native_count count = {0};
    size_t size = 0;
    void *data = NULL;
    check(lbw_model_open_memory(&model, bytes.data, bytes.size, &err), &err);
    check(lbw_nativize(&count, model, &err), &err);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!calls(model, ops[i]))
            fail_msg("no call of %s", ops[i]);
    check(lbw_model_save_memory(model, &data, &size, &err), &err);
    image = small;
    struct lbw_array qdq = run(bytes.data, bytes.size, false);
    struct lbw_array functions = run(data, size, false), native = run(data, size, true);
    assert_true(steps_apart(&qdq, &functions) < 1e-5);
    assert_true(steps_apart(&qdq, &native) < .2);
    image = large;
    lbw_array_release(&qdq);
    lbw_array_release(&functions);
    lbw_array_release(&native);
    lbw_free(data);
    free(bytes.data);
    lbw_model_close(&model);
}

/*
 * A pyramid: a, what is half its size made twice as large, and an average over zeros that a Pad
 * adds, come together and are quantized; a convolution reads them.
 */
static struct text make_pyramid(void)
{
    const struct layer half = {"a", "b", "Silu", 8, 8, 1, 3, 2, SCALE, false};
    const struct layer last = {"s", "out", "Relu", 8, 24, 1, 1, 1, SCALE, false};
    static const int64_t halves[] = {1, 8, 3, 5}, none = 0, four = 4, eight = 8;
    static const int64_t around[] = {0, 0, 1, 1, 0, 0, 1, 1};
    static const float twice[] = {1, 1, 2, 2};
    struct text graph = {0}, attributes = {0};
    put_float_conv(&graph, "x", "a", 1);
    put_op(&graph, "Relu", "a_conv", "a_exact", NULL);
    put_scaling(&graph, "a", SCALE, 0);
    put_quantize(&graph, "a_exact", "a", "a");
    put_layer(&graph, &half);
    put_dequantize(&graph, "a", "_part");
    put_dequantize(&graph, "b", "_part");
    put_typed_port(&graph, 13, "a_part", TYPE(FLOAT), small, 4);
    put_typed_port(&graph, 13, "b_part", TYPE(FLOAT), halves, 4);
    put_tensor(&graph, "roi", TYPE(FLOAT), &none, 1, twice, 0);
    put_tensor(&graph, "twice", TYPE(FLOAT), &four, 1, twice, sizeof twice);
    put_op(&graph, "Resize", "b_part roi twice", "large", NULL);
    put_tensor(&graph, "around", TYPE(INT64), &eight, 1, around, sizeof around);
    put_op(&graph, "Pad", "a_part around", "padded", NULL);
    attribute_ints(&attributes, "kernel_shape", (const int64_t[]){3, 3}, 2);
    put_op(&graph, "AveragePool", "padded", "pooled", &attributes);
    attribute_int(&attributes, "axis", 1);
    put_op(&graph, "Concat", "large a_part pooled", "all", &attributes);
    put_scaling(&graph, "s", .04F, 7);
    put_quantize(&graph, "all", "s", "s");
    put_layer(&graph, &last);
    put_dequantize(&graph, "out", "_y");
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), small, 4);
    put_typed_port(&graph, 12, "out_y", TYPE(FLOAT), NULL, 0);
    return finish_model(&graph, 8, 14);
}

/* How many values are apart at all. */
static size_t num_apart(const struct lbw_array *a, const struct lbw_array *b)
{
    size_t num = 0;
    for (size_t i = 0; i < a->size / 4; i++)
        num += fabsf(((const float *)a->data)[i] - ((const float *)b->data)[i]) > .01F * SCALE;
    return num;
}

/*
 * The QDQ model, its functions, and the kernels of every instruction set: at most so many steps
 * apart, few of them at all. Sums of floats, where the runtime does not fuse, are rounded.
 */
static void compare_all(const struct text *bytes, struct lbw_model *model, double most_steps)
{
    const struct lbw_isa *isas[LBW_MAX_ISAS];
    size_t num = lbw_isa_all(isas), size = 0;
    struct lbw_error err = {0};
    void *data = NULL;
    check(lbw_model_save_memory(model, &data, &size, &err), &err);
    struct lbw_array qdq = run(bytes->data, bytes->size, false);
    struct lbw_array functions = run(data, size, false);
    float least = 1e9F, most = -1e9F;
    for (size_t i = 0; i < qdq.size / 4; i++) {
        least = fminf(least, ((const float *)qdq.data)[i]);
        most = fmaxf(most, ((const float *)qdq.data)[i]);
    }
    assert_true(most - least > 5 * SCALE);
    assert_true(steps_apart(&qdq, &functions) <= 1.01);
    for (size_t i = 0; i <= num; i++) {
        setenv("LBW_ISA", i < num ? isas[i]->name : "C", 1);
        struct lbw_array native = run(data, size, true);
        double apart = steps_apart(&qdq, &native);
        size_t num_values = num_apart(&qdq, &native);
        if (apart > most_steps + .01 || num_values > qdq.size / 4 / 5)
            fail_msg("%s: %g steps apart, %zu of %zu values", getenv("LBW_ISA"), apart,
                     num_values, qdq.size / 4);
        lbw_array_release(&native);
    }
    unsetenv("LBW_ISA");
    lbw_array_release(&qdq);
    lbw_array_release(&functions);
    lbw_free(data);
}

/* Bytes are moved, and no float is in between. */
static void pyramids_move_bytes(void **unused)
{
    (void)unused;
    static const char *const ops[] = {"QChannels1", "QAveragePool"};
    struct lbw_error err = {0};
    struct text bytes = make_pyramid();
    struct lbw_model *model = NULL;
    struct lbw_native_count count = {0};
    size_t num_dequantized = 0;
    check(lbw_model_open_memory(&model, bytes.data, bytes.size, &err), &err);
    check(lbw_nativize(&count, model, &err), &err);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!calls(model, ops[i]))
            fail_msg("no call of %s", ops[i]);
    for (size_t i = 0; i < model->proto->graph->n_node; i++)
        num_dequantized += lbw_node_is(model->proto->graph->node[i], "DequantizeLinear");
    assert_int_equal(num_dequantized, 1 + 3); /* the output, and the first layer's weights */
    image = small;
    compare_all(&bytes, model, 1);
    image = large;
    free(bytes.data);
    lbw_model_close(&model);
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
    struct lbw_model *model = NULL;
    struct lbw_native_count count = {0};
    size_t num = 0;
    char digest[LBW_DIGEST_SIZE];
    check(lbw_model_open_memory(&model, bytes.data, bytes.size, &err), &err);
    check(lbw_nativize(&count, model, &err), &err);
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
    struct lbw_model *model = NULL;
    struct lbw_native_count count = {0};
    char digest[LBW_DIGEST_SIZE];
    size_t num = 0;
    const struct lbw_encode_params params = {.encoding = LBW_ENCODING_NATIVE};
    check(lbw_model_open_memory(&model, bytes.data, bytes.size, &err), &err);
    check(lbw_nativize(&count, model, &err), &err);
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

static void quarters_are_one_operator(void **unused)
{
    (void)unused;
    static const int64_t picture[] = {1, CHANNELS / 4, 40, 44};
    const struct layer layer = {"q", "a", "Clip", 16, CHANNELS, 1, 3, 1, .02F, false};
    struct lbw_error err = {0};
    struct lbw_model *model = NULL;
    struct lbw_native_count count = {0};
    struct text graph = {0};
    put_quarters(&graph, 1);
    put_layer(&graph, &layer);
    put_dequantize(&graph, "a", "_real");
    put_op(&graph, "Relu", "a_real", "y", NULL);
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), picture, 4);
    put_typed_port(&graph, 12, "y", TYPE(FLOAT), NULL, 0);
    struct text bytes = finish_model(&graph, 8, 14);
    check(lbw_model_open_memory(&model, bytes.data, bytes.size, &err), &err);
    check(lbw_nativize(&count, model, &err), &err);
    assert_true(calls(model, "QFocus"));
    free(bytes.data);
    lbw_model_close(&model);
}

/* From NAME to NAME_real by way of bytes with the scaling of s. */
static void put_pair(struct text *graph, const char *name)
{
    char inputs[200];
    put_quantize(graph, name, "s", name_of(name, "_bytes"));
    snprintf(inputs, sizeof inputs, "%s_bytes s_scale s_zero", name);
    put_op(graph, "DequantizeLinear", inputs, name_of(name, "_real"), NULL);
}

/* Channels a and b shuffled and split in two, every step of it between bytes. */
static void shuffles_between_bytes_are_one_operator(void **unused)
{
    (void)unused;
    static const int64_t pairs[] = {1, 2, 8, 6, 10}, joined[] = {1, 16, 6, 10},
                         sizes[] = {5, 11};
    const int64_t two = 2, four = 4, five = 5;
    const struct layer layers[] = {{"q", "a", "Relu", 8, 8, 1, 1, 1, .02F, false},
                                   {"q", "b", "Relu", 8, 8, 1, 3, 1, .02F, false}};
    struct lbw_error err = {0};
    struct lbw_model *model = NULL;
    struct lbw_native_count count = {0};
    char digest[LBW_DIGEST_SIZE];
    struct text graph = {0}, attributes = {0};
    put_scaling(&graph, "q", .02F, 100);
    put_quantize(&graph, "x", "q", "q");
    put_layer(&graph, &layers[0]);
    put_layer(&graph, &layers[1]);
    put_dequantize(&graph, "a", "_part");
    put_dequantize(&graph, "b", "_part");
    put_typed_port(&graph, 13, "a_part", TYPE(FLOAT), small, 4);
    put_typed_port(&graph, 13, "b_part", TYPE(FLOAT), small, 4);
    put_scaling(&graph, "s", .07F, 110);
    put_tensor(&graph, "pairs", TYPE(INT64), &five, 1, pairs, sizeof pairs);
    put_tensor(&graph, "joined", TYPE(INT64), &four, 1, joined, sizeof joined);
    put_tensor(&graph, "sizes", TYPE(INT64), &two, 1, sizes, sizeof sizes);
    attribute_int(&attributes, "axis", 1);
    put_op(&graph, "Concat", "a_part b_part", "c", &attributes);
    put_pair(&graph, "c");
    put_op(&graph, "Reshape", "c_real pairs", "d", NULL);
    put_pair(&graph, "d");
    attribute_ints(&attributes, "perm", (const int64_t[]){0, 2, 1, 3, 4}, 5);
    put_op(&graph, "Transpose", "d_real", "e", &attributes);
    put_pair(&graph, "e");
    put_op(&graph, "Reshape", "e_real joined", "f", NULL);
    put_pair(&graph, "f");
    attribute_int(&attributes, "axis", 1);
    put_op(&graph, "Split", "f_real sizes", "g h", &attributes);
    put_pair(&graph, "g");
    put_pair(&graph, "h");
    attribute_int(&attributes, "axis", 1);
    put_op(&graph, "Concat", "g_real h_real", "y", &attributes);
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), small, 4);
    put_typed_port(&graph, 12, "y", TYPE(FLOAT), NULL, 0);
    struct text bytes = finish_model(&graph, 8, 14);
    check(lbw_model_open_memory(&model, bytes.data, bytes.size, &err), &err);
    check(lbw_nativize(&count, model, &err), &err);
    assert_int_equal(count.num_others, 2); /* QChannels2 twice */
    assert_false(calls(model, "Transpose") || calls(model, "Split") ||
                 calls(model, "QConcat2"));
    image = small;
    compare_all(&bytes, model, 0);
    image = large;
    check(lbw_digest(digest, model, &err), &err); /* opens the functions */
    check(lbw_nativize(&count, model, &err), &err);
    assert_int_equal(count.num_others, 2);
    free(bytes.data);
    lbw_model_close(&model);
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
    struct text graph = {0}, node = {0}, attributes = {0}, model, import = {0};
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
    put_names(&node, "QConv", "q x_scale q_zero w w_scale b y_scale y_zero", "y");
    attribute_ints(&attributes, "strides", (const int64_t[]){stride, stride}, 2);
    attribute_ints(&attributes, "pads", pads, num_pads);
    put(&node, attributes.data, attributes.size);
    put_text(&node, 7, "ai.lbw");
    put_message(&graph, 1, &node);
    put_dequantize(&graph, "y", "_real");
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), whole, 4);
    put_typed_port(&graph, 12, "y_real", TYPE(FLOAT), NULL, 0);
    model = finish_model(&graph, 8, 14);
    put_text(&import, 1, "ai.lbw");
    put_int(&import, 2, 1);
    put_message(&model, 8, &import);
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
    assert_int_equal(status == LBW_OK, what == NULL);
    if (what && !strstr(err.message, what))
        fail_msg("'%s' is not in '%s'", what, err.message);
    free(model.data);
    free(attributes.data);
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
        cmocka_unit_test(layers_beside_floats_give_the_same),
        cmocka_unit_test(pyramids_move_bytes),
        cmocka_unit_test(sums_belong_to_convolutions),
        cmocka_unit_test(quarters_are_one_operator),
        cmocka_unit_test(shuffles_between_bytes_are_one_operator),
        cmocka_unit_test(float_models_are_refused),
        cmocka_unit_test(wrong_calls_are_refused),
    };
    const char *library = NULL;
    struct lbw_error err = {0};
    if (!has_runtime())
        return EXIT_SKIPPED;
    if (lbw_native_library(&library, &err) != LBW_OK) {
        printf("%s\n", err.message);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
