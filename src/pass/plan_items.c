/* SPDX-License-Identifier: MIT */
/* What a plan tells of its weights, and the names of its choices. */
#include "pass/plan.h"

#include "base/check.h"
#include "pass/edge.h"

const char *lbw_method_name(enum lbw_method method)
{
    return lbw_name_of(method_names, LBW_NUM(method_names), method);
}

const char *lbw_scale_name(enum lbw_scale scale)
{
    return lbw_name_of(scale_names, LBW_NUM(scale_names), scale);
}

const char *lbw_group_name(enum lbw_group group)
{
    return lbw_name_of(group_names, LBW_NUM(group_names), group);
}

size_t lbw_plan_num_items(const struct lbw_plan *plan)
{
    return plan->num_weights;
}

const struct lbw_plan_item *lbw_plan_item(const struct lbw_plan *plan, size_t i)
{
    return i < plan->num_weights ? &plan->weights[i].item : NULL;
}

size_t lbw_plan_num_edges(const struct lbw_plan *plan)
{
    return plan->num_edges;
}

const struct lbw_plan_edge *lbw_plan_edge(const struct lbw_plan *plan, size_t i)
{
    return i < plan->num_edges ? &plan->edges[i].item : NULL;
}

size_t lbw_plan_num_others(const struct lbw_plan *plan)
{
    return plan->num_others;
}

const struct lbw_plan_other *lbw_plan_other(const struct lbw_plan *plan, size_t i)
{
    return i < plan->num_others ? &plan->others[i] : NULL;
}

size_t lbw_plan_num_folded(const struct lbw_plan *plan)
{
    return plan->model->num_folded;
}

enum lbw_status lbw_plan_set_grid(struct lbw_plan *plan, size_t i, const struct lbw_grid *grid,
                                  struct lbw_error *err)
{
    if (i >= plan->num_weights)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "weight %zu: the plan has %zu", i,
                        plan->num_weights);
    LBW_TRY(check_grid(grid, err));
    struct lbw_weight *weight = &plan->weights[i];
    if (grid && weight->is_fixed)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "weight '%s' cannot be converted: %s",
                        weight->item.tensor, weight->item.reason);
    weight->is_small = weight->is_small && grid == weight->item.grid;
    if (!grid && weight->item.grid)
        weight->item.reason = "kept on request";
    else if (grid)
        weight->item.reason = "";
    weight->item.grid = grid;
    return LBW_OK;
}
