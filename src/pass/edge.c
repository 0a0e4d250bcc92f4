/* SPDX-License-Identifier: MIT */
/*
 * Finding the edges: the activations that layers on integers read and write, and those between.
 */
#include "pass/edge.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "pass/pattern.h"

#define MIN_OPSET 13  /* DequantizeLinear along an axis */
#define MOST      127 /* of int8 */

/* What an operator between layers does with 8-bit codes. */
enum op_kind {
    OP_OTHER,   /* does not */
    OP_FITTED,  /* its output has a range of its own */
    OP_UNIT,    /* its output lies in 0 … 1 */
    OP_HANDED,  /* its output has the range of input 0 */
    OP_CLIPPED, /* joins its producer: rounding clips as it does */
};

static const struct {
    const char *op;
    enum op_kind kind;
} op_kinds[] = {
    {"Add", OP_FITTED},
    {"AveragePool", OP_FITTED},
    {"Clip", OP_CLIPPED},
    {"Concat", OP_FITTED},
    {"DepthToSpace", OP_HANDED},
    {"Flatten", OP_HANDED},
    {"GlobalAveragePool", OP_FITTED},
    {"HardSigmoid", OP_UNIT},
    {"HardSwish", OP_FITTED},
    {"LeakyRelu", OP_FITTED},
    {"MaxPool", OP_HANDED},
    {"Mul", OP_FITTED},
    {"Relu", OP_CLIPPED},
    {"Reshape", OP_HANDED},
    {"Resize", OP_HANDED},
    {"Sigmoid", OP_UNIT},
    {"Slice", OP_HANDED},
    {"SpaceToDepth", OP_HANDED},
    {"Split", OP_HANDED},
    {"Squeeze", OP_HANDED},
    {"Transpose", OP_HANDED},
    {"Unsqueeze", OP_HANDED},
};

static enum op_kind kind_of(const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < LBW_NUM(op_kinds); i++)
        if (lbw_node_is(node, op_kinds[i].op))
            return op_kinds[i].kind;
    return OP_OTHER;
}

/* The state of each value of the main graph during the search for edges. */
struct finder {
    struct lbw_plan *plan;
    struct lbw_scope *scope;
    Onnx__NodeProto **nodes;
    size_t num_nodes;
    struct lbw_strmap layers; /* output of a layer on integers → its weight */
    struct lbw_strmap wanted; /* value → itself: a layer on integers depends on it */
    struct lbw_strmap edges;  /* value → its position in the plan, plus one */
    size_t capacity;
    struct lbw_patterns patterns; /* of activations that stay float */
    bool *are_matched;            /* one per pattern */
};

/*
 * Layers with integer kernels: not ConvTranspose, which runtimes compute in float; of products
 * of matrices those with a constant matrix on the right and nothing else to multiply by.
 */
static bool has_kernel(const struct lbw_weight *weight, const struct lbw_consumer *consumer)
{
    const Onnx__NodeProto *node = consumer->node;
    if (lbw_node_is(node, "Conv"))
        return true;
    bool is_plain = !weight->item.grid, is_matrix = weight->item.num_dims == 2;
    if (is_plain || !is_matrix || consumer->input != 1)
        return false;
    return lbw_node_is(node, "MatMul") ||
           (lbw_node_is(node, "Gemm") && !lbw_node_int(node, "transA", 0) &&
            lbw_node_float(node, "alpha", 1) == 1 && lbw_node_float(node, "beta", 1) == 1);
}

/* Weights whose layers may run on integers, whichever edges they get. */
static bool may_be_integer(const struct lbw_plan *plan, const struct lbw_weight *weight)
{
    const struct lbw_grid *grid = weight->item.grid;
    bool is_plain = !grid && weight->is_small && weight->num_consumers == 1;
    if ((!grid && !is_plain) || (grid && !lbw_grid_fits_int8(grid)) || !weight->is_uniform ||
        weight->value->scope != plan->index.scopes || weight->root != weight->value ||
        weight->tensor->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        return false;
    for (size_t i = 0; i < weight->num_consumers; i++)
        if (!has_kernel(weight, &weight->consumers[i]) ||
            weight->consumers[i].scope != plan->index.scopes)
            return false;
    return true;
}

/* The only node of the scope that reads the value, if it joins the value's producer. */
static const Onnx__NodeProto *joined(const struct lbw_value *value)
{
    const struct lbw_use *use = value->uses;
    bool is_one = use && !use->next && !value->is_output && use->scope == value->scope;
    return is_one && use->input == 0 && kind_of(use->node) == OP_CLIPPED ? use->node : NULL;
}

static struct lbw_value *value_of(const struct finder *f, const char *name)
{
    return *name ? lbw_strmap_get(&f->scope->values, name) : NULL;
}

static bool is_constant(const struct finder *f, const struct lbw_value *value)
{
    return lbw_index_constant(&f->plan->index, value, true) != NULL;
}

/* How many inputs of a node carry activations: the first, or all. */
static size_t num_data_inputs(const Onnx__NodeProto *node)
{
    enum op_kind kind = kind_of(node);
    bool is_list =
        lbw_node_is(node, "Add") || lbw_node_is(node, "Mul") || lbw_node_is(node, "Concat");
    return kind == OP_OTHER ? 0 : is_list ? node->n_input : node->n_input ? 1 : 0;
}

/* From the last node backwards: values that reach a layer on integers through such nodes. */
static bool find_wanted(struct finder *f)
{
    for (size_t i = 0; i < f->plan->num_weights; i++) {
        const struct lbw_weight *weight = &f->plan->weights[i];
        for (size_t k = 0; may_be_integer(f->plan, weight) && k < weight->num_consumers; k++) {
            const Onnx__NodeProto *node = weight->consumers[k].node;
            struct lbw_value *x = value_of(f, lbw_node_input(node, 0));
            if (!x || !node->n_output || !lbw_strmap_put(&f->wanted, x->name, x) ||
                !lbw_strmap_put(&f->layers, node->output[0], (void *)(uintptr_t)weight))
                return false;
        }
    }
    for (size_t i = f->num_nodes; i-- > 0;) {
        bool is_wanted = false;
        for (size_t k = 0; k < f->nodes[i]->n_output; k++)
            is_wanted = is_wanted || lbw_strmap_get(&f->wanted, f->nodes[i]->output[k]);
        for (size_t k = 0; is_wanted && k < num_data_inputs(f->nodes[i]); k++) {
            struct lbw_value *x = value_of(f, f->nodes[i]->input[k]);
            if (x && !lbw_strmap_put(&f->wanted, x->name, x))
                return false;
        }
    }
    return true;
}

static struct lbw_edge *edge_of(const struct finder *f, const char *name)
{
    uintptr_t at = (uintptr_t)lbw_strmap_get(&f->edges, name);
    return at ? &f->plan->edges[at - 1] : NULL;
}

/* The other factor of a product with the value: x · f(x), f being one node. */
static bool is_gate(const struct lbw_value *value, const Onnx__NodeProto *f,
                    const Onnx__NodeProto *mul)
{
    const struct lbw_value *gate =
        f->n_output ? lbw_index_find(value->scope, f->output[0]) : NULL;
    return lbw_node_is(mul, "Mul") && gate && gate->uses && !gate->uses->next &&
           gate->uses->node == mul;
}

/* What counts of the value's error, when all that read it compute one thing of it: where. */
static enum lbw_range_curve curve_of(const char **watched, const struct lbw_value *value)
{
    static const struct {
        const char *op;
        enum lbw_range_curve alone, gated;
    } curves[] = {{"Sigmoid", LBW_CURVE_SIGMOID, LBW_CURVE_SILU},
                  {"HardSigmoid", LBW_CURVE_NONE, LBW_CURVE_HARD_SWISH},
                  {"HardSwish", LBW_CURVE_HARD_SWISH, LBW_CURVE_NONE},
                  {"LeakyRelu", LBW_CURVE_LEAKY, LBW_CURVE_NONE}};
    const struct lbw_use *first = value->uses, *second = first ? first->next : NULL;
    if (!first || (second && second->next) || value->is_output)
        return LBW_CURVE_NONE;
    for (size_t i = 0; i < LBW_NUM(curves); i++) {
        const Onnx__NodeProto *last =
            second && lbw_node_is(first->node, curves[i].op) ? second->node : first->node;
        if (last->n_output)
            *watched = last->output[0];
        if (!second && lbw_node_is(first->node, curves[i].op))
            return curves[i].alone;
        if (second && lbw_node_is(first->node, curves[i].op) &&
            is_gate(value, first->node, second->node))
            return curves[i].gated;
        if (second && lbw_node_is(second->node, curves[i].op) &&
            is_gate(value, second->node, first->node))
            return curves[i].gated;
    }
    *watched = value->name;
    return LBW_CURVE_NONE;
}

static enum lbw_status add_edge(struct finder *f, struct lbw_value *value, size_t position,
                                enum lbw_edge_rule rule, const char *source,
                                struct lbw_error *err)
{
    struct lbw_plan *plan = f->plan;
    const Onnx__NodeProto *node = value->producer;
    const char *name = node && node->name && *node->name ? node->name : value->name;
    const char *watched = value->name;
    enum lbw_range_curve curve = curve_of(&watched, value);
    if (edge_of(f, value->name) || value->is_output || plan->num_edges == f->capacity)
        return LBW_OK;
    struct lbw_edge *edge = &plan->edges[plan->num_edges++];
    *edge = (struct lbw_edge){
        .item = {.tensor = value->name,
                 .node = name,
                 .op = node ? node->op_type : "input",
                 .type = LBW_ACTIVATIONS_INT8,
                 .reason = "",
                 .group = LBW_GROUP_TENSOR,
                 .cost = -1},
        .value = value,
        .position = position,
        .rule = rule,
        .source = source ? edge_of(f, source) : NULL,
        .curve = curve,
        .watched = curve == LBW_CURVE_NONE ? value->name : watched,
    };
    for (size_t i = 0; i < f->patterns.num; i++)
        if (lbw_patterns_match(&f->patterns, i, name, value->name)) {
            f->are_matched[i] = true;
            edge->item.type = LBW_ACTIVATIONS_FLOAT;
            edge->item.reason = "float on request";
        }
    return lbw_strmap_put(&f->edges, value->name, (void *)(uintptr_t)plan->num_edges)
               ? LBW_OK
               : lbw_fail_memory(err);
}

/* Whether all inputs of a node have 8 bits, or join an edge that has. */
static bool reads_edges(const struct finder *f, const Onnx__NodeProto *node)
{
    size_t num = 0;
    for (size_t k = 0; k < num_data_inputs(node); k++) {
        struct lbw_value *x = value_of(f, node->input[k]);
        if (!x)
            return false;
        if (is_constant(f, x))
            continue;
        const Onnx__NodeProto *by = x->producer;
        bool is_joined = joined(x) == node && by && kind_of(by) != OP_CLIPPED &&
                         (lbw_strmap_get(&f->layers, x->name) || reads_edges(f, by));
        if (!edge_of(f, x->name) && !is_joined)
            return false;
        num++;
    }
    return num > 0;
}

/* The edges that a node writes. */
static enum lbw_status look_at(struct finder *f, size_t i, struct lbw_error *err)
{
    const Onnx__NodeProto *node = f->nodes[i];
    enum op_kind kind = kind_of(node);
    for (size_t k = 0; k < node->n_output; k++) {
        struct lbw_value *value = value_of(f, node->output[k]);
        if (!value || value->producer != node || is_constant(f, value))
            continue;
        bool is_layer = k == 0 && lbw_strmap_get(&f->layers, value->name);
        bool is_wanted = lbw_strmap_get(&f->wanted, value->name);
        bool is_behind = is_layer || (kind != OP_OTHER && reads_edges(f, node));
        bool is_last =
            kind == OP_CLIPPED && node->n_input && lbw_strmap_get(&f->layers, node->input[0]);
        /* a layer rounds what it reads, whichever node writes it */
        bool is_read = false;
        for (const struct lbw_use *use = value->uses; use; use = use->next)
            is_read =
                is_read || (use->scope == f->scope && use->input == 0 && use->node->n_output &&
                            lbw_strmap_get(&f->layers, use->node->output[0]));
        if (!is_read && (!is_behind || !(is_layer || is_last || is_wanted)))
            continue;
        if ((is_behind || is_layer) && !is_read && joined(value))
            continue;
        bool is_handed = kind == OP_HANDED && is_behind;
        LBW_TRY(add_edge(f, value, i + 1,
                         is_handed                      ? LBW_EDGE_HANDED
                         : kind == OP_UNIT && is_behind ? LBW_EDGE_UNIT
                                                        : LBW_EDGE_FITTED,
                         is_handed ? node->input[0] : NULL, err));
    }
    return LBW_OK;
}

/* Whether a node is a layer each of whose output channels depends on one input channel. */
static bool is_depthwise(const struct finder *f, const Onnx__NodeProto *node)
{
    const struct lbw_weight *weight =
        node->n_output ? lbw_strmap_get(&f->layers, node->output[0]) : NULL;
    return weight && weight->item.num_dims == 4 && weight->item.dims[1] == 1 &&
           lbw_node_int(node, "group", 1) == weight->item.dims[0];
}

/* What an activation function, a Relu or a Clip computes this of, or NULL. */
static const struct lbw_value *bent_from(const struct finder *f, const Onnx__NodeProto *node)
{
    const char *watched;
    size_t num = kind_of(node) == OP_CLIPPED ? 1 : num_data_inputs(node);
    for (size_t k = 0; k < num && k < node->n_input; k++) {
        const struct lbw_value *x = value_of(f, node->input[k]);
        if (x && (kind_of(node) == OP_CLIPPED ? joined(x) == node
                                              : curve_of(&watched, x) != LBW_CURVE_NONE))
            return x;
    }
    return NULL;
}

static bool is_of_layer(const struct finder *f, const struct lbw_value *value)
{
    for (int steps = 0; value && value->producer && steps < 3; steps++) {
        if (lbw_strmap_get(&f->layers, value->name))
            return true;
        value = bent_from(f, value->producer);
    }
    return false;
}

static bool may_differ(const struct finder *f, const struct lbw_edge *edge)
{
    const struct lbw_value *value = edge->value;
    if (edge->rule != LBW_EDGE_FITTED || !is_of_layer(f, value))
        return false;
    for (const struct lbw_use *use = value->uses; use && edge->curve == LBW_CURVE_NONE;
         use = use->next)
        if (use->scope != f->scope || use->input != 0 || !is_depthwise(f, use->node))
            return false;
    return value->uses != NULL;
}

/* The inputs of the model that layers on integers read, then what each node writes. */
static enum lbw_status find(struct finder *f, struct lbw_error *err)
{
    struct lbw_plan *plan = f->plan;
    Onnx__GraphProto *graph = f->scope->graph;
    f->capacity = graph->n_input;
    for (size_t i = 0; i < f->num_nodes; i++)
        f->capacity += f->nodes[i]->n_output;
    plan->edges = lbw_arena_calloc(&plan->model->arena, f->capacity + 1, sizeof *plan->edges);
    if (!plan->edges || !find_wanted(f))
        return lbw_fail_memory(err);
    for (size_t i = 0; i < graph->n_input; i++) {
        struct lbw_value *value = value_of(f, graph->input[i]->name);
        bool is_read = value && !value->initializer && lbw_strmap_get(&f->wanted, value->name);
        if (is_read)
            LBW_TRY(add_edge(f, value, 0, LBW_EDGE_FITTED, NULL, err));
    }
    for (size_t i = 0; i < f->num_nodes; i++)
        LBW_TRY(look_at(f, i, err));
    for (size_t i = 0; i < plan->num_edges; i++)
        plan->edges[i].may_differ = may_differ(f, &plan->edges[i]);
    return LBW_OK;
}

static enum lbw_status compile(struct finder *f, const struct lbw_plan_params *params,
                               struct lbw_error *err)
{
    LBW_TRY(lbw_check_list("float_activations", params->float_activations,
                           params->num_float_activations, err));
    LBW_TRY(lbw_patterns_init(&f->patterns, params->num_float_activations, err));
    f->are_matched = calloc(params->num_float_activations + 1, sizeof *f->are_matched);
    if (!f->are_matched)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < params->num_float_activations; i++)
        LBW_TRY(lbw_patterns_add(&f->patterns, params->float_activations[i], err));
    return LBW_OK;
}

/* Notes the patterns that no activation has: probably misspelt. */
static enum lbw_status note_unmatched(const struct finder *f,
                                      const struct lbw_plan_params *params,
                                      struct lbw_error *err)
{
    for (size_t i = 0; i < f->patterns.num; i++)
        if (!f->are_matched[i])
            LBW_TRY(lbw_plan_add_note(f->plan, err, "'%s' matches no activation",
                                      params->float_activations[i]));
    return LBW_OK;
}

/* Layers that might be expected on integers, and are not. */
static enum lbw_status note_transposed(struct lbw_plan *plan, struct lbw_error *err)
{
    size_t num = 0;
    for (size_t i = 0; i < plan->num_weights; i++)
        for (size_t k = 0; plan->weights[i].item.grid && k < plan->weights[i].num_consumers;
             k++)
            num += lbw_node_is(plan->weights[i].consumers[k].node, "ConvTranspose");
    if (!num)
        return LBW_OK;
    return lbw_plan_add_note(plan, err,
                             "%zu ConvTranspose layer%s float: ONNX Runtime has no integer "
                             "kernel for them",
                             num, num == 1 ? " stays" : "s stay");
}

enum lbw_status lbw_edges_check_grids(const struct lbw_plan *plan, struct lbw_error *err)
{
    bool has_bytes = plan->params.activations == LBW_ACTIVATIONS_INT8;
    for (size_t i = 0; has_bytes && i < plan->num_weights; i++) {
        const struct lbw_plan_item *item = &plan->weights[i].item;
        if (item->grid && !lbw_grid_fits_int8(item->grid))
            return lbw_fail(err, LBW_ERR_ARGUMENT,
                            "weight '%s': int8 cannot hold grid %s, whose levels go to %d: use "
                            "2, 3, 4 or a grid of two terms such as 4x2 with 8-bit activations",
                            item->tensor, item->grid->name,
                            (int)item->grid->levels[item->grid->num_levels - 1]);
    }
    return LBW_OK;
}

enum lbw_status lbw_edges_find(struct lbw_plan *plan, const struct lbw_plan_params *params,
                               struct lbw_error *err)
{
    struct finder f = {.plan = plan, .scope = plan->index.scopes};
    int64_t opset = lbw_model_opset(plan->model, "");
    if (params->activations == LBW_ACTIVATIONS_FLOAT)
        return LBW_OK;
    if (opset < MIN_OPSET)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "opset %lld: 8-bit activations need %d (--opset lifts the model)",
                        (long long)opset, MIN_OPSET);
    f.nodes = lbw_scope_nodes(f.scope, &f.num_nodes);
    enum lbw_status status;
    LBW_OR_OUT(compile(&f, params, err));
    LBW_OR_OUT(find(&f, err));
    LBW_OR_OUT(note_unmatched(&f, params, err));
    LBW_OR_OUT(note_transposed(plan, err));
out:
    lbw_patterns_release(&f.patterns);
    free(f.are_matched);
    lbw_strmap_release(&f.layers);
    lbw_strmap_release(&f.wanted);
    lbw_strmap_release(&f.edges);
    return status == LBW_OK ? lbw_edges_check_grids(plan, err) : status;
}

void lbw_edges_drop(struct lbw_plan *plan)
{
    plan->params.activations = LBW_ACTIVATIONS_FLOAT;
    plan->num_edges = 0;
}

bool lbw_grid_fits_int8(const struct lbw_grid *grid)
{
    return grid->levels[grid->num_levels - 1] <= MOST;
}

struct lbw_edge *lbw_edge_of(const struct lbw_plan *plan, const char *name)
{
    for (size_t i = 0; *name && i < plan->num_edges; i++)
        if (strcmp(plan->edges[i].item.tensor, name) == 0)
            return &plan->edges[i];
    return NULL;
}

static bool is_byte(const struct lbw_edge *edge)
{
    return edge && edge->item.type == LBW_ACTIVATIONS_INT8;
}

bool lbw_edge_is_integer(const struct lbw_plan *plan, const struct lbw_weight *weight,
                         const struct lbw_consumer *consumer)
{
    const Onnx__NodeProto *node = consumer->node;
    if (!may_be_integer(plan, weight) || !node->n_output)
        return false;
    struct lbw_value *out = lbw_index_find(plan->index.scopes, node->output[0]);
    const Onnx__NodeProto *clip = out ? joined(out) : NULL;
    const char *name =
        clip && !lbw_edge_of(plan, node->output[0]) ? clip->output[0] : node->output[0];
    return is_byte(lbw_edge_of(plan, lbw_node_input(node, 0))) &&
           is_byte(lbw_edge_of(plan, name));
}

bool lbw_weight_is_integer(const struct lbw_plan *plan, const struct lbw_weight *weight)
{
    for (size_t i = 0; i < weight->num_consumers; i++)
        if (lbw_edge_is_integer(plan, weight, &weight->consumers[i]))
            return true;
    return false;
}
