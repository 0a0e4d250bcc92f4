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

/* A share of these two from which a scale per channel is tried where it costs no time. */
#define WORTH_CHANNELS 0.01

/* Of the average weight, that each value's error has at least. */
#define LEAST_WEIGHT 0.1

/* A share of one tensor's values, and the extremes of each channel (axis 1) over all of them.
 */
struct sampler {
    float *values;
    uint32_t *channels; /* where each stands along axis 1 */
    size_t num, capacity;
    size_t size; /* values of the largest sample */
    float *lows, *highs;
    size_t num_channels;
    bool is_finite;
};

static void add_value(struct sampler *s, float value, size_t channel)
{
    s->channels[s->num] = (uint32_t)channel;
    s->values[s->num++] = value;
}

static enum lbw_status grow_channels(struct sampler *s, size_t num, struct lbw_error *err)
{
    if (num <= s->num_channels)
        return LBW_OK;
    float *lows = realloc(s->lows, num * sizeof *lows);
    s->lows = lows ? lows : s->lows;
    float *highs = lows ? realloc(s->highs, num * sizeof *highs) : NULL;
    s->highs = highs ? highs : s->highs;
    if (!lows || !highs)
        return lbw_fail_memory(err);
    for (; s->num_channels < num; s->num_channels++)
        lows[s->num_channels] = highs[s->num_channels] = 0;
    return LBW_OK;
}

static void find_extremes(float *low, float *high, const float *values, size_t n)
{
    float least = *low, most = *high;
    for (size_t i = 0; i < n; i++) {
        least = values[i] < least ? values[i] : least;
        most = values[i] > most ? values[i] : most;
    }
    *low = least;
    *high = most;
}

static enum lbw_status take(void *user, const struct lbw_activation *a, struct lbw_error *err)
{
    struct sampler *s = user;
    size_t count = 1;
    for (size_t i = 0; i < a->num_dims; i++)
        count *= (size_t)a->dims[i];
    size_t plane = 1, num_channels = a->num_dims > 1 ? (size_t)a->dims[1] : 1;
    for (size_t i = 2; i < a->num_dims; i++)
        plane *= (size_t)a->dims[i];
    s->size = count > s->size ? count : s->size;
    LBW_TRY(grow_channels(s, num_channels, err));
    for (size_t i = 0, row = 0; i < count; i += plane, row++)
        find_extremes(&s->lows[row % num_channels], &s->highs[row % num_channels],
                      a->converted + i, plane);
    /* odd, so that it meets every column and channel in turn */
    size_t stride = count / PER_SAMPLE | 1;
    for (size_t i = 0; i < count && s->num < s->capacity; i += stride) {
        s->is_finite = s->is_finite && isfinite(a->converted[i]);
        add_value(s, a->converted[i], i / plane % num_channels);
    }
    return LBW_OK;
}

static void keep_float(struct lbw_edge *edge, const char *reason)
{
    edge->item.type = LBW_ACTIVATIONS_FLOAT;
    edge->item.group = LBW_GROUP_TENSOR;
    edge->item.reason = reason;
}

/* What the rounding changes in one channel, and what is there: sums of squares. */
struct channel {
    double error, sum, square, count;
};

static const struct lbw_range *range_of(const struct lbw_ranges *ranges, size_t channel)
{
    return &ranges->items[ranges->num > 1 ? channel : 0];
}

/* Adds some of the values to the sums of their channels. */
static void measure(struct channel *channels, const struct lbw_edge *edge,
                    const struct sampler *s, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        const struct lbw_range *range = range_of(&edge->ranges, s->channels[i]);
        struct channel *c = &channels[s->channels[i]];
        double rounded =
            lbw_range_curve(edge->curve, (double)lbw_range_round(range, s->values[i]));
        double value = lbw_range_curve(edge->curve, (double)s->values[i]);
        c->error += (rounded - value) * (rounded - value);
        c->sum += value;
        c->square += value * value;
        c->count++;
    }
}

/* Of all values together. */
static double snr_of(const struct channel *channels, size_t num)
{
    struct channel all = {0};
    for (size_t c = 0; c < num; c++) {
        all.error += channels[c].error;
        all.sum += channels[c].sum;
        all.square += channels[c].square;
        all.count += channels[c].count;
    }
    return lbw_snr(all.count > 0 ? fmax(all.square - all.sum * all.sum / all.count, 0) : 0,
                   all.error);
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

/* What the rounding costs, of the first `num` values: those that were sampled. */
static enum lbw_status measure_edge(struct lbw_edge *edge, const struct sampler *s, size_t num,
                                    struct lbw_error *err)
{
    struct channel *channels = calloc(s->num_channels + 1, sizeof *channels);
    if (!channels)
        return lbw_fail_memory(err);
    measure(channels, edge, s, 0, num);
    edge->item.cost = cost_of(edge, channels, s->num_channels);
    edge->item.noise = noise_of(channels, s->num_channels);
    measure(channels, edge, s, num, s->num);
    edge->item.snr = snr_of(channels, s->num_channels);
    free(channels);
    return LBW_OK;
}

/* Why 8 bits are too few for this edge: by what they cost, or what they drown. NULL: they do.
 */
static const char *too_few(const struct lbw_edge *edge, const struct sampler *s)
{
    if (edge->item.cost > MOST_COST * fmax(1, (double)s->size / MANY_VALUES))
        return "8 bits cost too much at the outputs";
    if (edge->item.cost < 0 && edge->item.noise > MOST_NOISE)
        return "8 bits drown its quiet channels";
    return NULL;
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

/* Makes room for `num` ranges of an edge, and for their ends. */
static struct lbw_range *make_ranges(struct lbw_edge *edge, struct lbw_arena *arena, size_t num)
{
    struct lbw_range *items = lbw_arena_calloc(arena, num, sizeof *items);
    if (items)
        edge->ranges = (struct lbw_ranges){num, items};
    return items;
}

static enum lbw_status fit_tensor(struct lbw_edge *edge, struct lbw_arena *arena,
                                  const struct sampler *s, const struct lbw_edge_rules *rules,
                                  struct lbw_error *err)
{
    struct lbw_range *range = make_ranges(edge, arena, 1);
    if (!range)
        return lbw_fail_memory(err);
    if (edge->item.low < edge->item.high) {
        *range = lbw_range_between(rules->kind, edge->item.low, edge->item.high);
        return LBW_OK;
    }
    float *weights = weights_of(edge, s);
    enum lbw_status status = lbw_range_fit(range, rules->kind, edge->curve, rules->power,
                                           s->values, weights, s->num, err);
    free(weights);
    return status;
}

/* The values of one channel after those of another: starts[c] is where channel c begins. */
static void sort_by_channel(float *out, size_t *starts, const struct sampler *s)
{
    for (size_t i = 0; i < s->num; i++)
        starts[s->channels[i] + 1]++;
    for (size_t c = 0; c < s->num_channels; c++)
        starts[c + 1] += starts[c];
    for (size_t i = 0; i < s->num; i++)
        out[starts[s->channels[i]]++] = s->values[i];
    for (size_t c = s->num_channels; c > 0; c--)
        starts[c] = starts[c - 1];
    starts[0] = 0;
}

/*
 * What a channel's mean of |error|^power counts: what noise costs at the outputs, by the rule
 * of weights_of(), or the inverse of what is there.
 */
static void weigh_channels(double *weights, const struct lbw_edge *edge, double power,
                           const struct sampler *s, const float *values, const size_t *starts)
{
    double mean = 0;
    for (size_t c = 0; c < edge->num_slopes; c++)
        mean += edge->slopes[c] / (double)edge->num_slopes;
    for (size_t c = 0; c < s->num_channels; c++) {
        double square = 0;
        for (size_t i = starts[c]; i < starts[c + 1]; i++)
            square += (double)values[i] * (double)values[i];
        weights[c] = mean > 0 && isfinite(mean)
                         ? (c < edge->num_slopes ? edge->slopes[c] : mean) + LEAST_WEIGHT * mean
                     : square > 0 ? pow((double)(starts[c + 1] - starts[c]) / square, power / 2)
                                  : 0;
    }
}

/* A scale for each channel. */
static enum lbw_status fit_channels(struct lbw_edge *edge, struct lbw_arena *arena,
                                    const struct sampler *s, const struct lbw_edge_rules *rules,
                                    struct lbw_error *err)
{
    struct lbw_range *ranges = make_ranges(edge, arena, s->num_channels);
    float *values = malloc((s->num + 1) * sizeof *values);
    size_t *starts = calloc(s->num_channels + 1, sizeof *starts);
    double *weights = malloc((s->num_channels + 1) * sizeof *weights);
    enum lbw_status status;
    LBW_OR_OUT(ranges && values && starts && weights ? LBW_OK : lbw_fail_memory(err));
    sort_by_channel(values, starts, s);
    weigh_channels(weights, edge, rules->power, s, values, starts);
    LBW_OR_OUT(lbw_ranges_fit(ranges, s->num_channels, edge->curve, rules->power, values,
                              starts, weights, err));
    edge->item.group = LBW_GROUP_CHANNEL;
out:
    free(values);
    free(starts);
    free(weights);
    return status;
}

/* Adds the extremes, which no sampling may miss. */
static bool add_extremes(struct sampler *s)
{
    size_t num = s->num + 2 * s->num_channels;
    float *values = realloc(s->values, (num + 1) * sizeof *values);
    s->values = values ? values : s->values;
    uint32_t *channels = values ? realloc(s->channels, (num + 1) * sizeof *channels) : NULL;
    s->channels = channels ? channels : s->channels;
    for (size_t c = 0; c < s->num_channels && channels; c++) {
        add_value(s, s->lows[c], c);
        add_value(s, s->highs[c], c);
    }
    return channels != NULL;
}

static bool is_finite(const struct sampler *s)
{
    bool is = s->is_finite;
    for (size_t c = 0; c < s->num_channels; c++)
        is = is && isfinite(s->lows[c]) && isfinite(s->highs[c]);
    return is;
}

/* Whether a scale per channel is worth trying, once one scale has been measured. */
static bool wants_channels(const struct lbw_edge *edge, const struct sampler *s,
                           const struct lbw_edge_rules *rules)
{
    bool may = edge->may_differ && !edge->is_wished && rules->kind == LBW_RANGE_UNSIGNED;
    bool is_felt = edge->item.cost < 0 ? edge->item.noise > WORTH_CHANNELS * MOST_NOISE
                                       : edge->item.cost > WORTH_CHANNELS * MOST_COST;
    return may && (too_few(edge, s) || (rules->has_channels && is_felt));
}

static bool is_better(const struct lbw_plan_edge *a, const struct lbw_plan_edge *b)
{
    return b->cost < 0 ? a->noise < b->noise : a->cost < b->cost;
}

/*
 * One scale, unless the plan file wants one per channel; one per channel where that is allowed,
 * worthwhile and better; float where both cost too much. The first `num` values are samples,
 * the rest extremes.
 */
static enum lbw_status fit_by(const struct lbw_edge_rules *rules, struct lbw_edge *edge,
                              struct lbw_arena *arena, struct sampler *s, size_t num,
                              struct lbw_error *err)
{
    if (edge->item.group == LBW_GROUP_CHANNEL) {
        if (rules->kind != LBW_RANGE_UNSIGNED)
            return lbw_fail(err, LBW_ERR_ARGUMENT,
                            "target tensorrt takes one scale, not one "
                            "per channel");
        LBW_TRY(fit_channels(edge, arena, s, rules, err));
        return measure_edge(edge, s, num, err);
    }
    LBW_TRY(fit_tensor(edge, arena, s, rules, err));
    LBW_TRY(measure_edge(edge, s, num, err));
    if (wants_channels(edge, s, rules)) {
        edge->needs_channels = too_few(edge, s) != NULL;
        const struct lbw_edge one = *edge;
        LBW_TRY(fit_channels(edge, arena, s, rules, err));
        LBW_TRY(measure_edge(edge, s, num, err));
        if (!is_better(&edge->item, &one.item))
            *edge = one;
    }
    if (!edge->is_wished && !edge->is_settled && too_few(edge, s))
        keep_float(edge, too_few(edge, s));
    return LBW_OK;
}

/* Fits by squares, which have the least predicted cost, if the given power leaves it float. */
static enum lbw_status fit_values(struct lbw_edge *edge, struct lbw_arena *arena,
                                  struct sampler *s, const struct lbw_edge_rules *rules,
                                  struct lbw_error *err)
{
    size_t num = s->num;
    if (!is_finite(s)) {
        keep_float(edge, "holds NaN or infinity");
        return LBW_OK;
    }
    if (!add_extremes(s))
        return lbw_fail_memory(err);
    const struct lbw_edge before = *edge;
    LBW_TRY(fit_by(rules, edge, arena, s, num, err));
    if (edge->item.type != LBW_ACTIVATIONS_FLOAT || rules->power == 2)
        return LBW_OK;
    struct lbw_edge_rules squares = *rules;
    squares.power = 2;
    *edge = before;
    return fit_by(&squares, edge, arena, s, num, err);
}

/* Fits to the tensor as the model converted so far computes it. */
static enum lbw_status fit_shown(struct lbw_edge *edge, struct lbw_arena *arena,
                                 struct lbw_activations *activations,
                                 const struct lbw_edge_rules *rules, struct lbw_error *err)
{
    struct sampler s = {.capacity = activations->num_samples * (2 * PER_SAMPLE) + 2,
                        .is_finite = true};
    s.values = malloc(s.capacity * sizeof *s.values);
    s.channels = malloc(s.capacity * sizeof *s.channels);
    enum lbw_status status;
    LBW_OR_OUT(s.values && s.channels ? LBW_OK : lbw_fail_memory(err));
    LBW_OR_OUT(activations->show(activations, edge->item.tensor, take, &s, err));
    LBW_OR_OUT(fit_values(edge, arena, &s, rules, err));
out:
    free(s.values);
    free(s.channels);
    free(s.lows);
    free(s.highs);
    if (status != LBW_ERR_UNSUPPORTED)
        return status;
    keep_float(edge, "the runtime cannot show it");
    return LBW_OK;
}

/* What the public view shows of the ranges: the widest. */
static void show_ranges(struct lbw_edge *edge)
{
    const struct lbw_range *widest = edge->ranges.items;
    for (size_t c = 1; c < edge->ranges.num; c++)
        if (edge->ranges.items[c].scale > widest->scale)
            widest = &edge->ranges.items[c];
    lbw_range_limits(&edge->item.low, &edge->item.high, widest);
}

/* The edge that the activation function reading this one writes, if it is to be fitted. */
static struct lbw_edge *bent(const struct lbw_plan *plan, const struct lbw_edge *edge)
{
    struct lbw_edge *next =
        edge->curve == LBW_CURVE_NONE ? NULL : lbw_edge_of(plan, edge->watched);
    return next && next != edge && next->rule == LBW_EDGE_FITTED && !next->is_wished &&
                   next->item.type == LBW_ACTIVATIONS_INT8
               ? next
               : NULL;
}

/*
 * To be rounded channel by channel in front of an activation function whose result then stays
 * float gains nothing: the layer runs on float in either case. Looks at the result first.
 */
static enum lbw_status look_ahead(struct lbw_edge *edge, const struct lbw_plan *plan,
                                  struct lbw_activations *activations,
                                  const struct lbw_edge_rules *rules, struct lbw_error *err)
{
    struct lbw_edge *next = bent(plan, edge);
    bool is_byte = edge->item.type == LBW_ACTIVATIONS_INT8;
    if (!next || !is_byte || !edge->needs_channels)
        return LBW_OK;
    struct lbw_edge tried = *next;
    LBW_TRY(fit_shown(&tried, &plan->model->arena, activations, rules, err));
    if (tried.item.type == LBW_ACTIVATIONS_FLOAT)
        keep_float(edge, "its activation function's result stays float");
    else
        next->is_settled = true;
    return LBW_OK;
}

static enum lbw_status fit(struct lbw_edge *edge, const struct lbw_plan *plan,
                           struct lbw_activations *activations,
                           const struct lbw_edge_rules *rules, struct lbw_error *err)
{
    struct lbw_arena *arena = &plan->model->arena;
    bool is_handed = edge->rule == LBW_EDGE_HANDED && edge->source &&
                     edge->source->item.type == LBW_ACTIVATIONS_INT8;
    if (edge->item.type == LBW_ACTIVATIONS_FLOAT)
        return LBW_OK;
    if (is_handed) {
        edge->ranges = edge->source->ranges;
    } else if (edge->rule == LBW_EDGE_UNIT && edge->item.low >= edge->item.high) {
        struct lbw_range *range = make_ranges(edge, arena, 1);
        if (!range)
            return lbw_fail_memory(err);
        *range = rules->kind == LBW_RANGE_UNSIGNED ? (struct lbw_range){0x1p-8F, 0, 0, 255}
                                                   : (struct lbw_range){0x1p-7F, 0, -128, 127};
    } else {
        LBW_TRY(activations->settle(activations, edge->position, err));
        LBW_TRY(fit_shown(edge, arena, activations, rules, err));
        LBW_TRY(look_ahead(edge, plan, activations, rules, err));
    }
    if (edge->item.type == LBW_ACTIVATIONS_FLOAT)
        return LBW_OK;
    show_ranges(edge);
    return activations->round(activations, edge->item.tensor, &edge->ranges, err);
}

enum lbw_status lbw_edges_fit(const struct lbw_plan *plan, struct lbw_activations *activations,
                              const struct lbw_edge_rules *rules, size_t position,
                              struct lbw_error *err)
{
    for (size_t i = 0; i < plan->num_edges; i++) {
        struct lbw_edge *edge = &plan->edges[i];
        if (edge->is_fitted || edge->position > position)
            continue;
        edge->is_fitted = true;
        LBW_TRY(lbw_within(err, fit(edge, plan, activations, rules, err), "activation '%s'",
                           edge->item.tensor));
    }
    return LBW_OK;
}
