/* SPDX-License-Identifier: MIT */
/* The input of a gradient rule, and the table of rules. */
#ifndef LBW_SRC_GRAD_RULE_H
#define LBW_SRC_GRAD_RULE_H

#include "grad/tape.h"

/* One node in the backward pass. */
struct lbw_grad_step {
    struct lbw_tape *tape;
    const struct lbw_index *index;
    const Onnx__NodeProto *node;
    size_t num_inputs, num_outputs;
    const struct lbw_grad_shape *const *in;  /* NULL for an input left out */
    const struct lbw_grad_shape *const *out; /* NULL for an output left out */
    const char *const *dy; /* dL/d(output); NULL if the loss does not depend on it */
    const bool *wants;     /* whose gradient is wanted */
    const void *const
        *fixed;      /* values of inputs that depend on constants and sizes alone, or NULL */
    const char **dx; /* the result: dL/d(input), where wanted */
};

/*
 * Writes the nodes that compute step->dx from step->dy. NULL on success, else the reason why it
 * cannot: "its starts are not constant" (static text). Failed allocations are left to the tape.
 * A rule checks all it needs before it writes: a node without a gradient is a cut, not an
 * error.
 */
typedef const char *lbw_grad_rule_fn(struct lbw_grad_step *step);

struct lbw_grad_rule {
    const char *op_type; /* of the standard domain */
    lbw_grad_rule_fn *fn;
};

/* By name, or NULL. */
const struct lbw_grad_rule *lbw_grad_rule_find(const char *op_type);

/* The first output's gradient; most nodes have no other. */
static inline const char *lbw_step_dy(const struct lbw_grad_step *step)
{
    return step->dy[0];
}

/*
 * Integers of a constant or computed constant input, at most `max` of them; false if it is left
 * out, not constant, or longer.
 */
bool lbw_step_ints(const struct lbw_grad_step *step, size_t input, int64_t *values, size_t max,
                   size_t *num);

/* Numbers of a constant float input, likewise. */
bool lbw_step_floats(const struct lbw_grad_step *step, size_t input, float *values, size_t max,
                     size_t *num);

/* Axes by attribute or by constant input `input`, made positive; false if unknown. */
bool lbw_step_axes(const struct lbw_grad_step *step, size_t input, int64_t *axes, size_t *num,
                   size_t rank);

lbw_grad_rule_fn lbw_rule_identity, lbw_rule_cast, lbw_rule_add, lbw_rule_sub, lbw_rule_mul,
    lbw_rule_div, lbw_rule_sum, lbw_rule_neg, lbw_rule_sqrt, lbw_rule_log, lbw_rule_abs,
    lbw_rule_relu, lbw_rule_leaky_relu, lbw_rule_prelu, lbw_rule_clip, lbw_rule_sigmoid,
    lbw_rule_hard_sigmoid, lbw_rule_hard_swish, lbw_rule_tanh, lbw_rule_exp, lbw_rule_softplus,
    lbw_rule_batch_norm, lbw_rule_softmax;
lbw_grad_rule_fn lbw_rule_reshape, lbw_rule_transpose, lbw_rule_concat, lbw_rule_split,
    lbw_rule_slice, lbw_rule_pad, lbw_rule_gather, lbw_rule_reduce;
lbw_grad_rule_fn lbw_rule_max_pool, lbw_rule_average_pool, lbw_rule_global_average,
    lbw_rule_resize;
/*
 * The node itself, or a node of LBW_GRAD_DOMAIN in its place if the operator library has a
 * faster one for a weight that is known only at run time. NULL: out of memory.
 */
Onnx__NodeProto *lbw_native_conv(struct lbw_tape *tape, Onnx__NodeProto *node,
                                 const struct lbw_grad_shape *x,
                                 const struct lbw_grad_shape *weight,
                                 const struct lbw_grad_shape *y);

lbw_grad_rule_fn lbw_rule_conv, lbw_rule_conv_transpose, lbw_rule_gemm, lbw_rule_matmul;

#endif
