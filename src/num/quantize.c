/* SPDX-License-Identifier: MIT */
/* Projection of one group: the exponent or step first, then the nearest levels. */
#include "num/quantize.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "num/decision.h"
#include "num/histogram.h"
#include "num/kernels.h"
#include "num/ternary.h"

/* Weights below 2^-64 are looked at times 2^64, where every threshold is a normal float. */
#define TINY       0x1p-64f
#define TINY_SHIFT 64

/* One group on its way; `grid` as given by the user. */
struct job {
    const float *w;
    size_t n;
    const struct lbw_grid *grid;
    const struct lbw_kernels *kernels;
    float greatest; /* max|w| > 0 */
};

static int num_magnitudes(const struct lbw_grid *grid)
{
    return (grid->num_levels - 1) / 2;
}

static float top_level(const struct lbw_grid *grid)
{
    return (float)grid->levels[grid->num_levels - 1];
}

/* Largest k with 2^k × the top level finite. */
static int most_exponent(const struct lbw_grid *grid)
{
    return 127 - ilogbf(top_level(grid));
}

static bool is_step(float step, const struct lbw_grid *grid)
{
    return step > 0 && isfinite(step * top_level(grid));
}

/* Σw² - Σ(q - w)² for the nearest levels of a step, and the step that is best for those. */
static double gain_of(float *refitted, const struct job *job, float step)
{
    struct lbw_decision decision;
    double cross, square;
    lbw_decision_nearest(&decision, job->grid, step);
    job->kernels->fit(&cross, &square, job->w, job->n, &decision);
    *refitted = square > 0 ? (float)(cross / square) : 0;
    return (double)step * (2 * cross - (double)step * square);
}

/* The exponent of the smallest level, from the histogram. */
static int optimal_one_term(const struct job *job)
{
    struct lbw_histogram histogram = {0};
    int num = num_magnitudes(job->grid);
    int shift = job->greatest < TINY ? TINY_SHIFT : 0;
    if (shift) {
        float scaled[256];
        for (size_t i = 0; i < job->n; i += 256) {
            size_t size = job->n - i < 256 ? job->n - i : 256;
            for (size_t j = 0; j < size; j++)
                scaled[j] = job->w[i + j] * 0x1p64f;
            lbw_histogram_add(&histogram, scaled, size);
        }
    } else {
        lbw_histogram_add(&histogram, job->w, job->n);
    }
    int s = lbw_histogram_exponent(&histogram, job->n, num, num - 150 + shift, 127);
    return s - shift - (num - 1);
}

/*
 * The exponent of the smallest level, by trying all that may be best: no gain exceeds 2·q·|w|
 * in sum, which ends the search; above twice the largest weight all levels round to zero.
 */
static int optimal_two_terms(const struct job *job)
{
    double sum = 0, best_gain = -1;
    for (size_t i = 0; i < job->n; i++)
        sum += fabs((double)job->w[i]);
    int most = most_exponent(job->grid), top = ilogbf(job->greatest) + 1;
    int best = top = top < most ? top : most;
    for (int k = top; k >= -149; k--) {
        float refitted, step = ldexpf(1, k);
        if (2 * (double)step * (double)top_level(job->grid) * sum <= best_gain)
            break;
        double gain = gain_of(&refitted, job, step);
        if (gain > best_gain) {
            best_gain = gain;
            best = k;
        }
    }
    return best;
}

/* Alternates nearest levels and best step until that gains no more. */
static double refit(float *step, const struct job *job)
{
    float better;
    double gain = gain_of(&better, job, *step);
    for (int i = 0; i < 12 && is_step(better, job->grid); i++) {
        float next;
        double better_gain = gain_of(&next, job, better);
        if (!(better_gain > gain))
            break;
        gain = better_gain;
        *step = better;
        better = next;
    }
    return gain;
}

/* From a power of two to the best real step found near it. */
static float refine(const struct job *job, float pow2)
{
    static const float starts[] = {1, 0.84089642f, 1.1892071f, 1.4142135f};
    float best = pow2, unused;
    double best_gain = gain_of(&unused, job, pow2);
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        float step = pow2 * starts[i];
        if (!is_step(step, job->grid))
            continue;
        refit(&step, job);
        step = lbw_round_step(step);
        if (!is_step(step, job->grid))
            continue;
        double gain = gain_of(&unused, job, step);
        if (gain > best_gain) {
            best_gain = gain;
            best = step;
        }
    }
    return best;
}

/* The paper's scheme: codes by thresholds on µ, then the best exponent for those codes. */
static void threshold(uint8_t *codes, float *step, const struct job *job,
                      const struct lbw_quantize_params *params)
{
    struct lbw_decision decision;
    double cross, square;
    lbw_decision_threshold(&decision, job->grid, (double)params->mu * (double)job->greatest);
    job->kernels->nearest(codes, job->w, job->n, &decision);
    job->kernels->fit(&cross, &square, job->w, job->n, &decision);
    /* step = 2^floor(log2(4·Σ m|w| / (3·Σ m²))), the m in units of the smallest level */
    int k = ilogb(4 * cross / (3 * square)), most = most_exponent(job->grid);
    float pow2 = ldexpf(1, k < -149 ? -149 : k > most ? most : k);
    float real = lbw_round_step((float)(cross / square));
    *step = params->scale == LBW_SCALE_REAL && is_step(real, job->grid) ? real : pow2;
}

static enum lbw_status check(const float *w, size_t n, const struct lbw_grid *grid,
                             const struct lbw_quantize_params *params, struct lbw_error *err)
{
    if (n == 0)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "no weights to quantize");
    if (params->method == LBW_METHOD_TERNARY && (grid->bits != 2 || grid->terms != 1))
        return lbw_fail(err, LBW_ERR_ARGUMENT, "method ternary is for 2 bits, not grid %s",
                        grid->name);
    if (params->method == LBW_METHOD_THRESHOLD && (grid->bits == 2 || grid->terms != 1))
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "method threshold is for one term of 3 to 6 bits, not grid %s",
                        grid->name);
    if (params->method == LBW_METHOD_THRESHOLD && !(params->mu > 0 && params->mu < 1.5F))
        return lbw_fail(err, LBW_ERR_ARGUMENT, "mu is %g, not between 0 and 1.5",
                        (double)params->mu);
    if (!lbw_all_finite(w, n))
        return lbw_fail(err, LBW_ERR_ARGUMENT, "a weight is infinite or not a number");
    return LBW_OK;
}

enum lbw_status lbw_quantize(uint8_t *codes, float *step, const float *w, size_t n,
                             const struct lbw_grid *grid,
                             const struct lbw_quantize_params *params, struct lbw_error *err)
{
    LBW_TRY(check(w, n, grid, params, err));
    struct job job = {w, n, grid, lbw_kernels_best(), 0};
    job.greatest = lbw_float_from_bits(job.kernels->greatest(w, n));
    if (job.greatest == 0) {
        memset(codes, grid->zero_code, n);
        *step = 1;
        return LBW_OK;
    }
    if (params->method == LBW_METHOD_THRESHOLD) {
        threshold(codes, step, &job, params);
        return LBW_OK;
    }
    int k;
    if (params->method == LBW_METHOD_TERNARY)
        LBW_TRY(lbw_ternary_exponent(&k, w, n, err));
    else if (grid->terms == 1)
        k = optimal_one_term(&job);
    else
        k = optimal_two_terms(&job);
    *step = ldexpf(1, k);
    if (params->scale == LBW_SCALE_REAL)
        *step = refine(&job, *step);
    lbw_nearest(codes, w, n, grid, *step);
    return LBW_OK;
}

bool lbw_all_finite(const float *w, size_t n)
{
    return lbw_kernels_best()->greatest(w, n) < 0x7f800000;
}

void lbw_nearest(uint8_t *codes, const float *w, size_t n, const struct lbw_grid *grid,
                 float step)
{
    struct lbw_decision decision;
    lbw_decision_nearest(&decision, grid, step);
    lbw_kernels_best()->nearest(codes, w, n, &decision);
}

/* step × level for every code: the one float32 multiply of the contract. */
static void decoded_levels(float values[LBW_MAX_LEVELS], const struct lbw_grid *grid,
                           float step)
{
    for (int i = 0; i < LBW_MAX_LEVELS; i++)
        values[i] = i < grid->num_levels ? step * (float)grid->levels[i] : 0;
}

void lbw_dequantize(float *out, const uint8_t *codes, size_t n, const struct lbw_grid *grid,
                    float step)
{
    float values[LBW_MAX_LEVELS];
    decoded_levels(values, grid, step);
    lbw_kernels_best()->look_up(out, codes, n, values);
}

void lbw_projection_error(double *error, double *energy, const float *w, const uint8_t *codes,
                          size_t n, const struct lbw_grid *grid, float step)
{
    float values[LBW_MAX_LEVELS];
    decoded_levels(values, grid, step);
    lbw_kernels_best()->compare(error, energy, w, codes, n, values);
}

float lbw_round_step(float step)
{
    int exponent;
    double mantissa = frexp((double)step, &exponent);
    double rounded = ldexp(rint(mantissa * 2048), exponent - 11);
    return (float)(rounded > (double)FLT_MAX ? 2047 * 0x1p117 : rounded);
}
