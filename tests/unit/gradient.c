/* SPDX-License-Identifier: MIT */
/* Gradients in one pass against their definitions, in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/gradient.h"

#define NUM_PLANES 2

static struct lbw_random random_numbers;

static float *numbers(size_t num)
{
    float *values = malloc(num * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < num; i++)
        values[i] = (float)(2 * lbw_random_unit(&random_numbers) - 1);
    return values;
}

static void expect_near(double is, double expected, const char *what)
{
    if (!(fabs(is - expected) <= 2e-6 * (1 + fabs(expected)) * 20))
        fail_msg("%s: %.9g, expected %.9g", what, is, expected);
}

static void activations(void **state)
{
    static const size_t sizes[] = {1, 7, 8, 9, 100};
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t num = sizes[s];
        float *x = numbers(num), *dy = numbers(num), *dx = numbers(num);
        for (size_t i = 0; i < num; i++)
            x[i] *= i % 5 == 4 ? 200 : 8; /* also where exp() would overflow */
        lbw_gradient_silu(dx, dy, x, num);
        for (size_t i = 0; i < num; i++) {
            double p = 1 / (1 + exp(-(double)x[i]));
            expect_near(dx[i], dy[i] * (p + x[i] * p * (1 - p)), "silu");
        }
        lbw_gradient_leaky(dx, dy, x, num, 0.25f);
        for (size_t i = 0; i < num; i++)
            assert_true(dx[i] == (x[i] > 0 ? dy[i] : dy[i] * 0.25f));
        free(x), free(dy), free(dx);
    }
}

struct planes {
    double *y, *dx, *dw;
};

/* What the three should be, by their definition. */
static void define(struct planes *out, const struct lbw_gradient_window *w, const float *x,
                   const float *dy, const float *weight)
{
    size_t in = w->in[0] * w->in[1], num = w->out[0] * w->out[1];
    size_t taps = w->kernel[0] * w->kernel[1];
    for (size_t p = 0; p < NUM_PLANES; p++)
        for (size_t i = 0; i < num; i++)
            for (size_t k = 0; k < taps; k++) {
                size_t r = i / w->out[1] * w->stride[0] + k / w->kernel[1] - w->begin[0];
                size_t c = i % w->out[1] * w->stride[1] + k % w->kernel[1] - w->begin[1];
                if (r >= w->in[0] || c >= w->in[1])
                    continue;
                size_t at = p * in + r * w->in[1] + c;
                out->y[p * num + i] += (double)weight[p * taps + k] * x[at];
                out->dx[at] += (double)weight[p * taps + k] * dy[p * num + i];
                out->dw[p * taps + k] += (double)dy[p * num + i] * x[at];
            }
}

static void try_window(const struct lbw_gradient_window *w)
{
    size_t in = NUM_PLANES * w->in[0] * w->in[1], num = NUM_PLANES * w->out[0] * w->out[1];
    size_t taps = NUM_PLANES * w->kernel[0] * w->kernel[1];
    float *x = numbers(in), *dy = numbers(num), *weight = numbers(taps), *dx = numbers(in);
    float *dw = numbers(taps), *y = numbers(num), bias[NUM_PLANES] = {0.5f, -2};
    float *scratch = numbers(lbw_gradient_scratch(w));
    struct planes expected = {calloc(num, sizeof(double)), calloc(in, sizeof(double)),
                              calloc(taps, sizeof(double))};
    define(&expected, w, x, dy, weight);
    lbw_gradient_depthwise(dx, dw, x, dy, weight, NUM_PLANES, w, scratch);
    lbw_depthwise(y, x, weight, bias, NUM_PLANES, w, scratch);
    for (size_t i = 0; i < in; i++)
        expect_near(dx[i], expected.dx[i], "dx");
    for (size_t i = 0; i < taps; i++)
        expect_near(dw[i], expected.dw[i], "dw");
    for (size_t i = 0; i < num; i++)
        expect_near(y[i], expected.y[i] + (double)bias[i / (num / NUM_PLANES)], "y");
    free(x), free(dy), free(weight), free(dx), free(dw), free(y), free(scratch);
    free(expected.y), free(expected.dx), free(expected.dw);
}

static size_t draw(size_t from, size_t to)
{
    return from + lbw_random_below(&random_numbers, (uint32_t)(to - from + 1));
}

static void depthwise(void **state)
{
    (void)state;
    for (size_t n = 0; n < 400; n++) {
        struct lbw_gradient_window w = {{0}};
        size_t usual = draw(0, 3);
        for (size_t i = 0; i < 2; i++) {
            w.kernel[i] = usual == 0 ? draw(1, LBW_GRADIENT_MAX_KERNEL) : usual == 3 ? 5 : 3;
            w.stride[i] = usual == 0 ? draw(1, LBW_GRADIENT_MAX_STRIDE) : usual == 2 ? 2 : 1;
            w.begin[i] = draw(0, w.kernel[i] - 1);
            w.in[i] = draw(w.kernel[i], 21);
            size_t padded = w.in[i] + w.begin[i] + draw(0, w.kernel[i] - 1);
            w.out[i] = (padded - w.kernel[i]) / w.stride[i] + 1;
        }
        try_window(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations),
        cmocka_unit_test(depthwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
