/* SPDX-License-Identifier: MIT */
/* Data-aware rounding of one layer's weights, on plain matrices. */
#ifndef LBW_SRC_NUM_RECONSTRUCT_H
#define LBW_SRC_NUM_RECONSTRUCT_H

#include <lbw/grid.h>

#include <stdbool.h>

#include "base/error.h"
#include "base/watch.h"

/*
 * What a layer's M rows w (output channels that share one input) and its input columns x (float
 * model) and y (model as converted so far), K values each, have to do with each other. Values
 * are taken relative to the mean of the first batch, so that a large offset costs no precision.
 * Row-major float32; z = W (x - shift).
 *
 * As long as there are few columns they are kept themselves; where they are more than `most`,
 * their second-order statistics take their place. Of those only the lower triangle of yy is
 * kept up.
 */
struct lbw_moments {
    size_t k, m;
    const float *w; /* M × K, borrowed */
    double count;
    double *shift_x, *shift_y; /* K: what was subtracted */
    double *sum_x, *sum_y;     /* K: Σ (x - shift) */
    double *zz;                /* M: Σ z² */
    size_t most;               /* columns that are kept, at the most */
    bool is_final;             /* `most` is all there may ever be: later columns are refused */
    float *y, *z;              /* count × K and count × M, while columns are kept */
    float *yy, *zy;            /* K × K: Σ y yᵀ, M × K: Σ z yᵀ, once they are not */
};

/*
 * The bytes that `num` kept columns, or statistics (num = 0), of each of the groups take here
 * and in fits of them all.
 */
uint64_t lbw_moments_bytes(size_t k, size_t m, size_t num, size_t groups);

/*
 * Zero-initialised storage may be released. `num` columns are kept; with is_final there will be
 * no more, without it more than a quarter of K are never worth keeping.
 */
enum lbw_status lbw_moments_init(struct lbw_moments *out, const float *w, size_t m, size_t k,
                                 size_t num, bool is_final, struct lbw_error *err);
void lbw_moments_release(struct lbw_moments *moments);

/*
 * Adds `num` columns: x and y are num × K, row-major (one row per position), changed in place
 * (the shift is subtracted); they do not overlap. The result does not depend on num_threads
 * (0: all processors).
 */
enum lbw_status lbw_moments_add(struct lbw_moments *moments, float *x, float *y, size_t num,
                                unsigned num_threads, struct lbw_error *err);

/*
 * The least-squares problem of one layer, made ready once: the order of rounding, H = cov(y, y)
 * damped and factored, for the float optimum W* = W (cov(x, y) + Λ) (H + Λ)⁻¹.
 */
struct lbw_fit;

/*
 * Λ, which draws each weight towards its float value: `share` of the mean variance of all
 * columns, or as far as `own` goes (0 … 1), of a column's own variance. It is raised where
 * single precision cannot factor H otherwise.
 */
struct lbw_damping {
    double share, own;
};

/*
 * Consumes the moments, which may only be released afterwards. Fails with LBW_ERR_UNSUPPORTED
 * when the moments are not finite or hold no column, and with LBW_ERR_INTERRUPTED; `watch` may
 * be NULL.
 */
enum lbw_status lbw_fit_open(struct lbw_fit **out, struct lbw_moments *moments,
                             struct lbw_damping damping, unsigned num_threads,
                             struct lbw_watch *watch, struct lbw_error *err);
void lbw_fit_close(struct lbw_fit **fit);

struct lbw_reconstruct_params {
    enum lbw_scale scale;
    float step;           /* > 0: take this step for every row; 0: search one per row */
    unsigned num_threads; /* 0: all processors */
    struct lbw_watch *watch;
};

/* Of one call, summed over rows. */
struct lbw_reconstruct_stats {
    double energy;       /* E‖W x - E[W x]‖²: the signal */
    double error_before; /* E‖(W x + b) - (P y + b̂)‖²: P the projection alone, mean repaired */
    double error_after; /* E‖(W x + b) - (Q y + b̂)‖² */
};

/*
 * Finds codes (M × K), one step per row, and per row the mean correction E[W x] - E[Q y], which
 * the caller adds to the bias (correction: M values). Codes come from error feedback through
 * the Cholesky factor of the damped H (GPTQ, which is Babai's nearest plane; a beam search
 * where K is small) towards W*, then coordinate descent on the same objective, steps chosen by
 * it. Inputs that never vary round to nearest. The result does not depend on the number of
 * threads; every value returned is finite. A fit may be used any number of times.
 */
enum lbw_status lbw_reconstruct(uint8_t *codes, float *steps, double *correction,
                                struct lbw_fit *fit, const struct lbw_grid *grid,
                                const struct lbw_reconstruct_params *params,
                                struct lbw_reconstruct_stats *stats, struct lbw_error *err);

#endif
