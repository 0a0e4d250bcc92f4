/* SPDX-License-Identifier: MIT */
/* The table of gradient rules, and how rules read constants. */
#include "grad/rule.h"

#include <string.h>

#include "onnx/tensor.h"

/* One row per operator, in the order of names. */
static const struct lbw_grad_rule rules[] = {
    {"Abs", lbw_rule_abs},
    {"Add", lbw_rule_add},
    {"AveragePool", lbw_rule_average_pool},
    {"BatchNormalization", lbw_rule_batch_norm},
    {"Cast", lbw_rule_cast},
    {"Clip", lbw_rule_clip},
    {"Concat", lbw_rule_concat},
    {"Conv", lbw_rule_conv},
    {"ConvTranspose", lbw_rule_conv_transpose},
    {"Div", lbw_rule_div},
    {"Dropout", lbw_rule_identity},
    {"Exp", lbw_rule_exp},
    {"Flatten", lbw_rule_reshape},
    {"Gather", lbw_rule_gather},
    {"Gemm", lbw_rule_gemm},
    {"GlobalAveragePool", lbw_rule_global_average},
    {"HardSigmoid", lbw_rule_hard_sigmoid},
    {"HardSwish", lbw_rule_hard_swish},
    {"Identity", lbw_rule_identity},
    {"LeakyRelu", lbw_rule_leaky_relu},
    {"Log", lbw_rule_log},
    {"MatMul", lbw_rule_matmul},
    {"MaxPool", lbw_rule_max_pool},
    {"Mul", lbw_rule_mul},
    {"Neg", lbw_rule_neg},
    {"PRelu", lbw_rule_prelu},
    {"Pad", lbw_rule_pad},
    {"ReduceMean", lbw_rule_reduce},
    {"ReduceSum", lbw_rule_reduce},
    {"Relu", lbw_rule_relu},
    {"Reshape", lbw_rule_reshape},
    {"Resize", lbw_rule_resize},
    {"Sigmoid", lbw_rule_sigmoid},
    {"Slice", lbw_rule_slice},
    {"Softmax", lbw_rule_softmax},
    {"Softplus", lbw_rule_softplus},
    {"Split", lbw_rule_split},
    {"Sqrt", lbw_rule_sqrt},
    {"Squeeze", lbw_rule_reshape},
    {"Sub", lbw_rule_sub},
    {"Sum", lbw_rule_sum},
    {"Tanh", lbw_rule_tanh},
    {"Transpose", lbw_rule_transpose},
    {"Unsqueeze", lbw_rule_reshape},
    {"Upsample", lbw_rule_resize},
};

const struct lbw_grad_rule *lbw_grad_rule_find(const char *op_type)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].op_type, op_type) == 0)
            return &rules[i];
    return NULL;
}

/* The view of a constant input with at most `max` values. */
static bool view_input(struct lbw_tensor *out, const struct lbw_grad_step *step, size_t input,
                       size_t max)
{
    const char *name = lbw_node_input(step->node, input);
    struct lbw_value *value = *name ? lbw_index_find(step->index->scopes, name) : NULL;
    Onnx__TensorProto *proto = value ? lbw_index_constant(step->index, value, true) : NULL;
    return proto && lbw_tensor_view(out, step->index->model, proto, NULL) == LBW_OK &&
           out->count <= max;
}

/* The number of values of an input computed from constants and sizes; 0 if unknown. */
static size_t count_fixed(const struct lbw_grad_step *step, size_t input, int32_t type,
                          size_t max)
{
    if (input >= step->num_inputs || !step->fixed[input] || !step->in[input] ||
        step->in[input]->data_type != type)
        return 0;
    size_t count = 1;
    for (size_t i = 0; i < step->in[input]->num_dims; i++)
        count *= (size_t)step->in[input]->dims[i];
    return count <= max ? count : 0;
}

bool lbw_step_ints(const struct lbw_grad_step *step, size_t input, int64_t *values, size_t max,
                   size_t *num)
{
    struct lbw_tensor tensor;
    if (view_input(&tensor, step, input, max) &&
        lbw_tensor_read_int64(&tensor, values, NULL) == LBW_OK) {
        *num = tensor.count;
        return true;
    }
    *num = count_fixed(step, input, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, max);
    if (*num)
        memcpy(values, step->fixed[input], *num * sizeof *values);
    return *num != 0;
}

bool lbw_step_floats(const struct lbw_grad_step *step, size_t input, float *values, size_t max,
                     size_t *num)
{
    struct lbw_tensor tensor;
    if (view_input(&tensor, step, input, max) &&
        lbw_tensor_read_float(&tensor, values, NULL) == LBW_OK) {
        *num = tensor.count;
        return true;
    }
    *num = count_fixed(step, input, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, max);
    if (*num)
        memcpy(values, step->fixed[input], *num * sizeof *values);
    return *num != 0;
}

bool lbw_step_axes(const struct lbw_grad_step *step, size_t input, int64_t *axes, size_t *num,
                   size_t rank)
{
    const Onnx__AttributeProto *attribute = lbw_node_attribute(step->node, "axes");
    if (attribute && attribute->n_ints <= LBW_GRAD_MAX_DIMS) {
        *num = attribute->n_ints;
        memcpy(axes, attribute->ints, *num * sizeof *axes);
    } else if (attribute || !lbw_step_ints(step, input, axes, LBW_GRAD_MAX_DIMS, num)) {
        return false;
    }
    for (size_t i = 0; i < *num; i++) {
        axes[i] += axes[i] < 0 ? (int64_t)rank : 0;
        if (axes[i] < 0 || axes[i] >= (int64_t)rank)
            return false;
    }
    return true;
}
