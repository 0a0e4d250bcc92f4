/* SPDX-License-Identifier: MIT */
/* Weights that another tool has quantized: recognised and left alone. */
#ifndef LBW_SRC_PASS_FOREIGN_H
#define LBW_SRC_PASS_FOREIGN_H

#include "onnx/index.h"

struct lbw_foreign {
    const char
        *form; /* "int8", "int4 in blocks", "QuantizeLinear"; NULL: nothing of the kind */
    bool has_zero_points;
    const Onnx__TensorProto *codes; /* where they are constant as they stand, else NULL */
    int32_t data_type;              /* of the weight, 0: not known */
};

/*
 * Looks at who makes the value, through what only moves values about. Call lbw_decode_match()
 * first: what this library writes looks alike.
 */
struct lbw_foreign lbw_foreign_match(const struct lbw_index *index,
                                     const struct lbw_value *value);

/* Whether the operator itself computes with quantized weights: QLinearConv, MatMulNBits, … */
bool lbw_foreign_is_operator(const Onnx__NodeProto *node);

#endif
