/* SPDX-License-Identifier: MIT */
/* Integer least squares on a grid: nearest plane, beam search, coordinate descent. */
#include "num/round.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define LANES LBW_LANES

/* The code of the level nearest to `value` (in units of the step). */
static inline size_t nearest_level(const struct lbw_round *round, float value)
{
    const float *levels = round->levels;
    size_t low = 0, high = round->num_levels - 1;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (levels[middle] <= value)
            low = middle;
        else
            high = middle;
    }
    return value - levels[low] < levels[high] - value ? low : high;
}

/*
 * acc[r] = Σ_i l[i] · e[i][r]. Even and odd i are summed apart, so that every instruction set
 * adds in the same order (products are never fused: -ffp-contract=off).
 */
static inline __attribute__((always_inline)) void
accumulate_body(float *restrict acc, const float *restrict l, const float *restrict e, size_t n)
{
    float even[LANES] = {0}, odd[LANES] = {0};
    size_t i = 0;
    for (; i + 2 <= n; i += 2) {
        for (size_t r = 0; r < LANES; r++)
            even[r] += l[i] * e[i * LANES + r];
        for (size_t r = 0; r < LANES; r++)
            odd[r] += l[i + 1] * e[(i + 1) * LANES + r];
    }
    if (i < n)
        for (size_t r = 0; r < LANES; r++)
            even[r] += l[i] * e[i * LANES + r];
    for (size_t r = 0; r < LANES; r++)
        acc[r] = even[r] + odd[r];
}

typedef void accumulate_fn(float *restrict acc, const float *restrict l,
                           const float *restrict e, size_t n);

static void accumulate_c(float *restrict acc, const float *restrict l, const float *restrict e,
                         size_t n)
{
    accumulate_body(acc, l, e, n);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void
accumulate_avx2(float *restrict acc, const float *restrict l, const float *restrict e, size_t n)
{
    accumulate_body(acc, l, e, n);
}

#if defined(__clang__) /* knows no such word in this place */
#define WIDE "avx512f"
#else
#define WIDE "avx512f,prefer-vector-width=512"
#endif

__attribute__((target(WIDE))) static void accumulate_avx512(float *restrict acc,
                                                            const float *restrict l,
                                                            const float *restrict e, size_t n)
{
    accumulate_body(acc, l, e, n);
}
#endif

static accumulate_fn *accumulate_for_cpu(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f"))
        return accumulate_avx512;
    if (__builtin_cpu_supports("avx2"))
        return accumulate_avx2;
#endif
    return accumulate_c;
}

void lbw_round_feedback(uint8_t *codes, float *cost, const struct lbw_round *round,
                        const float *target, const float *step, float *scratch)
{
    accumulate_fn *accumulate = accumulate_for_cpu();
    float inverse[LANES], acc[LANES];
    for (size_t r = 0; r < LANES; r++) {
        inverse[r] = 1 / step[r];
        cost[r] = 0;
    }
    for (size_t j = 0; j < round->k; j++) {
        const float *row = round->l + j * round->k;
        accumulate(acc, row, scratch, j);
        for (size_t r = 0; r < LANES; r++) {
            float wanted = target[j * LANES + r] - acc[r] / row[j];
            size_t code = nearest_level(round, wanted * inverse[r]);
            float value = step[r] * round->levels[code];
            float residual = row[j] * (value - wanted);
            codes[j * LANES + r] = (uint8_t)code;
            scratch[j * LANES + r] = value - target[j * LANES + r];
            cost[r] += residual * residual;
        }
    }
}

/* A survivor extended by one level. */
struct branch {
    float cost;
    unsigned parent;
    uint8_t code;
};

/* Keeps the `LANES` cheapest of the branches offered, in ascending order. */
static size_t offer(struct branch *best, size_t num, struct branch branch)
{
    size_t i = num < LANES ? num : LANES;
    if (i == LANES && branch.cost >= best[LANES - 1].cost)
        return num;
    if (i == LANES)
        i--;
    while (i > 0 && best[i - 1].cost > branch.cost) {
        best[i] = best[i - 1];
        i--;
    }
    best[i] = branch;
    return num < LANES ? num + 1 : num;
}

float lbw_round_beam(uint8_t *codes, const struct lbw_round *round, const float *target,
                     float step, float *scratch)
{
    accumulate_fn *accumulate = accumulate_for_cpu();
    float *errors = scratch, *next_errors = scratch + round->k * LANES;
    float cost[LANES] = {0}, acc[LANES];
    uint8_t path[LANES][LBW_BEAM_MAX_K], next_path[LANES][LBW_BEAM_MAX_K];
    size_t num = 1;
    memset(errors, 0, round->k * LANES * sizeof *errors);
    for (size_t j = 0; j < round->k; j++) {
        const float *row = round->l + j * round->k;
        struct branch best[LANES];
        size_t num_best = 0;
        accumulate(acc, row, errors, j);
        for (size_t r = 0; r < num; r++) {
            float wanted = target[j] - acc[r] / row[j];
            size_t nearest = nearest_level(round, wanted / step);
            size_t first = nearest > 0 ? nearest - 1 : 0;
            for (size_t c = first; c <= nearest + 1 && c < round->num_levels; c++) {
                float residual = row[j] * (step * round->levels[c] - wanted);
                struct branch branch = {cost[r] + residual * residual, (unsigned)r, (uint8_t)c};
                num_best = offer(best, num_best, branch);
            }
        }
        num = num_best;
        for (size_t r = 0; r < num; r++) {
            memcpy(next_path[r], path[best[r].parent], j);
            next_path[r][j] = best[r].code;
            cost[r] = best[r].cost;
            for (size_t i = 0; i < j; i++)
                next_errors[i * LANES + r] = errors[i * LANES + best[r].parent];
            next_errors[j * LANES + r] = step * round->levels[best[r].code] - target[j];
        }
        memcpy(path, next_path, sizeof path);
        float *swap = errors;
        errors = next_errors;
        next_errors = swap;
    }
    memcpy(codes, path[0], round->k);
    return cost[0];
}

static double dot(const float *row, const double *e, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += row[i] * e[i];
    return sum;
}

double lbw_round_descend(uint8_t *codes, const struct lbw_round *round, const float *h,
                         const float *target, float step, int sweeps, double *scratch)
{
    size_t k = round->k;
    double *error = scratch, *gradient = scratch + k;
    for (size_t i = 0; i < k; i++)
        error[i] = (double)(step * round->levels[codes[i]]) - target[i];
    for (size_t i = 0; i < k; i++)
        gradient[i] = dot(h + i * k, error, k);
    for (int changed = 1; changed && sweeps-- > 0;) {
        changed = 0;
        for (size_t i = 0; i < k; i++) {
            const float *row = h + i * k;
            double value = error[i] + target[i];
            double wanted = value - gradient[i] / row[i];
            size_t code = nearest_level(round, (float)(wanted / step));
            if (code == codes[i])
                continue;
            double delta = (double)(step * round->levels[code]) - value;
            /* float32 rounding must not make it walk in circles */
            if (delta * (2 * gradient[i] + delta * row[i]) >= 0)
                continue;
            codes[i] = (uint8_t)code;
            error[i] += delta;
            for (size_t j = 0; j < k; j++)
                gradient[j] += delta * row[j];
            changed = 1;
        }
    }
    double cost = 0;
    for (size_t i = 0; i < k; i++)
        cost += error[i] * gradient[i];
    return cost;
}

float lbw_round_refit(const uint8_t *codes, const struct lbw_round *round, const float *h,
                      const float *target, float step, double *scratch)
{
    size_t k = round->k;
    double *level = scratch;
    double numerator = 0, denominator = 0;
    for (size_t i = 0; i < k; i++)
        level[i] = round->levels[codes[i]];
    for (size_t i = 0; i < k; i++) {
        double hl = dot(h + i * k, level, k);
        numerator += hl * target[i];
        denominator += hl * level[i];
    }
    double best = denominator > 0 ? numerator / denominator : 0;
    return best > FLT_MIN && best < FLT_MAX ? (float)best : step;
}
