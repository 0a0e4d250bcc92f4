/* SPDX-License-Identifier: MIT */
/* The activations, one row each. */
#include "kernels/op_activation.h"

#include <math.h>
#include <stdlib.h>

static float relu(float x, const struct lbw_settings *s)
{
    (void)s;
    return x > 0 ? x : 0;
}

static float clip(float x, const struct lbw_settings *s)
{
    x = x < s->min ? s->min : x;
    return x > s->max ? s->max : x;
}

static float leaky_relu(float x, const struct lbw_settings *s)
{
    return x < 0 ? s->alpha * x : x;
}

static float sigmoid(float x, const struct lbw_settings *s)
{
    (void)s;
    return 1 / (1 + expf(-x));
}

static float hard_sigmoid(float x, const struct lbw_settings *s)
{
    x = s->alpha * x + s->beta;
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

static float hard_swish(float x, const struct lbw_settings *s)
{
    (void)s;
    static const struct lbw_settings sixth = {.alpha = 1.F / 6, .beta = .5F};
    return x * hard_sigmoid(x, &sixth);
}

const struct lbw_activation lbw_no_activation = {NULL, {0}};
const struct lbw_activation lbw_relu = {relu, {0}};
const struct lbw_activation lbw_clip = {clip, {.min = -INFINITY, .max = INFINITY}};
const struct lbw_activation lbw_leaky_relu = {leaky_relu, {.alpha = .01F}};
const struct lbw_activation lbw_sigmoid = {sigmoid, {0}};
const struct lbw_activation lbw_hard_sigmoid = {hard_sigmoid, {.alpha = .2F, .beta = .5F}};
const struct lbw_activation lbw_hard_swish = {hard_swish, {0}};

void lbw_activation_settings(struct lbw_settings *out, const struct lbw_activation *activation,
                             const struct ort_kernel_info *info)
{
    *out = activation->defaults;
    lbw_op_float(&out->alpha, info, "alpha");
    lbw_op_float(&out->beta, info, "beta");
    lbw_op_float(&out->min, info, "min");
    lbw_op_float(&out->max, info, "max");
}

void lbw_activation_table(uint8_t table[LBW_TABLE_SIZE],
                          const struct lbw_activation *activation,
                          const struct lbw_settings *settings, const struct lbw_scaling *y,
                          const struct lbw_scaling *c, const struct lbw_scaling *gate)
{
    for (int q = 0; q < LBW_TABLE_SIZE; q++) {
        float x = lbw_dequantize(q, c ? c : y);
        float value = activation->function(x, settings);
        if (gate)
            value = x * lbw_dequantize(lbw_quantize(value, gate), gate);
        table[q] = lbw_quantize(value, y);
    }
}

uint8_t *lbw_activation_tables(size_t *num_tables, size_t num,
                               const struct lbw_activation *activation,
                               const struct lbw_settings *settings,
                               const struct lbw_scalings *y, const struct lbw_scalings *c,
                               const struct lbw_scaling *gate)
{
    *num_tables = y->step || (c && c->step) ? num : 1;
    uint8_t *tables = calloc(*num_tables + 1, LBW_TABLE_SIZE);
    for (size_t m = 0; tables && m < *num_tables; m++) {
        struct lbw_scaling y_at = lbw_scaling_at(y, m);
        struct lbw_scaling c_at = c ? lbw_scaling_at(c, m) : y_at;
        lbw_activation_table(tables + m * LBW_TABLE_SIZE, activation, settings, &y_at,
                             c ? &c_at : NULL, gate);
    }
    return tables;
}
