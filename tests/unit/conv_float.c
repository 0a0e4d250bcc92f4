/* SPDX-License-Identifier: MIT */
/* Convolutions that read or write float: the definition, in the same bits on all processors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../kernels.h"
#include "kernels/conv_float.h"

static const struct lbw_ending endings[] = {
    {LBW_CURVE_LINE, 0, 0, 0},
    {LBW_CURVE_RELU, 0, 0, 0},
    {LBW_CURVE_GATED, 1.F / 256, 0, 255},
    {LBW_CURVE_GATED, .01F, -3, 252},
};

static float draw_float(void)
{
    return (float)draw(2001) / 500 - 2;
}

static struct lbw_conv_params draw_shape(void)
{
    struct lbw_conv_params p = {.groups = 1 + draw(3)};
    p.num_inputs = p.groups * (1 + draw(5));
    p.num_outputs = p.groups * (1 + draw(9));
    if (draw(3) == 0)
        p.num_inputs = p.num_outputs = p.groups;
    for (int i = 0; i < 2; i++) {
        p.kernel[i] = 1 + draw(4);
        p.strides[i] = 1 + draw(3);
        p.dilations[i] = 1 + draw(2);
        p.pads[i] = draw(4);
        p.pads[i + 2] = draw(4);
    }
    return p;
}

/* What comes before rounding and curve, in double precision. */
static double sum_at(const float *x, const float *w, const float *bias,
                     const struct lbw_conv_params *p, const int64_t in[2], int64_t m,
                     int64_t oy, int64_t ox)
{
    int64_t depth = p->num_inputs / p->groups, group = m / (p->num_outputs / p->groups);
    double sum = (double)bias[m];
    w += m * depth * p->kernel[0] * p->kernel[1];
    for (int64_t c = group * depth; c < (group + 1) * depth; c++)
        for (int64_t ky = 0; ky < p->kernel[0]; ky++)
            for (int64_t kx = 0; kx < p->kernel[1]; kx++, w++) {
                int64_t y = oy * p->strides[0] + ky * p->dilations[0] - p->pads[0];
                int64_t z = ox * p->strides[1] + kx * p->dilations[1] - p->pads[1];
                if (y >= 0 && y < in[0] && z >= 0 && z < in[1])
                    sum += (double)*w * (double)x[(c * in[0] + y) * in[1] + z];
            }
    return sum;
}

/* The ending, also in double precision; what a gate rounds to may differ where it is a tie. */
static double bend(double x, const struct lbw_ending *e)
{
    if (e->curve == LBW_CURVE_RELU)
        return x > 0 ? x : 0;
    if (e->curve == LBW_CURVE_LINE)
        return x;
    double q = 1 / (1 + exp(-x)) / (double)e->gate_scale;
    q = rint(fmin(fmax(q, (double)e->gate_low), (double)e->gate_high));
    return x * q * (double)e->gate_scale;
}

struct trial {
    struct lbw_conv_float_params params;
    int64_t in[2], out[2];
    size_t in_size, out_size; /* elements */
    float *x, *w, *bias;
};

static bool make_trial(struct trial *t)
{
    struct lbw_conv_params *p = &t->params.shape;
    *p = draw_shape();
    t->in[0] = 1 + draw(20);
    t->in[1] = 1 + draw(150);
    if (lbw_conv_output(t->out, p, t->in, NULL) != LBW_OK)
        return false;
    size_t num_weights =
        (size_t)(p->num_outputs * p->num_inputs / p->groups * p->kernel[0] * p->kernel[1]);
    t->in_size = (size_t)(p->num_inputs * t->in[0] * t->in[1]);
    t->out_size = (size_t)(p->num_outputs * t->out[0] * t->out[1]);
    t->x = calloc(t->in_size, sizeof *t->x);
    t->w = calloc(num_weights, sizeof *t->w);
    t->bias = calloc((size_t)p->num_outputs, sizeof *t->bias);
    assert_true(t->x && t->w && t->bias);
    for (size_t i = 0; i < t->in_size; i++)
        t->x[i] = draw_float();
    for (size_t i = 0; i < num_weights; i++)
        t->w[i] = draw_float() / 4;
    for (int64_t i = 0; i < p->num_outputs; i++)
        t->bias[i] = draw_float();
    t->params.weights = t->w;
    t->params.bias = t->bias;
    return true;
}

static void release(struct trial *t)
{
    free(t->x);
    free(t->w);
    free(t->bias);
}

static void *run(const struct trial *t, size_t size, const struct lbw_isa *isa)
{
    struct lbw_conv_float *conv = NULL;
    struct lbw_error err = {0};
    unsigned char *y = malloc(size);
    assert_non_null(y);
    memset(y, 0xa5, size);
    check(lbw_conv_float_new(&conv, &t->params, isa, &err), &err);
    check(lbw_conv_float_run(conv, y, t->x, 1, t->in, &lbw_sequential, &err), &err);
    lbw_conv_float_free(&conv);
    return y;
}

/* Every instruction set gives the bits of plain C, which are those of the definition. */
static void compare_all(const struct trial *t, size_t size, const void *expected)
{
    const struct lbw_isa *all[LBW_MAX_ISAS];
    size_t num = lbw_isa_all(all);
    for (size_t i = 0; i < num; i++) {
        void *y = run(t, size, all[i]);
        if (memcmp(y, expected, size) != 0)
            fail_msg("%s differs from plain C", all[i]->name);
        free(y);
    }
}

static void floats_to_floats(void **unused)
{
    (void)unused;
    for (int i = 0; i < 150; i++) {
        struct trial t = {{{0}}};
        const struct lbw_ending *ending = &endings[i % 4];
        t.params.ending = ending;
        if (!make_trial(&t))
            continue;
        float *y = run(&t, 4 * t.out_size, NULL), *at = y;
        for (int64_t m = 0; m < t.params.shape.num_outputs; m++)
            for (int64_t oy = 0; oy < t.out[0]; oy++)
                for (int64_t ox = 0; ox < t.out[1]; ox++, at++) {
                    double sum = sum_at(t.x, t.w, t.bias, &t.params.shape, t.in, m, oy, ox);
                    double apart = fabs((double)*at - bend(sum, ending));
                    double step = fabs(sum) * (double)ending->gate_scale * 1.01;
                    if (apart > 1e-4 + step)
                        fail_msg("curve %d of %g: %g", (int)ending->curve, sum, (double)*at);
                }
        compare_all(&t, 4 * t.out_size, y);
        free(y);
        release(&t);
    }
}

static void floats_to_bytes(void **unused)
{
    (void)unused;
    enum { MANY = 64 };
    uint8_t tables[MANY * 256]; /* of channel m: each byte from 255 - m down */
    float scales[2][MANY];
    for (int i = 0; i < MANY * 256; i++)
        tables[i] = (uint8_t)(255 - i / 256 - i % 256);
    for (int m = 0; m < MANY; m++) {
        scales[0][m] = .03F;
        scales[1][m] = .02F + .001F * (float)m;
    }
    for (int i = 0; i < 150; i++) {
        struct trial t = {{{0}}};
        bool differ = i % 3 == 0; /* scales and tables per channel */
        t.params.zero = (uint8_t)draw(256);
        t.params.scales = scales[differ];
        t.params.tables = i % 2 ? tables : NULL;
        t.params.has_channel_tables = differ;
        if (!make_trial(&t))
            continue;
        assert_true(t.params.shape.num_outputs <= MANY);
        uint8_t *y = run(&t, t.out_size, NULL), *at = y;
        for (int64_t m = 0; m < t.params.shape.num_outputs; m++)
            for (int64_t oy = 0; oy < t.out[0]; oy++)
                for (int64_t ox = 0; ox < t.out[1]; ox++, at++) {
                    double sum = sum_at(t.x, t.w, t.bias, &t.params.shape, t.in, m, oy, ox);
                    double scale = (double)scales[differ][m];
                    double q = fmin(fmax(rint(sum / scale) + t.params.zero, 0), 255);
                    int top = differ ? 255 - (int)m : 255;
                    if (fabs((i % 2 ? (uint8_t)(top - *at) : *at) - q) > 1)
                        fail_msg("%g: %d, expected %g", sum, *at, q);
                }
        compare_all(&t, t.out_size, y);
        free(y);
        release(&t);
    }
}

/* Integer products, then float: against the definition on every instruction set. */
static void bytes_to_floats(void **unused)
{
    (void)unused;
    const struct lbw_isa *all[LBW_MAX_ISAS];
    size_t num = lbw_isa_all(all);
    struct lbw_error err = {0};
    for (int i = 0; i < 150; i++) {
        struct lbw_conv_params p = draw_shape();
        int64_t in[2] = {1 + draw(20), 1 + draw(150)}, out[2];
        int8_t weights[4096];
        uint8_t x[15 * 20 * 150];
        float scale[27], bias[27];
        if (lbw_conv_output(out, &p, in, NULL) != LBW_OK)
            continue;
        for (size_t k = 0; k < sizeof weights; k++)
            weights[k] = (int8_t)((int)draw(255) - 127);
        for (size_t k = 0; k < sizeof x; k++)
            x[k] = (uint8_t)draw(256);
        for (size_t k = 0; k < 27; k++) {
            scale[k] = 1e-4F * (1 + (float)draw(10));
            bias[k] = draw_float();
        }
        p.weights = weights;
        p.scale = scale;
        p.float_bias = bias;
        p.ending = &endings[i % 4];
        p.x_zero = (uint8_t)draw(256);
        size_t size = 4 * (size_t)(p.num_outputs * out[0] * out[1]);
        float *expected = malloc(size), *y = malloc(size);
        assert_true(expected && y);
        check(lbw_conv_reference(expected, x, NULL, 1, in, &p, &err), &err);
        for (size_t k = 0; k < num; k++) {
            struct lbw_conv *conv = NULL;
            check(lbw_conv_new(&conv, &p, all[k], &err), &err);
            check(lbw_conv_run(conv, y, x, NULL, 1, in, &lbw_sequential, &err), &err);
            if (memcmp(y, expected, size) != 0)
                fail_msg("%s differs from the definition", all[k]->name);
            lbw_conv_free(&conv);
        }
        free(expected);
        free(y);
    }
}

static void wrong_parameters_are_refused(void **unused)
{
    (void)unused;
    struct lbw_conv_float *conv = NULL;
    struct lbw_error err = {0};
    float number = 1;
    struct lbw_conv_float_params p = {.shape = {1, 1, 1, {1, 1}, {1, 1}, {1, 1}},
                                      .weights = &number,
                                      .bias = &number,
                                      .scales = &number};
    check(lbw_conv_float_new(&conv, &p, NULL, &err), &err);
    lbw_conv_float_free(&conv);
    p.shape.strides[1] = LBW_FLOAT_MAX_STRIDE + 1;
    assert_int_equal(lbw_conv_float_new(&conv, &p, NULL, &err), LBW_ERR_ARGUMENT);
    p.shape.strides[1] = 1;
    p.shape.groups = 0;
    assert_int_equal(lbw_conv_float_new(&conv, &p, NULL, &err), LBW_ERR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_to_floats),
        cmocka_unit_test(floats_to_bytes),
        cmocka_unit_test(bytes_to_floats),
        cmocka_unit_test(wrong_parameters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
