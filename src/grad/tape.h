/* SPDX-License-Identifier: MIT */
/* Writing nodes of the training graph, each in the form that the model's opset requires. */
#ifndef LBW_SRC_GRAD_TAPE_H
#define LBW_SRC_GRAD_TAPE_H

#include "grad/grad.h"
#include "onnx/build.h"

/*
 * New nodes and constants, in order. Failure is sticky: functions below return a name (in the
 * arena) or NULL, accept NULL from a failed call, and `failed` tells at the end. All sizes are
 * static, so the caller gives shapes.
 */
struct lbw_tape {
    struct lbw_model *model; /* its arena holds everything; its tree does not change */
    Onnx__GraphProto *graph; /* of the training graph */
    size_t capacity;         /* of graph->node */
    const char *prefix;      /* of all new names */
    unsigned num_names;
    int64_t opset;
    int32_t type;           /* FLOAT or DOUBLE: of everything that has a gradient */
    bool has_native;        /* operators of LBW_GRAD_DOMAIN may be used */
    struct lbw_strmap sums; /* gradients → names of their sums by channel, where known */
    bool failed;
};

/* A node with one output; inputs end with NULL. `node` (may be NULL) receives it. */
const char *lbw_tape_op(struct lbw_tape *tape, Onnx__NodeProto **node, const char *op_type,
                        const char *const *inputs);
/* The same in LBW_GRAD_DOMAIN, with two outputs where `second` is not NULL. */
const char *lbw_tape_native(struct lbw_tape *tape, Onnx__NodeProto **node, const char *op_type,
                            const char *const *inputs, const char **second);
/* Remembers that `sums` holds the sums by channel of x, of one image; either may be NULL. */
void lbw_tape_note_sums(struct lbw_tape *tape, const char *x, const char *sums);
void lbw_tape_attr_int(struct lbw_tape *tape, Onnx__NodeProto *node, const char *name,
                       int64_t value);
void lbw_tape_attr_ints(struct lbw_tape *tape, Onnx__NodeProto *node, const char *name,
                        const int64_t *values, size_t num);
void lbw_tape_attr_float(struct lbw_tape *tape, Onnx__NodeProto *node, const char *name,
                         float value);
void lbw_tape_add(struct lbw_tape *tape, Onnx__NodeProto *node);

const char *lbw_tape_unary(struct lbw_tape *tape, const char *op_type, const char *a);
const char *lbw_tape_binary(struct lbw_tape *tape, const char *op_type, const char *a,
                            const char *b);

/* Constants: a vector of int64, numbers of the tape's type. */
const char *lbw_tape_ints(struct lbw_tape *tape, const int64_t *values, size_t num);
const char *lbw_tape_values(struct lbw_tape *tape, const double *values, const int64_t *dims,
                            size_t num_dims);
const char *lbw_tape_scalar(struct lbw_tape *tape, double value);

const char *lbw_tape_reshape(struct lbw_tape *tape, const char *x, const int64_t *dims,
                             size_t num_dims);
const char *lbw_tape_transpose(struct lbw_tape *tape, const char *x, const int64_t *perm,
                               size_t num_dims);
/* Every axis from start[i] to end[i] by step[i] (NULL: 1; others only from opset 10 on). */
const char *lbw_tape_slice(struct lbw_tape *tape, const char *x, const int64_t *start,
                           const int64_t *end, const int64_t *step, size_t num_dims);
/* Constant padding; pads[i] before and pads[num_dims + i] after axis i. */
const char *lbw_tape_pad(struct lbw_tape *tape, const char *x, const int64_t *pads,
                         size_t num_dims, double value);
/* Σ over the axes, which stay as 1 when `keep`. x itself when there are none. */
const char *lbw_tape_sum(struct lbw_tape *tape, const char *x, const int64_t *axes, size_t num,
                         bool keep);
/* Σ over the items that broadcasting from `to` to `from` has repeated. */
const char *lbw_tape_unbroadcast(struct lbw_tape *tape, const char *x,
                                 const struct lbw_grad_shape *from,
                                 const struct lbw_grad_shape *to);
const char *lbw_tape_gather(struct lbw_tape *tape, const char *x, const int64_t *indices,
                            size_t num, int64_t axis);
/* `parts` end with NULL; x itself when there is one. */
const char *lbw_tape_concat(struct lbw_tape *tape, const char *const *parts, int64_t axis);
/* 1 where a > b, else 0. */
const char *lbw_tape_greater(struct lbw_tape *tape, const char *a, const char *b);
/* 1 where a >= b, else 0. */
const char *lbw_tape_not_less(struct lbw_tape *tape, const char *a, const char *b);
/* Clamped to low … high. */
const char *lbw_tape_clip(struct lbw_tape *tape, const char *x, double low, double high);
/* 1 - a. */
const char *lbw_tape_complement(struct lbw_tape *tape, const char *a);
/*
 * Inserts step[i] - 1 copies of `value` after each item along axis i, except the last: extents
 * become (n - 1)·step + 1. x is of dims, which are updated.
 */
const char *lbw_tape_spread(struct lbw_tape *tape, const char *x, int64_t *dims,
                            const int64_t *step, size_t num_dims, double value);
/*
 * The transposed linear map m (rows × cols, row-major) along one axis: x of `dims` has `rows`
 * there, the result `cols`: out[c] = Σ_r m[r·cols + c]·x[r]. dims[axis] is updated.
 */
const char *lbw_tape_axis_map(struct lbw_tape *tape, const char *x, int64_t *dims,
                              size_t num_dims, size_t axis, const double *m, size_t rows,
                              size_t cols);

#endif
