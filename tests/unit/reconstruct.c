/* SPDX-License-Identifier: MIT */
/* num: rounding against brute force, reconstruction against its definition. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/random.h"
#include "num/quantize.h"
#include "num/reconstruct.h"
#include "num/round.h"

#define K   24
#define M   10
#define NUM 500

static double gauss(struct lbw_random *random)
{
    double u = lbw_random_unit(random) + 1e-300;
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * lbw_random_unit(random));
}

/* Correlated columns with an offset, and a noisy version of them. */
static void make_columns(float *x, float *y, size_t num, size_t k, double noise,
                         struct lbw_random *random)
{
    for (size_t p = 0; p < num; p++) {
        double common = gauss(random);
        for (size_t i = 0; i < k; i++) {
            double value = 3 + common + 0.5 * gauss(random) * (double)(1 + i % 3);
            x[p * k + i] = (float)value;
            y[p * k + i] = (float)(0.9 * value + noise * gauss(random));
        }
    }
}

/* A lower triangular L and H = Lᵀ L. */
static void make_problem(float *l, float *h, size_t k, struct lbw_random *random)
{
    memset(l, 0, k * k * sizeof *l);
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i <= j; i++)
            l[j * k + i] = (float)(i == j ? 0.5 + lbw_random_unit(random) : gauss(random) / 2);
    for (size_t a = 0; a < k; a++)
        for (size_t b = 0; b < k; b++) {
            double sum = 0;
            for (size_t j = 0; j < k; j++)
                sum += (double)l[j * k + a] * l[j * k + b];
            h[a * k + b] = (float)sum;
        }
}

static double objective(const float *h, const float *target, const uint8_t *codes, float step,
                        const struct lbw_grid *grid, size_t k)
{
    double sum = 0;
    for (size_t a = 0; a < k; a++)
        for (size_t b = 0; b < k; b++)
            sum += h[a * k + b] * (step * (float)grid->levels[codes[a]] - target[a]) *
                   (step * (float)grid->levels[codes[b]] - target[b]);
    return sum;
}

/* With five columns of a ternary grid the beam holds enough to find the true optimum. */
static void test_beam_is_optimal(void **state)
{
    (void)state;
    enum { N = 5 };
    const struct lbw_grid *grid = lbw_grid_by_name("2");
    const float levels[] = {-1, 0, 1};
    struct lbw_random random = {1};
    for (int trial = 0; trial < 200; trial++) {
        float l[N * N], h[N * N], target[N], scratch[2 * N * LBW_LANES];
        uint8_t codes[N], best_codes[N] = {0};
        make_problem(l, h, N, &random);
        for (int i = 0; i < N; i++)
            target[i] = (float)gauss(&random);
        struct lbw_round round = {N, l, 3, levels};
        float cost = lbw_round_beam(codes, &round, target, 1, scratch);
        double best = INFINITY;
        for (int c = 0; c < 243; c++) {
            uint8_t trial_codes[N];
            for (int i = 0, rest = c; i < N; i++, rest /= 3)
                trial_codes[i] = (uint8_t)(rest % 3);
            double value = objective(h, target, trial_codes, 1, grid, N);
            if (value < best) {
                best = value;
                memcpy(best_codes, trial_codes, N);
            }
        }
        assert_true(fabs(cost - objective(h, target, codes, 1, grid, N)) < 1e-3 * (1 + cost));
        assert_true(cost <= best * 1.0001 + 1e-4);
    }
}

/* The lanes' costs are the objective's values, and descent never makes one worse. */
static void test_feedback_and_descent(void **state)
{
    (void)state;
    const struct lbw_grid *grid = lbw_grid_by_name("4");
    float levels[LBW_MAX_LEVELS], l[K * K], h[K * K], target[K];
    static float lanes[K * LBW_LANES], scratch[K * LBW_LANES];
    static uint8_t codes[K * LBW_LANES];
    float steps[LBW_LANES], cost[LBW_LANES];
    double vectors[2 * K];
    struct lbw_random random = {2};
    for (int i = 0; i < grid->num_levels; i++)
        levels[i] = (float)grid->levels[i];
    make_problem(l, h, K, &random);
    for (size_t j = 0; j < K; j++) {
        target[j] = (float)gauss(&random);
        for (size_t r = 0; r < LBW_LANES; r++)
            lanes[j * LBW_LANES + r] = target[j];
    }
    for (size_t r = 0; r < LBW_LANES; r++)
        steps[r] = 0.05f + 0.02f * (float)r;
    struct lbw_round round = {K, l, (size_t)grid->num_levels, levels};
    lbw_round_feedback(codes, cost, &round, lanes, steps, scratch);
    for (size_t r = 0; r < LBW_LANES; r++) {
        uint8_t lane[K];
        for (size_t j = 0; j < K; j++)
            lane[j] = codes[j * LBW_LANES + r];
        double before = objective(h, target, lane, steps[r], grid, K);
        assert_true(fabs(before - cost[r]) < 1e-3 * (1 + before));
        double claimed = lbw_round_descend(lane, &round, h, target, steps[r], 10, vectors);
        double after = objective(h, target, lane, steps[r], grid, K);
        assert_true(after <= before * 1.0001);
        assert_true(fabs(after - claimed) < 1e-3 * (1 + after));
    }
}

struct layer {
    float w[M * K];
    struct lbw_moments moments;
    float x[NUM * K], y[NUM * K];
};

static struct layer *make_layer(double noise, uint64_t seed)
{
    struct layer *layer = calloc(1, sizeof *layer);
    struct lbw_random random = {seed};
    float *x = malloc(sizeof layer->x), *y = malloc(sizeof layer->y);
    assert_true(layer && x && y);
    for (size_t i = 0; i < M * K; i++)
        layer->w[i] = (float)gauss(&random) * 0.1f;
    make_columns(layer->x, layer->y, NUM, K, noise, &random);
    memcpy(x, layer->x, sizeof layer->x);
    memcpy(y, layer->y, sizeof layer->y);
    assert_int_equal(lbw_moments_init(&layer->moments, K, NULL), LBW_OK);
    lbw_moments_add(&layer->moments, x, y, NUM / 2, 1);
    lbw_moments_add(&layer->moments, x + NUM / 2 * K, y + NUM / 2 * K, NUM / 2, 2);
    free(x);
    free(y);
    return layer;
}

static void free_layer(struct layer *layer)
{
    lbw_moments_release(&layer->moments);
    free(layer);
}

/* E‖(W x + b) - (Q y + b + correction)‖² over the columns themselves. */
static double true_error(const struct layer *layer, const uint8_t *codes, const float *steps,
                         const double *correction, const struct lbw_grid *grid)
{
    double total = 0;
    for (size_t p = 0; p < NUM; p++)
        for (size_t r = 0; r < M; r++) {
            double error = -correction[r];
            for (size_t i = 0; i < K; i++)
                error += (double)layer->w[r * K + i] * layer->x[p * K + i] -
                         (double)(steps[r] * (float)grid->levels[codes[r * K + i]]) *
                             layer->y[p * K + i];
            total += error * error;
        }
    return total / NUM;
}

static void test_reconstruct(void **state)
{
    (void)state;
    size_t num_grids;
    const struct lbw_grid *grids = lbw_grid_table(&num_grids);
    struct layer *layer = make_layer(0.3, 3);
    for (size_t g = 0; g < num_grids; g++)
        for (int scale = 0; scale < 2; scale++) {
            uint8_t codes[M * K], again[M * K];
            float steps[M], steps_again[M];
            double correction[M];
            struct lbw_reconstruct_stats stats, stats_again;
            struct lbw_reconstruct_params params = {
                .scale = (enum lbw_scale)scale, .damping = 0.01, .num_threads = 1};
            struct lbw_error err = {0};
            assert_int_equal(lbw_reconstruct(codes, steps, correction, layer->w, M,
                                             &layer->moments, &grids[g], &params, &stats, &err),
                             LBW_OK);
            double error = true_error(layer, codes, steps, correction, &grids[g]);
            assert_true(fabs(error - stats.error_after) < 2e-3 * error + 1e-7);
            assert_true(stats.error_after < stats.error_before);
            params.num_threads = 3;
            assert_int_equal(lbw_reconstruct(again, steps_again, correction, layer->w, M,
                                             &layer->moments, &grids[g], &params, &stats_again,
                                             &err),
                             LBW_OK);
            assert_memory_equal(codes, again, sizeof codes);
            assert_memory_equal(steps, steps_again, sizeof steps);
            for (size_t r = 0; r < M && scale == LBW_SCALE_POW2; r++) {
                int exponent;
                assert_true(frexpf(steps[r], &exponent) == 0.5f);
            }
        }
    free_layer(layer);
}

/* Inputs that never vary, an input that is always zero, no column at all. */
static void test_degenerate(void **state)
{
    (void)state;
    const struct lbw_grid *grid = lbw_grid_by_name("3");
    struct lbw_moments moments;
    struct lbw_reconstruct_params params = {.damping = 0.01};
    struct lbw_reconstruct_stats stats;
    float w[2 * K], steps[2], x[8 * K], y[8 * K];
    uint8_t codes[2 * K], plain[K];
    double correction[2];
    struct lbw_random random = {5};
    for (size_t i = 0; i < 2 * K; i++)
        w[i] = (float)gauss(&random);
    assert_int_equal(lbw_moments_init(&moments, K, NULL), LBW_OK);
    struct lbw_error err;
    assert_int_equal(
        lbw_reconstruct(codes, steps, correction, w, 2, &moments, grid, &params, &stats, &err),
        LBW_ERR_UNSUPPORTED);
    for (size_t i = 0; i < 8 * K; i++)
        x[i] = y[i] = i % K == 3 ? 0 : 7;
    lbw_moments_add(&moments, x, y, 8, 1);
    assert_int_equal(
        lbw_reconstruct(codes, steps, correction, w, 2, &moments, grid, &params, &stats, &err),
        LBW_OK);
    for (size_t r = 0; r < 2; r++) { /* nearest for its own step, and finite */
        assert_true(isfinite(steps[r]) && steps[r] > 0 && isfinite(correction[r]));
        lbw_nearest(plain, w + r * K, K, grid, steps[r]);
        assert_memory_equal(plain, codes + r * K, K);
    }
    lbw_moments_release(&moments);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beam_is_optimal),
        cmocka_unit_test(test_feedback_and_descent),
        cmocka_unit_test(test_reconstruct),
        cmocka_unit_test(test_degenerate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
