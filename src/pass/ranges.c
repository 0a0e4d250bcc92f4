/* SPDX-License-Identifier: MIT */
/* Ranges of activations, fitted to what the model as converted so far computes. */
#include <math.h>
#include <stdlib.h>

#include "pass/edge.h"

#define PER_SAMPLE ((size_t)8192) /* values that each sample adds */

/* A share of one tensor's values, and its extremes over all of them. */
struct sampler {
    float *values;
    size_t num, capacity;
    float low, high;
    bool is_finite;
};

static enum lbw_status take(void *user, const struct lbw_activation *a, struct lbw_error *err)
{
    struct sampler *s = user;
    size_t count = 1;
    (void)err;
    for (size_t i = 0; i < a->num_dims; i++)
        count *= (size_t)a->dims[i];
    for (size_t i = 0; i < count; i++) {
        s->low = fminf(s->low, a->converted[i]);
        s->high = fmaxf(s->high, a->converted[i]);
    }
    /* odd, so that it meets every column and channel in turn */
    size_t stride = count / PER_SAMPLE | 1;
    for (size_t i = 0; i < count && s->num < s->capacity - 2; i += stride) {
        s->is_finite = s->is_finite && isfinite(a->converted[i]);
        s->values[s->num++] = a->converted[i];
    }
    return LBW_OK;
}

static void keep_float(struct lbw_edge *edge, const char *reason)
{
    edge->item.type = LBW_ACTIVATIONS_FLOAT;
    edge->item.reason = reason;
}

static enum lbw_status fit_values(struct lbw_edge *edge, struct sampler *s,
                                  enum lbw_range_kind kind, struct lbw_error *err)
{
    if (!s->is_finite || !isfinite(s->low) || !isfinite(s->high)) {
        keep_float(edge, "holds NaN or infinity");
        return LBW_OK;
    }
    double error, energy;
    s->values[s->num++] = s->low;
    s->values[s->num++] = s->high;
    if (edge->item.low < edge->item.high)
        edge->range = lbw_range_between(kind, edge->item.low, edge->item.high);
    else
        LBW_TRY(lbw_range_fit(&edge->range, kind, edge->curve, s->values, s->num, err));
    lbw_range_error(&error, &energy, &edge->range, edge->curve, s->values, s->num);
    edge->item.snr = lbw_snr(energy, error);
    return LBW_OK;
}

/* Looks at the tensor where it stands at the end of what has been converted. */
static enum lbw_status fit_shown(struct lbw_edge *edge, struct lbw_activations *activations,
                                 enum lbw_range_kind kind, struct lbw_error *err)
{
    struct sampler s = {.capacity = activations->num_samples * (2 * PER_SAMPLE) + 2,
                        .is_finite = true};
    s.values = malloc(s.capacity * sizeof *s.values);
    if (!s.values)
        return lbw_fail_memory(err);
    enum lbw_status status;
    LBW_OR_OUT(activations->settle(activations, edge->position, err));
    LBW_OR_OUT(activations->show(activations, edge->item.tensor, take, &s, err));
    LBW_OR_OUT(fit_values(edge, &s, kind, err));
out:
    free(s.values);
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
