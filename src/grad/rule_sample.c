/* SPDX-License-Identifier: MIT */
/*
 * Gradients of pooling and resizing. Averages and interpolation are linear and separable: their
 * gradient is a product with one matrix per axis.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "grad/rule.h"
#include "grad/window.h"

/*
 * The backward pass of the maximum along one axis: x gets the dy of every window in which it is
 * the largest. Equal largest values each get all of it; after a Relu these are zeros only,
 * where the gradient ends. x and y have `dims` except along the axis, where x has w->in and y
 * w->out.
 */
static const char *axis_max(struct lbw_tape *tape, const char *x, const char *y, const char *dy,
                            const int64_t *dims, size_t rank, size_t axis,
                            const struct lbw_window *w)
{
    size_t i = axis - 2;
    int64_t pads[2 * LBW_GRAD_MAX_DIMS] = {0}, steps[LBW_GRAD_MAX_DIMS];
    int64_t spread[LBW_GRAD_MAX_DIMS], start[LBW_GRAD_MAX_DIMS] = {0};
    int64_t end[LBW_GRAD_MAX_DIMS], reach = (w->kernel[i] - 1) * w->dilation[i];
    const char *sum = NULL;
    for (size_t k = 0; k < rank; k++) {
        steps[k] = k == axis ? w->stride[i] : 1;
        end[k] = dims[k];
    }
    memcpy(spread, dims, sizeof spread);
    spread[axis] = w->out[i];
    y = lbw_tape_spread(tape, y, spread, steps, rank, FLT_MAX);
    spread[axis] = w->out[i];
    dy = lbw_tape_spread(tape, dy, spread, steps, rank, 0);
    int64_t front = reach > w->begin[i] ? reach - w->begin[i] : 0;
    int64_t back = w->in[i] + w->begin[i] - spread[axis];
    pads[axis] = front;
    pads[rank + axis] = back > 0 ? back : 0;
    y = lbw_tape_pad(tape, y, pads, rank, FLT_MAX);
    dy = lbw_tape_pad(tape, dy, pads, rank, 0);
    for (int64_t t = 0; t < w->kernel[i]; t++) {
        start[axis] = front + w->begin[i] - t * w->dilation[i];
        end[axis] = start[axis] + w->in[i];
        const char *top = lbw_tape_slice(tape, y, start, end, NULL, rank);
        const char *is_top = lbw_tape_not_less(tape, x, top);
        const char *part = lbw_tape_binary(tape, "Mul", is_top,
                                           lbw_tape_slice(tape, dy, start, end, NULL, rank));
        sum = sum ? lbw_tape_binary(tape, "Add", sum, part) : part;
    }
    return sum;
}

/* The maximum along one axis only. */
static const char *pool_axis(struct lbw_tape *tape, const char *x, size_t i,
                             const struct lbw_window *w)
{
    int64_t kernel[LBW_GRAD_MAX_SPATIAL], stride[LBW_GRAD_MAX_SPATIAL];
    int64_t dilation[LBW_GRAD_MAX_SPATIAL], pads[2 * LBW_GRAD_MAX_SPATIAL] = {0};
    Onnx__NodeProto *node;
    for (size_t k = 0; k < w->num; k++)
        kernel[k] = stride[k] = dilation[k] = 1;
    kernel[i] = w->kernel[i];
    stride[i] = w->stride[i];
    dilation[i] = w->dilation[i];
    pads[i] = w->begin[i];
    pads[w->num + i] = w->end[i] > 0 ? w->end[i] : 0;
    const char *y = lbw_tape_op(tape, &node, "MaxPool", (const char *[]){x, NULL});
    lbw_tape_attr_ints(tape, node, "kernel_shape", kernel, w->num);
    lbw_tape_attr_ints(tape, node, "strides", stride, w->num);
    lbw_tape_attr_ints(tape, node, "pads", pads, 2 * w->num);
    if (dilation[i] != 1)
        lbw_tape_attr_ints(tape, node, "dilations", dilation, w->num);
    return y;
}

/* As in src/kernels/maxima.h. */
#define MOST_NATIVE_KERNEL 32

static bool is_native(const struct lbw_grad_step *step, const struct lbw_window *w)
{
    bool fits = step->tape->has_native && w->num == 2 &&
                step->tape->type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    for (size_t i = 0; i < 2 && fits; i++)
        fits = w->kernel[i] <= MOST_NATIVE_KERNEL && w->stride[i] <= MOST_NATIVE_KERNEL &&
               w->dilation[i] == 1 && w->begin[i] >= 0;
    return fits;
}

static void native_max(struct lbw_grad_step *step, const struct lbw_window *w)
{
    Onnx__NodeProto *node;
    step->dx[0] =
        lbw_tape_native(step->tape, &node, "MaxPool",
                        (const char *[]){step->node->input[0], lbw_step_dy(step), NULL}, NULL);
    lbw_tape_attr_ints(step->tape, node, "kernel_shape", w->kernel, 2);
    lbw_tape_attr_ints(step->tape, node, "strides", w->stride, 2);
    lbw_tape_attr_ints(step->tape, node, "pads", (int64_t[]){w->begin[0], w->begin[1], 0, 0},
                       4);
}

/* One axis after the other: k + k comparisons for a window of k × k instead of k·k. */
const char *lbw_rule_max_pool(struct lbw_grad_step *step)
{
    const char *seen[LBW_GRAD_MAX_SPATIAL + 1] = {step->node->input[0]};
    struct lbw_window w;
    int64_t dims[LBW_GRAD_MAX_DIMS];
    if (step->num_outputs > 1 && step->dy[1])
        return "its indices are used";
    if (!lbw_window_of(&w, step->node, step->in[0], step->out[0], NULL))
        return "its attributes do not fit";
    for (size_t i = 0; i < w.num; i++)
        if (w.end[i] >= w.kernel[i] || w.begin[i] >= w.kernel[i])
            return "it is padded by a whole window";
    if (is_native(step, &w)) {
        native_max(step, &w);
        return NULL;
    }
    for (size_t i = 0; i + 1 < w.num; i++)
        seen[i + 1] = pool_axis(step->tape, seen[i], i, &w);
    seen[w.num] = step->node->output[0];
    const char *dy = lbw_step_dy(step);
    memcpy(dims, step->out[0]->dims, sizeof dims);
    for (size_t i = w.num; i-- > 0;) {
        dims[2 + i] = w.in[i];
        dy = axis_max(step->tape, seen[i], seen[i + 1], dy, dims, w.num + 2, 2 + i, &w);
    }
    step->dx[0] = dy;
    return NULL;
}

/* dx from dy by one matrix per spatial axis; `fill` writes out × in of them. */
static const char *map_axes(struct lbw_grad_step *step, size_t first,
                            bool (*fill)(double *map, const void *user, size_t axis,
                                         size_t num_out, size_t num_in),
                            const void *user)
{
    const char *dx = lbw_step_dy(step);
    int64_t dims[LBW_GRAD_MAX_DIMS];
    size_t rank = step->in[0]->num_dims;
    memcpy(dims, step->out[0]->dims, sizeof dims);
    for (size_t axis = first; axis < rank; axis++) {
        size_t num_out = (size_t)step->out[0]->dims[axis];
        size_t num_in = (size_t)step->in[0]->dims[axis];
        double *map =
            lbw_arena_calloc(&step->tape->model->arena, num_out * num_in, sizeof *map);
        if (!map) {
            step->tape->failed = true;
            return NULL;
        }
        if (!fill(map, user, axis, num_out, num_in))
            return "its attributes have no gradient";
        dx = lbw_tape_axis_map(step->tape, dx, dims, rank, axis, map, num_out, num_in);
    }
    step->dx[0] = dx;
    return NULL;
}

struct average {
    struct lbw_window window;
    bool counts_padding;
};

static bool fill_average(double *map, const void *user, size_t axis, size_t num_out,
                         size_t num_in)
{
    const struct average *average = user;
    const struct lbw_window *w = &average->window;
    size_t i = axis - 2;
    for (size_t o = 0; o < num_out; o++) {
        int64_t count = 0, first = (int64_t)o * w->stride[i] - w->begin[i];
        for (int64_t t = 0; t < w->kernel[i]; t++) {
            int64_t at = first + t * w->dilation[i];
            bool is_inside = at >= 0 && at < (int64_t)num_in;
            bool is_padding = !is_inside && at < (int64_t)num_in + w->given_end[i];
            count += is_inside || (is_padding && average->counts_padding);
        }
        for (int64_t t = 0; t < w->kernel[i]; t++) {
            int64_t at = first + t * w->dilation[i];
            if (at >= 0 && at < (int64_t)num_in)
                map[o * num_in + (size_t)at] += 1.0 / (double)count;
        }
    }
    return true;
}

const char *lbw_rule_average_pool(struct lbw_grad_step *step)
{
    struct average average = {.counts_padding =
                                  lbw_node_int(step->node, "count_include_pad", 0)};
    if (!lbw_window_of(&average.window, step->node, step->in[0], step->out[0], NULL))
        return "its attributes do not fit";
    return map_axes(step, 2, fill_average, &average);
}

const char *lbw_rule_global_average(struct lbw_grad_step *step)
{
    const struct lbw_grad_shape *in = step->in[0];
    int64_t dims[LBW_GRAD_MAX_DIMS] = {1, 1};
    size_t count = 1;
    for (size_t i = 2; i < in->num_dims; i++)
        count *= (size_t)(dims[i] = in->dims[i]);
    double *values = lbw_arena_alloc(&step->tape->model->arena, count * sizeof *values);
    if (!values) {
        step->tape->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        values[i] = 1.0 / (double)count;
    step->dx[0] = lbw_tape_binary(step->tape, "Mul", lbw_step_dy(step),
                                  lbw_tape_values(step->tape, values, dims, in->num_dims));
    return NULL;
}

/* How an output position maps to an input position (ONNX Resize, Upsample). */
struct resize {
    bool is_linear, is_upsample;
    size_t num_scales;
    float scales[LBW_GRAD_MAX_DIMS];
    char place[32], nearest[32];
};

static void read_word(char *out, const Onnx__NodeProto *node, const char *name,
                      const char *otherwise)
{
    const Onnx__AttributeProto *attribute = lbw_node_attribute(node, name);
    size_t size = attribute ? attribute->s.len : strlen(otherwise);
    size = size > 31 ? 31 : size;
    memcpy(out, attribute ? (const char *)attribute->s.data : otherwise, size);
    out[size] = '\0';
}

/* False for a coordinate transformation without a gradient here. */
static bool source(double *out, const struct resize *r, size_t i, double scale, size_t num_out,
                   size_t num_in)
{
    double at = (double)i;
    if (strcmp(r->place, "asymmetric") == 0)
        *out = at / scale;
    else if (strcmp(r->place, "half_pixel") == 0)
        *out = (at + 0.5) / scale - 0.5;
    else if (strcmp(r->place, "pytorch_half_pixel") == 0)
        *out = num_out > 1 ? (at + 0.5) / scale - 0.5 : 0;
    else if (strcmp(r->place, "align_corners") == 0)
        *out = num_out > 1 ? at * (double)(num_in - 1) / (double)(num_out - 1) : 0;
    else if (strcmp(r->place, "tf_half_pixel_for_nn") == 0)
        *out = (at + 0.5) / scale;
    else
        return false;
    return true;
}

static double nearest(const struct resize *r, double at)
{
    if (strcmp(r->nearest, "floor") == 0)
        return floor(at);
    if (strcmp(r->nearest, "ceil") == 0)
        return ceil(at);
    if (strcmp(r->nearest, "round_prefer_ceil") == 0)
        return floor(at + 0.5);
    return ceil(at - 0.5);
}

static bool fill_resize(double *map, const void *user, size_t axis, size_t num_out,
                        size_t num_in)
{
    const struct resize *r = user;
    double last = (double)num_in - 1;
    double scale = axis < r->num_scales ? r->scales[axis] : (double)num_out / (double)num_in;
    if (scale == 1 && num_out == num_in) {
        for (size_t i = 0; i < num_in; i++)
            map[i * num_in + i] = 1;
        return true;
    }
    for (size_t i = 0; i < num_out; i++) {
        double at;
        if (!source(&at, r, i, scale, num_out, num_in))
            return false;
        if (!r->is_linear)
            at = nearest(r, at);
        at = at < 0 ? 0 : at > last ? last : at;
        size_t low = (size_t)at, high = low + 1 < num_in ? low + 1 : low;
        map[i * num_in + low] += 1 - (at - (double)low);
        map[i * num_in + high] += at - (double)low;
    }
    return true;
}

/* Scales if they are given, else from the sizes. */
static bool read_scales(struct resize *r, const struct lbw_grad_step *step)
{
    const Onnx__AttributeProto *attribute = lbw_node_attribute(step->node, "scales");
    size_t input = step->tape->opset >= 11 && !r->is_upsample ? 2 : 1;
    if (attribute) {
        if (attribute->n_floats > LBW_GRAD_MAX_DIMS)
            return false;
        memcpy(r->scales, attribute->floats,
               (r->num_scales = attribute->n_floats) * sizeof *r->scales);
    } else if (*lbw_node_input(step->node, input) &&
               !lbw_step_floats(step, input, r->scales, LBW_GRAD_MAX_DIMS, &r->num_scales)) {
        return false;
    }
    return r->num_scales == 0 || r->num_scales == step->in[0]->num_dims;
}

const char *lbw_rule_resize(struct lbw_grad_step *step)
{
    struct resize r = {.is_upsample = lbw_node_is(step->node, "Upsample")};
    bool is_old = r.is_upsample || step->tape->opset < 11;
    char word[32];
    read_word(word, step->node, "mode", "nearest");
    r.is_linear = strcmp(word, "linear") == 0;
    if (!r.is_linear && strcmp(word, "nearest") != 0)
        return "its mode has no gradient";
    read_word(word, step->node, "keep_aspect_ratio_policy", "stretch");
    if (lbw_node_attribute(step->node, "axes") || strcmp(word, "stretch") != 0 ||
        lbw_node_int(step->node, "antialias", 0))
        return "its attributes have no gradient";
    read_word(r.place, step->node, "coordinate_transformation_mode",
              is_old ? "asymmetric" : "half_pixel");
    read_word(r.nearest, step->node, "nearest_mode", is_old ? "floor" : "round_prefer_floor");
    if (!read_scales(&r, step))
        return "its scales are not constant";
    for (size_t i = 0; is_old && i < r.num_scales; i++)
        if (r.scales[i] < 1)
            return "it shrinks, which its version leaves undefined";
    return map_axes(step, 0, fill_resize, &r);
}
