/* SPDX-License-Identifier: MIT */
/* Layers between the integers that stay float, and for which there is an operator as well. */
#include "pass/native_float.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/tensor.h"
#include "pass/encode.h"

#define FLOAT     ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define MAX_STEPS 64

/* Whether a value is float32: the model says so, or it comes from a DequantizeLinear. */
static bool is_float(const struct lbw_native_finder *r, const char *name)
{
    static const char *const movers[] = {"Concat",  "Reshape",   "Slice",
                                         "Split",   "Squeeze",   "Transpose",
                                         "Flatten", "Unsqueeze", "Identity"};
    struct lbw_native_scaling scaling;
    for (int steps = 0; steps < MAX_STEPS; steps++) {
        const Onnx__TypeProto__Tensor *type = lbw_native_type(r, name);
        const struct lbw_value *value = lbw_native_value(r, name);
        bool moves = false;
        if (type)
            return type->elem_type == FLOAT;
        if (lbw_native_read(&scaling, r, name))
            return true;
        for (size_t i = 0; value && value->producer && i < sizeof movers / sizeof *movers; i++)
            moves = moves || lbw_node_is(value->producer, movers[i]);
        if (!moves)
            return false;
        name = lbw_node_input(value->producer, 0);
    }
    return false;
}

/* Products per output up to which layers on floats are faster here than in the runtime. */
#define MAX_FLOAT_PRODUCTS 25
#define MAX_FLOAT_STRIDE   4

static bool is_decoder(const Onnx__NodeProto *node)
{
    return node->domain && strcmp(node->domain, LBW_DOMAIN) == 0 && node->op_type &&
           strncmp(node->op_type, "Decode", 6) == 0;
}

/* The four dims of a weight, and whether it was made of integers. */
bool lbw_native_weight_dims(int64_t dims[4], bool *is_encoded,
                            const struct lbw_native_finder *r, const char *name)
{
    const struct lbw_value *value = lbw_native_value(r, name);
    const Onnx__NodeProto *node = value ? value->producer : NULL;
    *is_encoded = false;
    if (node && lbw_node_is(node, "DequantizeLinear")) {
        bool is_decoded;
        bool found = lbw_native_weight_dims(dims, &is_decoded, r, lbw_node_input(node, 0));
        *is_encoded = true;
        return found;
    }
    if (node && is_decoder(node)) {
        size_t last = node->n_input - 1; /* the shape */
        const Onnx__TensorProto *shape = lbw_native_constant(r, lbw_node_input(node, last));
        struct lbw_tensor view;
        *is_encoded = true;
        return shape && lbw_tensor_view(&view, r->model, shape, NULL) == LBW_OK &&
               view.count == 4 && lbw_tensor_read_int64(&view, dims, NULL) == LBW_OK;
    }
    const Onnx__TensorProto *w = lbw_native_constant(r, name);
    for (size_t i = 0; w && w->n_dims == 4 && i < 4; i++)
        dims[i] = w->dims[i];
    return w && w->n_dims == 4;
}

/* A float bias, made of zeros where the layer has none. */
static const char *float_bias(const struct lbw_native_finder *r, const Onnx__NodeProto *conv,
                              int64_t num)
{
    const char *bias = lbw_node_input(conv, 2), *w = lbw_node_input(conv, 1);
    if (*bias)
        return lbw_native_constant(r, bias) && lbw_native_constant(r, bias)->data_type == FLOAT
                   ? bias
                   : NULL;
    char *stem = lbw_arena_printf(&r->model->arena, "%s.bias", w);
    const char *name = stem ? lbw_names_make(r->names, r->model, stem) : NULL;
    size_t size = 4 * (size_t)num;
    void *zeros =
        num >= 0 && num < 1 << 24 ? lbw_arena_calloc(&r->model->arena, 1, size + 1) : NULL;
    Onnx__TensorProto *tensor =
        name && zeros ? lbw_tensor_new(r->model, name, FLOAT, &num, 1, zeros, size) : NULL;
    return tensor && lbw_graph_add_initializer(r->model, r->scope->graph, tensor) ? name : NULL;
}

/* Weight and bias, after x. */
static bool add_weight(struct lbw_native_call *call, const struct lbw_native_finder *r,
                       const Onnx__NodeProto *conv, bool must_be_encoded)
{
    const Onnx__AttributeProto *strides = lbw_node_attribute(conv, "strides");
    const char *bias;
    int64_t dims[4];
    bool is_encoded;
    if (!lbw_native_weight_dims(dims, &is_encoded, r, lbw_node_input(conv, 1)))
        return false;
    for (size_t i = 0; i < 4; i++)
        if (dims[i] < 1 || dims[i] > 1 << 16)
            return false;
    for (size_t i = 0; strides && i < strides->n_ints; i++)
        if (strides->ints[i] > MAX_FLOAT_STRIDE)
            return false;
    if (must_be_encoded ? !is_encoded : dims[1] * dims[2] * dims[3] > MAX_FLOAT_PRODUCTS)
        return false;
    if (!(bias = float_bias(r, conv, dims[0])))
        return false;
    lbw_native_add_input(call, lbw_node_input(conv, 1));
    lbw_native_add_input(call, bias);
    call->attributed[0] = conv;
    call->is_conv = true;
    return true;
}

bool lbw_native_match_float_inputs(struct lbw_native_call *call,
                                   const struct lbw_native_finder *r,
                                   const Onnx__NodeProto *conv)
{
    const char *x = lbw_node_input(conv, 0);
    if (lbw_native_dequantizer(r, x) || !is_float(r, x))
        return false;
    lbw_native_add_input(call, x);
    return add_weight(call, r, conv, false);
}

bool lbw_native_read_float(struct lbw_native_call *call, const struct lbw_native_finder *r)
{
    call->op = lbw_arena_printf(&r->model->arena, "F%s", call->op + 1);
    return call->op != NULL;
}

/* x · round(sigmoid(x)): the Mul, and in *gate the QuantizeLinear of the sigmoid. */
static const Onnx__NodeProto *find_gate(const Onnx__NodeProto **gate,
                                        const struct lbw_native_finder *r,
                                        const Onnx__NodeProto *conv)
{
    const struct lbw_value *value = lbw_native_value(r, conv->output[0]);
    const struct lbw_use *a = value ? value->uses : NULL, *b = a ? a->next : NULL;
    if (!b || b->next || value->is_output || a->scope != r->scope || b->scope != r->scope)
        return NULL;
    const Onnx__NodeProto *sigmoid = lbw_node_is(a->node, "Sigmoid") ? a->node : b->node;
    const Onnx__NodeProto *mul = sigmoid == a->node ? b->node : a->node;
    if (!lbw_node_is(sigmoid, "Sigmoid") || !lbw_node_is(mul, "Mul"))
        return NULL;
    *gate = lbw_native_quantizer(r, sigmoid);
    const Onnx__NodeProto *real = *gate ? lbw_native_only_reader(r, *gate) : NULL;
    return real && lbw_native_dequantizer(r, real->output[0]) == real &&
                   strcmp(lbw_node_input(real, 1), lbw_node_input(*gate, 1)) == 0 &&
                   strcmp(lbw_node_input(real, 2), lbw_node_input(*gate, 2)) == 0 &&
                   lbw_native_only_reader(r, real) == mul
               ? mul
               : NULL;
}

bool lbw_native_match_float(struct lbw_native_call *call, const struct lbw_native_finder *r,
                            const Onnx__NodeProto *conv)
{
    const char *name = lbw_node_input(conv, 0);
    const Onnx__NodeProto *x = lbw_native_dequantizer(r, name), *gate = NULL;
    const Onnx__NodeProto *mul = find_gate(&gate, r, conv);
    const Onnx__NodeProto *reader = lbw_native_only_reader(r, conv);
    bool is_relu = reader && lbw_node_is(reader, "Relu");
    if (!x && ((!mul && !is_relu) || !is_float(r, name)))
        return false;
    lbw_native_add_input(call, x ? lbw_node_input(x, 0) : name);
    if (x)
        lbw_native_add_scaling(call, x);
    if (!add_weight(call, r, conv, x != NULL))
        return false;
    if (mul)
        lbw_native_add_scaling(call, gate);
    call->op = mul       ? x ? "QConvSiluF" : "FConvSiluF"
               : is_relu ? x ? "QConvReluF" : "FConvReluF"
                         : "QConvF";
    call->last = mul ? mul : is_relu ? reader : conv;
    return true;
}

/* Whether `back` undoes what `there` does to the axes. */
static bool is_inverse(const Onnx__AttributeProto *there, const Onnx__AttributeProto *back)
{
    bool is = there && back && there->n_ints == back->n_ints;
    for (size_t i = 0; is && i < there->n_ints; i++)
        is = back->ints[i] >= 0 && back->ints[i] < (int64_t)there->n_ints &&
             there->ints[back->ints[i]] == (int64_t)i;
    return is;
}

/* Between two Transposes that cancel: the same along another axis, without them. */
static bool match_between(struct lbw_native_call *call, const struct lbw_native_finder *r,
                          const Onnx__NodeProto *softmax)
{
    const Onnx__NodeProto *before =
        lbw_native_made_by(r, lbw_node_input(softmax, 0), "Transpose");
    const Onnx__NodeProto *after = before ? lbw_native_only_reader(r, softmax) : NULL;
    if (!after || !lbw_node_is(after, "Transpose"))
        return false;
    const Onnx__AttributeProto *perm = lbw_node_attribute(before, "perm");
    if (!is_inverse(perm, lbw_node_attribute(after, "perm")))
        return false;
    int64_t rank = (int64_t)perm->n_ints, axis = lbw_node_int(softmax, "axis", -1);
    axis = axis < 0 ? axis + rank : axis;
    if (axis < 0 || axis >= rank || perm->ints[axis] + 1 == rank ||
        !is_float(r, lbw_node_input(before, 0)))
        return false;
    lbw_native_add_input(call, lbw_node_input(before, 0));
    call->op = "FSoftmax";
    call->axis = perm->ints[axis];
    call->has_axis = true;
    call->last = after;
    return true;
}

bool lbw_native_match_softmax(struct lbw_native_call *call, const struct lbw_native_finder *r,
                              const Onnx__NodeProto *softmax)
{
    const char *x = lbw_node_input(softmax, 0);
    const Onnx__TypeProto__Tensor *type = lbw_native_type(r, x);
    int64_t axis = lbw_node_int(softmax, "axis", -1);
    /* where the rank does not show, the axis of channels is unlikely to be the last */
    bool is_inside =
        type && type->shape ? axis >= 0 && axis + 1 < (int64_t)type->shape->n_dim : axis == 1;
    if (match_between(call, r, softmax))
        return true;
    if (!is_inside || !is_float(r, x))
        return false;
    lbw_native_add_input(call, x);
    call->op = "FSoftmax";
    call->attributed[0] = softmax;
    call->last = softmax;
    return true;
}
