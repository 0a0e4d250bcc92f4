/* SPDX-License-Identifier: MIT */
/* grid: every row of the table follows from its definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <lbw/grid.h>

#include "num/project.h"

/* The values of one term, ascending; returns how many. */
static int term_levels(int32_t *out, int bits)
{
    int num = 1 << (bits - 2);
    for (int t = 0; t < num; t++) {
        out[t] = -(INT32_C(1) << (num - 1 - t));
        out[num + 1 + t] = INT32_C(1) << t;
    }
    out[num] = 0;
    return 2 * num + 1;
}

static int insert_sorted(int32_t *levels, int num, int32_t level)
{
    int i = num;
    for (int j = 0; j < num; j++)
        if (levels[j] == level)
            return num;
    for (; i > 0 && levels[i - 1] > level; i--)
        levels[i] = levels[i - 1];
    levels[i] = level;
    return num + 1;
}

static void check_levels(const struct lbw_grid *grid)
{
    int32_t term[LBW_MAX_LEVELS], levels[LBW_MAX_LEVELS];
    int num_term = term_levels(term, grid->bits), num = 0;
    for (int i = 0; i < num_term; i++)
        for (int j = 0; j < (grid->terms == 2 ? num_term : 1); j++)
            num = insert_sorted(levels, num,
                                grid->terms == 2 ? term[i] * (1 << grid->shift) + term[j]
                                                 : term[i]);
    assert_int_equal(grid->num_levels, num);
    assert_int_equal(grid->zero_code, (num - 1) / 2);
    for (int i = 0; i < num; i++)
        assert_int_equal(grid->levels[i], levels[i]);
}

/* The most base-L digits below `limit`. */
static int most_digits(unsigned base, uint64_t limit)
{
    int digits = 0;
    for (uint64_t left = limit; left >= base; left /= base)
        digits++;
    return digits;
}

static void test_table(void **state)
{
    (void)state;
    size_t num;
    const struct lbw_grid *grids = lbw_grid_table(&num);
    assert_int_equal(num, 11);
    for (size_t i = 0; i < num; i++) {
        const struct lbw_grid *grid = &grids[i];
        char name[16];
        snprintf(name, sizeof name,
                 grid->terms == 1   ? "%d"
                 : grid->shift == 1 ? "%dx2"
                                    : "%dx2d%d",
                 grid->bits, grid->shift);
        assert_string_equal(grid->name, name);
        check_levels(grid);
        int in_2 = most_digits((unsigned)grid->num_levels, UINT64_C(1) << 16);
        int in_8 = most_digits((unsigned)grid->num_levels, UINT64_C(1) << 63);
        int is_short = 16 * in_8 <= 64 * in_2;
        assert_int_equal(grid->word_size, is_short ? 2 : 8);
        assert_int_equal(grid->digits_per_word, is_short ? in_2 : in_8);
        assert_ptr_equal(lbw_grid_by_name(grid->name), grid);
        assert_ptr_equal(lbw_grid_find(grid->bits, grid->terms, grid->shift), grid);
    }
    assert_null(lbw_grid_by_name("7"));
    assert_null(lbw_grid_by_name("4x"));
    assert_null(lbw_grid_find(4, 2, 3));
}

static void test_packed_bits(void **state)
{
    (void)state;
    assert_true(lbw_grid_packed_bits(lbw_grid_by_name("2")) == 1.6);
    assert_true(lbw_grid_packed_bits(lbw_grid_by_name("4")) == 3.2);
    assert_true(lbw_grid_packed_bits(lbw_grid_by_name("3")) == 64.0 / 27);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_packed_bits),
    };
    return cmocka_run_group_tests_name("grid", tests, NULL, NULL);
}
