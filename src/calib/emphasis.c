/* SPDX-License-Identifier: MIT */
/* One run of the float model per sample, and its boxes painted into a small map. */
#include "calib/emphasis.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/decode.h"
#include "feed/input.h"
#include "pass/activations.h"
#include "run/session.h"

#define SIDE LBW_EMPHASIS_SIDE

/* Weak boxes count too: they are the first to move. */
#define LEAST_SCORE .1f

/* What a sure box adds to its positions, which count 1 without (docs/search.md). */
#define MOST_EMPHASIS 10

struct lbw_emphasis {
    struct lbw_session *session;
    const struct lbw_profile *profile;
    const char **names; /* of outputs, borrowed from the session */
    size_t slot;        /* of the image among the session's inputs */
    size_t num_inputs, num_outputs;
    int width, height;
    bool is_blind; /* the profile does not know these outputs */
    float *maps;   /* one per sample */
};

/* `across` and `down` are cells per pixel. */
static void paint(float *map, const struct lbw_box *box, float across, float down)
{
    size_t left = (size_t)fmaxf(box->x * across, 0);
    size_t top = (size_t)fmaxf(box->y * down, 0);
    size_t right = (size_t)ceilf(fmaxf((box->x + box->width) * across, 0));
    size_t bottom = (size_t)ceilf(fmaxf((box->y + box->height) * down, 0));
    float amount = MOST_EMPHASIS * box->score;
    for (size_t y = top; y < bottom && y < SIDE; y++)
        for (size_t x = left; x < right && x < SIDE; x++)
            map[y * SIDE + x] = fmaxf(map[y * SIDE + x], amount);
}

static enum lbw_status find_boxes(struct lbw_emphasis *e, float *map,
                                  const struct lbw_array *outputs, struct lbw_error *err)
{
    const struct lbw_decode_input input = {
        .num_outputs = e->num_outputs,
        .names = e->names,
        .outputs = outputs,
        .profile = e->profile,
        .width = e->width,
        .height = e->height,
        .placement = {.scale_x = 1, .scale_y = 1},
        .picture_width = e->width,
        .picture_height = e->height,
        .score = LEAST_SCORE,
        .nms = e->profile->nms,
    };
    struct lbw_boxes boxes = {0};
    LBW_TRY(lbw_decode(&boxes, &input, err));
    for (size_t i = 0; i < boxes.num; i++)
        paint(map, &boxes.items[i], (float)SIDE / (float)e->width,
              (float)SIDE / (float)e->height);
    lbw_boxes_release(&boxes);
    return LBW_OK;
}

enum lbw_status lbw_emphasis_look(void *user, size_t i, const struct lbw_array *images,
                                  struct lbw_error *err)
{
    struct lbw_emphasis *e = user;
    enum lbw_status status;
    if (e->is_blind)
        return LBW_OK;
    struct lbw_array *inputs = calloc(e->num_inputs, sizeof *inputs);
    struct lbw_array *outputs = calloc(e->num_outputs + 1, sizeof *outputs);
    if (!inputs || !outputs)
        LBW_OR_OUT(lbw_fail_memory(err));
    inputs[e->slot] = images[0];
    LBW_OR_OUT(lbw_session_run(e->session, inputs, outputs, err));
    status = find_boxes(e, e->maps + i * LBW_EMPHASIS_CELLS, outputs, err);
    e->is_blind = status == LBW_ERR_UNSUPPORTED;
    if (e->is_blind)
        status = LBW_OK;
out:
    lbw_arrays_release(outputs, e->num_outputs);
    free(inputs);
    free(outputs);
    return status;
}

static enum lbw_status open_session(struct lbw_emphasis *e, struct lbw_model *model,
                                    const char *picture, struct lbw_error *err)
{
    const struct lbw_session_params params = {
        .optimize = 99, .decode_once = lbw_session_decodes(model), .native = true};
    LBW_TRY(lbw_session_open_model(&e->session, model, &params, err));
    e->num_inputs = lbw_session_num_inputs(e->session);
    e->num_outputs = lbw_session_num_outputs(e->session);
    e->slot = lbw_session_find_input(e->session, picture);
    e->names = calloc(e->num_outputs + 1, sizeof *e->names);
    if (!e->names)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < e->num_outputs; i++)
        e->names[i] = lbw_session_output_name(e->session, i);
    return LBW_OK;
}

enum lbw_status lbw_emphasis_open(struct lbw_emphasis **out, struct lbw_model *model,
                                  const struct lbw_feed *feed,
                                  const struct lbw_profile *profile, struct lbw_error *err)
{
    struct lbw_feed_input input = *lbw_feed_input(feed, 0);
    struct lbw_picture_axes axes;
    if (lbw_feed_num_inputs(feed) != 1 || input.num_dims != 4 || input.dims[0] != 1 ||
        !lbw_picture_axes(&axes, &input, true, profile->preprocess.channels_last))
        return LBW_OK;
    struct lbw_emphasis *e = calloc(1, sizeof *e);
    enum lbw_status status;
    if (!e)
        LBW_OR_OUT(lbw_fail_memory(err));
    e->profile = profile;
    e->height = (int)input.dims[axes.height_axis];
    e->width = (int)input.dims[axes.width_axis];
    e->maps = calloc(lbw_feed_num_samples(feed) * LBW_EMPHASIS_CELLS + 1, sizeof *e->maps);
    if (!e->maps)
        LBW_OR_OUT(lbw_fail_memory(err));
    LBW_OR_OUT(open_session(e, model, input.name, err));
    if (e->slot < e->num_inputs) {
        *out = e;
        e = NULL;
    }
out:
    lbw_emphasis_close(&e);
    return status;
}

void lbw_emphasis_close(struct lbw_emphasis **emphasis)
{
    struct lbw_emphasis *e = *emphasis;
    *emphasis = NULL;
    if (!e)
        return;
    lbw_session_close(&e->session);
    free(e->names);
    free(e->maps);
    free(e);
}

void lbw_emphasis_settle(struct lbw_emphasis *emphasis)
{
    if (!emphasis)
        return;
    lbw_session_close(&emphasis->session);
    emphasis->profile = NULL;
}

const float *lbw_emphasis_maps(const struct lbw_emphasis *emphasis)
{
    return emphasis->maps;
}
