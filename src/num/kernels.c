/* SPDX-License-Identifier: MIT */
/* The portable inner loops, which define the results, and the choice among versions. */
#include "num/kernels_lanes.h"

static void scan(uint32_t *greatest, double *sum, const float *w, size_t n)
{
    double sums[LBW_LANES] = {0};
    *greatest = 0;
    scan_from(greatest, sums, w, 0, n);
    *sum = sum_lanes(sums);
}

static void ladder(int64_t sums[LBW_LADDER], const float *w, size_t n, float scale,
                   const int32_t thresholds[LBW_LADDER])
{
    for (int k = 0; k < LBW_LADDER; k++)
        sums[k] = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t x = (int32_t)lrintf(fabsf(w[i]) * scale);
        for (int k = 0; k < LBW_LADDER; k++)
            sums[k] += x > thresholds[k] ? x : thresholds[k];
    }
}

static void nearest(uint8_t *codes, const float *w, size_t n,
                    const struct lbw_decision *decision)
{
    nearest_from(codes, w, 0, n, decision);
}

static void fit(double *cross, double *square, const float *w, size_t n,
                const struct lbw_decision *decision)
{
    double crosses[LBW_LANES] = {0}, squares[LBW_LANES] = {0};
    fit_from(crosses, squares, w, 0, n, decision);
    *cross = sum_lanes(crosses);
    *square = sum_lanes(squares);
}

static void look_up(float *out, const uint8_t *codes, size_t n,
                    const float values[LBW_MAX_LEVELS])
{
    look_up_from(out, codes, 0, n, values);
}

static void compare(double *error, double *energy, const float *w, const uint8_t *codes,
                    size_t n, const float values[LBW_MAX_LEVELS])
{
    double errors[LBW_LANES] = {0}, energies[LBW_LANES] = {0};
    compare_from(errors, energies, w, codes, 0, n, values);
    *error = sum_lanes(errors);
    *energy = sum_lanes(energies);
}

const struct lbw_kernels lbw_kernels_portable = {"C", scan,    ladder, nearest,
                                                 fit, look_up, compare};

size_t lbw_kernels_all(const struct lbw_kernels *out[LBW_MAX_KERNELS])
{
    size_t num = 0;
    out[num++] = &lbw_kernels_portable;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        out[num++] = &lbw_kernels_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        out[num++] = &lbw_kernels_avx512;
#endif
    return num;
}

const struct lbw_kernels *lbw_kernels_best(void)
{
    const struct lbw_kernels *all[LBW_MAX_KERNELS];
    return all[lbw_kernels_all(all) - 1];
}
