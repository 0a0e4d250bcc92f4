/* SPDX-License-Identifier: MIT */
/* The plan as seen by the passes. */
#ifndef LBW_SRC_PASS_PLAN_H
#define LBW_SRC_PASS_PLAN_H

#include "pass/weight.h"

struct lbw_edge; /* pass/edge.h */

struct lbw_plan {
    atomic_uint num_holders; /* handles that need it: the caller's, reports, tuners */
    struct lbw_model *model; /* held */
    unsigned num_rewrites;   /* of the model, when it was planned */
    struct lbw_index index;
    struct lbw_plan_params params; /* pointers inside are not kept */
    struct lbw_weight *weights;    /* in node order, in the model's arena */
    size_t num_weights;
    struct lbw_edge *edges; /* in node order, in the model's arena */
    size_t num_edges;
    bool are_edges_weighed;
    struct lbw_plan_other *others; /* in the model's arena */
    size_t num_others;
    const char **notes; /* in the model's arena */
    size_t num_notes;
    uint64_t model_size; /* lbw_model_size() when planning began */
};

/* Adds a holder: freed when each of them has called lbw_plan_free(), in any order. */
struct lbw_plan *lbw_plan_hold(const struct lbw_plan *plan);

/* LBW_ERR_ARGUMENT if the model has changed since it was planned. */
enum lbw_status lbw_plan_check(const struct lbw_plan *plan, struct lbw_error *err);

/* Adds a line to the notes. */
enum lbw_status lbw_plan_add_note(struct lbw_plan *plan, struct lbw_error *err, const char *fmt,
                                  ...) LBW_PRINTF(3, 4);

#endif
