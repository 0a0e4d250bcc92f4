/* SPDX-License-Identifier: MIT */
/*
 * Models of layers between QuantizeLinear and DequantizeLinear for tests, and what their calls
 * of ai.lbw give on every instruction set and without the operator library.
 */
#ifndef LBW_TESTS_NATIVE_LAYERS_H
#define LBW_TESTS_NATIVE_LAYERS_H

#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "graph.h"
#include "native.h"
#include "runtime.h"
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

static inline float share_of(int64_t channel)
{
    return .3F + .1F * (float)(channel % 8);
}

/* NAME_scale, one for each of `num` channels, and NAME_zero. */
static inline void put_scalings(struct text *graph, const char *name, float scale, uint8_t zero,
                                int64_t num)
{
    const int64_t dims[] = {num, 1, 1};
    float scales[64];
    for (int64_t m = 0; m < num; m++)
        scales[m] = scale * share_of(m);
    put_tensor(graph, name_of(name, "_scale"), TYPE(FLOAT), dims, 3, scales, 4 * (size_t)num);
    put_tensor(graph, name_of(name, "_zero"), TYPE(UINT8), NULL, 0, &zero, 1);
}

static inline void put_quantize_each(struct text *graph, const char *from, const char *to)
{
    char inputs[200];
    snprintf(inputs, sizeof inputs, "%s %s_scale", from, to);
    put_op(graph, "Div", inputs, name_of(to, "_steps"), NULL);
    snprintf(inputs, sizeof inputs, "%s_steps one %s_zero", to, to);
    put_op(graph, "QuantizeLinear", inputs, to, NULL);
}

static inline void put_dequantize_each(struct text *graph, const char *name, const char *suffix)
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
static inline void put_weights(struct text *graph, const struct layer *l)
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

static inline void put_weight_nodes(struct text *graph, const struct layer *l)
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
static inline void put_result(struct text *graph, const struct layer *l, const char *result)
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
static inline void put_activation(struct text *graph, const struct layer *l)
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

static inline void put_layer(struct text *graph, const struct layer *l)
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

static inline void put_int64(struct text *graph, const char *name, int64_t value)
{
    const int64_t one = 1;
    put_tensor(graph, name, TYPE(INT64), &one, 1, &value, 8);
}

/* Every other row and column of x, from all four of them on, as channels: `q`. */
static inline void put_quarters(struct text *graph, int64_t batch)
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

static inline struct lbw_array run(const void *bytes, size_t size, bool is_native)
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
static inline double steps_apart(const struct lbw_array *a, const struct lbw_array *b)
{
    const float *x = a->data, *y = b->data;
    double most = 0;
    assert_int_equal(a->size, b->size);
    for (size_t i = 0; i < a->size / 4; i++)
        most = fmax(most, fabs((double)x[i] - (double)y[i]) / (double)SCALE);
    return most;
}

static const int64_t small[] = {1, 8, 6, 10};
static const int64_t wide[] = {1, 8, 30, 41};

/* A convolution of floats or bytes with float weights, of which each row has one step. */
static inline void put_float_conv(struct text *graph, const char *from, const char *to,
                                  int64_t stride)
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

static inline bool calls(const struct lbw_model *model, const char *op)
{
    for (size_t i = 0; i < model->proto->graph->n_node; i++)
        if (strcmp(model->proto->graph->node[i]->op_type, op) == 0)
            return true;
    return false;
}

/* How many values are apart at all. */
static inline size_t num_apart(const struct lbw_array *a, const struct lbw_array *b)
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
static inline void compare_all(const struct text *bytes, struct lbw_model *model,
                               double most_steps)
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

#endif
