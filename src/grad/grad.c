/* SPDX-License-Identifier: MIT */
/* The training graph: the trunk, a loss after it, and the backward pass by the rules. */
#include "grad/grad.h"

#include <stdlib.h>
#include <string.h>

#include "grad/building.h"
#include "grad/loss.h"
#include "grad/rule.h"
#include "onnx/extract.h"
#include "onnx/tensor.h"

#define FLOAT  ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define DOUBLE ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE

#define FIRST_OPSET 7 /* broadcasting as today */

struct lbw_grad_value *lbw_grad_find(const struct lbw_building *b, const char *name)
{
    return *name ? lbw_strmap_get(&b->values, name) : NULL;
}

static bool is_float(int32_t type)
{
    return type == FLOAT || type == DOUBLE || type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ||
           type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16;
}

/* The shape of a constant, from its tensor. */
static const struct lbw_grad_shape *constant_shape(struct lbw_building *b, const char *name)
{
    struct lbw_value *value = lbw_index_find(b->index->scopes, name);
    Onnx__TensorProto *proto = value ? lbw_index_constant(b->index, value, true) : NULL;
    struct lbw_tensor tensor;
    if (!proto || lbw_tensor_view(&tensor, b->index->model, proto, NULL) != LBW_OK ||
        tensor.num_dims > LBW_GRAD_MAX_DIMS)
        return NULL;
    struct lbw_grad_shape *shape = lbw_arena_calloc(b->arena, 1, sizeof *shape);
    if (!shape)
        return NULL;
    shape->data_type = tensor.data_type;
    shape->num_dims = tensor.num_dims;
    if (tensor.num_dims)
        memcpy(shape->dims, tensor.dims, tensor.num_dims * sizeof *shape->dims);
    return shape;
}

static enum lbw_status add_value(struct lbw_building *b, const char *name,
                                 struct lbw_error *err)
{
    if (!*name || lbw_strmap_get(&b->values, name))
        return LBW_OK;
    struct lbw_grad_value *value = lbw_arena_calloc(b->arena, 1, sizeof *value);
    if (!value || !lbw_strmap_put(&b->values, name, value))
        return lbw_fail_memory(err);
    value->shape = lbw_strmap_get(b->params->shapes, name);
    if (!value->shape) {
        value->shape = constant_shape(b, name);
        value->is_fixed = value->shape != NULL;
    }
    return LBW_OK;
}

static enum lbw_status add_values(struct lbw_building *b, struct lbw_error *err)
{
    for (size_t i = 0; i < b->trunk.num_nodes; i++) {
        const Onnx__NodeProto *node = b->trunk.nodes[i];
        for (size_t k = 0; k < node->n_input; k++)
            LBW_TRY(add_value(b, node->input[k], err));
        for (size_t k = 0; k < node->n_output; k++)
            LBW_TRY(add_value(b, node->output[k], err));
    }
    for (size_t i = 0; i < b->params->num_weights; i++) {
        struct lbw_grad_value *value = lbw_grad_find(b, b->params->weights[i]);
        if (!value) /* no node of the trunk reads it */
            continue;
        if (!constant_shape(b, b->params->weights[i]))
            return lbw_fail(err, LBW_ERR_ARGUMENT, "'%s' is not a constant of the main graph",
                            b->params->weights[i]);
        value->is_weight = value->is_active = true;
    }
    for (size_t i = 0; i < b->params->num_energies; i++) {
        struct lbw_grad_value *value = lbw_grad_find(b, b->params->energies[i].name);
        if (value)
            value->is_active = true;
    }
    return LBW_OK;
}

/*
 * Which float values depend on a wanted weight, and which values only on constants and sizes;
 * inputs come before outputs.
 */
static void spread_activity(struct lbw_building *b)
{
    for (size_t i = 0; i < b->trunk.num_nodes; i++) {
        const Onnx__NodeProto *node = b->trunk.nodes[i];
        bool is_active = false, is_fixed = true;
        bool is_size = lbw_node_is(node, "Shape") || lbw_node_is(node, "Size");
        for (size_t k = 0; k < node->n_input; k++) {
            struct lbw_grad_value *value = lbw_grad_find(b, node->input[k]);
            is_active = is_active || (value && value->is_active);
            is_fixed = is_fixed && (!value || value->is_fixed);
        }
        for (size_t k = 0; k < node->n_output; k++) {
            struct lbw_grad_value *value = lbw_grad_find(b, node->output[k]);
            if (value)
                value->is_fixed = is_fixed || is_size;
            if (value && is_active)
                value->is_active = !value->shape || is_float(value->shape->data_type);
        }
    }
}

static enum lbw_status check_targets(struct lbw_building *b, struct lbw_error *err)
{
    for (size_t i = 0; i < b->params->num_targets; i++) {
        const struct lbw_grad_value *value = lbw_grad_find(b, b->params->targets[i]);
        if (!value || !value->shape)
            return lbw_fail(err, LBW_ERR_ARGUMENT, "the shape of '%s' is unknown",
                            b->params->targets[i]);
        int32_t type = value->shape->data_type;
        if ((type != FLOAT && type != DOUBLE) || (b->tape.type && b->tape.type != type))
            return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                            "'%s' is %s: gradients need float32 or float64",
                            b->params->targets[i], lbw_data_type_name(type));
        b->tape.type = type;
    }
    return LBW_OK;
}

static void give(struct lbw_building *b, struct lbw_grad_value *value, const char *gradient)
{
    value->gradient = value->gradient
                          ? lbw_tape_binary(&b->tape, "Add", value->gradient, gradient)
                          : gradient;
}

static const char *input_name(struct lbw_building *b, const char *stem, size_t i)
{
    const char *name = lbw_arena_printf(b->arena, "%s/%s%zu", b->tape.prefix, stem, i);
    b->tape.failed |= !name;
    return name;
}

/* Adds one term. */
static void add_loss(struct lbw_building *b, size_t target, const char *term,
                     const char *gradient)
{
    b->out.loss = b->out.loss ? lbw_tape_binary(&b->tape, "Add", b->out.loss, term) : term;
    give(b, lbw_grad_find(b, b->params->targets[target]), gradient);
}

/* Taps add to the gradients; the loss that is reported leaves them out. */
static void write_taps(struct lbw_building *b)
{
    const struct lbw_grad_params *p = b->params;
    for (size_t i = p->num_targets - p->num_taps; i < p->num_targets; i++) {
        struct lbw_loss loss = {.target = p->targets[i],
                                .wanted = input_name(b, "wanted", i),
                                .factor = input_name(b, "factor", i)};
        b->out.wanted[i] = loss.wanted;
        b->out.factors[i] = loss.factor;
        if (!p->no_gradients)
            give(b, lbw_grad_find(b, loss.target), lbw_loss_pull(&b->tape, &loss));
    }
}

/* The loss over all targets but taps; its derivative starts the backward pass. */
static void write_loss(struct lbw_building *b)
{
    for (size_t i = 0; i < b->params->num_targets - b->params->num_taps; i++) {
        struct lbw_loss loss = {.target = b->params->targets[i],
                                .factor = input_name(b, "factor", i)};
        const char *gradient, *term;
        b->out.factors[i] = loss.factor;
        if (b->params->is_linear) {
            term = lbw_loss_linear(&b->tape, &loss, &gradient);
            add_loss(b, i, term, gradient);
            continue;
        }
        b->out.wanted[i] = loss.wanted = input_name(b, "wanted", i);
        if (i < b->params->num_scored)
            b->out.scores[i] = loss.score = input_name(b, "score", i);
        if (loss.score && b->tape.has_native && b->tape.type == FLOAT) {
            term = lbw_loss_both(&b->tape, &loss, &gradient);
            add_loss(b, i, term, gradient);
            continue;
        }
        term = lbw_loss_squares(&b->tape, &loss, &gradient);
        add_loss(b, i, term, gradient);
        if (!loss.score)
            continue;
        term = lbw_loss_scores(&b->tape, &loss, &gradient);
        add_loss(b, i, term, gradient);
    }
    b->out.loss = lbw_tape_unary(&b->tape, "Identity", b->out.loss);
}

/* Marks the inputs of a node as without a gradient, and keeps the reason. */
static void cut(struct lbw_building *b, const Onnx__NodeProto *node, const char *reason)
{
    for (size_t k = 0; k < node->n_input; k++) {
        struct lbw_grad_value *value = lbw_grad_find(b, node->input[k]);
        if (value && value->is_active)
            value->is_cut = true;
    }
    if (reason) {
        const char *name = node->name && *node->name ? node->name
                           : node->n_output          ? node->output[0]
                                                     : "";
        b->cuts[b->num_cuts] =
            lbw_arena_printf(b->arena, "%s '%s': %s", node->op_type, name, reason);
        b->tape.failed |= !b->cuts[b->num_cuts++];
    }
}

/* The input of the rule of one node, in the arena. */
struct view {
    const struct lbw_grad_shape **in, **out;
    const char **dy, **dx;
    const void **fixed;
    bool *wants;
    bool has_gradient, is_active, is_cut, is_known;
};

static bool look(struct view *view, struct lbw_building *b, const Onnx__NodeProto *node)
{
    *view = (struct view){
        .in = lbw_arena_calloc(b->arena, node->n_input + 1, sizeof *view->in),
        .out = lbw_arena_calloc(b->arena, node->n_output + 1, sizeof *view->out),
        .dy = lbw_arena_calloc(b->arena, node->n_output + 1, sizeof *view->dy),
        .dx = lbw_arena_calloc(b->arena, node->n_input + 1, sizeof *view->dx),
        .fixed = lbw_arena_calloc(b->arena, node->n_input + 1, sizeof *view->fixed),
        .wants = lbw_arena_calloc(b->arena, node->n_input + 6, sizeof *view->wants),
        .is_known = true,
    };
    if (!view->in || !view->out || !view->dy || !view->dx || !view->fixed || !view->wants)
        return false;
    for (size_t k = 0; k < node->n_input; k++) {
        struct lbw_grad_value *value = lbw_grad_find(b, node->input[k]);
        if (!value)
            continue;
        view->in[k] = value->shape;
        view->wants[k] = value->is_active;
        view->fixed[k] = value->is_fixed && value->shape ? value->shape->values : NULL;
        view->is_active = view->is_active || value->is_active;
        view->is_known = view->is_known && value->shape &&
                         (!value->is_active || value->shape->data_type == b->tape.type);
    }
    for (size_t k = 0; k < node->n_output; k++) {
        struct lbw_grad_value *value = lbw_grad_find(b, node->output[k]);
        if (!value)
            continue;
        view->out[k] = value->shape;
        view->dy[k] = value->gradient;
        view->has_gradient = view->has_gradient || value->gradient;
        view->is_cut = view->is_cut || value->is_cut;
        view->is_known = view->is_known && value->shape &&
                         (!value->is_active || value->shape->data_type == b->tape.type);
    }
    return true;
}

static bool is_standard(const Onnx__NodeProto *node)
{
    return !node->domain || !*node->domain || strcmp(node->domain, "ai.onnx") == 0;
}

/* The backward pass of one node. */
static void step_back(struct lbw_building *b, const Onnx__NodeProto *node)
{
    struct view view;
    if (!look(&view, b, node)) {
        b->tape.failed = true;
        return;
    }
    if (!view.is_active || (!view.has_gradient && !view.is_cut))
        return;
    if (view.is_cut) {
        cut(b, node, NULL);
        return;
    }
    const struct lbw_grad_rule *rule =
        is_standard(node) ? lbw_grad_rule_find(node->op_type) : NULL;
    if (!rule || !view.is_known) {
        cut(b, node, !rule ? "no gradient rule" : "a type or a shape without gradient");
        return;
    }
    struct lbw_grad_step step = {&b->tape,       b->index,   node,     node->n_input,
                                 node->n_output, view.in,    view.out, view.dy,
                                 view.wants,     view.fixed, view.dx};
    const char *reason = rule->fn(&step);
    if (reason) {
        cut(b, node, reason);
        return;
    }
    for (size_t k = 0; k < node->n_input; k++)
        if (view.wants[k] && view.dx[k])
            give(b, lbw_grad_find(b, node->input[k]), view.dx[k]);
}

/* Decides which weights have a gradient, and names these gradients. */
static void name_gradients(struct lbw_building *b)
{
    for (size_t i = 0; i < b->params->num_weights; i++) {
        const struct lbw_grad_value *value = lbw_grad_find(b, b->params->weights[i]);
        b->out.is_input[i] = value != NULL;
        b->out.is_reached[i] = value && value->gradient && !value->is_cut;
        if (b->out.is_reached[i] && !b->params->no_gradients)
            b->out.gradients[i] = lbw_tape_unary(&b->tape, "Identity", value->gradient);
    }
}

/* Σ over all axes but the channels', as a vector; NULL for a tensor without channels. */
static const char *sum_by_channel(struct lbw_building *b, const struct lbw_grad_channels *tap,
                                  const char *x, const struct lbw_grad_shape *shape,
                                  double *count)
{
    int64_t axes[LBW_GRAD_MAX_DIMS];
    size_t num = 0;
    if (!shape || shape->num_dims < 2)
        return NULL;
    size_t channels = tap->is_last ? shape->num_dims - 1 : 1;
    *count = 1;
    for (size_t i = 0; i < shape->num_dims; i++)
        if (i != channels) {
            axes[num++] = (int64_t)i;
            *count *= (double)shape->dims[i];
        }
    return lbw_tape_sum(&b->tape, x, axes, num, false);
}

/* Energies of gradients and moments of values, after the backward pass. */
static void write_statistics(struct lbw_building *b)
{
    const struct lbw_grad_params *p = b->params;
    struct lbw_tape *tape = &b->tape;
    double count;
    for (size_t i = 0; i < p->num_energies; i++) {
        const struct lbw_grad_value *value = lbw_grad_find(b, p->energies[i].name);
        if (!value || !value->gradient || value->is_cut)
            continue;
        const char *square = lbw_tape_binary(tape, "Mul", value->gradient, value->gradient);
        b->out.energies[i] =
            sum_by_channel(b, &p->energies[i], square, value->shape, &b->out.positions[i]);
    }
    for (size_t i = 0; i < p->num_moments; i++) {
        const struct lbw_grad_value *value = lbw_grad_find(b, p->moments[i].name);
        if (!value || !value->shape || value->shape->data_type != tape->type)
            continue;
        const char *x = p->moments[i].name;
        const char *square = lbw_tape_binary(tape, "Mul", x, x);
        const char *sums[] = {sum_by_channel(b, &p->moments[i], x, value->shape, &count),
                              sum_by_channel(b, &p->moments[i], square, value->shape, &count)};
        if (!sums[0] || !sums[1])
            continue;
        b->out.means[i] =
            lbw_tape_binary(tape, "Mul", sums[0], lbw_tape_scalar(tape, 1 / count));
        b->out.squares[i] =
            lbw_tape_binary(tape, "Mul", sums[1], lbw_tape_scalar(tape, 1 / count));
    }
}

static enum lbw_status prepare(struct lbw_building *b, struct lbw_error *err)
{
    struct lbw_model *model = b->index->model;
    struct lbw_names *names;
    onnx__graph_proto__init(&b->graph);
    b->graph.name = (char *)"training";
    b->tape.opset = lbw_model_opset(model, "");
    b->tape.model = model;
    b->tape.graph = &b->graph;
    b->tape.has_native = b->params->has_native && !b->params->no_gradients;
    if (b->tape.opset < FIRST_OPSET)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "opset %lld: training needs %d or later",
                        (long long)b->tape.opset, FIRST_OPSET);
    LBW_TRY(lbw_names_new(&names, model, err));
    b->tape.prefix = lbw_names_make(names, model, "lbw_grad");
    lbw_names_free(names);
    b->cuts = lbw_arena_calloc(b->arena, b->trunk.num_nodes + 1, sizeof *b->cuts);
    b->out.wanted =
        lbw_arena_calloc(b->arena, b->params->num_targets + 1, sizeof *b->out.wanted);
    b->out.factors =
        lbw_arena_calloc(b->arena, b->params->num_targets + 1, sizeof *b->out.factors);
    b->out.scores =
        lbw_arena_calloc(b->arena, b->params->num_targets + 1, sizeof *b->out.scores);
    b->out.is_input =
        lbw_arena_calloc(b->arena, b->params->num_weights + 1, sizeof *b->out.is_input);
    b->out.is_reached =
        lbw_arena_calloc(b->arena, b->params->num_weights + 1, sizeof *b->out.is_reached);
    b->out.gradients =
        lbw_arena_calloc(b->arena, b->params->num_weights + 1, sizeof *b->out.gradients);
    b->out.energies =
        lbw_arena_calloc(b->arena, b->params->num_energies + 1, sizeof *b->out.energies);
    b->out.positions =
        lbw_arena_calloc(b->arena, b->params->num_energies + 1, sizeof *b->out.positions);
    b->out.means = lbw_arena_calloc(b->arena, b->params->num_moments + 1, sizeof *b->out.means);
    b->out.squares =
        lbw_arena_calloc(b->arena, b->params->num_moments + 1, sizeof *b->out.squares);
    if (!b->tape.prefix || !b->cuts || !b->out.wanted || !b->out.factors || !b->out.scores ||
        !b->out.is_input || !b->out.is_reached || !b->out.gradients || !b->out.energies ||
        !b->out.positions || !b->out.means || !b->out.squares)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < b->trunk.num_nodes; i++)
        lbw_tape_add(&b->tape, b->trunk.nodes[i]);
    return LBW_OK;
}

/* The trunk's own nodes, which were added first, with some of them replaced. */
static void use_native(struct lbw_building *b)
{
    for (size_t i = 0; i < b->trunk.num_nodes; i++) {
        Onnx__NodeProto *node = b->trunk.nodes[i];
        const struct lbw_grad_value *weight =
            node->n_input > 1 ? lbw_grad_find(b, node->input[1]) : NULL;
        if (!b->tape.has_native || !weight || !weight->is_weight || node->n_output != 1)
            continue;
        const struct lbw_grad_value *x = lbw_grad_find(b, node->input[0]),
                                    *y = lbw_grad_find(b, node->output[0]);
        b->graph.node[i] = lbw_native_conv(&b->tape, node, x ? x->shape : NULL, weight->shape,
                                           y ? y->shape : NULL);
    }
}

static enum lbw_status build(struct lbw_building *b, struct lbw_error *err)
{
    LBW_TRY(prepare(b, err));
    LBW_TRY(add_values(b, err));
    spread_activity(b);
    LBW_TRY(check_targets(b, err));
    use_native(b);
    write_loss(b);
    write_taps(b);
    for (size_t i = b->trunk.num_nodes; i-- > 0;)
        step_back(b, b->trunk.nodes[i]);
    name_gradients(b);
    write_statistics(b);
    LBW_TRY(lbw_grad_write_ports(b, err));
    if (b->tape.failed)
        return lbw_fail_memory(err);
    LBW_TRY(lbw_grad_write_constants(b, err));
    b->out.cuts = b->cuts;
    b->out.num_cuts = b->num_cuts;
    const struct lbw_part part = {.graph = &b->graph,
                                  .domain = b->tape.has_native ? LBW_GRAD_DOMAIN : NULL};
    return lbw_extract(&b->out.data, &b->out.size, b->index->model, &part, err);
}

enum lbw_status lbw_grad_build(struct lbw_grad *out, const struct lbw_index *index,
                               const struct lbw_grad_params *params, struct lbw_error *err)
{
    struct lbw_building b = {.index = index, .params = params, .arena = &index->model->arena};
    enum lbw_status status =
        lbw_trunk_init(&b.trunk, index, params->targets, params->num_targets, err);
    if (status != LBW_OK)
        return status;
    status = build(&b, err);
    lbw_trunk_release(&b.trunk);
    lbw_strmap_release(&b.values);
    lbw_strmap_release(&b.tape.sums);
    if (status == LBW_OK)
        *out = b.out;
    return status;
}

void lbw_grad_release(struct lbw_grad *grad)
{
    free(grad->data);
    grad->data = NULL;
}
