/* SPDX-License-Identifier: MIT */
/* Rows of one layer rounded side by side, so that a block of columns is one matrix product. */
#ifndef LBW_SRC_NUM_BUNDLE_H
#define LBW_SRC_NUM_BUNDLE_H

#include "num/fit.h"
#include "num/round.h"

#define LBW_MAX_OFFSETS 33

/* The grid and the steps to search. */
struct lbw_search {
    const struct lbw_grid *grid;
    struct lbw_levels levels;
    enum lbw_scale scale;
    float step;                     /* > 0: this one */
    float offsets[LBW_MAX_OFFSETS]; /* steps to try, relative to the data-free optimum */
    size_t num_offsets;
    struct lbw_watch *watch;
};

/* One row, its codes, and their cost. */
struct lbw_row {
    uint8_t *codes; /* K, in rounding order */
    float step;
    double cost;     /* (q - t) H (q - t)ᵀ */
    double qht, qhq; /* q H tᵀ, q H qᵀ */
    double tht;      /* t H tᵀ, of the target alone */
};

struct lbw_bundle {
    const struct lbw_fit *fit;
    const struct lbw_search *search;
    size_t first, num; /* rows of the layer */
    struct lbw_row *rows;
    /* private */
    size_t per_row, num_lanes;
    size_t *slots;        /* row in slot i */
    float *target, *base; /* num × K, num × size: the targets and their own states */
    float *d, *states, *gradients, *deltas;
    float *steps, *costs, *targets, *pulled, *errors, *trail;
    uint8_t *slot_codes, *lane_codes;
};

/* Rows that a bundle should take. */
size_t lbw_bundle_size(const struct lbw_fit *fit, const struct lbw_search *search);

/* False when memory is out, with nothing to release. */
bool lbw_bundle_init(struct lbw_bundle *out, const struct lbw_fit *fit,
                     const struct lbw_search *search, size_t first, size_t num);
void lbw_bundle_release(struct lbw_bundle *bundle);

/* Fills cost and products of every row from its codes and step. */
void lbw_bundle_enter(struct lbw_bundle *bundle);

/* Searches codes and step of every row. */
void lbw_bundle_round(struct lbw_bundle *bundle);

#endif
