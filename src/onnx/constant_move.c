/* SPDX-License-Identifier: MIT */
/* Operators that move values and compute none: Transpose, Slice, Split, Gather, Tile … */
#include "onnx/constant_call.h"

/* ---- along the axes ---- */

/* For each axis of the result, the positions that it takes from the operand's axis. */
struct picks {
    size_t num_dims;
    int64_t dims[LBW_NUMBERS_DIMS];
    int64_t *at[LBW_NUMBERS_DIMS]; /* dims[i] each, in the arena */
};

/* `num` positions of an axis: first, first + step, …; they stay below `size` by its modulus. */
static bool pick_axis(struct picks *p, size_t axis, const struct lbw_constant_call *call,
                      int64_t num, int64_t first, int64_t step, int64_t size)
{
    if (num < 0 || (num > size && is_too_many(&num, 1, call)))
        return false;
    p->dims[axis] = num;
    p->at[axis] = lbw_arena_calloc(call->arena, (size_t)num + 1, sizeof(int64_t));
    for (int64_t i = 0; p->at[axis] && i < num; i++)
        p->at[axis][i] = (first + i * step) % size;
    return p->at[axis] != NULL;
}

/* All positions of all axes. */
static bool pick_all(struct picks *p, const struct lbw_constant_call *call,
                     const struct lbw_numbers *a)
{
    p->num_dims = a->num_dims;
    for (size_t i = 0; i < a->num_dims; i++)
        if (!pick_axis(p, i, call, a->dims[i], 0, 1, a->dims[i]))
            return false;
    return true;
}

static enum lbw_status pick(struct lbw_numbers *out, const struct lbw_constant_call *call,
                            const struct lbw_numbers *a, const struct picks *p,
                            struct lbw_error *err)
{
    size_t steps[LBW_NUMBERS_DIMS];
    int64_t at[LBW_NUMBERS_DIMS];
    if (is_too_many(p->dims, p->num_dims, call))
        return refuse(err);
    LBW_TRY(lbw_numbers_alloc(out, call->arena, a->type, p->dims, p->num_dims, err));
    strides_of(steps, a);
    for (size_t k = 0; k < out->count; k++) {
        size_t source = 0;
        unravel(at, out, k);
        for (size_t i = 0; i < a->num_dims; i++)
            source += (size_t)p->at[i][at[i]] * steps[i];
        out->values[k] = a->values[source];
    }
    return LBW_OK;
}

/* The part of an axis that Slice takes: starts, ends and steps count as in Python. */
static bool slice_axis(struct picks *p, size_t axis, const struct lbw_constant_call *call,
                       int64_t size, int64_t start, int64_t end, int64_t step)
{
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    start += start < 0 ? size : 0;
    end += end < 0 ? size : 0;
    start = start < 0 ? (step > 0 ? 0 : -1) : start > high ? high : start;
    end = end < low ? low : end > size ? size : end;
    int64_t far = step > 0 ? end - start : start - end, stride = step > 0 ? step : -step;
    int64_t num = far > 0 ? (far + stride - 1) / stride : 0;
    return pick_axis(p, axis, call, num, start, step, size ? size : 1);
}

enum lbw_status lbw_constant_slice(struct lbw_numbers *out,
                                   const struct lbw_constant_call *call, struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0);
    int64_t starts[2 * LBW_NUMBERS_DIMS], ends[2 * LBW_NUMBERS_DIMS];
    int64_t axes[2 * LBW_NUMBERS_DIMS], steps[2 * LBW_NUMBERS_DIMS];
    size_t num, num_ends, num_axes, num_steps;
    bool has_axes, has_steps;
    struct picks p = {0};
    if (!a || !whole_numbers(starts, &num, call, "starts", 1) ||
        !whole_numbers(ends, &num_ends, call, "ends", 2) || num_ends != num ||
        !pick_all(&p, call, a))
        return refuse(err);
    if (!optional_numbers(&has_axes, axes, &num_axes, call, "axes", 3) ||
        !optional_numbers(&has_steps, steps, &num_steps, call, "steps", 4) ||
        (has_axes && num_axes != num) || (has_steps && num_steps != num))
        return refuse(err);
    for (size_t i = 0; i < num; i++) {
        int64_t axis = has_axes ? axes[i] : (int64_t)i, step = has_steps ? steps[i] : 1;
        if (!fix_axis(&axis, a->num_dims) || step == 0 || step <= -MOST_DIM ||
            !slice_axis(&p, (size_t)axis, call, a->dims[axis], starts[i], ends[i], step))
            return refuse(err);
    }
    return pick(out, call, a, &p, err);
}

/* Equal parts, the last one smaller if need be, or those that `split` says. */
enum lbw_status lbw_constant_split(struct lbw_numbers *out,
                                   const struct lbw_constant_call *call, struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0);
    int64_t axis = lbw_node_int(call->node, "axis", 0), parts[2 * LBW_NUMBERS_DIMS];
    size_t num, num_outputs = call->node->n_output;
    struct picks p = {0};
    bool is_given;
    if (!a || !fix_axis(&axis, a->num_dims) || !pick_all(&p, call, a) ||
        !optional_numbers(&is_given, parts, &num, call, "split", 1))
        return refuse(err);
    int64_t size = a->dims[axis], first = 0, part;
    if (is_given) {
        if (num != num_outputs)
            return refuse(err);
        for (size_t i = 0; i < call->output; i++)
            first += parts[i];
        part = parts[call->output];
    } else {
        int64_t each = (size + (int64_t)num_outputs - 1) / (int64_t)num_outputs;
        first = each * (int64_t)call->output;
        part = size - first < each ? size - first : each;
    }
    if (first < 0 || part < 0 || first + part > size ||
        !pick_axis(&p, (size_t)axis, call, part, first, 1, size ? size : 1))
        return refuse(err);
    return pick(out, call, a, &p, err);
}

enum lbw_status lbw_constant_gather(struct lbw_numbers *out,
                                    const struct lbw_constant_call *call, struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0), *indices = input(call, 1);
    int64_t axis = lbw_node_int(call->node, "axis", 0), dims[2 * LBW_NUMBERS_DIMS];
    struct picks p = {0};
    size_t rank = 0;
    if (!a || !indices || !fix_axis(&axis, a->num_dims) || !pick_all(&p, call, a) ||
        !pick_axis(&p, (size_t)axis, call, (int64_t)indices->count, 0, 0, 1))
        return refuse(err);
    for (size_t i = 0; i < indices->count; i++) {
        int64_t at = whole_number(indices->values[i]), size = a->dims[axis];
        at += at < 0 ? size : 0;
        if (at < 0 || at >= size)
            return refuse(err);
        p.at[axis][i] = at;
    }
    for (size_t i = 0; i < a->num_dims; i++)
        if ((int64_t)i != axis)
            dims[rank++] = a->dims[i];
        else
            for (size_t k = 0; k < indices->num_dims; k++)
                dims[rank++] = indices->dims[k];
    LBW_TRY(pick(out, call, a, &p, err));
    return with_dims(out, out, dims, rank, err);
}

enum lbw_status lbw_constant_tile(struct lbw_numbers *out, const struct lbw_constant_call *call,
                                  struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0);
    int64_t repeats[2 * LBW_NUMBERS_DIMS], num;
    size_t count;
    struct picks p = {0};
    if (!a || call->opset < 6 || !whole_numbers(repeats, &count, call, "repeats", 1) ||
        count != a->num_dims || !pick_all(&p, call, a))
        return refuse(err);
    for (size_t i = 0; i < a->num_dims; i++) {
        int64_t size = a->dims[i] ? a->dims[i] : 1;
        if (repeats[i] < 0 || repeats[i] > MOST_DIM / size)
            return refuse(err);
        num = a->dims[i] * repeats[i];
        if (!pick_axis(&p, i, call, num, 0, 1, size))
            return refuse(err);
    }
    return pick(out, call, a, &p, err);
}

/* a in the shape that `dims` and its own make together, as of two operands of Add. */
static enum lbw_status expand_to(struct lbw_numbers *out, const struct lbw_constant_call *call,
                                 const struct lbw_numbers *a, const int64_t *dims, size_t rank,
                                 struct lbw_error *err)
{
    int64_t own[LBW_NUMBERS_DIMS];
    struct lbw_numbers full;
    struct picks p = {.num_dims = rank > a->num_dims ? rank : a->num_dims};
    if (p.num_dims > LBW_NUMBERS_DIMS)
        return refuse(err);
    size_t before = p.num_dims - a->num_dims;
    for (size_t i = 0; i < p.num_dims; i++) {
        int64_t wanted = i + rank < p.num_dims ? 1 : dims[i + rank - p.num_dims];
        own[i] = i < before ? 1 : a->dims[i - before];
        if (own[i] != wanted && own[i] != 1 && wanted != 1)
            return refuse(err);
        int64_t num = own[i] == 1 ? wanted : own[i];
        if (!pick_axis(&p, i, call, num, 0, own[i] != 1, own[i] ? own[i] : 1))
            return refuse(err);
    }
    LBW_TRY(with_dims(&full, a, own, p.num_dims, err));
    return pick(out, call, &full, &p, err);
}

enum lbw_status lbw_constant_expand(struct lbw_numbers *out,
                                    const struct lbw_constant_call *call, struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0);
    int64_t dims[2 * LBW_NUMBERS_DIMS];
    size_t rank;
    if (!a || !whole_numbers(dims, &rank, call, "shape", 1))
        return refuse(err);
    return expand_to(out, call, a, dims, rank, err);
}

enum lbw_status lbw_constant_where(struct lbw_numbers *out,
                                   const struct lbw_constant_call *call, struct lbw_error *err)
{
    struct lbw_numbers all[3];
    const struct lbw_numbers *a = input(call, 1), *b = input(call, 2);
    if (!input(call, 0) || !a || !b || a->type != b->type)
        return refuse(err);
    for (size_t i = 0; i < 3; i++)
        all[i] = *input(call, i);
    for (size_t pass = 0; pass < 2; pass++) /* the second one meets the common shape */
        for (size_t i = 0; i < 3; i++)
            for (size_t k = 0; k < 3; k++)
                if (k != i)
                    LBW_TRY(
                        expand_to(&all[i], call, &all[i], all[k].dims, all[k].num_dims, err));
    *out = all[1];
    for (size_t i = 0; i < out->count; i++)
        out->values[i] = all[0].values[i] != 0 ? all[1].values[i] : all[2].values[i];
    return LBW_OK;
}

enum lbw_status lbw_constant_of_shape(struct lbw_numbers *out,
                                      const struct lbw_constant_call *call,
                                      struct lbw_error *err)
{
    const Onnx__AttributeProto *value = lbw_node_attribute(call->node, "value");
    int64_t dims[2 * LBW_NUMBERS_DIMS];
    size_t rank;
    if (!whole_numbers(dims, &rank, call, "", 0) || (value && !call->value))
        return refuse(err);
    int32_t type = value ? call->value->type : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    if ((value && call->value->count != 1) || is_too_many(dims, rank, call))
        return refuse(err);
    LBW_TRY(lbw_numbers_alloc(out, call->arena, type, dims, rank, err));
    for (size_t i = 0; i < out->count; i++)
        out->values[i] = value ? call->value->values[0] : 0;
    return LBW_OK;
}

/* ---- across the axes ---- */

enum lbw_status lbw_constant_transpose(struct lbw_numbers *out,
                                       const struct lbw_constant_call *call,
                                       struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0);
    const Onnx__AttributeProto *perm = lbw_node_attribute(call->node, "perm");
    int64_t dims[LBW_NUMBERS_DIMS], at[LBW_NUMBERS_DIMS], from[LBW_NUMBERS_DIMS];
    size_t steps[LBW_NUMBERS_DIMS], used = 0;
    if (!a || (perm && perm->n_ints != a->num_dims))
        return refuse(err);
    for (size_t i = 0; i < a->num_dims; i++) {
        from[i] = perm ? perm->ints[i] : (int64_t)(a->num_dims - 1 - i);
        if (from[i] < 0 || from[i] >= (int64_t)a->num_dims)
            return refuse(err);
        used |= (size_t)1 << from[i];
        dims[i] = a->dims[from[i]];
    }
    if (used != ((size_t)1 << a->num_dims) - 1)
        return refuse(err);
    LBW_TRY(lbw_numbers_alloc(out, call->arena, a->type, dims, a->num_dims, err));
    strides_of(steps, a);
    for (size_t k = 0; k < out->count; k++) {
        size_t source = 0;
        unravel(at, out, k);
        for (size_t i = 0; i < a->num_dims; i++)
            source += (size_t)at[i] * steps[from[i]];
        out->values[k] = a->values[source];
    }
    return LBW_OK;
}

enum lbw_status lbw_constant_concat(struct lbw_numbers *out,
                                    const struct lbw_constant_call *call, struct lbw_error *err)
{
    const struct lbw_numbers *first = input(call, 0);
    int64_t axis = lbw_node_int(call->node, "axis", 0), dims[LBW_NUMBERS_DIMS];
    if (!first || !fix_axis(&axis, first->num_dims))
        return refuse(err);
    memcpy(dims, first->dims, sizeof dims);
    for (size_t i = 1; i < call->num_inputs; i++) {
        const struct lbw_numbers *a = input(call, i);
        if (!a || a->num_dims != first->num_dims || a->type != first->type)
            return refuse(err);
        for (size_t k = 0; k < a->num_dims; k++)
            if ((int64_t)k != axis && a->dims[k] != first->dims[k])
                return refuse(err);
        dims[axis] += a->dims[axis];
    }
    if (is_too_many(dims, first->num_dims, call))
        return refuse(err);
    LBW_TRY(lbw_numbers_alloc(out, call->arena, first->type, dims, first->num_dims, err));
    size_t outer = 1, at = 0;
    for (int64_t i = 0; i < axis; i++)
        outer *= (size_t)first->dims[i];
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < call->num_inputs; i++) {
            size_t size = call->inputs[i].count / outer;
            memcpy(out->values + at, call->inputs[i].values + o * size, size * sizeof(double));
            at += size;
        }
    return LBW_OK;
}

enum lbw_status lbw_constant_pad(struct lbw_numbers *out, const struct lbw_constant_call *call,
                                 struct lbw_error *err)
{
    const struct lbw_numbers *a = input(call, 0), *fill = input(call, 2);
    int64_t pads[2 * LBW_NUMBERS_DIMS], dims[LBW_NUMBERS_DIMS], at[LBW_NUMBERS_DIMS];
    size_t num, steps[LBW_NUMBERS_DIMS];
    if (!a || input(call, 3) || !whole_numbers(pads, &num, call, "pads", 1) ||
        num != 2 * a->num_dims || !lbw_node_says(call->node, "mode", "constant", true))
        return refuse(err);
    for (size_t i = 0; i < num; i++)
        if (pads[i] < 0 || pads[i] > MOST_DIM)
            return refuse(err);
    for (size_t i = 0; i < a->num_dims; i++)
        dims[i] = a->dims[i] + pads[i] + pads[a->num_dims + i];
    if (is_too_many(dims, a->num_dims, call))
        return refuse(err);
    LBW_TRY(lbw_numbers_alloc(out, call->arena, a->type, dims, a->num_dims, err));
    double value = fill && fill->count == 1 ? fill->values[0]
                                            : (double)lbw_node_float(call->node, "value", 0);
    for (size_t i = 0; i < out->count; i++)
        out->values[i] = value;
    strides_of(steps, out);
    for (size_t k = 0; k < a->count; k++) {
        size_t target = 0;
        unravel(at, a, k);
        for (size_t i = 0; i < a->num_dims; i++)
            target += (size_t)(at[i] + pads[i]) * steps[i];
        out->values[target] = a->values[k];
    }
    return LBW_OK;
}
