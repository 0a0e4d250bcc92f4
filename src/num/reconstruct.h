/* SPDX-License-Identifier: MIT */
/* Data-aware rounding of one layer's weights: LBW.md section 4. Plain matrices, no ONNX. */
#ifndef LBW_SRC_NUM_RECONSTRUCT_H
#define LBW_SRC_NUM_RECONSTRUCT_H

#include "num/quantize.h"

/*
 * Second-order statistics of a layer's input columns x (float model) and y (model as converted
 * so far), K values each: sums over all columns added. Symmetric parts are stored full,
 * row-major.
 */
struct lbw_moments {
    size_t k;
    double count;
    double *sum_x, *sum_y; /* K */
    double *xx, *yx, *yy;  /* K × K: Σ x xᵀ, Σ y xᵀ, Σ y yᵀ */
};

enum lbw_status lbw_moments_init(struct lbw_moments *out, size_t k, struct lbw_error *err);
void lbw_moments_release(struct lbw_moments *moments);

/* Adds `num` columns: x and y are num × K, row-major (one row per position). y may equal x. */
enum lbw_status lbw_moments_add(struct lbw_moments *moments, const float *x, const float *y,
                                size_t num, struct lbw_error *err);

struct lbw_reconstruct_params {
    enum lbw_scale scale;
    double damping; /* added to H's diagonal, as a share of its mean; 0.01 */
    int candidates; /* steps tried per octave around the data-free one */
    int sweeps;     /* of coordinate descent after the error feedback */
};

/* Of one call, summed over rows. */
struct lbw_reconstruct_stats {
    double energy;       /* E‖W x - E[W x]‖²: the signal */
    double error_before; /* E‖(W x + b) - (P y + b)‖²: P the projection alone */
    double error_after;  /* E‖(W x + b) - (Q y + b̂)‖² */
};

/*
 * Rows of w (M × K, row-major) are output channels that share one input: finds codes (M × K),
 * one step per row, and the bias correction E[W x] - E[Q y] per row (bias, M values, is added
 * to; NULL: the correction is not wanted and the mean counts as error). Rows are independent
 * and run on all processors; the result does not depend on how many. Dead inputs (zero
 * variance) round to nearest. Every value returned is finite.
 */
enum lbw_status lbw_reconstruct(uint8_t *codes, float *steps, float *bias, const float *w,
                                size_t m, const struct lbw_moments *moments,
                                const struct lbw_grid *grid,
                                const struct lbw_reconstruct_params *params,
                                struct lbw_reconstruct_stats *stats, struct lbw_error *err);

#endif
