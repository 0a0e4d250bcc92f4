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
#include "num/project.h"
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

/* An upper triangular U and H = Uᵀ U. */
static void make_problem(float *u, float *h, size_t k, struct lbw_random *random)
{
    memset(u, 0, k * k * sizeof *u);
    for (size_t j = 0; j < k; j++)
        for (size_t i = j; i < k; i++)
            u[j * k + i] = (float)(i == j ? 0.5 + lbw_random_unit(random) : gauss(random) / 2);
    for (size_t a = 0; a < k; a++)
        for (size_t b = 0; b < k; b++) {
            double sum = 0;
            for (size_t j = 0; j < k; j++)
                sum += (double)u[j * k + a] * u[j * k + b];
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
    struct lbw_levels levels;
    struct lbw_random random = {1};
    lbw_levels_of(&levels, grid);
    for (int trial = 0; trial < 200; trial++) {
        float u[N * N], h[N * N], target[N], scratch[2 * N * LBW_LANES];
        uint8_t codes[N], best_codes[N] = {0};
        make_problem(u, h, N, &random);
        for (int i = 0; i < N; i++)
            target[i] = (float)gauss(&random);
        struct lbw_triangle triangle = {N, N, u, &levels};
        float cost = lbw_round_beam(codes, &triangle, target, 1, INFINITY, scratch);
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
        /* A bound changes nothing unless it is reached. */
        uint8_t bounded[N];
        assert_true(lbw_round_beam(bounded, &triangle, target, 1, cost, scratch) == INFINITY);
        float above = nextafterf(cost, INFINITY);
        assert_true(lbw_round_beam(bounded, &triangle, target, 1, above, scratch) == cost);
        assert_memory_equal(bounded, codes, N);
    }
}

/* The lanes' costs are the objective's values, and descent never makes one worse. */
static void test_feedback_and_descent(void **state)
{
    (void)state;
    const struct lbw_grid *grid = lbw_grid_by_name("4");
    struct lbw_levels levels;
    float u[K * K], h[K * K], target[K], delta[K];
    static float lanes[K * LBW_LANES], errors[K * LBW_LANES], pulled[K * LBW_LANES];
    static uint8_t codes[K * LBW_LANES];
    float steps[LBW_LANES], cost[LBW_LANES] = {0};
    struct lbw_random random = {2};
    lbw_levels_of(&levels, grid);
    make_problem(u, h, K, &random);
    for (size_t j = 0; j < K; j++) {
        target[j] = (float)gauss(&random);
        for (size_t r = 0; r < LBW_LANES; r++)
            lanes[j * LBW_LANES + r] = target[j];
    }
    for (size_t r = 0; r < LBW_LANES; r++)
        steps[r] = 0.05f + 0.02f * (float)r;
    struct lbw_triangle triangle = {K, K, u, &levels};
    lbw_round_feedback(codes, errors, cost, &triangle, pulled, lanes, steps, LBW_LANES);
    for (size_t r = 0; r < LBW_LANES; r++) {
        uint8_t lane[K];
        float error[K], gradient[K] = {0};
        for (size_t j = 0; j < K; j++) {
            lane[j] = codes[j * LBW_LANES + r];
            error[j] = errors[j * LBW_LANES + r];
            assert_true(fabsf(error[j] - steps[r] * levels.values[lane[j]] + target[j]) < 1e-6);
        }
        for (size_t i = 0; i < K; i++)
            for (size_t j = 0; j < K; j++)
                gradient[i] += h[i * K + j] * error[j];
        double before = objective(h, target, lane, steps[r], grid, K);
        assert_true(fabs(before - cost[r]) < 1e-3 * (1 + before));
        for (int sweep = 0; sweep < 10; sweep++) {
            size_t changed = lbw_round_descend(lane, error, gradient, delta, &levels, h, K, K,
                                               target, steps[r]);
            double after = objective(h, target, lane, steps[r], grid, K);
            assert_true(changed ? after < before * 1.0001 : after == before);
            before = after;
        }
        double by_gradient = 0;
        for (size_t j = 0; j < K; j++)
            by_gradient += error[j] * gradient[j];
        assert_true(fabs(before - by_gradient) < 1e-3 * (1 + before));
    }
}

struct layer {
    float w[M * K];
    struct lbw_fit *fit;
    float x[NUM * K], y[NUM * K];
};

/* num_kept > 0: in the form "samples". */
static struct layer *make_layer(double noise, uint64_t seed, size_t num_kept)
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
    struct lbw_moments moments;
    assert_int_equal(lbw_moments_init(&moments, layer->w, M, K, num_kept, num_kept > 0, NULL),
                     LBW_OK);
    assert_int_equal(lbw_moments_add(&moments, x, y, NUM / 2, 1, NULL), LBW_OK);
    assert_int_equal(
        lbw_moments_add(&moments, x + NUM / 2 * K, y + NUM / 2 * K, NUM / 2, 2, NULL), LBW_OK);
    assert_int_equal(
        lbw_fit_open(&layer->fit, &moments, (struct lbw_damping){0.01, 0.5}, 2, NULL, NULL),
        LBW_OK);
    lbw_moments_release(&moments);
    free(x);
    free(y);
    return layer;
}

static void free_layer(struct layer *layer)
{
    lbw_fit_close(&layer->fit);
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

static void check_reconstruct(struct layer *layer)
{
    size_t num_grids;
    const struct lbw_grid *grids = lbw_grid_table(&num_grids);
    for (size_t g = 0; g < num_grids; g++)
        for (int scale = 0; scale < 2; scale++) {
            uint8_t codes[M * K], again[M * K];
            float steps[M], steps_again[M];
            double correction[M];
            struct lbw_reconstruct_stats stats, stats_again;
            struct lbw_reconstruct_params params = {.scale = (enum lbw_scale)scale,
                                                    .num_threads = 1};
            struct lbw_error err = {0};
            assert_int_equal(lbw_reconstruct(codes, steps, correction, layer->fit, &grids[g],
                                             &params, &stats, &err),
                             LBW_OK);
            double error = true_error(layer, codes, steps, correction, &grids[g]);
            assert_true(fabs(error - stats.error_after) < 2e-3 * error + 1e-7);
            assert_true(stats.error_after < stats.error_before);
            params.num_threads = 3;
            assert_int_equal(lbw_reconstruct(again, steps_again, correction, layer->fit,
                                             &grids[g], &params, &stats_again, &err),
                             LBW_OK);
            assert_memory_equal(codes, again, sizeof codes);
            assert_memory_equal(steps, steps_again, sizeof steps);
            for (size_t r = 0; r < M && scale == LBW_SCALE_POW2; r++) {
                int exponent;
                assert_true(frexpf(steps[r], &exponent) == 0.5f);
            }
        }
}

static void test_reconstruct(void **state)
{
    (void)state;
    const size_t kept[] = {0, NUM}; /* both forms of the problem */
    for (int i = 0; i < 2; i++) {
        struct layer *layer = make_layer(0.3, 3, kept[i]);
        check_reconstruct(layer);
        free_layer(layer);
    }
}

/* Inputs that never vary, an input that is always zero, no column at all. */
static void test_degenerate(void **state)
{
    (void)state;
    const struct lbw_grid *grid = lbw_grid_by_name("3");
    struct lbw_moments moments;
    struct lbw_fit *fit;
    struct lbw_reconstruct_params params = {.num_threads = 1};
    struct lbw_reconstruct_stats stats;
    float w[2 * K], steps[2], x[8 * K], y[8 * K];
    uint8_t codes[2 * K], plain[K];
    double correction[2];
    struct lbw_random random = {5};
    for (size_t i = 0; i < 2 * K; i++)
        w[i] = (float)gauss(&random);
    assert_int_equal(lbw_moments_init(&moments, w, 2, K, 0, false, NULL), LBW_OK);
    struct lbw_error err;
    assert_int_equal(lbw_fit_open(&fit, &moments, (struct lbw_damping){0.01, 0}, 1, NULL, &err),
                     LBW_ERR_UNSUPPORTED);
    for (size_t i = 0; i < 8 * K; i++)
        x[i] = y[i] = i % K == 3 ? 0 : 7;
    assert_int_equal(lbw_moments_add(&moments, x, y, 8, 1, NULL), LBW_OK);
    assert_int_equal(lbw_fit_open(&fit, &moments, (struct lbw_damping){0.01, 0}, 1, NULL, &err),
                     LBW_OK);
    assert_int_equal(
        lbw_reconstruct(codes, steps, correction, fit, grid, &params, &stats, &err), LBW_OK);
    for (size_t r = 0; r < 2; r++) { /* nearest for its own step, and finite */
        assert_true(isfinite(steps[r]) && steps[r] > 0 && isfinite(correction[r]));
        lbw_nearest(plain, w + r * K, K, grid, steps[r]);
        assert_memory_equal(plain, codes + r * K, K);
    }
    lbw_fit_close(&fit);
    lbw_moments_release(&moments);
}

#define LONG_K 600 /* ten blocks, the last not full */
#define LONG_M 24

/* The signal-to-noise ratio of a layer with few samples, in dB. */
static double fit_long_rows(float *w, const float *x, const float *y, size_t num, bool is_kept,
                            const struct lbw_grid *grid, double own, struct lbw_watch *watch)
{
    struct lbw_moments moments;
    struct lbw_fit *fit;
    struct lbw_reconstruct_stats stats;
    struct lbw_reconstruct_params params = {.scale = LBW_SCALE_REAL, .watch = watch};
    size_t size = num * LONG_K;
    float *copies = malloc(2 * size * sizeof *copies), steps[LONG_M];
    uint8_t *codes = malloc(LONG_M * LONG_K);
    double correction[LONG_M];
    struct lbw_error err;
    assert_true(copies && codes);
    memcpy(copies, x, size * sizeof *copies);
    memcpy(copies + size, y, size * sizeof *copies);
    assert_int_equal(
        lbw_moments_init(&moments, w, LONG_M, LONG_K, is_kept ? num : 0, is_kept, NULL),
        LBW_OK);
    assert_int_equal(lbw_moments_add(&moments, copies, copies + size, num, 2, NULL), LBW_OK);
    assert_true(is_kept == !moments.yy);
    assert_int_equal(
        lbw_fit_open(&fit, &moments, (struct lbw_damping){0.1, own}, 0, NULL, NULL), LBW_OK);
    enum lbw_status status =
        lbw_reconstruct(codes, steps, correction, fit, grid, &params, &stats, &err);
    assert_int_equal(status, watch ? LBW_ERR_INTERRUPTED : LBW_OK);
    lbw_fit_close(&fit);
    lbw_moments_release(&moments);
    free(copies);
    free(codes);
    return watch ? 0 : 10 * log10(stats.energy / stats.error_after);
}

static bool stop(void *user)
{
    ++*(int *)user;
    return false;
}

/* Samples in place of the covariance fit as well, and a watch ends either. */
static void test_forms_agree(void **state)
{
    (void)state;
    enum { NUM_LONG = 150 };
    static float w[LONG_M * LONG_K], x[NUM_LONG * LONG_K], y[NUM_LONG * LONG_K];
    struct lbw_random random = {7};
    for (size_t i = 0; i < LONG_M * LONG_K; i++)
        w[i] = (float)gauss(&random) * 0.1f;
    make_columns(x, y, NUM_LONG, LONG_K, 0.1, &random);
    const char *grids[] = {"3", "4", "4x2"};
    for (int g = 0; g < 6; g++) { /* damped alike, then by each column's variance too */
        const struct lbw_grid *grid = lbw_grid_by_name(grids[g % 3]);
        double snr[2];
        for (int kept = 0; kept < 2; kept++)
            snr[kept] = fit_long_rows(w, x, y, NUM_LONG, kept, grid, g < 3 ? 0 : 0.5, NULL);
        assert_true(snr[0] > 10);
        assert_true(snr[1] > snr[0] - 0.1);
    }
    for (int kept = 0; kept < 2; kept++) {
        int calls = 0;
        struct lbw_watch watch = {.fn = stop, .user = &calls, .owner = pthread_self()};
        fit_long_rows(w, x, y, NUM_LONG, kept, lbw_grid_by_name("4"), 0, &watch);
        assert_int_equal(calls, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beam_is_optimal), cmocka_unit_test(test_feedback_and_descent),
        cmocka_unit_test(test_reconstruct),     cmocka_unit_test(test_degenerate),
        cmocka_unit_test(test_forms_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
