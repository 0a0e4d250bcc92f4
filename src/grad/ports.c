/* SPDX-License-Identifier: MIT */
/* The inputs, outputs and constants of a training graph. */
#include <string.h>

#include "grad/building.h"
#include "onnx/extract.h"

/* A graph input or output; without a shape if it is unknown. */
static Onnx__ValueInfoProto *port(struct lbw_building *b, const char *name,
                                  const struct lbw_grad_shape *shape)
{
    struct lbw_port_shape known = {0};
    if (shape)
        known = (struct lbw_port_shape){shape->data_type, shape->num_dims, shape->dims};
    Onnx__ValueInfoProto *made =
        name ? lbw_extract_port(b->arena, name, shape ? &known : NULL) : NULL;
    b->tape.failed = b->tape.failed || !made;
    return made;
}

/* Inputs of the model that the trunk reads. */
static enum lbw_status list_inputs(struct lbw_building *b, struct lbw_error *err)
{
    const Onnx__GraphProto *graph = b->index->model->proto->graph;
    b->out.inputs = lbw_arena_calloc(b->arena, graph->n_input + 1, sizeof *b->out.inputs);
    if (!b->out.inputs)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < graph->n_input; i++) {
        const char *name = graph->input[i]->name;
        struct lbw_value *value = lbw_index_find(b->index->scopes, name);
        const struct lbw_grad_value *used = lbw_grad_find(b, name);
        if (!used || (value && value->initializer))
            continue;
        if (!used->shape)
            return lbw_fail(err, LBW_ERR_ARGUMENT, "the shape of '%s' is unknown", name);
        b->out.inputs[b->out.num_inputs++] = name;
    }
    return LBW_OK;
}

enum lbw_status lbw_grad_write_ports(struct lbw_building *b, struct lbw_error *err)
{
    const struct lbw_grad_params *params = b->params;
    size_t num_counted = params->num_targets - params->num_taps;
    LBW_TRY(list_inputs(b, err));
    size_t max = b->out.num_inputs + 3 * params->num_targets + params->num_weights + 1;
    Onnx__ValueInfoProto **in = lbw_arena_calloc(b->arena, max, sizeof *in);
    Onnx__ValueInfoProto **out =
        lbw_arena_calloc(b->arena,
                         params->num_weights + params->num_targets + params->num_energies +
                             2 * params->num_moments + 1,
                         sizeof *out);
    if (!in || !out)
        return lbw_fail_memory(err);
    size_t n = 0;
    for (size_t i = 0; i < b->out.num_inputs; i++)
        in[n++] = port(b, b->out.inputs[i], lbw_grad_find(b, b->out.inputs[i])->shape);
    for (size_t i = 0; i < params->num_targets && !params->is_linear; i++)
        in[n++] = port(b, b->out.wanted[i], lbw_grad_find(b, params->targets[i])->shape);
    for (size_t i = 0; i < params->num_targets; i++) {
        struct lbw_grad_shape shape = *lbw_grad_find(b, params->targets[i])->shape;
        if (i >= num_counted)
            lbw_grad_by_channel(shape.dims, shape.num_dims);
        in[n++] = port(b, b->out.factors[i], &shape);
    }
    for (size_t i = 0; i < params->num_scored && !params->is_linear; i++)
        in[n++] = port(b, b->out.scores[i], lbw_grad_find(b, params->targets[i])->shape);
    b->graph.output = out;
    out[b->graph.n_output++] = port(b, b->out.loss, NULL);
    for (size_t i = 0; params->no_gradients && i < num_counted; i++)
        out[b->graph.n_output++] =
            port(b, params->targets[i], lbw_grad_find(b, params->targets[i])->shape);
    for (size_t i = 0; i < params->num_weights; i++) {
        if (!b->out.is_input[i])
            continue;
        in[n++] = port(b, params->weights[i], lbw_grad_find(b, params->weights[i])->shape);
        if (b->out.gradients[i])
            out[b->graph.n_output++] = port(b, b->out.gradients[i], NULL);
    }
    for (size_t i = 0; i < params->num_energies; i++)
        if (b->out.energies[i])
            out[b->graph.n_output++] = port(b, b->out.energies[i], NULL);
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < params->num_moments; i++)
            if (b->out.means[i])
                out[b->graph.n_output++] =
                    port(b, k ? b->out.squares[i] : b->out.means[i], NULL);
    b->graph.input = in;
    b->graph.n_input = n;
    return LBW_OK;
}

static bool is_input(const struct lbw_building *b, const char *name)
{
    for (size_t i = 0; i < b->graph.n_input; i++)
        if (strcmp(b->graph.input[i]->name, name) == 0)
            return true;
    return false;
}

/* Drops nodes whose output has become an input (a Constant with a wanted weight). */
static void drop_replaced(struct lbw_building *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->graph.n_node; i++) {
        Onnx__NodeProto *node = b->graph.node[i];
        if (node->n_output != 1 || !is_input(b, node->output[0]))
            b->graph.node[kept++] = node;
    }
    b->graph.n_node = kept;
}

enum lbw_status lbw_grad_write_constants(struct lbw_building *b, struct lbw_error *err)
{
    const Onnx__GraphProto *graph = b->index->model->proto->graph;
    for (size_t i = 0; i < graph->n_initializer; i++) {
        Onnx__TensorProto *tensor = graph->initializer[i];
        if (!tensor->name || !lbw_grad_find(b, tensor->name) || is_input(b, tensor->name))
            continue;
        if (!lbw_graph_add_initializer(b->index->model, &b->graph, tensor))
            return lbw_fail_memory(err);
    }
    drop_replaced(b);
    return LBW_OK;
}
