/* SPDX-License-Identifier: MIT */
/* Opening and closing training: samples, targets, graphs, buffers. */
#include <stdlib.h>
#include <string.h>

#include "detect/assume.h"
#include "feed/input.h"
#include "train/tuning.h"

#define SHARE_HELD_BACK 8  /* one sample of this many */
#define MOST_LESSONS    32 /* that the scales of the loss are learned from */
#define NUM_EXAMS       48 /* views of these: the loss on 8 images moves by a tenth by chance */

static enum lbw_status load_samples(struct lbw_tuning *t, struct lbw_error *err)
{
    size_t num_inputs = lbw_feed_num_inputs(t->feed);
    t->num_samples = lbw_feed_num_samples(t->feed);
    if (t->num_samples < 2)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "training needs at least two samples: one is held out for validation");
    t->num_held = (t->num_samples + SHARE_HELD_BACK - 1) / SHARE_HELD_BACK;
    t->num_train = t->num_samples - t->num_held;
    t->samples = calloc(t->num_samples, sizeof *t->samples);
    if (!t->samples)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < t->num_samples; i++) {
        t->samples[i] = calloc(num_inputs + 1, sizeof **t->samples);
        if (!t->samples[i])
            return lbw_fail_memory(err);
        LBW_TRY(lbw_feed_get(t->feed, i, t->samples[i], err));
    }
    return LBW_OK;
}

/* The scales of the loss, from lessons of the held-back samples. */
static enum lbw_status weigh_by(struct lbw_lesson *lessons, size_t num, struct lbw_tuning *t,
                                struct lbw_error *err)
{
    for (size_t i = 0; i < num; i++) {
        LBW_TRY(lbw_lesson_init(&lessons[i], &t->sessions, err));
        LBW_TRY(lbw_sessions_teach(&t->sessions, t->samples[t->num_train + i],
                                   lessons[i].wanted, err));
    }
    return lbw_weighing_learn(&t->weighing, lessons, num, err);
}

static enum lbw_status weigh(struct lbw_tuning *t, struct lbw_error *err)
{
    size_t num = t->num_held < MOST_LESSONS ? t->num_held : MOST_LESSONS;
    struct lbw_lesson *lessons = calloc(num, sizeof *lessons);
    if (!lessons)
        return lbw_fail_memory(err);
    enum lbw_status status = weigh_by(lessons, num, t, err);
    for (size_t i = 0; i < num; i++)
        lbw_lesson_release(&lessons[i], &t->sessions);
    free(lessons);
    return status;
}

static enum lbw_status open_views(struct lbw_tuning *t, struct lbw_error *err)
{
    t->views = (struct lbw_views){.sessions = &t->sessions,
                                  .weighing = &t->weighing,
                                  .samples = t->samples,
                                  .num_samples = t->num_train,
                                  .seed = t->params.seed};
    LBW_TRY(lbw_views_init(&t->views, t->params.num_views, t->params.batch, err));
    t->exams = (struct lbw_views){.sessions = &t->sessions,
                                  .weighing = &t->weighing,
                                  .samples = t->samples + t->num_train,
                                  .num_samples = t->num_held,
                                  .num_plain = t->num_held,
                                  .seed = ~t->params.seed};
    LBW_TRY(lbw_views_init(&t->exams, NUM_EXAMS, 1, err));
    t->order = calloc(t->views.num, sizeof *t->order);
    return t->order ? LBW_OK : lbw_fail_memory(err);
}

static enum lbw_status alloc_passes(struct lbw_tuning *t, struct lbw_error *err)
{
    t->passes = calloc(t->params.batch, sizeof *t->passes);
    t->sums = calloc(t->student.num_params + 1, sizeof *t->sums);
    if (!t->passes || !t->sums)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < t->params.batch; i++) {
        struct lbw_pass *pass = &t->passes[i];
        pass->images = calloc(t->sessions.num_images + 1, sizeof *pass->images);
        pass->outputs =
            calloc(lbw_sessions_num_outputs(&t->sessions) + 1, sizeof *pass->outputs);
        if (!pass->images || !pass->outputs)
            return lbw_fail_memory(err);
        LBW_TRY(lbw_lesson_init(&pass->lesson, &t->sessions, err));
    }
    for (size_t i = 0; i < t->student.num_params; i++)
        if (t->sessions.gradient_slots[i] != SIZE_MAX &&
            !(t->sums[i] = calloc(t->student.arrays[i].size + 1, 1)))
            return lbw_fail_memory(err);
    return LBW_OK;
}

/* Marks the weights of the plan that gradients reach; others keep their codes. */
void lbw_tuning_mark(const struct lbw_tuning *t, bool *is_tuned)
{
    for (size_t i = 0; i < t->student.num_layers; i++) {
        const struct lbw_weight *weight = t->student.layers[i].weight;
        for (size_t p = 0; p < t->student.num_params; p++)
            if (t->sessions.gradient_slots[p] != SIZE_MAX &&
                strcmp(t->student.names[p], weight->item.tensor) == 0)
                is_tuned[weight - t->plan->weights] = true;
    }
}

static enum lbw_status open_feed(struct lbw_tuning *t, struct lbw_model *model,
                                 const char **assumed, struct lbw_error *err)
{
    const struct lbw_tune_params *p = &t->params;
    struct lbw_feed_params feed = {
        .source = p->source,
        .samples = p->samples,
        .max_samples = p->num_samples ? p->num_samples : LBW_FEED_SAMPLES,
        .preprocess = p->preprocess,
        .width = p->width,
        .height = p->height,
        .seed = p->seed,
    };
    return lbw_assumed_feed_open(&t->feed, model, &feed, assumed, err);
}

/* Finds the targets and builds the graphs; all values of a target count alike. */
static enum lbw_status open_targets(struct lbw_tuning *t, bool of_outputs,
                                    struct lbw_error *err)
{
    const struct lbw_tune_params *p = &t->params;
    if (p->num_targets)
        t->targets = (struct lbw_targets){(const char **)p->targets, p->num_targets, 0};
    else
        LBW_TRY(
            lbw_targets_find(&t->targets, &t->arena, t->plan, of_outputs, p->num_taps, err));
    size_t num_scored = of_outputs ? t->targets.num - t->targets.num_taps : 0;
    struct lbw_sessions_params params = {.targets = t->targets.names,
                                         .num_targets = t->targets.num,
                                         .num_scored = num_scored,
                                         .num_taps = t->targets.num_taps,
                                         .params = t->student.names,
                                         .num_params = t->student.num_params,
                                         .num_threads = 1};
    LBW_TRY(lbw_sessions_open(&t->sessions, &t->plan->index, t->feed, &params, err));
    t->weighing = (struct lbw_weighing){.names = t->sessions.targets,
                                        .num_targets = t->sessions.num_targets,
                                        .num_taps = t->targets.num_taps,
                                        .tap_weight = p->tap_weight};
    return LBW_OK;
}

/* For the first sample: whether the profile matches the teacher's outputs. */
static bool can_weigh(struct lbw_tuning *t)
{
    struct lbw_array *images = calloc(t->sessions.num_images + 1, sizeof *images);
    struct lbw_lesson lesson = {0};
    bool done = images && lbw_lesson_init(&lesson, &t->sessions, NULL) == LBW_OK &&
                lbw_feed_get(t->feed, 0, images, NULL) == LBW_OK &&
                lbw_sessions_teach(&t->sessions, images, lesson.wanted, NULL) == LBW_OK &&
                lbw_weighing_learn(&t->weighing, &lesson, 1, NULL) == LBW_OK;
    lbw_weighing_release(&t->weighing);
    lbw_arrays_release(images, t->sessions.num_images);
    lbw_lesson_release(&lesson, &t->sessions);
    free(images);
    return done;
}

/* The model's outputs as targets, if gradients reach them and the profile matches. */
static bool open_outputs(struct lbw_tuning *t)
{
    const struct lbw_profile *profile = t->params.profile;
    struct lbw_feed_input input = *lbw_feed_input(t->feed, 0);
    struct lbw_picture_axes axes;
    if (!profile || t->params.num_targets || input.num_dims != 4 || input.dims[0] != 1 ||
        !lbw_picture_axes(&axes, &input, true, profile->preprocess.channels_last) ||
        open_targets(t, true, NULL) != LBW_OK)
        return false;
    t->weighing.profile = profile;
    t->weighing.height = (int)input.dims[axes.height_axis];
    t->weighing.width = (int)input.dims[axes.width_axis];
    if (t->sessions.grad.num_cuts == 0 && can_weigh(t))
        return true;
    lbw_sessions_close(&t->sessions);
    return false;
}

static enum lbw_status open_sessions(struct lbw_tuning *t, struct lbw_error *err)
{
    LBW_TRY(lbw_student_init(&t->student, t->plan, err));
    if (!open_outputs(t))
        LBW_TRY(open_targets(t, false, err));
    struct lbw_tune_result *r = &t->result;
    bool *is_tuned = calloc(t->plan->num_weights + 1, sizeof *is_tuned);
    if (!is_tuned)
        return lbw_fail_memory(err);
    lbw_tuning_mark(t, is_tuned);
    for (size_t i = 0; i < t->plan->num_weights; i++)
        if (t->plan->weights[i].item.grid)
            *(is_tuned[i] ? &r->num_learned : &r->num_out_of_reach) += 1;
    for (size_t i = 0; i < t->plan->num_weights; i++)
        r->num_plain += is_tuned[i] && !t->plan->weights[i].item.grid;
    free(is_tuned);
    r->num_targets = t->sessions.num_targets;
    r->targets = t->sessions.targets;
    r->num_taps = t->targets.num_taps;
    r->is_weighed = t->weighing.profile != NULL;
    r->num_cuts = t->sessions.grad.num_cuts;
    r->cuts = t->sessions.grad.cuts;
    if (!r->num_learned)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "no weight can be trained%s%s",
                        r->num_cuts ? ": " : "", r->num_cuts ? r->cuts[0] : "");
    return LBW_OK;
}

enum lbw_status lbw_tuning_open(struct lbw_tuning *t, struct lbw_model *model,
                                const char **assumed, struct lbw_error *err)
{
    LBW_TRY(open_feed(t, model, assumed, err));
    LBW_TRY(lbw_within(err, open_sessions(t, err), "%s", model->name));
    LBW_TRY(load_samples(t, err));
    LBW_TRY(lbw_within(err, weigh(t, err), "%s", model->name));
    LBW_TRY(open_views(t, err));
    LBW_TRY(alloc_passes(t, err));
    t->result.num_train = t->num_train;
    t->result.num_held_back = t->num_held;
    return LBW_OK;
}

void lbw_pass_clear(const struct lbw_tuning *t, struct lbw_pass *pass)
{
    lbw_arrays_release(pass->images, t->sessions.num_images);
    lbw_lesson_clear(&pass->lesson, &t->sessions);
    lbw_arrays_release(pass->outputs, lbw_sessions_num_outputs(&t->sessions));
}

void lbw_tuning_release(struct lbw_tuning *t)
{
    for (size_t i = 0; t->samples && i < t->num_samples; i++) {
        lbw_arrays_release(t->samples[i], lbw_feed_num_inputs(t->feed));
        free(t->samples[i]);
    }
    lbw_views_release(&t->views);
    lbw_views_release(&t->exams);
    for (size_t i = 0; t->passes && i < t->params.batch; i++) {
        struct lbw_pass *pass = &t->passes[i];
        if (pass->images && pass->outputs)
            lbw_pass_clear(t, pass);
        lbw_lesson_release(&pass->lesson, &t->sessions);
        free(pass->images);
        free(pass->outputs);
    }
    for (size_t i = 0; t->sums && i < t->student.num_params; i++)
        free(t->sums[i]);
    free(t->samples);
    free(t->order);
    free(t->passes);
    free(t->sums);
    lbw_weighing_release(&t->weighing);
    lbw_student_release(&t->student);
    lbw_sessions_close(&t->sessions);
    lbw_arena_release(&t->arena);
    lbw_feed_close(&t->feed);
    lbw_plan_free(&t->plan);
}
