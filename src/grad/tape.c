/* SPDX-License-Identifier: MIT */
/* Tape: the small set of operators that all gradient rules are written in. */
#include "grad/tape.h"

#include <string.h>

#include "onnx/tensor.h"

#define FIRST_AXES_INPUT 13 /* ReduceSum takes its axes as an input from here on */
#define FIRST_PAD_INPUT  11
#define FIRST_SLICE_STEP 10

static const char *new_name(struct lbw_tape *tape)
{
    const char *name =
        lbw_arena_printf(&tape->model->arena, "%s/%u", tape->prefix, ++tape->num_names);
    tape->failed |= !name;
    return name;
}

void lbw_tape_add(struct lbw_tape *tape, Onnx__NodeProto *node)
{
    Onnx__GraphProto *graph = tape->graph;
    if (!node) {
        tape->failed = true;
        return;
    }
    if (graph->n_node == tape->capacity) {
        size_t capacity = 2 * tape->capacity + 64;
        Onnx__NodeProto **larger =
            lbw_arena_alloc(&tape->model->arena, capacity * sizeof *larger);
        if (!larger) {
            tape->failed = true;
            return;
        }
        if (graph->n_node)
            memcpy(larger, graph->node, graph->n_node * sizeof *larger);
        graph->node = larger;
        tape->capacity = capacity;
    }
    graph->node[graph->n_node++] = node;
}

const char *lbw_tape_op(struct lbw_tape *tape, Onnx__NodeProto **node, const char *op_type,
                        const char *const *inputs)
{
    const char *name = tape->failed ? NULL : new_name(tape);
    Onnx__NodeProto *made = NULL;
    if (name)
        made = lbw_build_node(tape->model, "", op_type, name, inputs,
                              (const char *[]){name, NULL});
    lbw_tape_add(tape, made);
    if (node)
        *node = made;
    return tape->failed ? NULL : name;
}

const char *lbw_tape_native(struct lbw_tape *tape, Onnx__NodeProto **node, const char *op_type,
                            const char *const *inputs, const char **second)
{
    const char *name = tape->failed ? NULL : new_name(tape);
    const char *other = name && second ? new_name(tape) : NULL;
    Onnx__NodeProto *made = NULL;
    if (name && (other || !second))
        made = lbw_build_node(tape->model, LBW_GRAD_DOMAIN, op_type, name, inputs,
                              (const char *[]){name, other, NULL});
    lbw_tape_add(tape, made);
    if (node)
        *node = made;
    if (second)
        *second = tape->failed ? NULL : other;
    return tape->failed ? NULL : name;
}

void lbw_tape_note_sums(struct lbw_tape *tape, const char *x, const char *sums)
{
    if (x && sums)
        tape->failed |= !lbw_strmap_put(&tape->sums, x, (void *)sums);
}

void lbw_tape_attr_int(struct lbw_tape *tape, Onnx__NodeProto *node, const char *name,
                       int64_t value)
{
    tape->failed |= !lbw_build_int(tape->model, node, name, value);
}

void lbw_tape_attr_ints(struct lbw_tape *tape, Onnx__NodeProto *node, const char *name,
                        const int64_t *values, size_t num)
{
    tape->failed |= !lbw_build_ints(tape->model, node, name, values, num);
}

void lbw_tape_attr_float(struct lbw_tape *tape, Onnx__NodeProto *node, const char *name,
                         float value)
{
    tape->failed |= !lbw_build_float(tape->model, node, name, value);
}

const char *lbw_tape_unary(struct lbw_tape *tape, const char *op_type, const char *a)
{
    return lbw_tape_op(tape, NULL, op_type, (const char *[]){a, NULL});
}

const char *lbw_tape_binary(struct lbw_tape *tape, const char *op_type, const char *a,
                            const char *b)
{
    return lbw_tape_op(tape, NULL, op_type, (const char *[]){a, b, NULL});
}

/* An initializer of the training graph; `data` is copied. */
static const char *constant(struct lbw_tape *tape, int32_t type, const int64_t *dims,
                            size_t num_dims, const void *data, size_t size)
{
    const char *name = tape->failed ? NULL : new_name(tape);
    void *copy = name ? lbw_arena_memdup(&tape->model->arena, data, size) : NULL;
    Onnx__TensorProto *tensor =
        copy ? lbw_tensor_new(tape->model, name, type, dims, num_dims, copy, size) : NULL;
    tape->failed |= !lbw_graph_add_initializer(tape->model, tape->graph, tensor);
    return tape->failed ? NULL : name;
}

const char *lbw_tape_ints(struct lbw_tape *tape, const int64_t *values, size_t num)
{
    int64_t dims = (int64_t)num;
    return constant(tape, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, &dims, 1, values,
                    num * sizeof *values);
}

const char *lbw_tape_values(struct lbw_tape *tape, const double *values, const int64_t *dims,
                            size_t num_dims)
{
    size_t count = 1;
    for (size_t i = 0; i < num_dims; i++)
        count *= (size_t)dims[i];
    if (tape->type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE)
        return constant(tape, tape->type, dims, num_dims, values, count * sizeof *values);
    float *narrow = lbw_arena_alloc(&tape->model->arena, count * sizeof *narrow);
    tape->failed |= !narrow;
    for (size_t i = 0; narrow && i < count; i++)
        narrow[i] = (float)values[i];
    return narrow ? constant(tape, tape->type, dims, num_dims, narrow, count * sizeof *narrow)
                  : NULL;
}

const char *lbw_tape_scalar(struct lbw_tape *tape, double value)
{
    return lbw_tape_values(tape, &value, NULL, 0);
}

const char *lbw_tape_reshape(struct lbw_tape *tape, const char *x, const int64_t *dims,
                             size_t num_dims)
{
    return lbw_tape_binary(tape, "Reshape", x, lbw_tape_ints(tape, dims, num_dims));
}

const char *lbw_tape_transpose(struct lbw_tape *tape, const char *x, const int64_t *perm,
                               size_t num_dims)
{
    Onnx__NodeProto *node;
    const char *y = lbw_tape_op(tape, &node, "Transpose", (const char *[]){x, NULL});
    lbw_tape_attr_ints(tape, node, "perm", perm, num_dims);
    return y;
}

static const char *plain_slice(struct lbw_tape *tape, const char *x, const int64_t *start,
                               const int64_t *end, size_t num_dims)
{
    Onnx__NodeProto *node;
    if (tape->opset >= FIRST_SLICE_STEP)
        return lbw_tape_op(tape, NULL, "Slice",
                           (const char *[]){x, lbw_tape_ints(tape, start, num_dims),
                                            lbw_tape_ints(tape, end, num_dims), NULL});
    const char *y = lbw_tape_op(tape, &node, "Slice", (const char *[]){x, NULL});
    lbw_tape_attr_ints(tape, node, "starts", start, num_dims);
    lbw_tape_attr_ints(tape, node, "ends", end, num_dims);
    return y;
}

/* Every step-th item where Slice has no steps: as the first column of a folded axis. */
static const char *fold_slice(struct lbw_tape *tape, const char *x, int64_t *dims,
                              const int64_t *step, size_t num_dims)
{
    for (size_t i = 0; i < num_dims; i++) {
        if (step[i] == 1)
            continue;
        int64_t num = (dims[i] + step[i] - 1) / step[i], inner = 1, outer = 1;
        int64_t pads[2 * LBW_GRAD_MAX_DIMS] = {0};
        pads[num_dims + i] = num * step[i] - dims[i];
        x = lbw_tape_pad(tape, x, pads, num_dims, 0);
        for (size_t k = 0; k < i; k++)
            outer *= dims[k];
        for (size_t k = i + 1; k < num_dims; k++)
            inner *= dims[k];
        x = lbw_tape_reshape(tape, x, (int64_t[]){outer * num, step[i], inner}, 3);
        x = plain_slice(tape, x, (int64_t[]){0, 0, 0}, (int64_t[]){outer * num, 1, inner}, 3);
        dims[i] = num;
        x = lbw_tape_reshape(tape, x, dims, num_dims);
    }
    return x;
}

const char *lbw_tape_slice(struct lbw_tape *tape, const char *x, const int64_t *start,
                           const int64_t *end, const int64_t *step, size_t num_dims)
{
    int64_t axes[LBW_GRAD_MAX_DIMS], dims[LBW_GRAD_MAX_DIMS];
    bool is_plain = true;
    for (size_t i = 0; i < num_dims; i++) {
        axes[i] = (int64_t)i;
        dims[i] = end[i] - start[i];
        is_plain = is_plain && (!step || step[i] == 1);
    }
    if (is_plain)
        return plain_slice(tape, x, start, end, num_dims);
    if (tape->opset < FIRST_SLICE_STEP)
        return fold_slice(tape, plain_slice(tape, x, start, end, num_dims), dims, step,
                          num_dims);
    return lbw_tape_op(tape, NULL, "Slice",
                       (const char *[]){x, lbw_tape_ints(tape, start, num_dims),
                                        lbw_tape_ints(tape, end, num_dims),
                                        lbw_tape_ints(tape, axes, num_dims),
                                        lbw_tape_ints(tape, step, num_dims), NULL});
}

const char *lbw_tape_pad(struct lbw_tape *tape, const char *x, const int64_t *pads,
                         size_t num_dims, double value)
{
    Onnx__NodeProto *node;
    bool is_empty = true;
    for (size_t i = 0; i < 2 * num_dims; i++)
        is_empty = is_empty && pads[i] == 0;
    if (is_empty)
        return x;
    if (tape->opset >= FIRST_PAD_INPUT)
        return lbw_tape_op(tape, NULL, "Pad",
                           (const char *[]){x, lbw_tape_ints(tape, pads, 2 * num_dims),
                                            lbw_tape_scalar(tape, value), NULL});
    const char *y = lbw_tape_op(tape, &node, "Pad", (const char *[]){x, NULL});
    lbw_tape_attr_ints(tape, node, "pads", pads, 2 * num_dims);
    lbw_tape_attr_float(tape, node, "value", (float)value);
    return y;
}

const char *lbw_tape_sum(struct lbw_tape *tape, const char *x, const int64_t *axes, size_t num,
                         bool keep)
{
    Onnx__NodeProto *node;
    const char *y;
    if (!num)
        return x;
    if (tape->opset >= FIRST_AXES_INPUT) {
        y = lbw_tape_op(tape, &node, "ReduceSum",
                        (const char *[]){x, lbw_tape_ints(tape, axes, num), NULL});
    } else {
        y = lbw_tape_op(tape, &node, "ReduceSum", (const char *[]){x, NULL});
        lbw_tape_attr_ints(tape, node, "axes", axes, num);
    }
    lbw_tape_attr_int(tape, node, "keepdims", keep);
    return y;
}

const char *lbw_tape_unbroadcast(struct lbw_tape *tape, const char *x,
                                 const struct lbw_grad_shape *from,
                                 const struct lbw_grad_shape *to)
{
    int64_t axes[LBW_GRAD_MAX_DIMS];
    size_t num = 0, lead = from->num_dims - to->num_dims;
    for (size_t i = 0; i < from->num_dims; i++)
        if (i < lead || (to->dims[i - lead] == 1 && from->dims[i] != 1))
            axes[num++] = (int64_t)i;
    x = lbw_tape_sum(tape, x, axes, num, true);
    return lead ? lbw_tape_reshape(tape, x, to->dims, to->num_dims) : x;
}

const char *lbw_tape_gather(struct lbw_tape *tape, const char *x, const int64_t *indices,
                            size_t num, int64_t axis)
{
    Onnx__NodeProto *node;
    const char *y = lbw_tape_op(tape, &node, "Gather",
                                (const char *[]){x, lbw_tape_ints(tape, indices, num), NULL});
    lbw_tape_attr_int(tape, node, "axis", axis);
    return y;
}

static const char *number(struct lbw_tape *tape, const char *truth)
{
    Onnx__NodeProto *node;
    const char *y = lbw_tape_op(tape, &node, "Cast", (const char *[]){truth, NULL});
    lbw_tape_attr_int(tape, node, "to", tape->type);
    return y;
}

const char *lbw_tape_greater(struct lbw_tape *tape, const char *a, const char *b)
{
    return number(tape, lbw_tape_binary(tape, "Greater", a, b));
}

const char *lbw_tape_not_less(struct lbw_tape *tape, const char *a, const char *b)
{
    return number(tape, lbw_tape_unary(tape, "Not", lbw_tape_binary(tape, "Less", a, b)));
}

const char *lbw_tape_clip(struct lbw_tape *tape, const char *x, double low, double high)
{
    Onnx__NodeProto *node;
    if (tape->opset >= 11)
        return lbw_tape_op(
            tape, &node, "Clip",
            (const char *[]){x, lbw_tape_scalar(tape, low), lbw_tape_scalar(tape, high), NULL});
    const char *y = lbw_tape_op(tape, &node, "Clip", (const char *[]){x, NULL});
    lbw_tape_attr_float(tape, node, "min", (float)low);
    lbw_tape_attr_float(tape, node, "max", (float)high);
    return y;
}

const char *lbw_tape_complement(struct lbw_tape *tape, const char *a)
{
    return lbw_tape_binary(tape, "Sub", lbw_tape_scalar(tape, 1), a);
}

const char *lbw_tape_concat(struct lbw_tape *tape, const char *const *parts, int64_t axis)
{
    Onnx__NodeProto *node;
    if (!parts[0] || !parts[1])
        return parts[0];
    const char *y = lbw_tape_op(tape, &node, "Concat", parts);
    lbw_tape_attr_int(tape, node, "axis", axis);
    return y;
}

/* x [num, 1] → [num, step], `value` after each item: by a product, faster than a Pad. */
static const char *spread_last(struct lbw_tape *tape, const char *x, int64_t num, int64_t step,
                               double value)
{
    double *pick = lbw_arena_calloc(&tape->model->arena, (size_t)step, sizeof *pick);
    double *rest = lbw_arena_calloc(&tape->model->arena, (size_t)step, sizeof *rest);
    if (!pick || !rest) {
        tape->failed = true;
        return NULL;
    }
    pick[0] = 1;
    for (int64_t i = 1; i < step; i++)
        rest[i] = value;
    const int64_t row[] = {1, step};
    Onnx__NodeProto *node;
    return lbw_tape_op(tape, &node, "Gemm",
                       (const char *[]){lbw_tape_reshape(tape, x, (int64_t[]){num, 1}, 2),
                                        lbw_tape_values(tape, pick, row, 2),
                                        lbw_tape_values(tape, rest, row, 2), NULL});
}

const char *lbw_tape_spread(struct lbw_tape *tape, const char *x, int64_t *dims,
                            const int64_t *step, size_t num_dims, double value)
{
    for (size_t i = 0; i < num_dims; i++) {
        int64_t inner = 1, outer = 1;
        if (step[i] == 1 || dims[i] == 1)
            continue;
        for (size_t k = 0; k <= i; k++)
            outer *= dims[k];
        for (size_t k = i + 1; k < num_dims; k++)
            inner *= dims[k];
        if (inner == 1) {
            x = spread_last(tape, x, outer, step[i], value);
        } else {
            x = lbw_tape_reshape(tape, x, (int64_t[]){outer, 1, inner}, 3);
            x = lbw_tape_pad(tape, x, (int64_t[]){0, 0, 0, 0, step[i] - 1, 0}, 3, value);
        }
        dims[i] *= step[i];
        x = lbw_tape_reshape(tape, x, dims, num_dims);
        int64_t pads[2 * LBW_GRAD_MAX_DIMS] = {0};
        pads[num_dims + i] = 1 - step[i];
        x = lbw_tape_pad(tape, x, pads, num_dims, value);
        dims[i] -= step[i] - 1;
    }
    return x;
}

static bool is_identity(const double *m, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            if (m[r * cols + c] != (r == c ? 1.0 : 0.0))
                return false;
    return rows == cols;
}

const char *lbw_tape_axis_map(struct lbw_tape *tape, const char *x, int64_t *dims,
                              size_t num_dims, size_t axis, const double *m, size_t rows,
                              size_t cols)
{
    if (is_identity(m, rows, cols))
        return x;
    const char *map = lbw_tape_values(tape, m, (int64_t[]){(int64_t)rows, (int64_t)cols}, 2);
    int64_t inner = 1, outer = 1;
    for (size_t k = 0; k < axis; k++)
        outer *= dims[k];
    for (size_t k = axis + 1; k < num_dims; k++)
        inner *= dims[k];
    dims[axis] = (int64_t)cols;
    if (inner == 1)
        x = lbw_tape_binary(tape, "MatMul",
                            lbw_tape_reshape(tape, x, (int64_t[]){outer, (int64_t)rows}, 2),
                            map);
    else
        x = lbw_tape_binary(
            tape, "MatMul", lbw_tape_transpose(tape, map, (int64_t[]){1, 0}, 2),
            lbw_tape_reshape(tape, x, (int64_t[]){outer, (int64_t)rows, inner}, 3));
    return lbw_tape_reshape(tape, x, dims, num_dims);
}
