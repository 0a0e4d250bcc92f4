/* SPDX-License-Identifier: MIT */
/* Describes a model: inputs, outputs and metadata, for lbw_model_describe(). */
#include <string.h>

#include "base/strmap.h"
#include "onnx/model.h"
#include "onnx/tensor.h"

#define MAX_DIMS (sizeof((struct lbw_port *)0)->dims / sizeof(int64_t))

static const char *text_or(const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

static void describe_shape(struct lbw_port *port, const Onnx__TensorShapeProto *shape)
{
    if (!shape || shape->n_dim > MAX_DIMS)
        return;
    port->num_dims = (int)shape->n_dim;
    for (size_t i = 0; i < shape->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = shape->dim[i];
        bool is_symbol =
            dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        bool is_fixed = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        port->dims[i] = is_fixed && dim->dim_value >= 0 ? dim->dim_value : -1;
        port->symbols[i] = is_symbol ? text_or(dim->dim_param, "") : "";
    }
}

static void describe_port(struct lbw_port *port, const Onnx__ValueInfoProto *value)
{
    *port = (struct lbw_port){text_or(value->name, ""), "?", -1, {0}, {0}};
    for (size_t i = 0; i < MAX_DIMS; i++)
        port->symbols[i] = "";
    if (!value->type)
        return;
    switch (value->type->value_case) {
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
        port->type = lbw_data_type_name(value->type->tensor_type->elem_type);
        describe_shape(port, value->type->tensor_type->shape);
        break;
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE:
        port->type = lbw_data_type_name(value->type->sparse_tensor_type->elem_type);
        describe_shape(port, value->type->sparse_tensor_type->shape);
        break;
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
        port->type = "sequence";
        break;
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
        port->type = "map";
        break;
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
        port->type = "optional";
        break;
    case ONNX__TYPE_PROTO__VALUE_OPAQUE_TYPE:
        port->type = "opaque";
        break;
    default:
        break;
    }
}

/* Inputs that are not initializers, in order. */
static enum lbw_status describe_inputs(struct lbw_model_info *info, struct lbw_model *model,
                                       struct lbw_error *err)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    struct lbw_port *ports = lbw_arena_alloc(&model->arena, graph->n_input * sizeof *ports);
    struct lbw_strmap initializers = {0};
    bool is_whole = ports != NULL;
    for (size_t i = 0; is_whole && i < graph->n_initializer; i++)
        if (graph->initializer[i]->name)
            is_whole = lbw_strmap_put(&initializers, graph->initializer[i]->name, info);
    for (size_t i = 0; is_whole && i < graph->n_sparse_initializer; i++) {
        const Onnx__TensorProto *values = graph->sparse_initializer[i]->values;
        if (values && values->name)
            is_whole = lbw_strmap_put(&initializers, values->name, info);
    }
    for (size_t i = 0; is_whole && i < graph->n_input; i++)
        if (!graph->input[i]->name || !lbw_strmap_get(&initializers, graph->input[i]->name))
            describe_port(&ports[info->num_inputs++], graph->input[i]);
    lbw_strmap_release(&initializers);
    info->inputs = ports;
    return is_whole ? LBW_OK : lbw_fail_memory(err);
}

static enum lbw_status describe_outputs(struct lbw_model_info *info, struct lbw_model *model,
                                        struct lbw_error *err)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    struct lbw_port *ports = lbw_arena_alloc(&model->arena, graph->n_output * sizeof *ports);
    if (!ports)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < graph->n_output; i++)
        describe_port(&ports[i], graph->output[i]);
    info->num_outputs = graph->n_output;
    info->outputs = ports;
    return LBW_OK;
}

static enum lbw_status describe_metadata(struct lbw_model_info *info, struct lbw_model *model,
                                         struct lbw_error *err)
{
    const Onnx__ModelProto *proto = model->proto;
    const char **list =
        lbw_arena_calloc(&model->arena, proto->n_metadata_props, 2 * sizeof *list);
    if (!list)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < proto->n_metadata_props; i++) {
        list[2 * i] = text_or(proto->metadata_props[i]->key, "");
        list[2 * i + 1] = text_or(proto->metadata_props[i]->value, "");
    }
    info->num_metadata = proto->n_metadata_props;
    info->metadata = list;
    return LBW_OK;
}

enum lbw_status lbw_model_describe(struct lbw_model_info *out, struct lbw_model *model,
                                   struct lbw_error *err)
{
    const Onnx__ModelProto *proto = model->proto;
    const char *name = text_or(proto->producer_name, "");
    const char *version = text_or(proto->producer_version, "");
    struct lbw_model_info info = {
        .ir_version = proto->ir_version,
        .opset = lbw_model_opset(model, ""),
        .graph_name = text_or(proto->graph->name, ""),
        .file_size = model->file_size,
        .num_nodes = proto->graph->n_node,
        .num_functions = proto->n_functions,
    };
    info.producer =
        lbw_arena_printf(&model->arena, "%s%s%s", name, *name && *version ? " " : "", version);
    if (!info.producer)
        return lbw_fail_memory(err);
    LBW_TRY(describe_inputs(&info, model, err));
    LBW_TRY(describe_outputs(&info, model, err));
    LBW_TRY(describe_metadata(&info, model, err));
    *out = info;
    return LBW_OK;
}
