/* SPDX-License-Identifier: MIT */
/* The contents of a plan: weights, activations, and operators outside it. */
#include "pass/plan.h"

#include "pass/edge.h"

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
