/* SPDX-License-Identifier: MIT */
/* Projection of one weight without data. */
#ifndef LBW_SRC_PASS_PROJECT_H
#define LBW_SRC_PASS_PROJECT_H

#include "pass/codes.h"

/* The data-free projection of one weight. */
enum lbw_status lbw_project(struct lbw_codes *out, const struct lbw_weight *weight,
                            const float *values, const struct lbw_plan_params *params,
                            struct lbw_error *err);

#endif
