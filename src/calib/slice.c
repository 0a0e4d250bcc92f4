/* SPDX-License-Identifier: MIT */
/* Cutting a part out of the main graph and writing it as a model. */
#include "calib/slice.h"

#include <stdlib.h>

#include "onnx/tensor.h"

/* From here on initializers need not be graph inputs, so the runtime may fold them. */
#define LEAST_IR_VERSION 4

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

/* NULL when memory is out; without a type when `array` is NULL. */
static Onnx__ValueInfoProto *make_port(struct lbw_arena *arena, const char *name,
                                       const struct lbw_array *array, bool open_dims)
{
    struct port {
        Onnx__ValueInfoProto info;
        Onnx__TypeProto type;
        Onnx__TypeProto__Tensor tensor;
        Onnx__TensorShapeProto shape;
        Onnx__TensorShapeProto__Dimension dims[8];
        Onnx__TensorShapeProto__Dimension *list[8];
    } *port = lbw_arena_calloc(arena, 1, sizeof *port);
    if (!port)
        return NULL;
    onnx__value_info_proto__init(&port->info);
    port->info.name = (char *)name;
    if (!array)
        return &port->info;
    onnx__type_proto__init(&port->type);
    onnx__type_proto__tensor__init(&port->tensor);
    port->info.type = &port->type;
    port->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    port->type.tensor_type = &port->tensor;
    port->tensor.has_elem_type = true;
    port->tensor.elem_type = array->data_type;
    if (open_dims)
        return &port->info;
    onnx__tensor_shape_proto__init(&port->shape);
    port->tensor.shape = &port->shape;
    port->shape.n_dim = array->num_dims;
    port->shape.dim = port->list;
    for (size_t i = 0; i < array->num_dims; i++) {
        onnx__tensor_shape_proto__dimension__init(&port->dims[i]);
        port->dims[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        port->dims[i].dim_value = array->dims[i];
        port->list[i] = &port->dims[i];
    }
    return &port->info;
}

/* The constant under its value's name, with its bytes inside whatever it says of files. */
static enum lbw_status make_constant(Onnx__TensorProto **out, struct lbw_arena *arena,
                                     struct lbw_model *model,
                                     const struct lbw_flow_value *value, struct lbw_error *err)
{
    Onnx__TensorProto *tensor = lbw_arena_memdup(arena, value->tensor, sizeof *tensor);
    struct lbw_tensor view;
    if (!tensor)
        return lbw_fail_memory(err);
    tensor->name = (char *)value->name;
    if (tensor->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
        LBW_TRY(lbw_tensor_view(&view, model, value->tensor, err));
        tensor->has_data_location = false;
        tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
        tensor->n_external_data = 0;
        tensor->has_raw_data = true;
        tensor->raw_data.data = (uint8_t *)view.data;
        tensor->raw_data.len = view.size;
    }
    *out = tensor;
    return LBW_OK;
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
        graph->input[i] = make_port(arena, slice->inputs[i]->name, &inputs[i], open_dims[i]);
        if (!graph->input[graph->n_input++])
            return lbw_fail_memory(err);
    }
    for (size_t i = 0; i < slice->num_outputs; i++) {
        graph->output[i] = make_port(arena, slice->outputs[i]->name, NULL, true);
        if (!graph->output[graph->n_output++])
            return lbw_fail_memory(err);
    }
    return LBW_OK;
}

enum lbw_status lbw_slice_pack(void **data, size_t *size, const struct lbw_slice *slice,
                               struct lbw_arena *arena, struct lbw_model *model,
                               const struct lbw_array *inputs, const bool *open_dims,
                               Onnx__TensorProto *const *replaced, struct lbw_error *err)
{
    const Onnx__ModelProto *whole = model->proto;
    Onnx__ModelProto part = ONNX__MODEL_PROTO__INIT;
    Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
    bool calls = false;
    graph.name = (char *)"slice";
    graph.node = lbw_arena_calloc(arena, slice->flow->num_nodes, sizeof *graph.node);
    graph.initializer =
        lbw_arena_calloc(arena, slice->num_constants, sizeof *graph.initializer);
    if (!graph.node || !graph.initializer)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < slice->flow->num_nodes; i++)
        if (slice->has_node[i]) {
            graph.node[graph.n_node++] = whole->graph->node[i];
            calls = calls || slice->flow->nodes[i].calls;
        }
    for (size_t i = 0; i < slice->num_constants; i++) {
        Onnx__TensorProto **tensor = &graph.initializer[graph.n_initializer++];
        *tensor = replaced ? replaced[slice->constants[i]->id] : NULL;
        if (!*tensor)
            LBW_TRY(make_constant(tensor, arena, model, slice->constants[i], err));
    }
    LBW_TRY(fill_ports(&graph, slice, arena, inputs, open_dims, err));
    part.has_ir_version = true;
    part.ir_version =
        whole->ir_version < LEAST_IR_VERSION ? LEAST_IR_VERSION : whole->ir_version;
    part.n_opset_import = whole->n_opset_import;
    part.opset_import = whole->opset_import;
    part.n_functions = calls ? whole->n_functions : 0;
    part.functions = whole->functions;
    part.graph = &graph;
    size_t packed_size = onnx__model_proto__get_packed_size(&part);
    void *packed = malloc(packed_size);
    if (!packed)
        return lbw_fail_memory(err);
    onnx__model_proto__pack(&part, packed);
    *data = packed;
    *size = packed_size;
    return LBW_OK;
}
