/* SPDX-License-Identifier: MIT */
/* The 256 values that an activation is rounded to, and how to choose them. */
#ifndef LBW_SRC_NUM_RANGE_H
#define LBW_SRC_NUM_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Code c stands for scale × (c - zero); least <= c <= most. Zero is one of the values. */
struct lbw_range {
    float scale;
    int32_t zero, least, most;
};

/*
 * Of a whole tensor, or of each of its channels (axis 1); then all have the same codes and the
 * same zero. Items are borrowed.
 */
struct lbw_ranges {
    size_t num; /* 1, or the number of channels */
    const struct lbw_range *items;
};

/* The layout of codes, which depends on the runtime. */
enum lbw_range_kind {
    LBW_RANGE_UNSIGNED,  /* 0 … 255, any zero */
    LBW_RANGE_SYMMETRIC, /* -128 … 127, zero at 0 */
};

/* The function computed of an activation next, if nothing else reads it. */
enum lbw_range_curve {
    LBW_CURVE_NONE,
    LBW_CURVE_SIGMOID,
    LBW_CURVE_SILU,       /* x · sigmoid(x) */
    LBW_CURVE_HARD_SWISH, /* x · clamp(x / 6 + ½, 0, 1) */
    LBW_CURVE_LEAKY,      /* x, a tenth of it below zero */
};

double lbw_range_curve(enum lbw_range_curve curve, double x);

/* What a value becomes: round half to even, as QuantizeLinear does. */
float lbw_range_round(const struct lbw_range *range, float value);

/* The same of n values, each range-rounded; `out` may be `in`. */
void lbw_range_round_all(float *out, const float *in, size_t n, const struct lbw_range *range);

/* The range whose values reach from `low` to `high`, widened to hold zero. */
struct lbw_range lbw_range_between(enum lbw_range_kind kind, float low, float high);

/* The lowest and the highest value of a range. */
void lbw_range_limits(float *low, float *high, const struct lbw_range *range);

/*
 * The range with the least Σ weight·|f(rounded) - f(value)|^power over n values, all finite, f
 * being the curve: may clip the largest, and what the curve flattens. The search works on a
 * histogram of them. NULL weights are 1; none is negative. LBW_ERR_MEMORY.
 */
enum lbw_status lbw_range_fit(struct lbw_range *out, enum lbw_range_kind kind,
                              enum lbw_range_curve curve, double power, const float *values,
                              const float *weights, size_t n, struct lbw_error *err);

/*
 * Unsigned ranges for `num` channels, the values of channel c being starts[c] to starts[c + 1]:
 * the zero with the least Σ weights[c] · mean of |error|^power, and for each channel the
 * scale with the least |error|^power. weights[c] >= 0. LBW_ERR_MEMORY.
 */
enum lbw_status lbw_ranges_fit(struct lbw_range *out, size_t num, enum lbw_range_curve curve,
                               double power, const float *values, const size_t *starts,
                               const double *weights, struct lbw_error *err);

#endif
