/* SPDX-License-Identifier: MIT */
/*
 * Sensitivity: for every output value z take the metric m of its distribution, draw random
 * signs r, and differentiate s = Σ r·√m·z. The expectation of (∂s/∂y)² is the Gauss-Newton
 * diagonal of the loss for noise in a layer's output y.
 */
#include "search/sensitivity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/text.h"
#include "base/thread.h"
#include "detect/assume.h"
#include "detect/decode.h"
#include "feed/input.h"
#include "search/metric.h"
#include "pass/edge.h"
#include "train/targets.h"
#include "train/sessions.h"

#define DEFAULT_SAMPLES 8
#define DEFAULT_DRAWS   1

/* Multiply-adds of all forward passes: larger models use fewer samples and draws. */
#define MOST_WORK 1.5e11

struct one {
    uint64_t seed; /* of its signs */
    struct lbw_array *images, *wanted, *factors, *outputs;
    struct lbw_importance *importance; /* as many as targets; NULL: none */
    double *sums;                      /* one per value of the outputs, over draws */
    enum lbw_status status;
    struct lbw_error err;
};

struct measure {
    const struct lbw_plan *plan;
    const struct lbw_sensitivity_params *params;
    struct lbw_sensitivity *out;
    struct lbw_arena arena;
    struct lbw_feed *feed;
    struct lbw_sessions sessions;
    struct lbw_targets targets;
    struct lbw_grad_channels *energies, *moments; /* one per consumer of a planned weight */
    size_t num_taps;
    const struct lbw_profile *profile; /* NULL: the ends of the last layers */
    int width, height;
    double *scales; /* per target, without a profile */
    struct one *samples;
    size_t num_samples, num_draws;
};

/* ---- set-up ---- */

/* What calibration can reach: a node of the main graph whose other input carries data. */
static bool is_reachable(const struct lbw_consumer *consumer)
{
    return consumer->scope->graph && !consumer->scope->parent && !consumer->scope->function &&
           consumer->input == 1 && consumer->node->n_output && *consumer->node->output[0] &&
           *lbw_node_input(consumer->node, 0);
}

static enum lbw_status list_taps(struct measure *m, struct lbw_error *err)
{
    size_t num = 0;
    for (size_t i = 0; i < m->plan->num_weights; i++)
        num += m->plan->weights[i].num_consumers;
    num += m->plan->num_edges;
    m->energies = lbw_arena_calloc(&m->arena, num + 1, sizeof *m->energies);
    m->moments = lbw_arena_calloc(&m->arena, num + 1, sizeof *m->moments);
    if (!m->energies || !m->moments)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < m->plan->num_weights; i++) {
        const struct lbw_weight *weight = &m->plan->weights[i];
        for (size_t k = 0; weight->item.grid && k < weight->num_consumers; k++) {
            const struct lbw_consumer *c = &weight->consumers[k];
            bool is_last = lbw_node_is(c->node, "MatMul");
            if (!is_reachable(c))
                continue;
            m->energies[m->num_taps] = (struct lbw_grad_channels){c->node->output[0], is_last};
            m->moments[m->num_taps++] =
                (struct lbw_grad_channels){lbw_node_input(c->node, 0), is_last};
        }
    }
    for (size_t i = 0; i < m->plan->num_edges; i++)
        m->energies[m->num_taps + i] =
            (struct lbw_grad_channels){m->plan->edges[i].watched, false};
    return LBW_OK;
}

static enum lbw_status open_feed(struct measure *m, struct lbw_error *err)
{
    static const struct lbw_calibrate_params generated;
    const struct lbw_calibrate_params *p =
        m->params->calibrate ? m->params->calibrate : &generated;
    bool is_generated = !p->samples && lbw_source_is_generated(p->source);
    const struct lbw_feed_params feed = {
        .source = p->source,
        .samples = p->samples,
        .max_samples = p->num_samples || is_generated ? p->num_samples : LBW_FEED_SAMPLES,
        .preprocess = p->preprocess,
        .width = p->width,
        .height = p->height,
        .seed = p->seed,
        .hold_back = p->hold_back,
        .few = m->params->num_samples ? m->params->num_samples : DEFAULT_SAMPLES,
    };
    return lbw_assumed_feed_open(&m->feed, m->plan->model, &feed, NULL, err);
}

static enum lbw_status open_sessions(struct measure *m, bool of_outputs, struct lbw_error *err)
{
    LBW_TRY(lbw_targets_find(&m->targets, &m->arena, m->plan, of_outputs, 0, err));
    const struct lbw_sessions_params params = {.targets = m->targets.names,
                                               .num_targets = m->targets.num,
                                               .num_threads = 1,
                                               .is_linear = true,
                                               .energies = m->energies,
                                               .num_energies = m->num_taps + m->plan->num_edges,
                                               .moments = m->moments,
                                               .num_moments = m->num_taps};
    return lbw_sessions_open(&m->sessions, &m->plan->index, m->feed, &params, err);
}

static struct lbw_decode_input decode_input(const struct measure *m,
                                            const struct lbw_array *outputs)
{
    return (struct lbw_decode_input){
        .num_outputs = m->sessions.num_targets,
        .names = m->sessions.targets,
        .outputs = outputs,
        .profile = m->profile,
        .width = m->width,
        .height = m->height,
        .placement = {.scale_x = 1, .scale_y = 1},
        .picture_width = m->width,
        .picture_height = m->height,
        .nms = 1,
    };
}

static void one_release(const struct measure *m, struct one *one)
{
    lbw_arrays_release(one->images, m->sessions.num_images);
    lbw_arrays_release(one->wanted, m->sessions.num_targets);
    lbw_arrays_release(one->factors, m->sessions.num_targets);
    if (m->sessions.training)
        lbw_arrays_release(one->outputs, lbw_sessions_num_outputs(&m->sessions));
    for (size_t t = 0; one->importance && t < m->sessions.num_targets; t++)
        lbw_importance_release(&one->importance[t]);
    free(one->images);
    free(one->wanted);
    free(one->factors);
    free(one->outputs);
    free(one->importance);
    free(one->sums);
    *one = (struct one){0};
}

static enum lbw_status one_init(struct one *one, const struct measure *m, size_t i,
                                struct lbw_error *err)
{
    size_t num_outputs = lbw_sessions_num_outputs(&m->sessions);
    one->images = calloc(m->sessions.num_images + 1, sizeof *one->images);
    one->wanted = calloc(m->sessions.num_targets + 1, sizeof *one->wanted);
    one->factors = calloc(m->sessions.num_targets + 1, sizeof *one->factors);
    one->outputs = calloc(num_outputs + 1, sizeof *one->outputs);
    if (!one->images || !one->wanted || !one->factors || !one->outputs)
        return lbw_fail_memory(err);
    LBW_TRY(lbw_feed_get(m->feed, i, one->images, err));
    return lbw_sessions_teach(&m->sessions, one->images, one->wanted, err);
}

/* Whether gradients reach the model's outputs and the profile knows them. */
static bool can_use_outputs(struct measure *m)
{
    struct lbw_feed_input input = *lbw_feed_input(m->feed, 0);
    struct lbw_picture_axes axes;
    struct lbw_importance importance[LBW_MAX_OUTPUTS];
    struct one one = {0};
    m->profile = m->params->profile;
    bool done = m->profile && input.num_dims == 4 && input.dims[0] == 1 &&
                lbw_picture_axes(&axes, &input, true, m->profile->preprocess.channels_last) &&
                open_sessions(m, true, NULL) == LBW_OK;
    if (done) {
        m->height = (int)input.dims[axes.height_axis];
        m->width = (int)input.dims[axes.width_axis];
        done = m->sessions.grad.num_cuts == 0 && m->sessions.num_targets <= LBW_MAX_OUTPUTS &&
               one_init(&one, m, 0, NULL) == LBW_OK;
        const struct lbw_decode_input decode = decode_input(m, one.wanted);
        done = done && lbw_decode_importance(importance, &decode, NULL) == LBW_OK;
        for (size_t t = 0; done && t < m->sessions.num_targets; t++)
            lbw_importance_release(&importance[t]);
        one_release(m, &one);
        if (!done)
            lbw_sessions_close(&m->sessions);
    }
    if (!done)
        m->profile = NULL;
    return done;
}

/* ---- the metric ---- */

static enum lbw_status learn_scales(struct measure *m, struct lbw_error *err)
{
    m->scales = lbw_arena_calloc(&m->arena, m->sessions.num_targets + 1, sizeof *m->scales);
    if (!m->scales)
        return lbw_fail_memory(err);
    const struct lbw_array **values =
        lbw_arena_calloc(&m->arena, m->num_samples + 1, sizeof *values);
    if (!values)
        return lbw_fail_memory(err);
    for (size_t t = 0; t < m->sessions.num_targets; t++) {
        for (size_t s = 0; s < m->num_samples; s++)
            values[s] = &m->samples[s].wanted[t];
        m->scales[t] = lbw_metric_scale(values, m->num_samples, m->sessions.num_targets);
    }
    return LBW_OK;
}

static enum lbw_status read_metric(struct one *one, const struct measure *m,
                                   struct lbw_error *err)
{
    if (!m->profile)
        return LBW_OK;
    const struct lbw_decode_input decode = decode_input(m, one->wanted);
    one->importance = calloc(m->sessions.num_targets + 1, sizeof *one->importance);
    if (!one->importance)
        return lbw_fail_memory(err);
    LBW_TRY(lbw_decode_importance(one->importance, &decode, err));
    lbw_metric_weigh(one->importance, one->wanted, m->sessions.num_targets);
    return LBW_OK;
}

static void draw(struct one *one, const struct measure *m, struct lbw_random *random)
{
    for (size_t t = 0; t < m->sessions.num_targets; t++) {
        float *out = one->factors[t].data;
        float alike = m->profile ? 0 : (float)sqrt(m->scales[t]);
        size_t count = one->factors[t].size / sizeof(float);
        uint64_t bits = 0;
        for (size_t i = 0; i < count; i++) {
            if (i % 64 == 0)
                bits = lbw_random_u64(random);
            float root = m->profile ? one->importance[t].weights[i] : alike;
            out[i] = bits >> i % 64 & 1 ? root : -root;
        }
    }
}

/* ---- the runs ---- */

static size_t num_values(const struct one *one, size_t num_outputs)
{
    size_t num = 0;
    for (size_t k = 1; k < num_outputs; k++)
        num += one->outputs[k].size / sizeof(float);
    return num;
}

static enum lbw_status accumulate(struct one *one, size_t num_outputs, struct lbw_error *err)
{
    if (!one->sums)
        one->sums = calloc(num_values(one, num_outputs) + 1, sizeof *one->sums);
    if (!one->sums)
        return lbw_fail_memory(err);
    double *sum = one->sums;
    for (size_t k = 1; k < num_outputs; k++) {
        const float *values = one->outputs[k].data;
        for (size_t i = 0; i < one->outputs[k].size / sizeof(float); i++)
            *sum++ += values[i];
    }
    return LBW_OK;
}

static enum lbw_status run_draws(struct one *one, struct measure *m, struct lbw_error *err)
{
    struct lbw_random random = {one->seed};
    size_t num_outputs = lbw_sessions_num_outputs(&m->sessions);
    for (size_t t = 0; t < m->sessions.num_targets; t++) {
        one->factors[t] = one->wanted[t];
        one->factors[t].data = malloc(one->wanted[t].size + 1);
        if (!one->factors[t].data)
            return lbw_fail_memory(err);
    }
    for (size_t d = 0; d < m->num_draws; d++) {
        draw(one, m, &random);
        lbw_arrays_release(one->outputs, num_outputs);
        memset(one->outputs, 0, num_outputs * sizeof *one->outputs);
        const struct lbw_lesson lesson = {.wanted = one->wanted, .factors = one->factors};
        LBW_TRY(lbw_sessions_run(&m->sessions, true, one->images, &lesson, NULL, one->outputs,
                                 err));
        LBW_TRY(accumulate(one, num_outputs, err));
    }
    return LBW_OK;
}

static void run_sample(void *user, size_t i)
{
    struct measure *m = user;
    struct one *one = &m->samples[i];
    one->status = run_draws(one, m, &one->err);
}

static bool tell(const struct measure *m, size_t done)
{
    return !m->params->progress || m->params->progress(m->params->user, "measuring sensitivity",
                                                       done, m->num_samples) == 0;
}

/* Multiply-adds of the planned layers in one forward pass. */
static double work_of(const struct measure *m)
{
    double work = 0;
    size_t tap = 0;
    for (size_t i = 0; i < m->plan->num_weights; i++) {
        const struct lbw_weight *weight = &m->plan->weights[i];
        for (size_t k = 0; weight->item.grid && k < weight->num_consumers; k++)
            if (is_reachable(&weight->consumers[k]))
                work += (double)weight->item.count * m->sessions.grad.positions[tap++];
    }
    return work;
}

/* As many samples and draws as the limit allows, but at least two samples. */
static void settle_numbers(struct measure *m)
{
    m->num_samples = lbw_feed_num_samples(m->feed);
    m->num_draws = m->params->num_draws ? m->params->num_draws : DEFAULT_DRAWS;
    double runs = MOST_WORK / fmax(work_of(m), 1);
    while (m->num_draws > 1 && runs < (double)(m->num_samples * m->num_draws))
        m->num_draws /= 2;
    if (runs < (double)m->num_samples)
        m->num_samples = runs < 2 ? (m->num_samples < 2 ? 1 : 2) : (size_t)runs;
}

static enum lbw_status run_all(struct measure *m, struct lbw_error *err)
{
    settle_numbers(m);
    m->samples = calloc(m->num_samples, sizeof *m->samples);
    if (!m->samples)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < m->num_samples; i++) {
        LBW_TRY(one_init(&m->samples[i], m, i, err));
        m->samples[i].seed = i;
        LBW_TRY(read_metric(&m->samples[i], m, err));
    }
    if (!m->profile)
        LBW_TRY(learn_scales(m, err));
    /* in rounds, so that Ctrl-C takes effect soon */
    size_t round = 2 * lbw_num_processors();
    struct measure part = *m;
    for (size_t i = 0; i < m->num_samples; i += round) {
        if (!tell(m, i))
            return lbw_fail(err, LBW_ERR_INTERRUPTED, "interrupted");
        size_t num = m->num_samples - i < round ? m->num_samples - i : round;
        part.samples = m->samples + i;
        lbw_parallel_for(num, 0, run_sample, &part);
        for (size_t k = 0; k < num; k++)
            if (part.samples[k].status != LBW_OK) {
                *err = part.samples[k].err;
                return part.samples[k].status;
            }
    }
    return LBW_OK;
}

/* ---- results ---- */

/* The offset of an output's values among the sums of a sample. */
struct cursor {
    size_t at;     /* among the sums */
    size_t output; /* of the session */
};

static size_t take(struct cursor *cursor, const struct measure *m, size_t *count)
{
    size_t at = cursor->at;
    *count = m->samples[0].outputs[cursor->output++].size / sizeof(float);
    cursor->at += *count;
    return at;
}

/* The mean over samples and draws of the sums from `at` on; NULL when memory is out. */
static double *mean_of(const struct measure *m, size_t at, size_t count)
{
    double *out = calloc(count + 1, sizeof *out);
    for (size_t s = 0; out && s < m->num_samples; s++)
        for (size_t i = 0; i < count; i++)
            out[i] += m->samples[s].sums[at + i] / (double)(m->num_samples * m->num_draws);
    return out;
}

struct place {
    size_t at, count;
};

/* The positions of energies, means and squares of every tap. */
static void find_places(struct place (*places)[3], const struct measure *m)
{
    const struct lbw_grad *grad = &m->sessions.grad;
    const char *const *const names[] = {grad->energies, grad->means, grad->squares};
    size_t num_edges = m->plan->num_edges; /* their energies follow those of layers */
    struct cursor cursor = {0, 1};
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < m->num_taps + (k ? 0 : num_edges); i++)
            if (names[k][i])
                places[i][k].at = take(&cursor, m, &places[i][k].count);
}

static enum lbw_status fill_gain(struct lbw_layer_gain *gain, const struct measure *m,
                                 const struct place place[3], struct lbw_error *err)
{
    if (!place[0].count || !place[1].count)
        return LBW_OK;
    gain->num_out = place[0].count;
    gain->num_in = place[1].count;
    gain->gain = mean_of(m, place[0].at, gain->num_out);
    gain->variance = mean_of(m, place[2].at, gain->num_in);
    double *mean = mean_of(m, place[1].at, gain->num_in);
    for (size_t i = 0; mean && gain->variance && i < gain->num_in; i++)
        gain->variance[i] = fmax(0, gain->variance[i] - mean[i] * mean[i]);
    free(mean);
    if (!mean || !gain->gain || !gain->variance)
        return lbw_fail_memory(err);
    gain->is_known = true;
    return LBW_OK;
}

static void note_unknown(struct lbw_sensitivity *out, const struct measure *m,
                         const struct lbw_weight *weight)
{
    const struct lbw_grad *grad = &m->sessions.grad;
    out->num_unknown++;
    if (!*out->reason)
        lbw_text_excerpt(out->reason, sizeof out->reason,
                         grad->num_cuts ? grad->cuts[0]
                                        : (weight->consumers[0].scope->parent ||
                                                   weight->consumers[0].scope->function
                                               ? "in a subgraph or function"
                                               : "no gradient reaches it"));
}

static enum lbw_status collect_edges(struct measure *m, struct place (*places)[3],
                                     struct lbw_error *err)
{
    struct lbw_sensitivity *out = m->out;
    out->num_edges = m->plan->num_edges;
    out->edges = calloc(out->num_edges + 1, sizeof *out->edges);
    if (!out->edges)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < out->num_edges; i++) {
        const struct place *place = &places[m->num_taps + i][0];
        if (!place->count)
            continue;
        out->edges[i].gain = mean_of(m, place->at, place->count);
        if (!out->edges[i].gain)
            return lbw_fail_memory(err);
        out->edges[i].num = place->count;
    }
    return LBW_OK;
}

static enum lbw_status collect(struct measure *m, struct lbw_error *err)
{
    struct lbw_sensitivity *out = m->out;
    struct place(*places)[3] =
        lbw_arena_calloc(&m->arena, m->num_taps + m->plan->num_edges + 1, sizeof *places);
    if (!places)
        return lbw_fail_memory(err);
    find_places(places, m);
    size_t tap = 0;
    for (size_t i = 0; i < m->plan->num_weights; i++) {
        const struct lbw_weight *weight = &m->plan->weights[i];
        bool is_known = true;
        if (!weight->item.grid)
            continue;
        out->gains[i] = calloc(weight->num_consumers + 1, sizeof **out->gains);
        if (!out->gains[i])
            return lbw_fail_memory(err);
        out->num_gains[i] = weight->num_consumers;
        for (size_t k = 0; k < weight->num_consumers; k++) {
            if (is_reachable(&weight->consumers[k]))
                LBW_TRY(fill_gain(&out->gains[i][k], m, places[tap++], err));
            is_known = is_known && out->gains[i][k].is_known;
        }
        if (!is_known)
            note_unknown(out, m, weight);
    }
    out->by_boxes = m->profile != NULL;
    return collect_edges(m, places, err);
}

static enum lbw_status measure(struct measure *m, struct lbw_error *err)
{
    struct lbw_sensitivity *out = m->out;
    out->num_weights = m->plan->num_weights;
    out->gains = calloc(out->num_weights + 1, sizeof *out->gains);
    out->num_gains = calloc(out->num_weights + 1, sizeof *out->num_gains);
    if (!out->gains || !out->num_gains)
        return lbw_fail_memory(err);
    LBW_TRY(list_taps(m, err));
    LBW_TRY(open_feed(m, err));
    if (!can_use_outputs(m))
        LBW_TRY(open_sessions(m, false, err));
    LBW_TRY(run_all(m, err));
    return collect(m, err);
}

enum lbw_status lbw_sensitivity_measure(struct lbw_sensitivity *out,
                                        const struct lbw_plan *plan,
                                        const struct lbw_sensitivity_params *params,
                                        struct lbw_error *err)
{
    struct measure m = {.plan = plan, .params = params, .out = out};
    struct lbw_error own = {0};
    enum lbw_status status = measure(&m, &own);
    for (size_t i = 0; m.samples && i < m.num_samples; i++)
        one_release(&m, &m.samples[i]);
    free(m.samples);
    lbw_sessions_close(&m.sessions);
    lbw_feed_close(&m.feed);
    lbw_arena_release(&m.arena);
    if (status != LBW_OK && err)
        *err = own;
    return status;
}

void lbw_sensitivity_forget(struct lbw_sensitivity *sensitivity, const struct lbw_plan *plan,
                            const char *reason)
{
    lbw_sensitivity_release(sensitivity);
    for (size_t i = 0; i < plan->num_weights; i++)
        sensitivity->num_unknown += plan->weights[i].item.grid != NULL;
    lbw_text_excerpt(sensitivity->reason, sizeof sensitivity->reason, reason);
}

void lbw_sensitivity_release(struct lbw_sensitivity *sensitivity)
{
    for (size_t i = 0; sensitivity->edges && i < sensitivity->num_edges; i++)
        free(sensitivity->edges[i].gain);
    free(sensitivity->edges);
    for (size_t i = 0; sensitivity->gains && i < sensitivity->num_weights; i++) {
        for (size_t k = 0; sensitivity->gains[i] && k < sensitivity->num_gains[i]; k++) {
            free(sensitivity->gains[i][k].gain);
            free(sensitivity->gains[i][k].variance);
        }
        free(sensitivity->gains[i]);
    }
    free(sensitivity->gains);
    free(sensitivity->num_gains);
    *sensitivity = (struct lbw_sensitivity){0};
}
