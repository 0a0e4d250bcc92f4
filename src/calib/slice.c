/* SPDX-License-Identifier: MIT */
/* Cutting a part out of the main graph and writing it as a model. */
#include "calib/slice.h"

#include "onnx/extract.h"

static bool writes_needed(const struct lbw_flow_node *node, const bool *needed)
{
    for (size_t i = 0; i < node->num_writes; i++)
        if (needed[node->writes[i]->id])
            return true;
    return false;
}

/* Nodes stand in topological order: one walk from the end backwards sees every reader first. */
static void mark(struct lbw_slice *slice, bool *needed, size_t from)
{
    for (size_t i = slice->flow->num_nodes; i-- > 0;) {
        const struct lbw_flow_node *node = &slice->flow->nodes[i];
        if (!writes_needed(node, needed))
            continue;
        enum lbw_flow_kind kind = node->writes[0]->kind;
        if (kind == LBW_FLOW_CONSTANT || (kind != LBW_FLOW_DERIVED && i < from))
            continue;
        slice->has_node[i] = true;
        for (size_t k = 0; k < node->num_reads; k++)
            needed[node->reads[k]->id] = true;
    }
}

enum lbw_status lbw_slice_init(struct lbw_slice *out, struct lbw_arena *arena,
                               const struct lbw_flow *flow,
                               struct lbw_flow_value *const *outputs, size_t num_outputs,
                               size_t from, struct lbw_error *err)
{
    size_t num_values = flow->num_values;
    struct lbw_slice slice = {.flow = flow, .num_outputs = num_outputs};
    bool *needed = lbw_arena_calloc(arena, num_values, sizeof *needed);
    slice.has_node = lbw_arena_calloc(arena, flow->num_nodes, sizeof *slice.has_node);
    slice.inputs = lbw_arena_calloc(arena, num_values, sizeof(struct lbw_flow_value *));
    slice.constants = lbw_arena_calloc(arena, num_values, sizeof(struct lbw_flow_value *));
    slice.outputs =
        lbw_arena_memdup(arena, outputs, num_outputs * sizeof(struct lbw_flow_value *));
    if (!needed || !slice.has_node || !slice.inputs || !slice.constants || !slice.outputs)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < num_outputs; i++)
        needed[outputs[i]->id] = true;
    mark(&slice, needed, from);
    for (size_t i = 0; i < num_values; i++) {
        struct lbw_flow_value *value = flow->values[i];
        if (!needed[i])
            continue;
        if (value->kind == LBW_FLOW_CONSTANT)
            slice.constants[slice.num_constants++] = value;
        else if (value->kind == LBW_FLOW_INPUT ||
                 (value->kind == LBW_FLOW_COMPUTED && value->producer < from))
            slice.inputs[slice.num_inputs++] = value;
    }
    *out = slice;
    return LBW_OK;
}

/* The constant under its value's name. */
static Onnx__TensorProto *make_constant(struct lbw_arena *arena,
                                        const struct lbw_flow_value *value)
{
    Onnx__TensorProto *tensor = lbw_arena_memdup(arena, value->tensor, sizeof *tensor);
    if (tensor)
        tensor->name = (char *)(uintptr_t)value->name;
    return tensor;
}

static enum lbw_status fill_ports(Onnx__GraphProto *graph, const struct lbw_slice *slice,
                                  struct lbw_arena *arena, const struct lbw_array *inputs,
                                  const bool *open_dims, struct lbw_error *err)
{
    graph->input = lbw_arena_calloc(arena, slice->num_inputs, sizeof *graph->input);
    graph->output = lbw_arena_calloc(arena, slice->num_outputs, sizeof *graph->output);
    if (!graph->input || !graph->output)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < slice->num_inputs; i++) {
        const struct lbw_port_shape shape = {inputs[i].data_type, inputs[i].num_dims,
                                             open_dims[i] ? NULL : inputs[i].dims};
        graph->input[i] = lbw_extract_port(arena, slice->inputs[i]->name, &shape);
        if (!graph->input[graph->n_input++])
            return lbw_fail_memory(err);
    }
    for (size_t i = 0; i < slice->num_outputs; i++) {
        graph->output[i] = lbw_extract_port(arena, slice->outputs[i]->name, NULL);
        if (!graph->output[graph->n_output++])
            return lbw_fail_memory(err);
    }
    return LBW_OK;
}

enum lbw_status lbw_slice_graph(Onnx__GraphProto *out, bool *calls,
                                const struct lbw_slice *slice, struct lbw_arena *arena,
                                const struct lbw_model *model, const struct lbw_array *inputs,
                                const bool *open_dims, Onnx__TensorProto *const *replaced,
                                struct lbw_error *err)
{
    Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
    graph.name = (char *)"slice";
    graph.node = lbw_arena_calloc(arena, slice->flow->num_nodes, sizeof *graph.node);
    graph.initializer =
        lbw_arena_calloc(arena, slice->num_constants, sizeof *graph.initializer);
    if (!graph.node || !graph.initializer)
        return lbw_fail_memory(err);
    *calls = false;
    for (size_t i = 0; i < slice->flow->num_nodes; i++)
        if (slice->has_node[i]) {
            graph.node[graph.n_node++] = model->proto->graph->node[i];
            *calls = *calls || slice->flow->nodes[i].calls;
        }
    for (size_t i = 0; i < slice->num_constants; i++) {
        Onnx__TensorProto *tensor = replaced ? replaced[slice->constants[i]->id] : NULL;
        tensor = tensor ? tensor : make_constant(arena, slice->constants[i]);
        if (!tensor)
            return lbw_fail_memory(err);
        graph.initializer[graph.n_initializer++] = tensor;
    }
    LBW_TRY(fill_ports(&graph, slice, arena, inputs, open_dims, err));
    *out = graph;
    return LBW_OK;
}
