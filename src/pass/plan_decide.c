/* SPDX-License-Identifier: MIT */
/* What becomes of one weight: its grid, or the reason to keep it as it is. */
#include "pass/planner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "num/project.h"
#include "pass/encode.h"
#include "pass/foreign.h"
#include "pass/reason.h"

/* A weight is converted only if that saves at least this share of the model. */
#define LEAST_SHARE (1.0 / 2000)

#define DOUBLE ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE

static const char *node_label(const Onnx__NodeProto *node)
{
    if (node->name && *node->name)
        return node->name;
    return node->n_output && node->output[0] ? node->output[0] : "";
}

static const char *scope_label(struct lbw_model *model, const struct lbw_scope *scope)
{
    const char *label = "";
    if (scope->function)
        label = lbw_arena_printf(&model->arena, "function '%s'", scope->function->name);
    else if (scope->owner)
        label = lbw_arena_printf(&model->arena, "body of '%s'", node_label(scope->owner));
    return label ? label : "";
}

/* Why these values are better kept as they are, or NULL. */
static const char *structure_of(const float *w, size_t n)
{
    float first = 0;
    size_t num_values = 0, num_nonzero = 0;
    bool integers = true;
    for (size_t i = 0; i < n && (integers || num_values < 2); i++) {
        integers = integers && w[i] == rintf(w[i]) && fabsf(w[i]) < 65536;
        num_nonzero += w[i] != 0;
        if (w[i] != 0 && num_values == 0) {
            first = w[i];
            num_values = 1;
        } else if (w[i] != 0 && w[i] != first) {
            num_values = 2;
        }
    }
    if (num_values == 0)
        return "all zero";
    if (num_values == 1 && num_nonzero == n)
        return "structural: one constant";
    if (num_values == 1)
        return "structural: one value and zeros";
    return integers ? "structural: exact integers" : NULL;
}

static void keep(struct lbw_weight *weight, const char *reason, bool is_fixed)
{
    weight->item.grid = NULL;
    weight->item.reason = reason ? reason : "";
    weight->is_fixed = is_fixed;
}

/* Makes room for `count` values in planner->values. */
static enum lbw_status reserve_values(struct lbw_planner *planner, size_t count,
                                      struct lbw_error *err)
{
    if (count <= planner->values_capacity)
        return LBW_OK;
    free(planner->values);
    planner->values_capacity = 0;
    planner->values = malloc(count * sizeof(float));
    if (!planner->values)
        return lbw_fail_memory(err);
    planner->values_capacity = count;
    return LBW_OK;
}

static void count_values(struct lbw_weight *weight, const float *values, size_t count)
{
    double greatest = weight->item.max_magnitude;
    size_t num_zeros = 0;
    for (size_t i = 0; i < count; i++) {
        double magnitude = (double)fabsf(values[i]);
        greatest = magnitude > greatest ? magnitude : greatest;
        num_zeros += values[i] == 0;
    }
    weight->item.max_magnitude = greatest;
    weight->item.num_zeros += num_zeros;
}

/* The largest magnitude of doubles as stored; infinite if one is NaN. */
static double max_double(const struct lbw_tensor *tensor, double otherwise)
{
    double greatest = 0;
    if (tensor->data_type != DOUBLE || !tensor->data)
        return otherwise;
    for (size_t i = 0; i < tensor->count; i++) {
        double value;
        memcpy(&value, tensor->data + i * sizeof value, sizeof value);
        greatest = isnan(value) ? (double)INFINITY : fmax(greatest, fabs(value));
    }
    return greatest;
}

/* All consumers read the weight in the same layout, and nothing else reads it. */
static bool uses_agree(const struct lbw_index *index, const struct lbw_weight *weight)
{
    struct lbw_layout layout;
    size_t num_uses;
    for (size_t i = 0; i < weight->num_consumers; i++)
        if (!lbw_layout_of(&layout, weight->consumers[i].node, weight->consumers[i].input,
                           weight->item.dims, weight->item.num_dims) ||
            weight->consumers[i].input != weight->consumers[0].input ||
            memcmp(&layout, &weight->layout, sizeof layout) != 0)
            return false;
    return lbw_weight_count_uses(&num_uses, index, weight->value) &&
           num_uses == weight->num_consumers;
}

/* The statistics of a weight, and reasons that depend on its values. */
static enum lbw_status look_at_values(struct lbw_planner *planner, struct lbw_weight *weight,
                                      const struct lbw_tensor *tensor, struct lbw_error *err)
{
    const float *w = lbw_tensor_floats(tensor);
    if (!w) {
        LBW_TRY(reserve_values(planner, tensor->count, err));
        LBW_TRY(lbw_tensor_read_float(tensor, planner->values, err));
        w = planner->values;
    }
    count_values(weight, w, tensor->count);
    if (!lbw_all_finite(w, tensor->count)) {
        weight->item.max_magnitude = max_double(tensor, weight->item.max_magnitude);
        bool is_wide = tensor->data_type == DOUBLE && isfinite(weight->item.max_magnitude);
        keep(weight, is_wide ? "holds values beyond float32" : "holds NaN or infinity", true);
        return LBW_OK;
    }
    const char *structure = structure_of(w, tensor->count);
    weight->is_structural = structure != NULL;
    if (structure && !planner->params->all)
        keep(weight, structure, false);
    return LBW_OK;
}

/* True if converting saves enough; else sets the reason. */
static bool saves_enough(struct lbw_planner *planner, struct lbw_weight *weight)
{
    struct lbw_model *model = planner->plan->model;
    uint64_t before = weight->bytes;
    uint64_t after = lbw_encode_estimate(weight);
    if (after >= before) {
        keep(weight, "would not get smaller", false);
        weight->is_small = true;
        return false;
    }
    if ((double)(before - after) < (double)planner->plan->model_size * LEAST_SHARE) {
        char *text = lbw_arena_printf(&model->arena, "small: would save %llu bytes",
                                      (unsigned long long)(before - after));
        keep(weight, text, false);
        weight->is_small = !planner->params->all;
        return planner->params->all;
    }
    return true;
}

static const struct lbw_grid *ruled_grid(const struct lbw_planner *planner,
                                         struct lbw_weight *weight, bool *skipped)
{
    const struct lbw_plan_item *item = &weight->item;
    const struct lbw_grid *grid =
        planner->params->grid ? planner->params->grid : lbw_grid_by_name("4");
    *skipped = false;
    for (size_t i = 0; i < planner->patterns.num; i++)
        if (lbw_patterns_match(&planner->patterns, i, item->node, item->tensor)) {
            *skipped = !planner->params->rules[i].grid;
            if (!*skipped)
                grid = planner->params->rules[i].grid;
            weight->is_ruled = true;
        }
    return grid;
}

/* Fills in what is known of a weight before its values are read. */
static enum lbw_status describe(struct lbw_planner *planner, struct lbw_weight *weight,
                                struct lbw_tensor *tensor, struct lbw_error *err)
{
    struct lbw_plan_item *item = &weight->item;
    struct lbw_model *model = planner->plan->model;
    const struct lbw_consumer *first = &weight->consumers[0];
    *item = (struct lbw_plan_item){
        .node = node_label(first->node),
        .op = first->node->op_type,
        .tensor = weight->value->name,
        .scope = scope_label(model, weight->value->scope),
        .type = "?",
        .encoded = "",
        .axis = lbw_layout_axis(first->node, first->input, 0),
        .num_uses = weight->num_consumers,
        .scale = planner->params->scale,
        .group = planner->params->group,
        .reason = "",
    };
    *tensor = (struct lbw_tensor){0};
    LBW_TRY(lbw_within(err,
                       lbw_weight_constant(&weight->tensor, &weight->root,
                                           &planner->plan->index, weight->value, err),
                       "node '%s'", item->node));
    if (!weight->tensor)
        return LBW_OK;
    LBW_TRY(lbw_within(err, lbw_tensor_view(tensor, model, weight->tensor, err), "node '%s'",
                       item->node));
    const Onnx__TensorProto *stored =
        lbw_index_constant(&planner->plan->index, weight->root, true);
    item->bytes = weight->bytes = tensor->count * lbw_data_type_bits(stored->data_type) / 8;
    item->type = lbw_data_type_name(tensor->data_type);
    item->num_dims = tensor->num_dims;
    item->dims = tensor->dims;
    item->count = tensor->count;
    item->axis = lbw_layout_axis(first->node, first->input, tensor->num_dims);
    return LBW_OK;
}

/* Reports and keeps a weight quantized by another tool. */
static void describe_foreign(struct lbw_planner *planner, struct lbw_weight *weight,
                             const struct lbw_foreign *foreign)
{
    struct lbw_arena *arena = &planner->plan->model->arena;
    const char *encoded = lbw_arena_printf(arena, "other %s", foreign->form);
    const char *reason =
        lbw_arena_printf(arena, "quantized by another tool: %s%s", foreign->form,
                         foreign->has_zero_points ? " with zero points" : "");
    weight->item.encoded = encoded ? encoded : "other";
    keep(weight, reason ? reason : "quantized by another tool", true);
    if (!foreign->codes)
        return;
    struct lbw_tensor tensor;
    if (lbw_tensor_view(&tensor, planner->plan->model, foreign->codes, NULL) != LBW_OK)
        return;
    weight->item.type = lbw_data_type_name(foreign->data_type);
    weight->item.num_dims = tensor.num_dims;
    weight->item.dims = tensor.dims;
    weight->item.count = tensor.count;
    weight->item.bytes = weight->bytes = tensor.size;
}

/* A weight that a node computes: already encoded, or out of reach. */
static enum lbw_status decide_computed(struct lbw_planner *planner, struct lbw_weight *weight,
                                       struct lbw_error *err)
{
    struct lbw_encoded encoded;
    LBW_TRY(lbw_decode_match(&encoded, &planner->plan->index, weight->value, err));
    if (!encoded.kind) {
        struct lbw_foreign foreign = lbw_foreign_match(&planner->plan->index, weight->value);
        if (foreign.form)
            describe_foreign(planner, weight, &foreign);
        else
            keep(weight, lbw_reason_of(&planner->plan->index, weight->value), true);
        return LBW_OK;
    }
    char *text = lbw_arena_printf(&planner->plan->model->arena, "%s %s", encoded.kind,
                                  encoded.grid ? encoded.grid->name : encoded.type);
    weight->item.encoded = text ? text : "";
    weight->item.type = lbw_data_type_name(encoded.data_type);
    weight->item.dims = encoded.dims;
    weight->item.num_dims = encoded.num_dims;
    weight->item.count = encoded.count;
    LBW_TRY(reserve_values(planner, encoded.count, err));
    LBW_TRY(lbw_decode_values(planner->values, planner->plan->model, &encoded, err));
    count_values(weight, planner->values, encoded.count);
    keep(weight, "already encoded", true);
    return LBW_OK;
}

/* Why the weight's shape does not suit its operator. */
static const char *misfit_of(const struct lbw_consumer *consumer,
                             const struct lbw_tensor *tensor)
{
    bool is_linear = lbw_layout_is_linear(consumer->node);
    if (tensor->count == 0)
        return "holds no values";
    if (is_linear && tensor->num_dims < 2)
        return "a vector, not a matrix";
    if (is_linear && tensor->num_dims > 2)
        return "a batch of matrices in the first place of a product";
    return "shape does not fit its operator";
}

enum lbw_status lbw_planner_decide(struct lbw_planner *planner, struct lbw_weight *weight,
                                   struct lbw_error *err)
{
    struct lbw_tensor tensor;
    bool skipped;
    LBW_TRY(describe(planner, weight, &tensor, err));
    if (!weight->tensor)
        return decide_computed(planner, weight, err);
    if (!lbw_weight_can_be(tensor.data_type)) {
        keep(weight, "no float type", true);
        return LBW_OK;
    }
    if (!lbw_layout_of(&weight->layout, weight->consumers[0].node, weight->consumers[0].input,
                       tensor.dims, tensor.num_dims)) {
        keep(weight, misfit_of(&weight->consumers[0], &tensor), true);
        return LBW_OK;
    }
    weight->is_uniform = uses_agree(&planner->plan->index, weight);
    weight->item.grid = ruled_grid(planner, weight, &skipped);
    const struct lbw_grid *grid = weight->item.grid;
    if (saves_enough(planner, weight)) {
        weight->item.grid = grid;
        weight->item.reason = "";
    }
    LBW_TRY(look_at_values(planner, weight, &tensor, err));
    bool is_output = lbw_weight_is_output(weight->value);
    if (is_output && !planner->params->all && !weight->is_fixed)
        keep(weight, "also an output", false);
    weight->is_small = weight->is_small && !skipped && !weight->is_structural && !is_output;
    if (skipped && !weight->is_fixed)
        keep(weight, "skipped on request", false);
    return LBW_OK;
}
