/* SPDX-License-Identifier: MIT */
/* Fits the ranges of activations to the values of the model as converted so far. */
#include <math.h>
#include <stdlib.h>

#include "pass/edge.h"

#define PER_SAMPLE ((size_t)8192) /* values that each sample adds */

/*
 * What one rounding may cost, where all weights on grid 4x2 cost 1. docs/activations.md says
 * what it was tried on.
 */
#define MOST_COST 0.1

/* Tensors of more values may cost more, in proportion: layers on float take the longer. */
#define MANY_VALUES ((double)(1 << 19))

/* Where the cost is not known: of the signal, on average over channels. */
#define MOST_NOISE 0.05

/* Of the average weight, that each value's error has at least. */
#define LEAST_WEIGHT 0.1

/* A share of one tensor's values, and its extremes over all of them. */
struct sampler {
    float *values;
    uint32_t *channels; /* where each stands along axis 1 */
    size_t num, capacity;
    size_t size; /* values of the largest sample */
    float low, high;
    uint32_t low_channel, high_channel;
    bool is_finite;
};

static void add_value(struct sampler *s, float value, size_t channel)
{
    s->channels[s->num] = (uint32_t)channel;
    s->values[s->num++] = value;
}

static enum lbw_status take(void *user, const struct lbw_activation *a, struct lbw_error *err)
{
    struct sampler *s = user;
    size_t count = 1;
    (void)err;
    for (size_t i = 0; i < a->num_dims; i++)
        count *= (size_t)a->dims[i];
    size_t plane = 1, num_channels = a->num_dims > 1 ? (size_t)a->dims[1] : 1;
    for (size_t i = 2; i < a->num_dims; i++)
        plane *= (size_t)a->dims[i];
    s->size = count > s->size ? count : s->size;
    for (size_t i = 0; i < count; i++) {
        if (a->converted[i] < s->low) {
            s->low = a->converted[i];
            s->low_channel = (uint32_t)(i / plane % num_channels);
        }
        if (a->converted[i] > s->high) {
            s->high = a->converted[i];
            s->high_channel = (uint32_t)(i / plane % num_channels);
        }
    }
    /* odd, so that it meets every column and channel in turn */
    size_t stride = count / PER_SAMPLE | 1;
    for (size_t i = 0; i < count && s->num < s->capacity - 2; i += stride) {
        s->is_finite = s->is_finite && isfinite(a->converted[i]);
        add_value(s, a->converted[i], i / plane % num_channels);
    }
    return LBW_OK;
}

static void keep_float(struct lbw_edge *edge, const char *reason)
{
    edge->item.type = LBW_ACTIVATIONS_FLOAT;
    edge->item.reason = reason;
}

/* What the rounding changes in one channel, and what is there: sums of squares. */
struct channel {
    double error, sum, square, count;
};

/* By channel of axis 1; NULL when memory is out. */
static struct channel *measure(size_t *num, const struct lbw_edge *edge,
                               const struct sampler *s)
{
    *num = 0;
    for (size_t i = 0; i < s->num; i++)
        *num = s->channels[i] >= *num ? s->channels[i] + 1 : *num;
    struct channel *channels = calloc(*num + 1, sizeof *channels);
    for (size_t i = 0; channels && i < s->num; i++) {
        struct channel *c = &channels[s->channels[i]];
        double rounded =
            lbw_range_curve(edge->curve, (double)lbw_range_round(&edge->range, s->values[i]));
        double value = lbw_range_curve(edge->curve, (double)s->values[i]);
        c->error += (rounded - value) * (rounded - value);
        c->sum += value;
        c->square += value * value;
        c->count++;
    }
    return channels;
}

/*
 * What the rounding adds at the outputs: per channel the mean square of what it changes, times
 * what noise costs there. < 0 where that is not known.
 */
static double cost_of(const struct lbw_edge *edge, const struct channel *channels, size_t num)
{
    double cost = 0;
    for (size_t c = 0; c < num && c < edge->num_slopes; c++)
        cost +=
            channels[c].count > 0 ? edge->slopes[c] * channels[c].error / channels[c].count : 0;
    return edge->num_slopes && isfinite(cost) ? cost : -1;
}

/* Error over signal of a channel, at most 1, on average over all that have a signal. */
static double noise_of(const struct channel *channels, size_t num)
{
    double sum = 0, count = 0;
    for (size_t c = 0; c < num; c++) {
        double energy =
            channels[c].square - channels[c].sum * channels[c].sum / fmax(channels[c].count, 1);
        if (energy > 1e-12 * channels[c].square) {
            sum += fmin(channels[c].error / energy, 1);
            count++;
        }
    }
    return count > 0 ? sum / count : 0;
}

/* Whether 8 bits are too few for this edge: by what they cost, or what they drown. */
static enum lbw_status judge(struct lbw_edge *edge, const struct sampler *s,
                             struct lbw_error *err)
{
    size_t num;
    struct channel *channels = measure(&num, edge, s);
    if (!channels)
        return lbw_fail_memory(err);
    edge->item.cost = cost_of(edge, channels, num);
    edge->item.noise = noise_of(channels, num);
    free(channels);
    if (edge->is_wished)
        return LBW_OK;
    if (edge->item.cost > MOST_COST * fmax(1, (double)s->size / MANY_VALUES))
        keep_float(edge, "8 bits cost too much at the outputs");
    else if (edge->item.cost < 0 && edge->item.noise > MOST_NOISE)
        keep_float(edge, "8 bits drown its quiet channels");
    return LBW_OK;
}

/*
 * What counts of each value's error: what it costs at the outputs, by channel, and a tenth of
 * what it costs on average, since few samples say so. NULL where that is not known.
 */
static float *weights_of(const struct lbw_edge *edge, const struct sampler *s)
{
    double mean = 0;
    for (size_t c = 0; c < edge->num_slopes; c++)
        mean += edge->slopes[c] / (double)edge->num_slopes;
    float *weights = mean > 0 && isfinite(mean) ? malloc((s->num + 1) * sizeof *weights) : NULL;
    for (size_t i = 0; weights && i < s->num; i++) {
        bool is_known = s->channels[i] < edge->num_slopes;
        double slope = is_known ? edge->slopes[s->channels[i]] : mean;
        weights[i] = (float)(slope / mean + LEAST_WEIGHT);
    }
    return weights;
}

static enum lbw_status fit_range(struct lbw_edge *edge, const struct sampler *s,
                                 enum lbw_range_kind kind, struct lbw_error *err)
{
    float *weights = weights_of(edge, s);
    enum lbw_status status =
        lbw_range_fit(&edge->range, kind, edge->curve, s->values, weights, s->num, err);
    free(weights);
    return status;
}

static enum lbw_status fit_values(struct lbw_edge *edge, struct sampler *s,
                                  enum lbw_range_kind kind, struct lbw_error *err)
{
    if (!s->is_finite || !isfinite(s->low) || !isfinite(s->high)) {
        keep_float(edge, "holds NaN or infinity");
        return LBW_OK;
    }
    double error, energy;
    const struct sampler sampled = *s;
    add_value(s, s->low, s->low_channel); /* those that no sampling may miss */
    add_value(s, s->high, s->high_channel);
    if (edge->item.low < edge->item.high)
        edge->range = lbw_range_between(kind, edge->item.low, edge->item.high);
    else
        LBW_TRY(fit_range(edge, s, kind, err));
    lbw_range_error(&error, &energy, &edge->range, edge->curve, s->values, s->num);
    edge->item.snr = lbw_snr(energy, error);
    return judge(edge, &sampled, err);
}

/* Fits to the tensor as the model converted so far computes it. */
static enum lbw_status fit_shown(struct lbw_edge *edge, struct lbw_activations *activations,
                                 enum lbw_range_kind kind, struct lbw_error *err)
{
    struct sampler s = {.capacity = activations->num_samples * (2 * PER_SAMPLE) + 2,
                        .is_finite = true};
    s.values = malloc(s.capacity * sizeof *s.values);
    s.channels = malloc(s.capacity * sizeof *s.channels);
    enum lbw_status status;
    LBW_OR_OUT(s.values && s.channels ? LBW_OK : lbw_fail_memory(err));
    LBW_OR_OUT(activations->settle(activations, edge->position, err));
    LBW_OR_OUT(activations->show(activations, edge->item.tensor, take, &s, err));
    LBW_OR_OUT(fit_values(edge, &s, kind, err));
out:
    free(s.values);
    free(s.channels);
    if (status != LBW_ERR_UNSUPPORTED)
        return status;
    keep_float(edge, "the runtime cannot show it");
    return LBW_OK;
}

static enum lbw_status fit(struct lbw_edge *edge, struct lbw_activations *activations,
                           enum lbw_range_kind kind, struct lbw_error *err)
{
    bool is_handed = edge->rule == LBW_EDGE_HANDED && edge->source &&
                     edge->source->item.type == LBW_ACTIVATIONS_INT8;
    if (edge->item.type == LBW_ACTIVATIONS_FLOAT)
        return LBW_OK;
    if (is_handed)
        edge->range = edge->source->range;
    else if (edge->rule == LBW_EDGE_UNIT && edge->item.low >= edge->item.high)
        edge->range = kind == LBW_RANGE_UNSIGNED ? (struct lbw_range){0x1p-8F, 0, 0, 255}
                                                 : (struct lbw_range){0x1p-7F, 0, -128, 127};
    else
        LBW_TRY(fit_shown(edge, activations, kind, err));
    if (edge->item.type == LBW_ACTIVATIONS_FLOAT)
        return LBW_OK;
    lbw_range_limits(&edge->item.low, &edge->item.high, &edge->range);
    return activations->round(activations, edge->item.tensor, &edge->range, err);
}

enum lbw_status lbw_edges_fit(const struct lbw_plan *plan, struct lbw_activations *activations,
                              enum lbw_range_kind kind, size_t position, struct lbw_error *err)
{
    for (size_t i = 0; i < plan->num_edges; i++) {
        struct lbw_edge *edge = &plan->edges[i];
        if (edge->is_fitted || edge->position > position)
            continue;
        edge->is_fitted = true;
        LBW_TRY(lbw_within(err, fit(edge, activations, kind, err), "activation '%s'",
                           edge->item.tensor));
    }
    return LBW_OK;
}
