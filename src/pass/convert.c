/* SPDX-License-Identifier: MIT */
/* Conversion: from a plan to codes, from codes to an encoded model. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "pass/activations.h"
#include "onnx/last_layers.h"
#include "pass/bias.h"
#include "pass/closing.h"
#include "pass/edge.h"
#include "pass/project.h"
#include "pass/reconstruct.h"
#include "pass/report.h"
#include "pass/encode.h"
#include "pass/native.h"
#include "pass/qdq.h"
#include "pass/state.h"
#include "pass/tuner.h"

/*
 * Of errors, in the fit of ranges. Weights come from gradients, which foresee what small noise
 * costs. By squares, channels that look cheap are clipped far: some detectors lose boxes by
 * that, others keep more of them (docs/activations.md).
 */
#define RANGE_POWER 4
#define SQUARES     2

#define MOST_DAMPING    1e6
#define SECONDS_BETWEEN 0.05 /* between two calls of progress */

/* What fitting leads to. */
struct fit {
    double power;            /* of errors of ranges */
    double agreement;        /* of boxes; < 0: not known */
    struct lbw_codes *codes; /* one per weight */
    struct lbw_report *report;
    double energy, error; /* of all converted weights */
    double sum_of_snr;    /* of num_measured reconstructed layers' outputs, dB */
    size_t num_measured;  /* of these: those with an error that can be measured */
};

struct conversion {
    struct lbw_model *model;
    const struct lbw_plan *plan;
    const struct lbw_convert_params *params;
    struct lbw_calibrator calibrator;
    struct lbw_state *state;
    struct fit fit;
    struct lbw_stored *stored; /* one per weight */
    bool *is_end;              /* one per weight: a last layer's */
    size_t num_planned, num_done;
    const char *current;   /* the current weight */
    double seconds;        /* of quantize() */
    double seconds_before; /* time that the activations had taken by then */
    struct lbw_watch watch;
    double asked;                /* when progress was last called */
    struct lbw_edge_rules rules; /* of activations */
    double agreements[2];        /* by fourth powers and by squares; NaN: not compared */
};

/* The values in place if possible, else in *owned, which the caller frees. */
static enum lbw_status read_weight(const float **out, float **owned, const struct conversion *c,
                                   const struct lbw_weight *weight, struct lbw_error *err)
{
    struct lbw_tensor tensor;
    LBW_TRY(lbw_tensor_view(&tensor, c->model, weight->tensor, err));
    *out = lbw_tensor_floats(&tensor);
    if (*out)
        return LBW_OK;
    float *values = malloc(tensor.count * sizeof *values);
    if (!values)
        return lbw_fail_memory(err);
    enum lbw_status status = lbw_tensor_read_float(&tensor, values, err);
    if (status == LBW_OK)
        *out = *owned = values;
    else
        free(values);
    return status;
}

/* How the codes were found, and why not by a better method. */
static const char *how(const struct conversion *c, const struct lbw_weight *weight,
                       const struct lbw_layer_stats *stats)
{
    if (stats->is_reconstructed)
        return "reconstruction";
    if (!c->params->activations)
        return "projection";
    const char *reason = lbw_weight_out_of_reach(weight);
    const char *text =
        lbw_arena_printf(&c->model->arena, "projection: %s", reason ? reason : stats->why);
    return text ? text : "projection";
}

/* Layers without an error or a signal would dominate the mean. */
static void count_snr(struct conversion *c, double snr)
{
    if (!lbw_snr_is_measured(snr))
        return;
    c->fit.sum_of_snr += snr;
    c->fit.num_measured++;
}

static void fill_row(struct conversion *c, size_t i, const struct lbw_layer_stats *stats,
                     double seconds)
{
    struct lbw_report_row *row = lbw_report_edit(c->fit.report, i);
    const struct lbw_codes *codes = &c->fit.codes[i];
    row->converted = true;
    row->how = how(c, &c->plan->weights[i], stats);
    row->snr_projection = lbw_snr(stats->energy, stats->error_before);
    row->snr = lbw_snr(stats->energy, stats->error_after);
    row->seconds = seconds;
    if (stats->is_reconstructed)
        count_snr(c, row->snr);
    row->step_min = INFINITY;
    for (size_t s = 0; s < codes->num_steps; s++) {
        row->step_min = fmin(row->step_min, codes->steps[s]);
        row->step_max = fmax(row->step_max, codes->steps[s]);
    }
}

/* Codes for one weight: the projection, improved by data if there is any. */
static enum lbw_status quantize_weight(struct conversion *c, size_t i, const float *values,
                                       struct lbw_error *err)
{
    const struct lbw_weight *weight = &c->plan->weights[i];
    struct lbw_layer_stats stats = {0};
    double start = lbw_now(), error, energy;
    LBW_TRY(lbw_project(&c->fit.codes[i], weight, values, &c->plan->params, err));
    lbw_codes_error(&stats.error_before, &stats.energy, weight, &c->fit.codes[i], values);
    stats.error_after = stats.error_before;
    if (c->params->activations) {
        bool is_known = false;
        LBW_TRY(lbw_state_restore(&is_known, c->state, &c->fit.codes[i], &stats, &c->calibrator,
                                  weight, err));
        if (!is_known) {
            LBW_TRY(lbw_reconstruct_weight(&c->fit.codes[i], &stats, &c->calibrator, weight,
                                           values, err));
            if (c->is_end[i] && stats.is_reconstructed)
                LBW_TRY(lbw_close_weight(&c->fit.codes[i], &c->calibrator, weight, err));
            LBW_TRY(lbw_state_append(c->state, &c->fit.codes[i], &stats, &c->calibrator, weight,
                                     err));
        }
    }
    lbw_report_edit(c->fit.report, i)->bytes_before = weight->bytes;
    lbw_codes_error(&error, &energy, weight, &c->fit.codes[i], values);
    c->fit.error += error;
    c->fit.energy += energy;
    fill_row(c, i, &stats, lbw_now() - start);
    return LBW_OK;
}

static bool tell(struct conversion *c)
{
    c->asked = lbw_now();
    return !c->params->progress ||
           c->params->progress(c->params->user, c->current, c->num_done, c->num_planned) == 0;
}

/* Within a weight: calls the caller's progress a few times per second. */
static bool watch(void *user)
{
    struct conversion *c = user;
    return lbw_now() - c->asked < SECONDS_BETWEEN || tell(c);
}

/* Which weights are the last before the outputs. */
static enum lbw_status find_ends(struct conversion *c, struct lbw_error *err)
{
    const char **ends;
    size_t num;
    c->is_end = lbw_arena_calloc(&c->model->arena, c->plan->num_weights + 1, sizeof *c->is_end);
    if (!c->is_end)
        return lbw_fail_memory(err);
    if (!c->params->activations)
        return LBW_OK;
    enum lbw_status status = lbw_index_ends(&ends, &num, &c->plan->index, err);
    for (size_t i = 0; i < c->plan->num_weights && status == LBW_OK; i++) {
        const struct lbw_consumer *consumer = &c->plan->weights[i].consumers[0];
        bool is_main = consumer->scope->graph && !consumer->scope->parent;
        for (size_t k = 0; k < num && is_main && consumer->node->n_output; k++)
            c->is_end[i] = c->is_end[i] || strcmp(ends[k], consumer->node->output[0]) == 0;
    }
    return status == LBW_ERR_UNSUPPORTED ? LBW_OK : status; /* a model without outputs */
}

/* Fits the ranges of the activations that exist before a node runs; after any training. */
static enum lbw_status fit_edges(struct conversion *c, size_t position, bool is_trained,
                                 struct lbw_error *err)
{
    const struct lbw_convert_params *p = c->params;
    if (!c->plan->num_edges || (p->tuner != NULL) != is_trained)
        return LBW_OK;
    c->rules.power = c->fit.power;
    return lbw_edges_fit(c->plan, is_trained ? p->ranges : p->activations, &c->rules, position,
                         err);
}

/* Weights and ranges, in the order of the nodes. */
static enum lbw_status fit_all(struct conversion *c, struct lbw_error *err)
{
    LBW_TRY(lbw_report_new(&c->fit.report, c->plan, err));
    for (size_t i = 0; i < c->plan->num_weights; i++) {
        const struct lbw_weight *weight = &c->plan->weights[i];
        const float *values;
        float *owned = NULL;
        if (!weight->item.grid)
            continue;
        c->current = weight->item.tensor;
        if (!tell(c))
            return lbw_fail(err, LBW_ERR_INTERRUPTED, "interrupted");
        if (weight->consumers[0].scope == c->plan->index.scopes)
            LBW_TRY(fit_edges(c, weight->consumers[0].position, false, err));
        LBW_TRY(read_weight(&values, &owned, c, weight, err));
        enum lbw_status status = quantize_weight(c, i, values, err);
        free(owned);
        LBW_TRY(status);
        c->num_done++;
    }
    c->current = NULL;
    return fit_edges(c, SIZE_MAX, false, err);
}

/* Whether there is a choice between ranges, and a way to judge them. */
static bool may_choose(const struct conversion *c)
{
    const struct lbw_activations *a = c->params->activations;
    bool is_open = false;
    for (size_t i = 0; i < c->plan->num_edges; i++) {
        const struct lbw_edge *edge = &c->plan->edges[i];
        is_open = is_open || (edge->rule == LBW_EDGE_FITTED && !edge->is_wished &&
                              edge->item.type == LBW_ACTIVATIONS_INT8);
    }
    return is_open && a && a->judge && !c->params->tuner && !(c->plan->params.range_power > 0);
}

static void release_fit(struct fit *fit, size_t num_weights)
{
    for (size_t i = 0; fit->codes && i < num_weights; i++)
        lbw_codes_release(&fit->codes[i]);
    free(fit->codes);
    lbw_report_free(&fit->report);
    *fit = (struct fit){0};
}

/* Compares the boxes of the fit with those of the float model, if there are any. */
static enum lbw_status judge(struct conversion *c, struct lbw_error *err)
{
    struct lbw_activations *activations = c->params->activations;
    enum lbw_status status = activations->judge(&c->fit.agreement, activations, err);
    return status == LBW_ERR_UNSUPPORTED ? LBW_OK : status;
}

/*
 * Fits all again by squares, with the edges as they were planned. The better fit stays, with
 * its edges; `fitted` is room for those of the other.
 */
static enum lbw_status try_squares(struct conversion *c, const struct lbw_edge *planned,
                                   struct lbw_edge *fitted, struct lbw_error *err)
{
    const size_t size = c->plan->num_edges * sizeof *planned;
    struct lbw_activations *activations = c->params->activations;
    struct fit other = c->fit;
    enum lbw_status status;
    c->fit = (struct fit){.power = SQUARES, .agreement = -1};
    c->fit.codes = calloc(c->plan->num_weights + 1, sizeof *c->fit.codes);
    memcpy(fitted, c->plan->edges, size);
    memcpy(c->plan->edges, planned, size);
    c->calibrator.seed = 0;
    LBW_OR_OUT(c->fit.codes ? LBW_OK : lbw_fail_memory(err));
    LBW_OR_OUT(activations->restart(activations, err));
    LBW_OR_OUT(fit_all(c, err));
    LBW_OR_OUT(judge(c, err));
    c->agreements[0] = other.agreement;
    c->agreements[1] = c->fit.agreement;
out:
    if (!(c->fit.agreement > other.agreement)) {
        const struct fit squares = c->fit;
        c->fit = other;
        other = squares;
        memcpy(c->plan->edges, fitted, size);
    }
    release_fit(&other, c->plan->num_weights);
    return status;
}

/* Fits by the default power, and by squares if the boxes of both can be judged. */
static enum lbw_status fit_best(struct conversion *c, struct lbw_error *err)
{
    const size_t num = c->plan->num_edges;
    struct lbw_edge *edges = calloc(2 * num, sizeof *edges);
    enum lbw_status status;
    LBW_OR_OUT(edges ? LBW_OK : lbw_fail_memory(err));
    memcpy(edges, c->plan->edges, num * sizeof *edges);
    c->num_planned *= 2;
    LBW_OR_OUT(fit_all(c, err));
    LBW_OR_OUT(judge(c, err));
    if (c->fit.agreement >= 0)
        LBW_OR_OUT(try_squares(c, edges, edges + num, err));
out:
    free(edges);
    return status;
}

static enum lbw_status quantize(struct conversion *c, struct lbw_error *err)
{
    double start = lbw_now();
    if (c->params->activations)
        c->seconds_before = c->params->activations->seconds;
    LBW_TRY(find_ends(c, err));
    LBW_TRY(lbw_state_open(&c->state, c->plan, c->params, err));
    LBW_TRY(may_choose(c) ? fit_best(c, err) : fit_all(c, err));
    c->num_planned = c->num_done;
    c->seconds = lbw_now() - start;
    return tell(c) ? LBW_OK : lbw_fail(err, LBW_ERR_INTERRUPTED, "interrupted");
}

/*
 * Updates the row of a weight after training. For trained codes the report gives the error of
 * the weight itself, as that of its layer's output is no longer known.
 */
static enum lbw_status recount(struct conversion *c, size_t i, bool is_tuned,
                               struct lbw_error *err)
{
    const struct lbw_weight *weight = &c->plan->weights[i];
    struct lbw_report_row *row = lbw_report_edit(c->fit.report, i);
    struct lbw_report_row before = *row;
    struct lbw_layer_stats stats = {0};
    const float *values = NULL;
    float *owned = NULL;
    LBW_TRY(read_weight(&values, &owned, c, weight, err));
    lbw_codes_error(&stats.error_after, &stats.energy, weight, &c->fit.codes[i], values);
    free(owned);
    c->fit.error += stats.error_after;
    c->fit.energy += stats.energy;
    if (is_tuned) {
        fill_row(c, i, &stats, before.seconds);
        row->how = "training";
        row->snr_projection = before.snr_projection;
    } else if (strcmp(row->how, "reconstruction") == 0) {
        count_snr(c, row->snr);
    }
    return LBW_OK;
}

static enum lbw_status tune(struct conversion *c, struct lbw_error *err)
{
    struct lbw_tuner *tuner = c->params->tuner;
    if (!tuner || !c->num_planned)
        return LBW_OK;
    bool *is_tuned = calloc(c->plan->num_weights, sizeof *is_tuned);
    if (!is_tuned)
        return lbw_fail_memory(err);
    enum lbw_status status = tuner->tune(tuner, c->fit.codes, is_tuned, err);
    c->fit.error = c->fit.energy = c->fit.sum_of_snr = 0;
    c->fit.num_measured = 0;
    for (size_t i = 0; i < c->plan->num_weights && status == LBW_OK; i++)
        if (c->fit.codes[i].codes)
            status = recount(c, i, is_tuned[i], err);
    free(is_tuned);
    return status;
}

/* Training is over: rounds activations in the model as it is now. */
static enum lbw_status round_trained(struct conversion *c, struct lbw_error *err)
{
    struct lbw_calibrator calibrator = c->calibrator;
    calibrator.activations = c->params->ranges;
    if (!c->params->tuner || !c->plan->num_edges)
        return LBW_OK;
    for (size_t i = 0; i < c->plan->num_weights; i++) {
        const struct lbw_weight *weight = &c->plan->weights[i];
        if (weight->num_consumers && weight->consumers[0].scope == c->plan->index.scopes)
            LBW_TRY(fit_edges(c, weight->consumers[0].position, true, err));
        LBW_TRY(lbw_weight_show(&calibrator, weight, &c->fit.codes[i], err));
    }
    return fit_edges(c, SIZE_MAX, true, err);
}

/* How many activations are rounded, and what that is predicted to cost, where it is known. */
static void count_edges(struct lbw_report *r, const struct lbw_plan *plan)
{
    r->num_edges = plan->num_edges;
    r->rounding_loss = NAN;
    for (size_t i = 0; i < plan->num_edges; i++) {
        const struct lbw_plan_edge *item = &plan->edges[i].item;
        if (item->type != LBW_ACTIVATIONS_INT8)
            continue;
        r->num_rounded++;
        if (item->cost >= 0)
            r->rounding_loss = item->cost + (isnan(r->rounding_loss) ? 0 : r->rounding_loss);
    }
}

/* By which power ranges were fitted, and what chose it. */
static void note_power(struct lbw_report *r, const struct conversion *c)
{
    r->range_power = r->num_rounded ? c->fit.power : 0;
    r->fourths_agreement = c->agreements[0];
    r->squares_agreement = c->agreements[1];
}

static void sum_up(struct conversion *c)
{
    struct lbw_report *r = c->fit.report;
    uint64_t size = 0;
    for (size_t i = 0; i < c->plan->num_weights; i++) {
        const struct lbw_weight *weight = &c->plan->weights[i];
        struct lbw_report_row *row = lbw_report_edit(r, i);
        if (!row->converted)
            continue;
        row->bytes_after = c->stored[i].size;
        row->note = c->stored[i].note ? c->stored[i].note : "";
        size += c->stored[i].size;
        r->num_converted++;
        r->num_calibrated += strncmp(row->how, "projection", 10) != 0;
        r->num_weights += weight->item.count;
    }
    for (size_t i = 0; i < c->plan->num_weights; i++)
        r->num_integer += c->fit.codes[i].is_integer;
    count_edges(r, c->plan);
    note_power(r, c);
    r->bits_per_weight = r->num_weights ? 8.0 * (double)size / (double)r->num_weights : 0;
    r->snr = c->fit.num_measured ? c->fit.sum_of_snr / (double)c->fit.num_measured
                                 : lbw_snr(c->fit.energy, c->fit.error);
    r->num_measured = c->fit.num_measured;
    r->calibrated = c->params->activations != NULL;
    if (r->calibrated) {
        r->runtime_seconds = c->params->activations->seconds - c->seconds_before;
        r->fit_seconds = fmax(c->seconds - r->runtime_seconds, 0);
    }
    r->bytes_before = c->plan->model_size;
    r->bytes_after = lbw_model_size(c->model);
}

/* Writes codes into the model, and the biases that calibration corrected. */
static enum lbw_status encode(struct conversion *c, struct lbw_error *err)
{
    c->model->is_prepared = false;
    for (size_t i = 0; i < c->plan->num_weights; i++) {
        const struct lbw_weight *weight = &c->plan->weights[i];
        LBW_TRY(lbw_bias_write(c->plan, weight, &c->fit.codes[i], err));
        LBW_TRY(lbw_values_write(c->plan, weight, &c->fit.codes[i], err));
        c->fit.codes[i].is_integer = lbw_weight_is_integer(c->plan, weight);
    }
    LBW_TRY(lbw_qdq_widen(c->plan, c->fit.codes, c->params->encode.target, err));
    LBW_TRY(lbw_encode(c->plan, c->fit.codes, &c->params->encode, c->stored, err));
    LBW_TRY(lbw_qdq_insert(c->plan, c->fit.codes, c->params->encode.target, err));
    LBW_TRY(lbw_clean_biases(c->model, err));
    struct lbw_native_count count;
    return c->params->encode.encoding == LBW_ENCODING_NATIVE
               ? lbw_nativize(&count, c->model, err)
               : LBW_OK;
}

/* plan → codes → encoded model → report. Owns nothing, so that any step may return. */
static enum lbw_status convert(struct conversion *c, struct lbw_error *err)
{
    LBW_TRY(quantize(c, err));
    LBW_TRY(tune(c, err));
    LBW_TRY(round_trained(c, err));
    LBW_TRY(lbw_model_rewritten(c->model, encode(c, err)));
    sum_up(c);
    return lbw_report_note(c->fit.report, err);
}

/* Checks that the arguments fit together. */
static enum lbw_status check(struct lbw_model *model, const struct lbw_plan *plan,
                             const struct lbw_convert_params *params, struct lbw_error *err)
{
    int64_t opset = lbw_model_opset(model, "");
    LBW_TRY(lbw_plan_check(plan, err));
    LBW_TRY(lbw_encode_check(&params->encode, err));
    LBW_TRY(lbw_check_range("damping", params->damping, 0, MOST_DAMPING, err));
    if (plan->model != model)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "the plan is for another model");
    if (!model->is_prepared)
        return lbw_fail(
            err, LBW_ERR_ARGUMENT,
            "not prepared for conversion: call lbw_model_prepare() before planning");
    if (params->activations && params->activations->model &&
        params->activations->model != model)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "the calibration is for another model");
    if (params->tuner && params->tuner->plan != plan)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "the tuner is for another plan");
    if (plan->params.activations == LBW_ACTIVATIONS_INT8 &&
        (!params->activations || !params->activations->round))
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "8-bit activations need calibration: their ranges come from data");
    if (plan->num_edges && params->tuner &&
        (!params->ranges || !params->ranges->round || params->ranges == params->activations))
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "training with 8-bit activations needs a second calibration: 'ranges'");
    LBW_TRY(lbw_edges_check_grids(plan, err));
    if (plan->params.activations == LBW_ACTIVATIONS_INT8 &&
        params->encode.encoding == LBW_ENCODING_FLOAT)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "encoding float cannot store 8-bit activations: use packed or dq");
    if (plan->params.activations != LBW_ACTIVATIONS_INT8 &&
        params->encode.encoding == LBW_ENCODING_NATIVE)
        LBW_TRY(lbw_native_check(model, err));
    if (params->state && !params->activations)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "%s: a state file needs calibration",
                        params->state);
    if (params->encode.opset && params->encode.opset != opset)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "the model is at opset %lld, not %lld: lift it before planning",
                        (long long)opset, (long long)params->encode.opset);
    return LBW_OK;
}

enum lbw_status lbw_convert(struct lbw_report **report, struct lbw_model *model,
                            const struct lbw_plan *plan,
                            const struct lbw_convert_params *params, struct lbw_error *err)
{
    static const struct lbw_convert_params by_default;
    params = params ? params : &by_default;
    LBW_TRY(lbw_model_check(model, err));
    LBW_TRY(lbw_within(err, check(model, plan, params, err), "%s", model->name));
    struct conversion c = {
        .model = model,
        .plan = plan,
        .params = params,
        .rules = {.kind = params->encode.target == LBW_TARGET_TENSORRT ? LBW_RANGE_SYMMETRIC
                                                                       : LBW_RANGE_UNSIGNED,
                  .has_channels = params->encode.encoding == LBW_ENCODING_NATIVE},
        .calibrator = {.activations = params->activations,
                       .plan = plan,
                       .damping = params->damping},
        .fit = {.power = plan->params.range_power > 0 ? plan->params.range_power : RANGE_POWER,
                .agreement = -1,
                .codes = calloc(plan->num_weights + 1, sizeof *c.fit.codes)},
        .agreements = {NAN, NAN},
        .stored = calloc(plan->num_weights + 1, sizeof *c.stored),
    };
    c.watch = (struct lbw_watch){.fn = watch, .user = &c, .owner = pthread_self()};
    c.calibrator.watch = &c.watch;
    for (size_t i = 0; i < plan->num_weights; i++)
        c.num_planned += plan->weights[i].item.grid != NULL;
    enum lbw_status status = c.fit.codes && c.stored ? convert(&c, err) : lbw_fail_memory(err);
    if (params->activations)
        params->activations->watch = NULL; /* the watch ends with this function */
    free(c.stored);
    lbw_state_close(&c.state);
    if (status == LBW_OK && report) {
        *report = c.fit.report;
        c.fit.report = NULL;
    }
    release_fit(&c.fit, plan->num_weights);
    return lbw_within(err, status, "%s", model->name);
}
