/* SPDX-License-Identifier: MIT */
/* Fitting the range of an activation: shrinks either end while the error falls. */
#include "num/range.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define BINS   8192
#define ROUNDS 3
#define SHRINK 0.94F /* from one end tried to the next */
#define ENDS   56    /* down to .94^55, a thirtieth of the largest value */

/*
 * The weight of what fell into each of num equal parts of low … high, and its mean there; once
 * filled, of the num parts that something fell into.
 */
struct histogram {
    size_t num; /* at most BINS */
    float low, high;
    double weight[BINS];
    double sum[BINS];
    enum lbw_range_curve curve;
    double power; /* of errors */
    float mean[BINS];
    double wanted[BINS]; /* the curve of the mean */
};

double lbw_range_curve(enum lbw_range_curve curve, double x)
{
    switch (curve) {
    case LBW_CURVE_SIGMOID:
        return 1 / (1 + exp(-x));
    case LBW_CURVE_SILU:
        return x / (1 + exp(-x));
    case LBW_CURVE_HARD_SWISH:
        return x * fmin(fmax(x / 6 + 0.5, 0), 1);
    case LBW_CURVE_LEAKY:
        return x < 0 ? 0.1 * x : x;
    case LBW_CURVE_NONE:
        break;
    }
    return x;
}

/* The same of all 256 values of a range. */
static void curve_values(double out[256], const struct lbw_range *range,
                         enum lbw_range_curve curve)
{
    for (int i = 0; i < 256; i++)
        out[i] = lbw_range_curve(
            curve, (double)(range->scale * (float)(range->least + i - range->zero)));
}

/* Beyond all codes, and few enough for nearest(). */
#define FAR 0x1p20F

/* As rintf(), for |x| <= FAR, in plain operations, which compilers make vectors of. */
static inline float nearest(float x)
{
#if FLT_EVAL_METHOD == 0
    const float shift = 0x1.8p23F; /* leaves no bits for fractions */
    return (x + shift) - shift;
#else
    return rintf(x);
#endif
}

/* The code of a value, minus the zero; NaN gets the least. */
static inline float offset_of(const struct lbw_range *range, float value)
{
    const float low = (float)(range->least - range->zero);
    const float high = (float)(range->most - range->zero);
    float code = value / range->scale;
    code = code > -FAR ? code : -FAR;
    code = nearest(code < FAR ? code : FAR);
    code = code > low ? code : low;
    return code < high ? code : high;
}

float lbw_range_round(const struct lbw_range *range, float value)
{
    return range->scale * offset_of(range, value);
}

void lbw_range_round_all(float *out, const float *in, size_t n, const struct lbw_range *range)
{
    const struct lbw_range r = *range;
    for (size_t i = 0; i < n; i++)
        out[i] = r.scale * offset_of(&r, in[i]);
}

static struct lbw_range unsigned_between(float low, float high)
{
    struct lbw_range range = {1, 0, 0, 255};
    float width = high - low;
    if (width / 255 >= FLT_MIN)
        range.scale = width / 255;
    range.zero = (int32_t)rintf(-low / range.scale);
    range.zero = range.zero < 0 ? 0 : range.zero > 255 ? 255 : range.zero;
    return range;
}

struct lbw_range lbw_range_between(enum lbw_range_kind kind, float low, float high)
{
    low = fminf(low, 0);
    high = fmaxf(high, 0);
    if (kind == LBW_RANGE_UNSIGNED)
        return unsigned_between(low, high);
    float largest = fmaxf(-low, high);
    return (struct lbw_range){largest / 127 >= FLT_MIN ? largest / 127 : 1, 0, -128, 127};
}

void lbw_range_limits(float *low, float *high, const struct lbw_range *range)
{
    *low = range->scale * (float)(range->least - range->zero);
    *high = range->scale * (float)(range->most - range->zero);
}

static void fill(struct histogram *h, const float *values, const float *weights, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        h->low = fminf(h->low, values[i]);
        h->high = fmaxf(h->high, values[i]);
    }
    double width = ((double)h->high - (double)h->low) / (double)h->num;
    for (size_t i = 0; i < n; i++) {
        double at = width > 0 ? ((double)values[i] - (double)h->low) / width : 0;
        size_t bin = at >= (double)h->num ? h->num - 1 : (size_t)at;
        double weight = weights ? (double)weights[i] : 1;
        h->weight[bin] += weight;
        h->sum[bin] += weight * (double)values[i];
    }
    size_t num = 0;
    for (size_t i = 0; i < h->num; i++) {
        if (h->weight[i] <= 0)
            continue;
        double mean = h->sum[i] / h->weight[i];
        h->weight[num] = h->weight[i];
        h->mean[num] = (float)mean;
        h->wanted[num++] = lbw_range_curve(h->curve, mean);
    }
    h->num = num;
}

/* The squares of errors, in loops that compilers make vectors of. */
static void find_squares(double *squares, const struct lbw_range *range,
                         const struct histogram *h)
{
    const struct lbw_range r = *range;
    double values[256];
    for (size_t i = 0; i < h->num && h->curve == LBW_CURVE_NONE; i++) {
        double difference = (double)(r.scale * offset_of(&r, h->mean[i])) - h->wanted[i];
        squares[i] = difference * difference;
    }
    if (h->curve == LBW_CURVE_NONE)
        return;
    curve_values(values, range, h->curve);
    for (size_t i = 0; i < h->num; i++) {
        int code = (int)offset_of(&r, h->mean[i]) + r.zero - r.least;
        double difference = values[code] - h->wanted[i];
        squares[i] = difference * difference;
    }
}

static double error_of(const struct lbw_range *range, const struct histogram *h)
{
    double error = 0, squares[BINS];
    find_squares(squares, range, h);
    if (h->power == 4)
        for (size_t i = 0; i < h->num; i++)
            squares[i] *= squares[i];
    else if (h->power != 2)
        for (size_t i = 0; i < h->num; i++)
            squares[i] = pow(squares[i], h->power / 2);
    for (size_t i = 0; i < h->num; i++)
        error += h->weight[i] * squares[i];
    return error;
}

/* Tries all lengths for one end, the other one staying. */
static void search_end(float ends[2], int which, double *best, enum lbw_range_kind kind,
                       const struct histogram *h)
{
    float end = which ? h->high : h->low, kept = ends[which];
    for (int i = 0; i < ENDS; i++, end *= SHRINK) {
        float tried[2] = {which ? ends[0] : end, which ? end : ends[1]};
        struct lbw_range range = lbw_range_between(kind, tried[0], tried[1]);
        double error = error_of(&range, h);
        if (error < *best) {
            *best = error;
            kept = end;
        }
    }
    ends[which] = kept;
}

enum lbw_status lbw_range_fit(struct lbw_range *out, enum lbw_range_kind kind,
                              enum lbw_range_curve curve, double power, const float *values,
                              const float *weights, size_t n, struct lbw_error *err)
{
    struct histogram *h = calloc(1, sizeof *h);
    if (!h)
        return lbw_fail_memory(err);
    h->num = BINS;
    h->curve = curve;
    h->power = power;
    fill(h, values, weights, n);
    float ends[2] = {h->low, h->high};
    struct lbw_range range = lbw_range_between(kind, ends[0], ends[1]);
    double best = error_of(&range, h);
    if (kind == LBW_RANGE_SYMMETRIC) { /* one end for both */
        h->high = ends[1] = fmaxf(-ends[0], ends[1]);
        ends[0] = 0;
        search_end(ends, 1, &best, kind, h);
    }
    for (int i = 0; i < ROUNDS && kind == LBW_RANGE_UNSIGNED; i++) {
        double before = best;
        search_end(ends, 1, &best, kind, h);
        if (ends[0] < 0)
            search_end(ends, 0, &best, kind, h);
        if (best == before)
            break;
    }
    *out = lbw_range_between(kind, ends[0], ends[1]);
    free(h);
    return LBW_OK;
}

/* ---- one zero for all channels, and a scale for each ---- */

/* There are many channels: the zero is chosen by fewer bins and scales. */
#define FEW_BINS   512
#define MANY_BINS  4096
#define FEW_SHRINK 0.78F
#define FEW_ENDS   14
#define HOPELESS   2 /* times the least error so far, per power: smaller scales will not do */

static const uint8_t zeros[] = {0, 2, 4, 8, 16, 32, 64, 96, 128, 192, 255};
#define NUM_ZEROS (sizeof zeros / sizeof *zeros)

/* The scale at which all values of the histogram fit beside this zero. */
static float widest(const struct histogram *h, int zero)
{
    float up = zero < 255 ? h->high / (float)(255 - zero) : 0;
    float down = zero > 0 ? -h->low / (float)zero : 0;
    float scale = fmaxf(up, down);
    return scale >= FLT_MIN ? scale : 1;
}

static double search_scale(float *scale, const struct histogram *h, int zero, float shrink,
                           int ends)
{
    struct lbw_range range = {widest(h, zero), zero, 0, 255};
    double best = INFINITY;
    *scale = range.scale;
    for (int i = 0; i < ends && range.scale >= FLT_MIN; i++, range.scale *= shrink) {
        double error = error_of(&range, h);
        if (error > pow(HOPELESS, h->power) * best)
            break;
        if (error < best) {
            best = error;
            *scale = range.scale;
        }
    }
    return best;
}

static void fill_channel(struct histogram *h, size_t num_bins, enum lbw_range_curve curve,
                         double power, const float *values, const size_t *starts)
{
    *h = (struct histogram){.num = num_bins, .curve = curve, .power = power};
    fill(h, values + starts[0], NULL, starts[1] - starts[0]);
}

enum lbw_status lbw_ranges_fit(struct lbw_range *out, size_t num, enum lbw_range_curve curve,
                               double power, const float *values, const size_t *starts,
                               const double *weights, struct lbw_error *err)
{
    struct histogram *h = malloc(sizeof *h);
    double totals[NUM_ZEROS] = {0};
    size_t best = 0;
    float scale;
    if (!h)
        return lbw_fail_memory(err);
    for (size_t c = 0; c < num; c++) {
        double count = fmax((double)(starts[c + 1] - starts[c]), 1);
        fill_channel(h, FEW_BINS, curve, power, values, starts + c);
        for (size_t z = 0; z < NUM_ZEROS; z++)
            totals[z] +=
                weights[c] / count * search_scale(&scale, h, zeros[z], FEW_SHRINK, FEW_ENDS);
    }
    for (size_t z = 1; z < NUM_ZEROS; z++)
        best = totals[z] < totals[best] ? z : best;
    for (size_t c = 0; c < num; c++) {
        fill_channel(h, MANY_BINS, curve, power, values, starts + c);
        search_scale(&scale, h, zeros[best], SHRINK, ENDS);
        out[c] = (struct lbw_range){scale, zeros[best], 0, 255};
    }
    free(h);
    return LBW_OK;
}
