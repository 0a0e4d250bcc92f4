/* SPDX-License-Identifier: MIT */
/* The exact two-bit projection by sorting: the theorem of arXiv 1612.06052 §2. */
#ifndef LBW_SRC_NUM_TERNARY_H
#define LBW_SRC_NUM_TERNARY_H

#include "base/error.h"

/*
 * *exponent: the s in [-149, 127] with the least Σ(q - w)² over q in {0, ±2^s}. n > 0 finite
 * weights, not all zero; O(n) memory and, as the sort is by digits, time.
 */
enum lbw_status lbw_ternary_exponent(int *exponent, const float *w, size_t n,
                                     struct lbw_error *err);

#endif
