/* SPDX-License-Identifier: MIT */
/* What rounding activations would cost at the outputs, before any is rounded. */
#include <lbw/budget.h>

#include <string.h>

#include "pass/edge.h"
#include "search/sensitivity.h"

/* Copies them into the plan, which keeps them as long as its model. */
static enum lbw_status keep(struct lbw_plan *plan, const struct lbw_sensitivity *sensitivity,
                            struct lbw_error *err)
{
    for (size_t i = 0; i < plan->num_edges; i++) {
        const struct lbw_edge_gain *edge = &sensitivity->edges[i];
        double *slopes = lbw_arena_calloc(&plan->model->arena, edge->num + 1, sizeof *slopes);
        if (!slopes)
            return lbw_fail_memory(err);
        if (edge->num)
            memcpy(slopes, edge->gain, edge->num * sizeof *slopes);
        plan->edges[i].num_slopes = edge->num;
        plan->edges[i].slopes = slopes;
    }
    return LBW_OK;
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
    /* without a profile: errors at the last layers, which all of them share */
    const struct lbw_sensitivity_params measure = {.calibrate = params->calibrate,
                                                   .num_samples = params->num_samples,
                                                   .progress = params->progress,
                                                   .user = params->user};
    LBW_OR_OUT(lbw_plan_check(plan, err));
    if (!plan->num_edges)
        goto out;
    status = lbw_sensitivity_measure(&sensitivity, plan, &measure, &own);
    if (status == LBW_ERR_MEMORY || status == LBW_ERR_INTERRUPTED)
        LBW_OR_OUT(lbw_fail(err, status, "%s", own.message));
    /* after any other failure nothing is known, and what each drowns decides */
    status = status == LBW_OK ? keep(plan, &sensitivity, err) : LBW_OK;
out:
    lbw_sensitivity_release(&sensitivity);
    return status;
}
