/* SPDX-License-Identifier: MIT */
/* Gradients in one pass against their definitions, in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/activation.h"
#include "kernels/dense.h"
#include "kernels/gradient.h"
#include "kernels/maxima.h"

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
        float *x = numbers(2 * num), *dy = numbers(2 * num), *dx = numbers(2 * num);
        float *y = numbers(2 * num);
        for (size_t i = 0; i < 2 * num; i++)
            x[i] *= i % 5 == 4 ? 200 : i % 5 == 3 ? 1e-20f : i % 5 == 2 ? 0 : 8;
        float sums[2];
        double sum = 0;
        for (size_t i = 0; i < 2 * num; i++)
            y[i] = (float)(x[i] / (1 + exp(-(double)x[i])));
        lbw_gradient_silu(dx, sums, dy, x, y, 2, num);
        for (size_t i = 0; i < 2 * num; i++) {
            double p = 1 / (1 + exp(-(double)x[i])), d = dy[i] * (p + x[i] * p * (1 - p));
            expect_near(dx[i], d, "silu");
            sum = i == num ? d : sum + d;
            if (i + 1 == num)
                expect_near(sums[0], sum, "sum");
        }
        expect_near(sums[1], sum, "sum");
        lbw_gradient_leaky(dx, sums, dy, x, 2, num, 0.25f);
        sum = 0;
        for (size_t i = 0; i < 2 * num; i++) {
            assert_true(dx[i] == (x[i] > 0 ? dy[i] : dy[i] * 0.25f));
            sum += i < num ? dx[i] : 0;
        }
        expect_near(sums[0], sum, "sum");
        free(x), free(dy), free(dx), free(y);
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

/* What a window's tap sees; false in the padding. */
static bool see(size_t *at, const struct lbw_dense_window *w, size_t i, size_t r, size_t c)
{
    size_t row = i / w->out[1] * w->stride[0] + r - w->begin[0];
    size_t column = i % w->out[1] * w->stride[1] + c - w->begin[1];
    *at = row * w->in[1] + column;
    return row < w->in[0] && column < w->in[1];
}

static void try_dense(const struct lbw_dense_window *w)
{
    size_t in = w->in[0] * w->in[1], num = w->out[0] * w->out[1], at;
    size_t taps = w->channels * w->kernel[0] * w->kernel[1];
    float *x = numbers(w->channels * in), *dy = numbers(w->filters * num);
    float *y = numbers(w->filters * num), *weight = numbers(w->filters * taps);
    float *dw = numbers(w->filters * taps), *bias = numbers(w->filters);
    float *scratch = numbers(lbw_dense_scratch(w));
    double *sums = calloc(w->filters * taps, sizeof *sums);
    lbw_dense(y, x, weight, bias, w, scratch);
    lbw_gradient_dense(dw, x, dy, w, scratch);
    for (size_t f = 0; f < w->filters; f++)
        for (size_t i = 0; i < num; i++) {
            double sum = bias[f];
            for (size_t t = 0; t < taps; t++) {
                size_t r = t / w->kernel[1] % w->kernel[0], c = t % w->kernel[1];
                if (!see(&at, w, i, r, c))
                    continue;
                at += t / w->kernel[1] / w->kernel[0] * in;
                sum += (double)weight[f * taps + t] * x[at];
                sums[f * taps + t] += (double)dy[f * num + i] * x[at];
            }
            expect_near(y[f * num + i], sum, "y");
        }
    for (size_t t = 0; t < w->filters * taps; t++)
        expect_near(dw[t], sums[t], "dw");
    free(x), free(dy), free(y), free(weight), free(dw), free(bias), free(scratch), free(sums);
}

static void dense(void **state)
{
    (void)state;
    for (size_t n = 0; n < 200; n++) {
        struct lbw_dense_window w = {.channels = draw(1, 5), .filters = draw(1, 9)};
        bool usual = draw(0, 1);
        for (size_t i = 0; i < 2; i++) {
            w.kernel[i] = usual ? 3 : draw(1, LBW_DENSE_MAX_KERNEL);
            w.stride[i] = draw(1, LBW_DENSE_MAX_STRIDE);
            w.begin[i] = draw(0, w.kernel[i] - 1);
            w.in[i] = draw(w.kernel[i], 40);
            size_t padded = w.in[i] + w.begin[i] + draw(0, w.kernel[i] - 1);
            w.out[i] = (padded - w.kernel[i]) / w.stride[i] + 1;
        }
        try_dense(&w);
    }
}

/* The largest value that the window sees in one row, and over all rows. */
static void define_maxima(double *dx, const float *x, const float *dy,
                          const struct lbw_dense_window *w)
{
    for (size_t i = 0; i < w->out[0] * w->out[1]; i++) {
        size_t best = 0, at;
        bool found = false;
        for (size_t t = 0; t < w->kernel[0] * w->kernel[1]; t++)
            if (see(&at, w, i, t / w->kernel[1], t % w->kernel[1]) &&
                (!found || x[at] > x[best])) {
                best = at;
                found = true;
            }
        if (found)
            dx[best] += dy[i];
    }
}

static void maxima(void **state)
{
    (void)state;
    for (size_t n = 0; n < 200; n++) {
        struct lbw_dense_window w = {.channels = 1};
        struct lbw_maxima_window m;
        for (size_t i = 0; i < 2; i++) {
            w.kernel[i] = draw(1, 14);
            w.stride[i] = n % 2 ? 1 : draw(1, 3);
            w.begin[i] = draw(0, w.kernel[i] - 1);
            w.in[i] = draw(1, 30);
            w.out[i] = (w.in[i] + w.begin[i] - 1) / w.stride[i] + 1; /* even beyond its end */
            m.kernel[i] = w.kernel[i], m.stride[i] = w.stride[i], m.begin[i] = w.begin[i];
            m.in[i] = w.in[i], m.out[i] = w.out[i];
        }
        size_t in = w.in[0] * w.in[1], num = w.out[0] * w.out[1];
        float *x = numbers(2 * in), *dy = numbers(2 * num), *dx = numbers(2 * in);
        float *scratch = numbers(lbw_maxima_scratch(&m));
        double *expected = calloc(2 * in, sizeof *expected);
        define_maxima(expected, x, dy, &w);
        define_maxima(expected + in, x + in, dy + num, &w);
        lbw_gradient_maxima(dx, x, dy, 2, &m, scratch);
        for (size_t i = 0; i < 2 * in; i++)
            expect_near(dx[i], expected[i], "dx");
        free(x), free(dy), free(dx), free(scratch), free(expected);
    }
}

static void scores(void **state)
{
    static const size_t sizes[] = {1, 8, 515, 1100};
    const double least = 1e-6f;
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t num = sizes[s];
        float *p = numbers(num), *wanted = numbers(num), *factors = numbers(num);
        float *weights = numbers(num), *dp = numbers(num);
        double loss = 0;
        for (size_t i = 0; i < num; i++) {
            p[i] = i % 7 == 0 ? 0 : i % 7 == 1 ? 1 : fabsf(p[i]) * (i % 7 == 2 ? 1e-5f : 1);
            wanted[i] = fabsf(wanted[i]);
        }
        const struct lbw_score_terms terms = {p, wanted, factors, weights, 1e-6f};
        float found = lbw_gradient_scores(dp, &terms, num);
        for (size_t i = 0; i < num; i++) {
            double q = fmin(fmax(p[i], least), (float)(1 - 1e-6f)),
                   e = p[i] - (double)wanted[i];
            loss += factors[i] * e * e -
                    weights[i] * (wanted[i] * log(q) + (1 - wanted[i]) * log(1 - q));
            double d = 2 * factors[i] * e + weights[i] * (q - wanted[i]) / (q * (1 - q));
            expect_near(dp[i] / (1 + fabs(d)), d / (1 + fabs(d)), "dp");
        }
        expect_near(found / (double)num, loss / (double)num, "loss");
        free(p), free(wanted), free(factors), free(weights), free(dp);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations), cmocka_unit_test(depthwise), cmocka_unit_test(dense),
        cmocka_unit_test(maxima),      cmocka_unit_test(scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
