/* SPDX-License-Identifier: MIT */
/* Weights quantized by other tools: recognised and kept as they are. */
#ifndef LBW_SRC_PASS_FOREIGN_H
#define LBW_SRC_PASS_FOREIGN_H

#include "onnx/index.h"

struct lbw_foreign {
    const char *form; /* "int8", "int4 in blocks", "QuantizeLinear"; NULL: not quantized */
    bool has_zero_points;
    const Onnx__TensorProto *codes; /* its codes if they are constants, else NULL */
    int32_t data_type;              /* of the weight; 0: unknown */
};

/*
 * Examines the nodes that compute the value, past those that only move it. Call
 * lbw_decode_match() first, as our own encodings look similar.
 */
struct lbw_foreign lbw_foreign_match(const struct lbw_index *index,
                                     const struct lbw_value *value);

/* Whether the operator itself computes with quantized weights: QLinearConv, MatMulNBits, … */
bool lbw_foreign_is_operator(const Onnx__NodeProto *node);

#endif
