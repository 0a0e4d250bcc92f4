/* SPDX-License-Identifier: MIT */
/* A planned weight and the nodes that read it; which inputs and constants can be weights. */
#ifndef LBW_SRC_PASS_WEIGHT_H
#define LBW_SRC_PASS_WEIGHT_H

#include <lbw/plan.h>

#include "onnx/tensor.h"
#include "pass/layout.h"

/* A node that reads a planned weight as its weight. */
struct lbw_consumer {
    struct lbw_scope *scope;
    Onnx__NodeProto *node;
    size_t position; /* in the scope's nodes */
    size_t input;    /* node->input[input] is the weight */
};

/* One planned weight. `item` comes first: the public view is a cast away. */
struct lbw_weight {
    struct lbw_plan_item item;
    struct lbw_value *value; /* the name that consumers read, themselves or by Identity */
    struct lbw_value *root;  /* the constant behind it: `value`, or what Cast nodes start on */
    Onnx__TensorProto *tensor; /* its constant values, NULL when computed or encoded; behind a
                                  Cast a tensor that is not part of the model */
    uint64_t bytes;            /* of the stored constant */
    struct lbw_layout layout;  /* of the first consumer */
    struct lbw_consumer *consumers;
    size_t num_consumers;
    bool is_fixed;      /* cannot be converted, whatever a plan file says */
    bool is_wished;     /* the plan file has said what becomes of it */
    bool is_ruled;      /* a rule of the caller has named its grid */
    bool is_small;  /* stays as it is because that saves too little, and for no other reason */
    bool is_structural; /* its values are an exact small structure */
    bool is_uniform; /* every use is a consumer of the same layout: calibration can be joint */
};

/* The group and row of which axis of the weight the steps run along; -1 for one step. */
int lbw_weight_step_axis(const struct lbw_weight *weight);

/* The number of steps: dims[axis], or 1. */
size_t lbw_weight_num_steps(const struct lbw_weight *weight);

/* The step index of row r of group g, given the axis. */
size_t lbw_weight_step_index(const struct lbw_weight *weight, size_t group, size_t row);

/* The operators whose weights are converted unless asked otherwise. */
#define LBW_DEFAULT_OPS "Conv,ConvTranspose"

/* Every operator that can hold a weight. */
#define LBW_ALL_OPS "Conv,ConvTranspose,Gemm,MatMul"

/* `ops` is a comma-separated list, NULL for all. LBW_ERR_ARGUMENT names a stranger.
 */
enum lbw_status lbw_weight_check_ops(const char *ops, struct lbw_error *err);

/* The inputs that can be weights; false when the node holds none. */
bool lbw_weight_inputs(size_t *first, size_t *last, const Onnx__NodeProto *node,
                       const char *ops);

/* Whether weights can be of this type: FLOAT, FLOAT16, BFLOAT16 and DOUBLE. */
bool lbw_weight_can_be(int32_t type);

/* Whether a Cast of a weight gives one whose values we know to the bit. */
bool lbw_weight_can_cast(int32_t from, int32_t to);

/* Casts in a row behind a constant; the encoding of a weight may add one. */
#define LBW_MAX_CASTS 8

/* The value at the start of a chain of Identity nodes; NULL for NULL. */
struct lbw_value *lbw_weight_origin(struct lbw_value *value);

/* The same through Identity and Cast nodes. */
struct lbw_value *lbw_weight_source(struct lbw_value *value);

/*
 * The values of a weight that is constant, through Identity and Cast, and where they come from;
 * *out is NULL when it is not constant.
 */
enum lbw_status lbw_weight_constant(Onnx__TensorProto **out, struct lbw_value **root,
                                    const struct lbw_index *index, struct lbw_value *value,
                                    struct lbw_error *err);

/*
 * How many inputs read the values behind a name, through Identity nodes and not counting those
 * that read only its shape; false when it gets out of sight.
 */
bool lbw_weight_count_uses(size_t *num, const struct lbw_index *index,
                           const struct lbw_value *value);

/* Whether some operator reads the value as a weight, through Identity nodes. */
bool lbw_weight_is_read(const struct lbw_value *value);

/* Whether the value is a Cast of what is read as a weight itself, and need not be stored. */
bool lbw_weight_is_cast(const struct lbw_value *value);

#endif
