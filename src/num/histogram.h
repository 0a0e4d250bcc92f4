/* SPDX-License-Identifier: MIT */
/* Half-octave statistics of a group of weights, and the best exponent by them. */
#ifndef LBW_SRC_NUM_HISTOGRAM_H
#define LBW_SRC_NUM_HISTOGRAM_H

#include <stdint.h>

#include <lbw/grid.h>

#define LBW_NUM_BINS 512

/*
 * Bin i holds the values with (float bits >> 22 & 511) == i: biased exponent i / 2 and mantissa
 * below (even i) or not below (odd i) 1.5. Both sums are integers, so the result depends
 * neither on the order of the values nor on the processor, and histograms may be added. A
 * mantissa is the float's 24-bit significand: bin i's Σ|w| is mantissa[i] × 2^(e - 150) with e
 * = max(i / 2, 1). The last two bins count infinities and NaN. Up to 2^40 values fit.
 */
struct lbw_histogram {
    uint64_t count[LBW_NUM_BINS];
    uint64_t mantissa[LBW_NUM_BINS];
};

/* Adds n values. Zeros are counted in bin 0. */
void lbw_histogram_add(struct lbw_histogram *histogram, const float *w, size_t n);

/* The highest bin that counts any value but zeros; 0 or 1 also when there is none. */
int lbw_histogram_top(const struct lbw_histogram *histogram);

/*
 * The exponent s in [least, most] of the top level 2^s with the least Σ(q - w)² over all
 * nearest projections onto {0, ±2^s, …, ±2^(s-num+1)}; of equally good ones, the largest whose
 * top level is used. `total` is the sum of all counts. All values are finite and the
 * largest is at least 2^-64, so that every threshold that matters lies in the normal range.
 */
int lbw_histogram_exponent(const struct lbw_histogram *histogram, uint64_t total, int num,
                           int least, int most);

#endif
