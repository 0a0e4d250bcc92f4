/* SPDX-License-Identifier: MIT */
/* Operators that hold weights, and which of them a plan looks at. */
#ifndef LBW_SRC_PASS_OTHERS_H
#define LBW_SRC_PASS_OTHERS_H

#include "pass/plan.h"

/*
 * `ops` itself, or where it is NULL what pays: LBW_DEFAULT_OPS, or LBW_ALL_OPS where Gemm and
 * MatMul hold more than a tenth of the weights. Decided once per model, as it is then.
 */
enum lbw_status lbw_ops_of(const char **out, struct lbw_model *model, const char *ops,
                           struct lbw_error *err);

/* Fills plan->others. The weights of the plan are known by then. */
enum lbw_status lbw_others_find(struct lbw_plan *plan, struct lbw_error *err);

#endif
