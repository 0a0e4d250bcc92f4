/* SPDX-License-Identifier: MIT */
/* The inner loops one weight at a time: the reference, and the tail of every vector version. */
#ifndef LBW_SRC_NUM_KERNELS_LANES_H
#define LBW_SRC_NUM_KERNELS_LANES_H

#include <math.h>

#include "base/bits.h"
#include "num/kernels.h"

static inline uint32_t magnitude_bits(float w)
{
    return lbw_float_bits(w) & 0x7fffffff;
}

static inline int magnitude_index(uint32_t bits, const struct lbw_decision *decision)
{
    int index = 0;
    while (index < decision->num && bits >= decision->thresholds[index])
        index++;
    return index;
}

static inline double sum_lanes(double lanes[LBW_LANES])
{
#pragma GCC unroll 4
    for (int half = LBW_LANES / 2; half; half /= 2)
#pragma GCC unroll 8
        for (int j = 0; j < half; j++)
            lanes[j] += lanes[j + half];
    return lanes[0];
}

static inline void scan_from(uint32_t *greatest, double sums[LBW_LANES], const float *w,
                             size_t i, size_t n)
{
    for (; i < n; i++) {
        *greatest = magnitude_bits(w[i]) > *greatest ? magnitude_bits(w[i]) : *greatest;
        sums[i % LBW_LANES] += fabs((double)w[i]);
    }
}

static inline void nearest_from(uint8_t *codes, const float *w, size_t i, size_t n,
                                const struct lbw_decision *decision)
{
    for (; i < n; i++) {
        int index = magnitude_index(magnitude_bits(w[i]), decision);
        codes[i] = (uint8_t)(decision->zero_code + (w[i] < 0 ? -index : index));
    }
}

static inline void fit_from(double crosses[LBW_LANES], double squares[LBW_LANES],
                            const float *w, size_t i, size_t n,
                            const struct lbw_decision *decision)
{
    for (; i < n; i++) {
        double m =
            (double)decision->magnitudes[magnitude_index(magnitude_bits(w[i]), decision)];
        crosses[i % LBW_LANES] += m * fabs((double)w[i]);
        squares[i % LBW_LANES] += m * m;
    }
}

static inline void look_up_from(float *out, const uint8_t *codes, size_t i, size_t n,
                                const float values[LBW_MAX_LEVELS])
{
    for (; i < n; i++)
        out[i] = values[codes[i]];
}

static inline void compare_from(double errors[LBW_LANES], double energies[LBW_LANES],
                                const float *w, const uint8_t *codes, size_t i, size_t n,
                                const float values[LBW_MAX_LEVELS])
{
    for (; i < n; i++) {
        double d = (double)values[codes[i]] - (double)w[i];
        errors[i % LBW_LANES] += d * d;
        energies[i % LBW_LANES] += (double)w[i] * (double)w[i];
    }
}

#endif
