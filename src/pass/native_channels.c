/* SPDX-License-Identifier: MIT */
/*
 * Follows every element from the bytes to the QuantizeLinear: each gets a number of its own,
 * the nodes between move the numbers, and where whole planes arrive they are channels.
 */
#include "pass/native_channels.h"

#include <string.h>

#include "base/bits.h"
#include "onnx/constant_op.h"
#include "pass/encode.h"
#include "pass/native_float.h"

#define MAX_ELEMENTS ((size_t)1 << 22)
#define MAX_DEPTH    64
#define MAX_NODES    512
#define LIST         ".channels" /* ends the name of one */

struct part {
    const Onnx__NodeProto *dequantize;
    size_t first, channels; /* of all parts side by side */
};

struct tracer {
    const struct lbw_native_finder *finder;
    const Onnx__NodeProto *quantize; /* where it begins */
    struct lbw_arena arena;
    struct part parts[LBW_NATIVE_MAX_CHANNEL_PARTS];
    size_t num_parts, num_channels;
    size_t plane; /* elements; the same in all parts */
    size_t num_nodes;
};

static bool trace(struct lbw_numbers *out, struct tracer *t, const char *name, int depth);

/* The part that this DequantizeLinear makes, added when it is new; NULL: it does not fit. */
static const struct part *find_part(struct tracer *t, const Onnx__NodeProto *node,
                                    const int64_t dims[4])
{
    size_t plane = (size_t)dims[2] * (size_t)dims[3];
    for (size_t i = 0; i < t->num_parts; i++)
        if (t->parts[i].dequantize == node)
            return &t->parts[i];
    if (t->num_parts == LBW_NATIVE_MAX_CHANNEL_PARTS || (t->num_parts && plane != t->plane))
        return NULL;
    t->plane = plane;
    struct part *part = &t->parts[t->num_parts++];
    *part = (struct part){node, t->num_channels, (size_t)dims[1]};
    t->num_channels += part->channels;
    return part;
}

static bool trace_bytes(struct lbw_numbers *out, struct tracer *t, const Onnx__NodeProto *node)
{
    int64_t dims[4];
    if (!lbw_native_dims(dims, t->finder, node->output[0]) || dims[0] != 1)
        return false;
    for (size_t i = 1; i < 4; i++)
        if (dims[i] < 1 || dims[i] > 1 << 16)
            return false;
    const struct part *part = find_part(t, node, dims);
    if (!part || (size_t)dims[1] > MAX_ELEMENTS / t->plane ||
        lbw_numbers_alloc(out, &t->arena, ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE, dims, 4,
                          NULL) != LBW_OK)
        return false;
    for (size_t i = 0; i < out->count; i++)
        out->values[i] = (double)(part->first * t->plane + i);
    return true;
}

static bool read_constant(struct lbw_numbers *out, struct tracer *t,
                          const Onnx__TensorProto *proto)
{
    struct lbw_tensor view;
    if (lbw_tensor_view(&view, t->finder->model, proto, NULL) != LBW_OK ||
        view.count > MAX_ELEMENTS || proto->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ||
        lbw_numbers_alloc(out, &t->arena, proto->data_type, view.dims, view.num_dims, NULL) !=
            LBW_OK)
        return false;
    int64_t *values = lbw_arena_calloc(&t->arena, view.count + 1, sizeof *values);
    if (!values || lbw_tensor_read_int64(&view, values, NULL) != LBW_OK)
        return false;
    for (size_t i = 0; i < out->count; i++)
        out->values[i] = (double)values[i];
    return true;
}

static bool trace_node(struct lbw_numbers *out, struct tracer *t, const Onnx__NodeProto *node,
                       size_t output, int depth)
{
    const struct lbw_native_finder *r = t->finder;
    struct lbw_numbers *inputs = lbw_arena_calloc(&t->arena, node->n_input + 1, sizeof *inputs);
    size_t count = 0;
    if (!inputs || !lbw_native_moves(node) || ++t->num_nodes > MAX_NODES)
        return false;
    for (size_t i = 0; i < node->n_input; i++) {
        if (*node->input[i] && !trace(&inputs[i], t, node->input[i], depth + 1))
            return false;
        count += inputs[i].count;
    }
    if (count > MAX_ELEMENTS)
        return false;
    const struct lbw_constant_op *op = lbw_constant_op_find(node);
    const struct lbw_constant_call call = {.node = node,
                                           .opset = lbw_scope_opset(r->model, r->scope),
                                           .inputs = inputs,
                                           .num_inputs = node->n_input,
                                           .output = output,
                                           .arena = &t->arena};
    return op && op->fn(out, &call, NULL) == LBW_OK;
}

/*
 * Through a DequantizeLinear and the QuantizeLinear before it, whose rounding the last one
 * repeats, to nodes that move values.
 */
static bool trace_pair(struct lbw_numbers *out, struct tracer *t,
                       const Onnx__NodeProto *dequantize, int depth)
{
    const struct lbw_native_finder *r = t->finder;
    const Onnx__NodeProto *q =
        lbw_native_made_by(r, lbw_node_input(dequantize, 0), "QuantizeLinear");
    const struct lbw_value *value = q ? lbw_native_value(r, lbw_node_input(q, 0)) : NULL;
    if (!value || !value->producer || !lbw_native_moves(value->producer) ||
        !lbw_native_has_byte_scaling(r, q) || !lbw_native_has_same_scaling(r, q, dequantize) ||
        !lbw_native_has_same_scaling(r, q, t->quantize))
        return false;
    struct tracer before = *t;
    bool is_traced = trace(out, t, value->name, depth + 1);
    if (!is_traced) {
        before.arena = t->arena;
        before.num_nodes = t->num_nodes; /* of all that was tried */
        *t = before;
    }
    return is_traced;
}

/* Which element of the parts each element of a value is. */
static bool trace(struct lbw_numbers *out, struct tracer *t, const char *name, int depth)
{
    const struct lbw_native_finder *r = t->finder;
    const Onnx__NodeProto *bytes = lbw_native_dequantizer(r, name);
    const struct lbw_value *value = lbw_native_value(r, name);
    const Onnx__TensorProto *constant =
        value ? lbw_index_constant(r->index, value, true) : NULL;
    if (bytes)
        return trace_pair(out, t, bytes, depth) || trace_bytes(out, t, bytes);
    if (constant)
        return read_constant(out, t, constant);
    return value && value->producer && value->scope == r->scope && depth < MAX_DEPTH &&
           trace_node(out, t, value->producer, value->producer_output, depth);
}

/* The channels that the planes of a result are; false where it is not made of whole planes. */
static bool read_channels(unsigned char *out, const struct tracer *t,
                          const struct lbw_numbers *result)
{
    size_t plane = t->plane;
    if (result->num_dims != 4 || result->dims[0] != 1 || !plane ||
        (size_t)(result->dims[2] * result->dims[3]) != plane)
        return false;
    for (size_t c = 0; c < (size_t)result->dims[1]; c++) {
        const double *values = result->values + c * plane;
        size_t channel = (size_t)values[0] / plane;
        for (size_t i = 0; i < plane; i++)
            if (values[i] != (double)(channel * plane + i))
                return false;
        lbw_store_le(out + 8 * c, channel, 8);
    }
    return true;
}

/* A list of the same channels that is there already, or NULL. */
static const char *find_list(const struct lbw_native_finder *r, const unsigned char *data,
                             size_t size)
{
    const Onnx__GraphProto *graph = r->scope->graph;
    for (size_t i = 0; i < graph->n_initializer; i++) {
        const Onnx__TensorProto *tensor = graph->initializer[i];
        const char *suffix = tensor->name ? strstr(tensor->name, LIST) : NULL;
        if (suffix && tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 &&
            tensor->n_dims == 1 && tensor->has_raw_data && tensor->raw_data.len == size &&
            memcmp(tensor->raw_data.data, data, size) == 0 &&
            !lbw_index_find(r->scope, tensor->name)) /* added since */
            return tensor->name;
    }
    return NULL;
}

static bool add_call(struct lbw_native_call *call, const struct tracer *t,
                     const struct lbw_numbers *result, const Onnx__NodeProto *quantize)
{
    struct lbw_model *model = t->finder->model;
    size_t size = 8 * (size_t)result->dims[1];
    unsigned char *data = lbw_arena_alloc(&model->arena, size + 1);
    char *stem = lbw_arena_printf(&model->arena, "%s" LIST, quantize->output[0]);
    const char *name = stem ? lbw_names_make(t->finder->names, model, stem) : NULL;
    call->op = lbw_arena_printf(&model->arena, "QChannels%zu", t->num_parts);
    if (!data || !name || !call->op || !read_channels(data, t, result))
        return false;
    const char *same = find_list(t->finder, data, size);
    Onnx__TensorProto *tensor = lbw_tensor_new(
        model, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, &result->dims[1], 1, data, size);
    if (!same &&
        (!tensor || !lbw_graph_add_initializer(model, t->finder->scope->graph, tensor)))
        return false;
    for (size_t i = 0; i < t->num_parts; i++) {
        lbw_native_add_input(call, lbw_node_input(t->parts[i].dequantize, 0));
        lbw_native_add_scaling(call, t->parts[i].dequantize);
    }
    lbw_native_add_input(call, same ? same : name);
    lbw_native_add_scaling(call, quantize);
    call->last = quantize;
    return true;
}

/* Whether a value is known to have four dims: by the model, or by the layer that made it. */
static bool is_image(const struct lbw_native_finder *r, const char *name)
{
    static const char *const keepers[] = {"QuantizeLinear",
                                          "DequantizeLinear",
                                          "Concat",
                                          "Relu",
                                          "Sigmoid",
                                          "Mul",
                                          "Add",
                                          "Clip",
                                          "LeakyRelu",
                                          "HardSigmoid",
                                          "HardSwish"};
    int64_t dims[4];
    bool is_encoded;
    for (int steps = 0; steps < MAX_DEPTH; steps++) {
        const struct lbw_value *value = lbw_native_value(r, name);
        const Onnx__NodeProto *node = value ? value->producer : NULL;
        bool keeps = false;
        if (!node || lbw_native_dims(dims, r, name))
            return node;
        if (lbw_node_is(node, "Conv"))
            return lbw_native_weight_dims(dims, &is_encoded, r, lbw_node_input(node, 1));
        if (lbw_node_is(node, "Gather")) { /* along channels, by a list */
            const Onnx__TensorProto *list = lbw_native_constant(r, lbw_node_input(node, 1));
            keeps = list && list->n_dims == 1;
        }
        for (size_t i = 0; i < sizeof keepers / sizeof *keepers; i++)
            keeps = keeps || lbw_node_is(node, keepers[i]);
        if (!keeps)
            return false;
        name = lbw_node_input(node, 0);
    }
    return false;
}

/* A list of channels of parts side by side, as in the function: no size need be known. */
static bool match_gather(struct lbw_native_call *call, const struct lbw_native_finder *r,
                         const Onnx__NodeProto *quantize)
{
    const Onnx__NodeProto *gather =
        lbw_native_made_by(r, lbw_node_input(quantize, 0), "Gather");
    const char *joined = gather ? lbw_node_input(gather, 0) : "";
    const char *list = gather ? lbw_node_input(gather, 1) : "";
    const Onnx__NodeProto *concat = lbw_native_made_by(r, joined, "Concat");
    const Onnx__TensorProto *channels = lbw_native_constant(r, list);
    size_t num = concat ? concat->n_input : 1;
    if (!gather || lbw_node_int(gather, "axis", 0) != 1 || !channels ||
        channels->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__INT64 || channels->n_dims != 1 ||
        (concat && lbw_node_int(concat, "axis", 0) != 1) || num > LBW_NATIVE_MAX_CHANNEL_PARTS)
        return false;
    for (size_t i = 0; i < num; i++) {
        const Onnx__NodeProto *d =
            lbw_native_dequantizer(r, concat ? lbw_node_input(concat, i) : joined);
        if (!d || !is_image(r, lbw_node_input(d, 0)))
            return false;
        lbw_native_add_input(call, lbw_node_input(d, 0));
        lbw_native_add_scaling(call, d);
    }
    lbw_native_add_input(call, list);
    lbw_native_add_scaling(call, quantize);
    call->op = lbw_arena_printf(&r->model->arena, "QChannels%zu", num);
    call->last = quantize;
    return call->op != NULL;
}

bool lbw_native_match_channels(struct lbw_native_call *call, const struct lbw_native_finder *r,
                               const Onnx__NodeProto *quantize)
{
    const char *x = lbw_node_input(quantize, 0);
    const struct lbw_value *value = lbw_native_value(r, x);
    struct tracer t = {.finder = r, .quantize = quantize};
    struct lbw_numbers result;
    const Onnx__NodeProto *bytes = lbw_native_dequantizer(r, x);
    if (!value || !value->producer || (!bytes && !lbw_native_moves(value->producer)) ||
        !lbw_native_has_byte_scaling(r, quantize) ||
        (bytes && lbw_native_has_same_scaling(r, bytes, quantize)))
        return false;
    bool matches = trace(&result, &t, x, 0) && t.num_parts && result.num_dims == 4 &&
                   add_call(call, &t, &result, quantize);
    lbw_arena_release(&t.arena);
    if (!matches)
        *call = (struct lbw_native_call){0};
    return matches || match_gather(call, r, quantize);
}
