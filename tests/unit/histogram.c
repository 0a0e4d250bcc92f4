/* SPDX-License-Identifier: MIT */
/* histogram: sums against the definition, at every size where the way of adding changes. */
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

#define MAX_SIZE ((size_t)300000)

static float w[MAX_SIZE];

/* Bin by bin from the header's words. */
static void add_reference(struct lbw_histogram *histogram, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = lbw_float_bits(values[i]);
        uint32_t significand = (bits & 0x7fffff) + (bits & 0x7f800000 ? 0x800000 : 0);
        histogram->count[bits >> 22 & 511]++;
        histogram->mantissa[bits >> 22 & 511] += significand;
    }
}

static void check(size_t n)
{
    static struct lbw_histogram mine, reference;
    memset(&mine, 0, sizeof mine);
    memset(&reference, 0, sizeof reference);
    lbw_histogram_add(&mine, w, n);
    add_reference(&reference, w, n);
    assert_memory_equal(&mine, &reference, sizeof mine);
    lbw_histogram_add(&mine, w, n / 2); /* adds to what is there */
    add_reference(&reference, w, n / 2);
    assert_memory_equal(&mine, &reference, sizeof mine);
}

static void test_sums(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,    1,     9,      1023,   1024,   1025,   1026,
                                   1027, 65536, 131071, 131072, 131073, 262147, MAX_SIZE};
    struct lbw_random random = {1};
    /* any bits at all; only the largest finite value; the smallest NaN, negative */
    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < MAX_SIZE; i++)
            w[i] = lbw_float_from_bits(kind == 0   ? (uint32_t)lbw_random_u64(&random)
                                       : kind == 1 ? 0x7f7fffff
                                                   : 0xff800001);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            check(sizes[i]);
    }
}

static void test_top(void **state)
{
    (void)state;
    static struct lbw_histogram histogram;
    const float values[] = {0, 0x1p-149F, -0x1p-127F, 1, 1.5F};
    const int tops[] = {0, 0, 1, 254, 255};
    for (size_t i = 0; i < 5; i++) {
        lbw_histogram_add(&histogram, values, i + 1);
        assert_int_equal(lbw_histogram_top(&histogram), tops[i]);
    }
}

/* The bounds on the exponent hold, and the best one within them is found. */
static void test_bounds(void **state)
{
    (void)state;
    static struct lbw_histogram histogram;
    const float values[] = {1, 1, 1, 1, 0.5F};
    lbw_histogram_add(&histogram, values, 5);
    assert_int_equal(lbw_histogram_exponent(&histogram, 5, 4, -149, 127), 0);
    assert_int_equal(lbw_histogram_exponent(&histogram, 5, 4, -149, -2), -2);
    assert_int_equal(lbw_histogram_exponent(&histogram, 5, 4, 2, 127), 2);
    assert_int_equal(lbw_histogram_exponent(&histogram, 5, 1, -149, 127), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_top),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
