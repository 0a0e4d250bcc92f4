/* SPDX-License-Identifier: MIT */
/* Planning: which weights a model has, and what to do with each. */
#include "pass/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "num/project.h"
#include "onnx/constant.h"
#include "pass/edge.h"
#include "pass/encode.h"
#include "pass/foreign.h"
#include "pass/operators.h"
#include "pass/planner.h"
#include "pass/reconstruct.h"

#define MOST_POWER 16
#define MOST_MU    1.5 /* as a share of the largest weight, see lbw_quantize() */

static const char *const method_names[] = {"optimal", "ternary", "threshold"};
static const char *const scale_names[] = {"real", "pow2"};
static const char *const group_names[] = {"channel", "tensor"};

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

static const char *const activations_names[] = {"float", "int8"};

const char *lbw_activations_name(enum lbw_activations_type type)
{
    return lbw_name_of(activations_names, LBW_NUM(activations_names), type);
}

static enum lbw_status check_grid(const struct lbw_grid *grid, struct lbw_error *err)
{
    return !grid || lbw_grid_is_known(grid)
               ? LBW_OK
               : lbw_fail(err, LBW_ERR_ARGUMENT, "a grid that is not one of the library's");
}

static enum lbw_status compile_rules(struct lbw_planner *planner, struct lbw_error *err)
{
    const struct lbw_plan_params *params = planner->params;
    LBW_TRY(lbw_check_list("rules", params->rules, params->num_rules, err));
    LBW_TRY(lbw_patterns_init(&planner->patterns, params->num_rules, err));
    for (size_t i = 0; i < params->num_rules; i++) {
        LBW_TRY(lbw_patterns_add(&planner->patterns, params->rules[i].regex, err));
        LBW_TRY(check_grid(params->rules[i].grid, err));
    }
    return LBW_OK;
}

/* Notes the rules that no weight obeys: probably misspelt. */
static enum lbw_status note_unmatched(const struct lbw_planner *planner, struct lbw_error *err)
{
    struct lbw_plan *plan = planner->plan;
    for (size_t i = 0; i < planner->patterns.num; i++) {
        const struct lbw_plan_rule *rule = &planner->params->rules[i];
        bool is_matched = false;
        for (size_t k = 0; k < plan->num_weights && !is_matched; k++)
            is_matched = lbw_patterns_match(&planner->patterns, i, plan->weights[k].item.node,
                                            plan->weights[k].item.tensor);
        if (!is_matched)
            LBW_TRY(lbw_plan_add_note(plan, err, "'%s%s%s' matches no weight", rule->regex,
                                      rule->grid ? "=" : "",
                                      rule->grid ? rule->grid->name : ""));
    }
    return LBW_OK;
}

/* The planned weight of that value, added at the end if missing; NULL when memory is out. */
static struct lbw_weight *weight_for(struct lbw_planner *planner, struct lbw_value *value)
{
    struct lbw_plan *plan = planner->plan;
    for (size_t i = 0; i < plan->num_weights; i++)
        if (plan->weights[i].value == value)
            return &plan->weights[i];
    if (plan->num_weights == planner->capacity) {
        size_t capacity = 2 * planner->capacity + 16;
        struct lbw_weight *grown =
            lbw_arena_calloc(&plan->model->arena, capacity, sizeof *grown);
        if (!grown)
            return NULL;
        if (plan->num_weights)
            memcpy(grown, plan->weights, plan->num_weights * sizeof *grown);
        plan->weights = grown;
        planner->capacity = capacity;
    }
    struct lbw_weight *weight = &plan->weights[plan->num_weights++];
    weight->value = value;
    return weight;
}

/* Appends to a list whose capacity is the next power of two. */
static bool add_consumer(struct lbw_model *model, struct lbw_weight *weight,
                         struct lbw_consumer consumer)
{
    size_t num = weight->num_consumers;
    if ((num & (num - 1)) == 0) {
        struct lbw_consumer *grown =
            lbw_arena_calloc(&model->arena, num ? 2 * num : 1, sizeof *grown);
        if (!grown)
            return false;
        if (num)
            memcpy(grown, weight->consumers, num * sizeof *grown);
        weight->consumers = grown;
    }
    weight->consumers[weight->num_consumers++] = consumer;
    return true;
}

/* For a MatMul, inputs that no node computes are weights. */
static enum lbw_status is_constant(bool *out, const struct lbw_index *index,
                                   struct lbw_value *value, struct lbw_error *err)
{
    struct lbw_encoded encoded = {0};
    *out = lbw_index_constant(index, lbw_weight_source(value), true) != NULL;
    if (!*out)
        LBW_TRY(lbw_decode_match(&encoded, index, value, err));
    *out = *out || encoded.kind || lbw_foreign_match(index, value).form ||
           lbw_constant_is_made(index, value);
    return LBW_OK;
}

/* Finds the weights that the nodes of one scope read. */
static enum lbw_status collect(struct lbw_planner *planner, struct lbw_scope *scope,
                               struct lbw_error *err)
{
    const struct lbw_index *index = &planner->plan->index;
    size_t num_nodes, first, last;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num_nodes);
    for (size_t n = 0; n < num_nodes; n++) {
        if (!lbw_weight_inputs(&first, &last, nodes[n], planner->ops))
            continue;
        for (size_t i = first; i <= last; i++) {
            struct lbw_value *value =
                lbw_weight_origin(lbw_index_find(scope, lbw_node_input(nodes[n], i)));
            bool is_weight = value != NULL;
            if (value && first != last)
                LBW_TRY(is_constant(&is_weight, index, value, err));
            if (!is_weight)
                continue;
            struct lbw_weight *weight = weight_for(planner, value);
            if (!weight || !add_consumer(planner->plan->model, weight,
                                         (struct lbw_consumer){scope, nodes[n], n, i}))
                return lbw_fail_memory(err);
        }
    }
    return LBW_OK;
}

static enum lbw_status check_params(struct lbw_planner *planner, struct lbw_error *err)
{
    const struct lbw_plan_params *params = planner->params;
    LBW_TRY(lbw_check_choice("method", params->method, LBW_NUM(method_names), err));
    LBW_TRY(lbw_check_choice("scale", params->scale, LBW_NUM(scale_names), err));
    LBW_TRY(lbw_check_choice("group", params->group, LBW_NUM(group_names), err));
    LBW_TRY(
        lbw_check_choice("activations", params->activations, LBW_NUM(activations_names), err));
    LBW_TRY(lbw_check_range("range_power", params->range_power, 0, MOST_POWER, err));
    if (params->range_power > 0)
        LBW_TRY(lbw_check_range("range_power", params->range_power, 1, MOST_POWER, err));
    LBW_TRY(lbw_check_range("mu", (double)params->mu, 0, MOST_MU, err));
    LBW_TRY(check_grid(params->grid, err));
    LBW_TRY(compile_rules(planner, err));
    return lbw_weight_check_ops(planner->ops, err);
}

static enum lbw_status fill(struct lbw_planner *planner, struct lbw_error *err)
{
    struct lbw_plan *plan = planner->plan;
    LBW_TRY(lbw_index_init(&plan->index, plan->model, err));
    for (struct lbw_scope *s = plan->index.scopes; s; s = s->next)
        LBW_TRY(collect(planner, s, err));
    for (size_t i = 0; i < plan->num_weights; i++) {
        LBW_TRY(lbw_planner_decide(planner, &plan->weights[i], err));
        lbw_weight_plan_fit(&plan->weights[i], planner->params->memory);
    }
    LBW_TRY(note_unmatched(planner, err));
    LBW_TRY(lbw_edges_find(plan, planner->params, err));
    return lbw_others_find(plan, err);
}

enum lbw_status lbw_plan_new(struct lbw_plan **out, struct lbw_model *model,
                             const struct lbw_plan_params *params, struct lbw_error *err)
{
    static const struct lbw_plan_params by_default;
    enum lbw_status status;
    params = params ? params : &by_default;
    struct lbw_planner planner = {.params = params};
    struct lbw_plan *plan = NULL;
    LBW_OR_OUT(lbw_model_check(model, err));
    planner.plan = plan = calloc(1, sizeof *plan);
    if (!plan)
        LBW_OR_OUT(lbw_fail_memory(err));
    atomic_init(&plan->num_holders, 1);
    plan->model = lbw_model_hold(model);
    plan->num_rewrites = model->num_rewrites;
    plan->model_size = model->is_prepared ? model->size_unprepared : lbw_model_size(model);
    plan->params = *params;
    plan->params.mu = params->mu > 0 ? params->mu : 0.75f;
    LBW_OR_OUT(lbw_ops_of(&planner.ops, model, params->ops, err));
    LBW_OR_OUT(check_params(&planner, err));
    LBW_OR_OUT(lbw_within(err, fill(&planner, err), "%s", model->name));
    *out = plan;
    plan = NULL;
out:
    lbw_patterns_release(&planner.patterns);
    free(planner.values);
    lbw_plan_free(&plan);
    return status;
}

struct lbw_plan *lbw_plan_hold(const struct lbw_plan *plan)
{
    struct lbw_plan *held = (struct lbw_plan *)(uintptr_t)plan;
    atomic_fetch_add(&held->num_holders, 1);
    return held;
}

void lbw_plan_free(struct lbw_plan **plan)
{
    struct lbw_plan *freed = *plan;
    *plan = NULL;
    if (!freed || atomic_fetch_sub(&freed->num_holders, 1) > 1)
        return;
    lbw_index_release(&freed->index);
    lbw_model_close(&freed->model);
    free(freed);
}

enum lbw_status lbw_plan_check(const struct lbw_plan *plan, struct lbw_error *err)
{
    LBW_TRY(lbw_check_given("plan", plan, err));
    LBW_TRY(lbw_model_check(plan->model, err));
    if (plan->num_rewrites != plan->model->num_rewrites)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "%s: the model has changed since it was planned: plan it again",
                        plan->model->name);
    return LBW_OK;
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
