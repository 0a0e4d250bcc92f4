/* SPDX-License-Identifier: MIT */
/* Both models' boxes, paired: the share of scores and areas that they have in common. */
#include "calib/agreement.h"

#include <math.h>
#include <stdlib.h>

#include "detect/decode.h"
#include "detect/nms.h"
#include "feed/input.h"

/* Of the boxes that are decoded: weaker ones count for nothing. */
#define LEAST_SCORE .1f

/* A box counts by this power of its score, so that sure boxes decide (docs/activations.md). */
#define SCORE_POWER 6

#define PAIR_IOU .5f

/* The float model's boxes of at least SURE_SCORE: with fewer of them chance decides. */
#define SURE_SCORE .4f
#define FEWEST     32

struct agreement {
    const struct lbw_profile *profile;
    const char *const *names;
    size_t num_outputs;
    int width, height;
    double common, all[2]; /* sums over boxes: in both models, in each of them */
    size_t num_sure;
};

static enum lbw_status find_boxes(struct lbw_boxes *out, const struct agreement *a,
                                  const struct lbw_array *outputs, struct lbw_error *err)
{
    const struct lbw_decode_input input = {
        .num_outputs = a->num_outputs,
        .names = a->names,
        .outputs = outputs,
        .profile = a->profile,
        .width = a->width,
        .height = a->height,
        .placement = {.scale_x = 1, .scale_y = 1},
        .picture_width = a->width,
        .picture_height = a->height,
        .score = LEAST_SCORE,
        .nms = a->profile->nms,
    };
    return lbw_decode(out, &input, err);
}

static double weight_of(const struct lbw_box *box)
{
    return pow((double)box->score, SCORE_POWER);
}

static void add_pairs(struct agreement *a, const ptrdiff_t *partners,
                      const struct lbw_boxes boxes[2])
{
    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < boxes[side].num; i++)
            a->all[side] += weight_of(&boxes[side].items[i]);
    for (size_t i = 0; i < boxes[0].num; i++) {
        const struct lbw_box *box = &boxes[0].items[i];
        a->num_sure += box->score >= SURE_SCORE;
        if (partners[i] < 0)
            continue;
        const struct lbw_box *partner = &boxes[1].items[partners[i]];
        a->common +=
            fmin(weight_of(box), weight_of(partner)) * (double)lbw_box_iou(box, partner);
    }
}

static enum lbw_status add_sample(void *user, const struct lbw_array *reference,
                                  const struct lbw_array *converted, struct lbw_error *err)
{
    struct agreement *a = user;
    struct lbw_boxes boxes[2] = {{0}};
    ptrdiff_t *partners = NULL;
    enum lbw_status status;
    LBW_OR_OUT(find_boxes(&boxes[0], a, reference, err));
    LBW_OR_OUT(find_boxes(&boxes[1], a, converted, err));
    partners = malloc((boxes[0].num + boxes[1].num + 1) * sizeof *partners);
    if (!partners)
        LBW_OR_OUT(lbw_fail_memory(err));
    lbw_boxes_pair(partners, boxes[0].items, boxes[0].num, partners + boxes[0].num,
                   boxes[1].items, boxes[1].num, PAIR_IOU);
    add_pairs(a, partners, boxes);
out:
    lbw_boxes_release(&boxes[0]);
    lbw_boxes_release(&boxes[1]);
    free(partners);
    return status;
}

/* The size of the image that the model takes. */
static enum lbw_status find_size(struct agreement *a, const struct lbw_feed *feed,
                                 struct lbw_error *err)
{
    struct lbw_feed_input input = *lbw_feed_input(feed, lbw_feed_picture(feed));
    struct lbw_picture_axes axes;
    if (input.num_dims != 4 || input.dims[0] != 1 ||
        !lbw_picture_axes(&axes, &input, true, a->profile->preprocess.channels_last))
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "the input is not one image");
    a->height = (int)input.dims[axes.height_axis];
    a->width = (int)input.dims[axes.width_axis];
    return LBW_OK;
}

enum lbw_status lbw_agreement_measure(double *out, struct lbw_activations *stages,
                                      const struct lbw_model *model,
                                      const struct lbw_feed *feed,
                                      const struct lbw_profile *profile, struct lbw_error *err)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    struct agreement a = {.profile = profile, .num_outputs = graph->n_output};
    const char **names = calloc(graph->n_output + 1, sizeof *names);
    enum lbw_status status;
    if (!names)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < graph->n_output; i++)
        names[i] = graph->output[i]->name;
    a.names = names;
    LBW_OR_OUT(find_size(&a, feed, err));
    LBW_OR_OUT(lbw_stages_finish(stages, names, a.num_outputs, add_sample, &a, err));
    if (a.num_sure < FEWEST)
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_UNSUPPORTED, "%zu boxes are too few", a.num_sure));
    *out = 2 * a.common / (a.all[0] + a.all[1]);
out:
    free(names);
    return status;
}
