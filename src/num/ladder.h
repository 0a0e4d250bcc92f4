/* SPDX-License-Identifier: MIT */
/* The best exponent by comparing three in integers, where that can decide. */
#ifndef LBW_SRC_NUM_LADDER_H
#define LBW_SRC_NUM_LADDER_H

#include "num/kernels.h"

/*
 * Sets *s to the exponent of the top level as lbw_histogram_exponent() would and returns true,
 * or returns false when rounding leaves it open. `num` magnitudes, max|w| = `greatest` > 0,
 * Σ|w| = `sum`.
 */
bool lbw_ladder_exponent(int *s, const struct lbw_kernels *kernels, const float *w, size_t n,
                         int num, float greatest, double sum);

#endif
