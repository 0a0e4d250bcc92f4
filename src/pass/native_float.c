/* SPDX-License-Identifier: MIT */
/* Layers between the integers that stay float, and for which there is an operator as well. */
#include "pass/native_float.h"

#include <string.h>

#define FLOAT     ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define MAX_STEPS 64

/* What the model says of a value's type, or NULL. */
static const Onnx__TypeProto__Tensor *type_of(const struct lbw_native_finder *r,
                                              const char *name)
{
    const Onnx__GraphProto *graph = r->scope->graph;
    for (size_t i = 0; i < graph->n_value_info; i++) {
        const Onnx__ValueInfoProto *info = graph->value_info[i];
        if (info->name && strcmp(info->name, name) == 0)
            return info->type ? info->type->tensor_type : NULL;
    }
    return NULL;
}

/* Whether a value is float32: the model says so, or it comes from a DequantizeLinear. */
static bool is_float(const struct lbw_native_finder *r, const char *name)
{
    static const char *const movers[] = {"Concat",  "Reshape",   "Slice",
                                         "Split",   "Squeeze",   "Transpose",
                                         "Flatten", "Unsqueeze", "Identity"};
    for (int steps = 0; steps < MAX_STEPS; steps++) {
        const Onnx__TypeProto__Tensor *type = type_of(r, name);
        const struct lbw_value *value = lbw_native_value(r, name);
        bool moves = false;
        if (type)
            return type->elem_type == FLOAT;
        if (lbw_native_dequantizer(r, name))
            return true;
        for (size_t i = 0; value && value->producer && i < sizeof movers / sizeof *movers; i++)
            moves = moves || lbw_node_is(value->producer, movers[i]);
        if (!moves)
            return false;
        name = lbw_node_input(value->producer, 0);
    }
    return false;
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
    const Onnx__TypeProto__Tensor *type = type_of(r, x);
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
