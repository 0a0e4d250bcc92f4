/* SPDX-License-Identifier: MIT */
/* kernels: every version this processor runs gives the bits of the C reference. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bits.h"
#include "base/random.h"
#include "num/decision.h"
#include "num/kernels.h"
#include "num/project.h"

#define MAX_SIZE 200

/* Exact allocations of n items, so that a sanitizer sees any access beyond them. */
struct arrays {
    float *w, *out, *out_reference;
    uint8_t *codes, *codes_reference;
};

static void arrays_init(struct arrays *a, size_t n)
{
    a->w = malloc(n * sizeof(float) + !n);
    a->out = malloc(n * sizeof(float) + !n);
    a->out_reference = malloc(n * sizeof(float) + !n);
    a->codes = malloc(n + !n);
    a->codes_reference = malloc(n + !n);
    assert_true(a->w && a->out && a->out_reference && a->codes && a->codes_reference);
}

static void arrays_release(struct arrays *a)
{
    free(a->w);
    free(a->out);
    free(a->out_reference);
    free(a->codes);
    free(a->codes_reference);
}

/* All kinds of finite floats: of every exponent, near 1, zeros, and around thresholds. */
static float any_float(struct lbw_random *random, const struct lbw_decision *decision)
{
    uint32_t bits = (uint32_t)lbw_random_u64(random);
    switch (lbw_random_below(random, 5)) {
    case 0:
        return (bits & 0x7f800000) == 0x7f800000 ? 0 : lbw_float_from_bits(bits);
    case 1:
        return bits & 1 ? -0.0F : 0.0F;
    case 2:
        bits = decision->thresholds[bits % (uint32_t)decision->num] + bits / 65536 % 3 - 1;
        return bits < 0x7f800000 ? lbw_float_from_bits(bits) : 1;
    default:
        return (float)(4 * lbw_random_unit(random) - 2);
    }
}

static float any_step(struct lbw_random *random)
{
    float unit = (float)(lbw_random_unit(random) + 0.001);
    switch (lbw_random_below(random, 8)) {
    case 0:
        return ldexpf(unit, -(int)lbw_random_below(random, 139));
    case 1:
        return ldexpf(unit, (int)lbw_random_below(random, 128));
    case 2:
        return ldexpf(1, -(int)lbw_random_below(random, 149));
    default:
        return unit;
    }
}

static void assert_same_double(double a, double b)
{
    assert_memory_equal(&a, &b, sizeof a);
}

static void check_version(const struct lbw_kernels *kernels, struct arrays *a, size_t n,
                          const struct lbw_decision *decision,
                          const float values[LBW_MAX_LEVELS])
{
    const struct lbw_kernels *c = &lbw_kernels_portable;
    double x, y, x_reference, y_reference;
    uint32_t greatest, greatest_reference;
    c->scan(&greatest_reference, &x_reference, a->w, n);
    kernels->scan(&greatest, &x, a->w, n);
    assert_int_equal(greatest, greatest_reference);
    assert_same_double(x, x_reference);
    c->nearest(a->codes_reference, a->w, n, decision);
    kernels->nearest(a->codes, a->w, n, decision);
    assert_memory_equal(a->codes, a->codes_reference, n);
    c->fit(&x_reference, &y_reference, a->w, n, decision);
    kernels->fit(&x, &y, a->w, n, decision);
    assert_same_double(x, x_reference);
    assert_same_double(y, y_reference);
    c->look_up(a->out_reference, a->codes, n, values);
    kernels->look_up(a->out, a->codes, n, values);
    assert_memory_equal(a->out, a->out_reference, n * sizeof(float));
    c->compare(&x_reference, &y_reference, a->w, a->codes, n, values);
    kernels->compare(&x, &y, a->w, a->codes, n, values);
    assert_same_double(x, x_reference);
    assert_same_double(y, y_reference);
}

/* Every length around a vector and around what a 32-bit lane holds, at the largest values. */
static void test_ladder(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 100, 2040, 4080, 4081, 9000};
    const struct lbw_kernels *all[LBW_MAX_KERNELS];
    size_t num = lbw_kernels_all(all);
    struct lbw_random random = {2};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int kind = 0; kind < 3; kind++) {
            size_t n = sizes[s];
            int32_t thresholds[LBW_LADDER];
            int64_t sums[LBW_LADDER], reference[LBW_LADDER];
            struct arrays a;
            arrays_init(&a, n);
            for (size_t i = 0; i < n; i++) {
                float sign = lbw_random_below(&random, 2) ? -1 : 1;
                a.w[i] = sign * (kind ? (float)lbw_random_unit(&random) : 0x0.ffffffp0F);
            }
            for (int k = 0; k < LBW_LADDER; k++)
                thresholds[k] =
                    kind == 2 ? 1 << 23 : (int32_t)lbw_random_below(&random, 1 << 23);
            float scale = kind ? 0x1p23F : 0x1.000002p23F;
            lbw_kernels_portable.ladder(reference, a.w, n, scale, thresholds);
            for (size_t v = 1; v < num; v++) {
                all[v]->ladder(sums, a.w, n, scale, thresholds);
                assert_memory_equal(sums, reference, sizeof sums);
            }
            arrays_release(&a);
        }
}

static void test_versions(void **state)
{
    (void)state;
    size_t num_grids;
    const struct lbw_kernels *all[LBW_MAX_KERNELS];
    const struct lbw_grid *grids = lbw_grid_table(&num_grids);
    size_t num = lbw_kernels_all(all);
    assert_ptr_equal(all[0], &lbw_kernels_portable);
    assert_ptr_equal(all[num - 1], lbw_kernels_best());
    for (size_t i = 0; i < num; i++)
        print_message("# %s\n", all[i]->name);
    struct lbw_random random = {1};
    for (int round = 0; round < 4000; round++) {
        const struct lbw_grid *grid = &grids[lbw_random_below(&random, (uint32_t)num_grids)];
        size_t n = lbw_random_below(&random, MAX_SIZE);
        struct lbw_decision decision;
        float values[LBW_MAX_LEVELS] = {0}, step = any_step(&random);
        if (grid->bits > 2 && grid->terms == 1 && lbw_random_below(&random, 4) == 0)
            lbw_decision_threshold(&decision, grid, (double)step);
        else
            lbw_decision_nearest(&decision, grid, step);
        for (int code = 0; code < grid->num_levels; code++)
            values[code] = step * (float)grid->levels[code];
        struct arrays arrays;
        arrays_init(&arrays, n);
        for (size_t i = 0; i < n; i++)
            arrays.w[i] = any_float(&random, &decision);
        for (size_t i = 1; i < num; i++)
            check_version(all[i], &arrays, n, &decision, values);
        arrays_release(&arrays);
    }
}

/* Infinities and NaN are found wherever they stand. */
static void test_scan(void **state)
{
    (void)state;
    const struct lbw_kernels *all[LBW_MAX_KERNELS];
    size_t num = lbw_kernels_all(all);
    float w[150] = {0};
    for (size_t v = 0; v < num; v++)
        for (size_t i = 0; i < 150; i++) {
            static const uint32_t kinds[] = {0xff800000, 0x7f800000, 0x7fc00000, 0xff7fffff};
            for (size_t k = 0; k < 4; k++) {
                w[i] = lbw_float_from_bits(kinds[k]);
                uint32_t greatest;
                double sum;
                all[v]->scan(&greatest, &sum, w, 150);
                assert_int_equal(greatest, kinds[k] & 0x7fffffff);
                assert_int_equal(lbw_all_finite(w, 150), k == 3);
                w[i] = 0;
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ladder),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_scan),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
