/* SPDX-License-Identifier: MIT */
/* The table of grids. tests/unit/grid.c rebuilds every row from the definition. */
#include "num/project.h"

#include <string.h>

/*
 * A packed word is two bytes where that costs no more per weight than eight do: L^k <= 2^16, or
 * else L^k <= 2^63 so that a word is a valid, non-negative int64.
 */
/* clang-format off */
static const struct lbw_grid grids[] = {
    /* name, bits, terms, shift, L, zero, word size, digits, levels */
    {"2", 2, 1, 0, 3, 1, 2, 10, {-1, 0, 1}},
    {"3", 3, 1, 0, 5, 2, 8, 27, {-2, -1, 0, 1, 2}},
    {"4", 4, 1, 0, 9, 4, 2, 5, {-8, -4, -2, -1, 0, 1, 2, 4, 8}},
    {"5", 5, 1, 0, 17, 8, 8, 15,
     {-128, -64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64, 128}},
    {"6", 6, 1, 0, 33, 16, 2, 3,
     {-32768, -16384, -8192, -4096, -2048, -1024, -512, -256, -128, -64, -32, -16, -8,
      -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192,
      16384, 32768}},
    {"2x2", 2, 2, 1, 7, 3, 8, 22, {-3, -2, -1, 0, 1, 2, 3}},
    {"2x2d2", 2, 2, 2, 9, 4, 2, 5, {-5, -4, -3, -1, 0, 1, 3, 4, 5}},
    {"3x2", 3, 2, 1, 13, 6, 8, 17, {-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6}},
    {"3x2d2", 3, 2, 2, 21, 10, 8, 14,
     {-10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
    {"4x2", 4, 2, 1, 37, 18, 2, 3,
     {-24, -20, -18, -17, -16, -15, -14, -12, -10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0,
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 17, 18, 20, 24}},
    {"4x2d2", 4, 2, 2, 53, 26, 8, 10,
     {-40, -36, -34, -33, -32, -31, -30, -28, -24, -20, -18, -17, -16, -15, -14, -12,
      -10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14,
      15, 16, 17, 18, 20, 24, 28, 30, 31, 32, 33, 34, 36, 40}},
};
/* clang-format on */

#define NUM_GRIDS (sizeof grids / sizeof grids[0])

double lbw_grid_packed_bits(const struct lbw_grid *grid)
{
    return grid->word_size * 8.0 / grid->digits_per_word;
}

const struct lbw_grid *lbw_grid_at(size_t i)
{
    return i < NUM_GRIDS ? &grids[i] : NULL;
}

const struct lbw_grid *lbw_grid_table(size_t *num)
{
    *num = NUM_GRIDS;
    return grids;
}

bool lbw_grid_is_known(const struct lbw_grid *grid)
{
    size_t i = 0;
    while (i < NUM_GRIDS && &grids[i] != grid)
        i++;
    return i < NUM_GRIDS;
}

const struct lbw_grid *lbw_grid_by_name(const char *name)
{
    for (size_t i = 0; name && i < NUM_GRIDS; i++)
        if (strcmp(grids[i].name, name) == 0)
            return &grids[i];
    return NULL;
}

const struct lbw_grid *lbw_grid_find(int bits, int terms, int shift)
{
    for (size_t i = 0; i < NUM_GRIDS; i++)
        if (grids[i].bits == bits && grids[i].terms == terms && grids[i].shift == shift)
            return &grids[i];
    return NULL;
}
