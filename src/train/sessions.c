/* SPDX-License-Identifier: MIT */
/* Sessions of the teacher, of the gradients and of the loss alone. */
#include "train/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "onnx/tensor.h"

/* Largest value that may be bounds, scales or axes computed by the model. */
#define MOST_FIXED 512

/* The model with other outputs. */
static enum lbw_status open_outputs(struct lbw_session **out, struct lbw_model *model,
                                    const char *const *names, size_t num,
                                    const struct lbw_session_params *params,
                                    struct lbw_error *err)
{
    const struct lbw_part part = {.outputs = names, .num_outputs = num};
    return lbw_session_open_part(out, model, &part, params, err);
}

/* Maps the feed's inputs to those of the session; SIZE_MAX if it lacks one. */
static size_t *find_images(struct lbw_arena *arena, const struct lbw_session *session,
                           const struct lbw_feed *feed)
{
    size_t num = lbw_feed_num_inputs(feed);
    size_t *slots = lbw_arena_calloc(arena, num + 1, sizeof *slots);
    for (size_t i = 0; slots && i < num; i++) {
        slots[i] = lbw_session_find_input(session, lbw_feed_input(feed, i)->name);
        if (slots[i] == lbw_session_num_inputs(session))
            slots[i] = SIZE_MAX;
    }
    return slots;
}

/* Runs a session whose only inputs are images. */
static enum lbw_status run_images(struct lbw_session *session, const size_t *slots,
                                  const struct lbw_array *images, size_t num,
                                  struct lbw_array *outputs, struct lbw_error *err)
{
    struct lbw_array *inputs = calloc(lbw_session_num_inputs(session) + 1, sizeof *inputs);
    if (!inputs)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < num; i++)
        if (slots[i] != SIZE_MAX)
            inputs[slots[i]] = images[i];
    enum lbw_status status = lbw_session_run(session, inputs, outputs, err);
    free(inputs);
    return status;
}

static struct lbw_grad_shape shape_of(const struct lbw_array *array)
{
    struct lbw_grad_shape shape = {array->data_type, array->num_dims, {0}, NULL};
    if (array->num_dims)
        memcpy(shape.dims, array->dims, array->num_dims * sizeof *shape.dims);
    return shape;
}

/* Lives until the graphs are built. The sizes of all values before the targets, and of the
 * inputs, from one run. */
struct probe {
    struct lbw_strmap shapes;
    struct lbw_session *session;
    struct lbw_array *images, *values;
    const char **names;
    size_t num_images, num_values;
};

static enum lbw_status probe_run(struct probe *p, struct lbw_sessions *sessions,
                                 const struct lbw_index *index, struct lbw_feed *feed,
                                 struct lbw_error *err)
{
    const struct lbw_session_params plain = {.optimize = 0, .short_lived = 1};
    LBW_TRY(lbw_grad_values(&p->names, &p->num_values, index, sessions->targets,
                            sessions->num_targets, err));
    p->num_images = lbw_feed_num_inputs(feed);
    p->images = calloc(p->num_images + 1, sizeof *p->images);
    p->values = calloc(p->num_values + 1, sizeof *p->values);
    struct lbw_grad_shape *shapes =
        lbw_arena_calloc(&sessions->arena, p->num_images + p->num_values, sizeof *shapes);
    if (!p->images || !p->values || !shapes)
        return lbw_fail_memory(err);
    LBW_TRY(open_outputs(&p->session, index->model, p->names, p->num_values, &plain, err));
    size_t *slots = find_images(&sessions->arena, p->session, feed);
    if (!slots)
        return lbw_fail_memory(err);
    LBW_TRY(lbw_feed_get(feed, 0, p->images, err));
    LBW_TRY(run_images(p->session, slots, p->images, p->num_images, p->values, err));
    for (size_t i = 0; i < p->num_images + p->num_values; i++) {
        bool is_image = i < p->num_images;
        const char *name =
            is_image ? lbw_feed_input(feed, i)->name : p->names[i - p->num_images];
        shapes[i] = shape_of(is_image ? &p->images[i] : &p->values[i - p->num_images]);
        if (!is_image && p->values[i - p->num_images].size <= MOST_FIXED)
            shapes[i].values = p->values[i - p->num_images].data;
        if (!lbw_strmap_put(&p->shapes, name, &shapes[i]))
            return lbw_fail_memory(err);
    }
    return LBW_OK;
}

static void probe_release(struct probe *p)
{
    lbw_arrays_release(p->images, p->num_images);
    lbw_arrays_release(p->values, p->num_values);
    free(p->images);
    free(p->values);
    lbw_session_close(&p->session);
    lbw_strmap_release(&p->shapes);
}

/* Both graphs: with gradients and with the loss alone. */
static enum lbw_status open_graphs(struct lbw_sessions *t, const struct lbw_index *index,
                                   const struct lbw_strmap *shapes,
                                   const struct lbw_sessions_params *params,
                                   const struct lbw_session_params *session,
                                   struct lbw_error *err)
{
    struct lbw_grad_params grad = {.targets = t->targets,
                                   .num_targets = t->num_targets,
                                   .num_scored = params->num_scored,
                                   .num_taps = params->num_taps,
                                   .weights = params->params,
                                   .num_weights = params->num_params,
                                   .shapes = shapes,
                                   .no_gradients = !params->is_linear,
                                   .is_linear = params->is_linear,
                                   .energies = params->energies,
                                   .num_energies = params->num_energies,
                                   .moments = params->moments,
                                   .num_moments = params->num_moments};
    enum lbw_status status = LBW_OK;
    if (!params->is_linear) {
        LBW_TRY(lbw_grad_build(&t->grad, index, &grad, err));
        status = lbw_session_open(&t->judge, t->grad.data, t->grad.size, session, err);
        lbw_grad_release(&t->grad);
        LBW_TRY(status);
    }
    grad.no_gradients = false;
    /* The choice of a plan does not depend on whether the operator library is found. */
    grad.has_native = !params->is_linear && lbw_session_has_native();
    LBW_TRY(lbw_grad_build(&t->grad, index, &grad, err));
    status = lbw_session_open(&t->training, t->grad.data, t->grad.size, session, err);
    if (status != LBW_OK &&
        grad.has_native) { /* a library without the operators that we need */
        lbw_grad_release(&t->grad);
        grad.has_native = false;
        LBW_TRY(lbw_grad_build(&t->grad, index, &grad, err));
        status = lbw_session_open(&t->training, t->grad.data, t->grad.size, session, err);
    }
    return lbw_within(err, status, "the graph of gradients");
}

/* Both graphs have the same inputs in the same order. */
static enum lbw_status find_slots(struct lbw_sessions *t, const struct lbw_feed *feed,
                                  const struct lbw_sessions_params *params,
                                  struct lbw_error *err)
{
    struct lbw_arena *arena = &t->arena;
    size_t num = params->num_params, output = 1;
    t->num_images = lbw_feed_num_inputs(feed);
    t->num_params = num;
    t->num_scored = params->num_scored;
    t->teacher_slots = find_images(arena, t->teacher, feed);
    t->image_slots = find_images(arena, t->training, feed);
    t->wanted_slots = lbw_arena_calloc(arena, t->num_targets, sizeof(size_t));
    t->factor_slots = lbw_arena_calloc(arena, t->num_targets, sizeof(size_t));
    t->score_slots = lbw_arena_calloc(arena, t->num_scored + 1, sizeof(size_t));
    t->param_slots = lbw_arena_calloc(arena, num + 1, sizeof(size_t));
    t->gradient_slots = lbw_arena_calloc(arena, num + 1, sizeof(size_t));
    if (!t->teacher_slots || !t->image_slots || !t->wanted_slots || !t->factor_slots ||
        !t->score_slots || !t->param_slots || !t->gradient_slots)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < t->num_targets; i++) {
        t->wanted_slots[i] = params->is_linear
                                 ? SIZE_MAX
                                 : lbw_session_find_input(t->training, t->grad.wanted[i]);
        t->factor_slots[i] = lbw_session_find_input(t->training, t->grad.factors[i]);
    }
    for (size_t i = 0; i < t->num_scored; i++)
        t->score_slots[i] = lbw_session_find_input(t->training, t->grad.scores[i]);
    for (size_t i = 0; i < num; i++) {
        t->param_slots[i] = t->grad.is_input[i]
                                ? lbw_session_find_input(t->training, params->params[i])
                                : SIZE_MAX;
        t->gradient_slots[i] = t->grad.is_reached[i] ? output++ : SIZE_MAX;
    }
    return LBW_OK;
}

static enum lbw_status copy_targets(struct lbw_sessions *t, const struct lbw_index *index,
                                    const struct lbw_sessions_params *params,
                                    struct lbw_error *err)
{
    if (!params->num_targets)
        return lbw_grad_targets(&t->targets, &t->num_targets, index, err);
    t->targets = lbw_arena_calloc(&t->arena, params->num_targets, sizeof *t->targets);
    if (!t->targets)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < params->num_targets; i++)
        if (!(t->targets[i] = lbw_arena_strdup(&t->arena, params->targets[i])))
            return lbw_fail_memory(err);
    t->num_targets = params->num_targets;
    return LBW_OK;
}

static enum lbw_status open_all(struct lbw_sessions *t, struct probe *probe,
                                const struct lbw_index *index, struct lbw_feed *feed,
                                const struct lbw_sessions_params *params, struct lbw_error *err)
{
    const struct lbw_session_params fast = {
        .num_threads = params->num_threads, .optimize = 99, .native = 1};
    LBW_TRY(copy_targets(t, index, params, err));
    LBW_TRY(probe_run(probe, t, index, feed, err));
    t->target_shapes = lbw_arena_calloc(&t->arena, t->num_targets, sizeof *t->target_shapes);
    if (!t->target_shapes)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < t->num_targets; i++) {
        const struct lbw_grad_shape *shape = lbw_strmap_get(&probe->shapes, t->targets[i]);
        if (shape->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
            return lbw_fail(err, LBW_ERR_UNSUPPORTED, "'%s' is %s: training needs float32",
                            t->targets[i], lbw_data_type_name(shape->data_type));
        t->target_shapes[i] = *shape;
    }
    LBW_TRY(open_graphs(t, index, &probe->shapes, params, &fast, err));
    LBW_TRY(open_outputs(&t->teacher, index->model, t->targets, t->num_targets, &fast, err));
    return find_slots(t, feed, params, err);
}

enum lbw_status lbw_sessions_open(struct lbw_sessions *out, const struct lbw_index *index,
                                  struct lbw_feed *feed,
                                  const struct lbw_sessions_params *params,
                                  struct lbw_error *err)
{
    struct lbw_sessions sessions = {0};
    struct probe probe = {0};
    enum lbw_status status = open_all(&sessions, &probe, index, feed, params, err);
    probe_release(&probe);
    if (status != LBW_OK)
        lbw_sessions_close(&sessions);
    else
        *out = sessions;
    return status;
}

void lbw_sessions_close(struct lbw_sessions *sessions)
{
    lbw_session_close(&sessions->teacher);
    lbw_session_close(&sessions->training);
    lbw_session_close(&sessions->judge);
    lbw_grad_release(&sessions->grad);
    lbw_arena_release(&sessions->arena);
    *sessions = (struct lbw_sessions){0};
}

enum lbw_status lbw_sessions_teach(const struct lbw_sessions *sessions,
                                   const struct lbw_array *images, struct lbw_array *wanted,
                                   struct lbw_error *err)
{
    return run_images(sessions->teacher, sessions->teacher_slots, images, sessions->num_images,
                      wanted, err);
}

enum lbw_status lbw_sessions_run(const struct lbw_sessions *sessions, bool with_gradients,
                                 const struct lbw_array *images,
                                 const struct lbw_lesson *lesson,
                                 const struct lbw_array *params, struct lbw_array *outputs,
                                 struct lbw_error *err)
{
    struct lbw_session *session = with_gradients ? sessions->training : sessions->judge;
    struct lbw_array *inputs = calloc(lbw_session_num_inputs(session) + 1, sizeof *inputs);
    if (!inputs)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < sessions->num_images; i++)
        if (sessions->image_slots[i] != SIZE_MAX)
            inputs[sessions->image_slots[i]] = images[i];
    for (size_t i = 0; i < sessions->num_targets; i++) {
        if (sessions->wanted_slots[i] != SIZE_MAX)
            inputs[sessions->wanted_slots[i]] = lesson->wanted[i];
        inputs[sessions->factor_slots[i]] = lesson->factors[i];
    }
    for (size_t i = 0; i < sessions->num_scored; i++)
        inputs[sessions->score_slots[i]] = lesson->scores[i];
    for (size_t i = 0; i < sessions->num_params; i++)
        if (sessions->param_slots[i] != SIZE_MAX)
            inputs[sessions->param_slots[i]] = params[i];
    enum lbw_status status = lbw_session_run(session, inputs, outputs, err);
    free(inputs);
    return status;
}

size_t lbw_sessions_num_outputs(const struct lbw_sessions *sessions)
{
    return lbw_session_num_outputs(sessions->training);
}

enum lbw_status lbw_lesson_init(struct lbw_lesson *out, const struct lbw_sessions *sessions,
                                struct lbw_error *err)
{
    struct lbw_lesson lesson = {
        .wanted = calloc(sessions->num_targets + 1, sizeof *lesson.wanted),
        .factors = calloc(sessions->num_targets + 1, sizeof *lesson.factors),
        .scores = calloc(sessions->num_scored + 1, sizeof *lesson.scores),
    };
    if (!lesson.wanted || !lesson.factors || !lesson.scores) {
        lbw_lesson_release(&lesson, sessions);
        return lbw_fail_memory(err);
    }
    *out = lesson;
    return LBW_OK;
}

void lbw_lesson_clear(struct lbw_lesson *lesson, const struct lbw_sessions *sessions)
{
    lbw_arrays_release(lesson->wanted, sessions->num_targets);
    lbw_arrays_release(lesson->factors, sessions->num_targets);
    lbw_arrays_release(lesson->scores, sessions->num_scored);
}

void lbw_lesson_release(struct lbw_lesson *lesson, const struct lbw_sessions *sessions)
{
    lbw_lesson_clear(lesson, sessions);
    free(lesson->wanted);
    free(lesson->factors);
    free(lesson->scores);
    *lesson = (struct lbw_lesson){0};
}
