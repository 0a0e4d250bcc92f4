/* SPDX-License-Identifier: MIT */
/*
 * Training on one screen: sample → view → teacher → gradients → student's step → projection,
 * judged now and then by pictures that are held back.
 */
#include <lbw/tune.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/thread.h"
#include "pass/tuner.h"
#include "train/augment.h"
#include "train/student.h"
#include "train/targets.h"
#include "train/trainer.h"
#include "train/weighing.h"

#define DEFAULT_SAMPLES ((size_t)64)
#define DEFAULT_STEPS   400
#define DEFAULT_BATCH   4
#define DEFAULT_RATE    0.0003
#define MAX_STEPS       100000000

#define SHARE_HELD_BACK 8    /* one sample in so many */
#define WARM_UP         0.05 /* share of the steps in which the rate rises */
#define FROZEN          0.85 /* share of the steps after which codes stay */
#define NUM_LOOKS       16   /* at the held-back pictures */

/* One sample's way through the models. */
struct pass {
    struct lbw_array *images, *wanted, *factors, *outputs;
    enum lbw_status status;
    struct lbw_error err;
};

/* The public handle is the interface; what it stands on hangs behind it. */
struct tuning {
    struct lbw_tuner face; /* first */
    struct lbw_tune_params params;
    const struct lbw_plan *plan;
    struct lbw_feed *feed;
    struct lbw_student student;
    struct lbw_arena arena; /* of names */
    struct lbw_trainer trainer;
    struct lbw_targets targets;
    struct lbw_weighing weighing;
    struct lbw_tune_result result;

    size_t num_samples, num_held, num_train; /* held-back ones come last */
    struct lbw_array **samples;              /* num_samples × inputs */
    struct lbw_array **held;                 /* num_held × targets: what the teacher says */
    struct lbw_array **held_factors;         /* num_held × targets */
    struct pass *passes;                     /* batch */
    float **sums;                            /* of gradients, per param */
    size_t *order;                           /* of training samples */
    struct lbw_random random;
    struct lbw_tune_status status;
    double started;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void release_arrays(struct lbw_array *arrays, size_t num)
{
    for (size_t i = 0; arrays && i < num; i++)
        lbw_array_release(&arrays[i]);
}

/* ---- samples ---- */

static enum lbw_status load_samples(struct tuning *t, struct lbw_error *err)
{
    size_t num_inputs = lbw_feed_num_inputs(t->feed);
    t->num_samples = lbw_feed_num_samples(t->feed);
    if (t->num_samples < 2)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "training needs at least two samples: one is held back to judge");
    t->num_held = (t->num_samples + SHARE_HELD_BACK - 1) / SHARE_HELD_BACK;
    t->num_train = t->num_samples - t->num_held;
    t->samples = calloc(t->num_samples, sizeof *t->samples);
    t->held = calloc(t->num_held, sizeof *t->held);
    t->held_factors = calloc(t->num_held, sizeof *t->held_factors);
    t->order = calloc(t->num_train, sizeof *t->order);
    if (!t->samples || !t->held || !t->held_factors || !t->order)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < t->num_samples; i++) {
        t->samples[i] = calloc(num_inputs + 1, sizeof **t->samples);
        if (!t->samples[i])
            return lbw_fail_memory(err);
        LBW_TRY(lbw_feed_get(t->feed, i, t->samples[i], err));
    }
    for (size_t i = 0; i < t->num_held; i++) {
        t->held[i] = calloc(t->trainer.num_targets + 1, sizeof **t->held);
        t->held_factors[i] = calloc(t->trainer.num_targets + 1, sizeof **t->held_factors);
        if (!t->held[i] || !t->held_factors[i])
            return lbw_fail_memory(err);
        LBW_TRY(lbw_trainer_teach(&t->trainer, t->samples[t->num_train + i], t->held[i], err));
    }
    return LBW_OK;
}

/* The scales of the loss; a profile that does not know the outputs is fatal to it alone. */
static enum lbw_status weigh(struct tuning *t, struct lbw_error *err)
{
    LBW_TRY(lbw_weighing_learn(&t->weighing, t->held, t->num_held, err));
    for (size_t i = 0; i < t->num_held; i++)
        LBW_TRY(lbw_weighing_apply(&t->weighing, t->held[i], t->held_factors[i], err));
    return LBW_OK;
}

/* The training sample of that turn: every one once, in random order, then again. */
static size_t draw(struct tuning *t, size_t turn)
{
    if (turn % t->num_train == 0) {
        for (size_t i = 0; i < t->num_train; i++)
            t->order[i] = i;
        for (size_t i = t->num_train; i-- > 1;) {
            size_t k = lbw_random_below(&t->random, (uint32_t)i + 1), at = t->order[i];
            t->order[i] = t->order[k];
            t->order[k] = at;
        }
    }
    return t->order[turn % t->num_train];
}

static enum lbw_status view(struct tuning *t, struct pass *pass, size_t sample,
                            struct lbw_error *err)
{
    /* One view of a sample: all its inputs move alike. */
    struct lbw_random random = {lbw_random_u64(&t->random)};
    size_t chosen[LBW_NUM_TILES] = {sample};
    for (size_t k = 1; k < LBW_NUM_TILES; k++)
        chosen[k] = lbw_random_below(&t->random, (uint32_t)t->num_train);
    for (size_t i = 0; i < t->trainer.num_images; i++) {
        const struct lbw_array *tiles[LBW_NUM_TILES];
        struct lbw_random same = random;
        for (size_t k = 0; k < LBW_NUM_TILES; k++)
            tiles[k] = &t->samples[chosen[k]][i];
        LBW_TRY(lbw_augment(&pass->images[i], tiles, &same, err));
    }
    return LBW_OK;
}

/* ---- one step ---- */

static void learn(void *user, size_t i)
{
    struct tuning *t = user;
    struct pass *pass = &t->passes[i];
    pass->status = lbw_trainer_teach(&t->trainer, pass->images, pass->wanted, &pass->err);
    if (pass->status == LBW_OK)
        pass->status =
            lbw_weighing_apply(&t->weighing, pass->wanted, pass->factors, &pass->err);
    if (pass->status == LBW_OK)
        pass->status =
            lbw_trainer_run(&t->trainer, true, pass->images, pass->wanted, pass->factors,
                            t->student.arrays, pass->outputs, &pass->err);
}

static void pass_clear(struct tuning *t, struct pass *pass)
{
    release_arrays(pass->images, t->trainer.num_images);
    release_arrays(pass->wanted, t->trainer.num_targets);
    release_arrays(pass->factors, t->trainer.num_targets);
    release_arrays(pass->outputs, lbw_trainer_num_outputs(&t->trainer));
}

/* Gradients are added in the order of the samples: the same sums for any number of threads. */
static void add_up(struct tuning *t)
{
    double loss = 0;
    for (size_t i = 0; i < t->params.batch; i++)
        loss += *(const float *)t->passes[i].outputs[0].data;
    t->status.loss = loss / (double)t->params.batch;
    for (size_t p = 0; p < t->student.num_params; p++) {
        size_t slot = t->trainer.gradient_slots[p];
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

/* From 0 to 1: how much of the training is done, by steps or by the clock. */
static double share_done(const struct tuning *t)
{
    double share = (double)t->status.step / (double)t->params.num_steps;
    double minutes = (now() - t->started) / 60;
    if (t->params.minutes > 0 && minutes / t->params.minutes > share)
        share = minutes / t->params.minutes;
    return share;
}

static enum lbw_status step(struct tuning *t, struct lbw_error *err)
{
    const double pi = 3.14159265358979323846;
    double share = share_done(t);
    struct lbw_student_rate rate = {.is_frozen = share >= FROZEN,
                                    .optimizer = t->params.optimizer};
    rate.rate = share < WARM_UP ? t->params.rate * (share + 0.002) / (WARM_UP + 0.002)
                                : t->params.rate * 0.5 * (1 + cos(pi * share));
    for (size_t i = 0; i < t->params.batch; i++) {
        size_t sample = draw(t, t->status.step * t->params.batch + i);
        LBW_TRY(view(t, &t->passes[i], sample, err));
    }
    lbw_parallel_for(t->params.batch, 0, learn, t);
    for (size_t i = 0; i < t->params.batch; i++)
        if (t->passes[i].status != LBW_OK)
            return lbw_fail(err, t->passes[i].status, "%s", t->passes[i].err.message);
    add_up(t);
    for (size_t i = 0; i < t->params.batch; i++)
        pass_clear(t, &t->passes[i]);
    t->status.rate = rate.rate;
    t->status.step++;
    if (!isfinite(t->status.loss))
        return lbw_fail(err, LBW_ERR_RUNTIME, "the loss is no number any more: lower the rate");
    return lbw_student_update(&t->student, t->sums, t->params.batch, &rate, err);
}

/* ---- judging ---- */

struct judging {
    struct tuning *tuning;
    double *losses;
    enum lbw_status *statuses;
    struct lbw_error *errors;
};

static void judge_one(void *user, size_t i)
{
    struct judging *j = user;
    struct tuning *t = j->tuning;
    struct lbw_array loss = {0};
    j->statuses[i] =
        lbw_trainer_run(&t->trainer, false, t->samples[t->num_train + i], t->held[i],
                        t->held_factors[i], t->student.arrays, &loss, &j->errors[i]);
    if (j->statuses[i] == LBW_OK)
        j->losses[i] = *(const float *)loss.data;
    lbw_array_release(&loss);
}

/* The loss on the held-back samples; keeps the state when it is the best so far. */
static enum lbw_status judge(struct tuning *t, struct lbw_error *err)
{
    struct judging j = {t, calloc(t->num_held, sizeof(double)),
                        calloc(t->num_held, sizeof(enum lbw_status)),
                        calloc(t->num_held, sizeof(struct lbw_error))};
    enum lbw_status status = LBW_OK;
    double sum = 0;
    if (!j.losses || !j.statuses || !j.errors)
        status = lbw_fail_memory(err);
    else
        lbw_parallel_for(t->num_held, 0, judge_one, &j);
    for (size_t i = 0; i < t->num_held && status == LBW_OK; i++) {
        sum += j.losses[i];
        if (j.statuses[i] != LBW_OK)
            status = lbw_fail(err, j.statuses[i], "%s", j.errors[i].message);
    }
    free(j.losses);
    free(j.statuses);
    free(j.errors);
    if (status != LBW_OK)
        return status;
    t->status.held_back = sum / (double)t->num_held;
    t->status.changed = lbw_student_changed(&t->student);
    if (t->status.step == 0 || t->status.held_back < t->status.best) {
        t->status.best = t->status.held_back;
        t->result.changed = t->status.changed;
        lbw_student_keep(&t->student);
    }
    return LBW_OK;
}

/* ---- all steps ---- */

static enum lbw_status tell(struct tuning *t, struct lbw_error *err)
{
    double elapsed = now() - t->started, share = share_done(t);
    t->status.images_per_second =
        (double)(t->status.step * t->params.batch) / (elapsed > 0 ? elapsed : 1);
    t->status.seconds_left = share > 0 && share < 1 ? elapsed * (1 - share) / share : 0;
    t->status.num_steps = t->params.num_steps;
    if (t->params.minutes > 0 && share > 0 &&
        (double)t->status.step / share < (double)t->params.num_steps)
        t->status.num_steps = (size_t)((double)t->status.step / share);
    if (t->params.progress && t->params.progress(t->params.user, &t->status) != 0)
        return lbw_fail(err, LBW_ERR_INTERRUPTED, "interrupted");
    return LBW_OK;
}

static enum lbw_status train(struct tuning *t, struct lbw_error *err)
{
    double looked = 0;
    t->started = now();
    LBW_TRY(judge(t, err));
    t->result.held_back_before = t->status.held_back;
    LBW_TRY(tell(t, err));
    while (share_done(t) < 1) {
        LBW_TRY(step(t, err));
        if (share_done(t) - looked >= 1.0 / NUM_LOOKS || share_done(t) >= 1) {
            LBW_TRY(judge(t, err));
            looked = share_done(t);
        }
        LBW_TRY(tell(t, err));
    }
    t->result.held_back_after = t->status.best;
    t->result.num_steps = t->status.step;
    t->result.seconds = now() - t->started;
    return LBW_OK;
}

static enum lbw_status alloc_passes(struct tuning *t, struct lbw_error *err)
{
    t->passes = calloc(t->params.batch, sizeof *t->passes);
    t->sums = calloc(t->student.num_params + 1, sizeof *t->sums);
    if (!t->passes || !t->sums)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < t->params.batch; i++) {
        struct pass *pass = &t->passes[i];
        pass->images = calloc(t->trainer.num_images + 1, sizeof *pass->images);
        pass->wanted = calloc(t->trainer.num_targets + 1, sizeof *pass->wanted);
        pass->factors = calloc(t->trainer.num_targets + 1, sizeof *pass->factors);
        pass->outputs = calloc(lbw_trainer_num_outputs(&t->trainer) + 1, sizeof *pass->outputs);
        if (!pass->images || !pass->wanted || !pass->factors || !pass->outputs)
            return lbw_fail_memory(err);
    }
    for (size_t i = 0; i < t->student.num_params; i++)
        if (t->trainer.gradient_slots[i] != SIZE_MAX &&
            !(t->sums[i] = calloc(t->student.arrays[i].size + 1, 1)))
            return lbw_fail_memory(err);
    return LBW_OK;
}

/* Which weights of the plan were within reach; what is not keeps its codes. */
static void mark_tuned(const struct tuning *t, bool *is_tuned)
{
    for (size_t i = 0; i < t->student.num_layers; i++) {
        const struct lbw_weight *weight = t->student.layers[i].weight;
        for (size_t p = 0; p < t->student.num_params; p++)
            if (t->trainer.gradient_slots[p] != SIZE_MAX &&
                strcmp(t->student.names[p], weight->item.tensor) == 0)
                is_tuned[weight - t->plan->weights] = true;
    }
}

static enum lbw_status tune(struct lbw_tuner *self, struct lbw_codes *codes, bool *is_tuned,
                            struct lbw_error *err)
{
    struct tuning *t = (struct tuning *)self;
    LBW_TRY(lbw_student_start(&t->student, t->plan, codes, err));
    LBW_TRY(train(t, err));
    lbw_student_finish(&t->student);
    mark_tuned(t, is_tuned);
    return LBW_OK;
}

/* ---- opening ---- */

static enum lbw_status open_feed(struct tuning *t, struct lbw_model *model,
                                 const char **assumed, struct lbw_error *err)
{
    const struct lbw_tune_params *p = &t->params;
    struct lbw_feed_params feed = {
        .source = p->source,
        .max_samples = p->num_samples ? p->num_samples : DEFAULT_SAMPLES,
        .preprocess = p->preprocess,
        .width = p->width,
        .height = p->height,
        .seed = p->seed,
    };
    return lbw_feed_open(&t->feed, model, &feed, assumed, err);
}

/* Finds the targets and builds the graphs; all values of a target count alike. */
static enum lbw_status open_targets(struct tuning *t, bool of_outputs, struct lbw_error *err)
{
    const struct lbw_tune_params *p = &t->params;
    if (p->num_targets)
        t->targets = (struct lbw_targets){(const char **)p->targets, p->num_targets, 0};
    else
        LBW_TRY(
            lbw_targets_find(&t->targets, &t->arena, t->plan, of_outputs, p->num_taps, err));
    struct lbw_trainer_params params = {.targets = t->targets.names,
                                        .num_targets = t->targets.num,
                                        .params = t->student.names,
                                        .num_params = t->student.num_params,
                                        .num_threads = 1};
    LBW_TRY(lbw_trainer_open(&t->trainer, &t->plan->index, t->feed, &params, err));
    t->weighing = (struct lbw_weighing){.names = t->trainer.targets,
                                        .num_targets = t->trainer.num_targets,
                                        .num_taps = t->targets.num_taps,
                                        .tap_weight = p->tap_weight};
    return LBW_OK;
}

/* Of the first sample: whether the profile knows what the teacher says. */
static bool can_weigh(struct tuning *t)
{
    struct lbw_array *images = calloc(t->trainer.num_images + 1, sizeof *images);
    struct lbw_array *wanted = calloc(t->trainer.num_targets + 1, sizeof *wanted);
    bool done = images && wanted && lbw_feed_get(t->feed, 0, images, NULL) == LBW_OK &&
                lbw_trainer_teach(&t->trainer, images, wanted, NULL) == LBW_OK &&
                lbw_weighing_learn(&t->weighing, &wanted, 1, NULL) == LBW_OK;
    lbw_weighing_release(&t->weighing);
    if (images && wanted) {
        release_arrays(images, t->trainer.num_images);
        release_arrays(wanted, t->trainer.num_targets);
    }
    free(images);
    free(wanted);
    return done;
}

/* The model's outputs as targets, where gradients and the profile reach them. */
static bool open_outputs(struct tuning *t)
{
    const struct lbw_profile *profile = t->params.profile;
    const struct lbw_feed_input *input = lbw_feed_input(t->feed, 0);
    if (!profile || t->params.num_targets || input->num_dims != 4 || input->dims[0] != 1 ||
        open_targets(t, true, NULL) != LBW_OK)
        return false;
    bool is_last = profile->preprocess.channels_last;
    t->weighing.profile = profile;
    t->weighing.height = (int)input->dims[is_last ? 1 : 2];
    t->weighing.width = (int)input->dims[is_last ? 2 : 3];
    if (t->trainer.grad.num_cuts == 0 && can_weigh(t))
        return true;
    lbw_trainer_close(&t->trainer);
    return false;
}

static enum lbw_status open_trainer(struct tuning *t, struct lbw_error *err)
{
    LBW_TRY(lbw_student_init(&t->student, t->plan, err));
    if (!open_outputs(t))
        LBW_TRY(open_targets(t, false, err));
    struct lbw_tune_result *r = &t->result;
    bool *is_tuned = calloc(t->plan->num_weights + 1, sizeof *is_tuned);
    if (!is_tuned)
        return lbw_fail_memory(err);
    mark_tuned(t, is_tuned);
    for (size_t i = 0; i < t->plan->num_weights; i++)
        if (t->plan->weights[i].item.grid)
            *(is_tuned[i] ? &r->num_learned : &r->num_out_of_reach) += 1;
    free(is_tuned);
    r->num_targets = t->trainer.num_targets;
    r->targets = t->trainer.targets;
    r->num_taps = t->targets.num_taps;
    r->is_weighed = t->weighing.profile != NULL;
    r->num_cuts = t->trainer.grad.num_cuts;
    r->cuts = t->trainer.grad.cuts;
    if (!r->num_learned)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "training reaches no weight%s%s",
                        r->num_cuts ? ": " : "", r->num_cuts ? r->cuts[0] : "");
    return LBW_OK;
}

static enum lbw_status open_all(struct tuning *t, struct lbw_model *model, const char **assumed,
                                struct lbw_error *err)
{
    LBW_TRY(open_feed(t, model, assumed, err));
    LBW_TRY(open_trainer(t, err));
    LBW_TRY(load_samples(t, err));
    LBW_TRY(weigh(t, err));
    LBW_TRY(alloc_passes(t, err));
    t->result.num_train = t->num_train;
    t->result.num_held_back = t->num_held;
    return LBW_OK;
}

enum lbw_status lbw_tune_open(struct lbw_tuner **out, struct lbw_model *model,
                              const struct lbw_plan *plan, const struct lbw_tune_params *params,
                              const char **assumed, struct lbw_error *err)
{
    struct tuning *t = calloc(1, sizeof *t);
    if (!t)
        return lbw_fail_memory(err);
    t->face.tune = tune;
    t->params = *params;
    t->plan = plan;
    t->random.state = params->seed;
    if (!t->params.num_steps)
        t->params.num_steps = params->minutes > 0 ? MAX_STEPS : DEFAULT_STEPS;
    if (!t->params.batch)
        t->params.batch = DEFAULT_BATCH;
    if (!(t->params.rate > 0))
        t->params.rate = DEFAULT_RATE;
    if (!(t->params.tap_weight > 0))
        t->params.tap_weight = 1;
    enum lbw_status status = open_all(t, model, assumed, err);
    struct lbw_tuner *face = &t->face;
    if (status == LBW_OK)
        *out = face;
    else
        lbw_tune_close(&face);
    return status;
}

void lbw_tune_close(struct lbw_tuner **tuner)
{
    struct tuning *t = (struct tuning *)*tuner;
    if (!t)
        return;
    for (size_t i = 0; t->samples && i < t->num_samples; i++) {
        release_arrays(t->samples[i], lbw_feed_num_inputs(t->feed));
        free(t->samples[i]);
    }
    for (size_t i = 0; t->held && i < t->num_held; i++) {
        release_arrays(t->held[i], t->trainer.num_targets);
        free(t->held[i]);
    }
    for (size_t i = 0; t->held_factors && i < t->num_held; i++) {
        release_arrays(t->held_factors[i], t->trainer.num_targets);
        free(t->held_factors[i]);
    }
    for (size_t i = 0; t->passes && i < t->params.batch; i++) {
        struct pass *pass = &t->passes[i];
        if (pass->images && pass->wanted && pass->factors && pass->outputs)
            pass_clear(t, pass);
        free(pass->images);
        free(pass->wanted);
        free(pass->factors);
        free(pass->outputs);
    }
    for (size_t i = 0; t->sums && i < t->student.num_params; i++)
        free(t->sums[i]);
    free(t->samples);
    free(t->held);
    free(t->held_factors);
    free(t->order);
    free(t->passes);
    free(t->sums);
    lbw_weighing_release(&t->weighing);
    lbw_student_release(&t->student);
    lbw_trainer_close(&t->trainer);
    lbw_arena_release(&t->arena);
    lbw_feed_close(&t->feed);
    free(t);
    *tuner = NULL;
}

const struct lbw_tune_result *lbw_tune_result(const struct lbw_tuner *tuner)
{
    return &((const struct tuning *)tuner)->result;
}
