/* SPDX-License-Identifier: MIT */
/* What stands where in a graph of layers between QuantizeLinear and DequantizeLinear. */
#include "pass/native_find.h"

#include <string.h>

#include "onnx/tensor.h"

#define UINT8 ONNX__TENSOR_PROTO__DATA_TYPE__UINT8

struct lbw_value *lbw_native_value(const struct lbw_native_finder *r, const char *name)
{
    return *name ? lbw_index_find(r->scope, name) : NULL;
}

/* The constant of a name, or NULL. */
const Onnx__TensorProto *lbw_native_constant(const struct lbw_native_finder *r,
                                             const char *name)
{
    const struct lbw_value *value = lbw_native_value(r, name);
    return value ? lbw_index_constant(r->index, value, false) : NULL;
}

/* The node that makes a name, when it is that operator. */
const Onnx__NodeProto *lbw_native_made_by(const struct lbw_native_finder *r, const char *name,
                                          const char *op)
{
    const struct lbw_value *value = lbw_native_value(r, name);
    return value && value->producer && value->producer_output == 0 &&
                   lbw_node_is(value->producer, op)
               ? value->producer
               : NULL;
}

/* The only reader of a node's first output, unless that is an output of the graph. */
const Onnx__NodeProto *lbw_native_only_reader(const struct lbw_native_finder *r,
                                              const Onnx__NodeProto *node)
{
    const struct lbw_value *value =
        node->n_output ? lbw_native_value(r, node->output[0]) : NULL;
    bool is_one = value && value->uses && !value->uses->next && !value->is_output &&
                  value->uses->scope == r->scope;
    return is_one ? value->uses->node : NULL;
}

/* One constant scale and a constant zero point of uint8. */
bool lbw_native_has_byte_scaling(const struct lbw_native_finder *r, const Onnx__NodeProto *node)
{
    const Onnx__TensorProto *scale = lbw_native_constant(r, lbw_node_input(node, 1));
    const Onnx__TensorProto *zero = lbw_native_constant(r, lbw_node_input(node, 2));
    struct lbw_tensor view;
    return scale && zero && zero->data_type == UINT8 &&
           scale->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT &&
           lbw_tensor_view(&view, r->model, scale, NULL) == LBW_OK && view.count == 1 &&
           lbw_tensor_view(&view, r->model, zero, NULL) == LBW_OK && view.count == 1;
}

const Onnx__NodeProto *lbw_native_dequantizer(const struct lbw_native_finder *r,
                                              const char *name)
{
    const Onnx__NodeProto *node = lbw_native_made_by(r, name, "DequantizeLinear");
    return node && lbw_native_has_byte_scaling(r, node) ? node : NULL;
}

/* The QuantizeLinear that alone reads a node's result. */
const Onnx__NodeProto *lbw_native_quantizer(const struct lbw_native_finder *r,
                                            const Onnx__NodeProto *node)
{
    const Onnx__NodeProto *reader = lbw_native_only_reader(r, node);
    return reader && lbw_node_is(reader, "QuantizeLinear") &&
                   lbw_native_has_byte_scaling(r, reader)
               ? reader
               : NULL;
}

/* Whether both constants have the same bytes. */
static bool is_same_constant(const struct lbw_native_finder *r, const char *a, const char *b)
{
    struct lbw_tensor x, y;
    const Onnx__TensorProto *s = lbw_native_constant(r, a), *t = lbw_native_constant(r, b);
    if (strcmp(a, b) == 0)
        return true;
    if (!s || !t || lbw_tensor_view(&x, r->model, s, NULL) != LBW_OK ||
        lbw_tensor_view(&y, r->model, t, NULL) != LBW_OK || x.data_type != y.data_type ||
        x.count != 1 || y.count != 1)
        return false;
    if (x.data_type == UINT8) {
        int64_t p = 0, q = 1;
        return lbw_tensor_read_int64(&x, &p, NULL) == LBW_OK &&
               lbw_tensor_read_int64(&y, &q, NULL) == LBW_OK && p == q;
    }
    float p = 0, q = 1;
    return lbw_tensor_read_float(&x, &p, NULL) == LBW_OK &&
           lbw_tensor_read_float(&y, &q, NULL) == LBW_OK && p == q;
}

bool lbw_native_has_same_scaling(const struct lbw_native_finder *r, const Onnx__NodeProto *a,
                                 const Onnx__NodeProto *b)
{
    return is_same_constant(r, lbw_node_input(a, 1), lbw_node_input(b, 1)) &&
           is_same_constant(r, lbw_node_input(a, 2), lbw_node_input(b, 2));
}

bool lbw_native_moves(const Onnx__NodeProto *node)
{
    static const char *const movers[] = {"Concat",    "Flatten",  "Gather", "Identity",
                                         "Reshape",   "Slice",    "Split",  "Squeeze",
                                         "Transpose", "Unsqueeze"};
    for (size_t i = 0; i < sizeof movers / sizeof *movers; i++)
        if (lbw_node_is(node, movers[i]))
            return true;
    return false;
}

void lbw_native_add_input(struct lbw_native_call *call, const char *name)
{
    call->inputs[call->num_inputs++] = name;
}

void lbw_native_add_scaling(struct lbw_native_call *call, const Onnx__NodeProto *node)
{
    lbw_native_add_input(call, lbw_node_input(node, 1));
    lbw_native_add_input(call, lbw_node_input(node, 2));
}

size_t lbw_native_ints(int64_t *out, size_t most, const struct lbw_native_finder *r,
                       const char *name)
{
    const struct lbw_value *value = lbw_native_value(r, name);
    const Onnx__TensorProto *tensor = value ? lbw_index_constant(r->index, value, true) : NULL;
    const Onnx__NodeProto *node = lbw_native_made_by(r, name, "Constant");
    const Onnx__AttributeProto *ints = node ? lbw_node_attribute(node, "value_ints") : NULL;
    struct lbw_tensor view;
    if (ints && ints->n_ints <= most) {
        memcpy(out, ints->ints, ints->n_ints * sizeof *out);
        return ints->n_ints;
    }
    return tensor && lbw_tensor_view(&view, r->model, tensor, NULL) == LBW_OK &&
                   view.count <= most && lbw_tensor_read_int64(&view, out, NULL) == LBW_OK
               ? view.count
               : 0;
}

void lbw_native_add_ints(struct lbw_native_call *call, const char *name, const int64_t *values,
                         size_t num)
{
    call->lists[call->num_lists].name = name;
    call->lists[call->num_lists].values = values;
    call->lists[call->num_lists++].num = num;
}

const Onnx__TypeProto__Tensor *lbw_native_type(const struct lbw_native_finder *r,
                                               const char *name)
{
    const Onnx__GraphProto *graph = r->scope->graph;
    for (size_t i = 0; i < graph->n_value_info; i++) {
        const Onnx__ValueInfoProto *info = graph->value_info[i];
        if (info->name && strcmp(info->name, name) == 0)
            return info->type ? info->type->tensor_type : NULL;
    }
    for (size_t i = 0; i < graph->n_input; i++) {
        const Onnx__ValueInfoProto *info = graph->input[i];
        if (info->name && strcmp(info->name, name) == 0)
            return info->type ? info->type->tensor_type : NULL;
    }
    return NULL;
}

bool lbw_native_dims(int64_t dims[4], const struct lbw_native_finder *r, const char *name)
{
    const Onnx__TypeProto__Tensor *type = lbw_native_type(r, name);
    if (!type || !type->shape || type->shape->n_dim != 4)
        return false;
    for (size_t i = 0; i < 4; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = type->shape->dim[i];
        if (dim->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
            return false;
        dims[i] = dim->dim_value;
    }
    return true;
}

/* ---- scales per channel ---- */

/* Whether a constant is the scalar 1. */
static bool is_one(const struct lbw_native_finder *r, const char *name)
{
    const Onnx__TensorProto *tensor = lbw_native_constant(r, name);
    struct lbw_tensor view;
    float value = 0;
    return tensor && lbw_tensor_view(&view, r->model, tensor, NULL) == LBW_OK &&
           view.count == 1 && lbw_tensor_read_float(&view, &value, NULL) == LBW_OK &&
           value == 1;
}

/* A scale as a factor: one, or one for each channel of an image. */
static bool read_factor(struct lbw_native_scaling *out, const struct lbw_native_finder *r,
                        const char *factor, const Onnx__NodeProto *node)
{
    const Onnx__TensorProto *tensor = lbw_native_constant(r, factor);
    if (!tensor || tensor->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
        !is_one(r, lbw_node_input(node, 1)))
        return false;
    bool by_channel = tensor->n_dims == 3 && tensor->dims[0] > 1 && tensor->dims[1] == 1 &&
                      tensor->dims[2] == 1;
    *out = (struct lbw_native_scaling){factor, lbw_node_input(node, 2), true, by_channel};
    return by_channel || tensor->n_dims == 0;
}

static bool read_own(struct lbw_native_scaling *out, const Onnx__NodeProto *node)
{
    *out = (struct lbw_native_scaling){lbw_node_input(node, 1), lbw_node_input(node, 2), false,
                                       false};
    return true;
}

const char *lbw_native_read(struct lbw_native_scaling *out, const struct lbw_native_finder *r,
                            const char *name)
{
    const Onnx__NodeProto *node = lbw_native_dequantizer(r, name);
    const Onnx__NodeProto *mul = node ? NULL : lbw_native_made_by(r, name, "Mul");
    if (mul)
        node = lbw_native_dequantizer(r, lbw_node_input(mul, 0));
    bool is =
        node && (mul ? read_factor(out, r, lbw_node_input(mul, 1), node) : read_own(out, node));
    return is ? lbw_node_input(node, 0) : NULL;
}

const Onnx__NodeProto *lbw_native_rounder(struct lbw_native_scaling *out,
                                          const struct lbw_native_finder *r,
                                          const Onnx__NodeProto *node)
{
    const Onnx__NodeProto *reader = lbw_native_only_reader(r, node);
    const Onnx__NodeProto *div = reader && lbw_node_is(reader, "Div") ? reader : NULL;
    const Onnx__NodeProto *q = lbw_native_quantizer(r, div ? div : node);
    if (!q || (div && strcmp(lbw_node_input(div, 0), node->output[0]) != 0))
        return NULL;
    return (div ? read_factor(out, r, lbw_node_input(div, 1), q) : read_own(out, q)) ? q : NULL;
}
