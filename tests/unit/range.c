/* SPDX-License-Identifier: MIT */
/* range: the fitted range against exhaustive ones, zero, clipping, and what a curve flattens.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/random.h"
#include "num/range.h"

#define N ((size_t)20000)

static float x[N];

/* Near enough to a normal distribution. */
static double gauss(struct lbw_random *random)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += lbw_random_unit(random);
    return sum;
}

static void fill(float spread, float outlier)
{
    struct lbw_random random = {7};
    for (size_t i = 0; i < N; i++)
        x[i] = spread * (float)(gauss(&random));
    x[17] = outlier;
}

static double error_of(const struct lbw_range *range, enum lbw_range_curve curve)
{
    double error = 0;
    for (size_t i = 0; i < N; i++) {
        double is = lbw_range_curve(curve, (double)lbw_range_round(range, x[i]));
        double wanted = lbw_range_curve(curve, (double)x[i]);
        error += pow(is - wanted, 4);
    }
    return error;
}

static void test_zero_is_a_value(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct lbw_range range =
            lbw_range_between(LBW_RANGE_UNSIGNED, (float)-i / 7, (float)(200 - i) / 3);
        assert_true(lbw_range_round(&range, 0) == 0);
        range = lbw_range_between(LBW_RANGE_SYMMETRIC, (float)-i / 7, (float)(200 - i) / 3);
        assert_true(lbw_range_round(&range, 0) == 0 && range.zero == 0);
    }
}

/* Against every pair of ends on a grid of its own. */
static void test_fit_is_least(void **state)
{
    (void)state;
    for (int kind = LBW_RANGE_UNSIGNED; kind <= LBW_RANGE_SYMMETRIC; kind++) {
        struct lbw_range fitted;
        fill(1, 60);
        assert_int_equal(lbw_range_fit(&fitted, (enum lbw_range_kind)kind, LBW_CURVE_NONE, 4, x,
                                       NULL, N, NULL),
                         LBW_OK);
        double best = INFINITY, mine = error_of(&fitted, LBW_CURVE_NONE);
        for (float high = 60; high > 1; high *= 0.9F)
            for (float low = -5; low < -0.5F; low *= 0.9F) {
                struct lbw_range range =
                    lbw_range_between((enum lbw_range_kind)kind, low, high);
                best = fmin(best, error_of(&range, LBW_CURVE_NONE));
            }
        assert_true(mine <= best * 1.02);
    }
}

/* One outlier is not worth clipping; a few among many values of little are, at the ends. */
static void test_clips(void **state)
{
    struct lbw_range fitted;
    float low, high;
    (void)state;
    fill(1, 4);
    assert_int_equal(
        lbw_range_fit(&fitted, LBW_RANGE_UNSIGNED, LBW_CURVE_NONE, 4, x, NULL, N, NULL),
        LBW_OK);
    lbw_range_limits(&low, &high, &fitted);
    assert_true(high < 4.5F && high > 2.5F && low < -2.5F);
}

/* The few strong responses of a channel that counts for less: squares would clip them. */
static void test_keeps_strong_responses(void **state)
{
    static float weights[N];
    struct lbw_range fitted;
    float low, high;
    (void)state;
    fill(0.25F, 1);
    for (size_t i = 0; i < N; i++)
        weights[i] = 1;
    for (size_t i = 0; i < 10; i++) {
        x[i * 331] = 2 + (float)i / 3;
        weights[i * 331] = 0.1F;
    }
    assert_int_equal(
        lbw_range_fit(&fitted, LBW_RANGE_UNSIGNED, LBW_CURVE_NONE, 4, x, weights, N, NULL),
        LBW_OK);
    lbw_range_limits(&low, &high, &fitted);
    assert_true(high > 4.9F);
}

/* What a sigmoid sends to zero need not be kept apart. */
static void test_curve(void **state)
{
    struct lbw_range plain, curved;
    float low, high, curved_low, curved_high;
    (void)state;
    fill(10, 10);
    assert_int_equal(
        lbw_range_fit(&plain, LBW_RANGE_UNSIGNED, LBW_CURVE_NONE, 4, x, NULL, N, NULL), LBW_OK);
    assert_int_equal(
        lbw_range_fit(&curved, LBW_RANGE_UNSIGNED, LBW_CURVE_SILU, 4, x, NULL, N, NULL),
        LBW_OK);
    lbw_range_limits(&low, &high, &plain);
    lbw_range_limits(&curved_low, &curved_high, &curved);
    assert_true(low < -25 && curved_low > -15 && curved_high > 25);
    assert_true(error_of(&curved, LBW_CURVE_SILU) < 0.5 * error_of(&plain, LBW_CURVE_SILU));
}

static void test_flat(void **state)
{
    struct lbw_range fitted;
    const float zeros[3] = {0, 0, 0};
    (void)state;
    assert_int_equal(
        lbw_range_fit(&fitted, LBW_RANGE_UNSIGNED, LBW_CURVE_NONE, 4, zeros, NULL, 3, NULL),
        LBW_OK);
    assert_true(fitted.scale > 0 && lbw_range_round(&fitted, 0) == 0);
}

/* A channel of a hundredth of the other's width keeps its share of the codes. */
static void test_channels_have_their_own_scales(void **state)
{
    (void)state;
    enum { CHANNELS = 4 };
    const size_t part = N / CHANNELS, starts[CHANNELS + 1] = {0, part, 2 * part, 3 * part, N};
    const double weights[CHANNELS] = {1, 1e4, 1, 0};
    const float widths[CHANNELS] = {1, .01F, 3, 100};
    struct lbw_range fitted[CHANNELS];
    fill(1, 5);
    for (size_t i = 0; i < N; i++)
        x[i] = widths[i / part] * fabsf(x[i]);
    assert_int_equal(
        lbw_ranges_fit(fitted, CHANNELS, LBW_CURVE_NONE, 4, x, starts, weights, NULL), LBW_OK);
    for (int c = 0; c < CHANNELS; c++) {
        double error = 0, energy = 0;
        for (size_t i = starts[c]; i < starts[c + 1]; i++) {
            double apart = (double)(lbw_range_round(&fitted[c], x[i]) - x[i]);
            error += apart * apart;
            energy += (double)x[i] * (double)x[i];
        }
        assert_int_equal(fitted[c].zero, 0); /* no value is below it */
        assert_true(error < energy * 1e-4);
    }
    for (size_t i = 0; i < part; i++)
        x[i] = -x[i]; /* one channel on either side: the zero lies between */
    assert_int_equal(
        lbw_ranges_fit(fitted, CHANNELS, LBW_CURVE_NONE, 4, x, starts, weights, NULL), LBW_OK);
    assert_true(fitted[0].zero > 32 && fitted[0].zero < 224);
    for (int c = 1; c < CHANNELS; c++)
        assert_int_equal(fitted[c].zero, fitted[0].zero);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_is_a_value),
        cmocka_unit_test(test_fit_is_least),
        cmocka_unit_test(test_clips),
        cmocka_unit_test(test_keeps_strong_responses),
        cmocka_unit_test(test_curve),
        cmocka_unit_test(test_flat),
        cmocka_unit_test(test_channels_have_their_own_scales),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
