/* SPDX-License-Identifier: MIT */
/* Operators that hold weights, and which of them a plan covers. */
#ifndef LBW_SRC_PASS_OPERATORS_H
#define LBW_SRC_PASS_OPERATORS_H

#include "pass/plan.h"

/*
 * `ops`; if NULL, LBW_ALL_OPS where Gemm and MatMul hold more than a tenth of the weights, else
 * LBW_DEFAULT_OPS. The first such call decides for the model, later ones repeat its answer.
 */
enum lbw_status lbw_ops_of(const char **out, struct lbw_model *model, const char *ops,
                           struct lbw_error *err);

/* Fills plan->others; call it after the weights of the plan are known. */
enum lbw_status lbw_others_find(struct lbw_plan *plan, struct lbw_error *err);

#endif
