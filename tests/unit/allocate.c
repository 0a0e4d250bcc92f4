/* SPDX-License-Identifier: MIT */
/* Bytes to where they take away most error. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "search/allocate.h"

#define WEIGHTS 4
#define CHOICES 3

/* Errors fall by a factor of 4 and 16; the third layer is ten times as large as the others. */
static const struct lbw_choice choices[WEIGHTS * CHOICES] = {
    {10, .16},  {20, .04},  {40, .01},  /* */
    {10, .16},  {20, .04},  {40, .01},  /* */
    {100, .16}, {200, .04}, {400, .01}, /* */
    {40, .01},  {10, .16},  {20, .04},  /* any order */
};

static const double alike[WEIGHTS] = {1, 1, 1, 1};

static uint64_t size_of(const size_t *picks)
{
    uint64_t size = 0;
    for (size_t i = 0; i < WEIGHTS; i++)
        size += choices[i * CHOICES + picks[i]].size;
    return size;
}

static double error_of(const size_t *picks, const double *importance)
{
    double error = 0;
    for (size_t i = 0; i < WEIGHTS; i++)
        error += importance[i] * choices[i * CHOICES + picks[i]].error;
    return error;
}

static void test_too_small(void **state)
{
    (void)state;
    size_t picks[WEIGHTS] = {7, 7, 7, 7};
    uint64_t least = 0;
    assert_false(lbw_allocate(picks, &least, choices, WEIGHTS, CHOICES, alike, 129));
    assert_int_equal(least, 130);
    assert_int_equal(picks[0], 7);
    assert_true(lbw_allocate(picks, &least, choices, WEIGHTS, CHOICES, alike, 130));
    assert_int_equal(size_of(picks), 130);
}

static void test_room_for_all(void **state)
{
    (void)state;
    size_t picks[WEIGHTS];
    assert_true(lbw_allocate(picks, NULL, choices, WEIGHTS, CHOICES, alike, 10000));
    assert_int_equal(size_of(picks), 520);
}

static void test_small_layers_first(void **state)
{
    (void)state;
    size_t picks[WEIGHTS];
    assert_true(lbw_allocate(picks, NULL, choices, WEIGHTS, CHOICES, alike, 220));
    assert_int_equal(picks[0], 2);
    assert_int_equal(picks[1], 2);
    assert_int_equal(picks[2], 0);
    assert_int_equal(picks[3], 0);
}

static void test_importance(void **state)
{
    (void)state;
    const double importance[WEIGHTS] = {1, 1, 1000, 1};
    size_t picks[WEIGHTS];
    assert_true(lbw_allocate(picks, NULL, choices, WEIGHTS, CHOICES, importance, 430));
    assert_int_equal(picks[2], 2);
    assert_int_equal(size_of(picks), 430);
}

/* Where the budget lets every step of the hull be taken whole, greedy is the optimum. */
static void test_against_all_plans(void **state)
{
    (void)state;
    const double importance[WEIGHTS] = {1, 3, 20, 0.5};
    size_t picks[WEIGHTS], other[WEIGHTS];
    for (uint64_t budget = 130; budget <= 520; budget += 10) {
        assert_true(lbw_allocate(picks, NULL, choices, WEIGHTS, CHOICES, importance, budget));
        uint64_t size = size_of(picks);
        assert_true(size <= budget);
        double least = INFINITY;
        for (size_t n = 0; n < 81; n++) {
            for (size_t i = 0, k = n; i < WEIGHTS; i++, k /= CHOICES)
                other[i] = k % CHOICES;
            if (size_of(other) <= size)
                least = fmin(least, error_of(other, importance));
        }
        assert_true(error_of(picks, importance) <= least * 1.05);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_small),          cmocka_unit_test(test_room_for_all),
        cmocka_unit_test(test_small_layers_first), cmocka_unit_test(test_importance),
        cmocka_unit_test(test_against_all_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
