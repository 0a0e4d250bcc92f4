/* SPDX-License-Identifier: MIT */
/* What the functions of constant_op.c and constant_move.c read their operands with. */
#ifndef LBW_SRC_ONNX_CONSTANT_CALL_H
#define LBW_SRC_ONNX_CONSTANT_CALL_H

#include <math.h>
#include <string.h>

#include "base/bits.h"
#include "onnx/constant_op.h"

#define MOST_DIM  ((int64_t)1 << 40)
#define MOST_MADE ((size_t)1 << 26) /* values out of fewer */

static inline enum lbw_status refuse(struct lbw_error *err)
{
    return lbw_fail(err, LBW_ERR_UNSUPPORTED, "not computed here");
}

/* Input i, or NULL if it is left out. */
static inline const struct lbw_numbers *input(const struct lbw_constant_call *call, size_t i)
{
    return i < call->num_inputs && call->inputs[i].values ? &call->inputs[i] : NULL;
}

/* The steps of each axis in the values. */
static inline void strides_of(size_t *out, const struct lbw_numbers *n)
{
    size_t step = 1;
    for (size_t i = n->num_dims; i-- > 0; step *= (size_t)n->dims[i])
        out[i] = step;
}

/* Position `at` of a tensor of these dims as one index per axis. */
static inline void unravel(int64_t *index, const struct lbw_numbers *n, size_t at)
{
    for (size_t i = n->num_dims; i-- > 0; at /= (size_t)n->dims[i])
        index[i] = (int64_t)(at % (size_t)n->dims[i]);
}

static inline bool fix_axis(int64_t *axis, size_t rank)
{
    *axis += *axis < 0 ? (int64_t)rank : 0;
    return *axis >= 0 && *axis < (int64_t)rank;
}

/* The integer, or MOST_DIM with its sign if it is beyond: sums of a few do not overflow. */
static inline int64_t whole_number(double value)
{
    return (int64_t)fmax(-(double)MOST_DIM, fmin((double)MOST_DIM, value));
}

#define MOST_WHOLE (2 * (size_t)LBW_NUMBERS_DIMS)

/*
 * Integers from an attribute, or from an input in later versions of the operator; *is_given
 * receives whether there is one. False: more than MOST_WHOLE, and out is untouched.
 */
static inline bool optional_numbers(bool *is_given, int64_t *out, size_t *num,
                                    const struct lbw_constant_call *call, const char *name,
                                    size_t at)
{
    const Onnx__AttributeProto *a = lbw_node_attribute(call->node, name);
    const struct lbw_numbers *n = a ? NULL : input(call, at);
    size_t found = a ? a->n_ints : n ? n->count : 0;
    *is_given = a || n;
    *num = 0;
    if (found > MOST_WHOLE)
        return false;
    for (size_t i = 0; i < found; i++)
        out[i] = whole_number(a ? (double)a->ints[i] : n->values[i]);
    *num = found;
    return true;
}

/* The same where they have to be there. */
static inline bool whole_numbers(int64_t *out, size_t *num,
                                 const struct lbw_constant_call *call, const char *name,
                                 size_t at)
{
    bool is_given;
    return optional_numbers(&is_given, out, num, call, name, at) && is_given;
}

/*
 * Whether a result of these dims is far larger than every operand: a few bytes of a file
 * could ask for all memory.
 */
static inline bool is_too_many(const int64_t *dims, size_t num_dims,
                               const struct lbw_constant_call *call)
{
    size_t count = 1, most = MOST_MADE;
    for (size_t i = 0; i < call->num_inputs; i++)
        most = call->inputs[i].count > most ? call->inputs[i].count : most;
    for (size_t i = 0; i < num_dims; i++)
        if (dims[i] < 0 || !lbw_size_mul(&count, count, (size_t)dims[i]))
            return true;
    return count > most;
}

/* The same values in another shape. */
static inline enum lbw_status with_dims(struct lbw_numbers *out, const struct lbw_numbers *a,
                                        const int64_t *dims, size_t num_dims,
                                        struct lbw_error *err)
{
    size_t count = 1;
    struct lbw_numbers made = *a;
    if (num_dims > LBW_NUMBERS_DIMS)
        return refuse(err);
    for (size_t i = 0; i < num_dims; i++) {
        made.dims[i] = dims[i];
        if (dims[i] < 0 || !lbw_size_mul(&count, count, (size_t)dims[i]))
            return refuse(err);
    }
    made.num_dims = num_dims;
    if (count != a->count)
        return refuse(err);
    *out = made;
    return LBW_OK;
}

enum lbw_status lbw_constant_concat(struct lbw_numbers *out,
                                    const struct lbw_constant_call *call,
                                    struct lbw_error *err);
enum lbw_status lbw_constant_of_shape(struct lbw_numbers *out,
                                      const struct lbw_constant_call *call,
                                      struct lbw_error *err);
enum lbw_status lbw_constant_expand(struct lbw_numbers *out,
                                    const struct lbw_constant_call *call,
                                    struct lbw_error *err);
enum lbw_status lbw_constant_gather(struct lbw_numbers *out,
                                    const struct lbw_constant_call *call,
                                    struct lbw_error *err);
enum lbw_status lbw_constant_pad(struct lbw_numbers *out, const struct lbw_constant_call *call,
                                 struct lbw_error *err);
enum lbw_status lbw_constant_slice(struct lbw_numbers *out,
                                   const struct lbw_constant_call *call, struct lbw_error *err);
enum lbw_status lbw_constant_split(struct lbw_numbers *out,
                                   const struct lbw_constant_call *call, struct lbw_error *err);
enum lbw_status lbw_constant_tile(struct lbw_numbers *out, const struct lbw_constant_call *call,
                                  struct lbw_error *err);
enum lbw_status lbw_constant_transpose(struct lbw_numbers *out,
                                       const struct lbw_constant_call *call,
                                       struct lbw_error *err);
enum lbw_status lbw_constant_where(struct lbw_numbers *out,
                                   const struct lbw_constant_call *call, struct lbw_error *err);

#endif
