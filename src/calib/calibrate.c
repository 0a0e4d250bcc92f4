/* SPDX-License-Identifier: MIT */
/* Calibration for the public API: a feed of samples, run through the models stage by stage. */
#include <lbw/convert.h>

#include <stdlib.h>
#include <string.h>

#include "calib/agreement.h"
#include "calib/emphasis.h"
#include "calib/stages.h"
#include "detect/assume.h"

/* With fewer samples, chance decides whose boxes agree better. */
#define FEWEST_TO_JUDGE 16

/* The public handle is the interface itself, followed by what it needs. */
struct calibration {
    struct lbw_activations
        face; /* first: a copy of that of the stages, to which calls are passed on */
    struct lbw_activations *stages;
    struct lbw_feed *feed;
    struct lbw_emphasis *emphasis;
    struct lbw_model *model; /* held */
    struct lbw_stages_params params;
    double seconds_before;       /* of stages before a restart */
    struct lbw_profile detector; /* for judge() */
};

static enum lbw_status show(struct lbw_activations *self, const char *name,
                            lbw_activation_fn fn, void *user, struct lbw_error *err)
{
    struct calibration *c = (struct calibration *)self;
    struct lbw_activations *stages = c->stages;
    stages->reserved = self->reserved;
    stages->watch = self->watch;
    enum lbw_status status = stages->show(stages, name, fn, user, err);
    self->seconds = c->seconds_before + stages->seconds;
    return status;
}

static enum lbw_status replace(struct lbw_activations *self, const char *name,
                               const float *values, size_t count, struct lbw_error *err)
{
    struct lbw_activations *stages = ((struct calibration *)self)->stages;
    return stages->replace(stages, name, values, count, err);
}

static enum lbw_status settle(struct lbw_activations *self, size_t node, struct lbw_error *err)
{
    struct lbw_activations *stages = ((struct calibration *)self)->stages;
    return stages->settle(stages, node, err);
}

static enum lbw_status round_value(struct lbw_activations *self, const char *name,
                                   const struct lbw_ranges *ranges, struct lbw_error *err)
{
    struct lbw_activations *stages = ((struct calibration *)self)->stages;
    return stages->round(stages, name, ranges, err);
}

static enum lbw_status judge(double *out, struct lbw_activations *self, struct lbw_error *err)
{
    struct calibration *c = (struct calibration *)self;
    c->stages->watch = self->watch;
    enum lbw_status status =
        lbw_agreement_measure(out, c->stages, c->model, c->feed, &c->detector, err);
    self->seconds = c->seconds_before + c->stages->seconds;
    return status;
}

/* Reads the samples again, but does not look at them again. */
static enum lbw_status restart(struct lbw_activations *self, struct lbw_error *err)
{
    struct calibration *c = (struct calibration *)self;
    struct lbw_activations *stages = NULL;
    c->params.look = NULL;
    c->seconds_before = self->seconds;
    lbw_stages_close(&c->stages); /* first: two of them would take twice the memory */
    LBW_TRY(lbw_stages_open(&stages, c->model, c->feed, &c->params, err));
    c->stages = stages;
    return LBW_OK;
}

static enum lbw_status open_parts(struct calibration *c, struct lbw_model *model,
                                  const struct lbw_calibrate_params *params,
                                  const char **assumed, struct lbw_error *err)
{
    struct lbw_feed_params feed = {
        .source = params->source,
        .samples = params->samples,
        .max_samples = params->num_samples,
        .preprocess = params->preprocess,
        .width = params->width,
        .height = params->height,
        .seed = params->seed,
        .hold_back = params->hold_back,
    };
    if (!feed.max_samples && (params->samples || !lbw_source_is_generated(params->source)))
        feed.max_samples = LBW_FEED_SAMPLES;
    struct lbw_stages_params *stages = &c->params;
    stages->memory = params->memory ? params->memory : LBW_DEFAULT_MEMORY;
    stages->sequential = !params->independent;
    LBW_TRY(lbw_assumed_feed_open(&c->feed, model, &feed, assumed, err));
    if (params->profile)
        LBW_TRY(lbw_emphasis_open(&c->emphasis, model, c->feed, params->profile, err));
    if (c->emphasis) {
        stages->emphasis = lbw_emphasis_maps(c->emphasis);
        stages->look = lbw_emphasis_look;
        stages->user = c->emphasis;
    }
    LBW_TRY(lbw_stages_open(&c->stages, model, c->feed, stages, err));
    lbw_emphasis_settle(c->emphasis);
    c->face.num_samples = c->stages->num_samples;
    c->face.identity = c->stages->identity;
    c->face.memory = LBW_FIT_MEMORY(stages->memory);
    /* if independent, the converted model is never run */
    if (!params->detector || params->independent || c->face.num_samples < FEWEST_TO_JUDGE)
        return LBW_OK;
    c->face.judge = judge;
    c->face.restart = restart;
    return lbw_profile_copy(&c->detector, params->detector, err);
}

enum lbw_status lbw_calibrate_open(struct lbw_activations **out, struct lbw_model *model,
                                   const struct lbw_calibrate_params *params,
                                   const char **assumed, struct lbw_error *err)
{
    static const struct lbw_calibrate_params by_default;
    LBW_TRY(lbw_model_check(model, err));
    params = params ? params : &by_default;
    struct calibration *c = calloc(1, sizeof *c);
    if (!c)
        return lbw_fail_memory(err);
    c->model = lbw_model_hold(model);
    c->face = (struct lbw_activations){
        .show = show,
        .replace = replace,
        .settle = settle,
        .model = model,
        .round = round_value,
    };
    enum lbw_status status = open_parts(c, model, params, assumed, err);
    struct lbw_activations *face = &c->face;
    if (status == LBW_OK)
        *out = face;
    else
        lbw_calibrate_close(&face);
    return status;
}

void lbw_calibrate_close(struct lbw_activations **activations)
{
    if (!*activations)
        return;
    struct calibration *c = (struct calibration *)*activations;
    lbw_stages_close(&c->stages);
    lbw_emphasis_close(&c->emphasis);
    lbw_feed_close(&c->feed);
    lbw_profile_release(&c->detector);
    lbw_model_close(&c->model);
    free(c);
    *activations = NULL;
}

size_t lbw_calibrate_num_samples(const struct lbw_activations *activations)
{
    return activations->num_samples;
}
