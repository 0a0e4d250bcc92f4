/* SPDX-License-Identifier: MIT */
/* The portable inner loops, which define the results, and the choice among versions. */
#include "num/kernels.h"

#include <math.h>

#include "base/bits.h"

static uint32_t magnitude_bits(float w)
{
    return lbw_float_bits(w) & 0x7fffffff;
}

static int magnitude_index(uint32_t bits, const struct lbw_decision *decision)
{
    int index = 0;
    while (index < decision->num && bits >= decision->thresholds[index])
        index++;
    return index;
}

static double sum_lanes(double lanes[LBW_LANES])
{
    for (int half = LBW_LANES / 2; half; half /= 2)
        for (int j = 0; j < half; j++)
            lanes[j] += lanes[j + half];
    return lanes[0];
}

static uint32_t greatest(const float *w, size_t n)
{
    uint32_t greatest = 0;
    for (size_t i = 0; i < n; i++)
        greatest = magnitude_bits(w[i]) > greatest ? magnitude_bits(w[i]) : greatest;
    return greatest;
}

static void nearest(uint8_t *codes, const float *w, size_t n,
                    const struct lbw_decision *decision)
{
    for (size_t i = 0; i < n; i++) {
        int index = magnitude_index(magnitude_bits(w[i]), decision);
        codes[i] = (uint8_t)(decision->zero_code + (w[i] < 0 ? -index : index));
    }
}

static void fit(double *cross, double *square, const float *w, size_t n,
                const struct lbw_decision *decision)
{
    double crosses[LBW_LANES] = {0}, squares[LBW_LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        double m = decision->magnitudes[magnitude_index(magnitude_bits(w[i]), decision)];
        crosses[i % LBW_LANES] += m * fabs((double)w[i]);
        squares[i % LBW_LANES] += m * m;
    }
    *cross = sum_lanes(crosses);
    *square = sum_lanes(squares);
}

static void look_up(float *out, const uint8_t *codes, size_t n,
                    const float values[LBW_MAX_LEVELS])
{
    for (size_t i = 0; i < n; i++)
        out[i] = values[codes[i]];
}

static void compare(double *error, double *energy, const float *w, const uint8_t *codes,
                    size_t n, const float values[LBW_MAX_LEVELS])
{
    double errors[LBW_LANES] = {0}, energies[LBW_LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        double d = (double)values[codes[i]] - (double)w[i];
        errors[i % LBW_LANES] += d * d;
        energies[i % LBW_LANES] += (double)w[i] * (double)w[i];
    }
    *error = sum_lanes(errors);
    *energy = sum_lanes(energies);
}

static const struct lbw_kernels portable = {"c", greatest, nearest, fit, look_up, compare};

const struct lbw_kernels *const *lbw_kernels_all(size_t *num)
{
    static const struct lbw_kernels *const all[] = {&portable};
    *num = 1;
    return all;
}

const struct lbw_kernels *lbw_kernels_best(void)
{
    size_t num;
    const struct lbw_kernels *const *all = lbw_kernels_all(&num);
    return all[num - 1];
}
