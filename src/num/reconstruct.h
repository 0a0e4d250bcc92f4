/* SPDX-License-Identifier: MIT */
/* Data-aware rounding of one layer's weights: LBW.md section 4. Plain matrices, no ONNX. */
#ifndef LBW_SRC_NUM_RECONSTRUCT_H
#define LBW_SRC_NUM_RECONSTRUCT_H

#include <lbw/grid.h>

#include "base/error.h"

/*
 * Second-order statistics of a layer's input columns x (float model) and y (model as converted
 * so far), K values each, summed over all columns added. Values are taken relative to the mean
 * of the first batch, so that a large offset costs no precision. Only the lower triangles of xx
 * and yy are kept up; yx is full. Row-major float32.
 */
struct lbw_moments {
    size_t k;
    double count;
    double *shift_x, *shift_y; /* K: what was subtracted */
    double *sum_x, *sum_y;     /* K: Σ (x - shift) */
    float *xx, *yx, *yy; /* K × K: Σ x xᵀ, Σ y xᵀ, Σ y yᵀ of the shifted values */
};

/* Zero-initialised storage may be released. About 12·K² bytes. */
enum lbw_status lbw_moments_init(struct lbw_moments *out, size_t k, struct lbw_error *err);
void lbw_moments_release(struct lbw_moments *moments);

/*
 * Adds `num` columns: x and y are num × K, row-major (one row per position), changed in place
 * (the shift is subtracted); they do not overlap. The result does not depend on num_threads
 * (0: all processors).
 */
void lbw_moments_add(struct lbw_moments *moments, float *x, float *y, size_t num,
                     unsigned num_threads);

struct lbw_reconstruct_params {
    enum lbw_scale scale;
    float step;           /* > 0: take this step for every row; 0: search one per row */
    double damping;       /* of H, as a share of its mean diagonal: 0.01 in LBW.md */
    unsigned num_threads; /* 0: all processors */
};

/* Of one call, summed over rows. */
struct lbw_reconstruct_stats {
    double energy;       /* E‖W x - E[W x]‖²: the signal */
    double error_before; /* E‖(W x + b) - (P y + b̂)‖²: P the projection alone, mean repaired */
    double error_after; /* E‖(W x + b) - (Q y + b̂)‖² */
};

/*
 * Rows of w (M × K, row-major) are output channels that share one input: finds codes (M × K),
 * one step per row, and per row the mean correction E[W x] - E[Q y], which the caller adds to
 * the bias (correction: M values). Codes come from error feedback through the Cholesky factor
 * of the damped H = cov(y, y) (GPTQ, which is Babai's nearest plane; a beam search where K is
 * small) towards the float optimum W* = (W cov(x, y) + λ W) (H + λ I)⁻¹, then coordinate
 * descent on the same objective, steps chosen by it. Inputs that never vary round to nearest.
 * The result does not depend on the number of threads; every value returned is finite.
 * LBW_ERR_UNSUPPORTED when the moments are not finite or hold no column.
 */
enum lbw_status lbw_reconstruct(uint8_t *codes, float *steps, double *correction,
                                const float *w, size_t m, const struct lbw_moments *moments,
                                const struct lbw_grid *grid,
                                const struct lbw_reconstruct_params *params,
                                struct lbw_reconstruct_stats *stats, struct lbw_error *err);

#endif
