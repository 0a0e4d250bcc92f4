/* SPDX-License-Identifier: MIT */
/*
 * Training on one screen: sample → view → teacher → gradients → student's step → projection,
 * judged now and then by images that are held back.
 */
#include <lbw/tune.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/thread.h"
#include "detect/profile_check.h"
#include "train/tuning.h"

const char *lbw_optimizer_name(enum lbw_optimizer optimizer)
{
    static const char *const names[] = {"adam", "sgd"};
    return (size_t)optimizer < sizeof names / sizeof *names ? names[optimizer] : NULL;
}

#define DEFAULT_STEPS      400
#define DEFAULT_BATCH      8
#define DEFAULT_RATE       1e-4
#define MOST_TAPS          1000
#define DEFAULT_TAP_WEIGHT 3
#define MAX_STEPS          100000000
#define MOST_RATE          1e6

#define WARM_UP   0.05  /* share of the steps in which the rate rises */
#define AVERAGED  0.375 /* share of the steps after which float weights are averaged */
#define FROZEN    0.75  /* share of the steps after which codes stay */
#define NUM_LOOKS 16    /* measurements on held-back samples */

/* A loss of this many times the lowest so far means that steps are too long. */
#define ASTRAY              1.5
#define MOST_PACE           8
#define MOST_PACE_WITH_TAPS 2 /* taps hide that codes wander off */

/* The view of a turn: every one once, in random order, then again. */
static size_t draw(struct lbw_tuning *t, size_t turn)
{
    size_t num = t->views.num;
    if (turn % num == 0) {
        for (size_t i = 0; i < num; i++)
            t->order[i] = i;
        for (size_t i = num; i-- > 1;) {
            size_t k = lbw_random_below(&t->random, (uint32_t)i + 1), at = t->order[i];
            t->order[i] = t->order[k];
            t->order[k] = at;
        }
    }
    return t->order[turn % num];
}

/* ---- one step ---- */

static enum lbw_status learn(void *user, size_t i, struct lbw_error *err)
{
    struct lbw_tuning *t = user;
    struct lbw_pass *pass = &t->passes[i];
    LBW_TRY(lbw_views_draw(&t->views, pass->view, pass->images, err));
    LBW_TRY(lbw_views_teach(&t->views, pass->view, pass->images, &pass->lesson, err));
    return lbw_sessions_run(&t->sessions, true, pass->images, &pass->lesson, t->student.arrays,
                            pass->outputs, err);
}

/* Gradients are summed in the order of the samples: the same for any number of threads. */
static void add_up(struct lbw_tuning *t)
{
    double loss = 0;
    for (size_t i = 0; i < t->params.batch; i++)
        loss += *(const float *)t->passes[i].outputs[0].data - t->passes[i].lesson.least;
    t->status.loss = loss / (double)t->params.batch;
    for (size_t p = 0; p < t->student.num_params; p++) {
        size_t slot = t->sessions.gradient_slots[p];
        if (slot == SIZE_MAX)
            continue;
        size_t count = t->student.arrays[p].size / sizeof(float);
        memset(t->sums[p], 0, count * sizeof(float));
        for (size_t i = 0; i < t->params.batch; i++) {
            const float *gradient = t->passes[i].outputs[slot].data;
            for (size_t k = 0; k < count; k++)
                t->sums[p][k] += gradient[k];
        }
    }
}

/* From 0 to 1: the part of training that is done, by steps or by the clock. */
static double share_done(const struct lbw_tuning *t)
{
    double share = (double)t->status.step / (double)t->params.num_steps;
    double minutes = (lbw_now() - t->started) / 60;
    if (t->params.minutes > 0 && minutes / t->params.minutes > share)
        share = minutes / t->params.minutes;
    return share;
}

static enum lbw_status step(struct lbw_tuning *t, struct lbw_error *err)
{
    const double pi = 3.14159265358979323846;
    double share = share_done(t);
    struct lbw_student_rate rate = {.is_averaged = share >= AVERAGED && share < FROZEN,
                                    .is_frozen = share >= FROZEN,
                                    .optimizer = t->params.optimizer};
    rate.rate = share < WARM_UP ? t->params.rate * (share + 0.002) / (WARM_UP + 0.002)
                                : t->params.rate * 0.5 * (1 + cos(pi * share));
    rate.rate *= t->pace;
    for (size_t i = 0; i < t->params.batch; i++)
        t->passes[i].view = draw(t, t->status.step * t->params.batch + i);
    LBW_TRY(lbw_parallel_try(t->params.batch, 0, learn, t, err));
    add_up(t);
    for (size_t i = 0; i < t->params.batch; i++)
        lbw_pass_clear(t, &t->passes[i]);
    t->status.rate = rate.rate;
    t->status.step++;
    if (!isfinite(t->status.loss))
        return lbw_fail(err, LBW_ERR_RUNTIME, "the loss became NaN: lower --rate");
    return lbw_student_update(&t->student, t->sums, t->params.batch, &rate, err);
}

/* ---- all steps ---- */

static enum lbw_status tell(struct lbw_tuning *t, struct lbw_error *err)
{
    double elapsed = lbw_now() - t->started, share = share_done(t);
    t->status.images_per_second =
        (double)(t->status.step * t->params.batch) / (elapsed > 0 ? elapsed : 1);
    t->status.seconds_left = share > 0 && share < 1 ? elapsed * (1 - share) / share : 0;
    t->status.num_steps = t->params.num_steps;
    t->status.num_views = t->status.step * t->params.batch;
    if (t->params.minutes > 0 && share > 0 &&
        (double)t->status.step / share < (double)t->params.num_steps)
        t->status.num_steps = (size_t)((double)t->status.step / share);
    if (t->params.progress && t->params.progress(t->params.user, &t->status) != 0)
        return lbw_fail(err, LBW_ERR_INTERRUPTED, "interrupted");
    return LBW_OK;
}

/* Starts, or resumes from the checkpoint. */
static enum lbw_status begin(struct lbw_tuning *t, struct lbw_error *err)
{
    bool found = false;
    t->started = lbw_now();
    LBW_TRY(lbw_tuning_restore(&found, t, err));
    t->result.num_resumed = t->status.step;
    if (found)
        return LBW_OK;
    LBW_TRY(lbw_tuning_judge(t, err));
    t->result.held_back_before = t->status.held_back;
    t->result.agreement_before = t->status.agreement;
    return lbw_tuning_save(t, err); /* if it cannot be written, better fail now than later */
}

/* Interrupted training leaves its checkpoint. */
static enum lbw_status show_progress(struct lbw_tuning *t, struct lbw_error *err)
{
    enum lbw_status status = tell(t, err);
    if (status == LBW_ERR_INTERRUPTED)
        LBW_TRY(lbw_tuning_save(t, err));
    return status;
}

/* Longer steps while the loss falls and there is time to decay, shorter ones otherwise. */
static void set_pace(struct lbw_tuning *t)
{
    bool is_best = t->status.held_back <= t->status.best;
    double most = t->targets.num_taps ? MOST_PACE_WITH_TAPS : MOST_PACE;
    if (t->status.held_back > ASTRAY * t->status.best)
        t->pace /= 2;
    else if (is_best && share_done(t) < AVERAGED && t->pace < most)
        t->pace *= 2;
}

static enum lbw_status train(struct lbw_tuning *t, struct lbw_error *err)
{
    LBW_TRY(begin(t, err));
    LBW_TRY(show_progress(t, err));
    double looked = share_done(t);
    while (share_done(t) < 1) {
        LBW_TRY(step(t, err));
        if (share_done(t) - looked >= 1.0 / NUM_LOOKS || share_done(t) >= 1) {
            LBW_TRY(lbw_tuning_judge(t, err));
            set_pace(t);
            looked = share_done(t);
            LBW_TRY(lbw_tuning_save(t, err));
        }
        LBW_TRY(show_progress(t, err));
    }
    t->result.held_back_after = t->status.best;
    t->result.num_steps = t->status.step;
    t->result.seconds = lbw_now() - t->started;
    return LBW_OK;
}

static enum lbw_status tune(struct lbw_tuner *self, struct lbw_codes *codes, bool *is_tuned,
                            struct lbw_error *err)
{
    struct lbw_tuning *t = (struct lbw_tuning *)self;
    LBW_TRY(lbw_student_start(&t->student, t->plan, codes, err));
    LBW_TRY(train(t, err));
    lbw_student_finish(&t->student);
    lbw_tuning_mark(t, is_tuned);
    return LBW_OK;
}

static enum lbw_status check(const struct lbw_model *model, const struct lbw_plan *plan,
                             const struct lbw_tune_params *params, struct lbw_error *err)
{
    if (plan->model != model)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "the plan is for another model");
    LBW_TRY(lbw_check_choice("optimizer", params->optimizer, LBW_OPTIMIZER_SGD + 1, err));
    LBW_TRY(lbw_check_range("rate", params->rate, 0, MOST_RATE, err));
    LBW_TRY(lbw_check_range("number of taps", (double)params->num_taps, 0, MOST_TAPS, err));
    LBW_TRY(lbw_check_range("tap weight", params->tap_weight, 0, MOST_RATE, err));
    LBW_TRY(lbw_check_range("minutes", params->minutes, 0, INFINITY, err));
    LBW_TRY(lbw_check_list("targets", params->targets, params->num_targets, err));
    for (size_t i = 0; i < params->num_targets; i++)
        LBW_TRY(lbw_check_given("target", params->targets[i], err));
    return params->profile ? lbw_profile_check(params->profile, err) : LBW_OK;
}

/* Params with defaults, and copies of data that outlives the call. */
static enum lbw_status keep_params(struct lbw_tuning *t, const struct lbw_tune_params *params,
                                   struct lbw_error *err)
{
    struct lbw_tune_params *p = &t->params;
    *p = *params;
    t->random.state = p->seed;
    t->pace = 1;
    if (!p->num_steps)
        p->num_steps = p->minutes > 0 ? MAX_STEPS : DEFAULT_STEPS;
    if (!p->batch)
        p->batch = DEFAULT_BATCH;
    if (!(p->rate > 0))
        p->rate = DEFAULT_RATE;
    if (!(p->tap_weight > 0))
        p->tap_weight = DEFAULT_TAP_WEIGHT;
    const char **targets = lbw_arena_calloc(&t->arena, p->num_targets + 1, sizeof *targets);
    if (!targets)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < p->num_targets; i++)
        if (!(targets[i] = lbw_arena_strdup(&t->arena, p->targets[i])))
            return lbw_fail_memory(err);
    p->targets = targets;
    if (p->checkpoint && !(p->checkpoint = lbw_arena_strdup(&t->arena, p->checkpoint)))
        return lbw_fail_memory(err);
    if (p->profile) {
        t->profile = *p->profile; /* its labels are not used */
        p->profile = &t->profile;
    }
    return LBW_OK;
}

enum lbw_status lbw_tune_open(struct lbw_tuner **out, struct lbw_model *model,
                              const struct lbw_plan *plan, const struct lbw_tune_params *params,
                              const char **assumed, struct lbw_error *err)
{
    static const struct lbw_tune_params by_default;
    params = params ? params : &by_default;
    struct lbw_tuner *face = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_plan_check(plan, err));
    LBW_OR_OUT(check(model, plan, params, err));
    struct lbw_tuning *t = calloc(1, sizeof *t);
    if (!t)
        LBW_OR_OUT(lbw_fail_memory(err));
    face = &t->face;
    t->face.tune = tune;
    t->face.plan = t->plan = lbw_plan_hold(plan);
    LBW_OR_OUT(keep_params(t, params, err));
    LBW_OR_OUT(lbw_tuning_open(t, model, assumed, err));
    *out = face;
    face = NULL;
out:
    lbw_tune_close(&face);
    return status;
}

void lbw_tune_close(struct lbw_tuner **tuner)
{
    struct lbw_tuning *t = (struct lbw_tuning *)*tuner;
    if (t)
        lbw_tuning_release(t);
    free(t);
    *tuner = NULL;
}

const struct lbw_tune_result *lbw_tune_result(const struct lbw_tuner *tuner)
{
    return &((const struct lbw_tuning *)tuner)->result;
}
