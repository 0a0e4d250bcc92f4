/* SPDX-License-Identifier: MIT */
/* Softmax down columns: what the definition says, in the same bits on every instruction set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../kernels.h"
#include "kernels/softmax.h"

/* One column against the definition. */
static void check_column(const float *y, const float *x, size_t num, size_t step,
                         double tolerance)
{
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < num; i++)
        most = fmax(most, (double)x[i * step]);
    for (size_t i = 0; i < num; i++)
        sum += exp((double)x[i * step] - most);
    for (size_t i = 0; i < num; i++) {
        double expected = exp((double)x[i * step] - most) / sum;
        /* below -87 the exponential is 0 */
        if (fabs((double)y[i * step] - expected) > tolerance * expected + 1e-37)
            fail_msg("%g, expected %g", (double)y[i * step], expected);
    }
}

static void try_softmax(size_t outer, size_t num, size_t inner, float spread)
{
    const struct lbw_isa *all[LBW_MAX_ISAS];
    size_t num_isas = lbw_isa_all(all), count = outer * num * inner;
    struct lbw_error err = {0};
    float *x = calloc(count + !count, sizeof *x), *y = calloc(count + 1, sizeof *y);
    float *other = calloc(count + 1, sizeof *other);
    assert_true(x && y && other);
    for (size_t i = 0; i < count; i++)
        x[i] = spread * ((float)draw(20001) / 10000 - 1);
    y[count] = 7;
    check(lbw_softmax(y, x, outer, num, inner, NULL, &lbw_sequential, &err), &err);
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < inner; i++)
            check_column(y + o * num * inner + i, x + o * num * inner + i, num, inner,
                         1e-6 + 2e-7 * (double)spread); /* the difference is rounded */
    for (size_t k = 0; k < num_isas; k++) {
        memset(other, 0xa5, count * sizeof *other);
        other[count] = 7;
        check(lbw_softmax(other, x, outer, num, inner, all[k], &lbw_sequential, &err), &err);
        if (memcmp(y, other, (count + 1) * sizeof *y) != 0)
            fail_msg("%s: %zu x %zu x %zu differs from plain C", all[k]->name, outer, num,
                     inner);
    }
    free(x);
    free(y);
    free(other);
}

static void all_sizes_agree(void **unused)
{
    (void)unused;
    static const size_t sizes[][3] = {{1, 16, 8400}, {2, 80, 484}, {3, 5, 64}, {1, 1, 17},
                                      {4, 7, 1},     {0, 3, 5},    {2, 0, 5},  {2, 3, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int spread = 1; spread <= 1000; spread *= 10)
            try_softmax(sizes[i][0], sizes[i][1], sizes[i][2], (float)spread);
    for (int i = 0; i < 100; i++)
        try_softmax(1 + draw(3), 1 + draw(20), 1 + draw(100), 8);
}

/* -inf is nothing; NaN and +inf make their column NaN, and no other. */
static void special_values_stay_in_their_column(void **unused)
{
    (void)unused;
    float x[3][20] = {{0}}, y[3][20];
    struct lbw_error err = {0};
    x[0][1] = -INFINITY;
    x[1][2] = NAN;
    x[2][3] = INFINITY;
    check(lbw_softmax(*y, *x, 1, 3, 20, lbw_isa_best(), &lbw_sequential, &err), &err);
    for (int i = 0; i < 20; i++) {
        bool is_nan = i == 2 || i == 3;
        assert_int_equal(isnan(y[2][i]), is_nan);
        if (!is_nan)
            assert_true(fabsf(y[1][i] - (i == 1 ? .5F : 1.F / 3)) < 1e-6F);
    }
    assert_true(y[0][1] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sizes_agree),
        cmocka_unit_test(special_values_stay_in_their_column),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
