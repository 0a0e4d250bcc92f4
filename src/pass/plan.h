/* SPDX-License-Identifier: MIT */
/* The plan as the passes see it. */
#ifndef LBW_SRC_PASS_PLAN_H
#define LBW_SRC_PASS_PLAN_H

#include "pass/weight.h"

struct lbw_plan {
    struct lbw_model *model;
    struct lbw_index index;
    struct lbw_plan_params params; /* pointers inside are not kept */
    struct lbw_weight *weights;    /* in node order, in the model's arena */
    size_t num_weights;
    uint64_t model_size; /* when planning began, lbw_model_size() */
};

#endif
