/* SPDX-License-Identifier: MIT */
/* The forms in which other tools, ONNX Runtime among them, store quantized weights. */
#include "pass/foreign.h"

#include <string.h>

#include "onnx/constant.h"
#include "onnx/import.h"
#include "onnx/tensor.h"
#include "pass/weight.h"

#define LONGEST_CHAIN 64 /* of nodes between a weight and its codes */

/* In the default domain or in that of ONNX Runtime. */
static bool is_op(const Onnx__NodeProto *node, const char *op)
{
    const char *domain = node->domain ? node->domain : "";
    return node->op_type && strcmp(node->op_type, op) == 0 &&
           (lbw_domain_is_standard(domain) || strcmp(domain, "com.microsoft") == 0);
}

bool lbw_foreign_is_operator(const Onnx__NodeProto *node)
{
    static const char *const begins[] = {"QLinear", "QGemm", "QAttention", "QMoE",
                                         "DynamicQuantize"};
    static const char *const ops[] = {
        "ConvInteger",    "MatMulInteger",    "MatMulIntegerToFloat", "MatMulInteger16",
        "MatMulNBits",    "MatMulFpQ4",       "MatMulBnb4",           "GatherBlockQuantized",
        "QuantizeLinear", "DequantizeLinear",
    };
    const char *domain = node->domain ? node->domain : "",
               *op = node->op_type ? node->op_type : "";
    if (!lbw_domain_is_standard(domain) && strncmp(domain, "com.microsoft", 13) != 0)
        return false;
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strncmp(op, begins[i], strlen(begins[i])) == 0)
            return true;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(op, ops[i]) == 0)
            return true;
    return false;
}

/* Nodes that move values, or scale and shift them as hand-written decoding does. */
static bool passes_on(const Onnx__NodeProto *node)
{
    static const char *const ops[] = {"Identity",  "Cast",    "Transpose", "Reshape", "Squeeze",
                                      "Unsqueeze", "Flatten", "Mul",       "Sub",     "Slice"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (lbw_node_is(node, ops[i]))
            return true;
    return false;
}

static bool is_code_type(int32_t type)
{
    return !lbw_weight_can_be(type) && lbw_data_type_bits(type) > 0 &&
           lbw_data_type_bits(type) <= 16 && type != ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
}

/* A DequantizeLinear of constant codes, or of a weight that is quantized in the graph. */
static struct lbw_foreign match_dequantize(const struct lbw_index *index,
                                           const struct lbw_scope *scope,
                                           const Onnx__NodeProto *node)
{
    struct lbw_value *from = lbw_weight_origin(lbw_index_find(scope, lbw_node_input(node, 0)));
    struct lbw_value *scale = lbw_index_find(scope, lbw_node_input(node, 1));
    const Onnx__TensorProto *steps = scale ? lbw_index_constant(index, scale, true) : NULL;
    struct lbw_foreign found = {.has_zero_points = *lbw_node_input(node, 2) != '\0',
                                .data_type = steps ? steps->data_type : 0};
    found.codes = from ? lbw_index_constant(index, from, true) : NULL;
    if (found.codes)
        found.form = lbw_data_type_name(found.codes->data_type);
    else if (from && from->producer && is_op(from->producer, "QuantizeLinear") &&
             lbw_constant_is_made(index, from))
        found.form = "QuantizeLinear and DequantizeLinear";
    return found;
}

struct lbw_foreign lbw_foreign_match(const struct lbw_index *index,
                                     const struct lbw_value *value)
{
    struct lbw_foreign none = {0};
    for (int i = 0; value && i < LONGEST_CHAIN; i++) {
        const Onnx__TensorProto *tensor = lbw_index_constant(index, value, true);
        const Onnx__NodeProto *node = value->producer;
        if (tensor && i > 0 && is_code_type(tensor->data_type))
            return (struct lbw_foreign){.form = lbw_data_type_name(tensor->data_type)};
        if (tensor || !node)
            return none;
        if (is_op(node, "DequantizeLinear"))
            return match_dequantize(index, value->scope, node);
        if (!passes_on(node))
            return none;
        value = lbw_index_find(value->scope, lbw_node_input(node, 0));
    }
    return none;
}
