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

/* Nodes are in topological order: a walk from the end meets every reader first. */
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

/* The constant of a value, under its name. */
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

/* A node, initializer or name in the arena; after a failed allocation `failed` is set. */
struct maker {
    struct lbw_arena *arena;
    Onnx__GraphProto *graph;
    bool failed;
};

static char *make_name(struct maker *m, const char *name, const char *suffix)
{
    char *made = lbw_arena_printf(m->arena, "%s.lbw_%s", name, suffix);
    m->failed = m->failed || !made;
    return made;
}

static char *make_number(struct maker *m, char *name, int32_t type, const void *data,
                         size_t size)
{
    Onnx__TensorProto *tensor = lbw_arena_alloc(m->arena, sizeof *tensor);
    void *copy = lbw_arena_memdup(m->arena, data, size);
    if (!tensor || !copy) {
        m->failed = true;
        return name;
    }
    onnx__tensor_proto__init(tensor);
    tensor->name = name;
    tensor->has_data_type = true;
    tensor->data_type = type;
    tensor->has_raw_data = true;
    tensor->raw_data.data = copy;
    tensor->raw_data.len = size;
    m->graph->initializer[m->graph->n_initializer++] = tensor;
    return name;
}

/* A factor for each channel, the axis before the last two. */
static char *make_factors(struct maker *m, char *name, const struct lbw_ranges *ranges)
{
    size_t num = ranges->num;
    const int64_t shape[3] = {(int64_t)num, 1, 1};
    float *factors = lbw_arena_alloc(m->arena, num * sizeof *factors);
    int64_t *dims = lbw_arena_memdup(m->arena, shape, sizeof shape);
    if (!factors || !dims) {
        m->failed = true;
        return name;
    }
    for (size_t i = 0; i < num; i++)
        factors[i] = ranges->items[i].scale;
    make_number(m, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, factors, num * sizeof *factors);
    if (!m->failed) {
        m->graph->initializer[m->graph->n_initializer - 1]->n_dims = 3;
        m->graph->initializer[m->graph->n_initializer - 1]->dims = dims;
    }
    return name;
}

/* Two inputs, or with a zero three. */
static void make_node(struct maker *m, const char *op, char *x, char *scale, char *zero,
                      char *output)
{
    struct made {
        Onnx__NodeProto node;
        char *inputs[3], *outputs[1];
    } *made = lbw_arena_calloc(m->arena, 1, sizeof *made);
    if (!made) {
        m->failed = true;
        return;
    }
    onnx__node_proto__init(&made->node);
    made->node.op_type = (char *)op;
    made->node.n_input = zero ? 3 : 2;
    made->node.input = made->inputs;
    made->node.n_output = 1;
    made->node.output = made->outputs;
    made->inputs[0] = x;
    made->inputs[1] = scale;
    made->inputs[2] = zero;
    made->outputs[0] = output;
    m->graph->node[m->graph->n_node++] = &made->node;
}

/* Renames output k of the node and gives its old name to the rounded tensor. */
static void round_output(struct maker *m, Onnx__NodeProto *node, size_t k,
                         const struct lbw_ranges *ranges)
{
    const struct lbw_range *range = ranges->items;
    const bool differ = ranges->num > 1;
    const float one = 1;
    char *name = node->output[k], *exact = make_name(m, name, "exact");
    unsigned char zero = (unsigned char)range->zero;
    int32_t type = range->least < 0 ? ONNX__TENSOR_PROTO__DATA_TYPE__INT8
                                    : ONNX__TENSOR_PROTO__DATA_TYPE__UINT8;
    char *scale =
        make_number(m, make_name(m, name, "scale"), ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                    differ ? &one : &range->scale, 4);
    char *point = make_number(m, make_name(m, name, "zero"), type, &zero, 1);
    char *codes = make_name(m, name, "codes");
    node->output[k] = exact;
    char *factors = differ ? make_factors(m, make_name(m, name, "factors"), ranges) : NULL;
    char *steps = differ ? make_name(m, name, "steps") : exact;
    char *decoded = differ ? make_name(m, name, "decoded") : name;
    if (differ)
        make_node(m, "Div", exact, factors, NULL, steps);
    make_node(m, "QuantizeLinear", steps, scale, point, codes);
    make_node(m, "DequantizeLinear", codes, scale, point, decoded);
    if (differ)
        make_node(m, "Mul", decoded, factors, NULL, name);
}

/* Adds node i of the main graph, rounding its outputs if required. */
static void add_node(struct maker *m, const struct lbw_slice *slice, size_t i,
                     Onnx__NodeProto *node, struct lbw_ranges *const *rounded)
{
    const struct lbw_flow_node *flow = &slice->flow->nodes[i];
    bool is_rounded = false;
    for (size_t k = 0; rounded && k < flow->num_writes; k++)
        is_rounded = is_rounded || rounded[flow->writes[k]->id];
    if (is_rounded) {
        node = lbw_arena_memdup(m->arena, node, sizeof *node);
        char **outputs =
            node ? lbw_arena_memdup(m->arena, node->output, node->n_output * sizeof *outputs)
                 : NULL;
        if (!outputs) {
            m->failed = true;
            return;
        }
        node->output = outputs;
    }
    m->graph->node[m->graph->n_node++] = node;
    for (size_t k = 0; is_rounded && k < node->n_output; k++) {
        const struct lbw_flow_value *value = lbw_flow_find(slice->flow, node->output[k]);
        if (value && rounded[value->id])
            round_output(m, node, k, rounded[value->id]);
    }
}

enum lbw_status lbw_slice_graph(Onnx__GraphProto *out, bool *calls,
                                const struct lbw_slice *slice, struct lbw_arena *arena,
                                const struct lbw_model *model, const struct lbw_array *inputs,
                                const bool *open_dims, Onnx__TensorProto *const *replaced,
                                struct lbw_ranges *const *rounded, struct lbw_error *err)
{
    Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
    struct maker maker = {arena, &graph, false};
    /* each value adds up to four nodes that round it, and three constants */
    size_t num_values = rounded ? slice->flow->num_values : 0;
    graph.name = (char *)"slice";
    graph.node =
        lbw_arena_calloc(arena, slice->flow->num_nodes + 4 * num_values, sizeof *graph.node);
    graph.initializer = lbw_arena_calloc(arena, slice->num_constants + 3 * num_values,
                                         sizeof *graph.initializer);
    if (!graph.node || !graph.initializer)
        return lbw_fail_memory(err);
    *calls = false;
    for (size_t i = 0; i < slice->flow->num_nodes; i++)
        if (slice->has_node[i]) {
            add_node(&maker, slice, i, model->proto->graph->node[i], rounded);
            *calls = *calls || slice->flow->nodes[i].calls;
        }
    for (size_t i = 0; i < slice->num_constants; i++) {
        Onnx__TensorProto *tensor = replaced ? replaced[slice->constants[i]->id] : NULL;
        tensor = tensor ? tensor : make_constant(arena, slice->constants[i]);
        if (!tensor)
            return lbw_fail_memory(err);
        graph.initializer[graph.n_initializer++] = tensor;
    }
    if (maker.failed)
        return lbw_fail_memory(err);
    LBW_TRY(fill_ports(&graph, slice, arena, inputs, open_dims, err));
    *out = graph;
    return LBW_OK;
}
