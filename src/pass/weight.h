/* SPDX-License-Identifier: MIT */
/* Planned weights, the nodes that read them, and what can be a weight. */
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

/* A planned weight. `item` comes first: the public view is a cast of this pointer. */
struct lbw_weight {
    struct lbw_plan_item item;
    struct lbw_value *value; /* the value that consumers read, directly or through Identity */
    struct lbw_value *root;  /* its constant: `value`, or the input of its Cast nodes */
    /* Its constant values; NULL if computed or encoded. After a Cast not part of the model. */
    Onnx__TensorProto *tensor;
    uint64_t bytes;           /* of the stored constant */
    struct lbw_layout layout; /* of the first consumer */
    struct lbw_consumer *consumers;
    size_t num_consumers;
    bool is_fixed;      /* cannot be converted, even if a plan file asks for it */
    bool is_wished;     /* decided by the plan file */
    bool is_ruled;      /* its grid was set by a rule of the caller */
    bool is_small;      /* kept only because converting saves too little */
    bool is_structural; /* its values have an exact simple structure */
    bool is_uniform;    /* all uses have the same layout: calibration can fit them together */
};

/* The axis of the weight that its steps run along; -1 for one step. */
int lbw_weight_step_axis(const struct lbw_weight *weight);

/* The number of steps: dims[axis], or 1. */
size_t lbw_weight_num_steps(const struct lbw_weight *weight);

/* The step index of row r of group g, given the axis. */
size_t lbw_weight_step_index(const struct lbw_weight *weight, size_t group, size_t row);

/* The operators whose weights are converted by default. */
#define LBW_DEFAULT_OPS "Conv,ConvTranspose"

/* Every operator that can hold a weight. */
#define LBW_ALL_OPS "Conv,ConvTranspose,Gemm,MatMul"

/* `ops` is a comma-separated list, NULL for all. LBW_ERR_ARGUMENT names an unknown one. */
enum lbw_status lbw_weight_check_ops(const char *ops, struct lbw_error *err);

/* The range of inputs that can be weights; false if the node has none. */
bool lbw_weight_inputs(size_t *first, size_t *last, const Onnx__NodeProto *node,
                       const char *ops);

/* Whether weights can be of this type: FLOAT, FLOAT16, BFLOAT16 and DOUBLE. */
bool lbw_weight_can_be(int32_t type);

/* Whether the Cast of a weight has values that we know to the bit. */
bool lbw_weight_can_cast(int32_t from, int32_t to);

/* Successive Casts after a constant; the encoding of a weight may add one. */
#define LBW_MAX_CASTS 8

/* The value at the start of a chain of Identity nodes; NULL for NULL. */
struct lbw_value *lbw_weight_origin(struct lbw_value *value);

/* The same through Identity and Cast nodes. */
struct lbw_value *lbw_weight_source(struct lbw_value *value);

/*
 * The values of a constant weight, through Identity and Cast, and their origin; *out is NULL if
 * it is not constant.
 */
enum lbw_status lbw_weight_constant(Onnx__TensorProto **out, struct lbw_value **root,
                                    const struct lbw_index *index, struct lbw_value *value,
                                    struct lbw_error *err);

/*
 * The number of inputs that read the values of a name, through Identity nodes, not counting
 * those that read only its shape; false if some cannot be followed.
 */
bool lbw_weight_count_uses(size_t *num, const struct lbw_index *index,
                           const struct lbw_value *value);

/* Whether its graph gives the value out, through Identity nodes or as it is. */
bool lbw_weight_is_output(const struct lbw_value *value);

/* Whether some operator reads the value as a weight, through Identity nodes. */
bool lbw_weight_is_read(const struct lbw_value *value);

/*
 * Whether the value is a Cast of another that is itself read as a weight, and need not be
 * stored.
 */
bool lbw_weight_is_cast(const struct lbw_value *value);

#endif
