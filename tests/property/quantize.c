/* SPDX-License-Identifier: MIT */
/* quantize: the one-pass optimum against brute force over exponents and levels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bits.h"
#include "base/random.h"
#include "num/histogram.h"
#include "num/ladder.h"
#include "num/project.h"

#define NUM_VECTORS 10000
#define MAX_SIZE    40
#define MANY        2048

static const struct lbw_quantize_params optimal = {LBW_METHOD_OPTIMAL, LBW_SCALE_POW2, 0};

/* A standard normal, nearly: the sum of twelve uniforms. */
static double normal(struct lbw_random *random)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += lbw_random_unit(random);
    return sum;
}

/* One weight of one of several families; `family` stays the same for a vector. */
static float weight(struct lbw_random *random, uint32_t family)
{
    double sign = lbw_random_below(random, 2) ? -1 : 1;
    int octave = (int)lbw_random_below(random, 24) - 20;
    static const double exact[] = {0, 1, 1.5, 2, 1.25, 0.5, 0.75, 3};
    switch (family % 8) {
    case 0:
        return (float)normal(random);
    case 1:
        return (float)(sign * log(1 - lbw_random_unit(random)));
    case 2: /* nothing but thresholds and levels */
        return (float)(sign * ldexp(exact[lbw_random_below(random, 8)], octave / 2));
    case 3: /* many octaves */
        return (float)(sign * ldexp(1 + lbw_random_unit(random), 2 * octave));
    case 4: /* a few outliers */
        return (float)(normal(random) * (lbw_random_below(random, 8) ? 0.01 : 4));
    case 5: /* one unit beside a threshold */
        return (float)(sign * ldexp(exact[1 + lbw_random_below(random, 7)] +
                                        ((int)lbw_random_below(random, 3) - 1) * 0x1p-23,
                                    octave / 4));
    case 6:
        return (float)(sign * ldexp(normal(random), -140 + octave / 2)); /* denormal */
    default:
        return (float)(sign * ldexp(1 + lbw_random_unit(random), 127 - octave / -5 % 3));
    }
}

static size_t vector(float *w, struct lbw_random *random)
{
    uint32_t family = lbw_random_below(random, 8);
    size_t n = 1 + lbw_random_below(random, MAX_SIZE);
    for (size_t i = 0; i < n; i++)
        w[i] = weight(random, family);
    if (w[0] == 0)
        w[0] = ldexpf(1, -100);
    return n;
}

static long double energy_of(const float *w, size_t n)
{
    long double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (long double)w[i] * w[i];
    return sum;
}

/* Σ over weights of the least squared distance to any level. */
static long double brute_error(const float *w, size_t n, const struct lbw_grid *grid,
                               long double step)
{
    long double sum = 0;
    for (size_t i = 0; i < n; i++) {
        long double least = INFINITY;
        for (int code = 0; code < grid->num_levels; code++) {
            long double d = step * grid->levels[code] - w[i];
            least = d * d < least ? d * d : least;
        }
        sum += least;
    }
    return sum;
}

static long double error_of(const float *w, size_t n, const struct lbw_grid *grid,
                            const uint8_t *codes, float step)
{
    long double sum = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(codes[i] < grid->num_levels);
        long double d = (long double)step * grid->levels[codes[i]] - w[i];
        sum += d * d;
    }
    return sum;
}

/* Over every exponent that gives a positive step with a finite largest level. */
static long double brute_optimum(const float *w, size_t n, const struct lbw_grid *grid)
{
    int top = grid->levels[grid->num_levels - 1];
    float greatest = 0;
    for (size_t i = 0; i < n; i++)
        greatest = fabsf(w[i]) > greatest ? fabsf(w[i]) : greatest;
    long double least = INFINITY;
    int from = ilogbf(greatest) - 30 < -149 ? -149 : ilogbf(greatest) - 30;
    for (int k = from; k <= ilogbf(greatest) + 3; k++)
        if (k + ilogb(top) <= 127) {
            long double error = brute_error(w, n, grid, ldexpl(1, k));
            least = error < least ? error : least;
        }
    return least;
}

static void test_brute_force(void **state)
{
    (void)state;
    size_t num;
    const struct lbw_grid *grids = lbw_grid_table(&num);
    struct lbw_random random = {2};
    for (size_t g = 0; g < num; g++) {
        for (int i = 0; i < (grids[g].terms == 1 ? NUM_VECTORS : NUM_VECTORS / 20); i++) {
            /* zeros change no error, but many weights take another path than few */
            float w[MANY + 3] = {0}, step;
            uint8_t codes[MANY + 3];
            size_t n = vector(w, &random), padded = i % 2 ? n : MANY + (size_t)i / 2 % 4;
            assert_int_equal(lbw_quantize(codes, &step, w, padded, &grids[g], &optimal, NULL),
                             LBW_OK);
            assert_true(step > 0 &&
                        isfinite(step * (float)grids[g].levels[grids[g].num_levels - 1]));
            assert_true(frexpf(step, &(int){0}) == 0.5F);
            long double error = error_of(w, n, &grids[g], codes, step);
            long double best = brute_optimum(w, n, &grids[g]);
            assert_true(error <= best + 1e-15L * energy_of(w, n));
        }
    }
}

/* Where the comparison in integers decides, it decides as the exact sums do. */
static void test_ladder(void **state)
{
    (void)state;
    struct lbw_random random = {10};
    static struct lbw_histogram histogram;
    static float w[3000];
    int num_decided = 0;
    for (int i = 0; i < NUM_VECTORS / 5; i++) {
        uint32_t family = lbw_random_below(&random, 6);
        int s, num = 1 << lbw_random_below(&random, 5);
        size_t n = 1 + lbw_random_below(&random, i % 2 ? 3000 : 30);
        uint32_t greatest;
        double sum;
        for (size_t j = 0; j < n; j++)
            w[j] = weight(&random, family);
        w[0] += w[0] == 0;
        memset(&histogram, 0, sizeof histogram);
        lbw_histogram_add(&histogram, w, n);
        lbw_kernels_best()->scan(&greatest, &sum, w, n);
        if (!lbw_ladder_exponent(&s, lbw_kernels_best(), w, n, num,
                                 lbw_float_from_bits(greatest), sum))
            continue;
        assert_int_equal(s, lbw_histogram_exponent(&histogram, n, num, -149, 127));
        num_decided++;
    }
    assert_true(num_decided > NUM_VECTORS / 10);
}

static void test_theorem(void **state)
{
    (void)state;
    const struct lbw_grid *grid = lbw_grid_by_name("2");
    struct lbw_quantize_params ternary = {LBW_METHOD_TERNARY, LBW_SCALE_POW2, 0};
    struct lbw_random random = {3};
    for (int i = 0; i < NUM_VECTORS; i++) {
        float w[MAX_SIZE], step, step_ternary;
        uint8_t codes[MAX_SIZE], codes_ternary[MAX_SIZE];
        size_t n = vector(w, &random);
        assert_int_equal(lbw_quantize(codes, &step, w, n, grid, &optimal, NULL), LBW_OK);
        assert_int_equal(lbw_quantize(codes_ternary, &step_ternary, w, n, grid, &ternary, NULL),
                         LBW_OK);
        long double a = error_of(w, n, grid, codes, step);
        long double b = error_of(w, n, grid, codes_ternary, step_ternary);
        assert_true(fabsl(a - b) <= 1e-15L * energy_of(w, n));
    }
}

/* The paper's scheme as written there: fractions of µ, then the exponent. */
static void paper_threshold(float *out, const float *w, size_t n, int bits, double mu)
{
    int num = 1 << (bits - 2);
    long double cross = 0, square = 0;
    double q[MAX_SIZE];
    for (size_t i = 0; i < n; i++) {
        double a = fabs((double)w[i]);
        q[i] = a >= mu ? 1 : 0;
        for (int t = 1; t <= num - 2; t++)
            if (a >= ldexp(mu, -t) && a < ldexp(mu, 1 - t))
                q[i] = ldexp(1, -t);
        if (a >= ldexp(mu, 2 - num) / 3 && a < ldexp(mu, 2 - num))
            q[i] = ldexp(1, 1 - num);
        cross += q[i] * a;
        square += q[i] * q[i];
    }
    int s = ilogbl(4 * cross / (3 * square));
    for (size_t i = 0; i < n; i++)
        out[i] = (float)copysign(ldexp(q[i], s), (double)w[i]);
}

static void test_threshold(void **state)
{
    (void)state;
    static const float shares[] = {0.25F, 0.5F, 0.66F, 0.75F, 0.9F, 1.2F};
    struct lbw_random random = {4};
    for (int bits = 3; bits <= 6; bits++)
        for (int i = 0; i < NUM_VECTORS / 2; i++) {
            const struct lbw_grid *grid = lbw_grid_find(bits, 1, 0);
            struct lbw_quantize_params threshold = {
                LBW_METHOD_THRESHOLD, LBW_SCALE_POW2,
                shares[lbw_random_below(&random, sizeof shares / sizeof shares[0])]};
            float w[MAX_SIZE], paper[MAX_SIZE], decoded[MAX_SIZE], step, step_threshold;
            uint8_t codes[MAX_SIZE], codes_threshold[MAX_SIZE];
            uint32_t family = lbw_random_below(&random, 6);
            size_t n = 1 + lbw_random_below(&random, MAX_SIZE);
            float greatest = 0;
            for (size_t j = 0; j < n; j++)
                w[j] = j ? weight(&random, family) : 1;
            for (size_t j = 0; j < n; j++)
                greatest = fabsf(w[j]) > greatest ? fabsf(w[j]) : greatest;
            assert_int_equal(lbw_quantize(codes, &step, w, n, grid, &optimal, NULL), LBW_OK);
            assert_int_equal(
                lbw_quantize(codes_threshold, &step_threshold, w, n, grid, &threshold, NULL),
                LBW_OK);
            assert_true(error_of(w, n, grid, codes, step) <=
                        error_of(w, n, grid, codes_threshold, step_threshold) +
                            1e-15L * energy_of(w, n));
            paper_threshold(paper, w, n, bits, (double)threshold.mu * (double)greatest);
            lbw_dequantize(decoded, codes_threshold, n, grid, step_threshold);
            for (size_t j = 0; j < n; j++)
                assert_true(decoded[j] == paper[j]);
        }
}

static void test_real_never_worse(void **state)
{
    (void)state;
    size_t num;
    const struct lbw_grid *grids = lbw_grid_table(&num);
    struct lbw_random random = {5};
    int num_better = 0;
    for (int i = 0; i < NUM_VECTORS; i++) {
        const struct lbw_grid *grid = &grids[lbw_random_below(&random, (uint32_t)num)];
        struct lbw_quantize_params real = {lbw_random_below(&random, 2) && grid->bits == 2 &&
                                                   grid->terms == 1
                                               ? LBW_METHOD_TERNARY
                                               : LBW_METHOD_OPTIMAL,
                                           LBW_SCALE_REAL, 0};
        float w[MAX_SIZE], step, step_real;
        uint8_t codes[MAX_SIZE], codes_real[MAX_SIZE];
        size_t n = vector(w, &random);
        assert_int_equal(lbw_quantize(codes, &step, w, n, grid, &optimal, NULL), LBW_OK);
        assert_int_equal(lbw_quantize(codes_real, &step_real, w, n, grid, &real, NULL), LBW_OK);
        assert_true(lbw_round_step(step_real) == step_real);
        assert_true(isfinite(step_real * (float)grid->levels[grid->num_levels - 1]));
        long double pow2 = error_of(w, n, grid, codes, step);
        long double error = error_of(w, n, grid, codes_real, step_real);
        assert_true(error <= pow2 + 1e-15L * energy_of(w, n));
        num_better += error < 0.99L * pow2;
    }
    assert_true(num_better > NUM_VECTORS / 2);
}

/* Any step at all: every code is the nearest level, the larger magnitude of two. */
static void test_nearest(void **state)
{
    (void)state;
    size_t num;
    const struct lbw_grid *grids = lbw_grid_table(&num);
    struct lbw_random random = {6};
    for (int i = 0; i < NUM_VECTORS; i++) {
        const struct lbw_grid *grid = &grids[lbw_random_below(&random, (uint32_t)num)];
        float w[MAX_SIZE];
        uint8_t codes[MAX_SIZE];
        size_t n = vector(w, &random);
        float step = fabsf(w[lbw_random_below(&random, (uint32_t)n)]) *
                     (float)(lbw_random_unit(&random) / 8);
        if (!(step > 0))
            step = 0x1p-149F;
        lbw_nearest(codes, w, n, grid, step);
        for (size_t j = 0; j < n; j++) {
            int level = abs(grid->levels[codes[j]]);
            long double mine = fabsl((long double)step * grid->levels[codes[j]] - w[j]);
            for (int code = 0; code < grid->num_levels; code++) {
                long double other = fabsl((long double)step * grid->levels[code] - w[j]);
                assert_true(mine <= other);
                if (w[j] != 0)
                    assert_false(mine == other && abs(grid->levels[code]) > level);
            }
        }
    }
}

static void test_zeros(void **state)
{
    (void)state;
    size_t num;
    const struct lbw_grid *grids = lbw_grid_table(&num);
    static const float zeros[MANY] = {0, -0.0F};
    for (size_t g = 0; g < num; g++)
        for (size_t n = 1; n <= MANY; n += MANY - 1)
            for (int scale = 0; scale < 2; scale++) {
                struct lbw_quantize_params params = {
                    LBW_METHOD_OPTIMAL, scale ? LBW_SCALE_POW2 : LBW_SCALE_REAL, 0};
                uint8_t codes[MANY];
                float step = 0, decoded[MANY];
                assert_int_equal(lbw_quantize(codes, &step, zeros, n, &grids[g], &params, NULL),
                                 LBW_OK);
                assert_true(step == 1);
                lbw_dequantize(decoded, codes, n, &grids[g], step);
                for (size_t i = 0; i < n; i++)
                    assert_true(decoded[i] == 0);
            }
}

static void assert_refused(const float *w, size_t n, const char *grid,
                           struct lbw_quantize_params params, const char *message)
{
    struct lbw_error err = {0};
    uint8_t codes[MANY] = {99};
    float step = 99;
    assert_int_equal(lbw_quantize(codes, &step, w, n, lbw_grid_by_name(grid), &params, &err),
                     LBW_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, message));
    assert_true(step == 99 && codes[0] == 99);
}

static void test_refused(void **state)
{
    (void)state;
    float w[MANY] = {1, 2, 3};
    struct lbw_quantize_params params = {LBW_METHOD_OPTIMAL, LBW_SCALE_POW2, 0};
    assert_refused(w, 0, "4", params, "no weights");
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        w[1] = bad[i];
        assert_refused(w, 3, "4", params, "not a number");
        assert_refused(w, MANY, "4", params, "not a number");
        assert_refused(w, 3, "4x2", params, "not a number");
        w[1] = 2;
    }
    params.method = LBW_METHOD_TERNARY;
    assert_refused(w, 3, "3", params, "grid 3");
    assert_refused(w, 3, "2x2", params, "grid 2x2");
    params = (struct lbw_quantize_params){LBW_METHOD_THRESHOLD, LBW_SCALE_POW2, 0.75F};
    assert_refused(w, 3, "2", params, "grid 2");
    assert_refused(w, 3, "3x2", params, "grid 3x2");
    params.mu = 1.5F;
    assert_refused(w, 3, "3", params, "mu is 1.5");
    params.mu = NAN;
    assert_refused(w, 3, "3", params, "mu is nan");
}

/* Codes are for the final step also where the first of several blocks suggests another. */
static void test_blocks(void **state)
{
    (void)state;
    const struct lbw_grid *grid = lbw_grid_by_name("4");
    struct lbw_random random = {9};
    size_t n = 400003;
    float *w = malloc(n * sizeof *w);
    uint8_t *codes = malloc(n), *expected = malloc(n);
    assert_true(w && codes && expected);
    for (int kind = 0; kind < 4; kind++) {
        static const float later[] = {1, 16, 0.001F, 0};
        float step, first_step;
        for (size_t i = 0; i < n; i++)
            w[i] = weight(&random, 0) * (i < 131072 ? kind == 3 ? 0x1p-140F : 1 : later[kind]);
        assert_int_equal(lbw_quantize(codes, &step, w, n, grid, &optimal, NULL), LBW_OK);
        assert_int_equal(lbw_quantize(expected, &first_step, w, 131072, grid, &optimal, NULL),
                         LBW_OK);
        assert_int_equal(step != first_step, kind == 1);
        lbw_nearest(expected, w, n, grid, step);
        assert_memory_equal(codes, expected, n);
    }
    float step = 99;
    w[n - 1] = NAN;
    assert_int_equal(lbw_quantize(codes, &step, w, n, grid, &optimal, NULL), LBW_ERR_ARGUMENT);
    assert_true(step == 99);
    free(expected);
    free(codes);
    free(w);
}

/* Codes and step do not depend on the order of the weights, nor step on their signs. */
static void test_order(void **state)
{
    (void)state;
    struct lbw_random random = {7};
    const struct lbw_grid *grid = lbw_grid_by_name("5");
    static float w[100003], reversed[100003];
    static uint8_t codes[100003], codes_reversed[100003];
    size_t n = sizeof w / sizeof w[0];
    for (uint32_t family = 0; family < 8; family++) {
        float step, step_reversed;
        for (size_t i = 0; i < n; i++) {
            w[i] = weight(&random, family);
            reversed[n - 1 - i] = -w[i];
        }
        assert_int_equal(lbw_quantize(codes, &step, w, n, grid, &optimal, NULL), LBW_OK);
        assert_int_equal(
            lbw_quantize(codes_reversed, &step_reversed, reversed, n, grid, &optimal, NULL),
            LBW_OK);
        assert_true(step == step_reversed);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(codes[i] + codes_reversed[n - 1 - i], grid->num_levels - 1);
    }
}

static void test_round_step(void **state)
{
    (void)state;
    assert_true(lbw_round_step(0x1p-149F) == 0x1p-149F);
    assert_true(lbw_round_step(0x1p-20F) == 0x1p-20F);
    assert_true(lbw_round_step(0x1.002p0F) == 1);
    assert_true(lbw_round_step(0x1.002002p0F) == 0x1.004p0F);
    assert_true(lbw_round_step(0x1.fffffep127F) == 2047 * 0x1p117F);
    struct lbw_random random = {8};
    for (int i = 0; i < NUM_VECTORS; i++) {
        float step = (float)ldexp(1 + lbw_random_unit(&random), (int)(i % 28) - 13);
        uint16_t half = lbw_half_from_float(step);
        assert_true(lbw_round_step(step) == lbw_half_to_float(half));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brute_force),
        cmocka_unit_test(test_ladder),
        cmocka_unit_test(test_theorem),
        cmocka_unit_test(test_threshold),
        cmocka_unit_test(test_real_never_worse),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_round_step),
    };
    return cmocka_run_group_tests_name("quantize", tests, NULL, NULL);
}
