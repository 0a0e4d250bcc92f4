/* SPDX-License-Identifier: MIT */
/*
 * Gradients of convolutions and matrix products. The gradient of a weight is one matrix product
 * with the columns of its windows (measured: several times faster than a Conv whose kernel is
 * dy); that of an input is a ConvTranspose, or a Conv if the kernel is a single tap.
 */
#include <string.h>

#include "grad/rule.h"
#include "grad/window.h"

/* With more values of columns, concatenating them costs more than it saves. */
#define LARGE_COLUMNS 250000

/* As in src/kernels/gradient.h. */
#define MOST_NATIVE_KERNEL 7
#define MOST_NATIVE_STRIDE 2

static int64_t product(const int64_t *values, size_t num)
{
    int64_t n = 1;
    for (size_t i = 0; i < num; i++)
        n *= values[i];
    return n;
}

static bool is_single_tap(const struct lbw_window *w)
{
    for (size_t i = 0; i < w->num; i++)
        if (w->kernel[i] != 1 || w->stride[i] != 1 || w->begin[i] || w->end[i])
            return false;
    return true;
}

/* The inputs of tap t in every window: [N, C, out…] from x, already padded. */
static const char *seen_by(struct lbw_tape *tape, const char *x, int64_t n, int64_t c,
                           const struct lbw_window *w, int64_t t)
{
    int64_t start[LBW_GRAD_MAX_DIMS] = {0}, end[LBW_GRAD_MAX_DIMS] = {n, c};
    int64_t step[LBW_GRAD_MAX_DIMS] = {1, 1};
    for (size_t i = w->num; i-- > 0; t /= w->kernel[i]) {
        step[2 + i] = w->stride[i];
        start[2 + i] = t % w->kernel[i] * w->dilation[i];
        end[2 + i] = start[2 + i] + (w->out[i] - 1) * w->stride[i] + 1;
    }
    return lbw_tape_slice(tape, x, start, end, step, w->num + 2);
}

static const char *padded(struct lbw_tape *tape, const char *x, const struct lbw_window *w)
{
    int64_t pads[2 * LBW_GRAD_MAX_DIMS] = {0};
    size_t rank = w->num + 2;
    for (size_t i = 0; i < w->num; i++) {
        pads[2 + i] = w->begin[i];
        pads[rank + 2 + i] = w->end[i] > 0 ? w->end[i] : 0;
    }
    return lbw_tape_pad(tape, x, pads, rank, 0);
}

/* The taps of all windows, concatenated: [N, C·taps, outputs] from x [N, C, in…]. */
static const char *columns(struct lbw_tape *tape, const char *x, int64_t n, int64_t c,
                           const struct lbw_window *w)
{
    int64_t taps = product(w->kernel, w->num), places = product(w->out, w->num);
    if (!is_single_tap(w)) {
        const char **parts =
            lbw_arena_calloc(&tape->model->arena, (size_t)taps + 1, sizeof *parts);
        if (!parts) {
            tape->failed = true;
            return NULL;
        }
        x = padded(tape, x, w);
        for (int64_t t = 0; t < taps; t++)
            parts[t] = seen_by(tape, x, n, c, w, t);
        x = lbw_tape_concat(tape, parts, 2);
    }
    return lbw_tape_reshape(tape, x, (int64_t[]){n, c * taps, places}, 3);
}

/* dy [m, places] times the transpose of x [k, places]. */
static const char *outer(struct lbw_tape *tape, const char *dy, const char *x)
{
    Onnx__NodeProto *node;
    /* The third input may be left out only from opset 11 on. */
    const char *sum = lbw_tape_op(tape, &node, "Gemm",
                                  (const char *[]){dy, x, lbw_tape_scalar(tape, 0), NULL});
    lbw_tape_attr_int(tape, node, "transB", 1);
    return sum;
}

/* The same for one image and one group, tap by tap: [m, c, taps]. */
static const char *tap_by_tap(struct lbw_tape *tape, const char *x, int64_t c, const char *dy,
                              int64_t m, const struct lbw_window *w)
{
    int64_t taps = product(w->kernel, w->num), places = product(w->out, w->num);
    const char **parts = lbw_arena_calloc(&tape->model->arena, (size_t)taps + 1, sizeof *parts);
    if (!parts) {
        tape->failed = true;
        return NULL;
    }
    x = padded(tape, x, w);
    for (int64_t t = 0; t < taps; t++) {
        const char *seen =
            lbw_tape_reshape(tape, seen_by(tape, x, 1, c, w, t), (int64_t[]){c, places}, 2);
        parts[t] = lbw_tape_reshape(tape, outer(tape, dy, seen), (int64_t[]){m, c, 1}, 3);
    }
    return lbw_tape_concat(tape, parts, 2);
}

/*
 * The gradient of a Conv's weight [M, C/groups, kernel…], of dims `to`: Σ over images and
 * places of dy [N, M, out…] times the columns of x [N, C, in…].
 */
static const char *weight_gradient(struct lbw_tape *tape, const char *x, int64_t n, int64_t c,
                                   const char *dy, int64_t m, const struct lbw_window *w,
                                   int64_t groups, const struct lbw_grad_shape *to)
{
    int64_t places = product(w->out, w->num), k = c / groups * product(w->kernel, w->num);
    if (n == 1 && groups == 1) {
        dy = lbw_tape_reshape(tape, dy, (int64_t[]){m, places}, 2);
        bool is_large = k > c && k * places > LARGE_COLUMNS;
        const char *sum = is_large ? tap_by_tap(tape, x, c, dy, m, w)
                                   : outer(tape, dy,
                                           lbw_tape_reshape(tape, columns(tape, x, n, c, w),
                                                            (int64_t[]){k, places}, 2));
        return lbw_tape_reshape(tape, sum, to->dims, to->num_dims);
    }
    const char *sum, *seen = columns(tape, x, n, c, w);
    seen = lbw_tape_reshape(tape, seen, (int64_t[]){n, groups, k, places}, 4);
    if (m == groups) {
        dy = lbw_tape_reshape(tape, dy, (int64_t[]){n, groups, places, 1}, 4);
        sum = lbw_tape_binary(tape, "MatMul", seen, dy);
    } else {
        dy = lbw_tape_reshape(tape, dy, (int64_t[]){n, groups, m / groups, places}, 4);
        sum = lbw_tape_binary(tape, "MatMul", dy,
                              lbw_tape_transpose(tape, seen, (int64_t[]){0, 1, 3, 2}, 4));
    }
    sum = lbw_tape_sum(tape, sum, (int64_t[]){0}, n > 1 ? 1 : 0, true);
    return lbw_tape_reshape(tape, sum, to->dims, to->num_dims);
}

/* Σ over everything but channels. */
static const char *bias_gradient(struct lbw_tape *tape, const char *dy, size_t rank)
{
    int64_t axes[LBW_GRAD_MAX_DIMS] = {0};
    const char *sums = dy ? lbw_strmap_get(&tape->sums, dy) : NULL;
    if (sums)
        return sums;
    for (size_t i = 2; i < rank; i++)
        axes[i - 1] = (int64_t)i;
    return lbw_tape_sum(tape, dy, axes, rank - 1, false);
}

/* A node with the window's attributes, and `ends` as the padding at the end. */
static const char *slide(struct lbw_tape *tape, const char *op_type, const char *x,
                         const char *weight, const struct lbw_window *w, int64_t groups,
                         Onnx__NodeProto **node)
{
    int64_t pads[2 * LBW_GRAD_MAX_SPATIAL];
    for (size_t i = 0; i < w->num; i++) {
        pads[i] = w->begin[i];
        pads[w->num + i] = w->end[i] > 0 ? w->end[i] : 0;
    }
    const char *y = lbw_tape_op(tape, node, op_type, (const char *[]){x, weight, NULL});
    lbw_tape_attr_ints(tape, *node, "kernel_shape", w->kernel, w->num);
    lbw_tape_attr_ints(tape, *node, "strides", w->stride, w->num);
    lbw_tape_attr_ints(tape, *node, "dilations", w->dilation, w->num);
    lbw_tape_attr_ints(tape, *node, "pads", pads, 2 * w->num);
    lbw_tape_attr_int(tape, *node, "group", groups);
    return y;
}

static const char *input_gradient(struct lbw_tape *tape, const char *dy, const char *weight,
                                  const struct lbw_window *w, int64_t groups)
{
    int64_t output_padding[LBW_GRAD_MAX_SPATIAL], perm[LBW_GRAD_MAX_DIMS] = {1, 0};
    Onnx__NodeProto *node;
    if (groups == 1 && is_single_tap(w)) {
        for (size_t i = 2; i < w->num + 2; i++)
            perm[i] = (int64_t)i;
        weight = lbw_tape_transpose(tape, weight, perm, w->num + 2);
        return slide(tape, "Conv", dy, weight, w, 1, &node);
    }
    const char *dx = slide(tape, "ConvTranspose", dy, weight, w, groups, &node);
    for (size_t i = 0; i < w->num; i++)
        output_padding[i] = w->end[i] < 0 ? -w->end[i] : 0;
    lbw_tape_attr_ints(tape, node, "output_padding", output_padding, w->num);
    return dx;
}

static bool is_native_window(const struct lbw_window *w)
{
    bool fits = true;
    for (size_t i = 0; i < 2 && fits; i++)
        fits = w->kernel[i] <= MOST_NATIVE_KERNEL && w->stride[i] <= MOST_NATIVE_STRIDE &&
               w->dilation[i] == 1 && w->begin[i] >= 0 && w->begin[i] < w->kernel[i] &&
               w->end[i] < w->kernel[i];
    return fits;
}

/* A depthwise convolution of one image in float32 that the operator library takes. */
static bool is_native(const struct lbw_tape *tape, const struct lbw_grad_shape *x,
                      const struct lbw_grad_shape *weight, const struct lbw_window *w,
                      int64_t groups)
{
    bool fits = tape->has_native && w->num == 2 &&
                tape->type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT && x->dims[0] == 1 &&
                groups == x->dims[1] && weight->dims[0] == groups;
    return fits && is_native_window(w);
}

/* Channels and filters up to which a convolution's columns cost more than its products. */
#define MOST_DENSE_CHANNELS 16
#define MOST_DENSE_FILTERS  64

/* A convolution of one image and few channels in float32 that the operator library takes. */
static bool is_dense(const struct lbw_tape *tape, const struct lbw_grad_shape *x,
                     const struct lbw_grad_shape *weight, const struct lbw_window *w,
                     int64_t groups)
{
    bool fits = tape->has_native && w->num == 2 &&
                tape->type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT && x->dims[0] == 1 &&
                groups == 1 && !is_single_tap(w) && x->dims[1] <= MOST_DENSE_CHANNELS &&
                weight->dims[0] <= MOST_DENSE_FILTERS;
    return fits && is_native_window(w);
}

static void set_window(struct lbw_tape *tape, Onnx__NodeProto *node, const struct lbw_window *w)
{
    int64_t pads[4] = {w->begin[0], w->begin[1]};
    for (size_t i = 0; i < 2; i++) /* as far as windows reach */
        pads[2 + i] = w->end[i] > 0 ? w->end[i] : 0;
    lbw_tape_attr_ints(tape, node, "kernel_shape", w->kernel, 2);
    lbw_tape_attr_ints(tape, node, "strides", w->stride, 2);
    lbw_tape_attr_ints(tape, node, "pads", pads, 4);
}

static void depthwise(struct lbw_grad_step *step, const struct lbw_window *w)
{
    Onnx__NodeProto *node;
    const char *dw = NULL;
    step->dx[0] = lbw_tape_native(
        step->tape, &node, "Depthwise",
        (const char *[]){step->node->input[0], lbw_step_dy(step), step->node->input[1], NULL},
        &dw);
    if (step->wants[1])
        step->dx[1] = dw;
    set_window(step->tape, node, w);
}

static const char *dense_weight(struct lbw_grad_step *step, const struct lbw_window *w)
{
    Onnx__NodeProto *node;
    const char *dw = lbw_tape_native(
        step->tape, &node, "DenseWeight",
        (const char *[]){step->node->input[0], lbw_step_dy(step), step->node->input[1], NULL},
        NULL);
    set_window(step->tape, node, w);
    return dw;
}

Onnx__NodeProto *lbw_native_conv(struct lbw_tape *tape, Onnx__NodeProto *node,
                                 const struct lbw_grad_shape *x,
                                 const struct lbw_grad_shape *weight,
                                 const struct lbw_grad_shape *y)
{
    int64_t groups = lbw_node_int(node, "group", 1);
    struct lbw_window w;
    if (!lbw_node_is(node, "Conv") || node->n_input < 3 || !x || !weight || !y ||
        x->num_dims != 4 || weight->num_dims != 4 || y->num_dims != 4 ||
        !lbw_window_of(&w, node, x, y, weight->dims + 2))
        return node;
    bool dense = is_dense(tape, x, weight, &w, groups);
    if (!dense && !is_native(tape, x, weight, &w, groups))
        return node;
    Onnx__NodeProto *made = lbw_build_node(
        tape->model, LBW_GRAD_DOMAIN, dense ? "DenseConv" : "DepthwiseConv", node->output[0],
        (const char *[]){node->input[0], node->input[1], node->input[2], NULL},
        (const char *[]){node->output[0], NULL});
    tape->failed |= !made;
    if (made)
        set_window(tape, made, &w);
    return made;
}

const char *lbw_rule_conv(struct lbw_grad_step *step)
{
    const struct lbw_grad_shape *x = step->in[0], *weight = step->in[1], *y = step->out[0];
    int64_t groups = lbw_node_int(step->node, "group", 1);
    struct lbw_window w;
    if (weight->num_dims != x->num_dims ||
        !lbw_window_of(&w, step->node, x, y, weight->dims + 2) || groups < 1 ||
        weight->dims[1] * groups != x->dims[1] || weight->dims[0] % groups)
        return "its attributes do not fit";
    bool native = step->wants[0] && is_native(step->tape, x, weight, &w, groups);
    if (native)
        depthwise(step, &w);
    if (step->wants[0] && !native)
        step->dx[0] =
            input_gradient(step->tape, lbw_step_dy(step), step->node->input[1], &w, groups);
    bool dense = is_dense(step->tape, x, weight, &w, groups);
    if (step->wants[1] && !native && dense)
        step->dx[1] = dense_weight(step, &w);
    if (step->wants[1] && !native && !dense)
        step->dx[1] = weight_gradient(step->tape, step->node->input[0], x->dims[0], x->dims[1],
                                      lbw_step_dy(step), y->dims[1], &w, groups, weight);
    if (step->num_inputs > 2 && step->wants[2])
        step->dx[2] = bias_gradient(step->tape, lbw_step_dy(step), y->num_dims);
    return NULL;
}

/* The transpose of a Conv: its weight maps the channels of y to those of x. */
const char *lbw_rule_conv_transpose(struct lbw_grad_step *step)
{
    const struct lbw_grad_shape *x = step->in[0], *weight = step->in[1], *y = step->out[0];
    int64_t groups = lbw_node_int(step->node, "group", 1);
    const Onnx__AttributeProto *automatic = lbw_node_attribute(step->node, "auto_pad");
    struct lbw_window w;
    Onnx__NodeProto *node;
    if (lbw_node_attribute(step->node, "output_shape") ||
        (automatic && automatic->s.len != strlen("NOTSET")))
        return "its padding is automatic";
    if (weight->num_dims != x->num_dims ||
        !lbw_window_of(&w, step->node, y, x, weight->dims + 2) || groups < 1 ||
        weight->dims[1] * groups != y->dims[1] || weight->dims[0] % groups)
        return "its attributes do not fit";
    if (step->wants[0])
        step->dx[0] = slide(step->tape, "Conv", lbw_step_dy(step), step->node->input[1], &w,
                            groups, &node);
    if (step->wants[1])
        step->dx[1] = weight_gradient(step->tape, lbw_step_dy(step), y->dims[0], y->dims[1],
                                      step->node->input[0], x->dims[1], &w, groups, weight);
    if (step->num_inputs > 2 && step->wants[2])
        step->dx[2] = bias_gradient(step->tape, lbw_step_dy(step), y->num_dims);
    return NULL;
}

/* alpha · op(a) · op(b) */
static const char *gemm(struct lbw_tape *tape, const char *a, const char *b, bool trans_a,
                        bool trans_b, float alpha)
{
    Onnx__NodeProto *node;
    const char *y = lbw_tape_op(tape, &node, "Gemm",
                                (const char *[]){a, b, lbw_tape_scalar(tape, 0), NULL});
    lbw_tape_attr_int(tape, node, "transA", trans_a);
    lbw_tape_attr_int(tape, node, "transB", trans_b);
    lbw_tape_attr_float(tape, node, "alpha", alpha);
    return y;
}

const char *lbw_rule_gemm(struct lbw_grad_step *step)
{
    bool trans_a = lbw_node_int(step->node, "transA", 0);
    bool trans_b = lbw_node_int(step->node, "transB", 0);
    float alpha = lbw_node_float(step->node, "alpha", 1);
    float beta = lbw_node_float(step->node, "beta", 1);
    const char *a = step->node->input[0], *b = step->node->input[1], *dy = lbw_step_dy(step);
    struct lbw_tape *tape = step->tape;
    if (step->wants[0])
        step->dx[0] = trans_a ? gemm(tape, b, dy, trans_b, true, alpha)
                              : gemm(tape, dy, b, false, !trans_b, alpha);
    if (step->wants[1])
        step->dx[1] = trans_b ? gemm(tape, dy, a, true, trans_a, alpha)
                              : gemm(tape, a, dy, !trans_a, false, alpha);
    if (step->num_inputs > 2 && step->wants[2]) {
        dy = beta == 1 ? dy : lbw_tape_binary(tape, "Mul", dy, lbw_tape_scalar(tape, beta));
        step->dx[2] = lbw_tape_unbroadcast(tape, dy, step->out[0], step->in[2]);
    }
    return NULL;
}

/* The last two axes swapped. */
static const char *turned(struct lbw_tape *tape, const char *x, size_t rank)
{
    int64_t perm[LBW_GRAD_MAX_DIMS];
    for (size_t i = 0; i < rank; i++)
        perm[i] = (int64_t)(i + 2 == rank ? i + 1 : i + 1 == rank ? i - 1 : i);
    return lbw_tape_transpose(tape, x, perm, rank);
}

const char *lbw_rule_matmul(struct lbw_grad_step *step)
{
    const struct lbw_grad_shape *a = step->in[0], *b = step->in[1], *y = step->out[0];
    struct lbw_tape *tape = step->tape;
    struct lbw_grad_shape whole = *y;
    if (a->num_dims < 2 || b->num_dims < 2)
        return "an operand is a vector";
    if (step->wants[0]) {
        whole.dims[y->num_dims - 1] = a->dims[a->num_dims - 1];
        const char *dx = lbw_tape_binary(tape, "MatMul", lbw_step_dy(step),
                                         turned(tape, step->node->input[1], b->num_dims));
        step->dx[0] = lbw_tape_unbroadcast(tape, dx, &whole, a);
    }
    whole = *y;
    if (step->wants[1]) {
        whole.dims[y->num_dims - 2] = b->dims[b->num_dims - 2];
        const char *dx = lbw_tape_binary(
            tape, "MatMul", turned(tape, step->node->input[0], a->num_dims), lbw_step_dy(step));
        step->dx[1] = lbw_tape_unbroadcast(tape, dx, &whole, b);
    }
    return NULL;
}
