/* SPDX-License-Identifier: MIT */
/* Integer least squares on a grid: nearest plane, beam search, coordinate descent. */
#include "num/round.h"

#include <math.h>
#include <string.h>

#define LANES LBW_LANES

void lbw_levels_of(struct lbw_levels *out, const struct lbw_grid *grid)
{
    out->num = (size_t)grid->num_levels;
    for (size_t c = 0; c < out->num; c++)
        out->values[c] = (float)grid->levels[c];
    for (size_t c = 0; c + 1 < out->num; c++)
        out->middles[c] = (out->values[c] + out->values[c + 1]) / 2;
}

/* The code of the level nearest to `value` (in units of the step); ties go up. */
static inline size_t nearest_level(const struct lbw_levels *levels, float value)
{
    size_t low = 0, high = levels->num - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (levels->middles[middle] <= value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

#define INLINE static inline __attribute__((always_inline))

/*
 * acc[r] = Σ_i u[i] · e[i][r], rows of e `num` apart. Even and odd i are summed apart, so that
 * every instruction set adds in the same order (products are never fused: -ffp-contract=off).
 */
INLINE void accumulate_body(float *restrict acc, const float *restrict u,
                            const float *restrict e, size_t k, size_t num)
{
    float even[LANES] = {0}, odd[LANES] = {0};
    size_t i = 0;
    for (; i + 2 <= k; i += 2) {
        for (size_t r = 0; r < LANES; r++)
            even[r] += u[i] * e[i * num + r];
        for (size_t r = 0; r < LANES; r++)
            odd[r] += u[i + 1] * e[(i + 1) * num + r];
    }
    if (i < k)
        for (size_t r = 0; r < LANES; r++)
            even[r] += u[i] * e[i * num + r];
    for (size_t r = 0; r < LANES; r++)
        acc[r] = even[r] + odd[r];
}

/* The nearest levels of LANES values, without a branch. */
INLINE void nearest_body(int32_t *restrict code, float *restrict level,
                         const struct lbw_levels *levels, const float *restrict value)
{
    for (size_t r = 0; r < LANES; r++) {
        code[r] = 0;
        level[r] = levels->values[0];
    }
    for (size_t c = 0; c + 1 < levels->num; c++) {
        float middle = levels->middles[c], next = levels->values[c + 1];
        for (size_t r = 0; r < LANES; r++) {
            code[r] += value[r] >= middle;
            level[r] = value[r] >= middle ? next : level[r];
        }
    }
}

INLINE void feedback_body(uint8_t *codes, float *errors, float *cost,
                          const struct lbw_triangle *triangle, const float *pulled,
                          const float *target, const float *step, size_t num)
{
    float inverse[LANES], acc[LANES], wanted[LANES], scaled[LANES], level[LANES];
    int32_t code[LANES];
    for (size_t r = 0; r < LANES; r++)
        inverse[r] = 1 / step[r];
    for (size_t i = triangle->k; i-- > 0;) {
        const float *row = triangle->u + i * triangle->stride;
        float over = 1 / row[i];
        accumulate_body(acc, row + i + 1, errors + (i + 1) * num, triangle->k - 1 - i, num);
        for (size_t r = 0; r < LANES; r++) {
            wanted[r] = target[i * num + r] - (acc[r] + pulled[i * num + r]) * over;
            scaled[r] = wanted[r] * inverse[r];
        }
        nearest_body(code, level, triangle->levels, scaled);
        for (size_t r = 0; r < LANES; r++) {
            float value = step[r] * level[r], residual = row[i] * (value - wanted[r]);
            codes[i * num + r] = (uint8_t)code[r];
            errors[i * num + r] = value - target[i * num + r];
            cost[r] += residual * residual;
        }
    }
}

INLINE void nearest_cost_body(float *cost, const struct lbw_levels *levels, const float *target,
                              const float *weight, size_t k, const float *step)
{
    float inverse[LANES], scaled[LANES], level[LANES], sum[LANES] = {0};
    int32_t code[LANES];
    for (size_t r = 0; r < LANES; r++)
        inverse[r] = 1 / step[r];
    for (size_t i = 0; i < k; i++) {
        for (size_t r = 0; r < LANES; r++)
            scaled[r] = target[i] * inverse[r];
        nearest_body(code, level, levels, scaled);
        for (size_t r = 0; r < LANES; r++) {
            float error = step[r] * level[r] - target[i];
            sum[r] += weight[i] * (error * error);
        }
    }
    for (size_t r = 0; r < LANES; r++)
        cost[r] += sum[r];
}

/* The same loops for one instruction set. */
#define VERSION(NAME, TARGET)                                                                  \
    TARGET static void accumulate_##NAME(float *acc, const float *u, const float *e, size_t k, \
                                         size_t num)                                           \
    {                                                                                          \
        accumulate_body(acc, u, e, k, num);                                                    \
    }                                                                                          \
    TARGET static void feedback_##NAME(                                                        \
        uint8_t *codes, float *errors, float *cost, const struct lbw_triangle *triangle,       \
        const float *pulled, const float *target, const float *step, size_t num)               \
    {                                                                                          \
        feedback_body(codes, errors, cost, triangle, pulled, target, step, num);               \
    }                                                                                          \
    TARGET static void nearest_cost_##NAME(float *cost, const struct lbw_levels *levels,       \
                                           const float *target, const float *weight, size_t k, \
                                           const float *step)                                  \
    {                                                                                          \
        nearest_cost_body(cost, levels, target, weight, k, step);                              \
    }                                                                                          \
    static const struct version version_##NAME = {accumulate_##NAME, feedback_##NAME,          \
                                                  nearest_cost_##NAME};

struct version {
    void (*accumulate)(float *acc, const float *u, const float *e, size_t k, size_t num);
    void (*feedback)(uint8_t *codes, float *errors, float *cost,
                     const struct lbw_triangle *triangle, const float *pulled,
                     const float *target, const float *step, size_t num);
    void (*nearest_cost)(float *cost, const struct lbw_levels *levels, const float *target,
                         const float *weight, size_t k, const float *step);
};

VERSION(c, )
#if defined(__x86_64__)
#if defined(__clang__) /* knows no such word in this place */
#define WIDE "avx512f,avx512bw"
#else
#define WIDE "avx512f,avx512bw,prefer-vector-width=512"
#endif
VERSION(avx2, __attribute__((target("avx2"))))
VERSION(avx512, __attribute__((target(WIDE))))
#endif

static const struct version *version_for_cpu(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
        return &version_avx512;
    if (__builtin_cpu_supports("avx2"))
        return &version_avx2;
#endif
    return &version_c;
}

void lbw_round_feedback(uint8_t *codes, float *errors, float *cost,
                        const struct lbw_triangle *triangle, const float *pulled,
                        const float *target, const float *step, size_t num)
{
    version_for_cpu()->feedback(codes, errors, cost, triangle, pulled, target, step, num);
}

void lbw_round_nearest_cost(float *cost, const struct lbw_levels *levels, const float *target,
                            const float *weight, size_t k, const float *step)
{
    version_for_cpu()->nearest_cost(cost, levels, target, weight, k, step);
}

/*
 * A survivor extended by one level: the bits of its cost, which order as the cost does, above
 * its place among those of its column, so that the first of two equal ones wins.
 */
typedef uint64_t branch;

/* Three levels are tried for each survivor. */
#define BRANCHES 3

static branch branch_of(float cost, size_t place)
{
    uint32_t bits;
    memcpy(&bits, &cost, sizeof bits);
    return (uint64_t)bits << 32 | place;
}

static float cost_of(branch b)
{
    uint32_t bits = (uint32_t)(b >> 32);
    float cost;
    memcpy(&cost, &bits, sizeof cost);
    return cost;
}

/* Keeps the `LANES` cheapest of the branches offered, in ascending order. */
static size_t offer(branch *best, size_t num, branch b)
{
    size_t i = num < LANES ? num : LANES - 1;
    if (num == LANES && b >= best[LANES - 1])
        return num;
    for (; i > 0 && best[i - 1] > b; i--)
        best[i] = best[i - 1];
    best[i] = b;
    return num < LANES ? num + 1 : num;
}

/* Survivors of one column, and where they come from. */
struct survivors {
    uint8_t parents[LANES], codes[LANES];
};

/* The path that ends in the cheapest survivor of column 0. */
static void follow(uint8_t *codes, const struct survivors *columns, size_t k)
{
    size_t r = 0;
    for (size_t i = 0; i < k; i++) {
        codes[i] = columns[i].codes[r];
        r = columns[i].parents[r];
    }
}

float lbw_round_beam(uint8_t *codes, const struct lbw_triangle *triangle, const float *target,
                     float step, float bound, float *scratch)
{
    const struct version *version = version_for_cpu();
    const struct lbw_levels *levels = triangle->levels;
    size_t k = triangle->k, num = 1;
    float *errors = scratch, *next_errors = scratch + k * LANES;
    float cost[LANES] = {0}, acc[LANES];
    struct survivors columns[LBW_BEAM_MAX_K];
    memset(errors, 0, k * LANES * sizeof *errors);
    for (size_t i = k; i-- > 0;) {
        const float *row = triangle->u + i * triangle->stride;
        branch best[LANES];
        size_t num_best = 0, firsts[LANES];
        version->accumulate(acc, row + i + 1, errors + (i + 1) * LANES, k - 1 - i, LANES);
        for (size_t r = 0; r < num; r++) {
            float wanted = target[i] - acc[r] / row[i];
            size_t nearest = nearest_level(levels, wanted / step);
            firsts[r] = nearest > 0 ? nearest - 1 : 0;
            for (size_t c = firsts[r]; c <= nearest + 1 && c < levels->num; c++) {
                float residual = row[i] * (step * levels->values[c] - wanted);
                float sum = cost[r] + residual * residual;
                if (sum < bound)
                    num_best =
                        offer(best, num_best, branch_of(sum, BRANCHES * r + (c - firsts[r])));
            }
        }
        if (!num_best)
            return INFINITY;
        num = num_best;
        for (size_t r = 0; r < num; r++) {
            size_t place = (uint32_t)best[r], parent = place / BRANCHES;
            size_t code = firsts[parent] + place % BRANCHES;
            columns[i].parents[r] = (uint8_t)parent;
            columns[i].codes[r] = (uint8_t)code;
            cost[r] = cost_of(best[r]);
            for (size_t j = i + 1; j < k; j++)
                next_errors[j * LANES + r] = errors[j * LANES + parent];
            next_errors[i * LANES + r] = step * levels->values[code] - target[i];
        }
        float *swap = errors;
        errors = next_errors;
        next_errors = swap;
    }
    follow(codes, columns, k);
    return cost[0];
}

size_t lbw_round_descend(uint8_t *codes, float *error, float *gradient, float *delta,
                         const struct lbw_levels *levels, const float *block, size_t k,
                         size_t stride, const float *target, float step)
{
    size_t num_changed = 0;
    float inverse = 1 / step;
    for (size_t i = k; i-- > 0;) {
        const float *row = block + i * stride;
        delta[i] = 0;
        float wanted = (error[i] + target[i] - gradient[i] / row[i]) * inverse;
        size_t code = codes[i];
        if ((code == 0 || wanted >= levels->middles[code - 1]) &&
            (code + 1 == levels->num || wanted < levels->middles[code]))
            continue;
        code = nearest_level(levels, wanted);
        float change = step * (levels->values[code] - levels->values[codes[i]]);
        /* rounding errors must not make it cycle */
        if (change * (2 * gradient[i] + change * row[i]) >= 0)
            continue;
        codes[i] = (uint8_t)code;
        float before = error[i];
        error[i] = step * levels->values[code] - target[i];
        delta[i] = error[i] - before;
        for (size_t j = 0; j < k; j++)
            gradient[j] += delta[i] * row[j];
        num_changed++;
    }
    return num_changed;
}
