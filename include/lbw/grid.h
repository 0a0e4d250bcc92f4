/* SPDX-License-Identifier: MIT */
/* The grids: which values a weight may take (arXiv 1612.06052, section 2). */
#ifndef LBW_GRID_H
#define LBW_GRID_H

#include <lbw/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LBW_MAX_LEVELS 64

/*
 * One grid. A weight is step × levels[code]. Levels are exact small integers in ascending
 * order, symmetric around levels[zero_code] = 0, in units of the smallest magnitude. With
 * `bits` b and one term they are 0, ±1, ±2, ±4, …, ±2^(n-1) with n = 2^(b-2). With two terms
 * they are the distinct sums of two such values, the second grid `shift` octaves below the
 * first.
 */
struct lbw_grid {
    const char *name;    /* "4"; two terms: "4x2" with shift 1, "4x2d2" with shift 2 */
    int bits;            /* per term, 2 … 6 */
    int terms;           /* 1 or 2 */
    int shift;           /* octaves between the terms; 0 with one term */
    int num_levels;      /* L */
    int zero_code;       /* (L - 1) / 2 */
    int word_size;       /* bytes of one packed word: 2 or 8 */
    int digits_per_word; /* base-L digits in one word */
    int32_t levels[LBW_MAX_LEVELS];
};

/* How weights are projected onto the grid (arXiv 1612.06052, section 2). */
enum lbw_method {
    LBW_METHOD_OPTIMAL,   /* the exact least-squares optimum, any b */
    LBW_METHOD_TERNARY,   /* the paper's theorem, b = 2 */
    LBW_METHOD_THRESHOLD, /* the paper's scheme with the free parameter µ, b >= 3 */
};

/* The values a scale may have: any positive float, or a power of two (as in the paper). */
enum lbw_scale {
    LBW_SCALE_REAL,
    LBW_SCALE_POW2,
};

/* Packed bits per weight, word_size * 8 / digits_per_word. */
LBW_API double lbw_grid_packed_bits(const struct lbw_grid *grid);

/* Grid i, in a fixed order; NULL beyond the last. Static storage. */
LBW_API const struct lbw_grid *lbw_grid_at(size_t i);

/* A grid by name ("4", "4x2d2"), or by numbers; NULL if there is none. */
LBW_API const struct lbw_grid *lbw_grid_by_name(const char *name);
LBW_API const struct lbw_grid *lbw_grid_find(int bits, int terms, int shift);

#ifdef __cplusplus
}
#endif

#endif
