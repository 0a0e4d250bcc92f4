/* SPDX-License-Identifier: MIT */
/* What rounding activations would cost at the outputs, before any is rounded. */
#include <lbw/budget.h>

#include "pass/edge.h"
#include "search/loss.h"

/* Copies them into the plan, which keeps them as long as its model. */
static enum lbw_status keep(struct lbw_plan *plan, const struct lbw_sensitivity *sensitivity,
                            double unit, struct lbw_error *err)
{
    for (size_t i = 0; i < plan->num_edges; i++) {
        const struct lbw_edge_gain *edge = &sensitivity->edges[i];
        double *slopes = lbw_arena_calloc(&plan->model->arena, edge->num + 1, sizeof *slopes);
        if (!slopes)
            return lbw_fail_memory(err);
        for (size_t c = 0; c < edge->num; c++)
            slopes[c] = edge->gain[c] / unit;
        plan->edges[i].num_slopes = edge->num;
        plan->edges[i].slopes = slopes;
    }
    plan->are_edges_weighed = true;
    return LBW_OK;
}

enum lbw_status lbw_loss_of_edges(struct lbw_plan *plan,
                                  const struct lbw_sensitivity *sensitivity,
                                  struct lbw_error *err)
{
    double unit;
    if (!plan->num_edges || !sensitivity->edges)
        return LBW_OK;
    LBW_TRY(lbw_loss_unit(&unit, sensitivity, plan, err));
    return unit > 0 ? keep(plan, sensitivity, unit, err) : LBW_OK;
}

enum lbw_status lbw_plan_weigh_edges(struct lbw_plan *plan,
                                     const struct lbw_budget_params *params,
                                     struct lbw_error *err)
{
    static const struct lbw_budget_params by_default;
    struct lbw_sensitivity sensitivity = {0};
    struct lbw_error own = {0};
    enum lbw_status status;
    params = params ? params : &by_default;
    const struct lbw_sensitivity_params measure = {.calibrate = params->calibrate,
                                                   .profile = params->profile,
                                                   .num_samples = params->num_samples,
                                                   .progress = params->progress,
                                                   .user = params->user};
    LBW_OR_OUT(lbw_plan_check(plan, err));
    if (!plan->num_edges || plan->are_edges_weighed)
        goto out;
    status = lbw_sensitivity_measure(&sensitivity, plan, &measure, &own);
    if (status == LBW_ERR_MEMORY || status == LBW_ERR_INTERRUPTED)
        LBW_OR_OUT(lbw_fail(err, status, "%s", own.message));
    /* after any other failure nothing is known, and what each drowns decides */
    status = status == LBW_OK ? lbw_loss_of_edges(plan, &sensitivity, err) : LBW_OK;
out:
    lbw_sensitivity_release(&sensitivity);
    return status;
}
