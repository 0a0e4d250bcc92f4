/* SPDX-License-Identifier: MIT */
/* Gradients of elementwise operators and of normalisations. */
#include <string.h>

#include "grad/rule.h"

/* dx of input i, from a gradient in the output's shape. */
static void give(struct lbw_grad_step *step, size_t i, const char *gradient)
{
    step->dx[i] = lbw_tape_unbroadcast(step->tape, gradient, step->out[0], step->in[i]);
}

static const char *input(const struct lbw_grad_step *step, size_t i)
{
    return step->node->input[i];
}

static const char *output(const struct lbw_grad_step *step)
{
    return step->node->output[0];
}

static const char *mul(const struct lbw_grad_step *step, const char *a, const char *b)
{
    return lbw_tape_binary(step->tape, "Mul", a, b);
}

/* dx = dy · slope. */
static const char *scale(struct lbw_grad_step *step, const char *slope)
{
    step->dx[0] = mul(step, lbw_step_dy(step), slope);
    return NULL;
}

const char *lbw_rule_identity(struct lbw_grad_step *step)
{
    if (step->num_outputs > 1 && step->dy[1])
        return "its mask is used";
    step->dx[0] = lbw_step_dy(step);
    return NULL;
}

/* Between float types of one graph, the only cast is the identity. */
const char *lbw_rule_cast(struct lbw_grad_step *step)
{
    step->dx[0] = lbw_step_dy(step);
    return NULL;
}

const char *lbw_rule_sum(struct lbw_grad_step *step)
{
    for (size_t i = 0; i < step->num_inputs; i++)
        if (step->wants[i])
            give(step, i, lbw_step_dy(step));
    return NULL;
}

const char *lbw_rule_add(struct lbw_grad_step *step)
{
    return lbw_rule_sum(step);
}

const char *lbw_rule_sub(struct lbw_grad_step *step)
{
    if (step->wants[0])
        give(step, 0, lbw_step_dy(step));
    if (step->wants[1])
        give(step, 1, lbw_tape_unary(step->tape, "Neg", lbw_step_dy(step)));
    return NULL;
}

static bool has_native(const struct lbw_grad_step *step)
{
    return step->tape->has_native && step->tape->type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
}

/* Which input is the x of x·sigmoid(x); 2 if the node is another product. */
static size_t find_silu(const struct lbw_grad_step *step)
{
    for (size_t i = 0; i < 2; i++) {
        struct lbw_value *gate = lbw_index_find(step->index->scopes, input(step, 1 - i));
        if (gate && gate->producer && lbw_node_is(gate->producer, "Sigmoid") &&
            strcmp(gate->producer->input[0], input(step, i)) == 0)
            return i;
    }
    return 2;
}

/* Operators of LBW_GRAD_DOMAIN add up channels where there is one image. */
static void note_sums(struct lbw_grad_step *step, const char *dx, const char *sums)
{
    const struct lbw_grad_shape *shape = step->out[0];
    if (shape->num_dims > 1 && shape->dims[0] == 1)
        lbw_tape_note_sums(step->tape, dx, sums);
}

/*
 * The gradient of y = x·s with s = sigmoid(x) as a whole: slope s·(1 - y) + y, half as many
 * products as by the rules of Mul and Sigmoid. s gets none from here; its other readers
 * contribute theirs.
 */
static void silu(struct lbw_grad_step *step, size_t x)
{
    const char *y = output(step);
    if (has_native(step)) {
        const char *sums;
        step->dx[x] = lbw_tape_native(
            step->tape, NULL, "Silu",
            (const char *[]){lbw_step_dy(step), input(step, x), y, NULL}, &sums);
        note_sums(step, step->dx[x], sums);
        return;
    }
    const char *rest = mul(step, input(step, 1 - x), lbw_tape_complement(step->tape, y));
    const char *slope = lbw_tape_binary(step->tape, "Add", rest, y);
    step->dx[x] = mul(step, lbw_step_dy(step), slope);
}

const char *lbw_rule_mul(struct lbw_grad_step *step)
{
    size_t x = find_silu(step);
    if (x < 2 && step->wants[x]) {
        silu(step, x);
        return NULL;
    }
    for (size_t i = 0; i < 2; i++)
        if (step->wants[i])
            give(step, i, mul(step, lbw_step_dy(step), input(step, 1 - i)));
    return NULL;
}

const char *lbw_rule_div(struct lbw_grad_step *step)
{
    const char *quotient =
        lbw_tape_binary(step->tape, "Div", lbw_step_dy(step), input(step, 1));
    if (step->wants[0])
        give(step, 0, quotient);
    if (step->wants[1])
        give(step, 1, lbw_tape_unary(step->tape, "Neg", mul(step, quotient, output(step))));
    return NULL;
}

const char *lbw_rule_neg(struct lbw_grad_step *step)
{
    step->dx[0] = lbw_tape_unary(step->tape, "Neg", lbw_step_dy(step));
    return NULL;
}

const char *lbw_rule_sqrt(struct lbw_grad_step *step)
{
    const char *half = mul(step, lbw_step_dy(step), lbw_tape_scalar(step->tape, 0.5));
    step->dx[0] = lbw_tape_binary(step->tape, "Div", half, output(step));
    return NULL;
}

const char *lbw_rule_log(struct lbw_grad_step *step)
{
    step->dx[0] = lbw_tape_binary(step->tape, "Div", lbw_step_dy(step), input(step, 0));
    return NULL;
}

const char *lbw_rule_abs(struct lbw_grad_step *step)
{
    const char *zero = lbw_tape_scalar(step->tape, 0);
    const char *above = lbw_tape_greater(step->tape, input(step, 0), zero);
    const char *below = lbw_tape_greater(step->tape, zero, input(step, 0));
    return scale(step, lbw_tape_binary(step->tape, "Sub", above, below));
}

/* dx in one pass, where y is above 0 exactly where x is. */
static const char *leaky(struct lbw_grad_step *step, double alpha)
{
    Onnx__NodeProto *node;
    const char *sums;
    step->dx[0] =
        lbw_tape_native(step->tape, &node, "LeakyRelu",
                        (const char *[]){lbw_step_dy(step), output(step), NULL}, &sums);
    note_sums(step, step->dx[0], sums);
    lbw_tape_attr_float(step->tape, node, "alpha", (float)alpha);
    return NULL;
}

const char *lbw_rule_relu(struct lbw_grad_step *step)
{
    if (has_native(step))
        return leaky(step, 0);
    return scale(step,
                 lbw_tape_greater(step->tape, output(step), lbw_tape_scalar(step->tape, 0)));
}

const char *lbw_rule_leaky_relu(struct lbw_grad_step *step)
{
    double alpha = lbw_node_float(step->node, "alpha", 0.01f);
    if (has_native(step) && alpha >= 0)
        return leaky(step, alpha);
    const char *above =
        lbw_tape_greater(step->tape, input(step, 0), lbw_tape_scalar(step->tape, 0));
    if (alpha >= 0 && alpha < 1 && step->tape->opset >= 8) /* Max broadcasts since then */
        return scale(step, lbw_tape_binary(step->tape, "Max", above,
                                           lbw_tape_scalar(step->tape, alpha)));
    const char *rise = mul(step, above, lbw_tape_scalar(step->tape, 1 - alpha));
    return scale(step,
                 lbw_tape_binary(step->tape, "Add", rise, lbw_tape_scalar(step->tape, alpha)));
}

const char *lbw_rule_prelu(struct lbw_grad_step *step)
{
    struct lbw_tape *tape = step->tape;
    const char *below = lbw_tape_greater(tape, lbw_tape_scalar(tape, 0), input(step, 0));
    const char *dy_below = mul(step, lbw_step_dy(step), below);
    if (step->wants[0]) {
        const char *above = lbw_tape_binary(tape, "Sub", lbw_step_dy(step), dy_below);
        step->dx[0] = lbw_tape_binary(tape, "Add", above, mul(step, dy_below, input(step, 1)));
    }
    if (step->wants[1])
        give(step, 1, mul(step, dy_below, input(step, 0)));
    return NULL;
}

/* Values that did not change are within the bounds, wherever these are stored. */
const char *lbw_rule_clip(struct lbw_grad_step *step)
{
    struct lbw_tape *tape = step->tape;
    if ((step->num_inputs > 1 && step->wants[1]) || (step->num_inputs > 2 && step->wants[2]))
        return "its bounds are learned";
    const char *low = lbw_tape_not_less(tape, input(step, 0), output(step));
    const char *high = lbw_tape_not_less(tape, output(step), input(step, 0));
    return scale(step, mul(step, low, high));
}

/* y·(1 - y) */
static const char *logistic_slope(struct lbw_grad_step *step, const char *y)
{
    return mul(step, y, lbw_tape_complement(step->tape, y));
}

const char *lbw_rule_sigmoid(struct lbw_grad_step *step)
{
    return scale(step, logistic_slope(step, output(step)));
}

/* 1 where 0 < y < 1 */
static const char *between(struct lbw_grad_step *step, const char *y)
{
    return lbw_tape_greater(step->tape, logistic_slope(step, y),
                            lbw_tape_scalar(step->tape, 0));
}

const char *lbw_rule_hard_sigmoid(struct lbw_grad_step *step)
{
    double alpha = lbw_node_float(step->node, "alpha", 0.2f);
    return scale(step,
                 mul(step, between(step, output(step)), lbw_tape_scalar(step->tape, alpha)));
}

/* x·h(x), h the hard sigmoid with slope 1/6: slope h + x·h'. */
const char *lbw_rule_hard_swish(struct lbw_grad_step *step)
{
    struct lbw_tape *tape = step->tape;
    Onnx__NodeProto *node;
    const char *h =
        lbw_tape_op(tape, &node, "HardSigmoid", (const char *[]){input(step, 0), NULL});
    lbw_tape_attr_float(tape, node, "alpha", 1.0f / 6);
    lbw_tape_attr_float(tape, node, "beta", 0.5f);
    const char *slope = mul(step, between(step, h), lbw_tape_scalar(tape, 1.0 / 6));
    return scale(step, lbw_tape_binary(tape, "Add", h, mul(step, slope, input(step, 0))));
}

const char *lbw_rule_tanh(struct lbw_grad_step *step)
{
    return scale(step, lbw_tape_complement(step->tape, mul(step, output(step), output(step))));
}

const char *lbw_rule_exp(struct lbw_grad_step *step)
{
    return scale(step, output(step));
}

const char *lbw_rule_softplus(struct lbw_grad_step *step)
{
    return scale(step, lbw_tape_unary(step->tape, "Sigmoid", input(step, 0)));
}

/* A vector over channels, made to broadcast over the output. */
static const char *over_channels(struct lbw_grad_step *step, const char *x)
{
    int64_t dims[LBW_GRAD_MAX_DIMS];
    for (size_t i = 0; i < step->out[0]->num_dims; i++)
        dims[i] = i == 1 ? step->out[0]->dims[1] : 1;
    return lbw_tape_reshape(step->tape, x, dims, step->out[0]->num_dims);
}

/* Σ over everything but the channels. */
static const char *per_channel(struct lbw_grad_step *step, const char *x)
{
    int64_t axes[LBW_GRAD_MAX_DIMS];
    size_t num = 0;
    for (size_t i = 0; i < step->out[0]->num_dims; i++)
        if (i != 1)
            axes[num++] = (int64_t)i;
    return lbw_tape_sum(step->tape, x, axes, num, false);
}

const char *lbw_rule_batch_norm(struct lbw_grad_step *step)
{
    struct lbw_tape *tape = step->tape;
    double epsilon = lbw_node_float(step->node, "epsilon", 1e-5f);
    if (lbw_node_int(step->node, "training_mode", 0) || step->num_outputs > 1 ||
        lbw_node_int(step->node, "spatial", 1) != 1)
        return "not in inference form";
    if (step->wants[3] || step->wants[4])
        return "its statistics are learned";
    if (step->out[0]->num_dims < 2)
        return "without a channel axis";
    const char *spread = lbw_tape_unary(
        tape, "Sqrt",
        lbw_tape_binary(tape, "Add", input(step, 4), lbw_tape_scalar(tape, epsilon)));
    if (step->wants[0]) {
        const char *gain = lbw_tape_binary(tape, "Div", input(step, 1), spread);
        step->dx[0] = mul(step, lbw_step_dy(step), over_channels(step, gain));
    }
    if (step->wants[1]) {
        const char *centred =
            lbw_tape_binary(tape, "Sub", input(step, 0), over_channels(step, input(step, 3)));
        const char *sum = per_channel(step, mul(step, lbw_step_dy(step), centred));
        step->dx[1] = lbw_tape_binary(tape, "Div", sum, spread);
    }
    if (step->wants[2])
        step->dx[2] = per_channel(step, lbw_step_dy(step));
    return NULL;
}

/* dx = y·(dy - Σ dy·y); below opset 13 over all axes from `axis` on together. */
const char *lbw_rule_softmax(struct lbw_grad_step *step)
{
    struct lbw_tape *tape = step->tape;
    bool is_single = tape->opset >= 13;
    int64_t rank = (int64_t)step->out[0]->num_dims, axes[LBW_GRAD_MAX_DIMS];
    int64_t axis = lbw_node_int(step->node, "axis", is_single ? -1 : 1);
    size_t num = 0;
    axis += axis < 0 ? rank : 0;
    for (int64_t i = axis; i < (is_single ? axis + 1 : rank); i++)
        axes[num++] = i;
    const char *sum =
        lbw_tape_sum(tape, mul(step, lbw_step_dy(step), output(step)), axes, num, true);
    const char *rest = lbw_tape_binary(tape, "Sub", lbw_step_dy(step), sum);
    step->dx[0] = mul(step, rest, output(step));
    return NULL;
}
