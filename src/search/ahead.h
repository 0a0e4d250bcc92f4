/* SPDX-License-Identifier: MIT */
/* Conversions of trials, made one at a time or two side by side, and which grids were tried. */
#ifndef LBW_SRC_SEARCH_AHEAD_H
#define LBW_SRC_SEARCH_AHEAD_H

#include "search/trial.h"

/* A conversion that is not yet judged. Zero-initialise; release it in any case. */
struct lbw_made {
    const struct lbw_grid **grids; /* owned; NULL: those at the start of the search */
    struct lbw_trial trial;
    char *text; /* of its plan */
    double seconds;
    enum lbw_status status;
    struct lbw_error err;
};

/* Plans and converts with the grids, one per searched weight, or NULL; fills out->status. */
void lbw_made_make(struct lbw_made *out, const struct lbw_bench *bench, double mu,
                   const struct lbw_grid *const *grids);
void lbw_made_release(struct lbw_made *made);

/*
 * Two conversions made side by side: of the next trial, and of the one after it if that is no
 * better. Trials are the same as without, only sooner. Zero-initialise; release.
 */
struct lbw_ahead {
    struct lbw_made made[2];
};

void lbw_ahead_make(struct lbw_ahead *ahead, const struct lbw_bench *bench, double mu,
                    const struct lbw_grid *const *first, const struct lbw_grid *const *second);

/* Whether there is one with these grids. */
bool lbw_ahead_has(const struct lbw_ahead *ahead, size_t num_grids,
                   const struct lbw_grid *const *grids);

/* Moves the conversion with these grids to *out, if there is one. */
bool lbw_ahead_take(struct lbw_made *out, struct lbw_ahead *ahead, size_t num_grids,
                    const struct lbw_grid *const *grids);
void lbw_ahead_release(struct lbw_ahead *ahead);

/* Rows of grids. Zero-initialise and set num_grids; release. */
struct lbw_tried {
    const struct lbw_grid **grids; /* num × num_grids */
    size_t num, num_grids;
};

bool lbw_tried_has(const struct lbw_tried *tried, const struct lbw_grid *const *grids);
enum lbw_status lbw_tried_add(struct lbw_tried *tried, const struct lbw_grid *const *grids,
                              struct lbw_error *err);
void lbw_tried_release(struct lbw_tried *tried);

#endif
