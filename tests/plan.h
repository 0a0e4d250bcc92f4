/* SPDX-License-Identifier: MIT */
/* Preparing and planning in one call. */
#ifndef LBW_TESTS_PLAN_H
#define LBW_TESTS_PLAN_H

#include <lbw/plan.h>

static inline enum lbw_status prepare_and_plan(struct lbw_plan **out, struct lbw_model *model,
                                               const struct lbw_plan_params *params,
                                               struct lbw_error *err)
{
    enum lbw_status status =
        lbw_model_prepare(model, &(struct lbw_prepare_params){.ops = params->ops}, err);
    return status == LBW_OK ? lbw_plan_new(out, model, params, err) : status;
}

/* Plans what is there: values stay, encoded weights are listed. */
static inline enum lbw_status look_at(struct lbw_plan **out, struct lbw_model *model,
                                      const char *ops, struct lbw_error *err)
{
    enum lbw_status status =
        lbw_model_prepare(model, &(struct lbw_prepare_params){ops, .as_is = true}, err);
    return status == LBW_OK
               ? lbw_plan_new(out, model, &(struct lbw_plan_params){.ops = ops}, err)
               : status;
}

#endif
