/* SPDX-License-Identifier: MIT */
/* A layer's least-squares problem, by covariance or by samples, walked in blocks of columns. */
#ifndef LBW_SRC_NUM_FIT_H
#define LBW_SRC_NUM_FIT_H

#include <stdint.h>

#include "num/reconstruct.h"

/* Columns of one block. */
#define LBW_BLOCK ((size_t)64)

/* The least damping per column: with less, H is not positive definite in single precision. */
#define LBW_LEAST_DAMPING 1e-6

/* Rows of a product per task; fixed, so that results do not depend on the threads. */
#define LBW_TILE ((size_t)256)

static inline size_t lbw_num_tiles(size_t rows)
{
    return (rows + LBW_TILE - 1) / LBW_TILE;
}

static inline size_t lbw_tile_end(size_t first, size_t rows)
{
    return first + LBW_TILE < rows ? first + LBW_TILE : rows;
}

struct lbw_fit_form;

/*
 * minimise (q - t) H (q - t)ᵀ for each row t of the targets. Columns are in ascending order of
 * variance: column i here is column order[i] of the weights, and rounding walks from the last
 * to the first. With H = Uᵀ U, U upper triangular, row i of U sees what columns after i did.
 *
 * What a row of errors d = q - t does to the output is carried in its state: d H itself (form
 * "covariance", K values), or the outputs d Yᵀ of the samples (form "samples", n values), where
 * Y is n × K, divided by √n, and H = Yᵀ Y + Λ. Every product is a block of columns wide.
 */
struct lbw_fit {
    const struct lbw_fit_form *form;
    size_t m, k, num_samples;
    size_t size;                         /* of a state */
    double *lambdas;                     /* K: the diagonal of Λ */
    const float *w;                      /* M × K, in the weights' own order; borrowed */
    size_t *order;                       /* K */
    double *energy;                      /* M */
    double *mean_x, *mean_y;             /* K, in the weights' own order */
    double *from_shift_x, *from_shift_y; /* K: the means less what the moments subtracted */
    double count;
    float *diagonal;  /* K: of H */
    float *blocks;    /* K × LBW_BLOCK: H within blocks */
    float *triangles; /* K × LBW_BLOCK: U within blocks */
    /* covariance: H and U (in the upper triangle), K × K; of the moments, M × K: Σ z yᵀ */
    float *h, *u, *zy;
    /* samples: Yᵀ, and the map of output errors to rows of U d, K × n; of the moments, n × M */
    float *y, *p, *z;
    double *r; /* samples: n × n */
};

/* Columns [first, end) of block `b`. */
static inline size_t lbw_fit_end(const struct lbw_fit *fit, size_t b)
{
    return (b + 1) * LBW_BLOCK < fit->k ? (b + 1) * LBW_BLOCK : fit->k;
}

static inline size_t lbw_fit_num_blocks(const struct lbw_fit *fit)
{
    return (fit->k + LBW_BLOCK - 1) / LBW_BLOCK;
}

struct lbw_fit_form {
    const char *name;
    /*
     * The targets of some rows, num × K, and the states that they leave by themselves, t H or t
     * Yᵀ. False when memory is out.
     */
    bool (*solve)(float *target, float *base, const struct lbw_fit *fit, size_t first,
                  size_t num);
    /*
     * Rounding: `trail` is size × num, one lane per column, and holds what the blocks after `b`
     * left. pull: out (block × num) = Σ U d over those; push: adds the block's own d.
     */
    void (*pull)(float *out, const struct lbw_fit *fit, size_t b, const float *trail,
                 size_t num);
    void (*push)(float *trail, const struct lbw_fit *fit, size_t b, const float *d, size_t num);
    /*
     * Descent: states (num × size, one row each). gradient: out (num × LBW_BLOCK) = the
     * block's columns of d H; d is num × K. move: adds `delta` (num × LBW_BLOCK) to the block's
     * columns of d.
     */
    void (*gradient)(float *out, const struct lbw_fit *fit, size_t b, const float *states,
                     const float *d, size_t num);
    void (*move)(float *states, const struct lbw_fit *fit, size_t b, const float *delta,
                 size_t num);
    /* Adds delta to column i alone of one row. */
    void (*nudge)(float *state, const struct lbw_fit *fit, size_t i, float delta);
    /* d H dᵀ of one row. */
    double (*cost)(const struct lbw_fit *fit, const float *state, const float *d);
    /* q H tᵀ and q H qᵀ of a row with errors d and state, and its target's state. */
    void (*products)(double *qht, double *qhq, const struct lbw_fit *fit, const float *target,
                     const float *base, const float *state, const float *d);
};

extern const struct lbw_fit_form lbw_fit_covariance, lbw_fit_samples;

/* The forms' own parts of lbw_fit_open(): H or Y, and U. */
enum lbw_status lbw_fit_by_covariance(struct lbw_fit *fit, struct lbw_moments *moments,
                                      struct lbw_damping damping, unsigned num_threads,
                                      struct lbw_watch *watch, struct lbw_error *err);
enum lbw_status lbw_fit_by_samples(struct lbw_fit *fit, struct lbw_moments *moments,
                                   struct lbw_damping damping, unsigned num_threads,
                                   struct lbw_watch *watch, struct lbw_error *err);

/* Fills order: ascending by variance, later columns first among equals. */
enum lbw_status lbw_fit_rank(struct lbw_fit *fit, const double *variance,
                             struct lbw_error *err);

/* Of z = W (x - shift), row r. */
double lbw_fit_mean(const struct lbw_fit *fit, size_t r);

/* Fills the lambdas, from the variances in the weights' own order. */
void lbw_fit_damp(struct lbw_fit *fit, const double *variance,
                  const struct lbw_damping *damping);

/* Calls fn for each i < num, on several threads, until the watch stops it. */
enum lbw_status lbw_fit_parallel(size_t num, unsigned num_threads,
                                 void (*fn)(void *user, size_t i), void *user,
                                 struct lbw_watch *watch, struct lbw_error *err);

#endif
