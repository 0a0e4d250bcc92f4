/* SPDX-License-Identifier: MIT */
/* Views: drawn by their number; the teacher runs once on each. */
#include "train/views.h"

#include <math.h>
#include <stdlib.h>

#include "base/bits.h"
#include "train/augment.h"

#define DEFAULT_VIEWS ((size_t)1024)
#define MOST_BYTES    ((size_t)1 << 30)
#define MOST_HALF     65504.0f

enum lbw_status lbw_views_init(struct lbw_views *views, size_t num, size_t batch,
                               struct lbw_error *err)
{
    size_t bytes = 1;
    for (size_t t = 0; t < views->sessions->num_targets; t++) {
        const struct lbw_grad_shape *shape = &views->sessions->target_shapes[t];
        size_t count = 1;
        for (size_t i = 0; i < shape->num_dims; i++)
            count *= (size_t)shape->dims[i];
        bytes += count * sizeof(uint16_t);
    }
    size_t most = MOST_BYTES / bytes;
    views->num = num ? num : most < DEFAULT_VIEWS ? most : DEFAULT_VIEWS;
    if (views->num < views->num_samples)
        views->num = views->num_samples;
    views->num = (views->num + batch - 1) / batch * batch;
    views->num_kept = views->num < most ? views->num : most;
    views->items = calloc(views->num_kept + 1, sizeof *views->items);
    return views->items ? LBW_OK : lbw_fail_memory(err);
}

static void view_release(struct lbw_view *view, size_t num_targets)
{
    for (size_t t = 0; view->wanted && t < num_targets; t++)
        free(view->wanted[t]);
    free(view->wanted);
    free(view->is_half);
    *view = (struct lbw_view){0};
}

void lbw_views_release(struct lbw_views *views)
{
    for (size_t v = 0; views->items && v < views->num_kept; v++)
        view_release(&views->items[v], views->sessions->num_targets);
    free(views->items);
    *views = (struct lbw_views){0};
}

enum lbw_status lbw_views_draw(const struct lbw_views *views, size_t v,
                               struct lbw_array *images, struct lbw_error *err)
{
    /* Consecutive seeds would give one view the numbers of another, shifted. */
    struct lbw_random spread = {views->seed ^ (uint64_t)v * 0xd1342543de82ef95};
    struct lbw_random random = {lbw_random_u64(&spread)};
    size_t chosen[LBW_NUM_TILES] = {v % views->num_samples};
    for (size_t k = 1; k < LBW_NUM_TILES; k++)
        chosen[k] = lbw_random_below(&random, (uint32_t)views->num_samples);
    for (size_t i = 0; i < views->sessions->num_images; i++) {
        const struct lbw_array *tiles[LBW_NUM_TILES];
        struct lbw_random same = random; /* all inputs of a sample are augmented alike */
        for (size_t k = 0; k < LBW_NUM_TILES; k++)
            tiles[k] = &views->samples[chosen[k]][i];
        if (v < views->num_plain)
            LBW_TRY(lbw_array_copy(&images[i], tiles[0], err));
        else
            LBW_TRY(lbw_augment(&images[i], tiles, &same, err));
    }
    return LBW_OK;
}

/* The values in stored form. */
static void *pack(const struct lbw_array *array, bool *is_half)
{
    size_t count = array->size / sizeof(float);
    const float *values = array->data;
    *is_half = true;
    for (size_t i = 0; i < count; i++)
        *is_half = *is_half && values[i] >= -MOST_HALF && values[i] <= MOST_HALF;
    void *kept = malloc(count * (*is_half ? sizeof(uint16_t) : sizeof(float)) + 1);
    for (size_t i = 0; kept && i < count; i++)
        if (*is_half)
            ((uint16_t *)kept)[i] = lbw_half_from_float(values[i]);
        else
            ((float *)kept)[i] = values[i];
    return kept;
}

static void unpack(float *values, size_t count, const void *kept, bool is_half)
{
    for (size_t i = 0; i < count; i++)
        values[i] =
            is_half ? lbw_half_to_float(((const uint16_t *)kept)[i]) : ((const float *)kept)[i];
}

static enum lbw_status keep(struct lbw_view *out, const struct lbw_views *views,
                            const struct lbw_lesson *lesson, struct lbw_error *err)
{
    size_t num = views->sessions->num_targets;
    struct lbw_view view = {.wanted = calloc(num + 1, sizeof *view.wanted),
                            .is_half = calloc(num + 1, sizeof *view.is_half)};
    bool done = view.wanted && view.is_half;
    for (size_t t = 0; done && t < num; t++)
        done = (view.wanted[t] = pack(&lesson->wanted[t], &view.is_half[t])) != NULL;
    if (!done) {
        view_release(&view, num);
        return lbw_fail_memory(err);
    }
    *out = view;
    return LBW_OK;
}

/* Arrays of the targets' sizes to unpack into. */
static enum lbw_status make_room(struct lbw_lesson *lesson, const struct lbw_sessions *sessions,
                                 struct lbw_error *err)
{
    for (size_t t = 0; t < sessions->num_targets; t++) {
        const struct lbw_grad_shape *shape = &sessions->target_shapes[t];
        LBW_TRY(lbw_array_init(&lesson->wanted[t], shape->data_type, shape->dims,
                               shape->num_dims, err));
    }
    return LBW_OK;
}

enum lbw_status lbw_views_teach(const struct lbw_views *views, size_t v,
                                const struct lbw_array *images, struct lbw_lesson *lesson,
                                struct lbw_error *err)
{
    if (v >= views->num_kept) {
        LBW_TRY(lbw_sessions_teach(views->sessions, images, lesson->wanted, err));
        LBW_TRY(lbw_weighing_apply(views->weighing, lesson, err));
        lesson->least = lbw_weighing_least(views->weighing, lesson);
        return LBW_OK;
    }
    struct lbw_view *view = &views->items[v];
    bool is_new = !view->wanted;
    if (is_new) {
        LBW_TRY(lbw_sessions_teach(views->sessions, images, lesson->wanted, err));
        LBW_TRY(keep(view, views, lesson, err));
    } else {
        LBW_TRY(make_room(lesson, views->sessions, err));
    }
    /* New outputs are rounded like stored ones, so that a resumed run gets the same. */
    for (size_t t = 0; t < views->sessions->num_targets; t++)
        unpack(lesson->wanted[t].data, lesson->wanted[t].size / sizeof(float), view->wanted[t],
               view->is_half[t]);
    LBW_TRY(lbw_weighing_apply(views->weighing, lesson, err));
    if (is_new)
        view->least = lbw_weighing_least(views->weighing, lesson);
    lesson->least = view->least;
    return LBW_OK;
}
