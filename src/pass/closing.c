/* SPDX-License-Identifier: MIT */
/* Matches the moments of a last layer's outputs to those of the float model. */
#include "pass/closing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "num/project.h"
#include "pass/bias.h"

/* A larger gain is not due to shrinkage: such a channel is broken and stays as it is. */
#define MOST_GAIN 1.5

/* With this much evidence, a channel's own shift counts as much as that of all channels. */
#define ENOUGH_EVIDENCE 10

/* Nodes that pass values unchanged on their way to a Sigmoid. */
static const char *const layout_ops[] = {"Reshape", "Transpose", "Concat",    "Identity",
                                         "Flatten", "Squeeze",   "Unsqueeze", "Slice",
                                         "Split",   "Dropout"};

#define MOST_HOPS 12

static bool is_layout(const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < sizeof layout_ops / sizeof *layout_ops; i++)
        if (lbw_node_is(node, layout_ops[i]))
            return true;
    return false;
}

/* The kind of a layer's outputs by their readers, directly or after changes of layout. */
enum kind {
    KIND_OTHER,   /* boxes and the like */
    KIND_CLASSES, /* of a Softmax */
    KIND_SCORES,  /* of a Sigmoid */
};

/* Whether a product reads the value: a Softmax over bins whose mean is computed. */
static bool is_averaged(const struct lbw_value *value, int hops)
{
    for (const struct lbw_use *use = value ? value->uses : NULL; use && hops; use = use->next) {
        if (lbw_node_is(use->node, "Conv") || lbw_node_is(use->node, "MatMul"))
            return true;
        for (size_t i = 0; is_layout(use->node) && i < use->node->n_output; i++)
            if (is_averaged(lbw_index_find(use->scope, use->node->output[i]), hops - 1))
                return true;
    }
    return false;
}

static enum kind kind_of(const struct lbw_value *value, int hops)
{
    enum kind found = KIND_OTHER;
    for (const struct lbw_use *use = value ? value->uses : NULL; use && hops; use = use->next) {
        const Onnx__NodeProto *node = use->node;
        if (lbw_node_is(node, "Sigmoid") || lbw_node_is(node, "HardSigmoid"))
            return KIND_SCORES;
        for (size_t i = 0; i < node->n_output; i++) {
            const struct lbw_value *output = lbw_index_find(use->scope, node->output[i]);
            enum kind kind = KIND_OTHER;
            if (is_layout(node))
                kind = kind_of(output, hops - 1);
            else if (lbw_node_is(node, "Softmax") && !is_averaged(output, hops))
                kind = KIND_CLASSES;
            found = kind > found ? kind : found;
        }
    }
    return found;
}

/* Weighted sums over one channel, of the float model and of the converted one. */
struct channel {
    double weight, sum[2], square[2];
};

struct closing {
    struct channel *channels;
    size_t num;
    enum kind kind;
};

static double sigmoid(float logit)
{
    return 1 / (1 + exp(-(double)logit));
}

static enum lbw_status add_sample(void *user, const struct lbw_activation *values,
                                  struct lbw_error *err)
{
    struct closing *closing = user;
    size_t places = 1;
    if (values->num_dims < 2 || (size_t)values->dims[1] != closing->num)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "its output has other channels");
    for (size_t i = 2; i < values->num_dims; i++)
        places *= (size_t)values->dims[i];
    size_t rows = (size_t)values->dims[0] * closing->num;
    for (size_t row = 0; row < rows; row++) {
        struct channel *channel = &closing->channels[row % closing->num];
        const float *y = values->reference + row * places,
                    *z = values->converted + row * places;
        for (size_t i = 0; i < places; i++) {
            double m = closing->kind == KIND_SCORES ? (sigmoid(y[i]) + sigmoid(z[i])) / 2 : 1;
            channel->weight += m;
            channel->sum[0] += m * (double)y[i];
            channel->sum[1] += m * (double)z[i];
            channel->square[0] += m * (double)y[i] * (double)y[i];
            channel->square[1] += m * (double)z[i] * (double)z[i];
        }
    }
    return LBW_OK;
}

/* The factor by which amplitudes about the channels' means fall short. */
static double find_gain(const struct closing *closing)
{
    double energy[2] = {0};
    for (size_t c = 0; c < closing->num; c++) {
        const struct channel *channel = &closing->channels[c];
        for (size_t side = 0; side < 2 && channel->weight > 0; side++)
            energy[side] += channel->square[side] -
                            channel->sum[side] * channel->sum[side] / channel->weight;
    }
    double gain = sqrt(energy[0] / energy[1]);
    return gain <= MOST_GAIN && gain >= 1 / MOST_GAIN ? gain : 1;
}

/* The shift of each channel after the gain: its own as far as it has evidence. */
static void find_shifts(double *shifts, const struct closing *closing, double gain)
{
    double weight = 0, shared = 0;
    for (size_t c = 0; c < closing->num; c++) {
        const struct channel *channel = &closing->channels[c];
        weight += channel->weight;
        shared += channel->sum[0] - gain * channel->sum[1];
    }
    shared = weight > 0 ? shared / weight : 0;
    for (size_t c = 0; c < closing->num; c++) {
        const struct channel *channel = &closing->channels[c];
        shifts[c] = (channel->sum[0] - gain * channel->sum[1] + ENOUGH_EVIDENCE * shared) /
                    (channel->weight + ENOUGH_EVIDENCE);
    }
}

static void apply(struct lbw_codes *codes, const struct lbw_weight *weight,
                  const struct closing *closing, double *shifts)
{
    double gain = weight->item.scale == LBW_SCALE_REAL ? find_gain(closing) : 1;
    for (size_t s = 0; s < codes->num_steps; s++)
        codes->steps[s] = lbw_round_step((float)(gain * (double)codes->steps[s]));
    find_shifts(shifts, closing, gain);
    for (size_t c = 0; c < closing->num; c++) {
        float bias = (float)(gain * (double)codes->biases[0][c] + shifts[c]);
        if (isfinite(bias))
            codes->biases[0][c] = bias;
    }
}

enum lbw_status lbw_close_weight(struct lbw_codes *codes, struct lbw_calibrator *calibrator,
                                 const struct lbw_weight *weight, struct lbw_error *err)
{
    const struct lbw_consumer *consumer = &weight->consumers[0];
    if (weight->num_consumers != 1 || codes->num_biases != 1 || !codes->biases[0])
        return LBW_OK;
    struct closing closing = {.num = weight->layout.groups * weight->layout.rows};
    const struct lbw_value *value = lbw_index_find(consumer->scope, consumer->node->output[0]);
    closing.kind = kind_of(value, MOST_HOPS);
    if (closing.kind == KIND_OTHER)
        return LBW_OK;
    closing.channels = calloc(closing.num, sizeof *closing.channels);
    double *shifts = calloc(closing.num, sizeof *shifts);
    enum lbw_status status =
        closing.channels && shifts
            ? calibrator->activations->show(calibrator->activations, consumer->node->output[0],
                                            add_sample, &closing, err)
            : lbw_fail_memory(err);
    if (status == LBW_OK)
        apply(codes, weight, &closing, shifts);
    free(closing.channels);
    free(shifts);
    if (status == LBW_ERR_UNSUPPORTED)
        return LBW_OK;
    return status == LBW_OK ? lbw_weight_show(calibrator, weight, codes, err) : status;
}
