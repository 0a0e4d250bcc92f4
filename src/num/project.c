/* SPDX-License-Identifier: MIT */
/* Projecting one group: the exponent or step first, then the nearest levels. */
#include "num/project.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "num/decision.h"
#include "num/histogram.h"
#include "num/kernels.h"
#include "num/ladder.h"
#include "num/ternary.h"

#define NOT_FINITE 0x7f800000U /* float bits from here on */

/* Weights below 2^-64 are looked at times 2^64, where every threshold is a normal float. */
#define TINY       0x1p-64F
#define TINY_SHIFT 64

/* From this many weights on, one pass into a histogram beats one pass per exponent. */
#define MANY 2048

/* Weights read at a time: half a megabyte stays in the second-level cache. */
#define BLOCK ((size_t)1 << 17)

/* The projection of one group. */
struct job {
    uint8_t *codes;
    const float *w;
    size_t n;
    const struct lbw_grid *grid;
    const struct lbw_kernels *kernels;
    float greatest; /* max|w| > 0 */
    double sum;     /* Σ|w| */
    struct lbw_decision decision;
    float coded_step; /* 0, or the step that `codes` are already nearest for */
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

/* How good the nearest levels of a step are, as Σw² - Σ(q - w)². */
struct fit {
    double gain;   /* with this step */
    double better; /* with the same levels and the step that is best for them */
    float step;    /* that step; 0 when all levels are 0 */
};

static struct fit fit_step(struct job *job, float step)
{
    double cross, square;
    lbw_decision_set_step(&job->decision, step);
    job->kernels->fit(&cross, &square, job->w, job->n, &job->decision);
    return (struct fit){(double)step * (2 * cross - (double)step * square),
                        square > 0 ? cross * (cross / square) : 0,
                        square > 0 ? (float)(cross / square) : 0};
}

static enum lbw_status fail_not_finite(struct lbw_error *err)
{
    return lbw_fail(err, LBW_ERR_ARGUMENT, "a weight is infinite or not a number");
}

/* Largest magnitude and sum; all but the histogram begins with them. */
static enum lbw_status scan(struct job *job, struct lbw_error *err)
{
    uint32_t greatest;
    job->kernels->scan(&greatest, &job->sum, job->w, job->n);
    if (greatest >= NOT_FINITE)
        return fail_not_finite(err);
    job->greatest = lbw_float_from_bits(greatest);
    return LBW_OK;
}

/* The power of two at or below the greatest magnitude; 0 if that is not a normal float. */
static float top_of(const struct lbw_histogram *histogram)
{
    return lbw_float_from_bits((uint32_t)lbw_histogram_top(histogram) >> 1 << 23);
}

static void add_scaled(struct lbw_histogram *histogram, const struct job *job)
{
    float scaled[256];
    for (size_t i = 0; i < job->n; i += 256) {
        size_t size = job->n - i < 256 ? job->n - i : 256;
        for (size_t j = 0; j < size; j++)
            scaled[j] = job->w[i + j] * 0x1p64F;
        lbw_histogram_add(histogram, scaled, size);
    }
}

/* The exponent of the smallest level. */
static int exponent_from(const struct lbw_histogram *histogram, const struct job *job, size_t n,
                         int shift)
{
    int num = num_magnitudes(job->grid);
    int s = lbw_histogram_exponent(histogram, n, num, num - 150 + shift, 127);
    return s - shift - (num - 1);
}

/*
 * A tensor larger than the caches is read once: what is best for its first block is very often
 * best for all, so each block gets its codes for that while it is near.
 */
static void add_and_code(struct lbw_histogram *histogram, struct job *job)
{
    for (size_t i = 0; i < job->n; i += BLOCK) {
        size_t size = job->n - i < BLOCK ? job->n - i : BLOCK;
        lbw_histogram_add(histogram, job->w + i, size);
        if (i == 0 && top_of(histogram) >= TINY && isfinite(top_of(histogram))) {
            job->coded_step = ldexpf(1, exponent_from(histogram, job, size, 0));
            lbw_decision_set_step(&job->decision, job->coded_step);
        }
        if (job->coded_step > 0)
            job->kernels->nearest(job->codes + i, job->w + i, size, &job->decision);
    }
}

/* The exponent in one pass over the weights; sets `greatest` to a power of two or 0. */
static enum lbw_status optimal_from_histogram(int *exponent, struct job *job, bool is_final,
                                              struct lbw_error *err)
{
    struct lbw_histogram histogram = {{0}, {0}};
    int shift = 0;
    if (is_final && job->n > BLOCK)
        add_and_code(&histogram, job);
    else
        lbw_histogram_add(&histogram, job->w, job->n);
    if (!isfinite(top_of(&histogram)))
        return fail_not_finite(err);
    if (top_of(&histogram) < TINY) {
        memset(&histogram, 0, sizeof histogram);
        add_scaled(&histogram, job);
        shift = TINY_SHIFT;
    }
    job->greatest = top_of(&histogram);
    *exponent = exponent_from(&histogram, job, job->n, shift);
    return LBW_OK;
}

/* Where trials start: no larger step is better. */
static int first_trial(const struct job *job)
{
    int exponent;
    double ratio = frexp((double)job->greatest / (double)top_level(job->grid), &exponent);
    /* one term: the level above the top one is reached from 1.5 times that on */
    if (job->grid->terms == 1)
        return exponent - 1 + (ratio >= 0.75);
    /* the least step that reaches all; doubled, levels stay levels but for {0, 1, 3, 4, 5} */
    return exponent + (job->grid->bits == 2);
}

/*
 * The exponent of the smallest level by trying all that may be best: no gain exceeds 2·q·|w|
 * in sum, which ends the search.
 */
static int optimal_by_trial(struct job *job)
{
    double best_gain = -1;
    float largest = top_level(job->grid);
    int most = most_exponent(job->grid);
    int top = first_trial(job);
    int best = top = top > most ? most : top < -149 ? -149 : top;
    for (int k = top; k >= -149; k--) {
        float step = ldexpf(1, k);
        if (2 * (double)step * (double)largest * job->sum <= best_gain)
            break;
        double gain = fit_step(job, step).gain;
        if (gain > best_gain) {
            best_gain = gain;
            best = k;
        }
    }
    return best;
}

/* 2^(i/16 - 1): where the search for a real step begins, relative to the best power of two. */
static const float starts[] = {0.5000000F, 0.5221369F, 0.5452539F, 0.5693943F, 0.5946036F,
                               0.6209289F, 0.6484198F, 0.6771278F, 0.7071068F, 0.7384131F,
                               0.7711054F, 0.8052452F, 0.8408964F, 0.8781261F, 0.9170040F,
                               0.9576033F, 1.0000000F, 1.0442738F, 1.0905077F, 1.1387886F,
                               1.1892071F, 1.2418578F, 1.2968396F, 1.3542555F, 1.4142136F};

/*
 * From a power of two to the best real step found near it: of several steps the one whose
 * levels promise most, then nearest levels and best step in turn, until the step moves by less
 * than rounding it will do. One term repeats itself after an octave but for both ends, and the
 * best is more often below; two terms have more local optima in less than that.
 */
static float refine(struct job *job, float pow2)
{
    struct fit best = fit_step(job, pow2);
    double pow2_gain = best.gain;
    bool is_one_term = job->grid->terms == 1;
    size_t stride = is_one_term ? 2 : 1;
    for (size_t i = is_one_term ? 0 : 8; i < sizeof starts / sizeof starts[0]; i += stride) {
        struct fit fit = fit_step(job, pow2 * starts[i]);
        if (fit.better > best.better)
            best = fit;
    }
    for (int i = 0; i < 4 && is_step(best.step, job->grid); i++) {
        struct fit next = fit_step(job, best.step);
        bool is_settled = fabsf(next.step - best.step) <= best.step * 0x1p-11F;
        if (next.better > best.better)
            best = next;
        if (is_settled)
            break;
    }
    float real = lbw_round_step(best.step);
    return is_step(real, job->grid) && fit_step(job, real).gain > pow2_gain ? real : pow2;
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

static enum lbw_status check(size_t n, const struct lbw_grid *grid,
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
    return LBW_OK;
}

/* The power of two to start from; nothing when all weights are zero (`greatest` is 0). */
static enum lbw_status find_exponent(int *exponent, struct job *job,
                                     const struct lbw_quantize_params *params,
                                     struct lbw_error *err)
{
    bool is_one_term = params->method == LBW_METHOD_OPTIMAL && job->grid->terms == 1;
    if (is_one_term && job->n > BLOCK)
        return optimal_from_histogram(exponent, job, params->scale == LBW_SCALE_POW2, err);
    LBW_TRY(scan(job, err));
    if (job->greatest == 0)
        return LBW_OK;
    if (params->method == LBW_METHOD_TERNARY)
        return lbw_ternary_exponent(exponent, job->w, job->n, err);
    int num = num_magnitudes(job->grid);
    if (is_one_term && lbw_ladder_exponent(exponent, job->kernels, job->w, job->n, num,
                                           job->greatest, job->sum)) {
        *exponent -= num - 1;
        return LBW_OK;
    }
    if (is_one_term && job->n >= MANY)
        return optimal_from_histogram(exponent, job, false, err);
    *exponent = optimal_by_trial(job);
    return LBW_OK;
}

enum lbw_status lbw_quantize(uint8_t *codes, float *step, const float *w, size_t n,
                             const struct lbw_grid *grid,
                             const struct lbw_quantize_params *params, struct lbw_error *err)
{
    LBW_TRY(check(n, grid, params, err));
    struct job job = {
        .codes = codes, .w = w, .n = n, .grid = grid, .kernels = lbw_kernels_best()};
    lbw_decision_nearest(&job.decision, grid, 1);
    int exponent = 0;
    if (params->method == LBW_METHOD_THRESHOLD)
        LBW_TRY(scan(&job, err));
    else
        LBW_TRY(find_exponent(&exponent, &job, params, err));
    if (job.greatest == 0) {
        memset(codes, grid->zero_code, n);
        *step = 1;
        return LBW_OK;
    }
    if (params->method == LBW_METHOD_THRESHOLD) {
        threshold(codes, step, &job, params);
        return LBW_OK;
    }
    *step = ldexpf(1, exponent);
    if (params->scale == LBW_SCALE_REAL)
        *step = refine(&job, *step);
    if (*step != job.coded_step) {
        lbw_decision_set_step(&job.decision, *step);
        job.kernels->nearest(codes, w, n, &job.decision);
    }
    return LBW_OK;
}

bool lbw_all_finite(const float *w, size_t n)
{
    uint32_t greatest;
    double sum;
    lbw_kernels_best()->scan(&greatest, &sum, w, n);
    return greatest < NOT_FINITE;
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
