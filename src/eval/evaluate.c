/* SPDX-License-Identifier: MIT */
/*
 * Runs models over a dataset and compares their boxes with the labels, with the boxes of a
 * reference model, or with both. Several images are processed at a time, each by one thread
 * from file to boxes, so that reading one overlaps with running another.
 */
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/thread.h"
#include "eval/dataset.h"
#include "detect/detector.h"
#include "eval/map.h"
#include "detect/nms.h"
#include "detect/profile_check.h"
#include "feed/preprocess_check.h"
#include "onnx/model.h"

#define DEFAULT_REFERENCE_SCORE .6f
#define DEFAULT_REFERENCE_NMS   .3f
#define DEFAULT_AGREEMENT_SCORE .05f
#define PAIR_IOU                .5f

/* The boxes of one model in one image. */
struct find {
    struct lbw_boxes labelled;  /* at the profile's score and nms, to compare with the labels */
    struct lbw_boxes agreement; /* at agreement_score and reference_nms */
    double runtime_seconds, decode_seconds;
};

/* One image; only the thread that processes it writes here. */
struct shot {
    const struct lbw_picture *picture;
    bool is_unreadable;
    struct lbw_truth *scaled; /* copies of relative truths in pixels, or NULL */
    double read_seconds;
    struct find *finds; /* one per detector */
    enum lbw_status status;
    struct lbw_error err;
};

/* The evaluation and everything that belongs to it. */
struct owner {
    struct lbw_evaluation result;
    struct lbw_eval_model *models; /* result.num_models */
    struct lbw_ap *classes;        /* num_models × num_classes, against the labels */
    struct lbw_arena arena;
    struct lbw_eval_params params;   /* defaults filled in */
    struct lbw_detector **detectors; /* the models', then the reference's */
    size_t num_detectors;
    struct shot *shots;
    size_t num_shots;
    bool is_labelled;
    pthread_mutex_t mutex;
    size_t num_done;
    bool is_stopped;
    bool is_interrupted;
};

/* Truths given as fractions of the sides become pixels once the sides are known. */
static enum lbw_status scale_truths(struct shot *shot, const struct lbw_image *image)
{
    const struct lbw_picture *picture = shot->picture;
    if (!picture->is_relative || !picture->num_truths)
        return LBW_OK;
    shot->scaled = malloc(picture->num_truths * sizeof *shot->scaled);
    if (!shot->scaled)
        return lbw_fail_memory(&shot->err);
    for (size_t i = 0; i < picture->num_truths; i++) {
        struct lbw_truth truth = picture->truths[i];
        truth.x *= image->width;
        truth.y *= image->height;
        truth.width *= image->width;
        truth.height *= image->height;
        truth.area = truth.width * truth.height;
        shot->scaled[i] = truth;
    }
    return LBW_OK;
}

static enum lbw_status detect(const struct owner *owner, struct shot *shot,
                              const struct lbw_detector *detector, struct find *find,
                              const struct lbw_array *input,
                              const struct lbw_placement *placement,
                              const struct lbw_image *image)
{
    const struct lbw_eval_params *params = &owner->params;
    double start = lbw_now(), middle = start;
    enum lbw_status status;
    struct lbw_array *outputs = calloc(detector->num_outputs + 1, sizeof *outputs);
    if (!outputs)
        return lbw_fail_memory(&shot->err);
    LBW_OR_OUT(lbw_detector_infer(detector, outputs, input, &shot->err));
    middle = lbw_now();
    if (owner->is_labelled)
        LBW_OR_OUT(lbw_detector_decode(detector, &find->labelled, outputs, placement, image,
                                       params->profile->score, params->profile->nms,
                                       &shot->err));
    if (params->reference)
        LBW_OR_OUT(lbw_detector_decode(detector, &find->agreement, outputs, placement, image,
                                       params->agreement_score, params->reference_nms,
                                       &shot->err));
out:
    find->runtime_seconds = middle - start;
    find->decode_seconds = lbw_now() - middle;
    lbw_detector_release_outputs(detector, outputs);
    free(outputs);
    return status;
}

/* All models on one image; consecutive ones with the same input share it. */
static enum lbw_status detect_all(const struct owner *owner, struct shot *shot,
                                  const struct lbw_image *image)
{
    struct lbw_array input = {0};
    struct lbw_placement placement = {0};
    enum lbw_status status = LBW_OK;
    for (size_t d = 0; status == LBW_OK && d < owner->num_detectors; d++) {
        const struct lbw_detector *detector = owner->detectors[d];
        if (d == 0 || !lbw_detector_same_input(detector, owner->detectors[d - 1])) {
            double start = lbw_now();
            lbw_array_release(&input);
            status = lbw_detector_prepare(detector, &input, &placement, image, &shot->err);
            shot->read_seconds += lbw_now() - start;
        }
        if (status == LBW_OK)
            status = detect(owner, shot, detector, &shot->finds[d], &input, &placement, image);
    }
    lbw_array_release(&input);
    return status;
}

/* False once the work has to stop. */
static bool step(struct owner *owner, const struct shot *shot)
{
    const struct lbw_eval_params *params = &owner->params;
    pthread_mutex_lock(&owner->mutex);
    if (shot && shot->status != LBW_OK && !shot->is_unreadable)
        owner->is_stopped = true;
    if (shot)
        owner->num_done++;
    if (shot && params->progress && !owner->is_stopped &&
        params->progress(params->progress_user, shot->picture->name, owner->num_done,
                         owner->num_shots))
        owner->is_stopped = owner->is_interrupted = true;
    bool go_on = !owner->is_stopped;
    pthread_mutex_unlock(&owner->mutex);
    return go_on;
}

static void run_shot(void *user, size_t i)
{
    struct owner *owner = user;
    struct shot *shot = &owner->shots[i];
    struct lbw_image image = {0};
    if (!step(owner, NULL))
        return;
    double start = lbw_now();
    shot->status = lbw_image_read(&image, shot->picture->path, &shot->err);
    shot->read_seconds = lbw_now() - start;
    if (shot->status == LBW_OK) {
        shot->status = scale_truths(shot, &image);
        if (shot->status == LBW_OK)
            shot->status = detect_all(owner, shot, &image);
    } else {
        shot->is_unreadable = shot->status != LBW_ERR_MEMORY;
    }
    lbw_image_release(&image);
    step(owner, shot);
}

static enum lbw_status open_detectors(struct owner *owner, struct lbw_model *const *models,
                                      size_t num_models, struct lbw_error *err)
{
    const struct lbw_eval_params *params = &owner->params;
    struct lbw_detector_params one = {
        .width = params->width,
        .height = params->height,
        .num_threads = 1,
        .no_native = params->no_native,
    };
    size_t num = num_models + (params->reference != NULL);
    owner->detectors = lbw_arena_calloc(&owner->arena, num, sizeof *owner->detectors);
    if (!owner->detectors)
        return lbw_fail_memory(err);
    for (; owner->num_detectors < num; owner->num_detectors++) {
        size_t d = owner->num_detectors;
        struct lbw_model *model = d < num_models ? models[d] : params->reference;
        LBW_TRY(lbw_detector_open(&owner->detectors[d], model, params->profile, &one, err));
    }
    return LBW_OK;
}

static enum lbw_status make_shots(struct owner *owner, struct lbw_error *err)
{
    const struct lbw_dataset *dataset = owner->params.dataset;
    size_t num = dataset->num_pictures;
    owner->shots = lbw_arena_calloc(&owner->arena, num, sizeof *owner->shots);
    if (!owner->shots)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < num; i++) {
        struct shot *shot = &owner->shots[i];
        shot->picture = &dataset->pictures[i];
        shot->finds =
            lbw_arena_calloc(&owner->arena, owner->num_detectors, sizeof *shot->finds);
        if (!shot->finds)
            return lbw_fail_memory(err);
    }
    owner->num_shots = num;
    return LBW_OK;
}

/* The first failure in the order of images, whichever thread met it first. */
static enum lbw_status first_failure(struct owner *owner, struct lbw_error *err)
{
    if (owner->is_interrupted)
        return lbw_fail(err, LBW_ERR_INTERRUPTED, "interrupted");
    for (size_t i = 0; i < owner->num_shots; i++) {
        struct shot *shot = &owner->shots[i];
        if (shot->status != LBW_OK && !shot->is_unreadable) {
            if (err)
                *err = shot->err;
            return lbw_within(err, shot->status, "%s", shot->picture->name);
        }
    }
    return LBW_OK;
}

/* Drops unreadable images and notes them; the rest moves up. */
static enum lbw_status sort_out(struct owner *owner, struct lbw_error *err)
{
    const struct lbw_dataset *dataset = owner->params.dataset;
    struct lbw_evaluation *result = &owner->result;
    size_t num = dataset->num_notes, kept = 0;
    const char **notes = lbw_arena_calloc(&owner->arena, num + owner->num_shots, sizeof *notes);
    if (!notes)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < num; i++)
        if (!(notes[i] = lbw_arena_strdup(&owner->arena, dataset->notes[i])))
            return lbw_fail_memory(err);
    for (size_t i = 0; i < owner->num_shots; i++) {
        struct shot *shot = &owner->shots[i];
        if (!shot->is_unreadable) {
            owner->shots[kept++] = *shot;
            continue;
        }
        if (!(notes[num++] = lbw_arena_strdup(&owner->arena, shot->err.message)))
            return lbw_fail_memory(err);
        result->num_unreadable++;
    }
    if (!kept && owner->num_shots)
        return lbw_fail(err, owner->shots[0].status, "none of the %zu images can be read: %s",
                        owner->num_shots, owner->shots[0].err.message);
    owner->num_shots = result->num_images = kept;
    result->num_notes = num;
    result->notes = notes;
    return LBW_OK;
}

/* Scores of a class that the labels do not have would be lost without a message. */
static enum lbw_status check_classes(const struct owner *owner, struct lbw_error *err)
{
    size_t num_classes = owner->result.num_classes;
    for (size_t i = 0; owner->is_labelled && i < owner->num_shots; i++)
        for (size_t d = 0; d < owner->num_detectors; d++) {
            const struct lbw_boxes *boxes = &owner->shots[i].finds[d].labelled;
            for (size_t b = 0; b < boxes->num; b++)
                if ((size_t)boxes->items[b].class_index >= num_classes)
                    return lbw_fail(
                        err, LBW_ERR_FORMAT,
                        "the model finds class %d (counted from 0), the labels have %zu",
                        boxes->items[b].class_index, num_classes);
        }
    return LBW_OK;
}

static enum lbw_status count_classes(struct owner *owner, struct lbw_error *err)
{
    const struct lbw_profile *profile = owner->params.profile;
    const struct lbw_dataset *dataset = owner->params.dataset;
    struct lbw_evaluation *result = &owner->result;
    result->num_classes = (size_t)profile->num_classes;
    if (owner->is_labelled && dataset->num_classes > result->num_classes)
        result->num_classes = dataset->num_classes;
    if (profile->num_labels && profile->num_labels >= result->num_classes)
        result->names = profile->labels;
    else if (dataset->num_names && dataset->num_names >= result->num_classes)
        result->names = dataset->names;
    LBW_TRY(check_classes(owner, err));
    for (size_t i = 0; i < owner->num_shots; i++)
        for (size_t d = 0; d < owner->num_detectors; d++) {
            const struct lbw_boxes *boxes = &owner->shots[i].finds[d].agreement;
            for (size_t b = 0; b < boxes->num; b++)
                if ((size_t)boxes->items[b].class_index >= result->num_classes)
                    result->num_classes = (size_t)boxes->items[b].class_index + 1;
        }
    if (result->names == profile->labels && result->num_classes > profile->num_labels)
        result->names = NULL;
    return LBW_OK;
}

static const struct lbw_truth *truths_of(const struct shot *shot)
{
    return shot->scaled ? shot->scaled : shot->picture->truths;
}

static enum lbw_status measure_labels(struct owner *owner, size_t d, struct lbw_scene *scenes,
                                      struct lbw_error *err)
{
    struct lbw_eval_model *model = &owner->models[d];
    for (size_t i = 0; i < owner->num_shots; i++) {
        const struct shot *shot = &owner->shots[i];
        scenes[i] =
            (struct lbw_scene){truths_of(shot), shot->picture->num_truths,
                               shot->finds[d].labelled.items, shot->finds[d].labelled.num};
    }
    return lbw_map_compute(&model->ap, owner->classes + d * owner->result.num_classes,
                           owner->result.num_classes, scenes, owner->num_shots,
                           LBW_COCO_MAX_BOXES, owner->params.num_threads, err);
}

/* Boxes are sorted, so those that count are at the front. */
static size_t num_above(const struct lbw_boxes *boxes, float score)
{
    size_t num = 0;
    while (num < boxes->num && boxes->items[num].score >= score)
        num++;
    return num;
}

static enum lbw_status count_pairs(struct owner *owner, struct lbw_eval_model *model,
                                   const struct lbw_boxes *wanted,
                                   const struct lbw_boxes *found, struct lbw_error *err)
{
    size_t num_wanted = num_above(wanted, owner->params.reference_score);
    size_t num_found = num_above(found, owner->params.reference_score);
    ptrdiff_t *pairs = malloc((num_wanted + num_found + 1) * sizeof *pairs);
    if (!pairs)
        return lbw_fail_memory(err);
    lbw_boxes_pair(pairs, wanted->items, num_wanted, pairs + num_wanted, found->items,
                   num_found, PAIR_IOU);
    for (size_t i = 0; i < num_wanted; i++)
        model->num_lost += pairs[i] < 0;
    for (size_t i = 0; i < num_found; i++)
        model->num_invented += pairs[num_wanted + i] < 0;
    model->num_wanted += num_wanted;
    model->num_found += num_found;
    free(pairs);
    return LBW_OK;
}

/* The reference's boxes as truths, for every image; in the arena. */
static enum lbw_status reference_truths(struct owner *owner, struct lbw_truth **out,
                                        const struct lbw_boxes *boxes, size_t *num,
                                        struct lbw_error *err)
{
    *num = num_above(boxes, owner->params.reference_score);
    struct lbw_truth *truths = lbw_arena_calloc(&owner->arena, *num, sizeof *truths);
    if (!truths)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < *num; i++)
        truths[i] = lbw_truth_of_box(&boxes->items[i]);
    *out = truths;
    return LBW_OK;
}

static enum lbw_status measure_agreement(struct owner *owner, size_t d,
                                         struct lbw_scene *scenes, struct lbw_ap *classes,
                                         struct lbw_error *err)
{
    struct lbw_eval_model *model = &owner->models[d];
    size_t r = owner->num_detectors - 1;
    for (size_t i = 0; i < owner->num_shots; i++) {
        const struct lbw_boxes *wanted = &owner->shots[i].finds[r].agreement;
        const struct lbw_boxes *found = &owner->shots[i].finds[d].agreement;
        struct lbw_truth *truths = NULL;
        size_t num = 0;
        LBW_TRY(reference_truths(owner, &truths, wanted, &num, err));
        LBW_TRY(count_pairs(owner, model, wanted, found, err));
        scenes[i] = (struct lbw_scene){truths, num, found->items, found->num};
    }
    return lbw_map_compute(&model->agreement, classes, owner->result.num_classes, scenes,
                           owner->num_shots, 0, owner->params.num_threads, err);
}

static enum lbw_status measure(struct owner *owner, struct lbw_error *err)
{
    static const struct lbw_ap nothing = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0};
    struct lbw_arena *arena = &owner->arena;
    size_t num_classes = owner->result.num_classes;
    struct lbw_scene *scenes = lbw_arena_calloc(arena, owner->num_shots, sizeof *scenes);
    struct lbw_ap *unused = lbw_arena_calloc(arena, num_classes, sizeof *unused);
    owner->classes =
        lbw_arena_calloc(arena, num_classes * owner->result.num_models, sizeof *owner->classes);
    if (!scenes || !unused || !owner->classes)
        return lbw_fail_memory(err);
    for (size_t d = 0; d < owner->result.num_models; d++) {
        struct lbw_eval_model *model = &owner->models[d];
        model->ap = model->agreement = nothing;
        for (size_t c = 0; c < num_classes; c++)
            owner->classes[d * num_classes + c] = nothing;
        if (owner->is_labelled)
            LBW_TRY(measure_labels(owner, d, scenes, err));
        if (owner->params.reference)
            LBW_TRY(measure_agreement(owner, d, scenes, unused, err));
    }
    for (size_t i = 0; i < owner->num_shots; i++) {
        owner->result.read_seconds += owner->shots[i].read_seconds;
        for (size_t d = 0; d < owner->result.num_models; d++) {
            const struct find *find = &owner->shots[i].finds[d];
            owner->models[d].runtime_seconds += find->runtime_seconds;
            owner->models[d].decode_seconds += find->decode_seconds;
        }
    }
    return LBW_OK;
}

static void set_default(float *value, float otherwise)
{
    if (!(*value > 0))
        *value = otherwise;
}

static enum lbw_status evaluate(struct owner *owner, struct lbw_model *const *models,
                                size_t num_models, struct lbw_error *err)
{
    struct lbw_eval_params *params = &owner->params;
    const struct lbw_dataset *dataset = params->dataset;
    set_default(&params->reference_score, DEFAULT_REFERENCE_SCORE);
    set_default(&params->reference_nms, DEFAULT_REFERENCE_NMS);
    set_default(&params->agreement_score, DEFAULT_AGREEMENT_SCORE);
    owner->is_labelled = dataset->num_pictures && dataset->pictures[0].is_labelled;
    if (!owner->is_labelled && !params->reference)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "neither labels nor a reference model");
    LBW_TRY(open_detectors(owner, models, num_models, err));
    LBW_TRY(make_shots(owner, err));
    owner->result.num_models = num_models;
    owner->models = lbw_arena_calloc(&owner->arena, num_models, sizeof *owner->models);
    if (!owner->models)
        return lbw_fail_memory(err);
    double start = lbw_now();
    lbw_parallel_for(owner->num_shots, params->num_threads, run_shot, owner);
    owner->result.wall_seconds = lbw_now() - start;
    LBW_TRY(first_failure(owner, err));
    LBW_TRY(sort_out(owner, err));
    LBW_TRY(count_classes(owner, err));
    return measure(owner, err);
}

static void close_detectors(struct owner *owner)
{
    for (size_t d = 0; d < owner->num_detectors; d++)
        lbw_detector_close(&owner->detectors[d]);
}

static enum lbw_status check(struct lbw_model *const *models, size_t num_models,
                             const struct lbw_eval_params *params, struct lbw_error *err)
{
    LBW_TRY(lbw_check_given("params", params, err));
    LBW_TRY(lbw_check_given("dataset", params->dataset, err));
    LBW_TRY(lbw_profile_check(params->profile, err));
    LBW_TRY(lbw_sides_check(params->width, params->height, err));
    LBW_TRY(
        lbw_check_range("reference score", (double)params->reference_score, 0, INFINITY, err));
    LBW_TRY(lbw_check_range("reference nms", (double)params->reference_nms, 0, 1, err));
    LBW_TRY(
        lbw_check_range("agreement score", (double)params->agreement_score, 0, INFINITY, err));
    LBW_TRY(lbw_check_given("models", num_models ? models : NULL, err));
    for (size_t i = 0; i < num_models; i++)
        LBW_TRY(lbw_model_check(models[i], err));
    return LBW_OK;
}

enum lbw_status lbw_eval(struct lbw_evaluation **out, struct lbw_model *const *models,
                         size_t num_models, const struct lbw_eval_params *params,
                         struct lbw_error *err)
{
    LBW_TRY(check(models, num_models, params, err));
    struct owner *owner = calloc(1, sizeof *owner);
    if (!owner)
        return lbw_fail_memory(err);
    owner->params = *params;
    pthread_mutex_init(&owner->mutex, NULL);
    enum lbw_status status = evaluate(owner, models, num_models, err);
    close_detectors(owner);
    struct lbw_evaluation *result = &owner->result;
    if (status != LBW_OK)
        lbw_evaluation_free(&result);
    else
        *out = result;
    return status;
}

void lbw_evaluation_free(struct lbw_evaluation **evaluation)
{
    if (!*evaluation)
        return;
    struct owner *owner = (struct owner *)*evaluation;
    for (size_t i = 0; i < owner->num_shots; i++) {
        free(owner->shots[i].scaled);
        for (size_t d = 0; d < owner->num_detectors; d++) {
            lbw_boxes_release(&owner->shots[i].finds[d].labelled);
            lbw_boxes_release(&owner->shots[i].finds[d].agreement);
        }
    }
    pthread_mutex_destroy(&owner->mutex);
    lbw_arena_release(&owner->arena);
    free(owner);
    *evaluation = NULL;
}

const struct lbw_eval_model *lbw_evaluation_model(const struct lbw_evaluation *evaluation,
                                                  size_t i)
{
    return i < evaluation->num_models ? &((const struct owner *)evaluation)->models[i] : NULL;
}

const struct lbw_ap *lbw_evaluation_class(const struct lbw_evaluation *evaluation, size_t i,
                                          size_t c)
{
    const struct owner *owner = (const struct owner *)evaluation;
    bool is_there = i < evaluation->num_models && c < evaluation->num_classes;
    return is_there ? &owner->classes[i * evaluation->num_classes + c] : NULL;
}

struct lbw_eval_picture lbw_evaluation_picture(const struct lbw_evaluation *evaluation,
                                               size_t model, size_t i)
{
    const struct owner *owner = (const struct owner *)evaluation;
    if (model >= evaluation->num_models || i >= evaluation->num_images)
        return (struct lbw_eval_picture){0};
    const struct shot *shot = &owner->shots[i];
    const struct find *find = &shot->finds[model];
    const struct lbw_boxes *boxes = owner->is_labelled ? &find->labelled : &find->agreement;
    return (struct lbw_eval_picture){shot->picture->path, shot->picture->id, boxes->items,
                                     boxes->num};
}
