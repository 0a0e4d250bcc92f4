/* SPDX-License-Identifier: MIT */
/* One function per kind of operator; sums run in the order of the values. */
#include "onnx/constant_op.h"

#include <math.h>
#include <string.h>

#include "base/bits.h"
#include "onnx/constant_call.h"

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

bool lbw_numbers_is_float(int32_t type)
{
    return type == TYPE(FLOAT) || type == TYPE(FLOAT16) || type == TYPE(BFLOAT16) ||
           type == TYPE(DOUBLE);
}

enum lbw_status lbw_numbers_alloc(struct lbw_numbers *out, struct lbw_arena *arena,
                                  int32_t type, const int64_t *dims, size_t num_dims,
                                  struct lbw_error *err)
{
    struct lbw_numbers made = {.type = type, .num_dims = num_dims, .count = 1};
    if (num_dims > LBW_NUMBERS_DIMS)
        return refuse(err);
    for (size_t i = 0; i < num_dims; i++) {
        made.dims[i] = dims[i];
        if (dims[i] < 0 || dims[i] > MOST_DIM ||
            !lbw_size_mul(&made.count, made.count, (size_t)dims[i]) ||
            made.count > (size_t)MOST_DIM)
            return refuse(err);
    }
    made.values = lbw_arena_calloc(arena, made.count + 1, sizeof *made.values);
    if (!made.values)
        return lbw_fail_memory(err);
    *out = made;
    return LBW_OK;
}

static double rounded(double value, int32_t type)
{
    if (type == TYPE(DOUBLE))
        return value;
    if (type == TYPE(FLOAT16))
        return (double)lbw_half_to_float(lbw_half_from_float((float)value));
    if (type == TYPE(BFLOAT16))
        return (double)lbw_bfloat16_to_float(lbw_bfloat16_from_float((float)value));
    return type == TYPE(FLOAT) ? (double)(float)value : trunc(value);
}

void lbw_numbers_round(struct lbw_numbers *n)
{
    for (size_t i = 0; i < n->count; i++)
        n->values[i] = rounded(n->values[i], n->type);
}

/* ---- elementwise ---- */

static enum lbw_status binary(struct lbw_numbers *out, const struct lbw_constant_call *call,
                              struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0), *b = input(call, 1);
    const char op = call->node->op_type[0], second = call->node->op_type[1];
    int64_t dims[LBW_NUMBERS_DIMS], at[LBW_NUMBERS_DIMS];
    size_t sa[LBW_NUMBERS_DIMS], sb[LBW_NUMBERS_DIMS];
    if (!a || !b || call->opset < 7 || a->type != b->type)
        return refuse(err);
    size_t rank = a->num_dims > b->num_dims ? a->num_dims : b->num_dims;
    size_t skip_a = rank - a->num_dims, skip_b = rank - b->num_dims;
    for (size_t i = 0; i < rank; i++) {
        int64_t da = i < skip_a ? 1 : a->dims[i - skip_a],
                db = i < skip_b ? 1 : b->dims[i - skip_b];
        if (da != db && da != 1 && db != 1)
            return refuse(err);
        dims[i] = da == 1 ? db : da;
    }
    if (is_too_many(dims, rank, call))
        return refuse(err);
    LBW_TRY(lbw_numbers_alloc(out, call->arena, a->type, dims, rank, err));
    strides_of(sa, a);
    strides_of(sb, b);
    for (size_t k = 0; k < out->count; k++) {
        size_t ia = 0, ib = 0;
        unravel(at, out, k);
        for (size_t i = 0; i < rank; i++) {
            ia += i >= skip_a && a->dims[i - skip_a] > 1 ? (size_t)at[i] * sa[i - skip_a] : 0;
            ib += i >= skip_b && b->dims[i - skip_b] > 1 ? (size_t)at[i] * sb[i - skip_b] : 0;
        }
        double x = a->values[ia], y = b->values[ib];
        out->values[k] = op == 'A'                    ? x + y
                         : op == 'S'                  ? x - y
                         : op == 'M'                  ? x * y
                         : op == 'P' && second == 'o' ? pow(x, y)
                                                      : x / y;
    }
    return LBW_OK;
}

static enum lbw_status unary(struct lbw_numbers *out, const struct lbw_constant_call *call,
                             struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0);
    const char *op = call->node->op_type;
    if (!a || !lbw_numbers_is_float(a->type))
        return refuse(err);
    LBW_TRY(lbw_numbers_alloc(out, call->arena, a->type, a->dims, a->num_dims, err));
    for (size_t i = 0; i < a->count; i++) {
        double x = a->values[i];
        out->values[i] = op[0] == 'N'   ? -x
                         : op[0] == 'A' ? fabs(x)
                         : op[0] == 'S' ? sqrt(x)
                                        : 1 / x;
    }
    return LBW_OK;
}

static enum lbw_status same(struct lbw_numbers *out, const struct lbw_constant_call *call,
                            struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0);
    if (!a)
        return refuse(err);
    *out = *a;
    return LBW_OK;
}

static enum lbw_status cast(struct lbw_numbers *out, const struct lbw_constant_call *call,
                            struct lbw_error *err)
{
    int64_t to = lbw_node_int(call->node, "to", 0);
    const struct lbw_numbers *a = input(call, 0);
    bool is_known = lbw_numbers_is_float((int32_t)to) || to == TYPE(INT64) || to == TYPE(INT32);
    if (!a || !is_known)
        return refuse(err);
    LBW_TRY(lbw_numbers_alloc(out, call->arena, (int32_t)to, a->dims, a->num_dims, err));
    memcpy(out->values, a->values, a->count * sizeof *a->values);
    return LBW_OK;
}

/* ---- shapes ---- */

static enum lbw_status reshape(struct lbw_numbers *out, const struct lbw_constant_call *call,
                               struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0);
    int64_t dims[2 * LBW_NUMBERS_DIMS];
    size_t num, open = SIZE_MAX, count = 1;
    if (!a || !whole_numbers(dims, &num, call, "shape", 1) || num > LBW_NUMBERS_DIMS)
        return refuse(err);
    for (size_t i = 0; i < num; i++) {
        if (dims[i] == 0 && !lbw_node_int(call->node, "allowzero", 0))
            dims[i] = i < a->num_dims ? a->dims[i] : -2;
        if (dims[i] == -1 && open == SIZE_MAX)
            open = i;
        else if (dims[i] < 0 || !lbw_size_mul(&count, count, (size_t)dims[i]))
            return refuse(err);
    }
    if (open != SIZE_MAX && (count == 0 || a->count % count))
        return refuse(err);
    if (open != SIZE_MAX)
        dims[open] = (int64_t)(a->count / count);
    return with_dims(out, a, dims, num, err);
}

static enum lbw_status flatten(struct lbw_numbers *out, const struct lbw_constant_call *call,
                               struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0);
    int64_t axis = lbw_node_int(call->node, "axis", 1), dims[2] = {1, 1};
    if (!a)
        return refuse(err);
    axis += axis < 0 ? (int64_t)a->num_dims : 0;
    for (size_t i = 0; i < a->num_dims; i++)
        dims[(int64_t)i >= axis] *= a->dims[i];
    return with_dims(out, a, dims, 2, err);
}

static enum lbw_status squeeze(struct lbw_numbers *out, const struct lbw_constant_call *call,
                               struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0);
    int64_t axes[2 * LBW_NUMBERS_DIMS], dims[LBW_NUMBERS_DIMS];
    size_t num, rank = 0;
    bool goes[LBW_NUMBERS_DIMS] = {false}, is_given;
    if (!a || !optional_numbers(&is_given, axes, &num, call, "axes", 1))
        return refuse(err);
    for (size_t i = 0; i < num; i++) {
        if (!fix_axis(&axes[i], a->num_dims) || a->dims[axes[i]] != 1)
            return refuse(err);
        goes[axes[i]] = true;
    }
    for (size_t i = 0; i < a->num_dims; i++)
        if (!(is_given ? goes[i] : a->dims[i] == 1))
            dims[rank++] = a->dims[i];
    return with_dims(out, a, dims, rank, err);
}

static enum lbw_status unsqueeze(struct lbw_numbers *out, const struct lbw_constant_call *call,
                                 struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0);
    int64_t axes[2 * LBW_NUMBERS_DIMS], dims[LBW_NUMBERS_DIMS] = {0};
    size_t num, from = 0;
    if (!a || !whole_numbers(axes, &num, call, "axes", 1) ||
        a->num_dims + num > LBW_NUMBERS_DIMS)
        return refuse(err);
    for (size_t i = 0; i < num; i++) {
        if (!fix_axis(&axes[i], a->num_dims + num) || dims[axes[i]])
            return refuse(err);
        dims[axes[i]] = 1;
    }
    for (size_t i = 0; i < a->num_dims + num; i++)
        if (!dims[i])
            dims[i] = a->dims[from++];
    return with_dims(out, a, dims, a->num_dims + num, err);
}

static enum lbw_status shape(struct lbw_numbers *out, const struct lbw_constant_call *call,
                             struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0);
    if (!a || call->node->n_attribute)
        return refuse(err);
    const int64_t rank = (int64_t)a->num_dims;
    LBW_TRY(lbw_numbers_alloc(out, call->arena, TYPE(INT64), &rank, 1, err));
    for (size_t i = 0; i < a->num_dims; i++)
        out->values[i] = (double)a->dims[i];
    return LBW_OK;
}

/* ---- sums ---- */

static enum lbw_status reduce(struct lbw_numbers *out, const struct lbw_constant_call *call,
                              struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0);
    const char *kind = call->node->op_type + strlen("Reduce");
    bool is_square = strcmp(kind, "L2") == 0 || strcmp(kind, "SumSquare") == 0;
    bool goes[LBW_NUMBERS_DIMS] = {false}, keeps = lbw_node_int(call->node, "keepdims", 1) != 0;
    int64_t axes[2 * LBW_NUMBERS_DIMS], dims[LBW_NUMBERS_DIMS], at[LBW_NUMBERS_DIMS];
    int64_t shorter[LBW_NUMBERS_DIMS];
    size_t num, steps[LBW_NUMBERS_DIMS], rank = 0;
    bool is_given;
    if (!a || !lbw_numbers_is_float(a->type) || a->count == 0 ||
        !optional_numbers(&is_given, axes, &num, call, "axes", 1) ||
        (num == 0 && lbw_node_int(call->node, "noop_with_empty_axes", 0)))
        return refuse(err);
    for (size_t i = 0; i < num; i++) {
        if (!fix_axis(&axes[i], a->num_dims))
            return refuse(err);
        goes[axes[i]] = true;
    }
    for (size_t i = 0; i < a->num_dims; i++) {
        goes[i] = goes[i] || num == 0;
        dims[i] = goes[i] ? 1 : a->dims[i];
        if (!goes[i] || keeps)
            shorter[rank++] = dims[i];
    }
    LBW_TRY(lbw_numbers_alloc(out, call->arena, a->type, dims, a->num_dims, err));
    strides_of(steps, out);
    for (size_t k = 0; k < a->count; k++) {
        size_t target = 0;
        unravel(at, a, k);
        for (size_t i = 0; i < a->num_dims; i++)
            target += goes[i] ? 0 : (size_t)at[i] * steps[i];
        double x = strcmp(kind, "L1") == 0 ? fabs(a->values[k]) : a->values[k];
        out->values[target] += is_square ? x * x : x;
    }
    for (size_t i = 0; i < out->count; i++)
        if (strcmp(kind, "L2") == 0)
            out->values[i] = sqrt(out->values[i]);
        else if (strcmp(kind, "Mean") == 0)
            out->values[i] /= (double)(a->count / out->count);
    return with_dims(out, out, shorter, rank, err);
}

static enum lbw_status matmul(struct lbw_numbers *out, const struct lbw_constant_call *call,
                              struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0), *b = input(call, 1);
    if (!a || !b || a->num_dims != 2 || b->num_dims != 2 || a->dims[1] != b->dims[0] ||
        a->type != b->type || !lbw_numbers_is_float(a->type))
        return refuse(err);
    const int64_t dims[] = {a->dims[0], b->dims[1]};
    size_t m = (size_t)dims[0], n = (size_t)dims[1], k = (size_t)a->dims[1];
    if (is_too_many(dims, 2, call))
        return refuse(err);
    LBW_TRY(lbw_numbers_alloc(out, call->arena, a->type, dims, 2, err));
    for (size_t i = 0; i < m; i++)
        for (size_t p = 0; p < k; p++)
            for (size_t j = 0; j < n; j++)
                out->values[i * n + j] += a->values[i * k + p] * b->values[p * n + j];
    return LBW_OK;
}

static const struct lbw_constant_op ops[] = {
    {"Abs", unary},
    {"Add", binary},
    {"Cast", cast},
    {"Concat", lbw_constant_concat},
    {"ConstantOfShape", lbw_constant_of_shape},
    {"Div", binary},
    {"Expand", lbw_constant_expand},
    {"Flatten", flatten},
    {"Gather", lbw_constant_gather},
    {"Identity", same},
    {"MatMul", matmul},
    {"Mul", binary},
    {"Neg", unary},
    {"Pad", lbw_constant_pad},
    {"Pow", binary},
    {"Reciprocal", unary},
    {"ReduceL1", reduce},
    {"ReduceL2", reduce},
    {"ReduceMean", reduce},
    {"ReduceSum", reduce},
    {"ReduceSumSquare", reduce},
    {"Reshape", reshape},
    {"Shape", shape},
    {"Slice", lbw_constant_slice},
    {"Split", lbw_constant_split, .has_outputs = true},
    {"Sqrt", unary},
    {"Squeeze", squeeze},
    {"Sub", binary},
    {"Tile", lbw_constant_tile},
    {"Transpose", lbw_constant_transpose},
    {"Unsqueeze", unsqueeze},
    {"Where", lbw_constant_where},
};

const struct lbw_constant_op *lbw_constant_op_find(const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (lbw_node_is(node, ops[i].op_type))
            return &ops[i];
    return NULL;
}
