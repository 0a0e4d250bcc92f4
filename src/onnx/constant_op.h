/* SPDX-License-Identifier: MIT */
/* The operators that compute constants. */
#ifndef LBW_SRC_ONNX_CONSTANT_OP_H
#define LBW_SRC_ONNX_CONSTANT_OP_H

#include "onnx/index.h"
#include "onnx/tensor.h"

#define LBW_NUMBERS_DIMS 8

/* A tensor of any type, its values as doubles. Without values, an input that is left out. */
struct lbw_numbers {
    int32_t type;
    size_t num_dims;
    int64_t dims[LBW_NUMBERS_DIMS];
    size_t count;
    double *values;
};

/* FLOAT, FLOAT16, BFLOAT16 or DOUBLE. */
bool lbw_numbers_is_float(int32_t type);

/* Allocates a tensor of that shape; LBW_ERR_UNSUPPORTED if it is too large. */
enum lbw_status lbw_numbers_alloc(struct lbw_numbers *out, struct lbw_arena *arena,
                                  int32_t type, const int64_t *dims, size_t num_dims,
                                  struct lbw_error *err);

/* Rounds to the values of the type, as a runtime does between two nodes. */
void lbw_numbers_round(struct lbw_numbers *numbers);

struct lbw_constant_call {
    const Onnx__NodeProto *node;
    int64_t opset;
    const struct lbw_numbers *inputs;
    size_t num_inputs;
    size_t output;                   /* which of the node's is wanted */
    const struct lbw_numbers *value; /* of the attribute of that name, a tensor; NULL: none */
    struct lbw_arena *arena;
};

/* LBW_ERR_UNSUPPORTED for what is not computed here. Shapes and attributes are unchecked. */
typedef enum lbw_status (*lbw_constant_fn)(struct lbw_numbers *out,
                                           const struct lbw_constant_call *call,
                                           struct lbw_error *err);

struct lbw_constant_op {
    const char *op_type;
    lbw_constant_fn fn;
    bool has_outputs; /* more than one */
};

/* NULL for an unknown operator. */
const struct lbw_constant_op *lbw_constant_op_find(const Onnx__NodeProto *node);

#endif
