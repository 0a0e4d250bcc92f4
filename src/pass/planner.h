/* SPDX-License-Identifier: MIT */
/* Planning while it is under way; shared by plan.c and plan_decide.c. */
#ifndef LBW_SRC_PASS_PLANNER_H
#define LBW_SRC_PASS_PLANNER_H

#include "pass/pattern.h"
#include "pass/plan.h"

/* The state of planning, with the compiled rules. */
struct lbw_planner {
    struct lbw_plan *plan;
    const struct lbw_plan_params *params;
    const char *ops;
    struct lbw_patterns patterns; /* of the rules */
    size_t capacity;
    float *values; /* scratch for one weight */
    size_t values_capacity;
};

/* Fills in the item of a weight whose consumers are known: what it is, its grid or why not. */
enum lbw_status lbw_planner_decide(struct lbw_planner *planner, struct lbw_weight *weight,
                                   struct lbw_error *err);

#endif
