/* SPDX-License-Identifier: MIT */
/*
 * Builds a tree that borrows from the model's; external values are embedded only while it is
 * packed.
 */
#include "onnx/extract.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/last_layers.h"
#include "onnx/extdata.h"
#include "onnx/walk.h"

#define MAX_DIMS 8

/* Tensors that are changed while the tree is packed, and their old state. */
struct inlining {
    struct lbw_model *model;
    struct lbw_error *err;
    enum lbw_status status;
    struct change {
        Onnx__TensorProto *tensor, before;
    } * changes;
    size_t num, capacity;
};

static bool remember(struct inlining *in, Onnx__TensorProto *tensor)
{
    if (in->num == in->capacity) {
        size_t capacity = 2 * in->capacity + 16;
        struct change *grown = realloc(in->changes, capacity * sizeof *grown);
        if (!grown)
            return false;
        in->changes = grown;
        in->capacity = capacity;
    }
    in->changes[in->num++] = (struct change){tensor, *tensor};
    return true;
}

static bool inline_message(ProtobufCMessage *message, void *user)
{
    struct inlining *in = user;
    Onnx__TensorProto *tensor = lbw_walk_tensor(message);
    if (!tensor || !lbw_tensor_is_external(tensor))
        return true;
    in->status = remember(in, tensor) ? lbw_external_inline_tensor(in->model, tensor, in->err)
                                      : lbw_fail_memory(in->err);
    return in->status == LBW_OK;
}

static enum lbw_status pack(void **data, size_t *size, const Onnx__ModelProto *proto,
                            struct lbw_error *err)
{
    size_t packed_size = onnx__model_proto__get_packed_size(proto);
    if (packed_size > INT_MAX)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "%zu bytes exceed the 2 GiB that the runtime takes from memory",
                        packed_size);
    void *packed = malloc(packed_size ? packed_size : 1);
    if (!packed)
        return lbw_fail_memory(err);
    *size = onnx__model_proto__pack(proto, packed);
    *data = packed;
    return LBW_OK;
}

static enum lbw_status pack_whole(void **data, size_t *size, struct lbw_model *model,
                                  Onnx__ModelProto *proto, struct lbw_error *err)
{
    struct inlining in = {.model = model, .err = err};
    lbw_walk(&proto->base, inline_message, &in);
    if (in.status == LBW_OK)
        in.status = pack(data, size, proto, err);
    while (in.num--)
        *in.changes[in.num].tensor = in.changes[in.num].before;
    free(in.changes);
    return in.status;
}

/* The model around a graph of the caller's. */
static Onnx__ModelProto around(Onnx__GraphProto *graph, const Onnx__ModelProto *whole)
{
    Onnx__ModelProto proto = ONNX__MODEL_PROTO__INIT;
    proto.has_ir_version = true;
    proto.ir_version = whole->ir_version < LBW_FOLDING_IR ? LBW_FOLDING_IR : whole->ir_version;
    proto.n_opset_import = whole->n_opset_import;
    proto.opset_import = whole->opset_import;
    proto.n_functions = whole->n_functions;
    proto.functions = whole->functions;
    proto.graph = graph;
    return proto;
}

/* Adds one import. */
static bool import(Onnx__ModelProto *proto, struct lbw_arena *arena, const char *domain)
{
    size_t num = proto->n_opset_import;
    Onnx__OperatorSetIdProto **list = lbw_arena_calloc(arena, num + 1, sizeof *list);
    Onnx__OperatorSetIdProto *added = lbw_arena_calloc(arena, 1, sizeof *added);
    if (!list || !added)
        return false;
    onnx__operator_set_id_proto__init(added);
    added->domain = (char *)(uintptr_t)domain;
    added->has_version = true;
    added->version = 1;
    if (num)
        memcpy(list, proto->opset_import, num * sizeof *list);
    list[num] = added;
    proto->opset_import = list;
    proto->n_opset_import = num + 1;
    return true;
}

static bool put_needs(struct lbw_strmap *names, const Onnx__NodeProto *node);

/* What the nodes of a body read, its own values included. */
static bool put_needs_of_body(struct lbw_strmap *names, const Onnx__GraphProto *body)
{
    for (size_t i = 0; i < body->n_node; i++)
        if (!put_needs(names, body->node[i]))
            return false;
    for (size_t i = 0; i < body->n_output; i++) /* may be a value from outside */
        if (body->output[i]->name && !lbw_ends_put(names, &body->output[i]->name, 1))
            return false;
    return true;
}

static bool put_needs(struct lbw_strmap *names, const Onnx__NodeProto *node)
{
    if (!lbw_ends_put(names, node->input, node->n_input))
        return false;
    for (size_t i = 0; i < node->n_attribute; i++) {
        const Onnx__AttributeProto *a = node->attribute[i];
        if (a->g && !put_needs_of_body(names, a->g))
            return false;
        for (size_t k = 0; k < a->n_graphs; k++)
            if (!put_needs_of_body(names, a->graphs[k]))
                return false;
    }
    return true;
}

/* Only the nodes that the outputs depend on: the runtime refuses others that it does not know.
 */
static enum lbw_status keep_needed(Onnx__GraphProto *graph, struct lbw_arena *arena,
                                   const struct lbw_part *part, struct lbw_error *err)
{
    struct lbw_strmap names = {0};
    Onnx__NodeProto **kept = lbw_arena_calloc(arena, graph->n_node + 1, sizeof *kept);
    size_t first = graph->n_node;
    bool has_memory = kept != NULL;
    for (size_t i = 0; i < part->num_outputs && has_memory; i++)
        has_memory = lbw_strmap_put(&names, part->outputs[i], graph);
    for (size_t i = graph->n_node; i-- > 0 && has_memory;)
        if (lbw_ends_reach(graph->node[i], &names)) {
            kept[--first] = graph->node[i];
            has_memory = put_needs(&names, graph->node[i]);
        }
    lbw_strmap_release(&names);
    if (!has_memory)
        return lbw_fail_memory(err);
    graph->node = kept + first;
    graph->n_node -= first;
    return LBW_OK;
}

enum lbw_status lbw_extract(void **data, size_t *size, struct lbw_model *model,
                            const struct lbw_part *part, struct lbw_error *err)
{
    Onnx__ModelProto proto = part->graph ? around(part->graph, model->proto) : *model->proto;
    Onnx__GraphProto graph = *proto.graph;
    struct lbw_arena arena = {0}; /* of the ports */
    enum lbw_status status;
    LBW_OR_OUT(lbw_model_check(model, err));
    proto.graph = &graph;
    if (part->no_functions)
        proto.n_functions = 0;
    if (part->num_outputs) {
        graph.output = lbw_arena_calloc(&arena, part->num_outputs, sizeof *graph.output);
        graph.n_output = 0;
    }
    if (part->num_outputs)
        LBW_OR_OUT(keep_needed(&graph, &arena, part, err));
    if (part->domain && !import(&proto, &arena, part->domain))
        LBW_OR_OUT(lbw_fail_memory(err));
    for (size_t i = 0; i < part->num_outputs; i++) {
        Onnx__ValueInfoProto *port =
            graph.output ? lbw_extract_port(&arena, part->outputs[i], NULL) : NULL;
        if (!port)
            LBW_OR_OUT(lbw_fail_memory(err));
        graph.output[graph.n_output++] = port;
    }
    LBW_OR_OUT(pack_whole(data, size, model, &proto, err));
out:
    lbw_arena_release(&arena);
    return status;
}

Onnx__ValueInfoProto *lbw_extract_port(struct lbw_arena *arena, const char *name,
                                       const struct lbw_port_shape *shape)
{
    struct port {
        Onnx__ValueInfoProto info;
        Onnx__TypeProto type;
        Onnx__TypeProto__Tensor tensor;
        Onnx__TensorShapeProto shape;
        Onnx__TensorShapeProto__Dimension dims[MAX_DIMS];
        Onnx__TensorShapeProto__Dimension *list[MAX_DIMS];
    } *port = lbw_arena_calloc(arena, 1, sizeof *port);
    if (!port)
        return NULL;
    onnx__value_info_proto__init(&port->info);
    port->info.name = (char *)(uintptr_t)name;
    if (!shape)
        return &port->info;
    onnx__type_proto__init(&port->type);
    onnx__type_proto__tensor__init(&port->tensor);
    port->info.type = &port->type;
    port->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    port->type.tensor_type = &port->tensor;
    port->tensor.has_elem_type = true;
    port->tensor.elem_type = shape->data_type;
    if (!shape->dims)
        return &port->info;
    onnx__tensor_shape_proto__init(&port->shape);
    port->tensor.shape = &port->shape;
    port->shape.n_dim = shape->num_dims;
    port->shape.dim = port->list;
    for (size_t i = 0; i < shape->num_dims; i++) {
        onnx__tensor_shape_proto__dimension__init(&port->dims[i]);
        port->dims[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        port->dims[i].dim_value = shape->dims[i];
        port->list[i] = &port->dims[i];
    }
    return &port->info;
}
