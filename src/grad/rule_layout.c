/* SPDX-License-Identifier: MIT */
/* Gradients of operators that move values without changing them, and of sums over axes. */
#include "grad/rule.h"

#include <string.h>

static size_t product(const int64_t *dims, size_t from, size_t to)
{
    size_t n = 1;
    for (size_t i = from; i < to; i++)
        n *= (size_t)dims[i];
    return n;
}

const char *lbw_rule_reshape(struct lbw_grad_step *step)
{
    step->dx[0] = lbw_tape_reshape(step->tape, lbw_step_dy(step), step->in[0]->dims,
                                   step->in[0]->num_dims);
    return NULL;
}

const char *lbw_rule_transpose(struct lbw_grad_step *step)
{
    const Onnx__AttributeProto *attribute = lbw_node_attribute(step->node, "perm");
    int64_t inverse[LBW_GRAD_MAX_DIMS];
    size_t rank = step->in[0]->num_dims;
    if (attribute && attribute->n_ints != rank)
        return "its permutation does not fit";
    for (size_t i = 0; i < rank; i++)
        inverse[attribute ? (size_t)attribute->ints[i] : rank - 1 - i] = (int64_t)i;
    step->dx[0] = lbw_tape_transpose(step->tape, lbw_step_dy(step), inverse, rank);
    return NULL;
}

/* Attribute `axis` made positive; false when out of range. */
static bool read_axis(int64_t *axis, const struct lbw_grad_step *step, int64_t otherwise,
                      size_t rank)
{
    *axis = lbw_node_int(step->node, "axis", otherwise);
    *axis += *axis < 0 ? (int64_t)rank : 0;
    return *axis >= 0 && *axis < (int64_t)rank;
}

const char *lbw_rule_concat(struct lbw_grad_step *step)
{
    int64_t axis, start[LBW_GRAD_MAX_DIMS] = {0}, end[LBW_GRAD_MAX_DIMS];
    size_t rank = step->out[0]->num_dims;
    if (!read_axis(&axis, step, 1, rank))
        return "its axis is out of range";
    memcpy(end, step->out[0]->dims, sizeof end);
    for (size_t i = 0; i < step->num_inputs; i++) {
        end[axis] = start[axis] + step->in[i]->dims[axis];
        if (step->wants[i])
            step->dx[i] = lbw_tape_slice(step->tape, lbw_step_dy(step), start, end, NULL, rank);
        start[axis] = end[axis];
    }
    return NULL;
}

const char *lbw_rule_split(struct lbw_grad_step *step)
{
    int64_t axis, done = 0;
    size_t rank = step->in[0]->num_dims;
    const char *sum = NULL;
    if (!read_axis(&axis, step, 0, rank))
        return "its axis is out of range";
    for (size_t i = 0; i < step->num_outputs; i++) {
        int64_t pads[2 * LBW_GRAD_MAX_DIMS] = {0};
        if (!step->out[i])
            return "one of its outputs is left out";
        pads[axis] = done;
        done += step->out[i]->dims[axis];
        pads[rank + (size_t)axis] = step->in[0]->dims[axis] - done;
        if (!step->dy[i])
            continue;
        const char *part = lbw_tape_pad(step->tape, step->dy[i], pads, rank, 0);
        sum = sum ? lbw_tape_binary(step->tape, "Add", sum, part) : part;
    }
    step->dx[0] = sum;
    return NULL;
}

/*
 * The backward pass of y = x[indices] along one axis. Items taken once are gathered from dy
 * with a zero appended; repeated ones are summed by a matrix.
 */
static const char *ungather(struct lbw_grad_step *step, const char *dy, int64_t *dims,
                            size_t rank, size_t axis, const int64_t *indices, size_t num,
                            size_t extent)
{
    struct lbw_tape *tape = step->tape;
    struct lbw_arena *arena = &tape->model->arena;
    int64_t *back = lbw_arena_alloc(arena, extent * sizeof *back);
    int64_t pads[2 * LBW_GRAD_MAX_DIMS] = {0};
    size_t num_taken = 0;
    bool is_repeated = false;
    for (size_t i = 0; back && i < extent; i++)
        back[i] = (int64_t)num;
    for (size_t i = 0; back && i < num; i++) {
        is_repeated = is_repeated || back[indices[i]] != (int64_t)num;
        num_taken += back[indices[i]] == (int64_t)num;
        back[indices[i]] = (int64_t)i;
    }
    double *map = is_repeated ? lbw_arena_calloc(arena, num * extent, sizeof *map) : NULL;
    if (!back || (is_repeated && !map)) {
        tape->failed = true;
        return NULL;
    }
    if (is_repeated) {
        for (size_t i = 0; i < num; i++)
            map[i * extent + (size_t)indices[i]] = 1;
        return lbw_tape_axis_map(tape, dy, dims, rank, axis, map, num, extent);
    }
    pads[rank + axis] = num_taken < extent;
    dims[axis] = (int64_t)extent;
    return lbw_tape_gather(tape, lbw_tape_pad(tape, dy, pads, rank, 0), back, extent,
                           (int64_t)axis);
}

/* Where a Slice starts on each axis, and its steps. */
static bool read_slice(const struct lbw_grad_step *step, int64_t *first, int64_t *stride)
{
    int64_t starts[LBW_GRAD_MAX_DIMS], axes[LBW_GRAD_MAX_DIMS], steps[LBW_GRAD_MAX_DIMS];
    const Onnx__AttributeProto *attribute = lbw_node_attribute(step->node, "starts");
    size_t num, num_axes = 0, num_steps = 0, rank = step->in[0]->num_dims;
    if (attribute && attribute->n_ints <= LBW_GRAD_MAX_DIMS)
        memcpy(starts, attribute->ints, (num = attribute->n_ints) * sizeof *starts);
    else if (attribute || !lbw_step_ints(step, 1, starts, LBW_GRAD_MAX_DIMS, &num))
        return false;
    bool has_axes = lbw_node_attribute(step->node, "axes") || *lbw_node_input(step->node, 3);
    bool has_steps = *lbw_node_input(step->node, 4);
    if ((has_axes && (!lbw_step_axes(step, 3, axes, &num_axes, rank) || num_axes != num)) ||
        (has_steps &&
         (!lbw_step_ints(step, 4, steps, LBW_GRAD_MAX_DIMS, &num_steps) || num_steps != num)))
        return false;
    for (size_t i = 0; i < rank; i++) {
        first[i] = 0;
        stride[i] = 1;
    }
    for (size_t i = 0; i < num; i++) {
        size_t axis = has_axes ? (size_t)axes[i] : i;
        int64_t extent = step->in[0]->dims[axis], start = starts[i];
        stride[axis] = has_steps ? steps[i] : 1;
        int64_t last = stride[axis] < 0 ? extent - 1 : extent;
        start += start < 0 ? extent : 0;
        first[axis] = start < 0 ? 0 : start > last ? last : start;
    }
    return true;
}

const char *lbw_rule_slice(struct lbw_grad_step *step)
{
    int64_t first[LBW_GRAD_MAX_DIMS], stride[LBW_GRAD_MAX_DIMS], dims[LBW_GRAD_MAX_DIMS];
    int64_t pads[2 * LBW_GRAD_MAX_DIMS] = {0};
    size_t rank = step->in[0]->num_dims;
    const char *dx = lbw_step_dy(step);
    if (!read_slice(step, first, stride))
        return "its bounds are not constant";
    memcpy(dims, step->out[0]->dims, sizeof dims);
    for (size_t i = 0; i < rank; i++) {
        size_t num = (size_t)dims[i], extent = (size_t)step->in[0]->dims[i];
        if (stride[i] == 1) {
            pads[i] = first[i];
            pads[rank + i] = (int64_t)(extent - num) - first[i];
            continue;
        }
        int64_t *indices = lbw_arena_alloc(&step->tape->model->arena, num * sizeof *indices);
        if (!indices) {
            step->tape->failed = true;
            return NULL;
        }
        for (size_t k = 0; k < num; k++)
            indices[k] = first[i] + (int64_t)k * stride[i];
        dx = ungather(step, dx, dims, rank, i, indices, num, extent);
    }
    step->dx[0] = lbw_tape_pad(step->tape, dx, pads, rank, 0);
    return NULL;
}

const char *lbw_rule_gather(struct lbw_grad_step *step)
{
    const struct lbw_grad_shape *in = step->in[0];
    int64_t axis;
    size_t num = 0,
           max = step->in[1] ? product(step->in[1]->dims, 0, step->in[1]->num_dims) : 0;
    int64_t *indices = lbw_arena_alloc(&step->tape->model->arena, max * sizeof *indices);
    if (!read_axis(&axis, step, 0, in->num_dims))
        return "its axis is out of range";
    if (!indices || !lbw_step_ints(step, 1, indices, max, &num))
        return "its indices are not constant";
    for (size_t i = 0; i < num; i++) {
        indices[i] += indices[i] < 0 ? in->dims[axis] : 0;
        if (indices[i] < 0 || indices[i] >= in->dims[axis])
            return "an index is out of range";
    }
    int64_t dims[3] = {(int64_t)product(in->dims, 0, (size_t)axis), (int64_t)num,
                       (int64_t)product(in->dims, (size_t)axis + 1, in->num_dims)};
    const char *dx = lbw_tape_reshape(step->tape, lbw_step_dy(step), dims, 3);
    dx = ungather(step, dx, dims, 3, 1, indices, num, (size_t)in->dims[axis]);
    step->dx[0] = lbw_tape_reshape(step->tape, dx, in->dims, in->num_dims);
    return NULL;
}

static bool read_pads(const struct lbw_grad_step *step, int64_t *pads, size_t rank)
{
    const Onnx__AttributeProto *attribute = lbw_node_attribute(step->node, "pads");
    int64_t given[2 * LBW_GRAD_MAX_DIMS], axes[LBW_GRAD_MAX_DIMS];
    size_t num, num_axes = rank;
    if (attribute && attribute->n_ints == 2 * rank)
        memcpy(given, attribute->ints, (num = 2 * rank) * sizeof *given);
    else if (attribute || !lbw_step_ints(step, 1, given, 2 * LBW_GRAD_MAX_DIMS, &num))
        return false;
    for (size_t i = 0; i < rank; i++)
        axes[i] = (int64_t)i;
    if (*lbw_node_input(step->node, 3) && !lbw_step_axes(step, 3, axes, &num_axes, rank))
        return false;
    if (num != 2 * num_axes)
        return false;
    memset(pads, 0, 2 * rank * sizeof *pads);
    for (size_t i = 0; i < num_axes; i++) {
        pads[axes[i]] = given[i];
        pads[rank + (size_t)axes[i]] = given[num_axes + i];
    }
    return true;
}

/* The item of the input that a padded axis shows at i: mirrored, or the border's. */
static int64_t padded_index(int64_t i, int64_t extent, bool mirrors)
{
    if (!mirrors)
        return i < 0 ? 0 : i >= extent ? extent - 1 : i;
    while (extent > 1 && (i < 0 || i >= extent))
        i = i < 0 ? -i : 2 * (extent - 1) - i;
    return extent > 1 ? i : 0;
}

const char *lbw_rule_pad(struct lbw_grad_step *step)
{
    int64_t pads[2 * LBW_GRAD_MAX_DIMS], dims[LBW_GRAD_MAX_DIMS];
    const Onnx__AttributeProto *mode = lbw_node_attribute(step->node, "mode");
    size_t rank = step->in[0]->num_dims;
    const char *dx = lbw_step_dy(step);
    bool is_constant = !mode || (mode->s.len == 8 && memcmp(mode->s.data, "constant", 8) == 0);
    bool mirrors = mode && mode->s.len == 7 && memcmp(mode->s.data, "reflect", 7) == 0;
    bool repeats = mode && mode->s.len == 4 && memcmp(mode->s.data, "edge", 4) == 0;
    if (!is_constant && !mirrors && !repeats)
        return "its mode has no gradient";
    if (step->num_inputs > 2 && step->wants[2])
        return "its value is learned";
    if (!read_pads(step, pads, rank))
        return "its pads are not constant";
    if (is_constant) {
        for (size_t i = 0; i < 2 * rank; i++)
            pads[i] = -pads[i];
        step->dx[0] = lbw_tape_pad(step->tape, dx, pads, rank, 0);
        return NULL;
    }
    memcpy(dims, step->out[0]->dims, sizeof dims);
    for (size_t a = 0; a < rank; a++) {
        size_t num = (size_t)dims[a], extent = (size_t)step->in[0]->dims[a];
        int64_t *indices = lbw_arena_alloc(&step->tape->model->arena, num * sizeof *indices);
        if (!indices) {
            step->tape->failed = true;
            return NULL;
        }
        for (size_t i = 0; i < num; i++)
            indices[i] = padded_index((int64_t)i - pads[a], (int64_t)extent, mirrors);
        if (num != extent || pads[a])
            dx = ungather(step, dx, dims, rank, a, indices, num, extent);
    }
    step->dx[0] = dx;
    return NULL;
}

/* ReduceSum and ReduceMean: every item of a sum gets the sum's gradient. */
const char *lbw_rule_reduce(struct lbw_grad_step *step)
{
    const struct lbw_grad_shape *in = step->in[0];
    int64_t axes[LBW_GRAD_MAX_DIMS], kept[LBW_GRAD_MAX_DIMS], ones[LBW_GRAD_MAX_DIMS];
    size_t num = 0, rank = in->num_dims, count = 1;
    bool is_given = lbw_node_attribute(step->node, "axes") || *lbw_node_input(step->node, 1);
    if (is_given && !lbw_step_axes(step, 1, axes, &num, rank))
        return "its axes are not constant";
    bool takes_all = !num && !lbw_node_int(step->node, "noop_with_empty_axes", 0);
    for (size_t i = 0; i < rank; i++) {
        kept[i] = in->dims[i];
        ones[i] = 1;
    }
    for (size_t i = 0; i < (takes_all ? rank : num); i++) {
        size_t axis = takes_all ? i : (size_t)axes[i];
        kept[axis] = 1;
        ones[axis] = in->dims[axis];
        count *= (size_t)in->dims[axis];
    }
    double *values = lbw_arena_alloc(&step->tape->model->arena, count * sizeof *values);
    if (!values) {
        step->tape->failed = true;
        return NULL;
    }
    bool is_mean = lbw_node_is(step->node, "ReduceMean");
    for (size_t i = 0; i < count; i++)
        values[i] = is_mean ? 1.0 / (double)count : 1;
    step->dx[0] = lbw_tape_binary(step->tape, "Mul",
                                  lbw_tape_reshape(step->tape, lbw_step_dy(step), kept, rank),
                                  lbw_tape_values(step->tape, values, ones, rank));
    return NULL;
}
