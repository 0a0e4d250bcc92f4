/* SPDX-License-Identifier: MIT */
/* The operators that constants are made with, on numbers. */
#ifndef LBW_SRC_ONNX_CONSTANT_OP_H
#define LBW_SRC_ONNX_CONSTANT_OP_H

#include "onnx/index.h"
#include "onnx/tensor.h"

#define LBW_NUMBERS_DIMS 8

/* A tensor of any type, its values as doubles; without values: an input that is left out. */
struct lbw_numbers {
    int32_t type;
    size_t num_dims;
    int64_t dims[LBW_NUMBERS_DIMS];
    size_t count;
    double *values;
};

/* FLOAT, FLOAT16, BFLOAT16 or DOUBLE. */
bool lbw_numbers_is_float(int32_t type);

/* Room for a tensor of that shape; LBW_ERR_UNSUPPORTED where that is too much. */
enum lbw_status lbw_numbers_alloc(struct lbw_numbers *out, struct lbw_arena *arena,
                                  int32_t type, const int64_t *dims, size_t num_dims,
                                  struct lbw_error *err);

/* To the nearest values of the type: what a runtime keeps between two nodes. */
void lbw_numbers_round(struct lbw_numbers *numbers);

struct lbw_constant_call {
    const Onnx__NodeProto *node;
    int64_t opset;
    const struct lbw_numbers *inputs;
    size_t num_inputs;
    struct lbw_arena *arena;
};

/* LBW_ERR_UNSUPPORTED for what is not computed here: shapes and attributes may be anything. */
typedef enum lbw_status (*lbw_constant_fn)(struct lbw_numbers *out,
                                           const struct lbw_constant_call *call,
                                           struct lbw_error *err);

struct lbw_constant_op {
    const char *op_type;
    lbw_constant_fn fn;
};

/* NULL for an operator that is not among them. */
const struct lbw_constant_op *lbw_constant_op_find(const Onnx__NodeProto *node);

#endif
