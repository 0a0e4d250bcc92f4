/* SPDX-License-Identifier: MIT */
/* Families whose model decodes a list of boxes, one for every cell or query. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/decode.h"

/* One row per box: cx cy width height objectness classes… in pixels of the input. */
static enum lbw_status add_yolov5_rows(struct lbw_decoder *decoder, const struct lbw_matrix *m)
{
    size_t num_classes = m->columns - 5 - (size_t)decoder->profile->num_extra;
    for (size_t i = 0; i < m->rows; i++) {
        const float *p = m->data + i * m->columns;
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p + 4, 1, 1, 1);
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p + 5, num_classes, 1, p[4]);
        lbw_decoder_box_matters(decoder, p, 1, p[4], p[2], p[3]);
        if (p[4] >= decoder->input->score)
            LBW_TRY(lbw_decoder_add_classes(decoder, p + 5, num_classes, p[4], p[0], p[1], p[2],
                                            p[3]));
    }
    return LBW_OK;
}

/* Exports often contain the undecoded heads as well; the decoded list is enough. */
enum lbw_status lbw_decode_yolov5(struct lbw_decoder *decoder)
{
    struct lbw_matrix m;
    size_t extra = (size_t)decoder->profile->num_extra;
    for (size_t i = 0; i < decoder->num_planes; i++)
        if (lbw_plane_matrix(&m, &decoder->planes[i]) && m.columns > 5 + extra &&
            lbw_decoder_classes(decoder, m.columns - 5 - extra))
            return add_yolov5_rows(decoder, &m);
    return lbw_decode_heads(decoder);
}

/* Which of the two sides are the channels: as the profile says, else the shorter one. */
static bool is_transposed(const struct lbw_decoder *decoder, const struct lbw_matrix *m)
{
    const struct lbw_profile *profile = decoder->profile;
    if (profile->num_classes)
        return m->columns == (size_t)profile->num_classes + 4 + (size_t)profile->num_extra;
    return m->columns < m->rows;
}

/* Channel c of box i is at c × by_channel + i × by_box. */
struct channels {
    const float *data;
    size_t num_boxes, num_classes;
    size_t by_channel, by_box;
    bool has_angle; /* one channel after the classes: the angle of the box */
};

static bool find_channels(struct channels *out, const struct lbw_decoder *decoder)
{
    struct lbw_matrix m;
    size_t extra = (size_t)decoder->profile->num_extra;
    if (decoder->num_planes < 1 || !lbw_plane_matrix(&m, &decoder->planes[0]))
        return false;
    bool transposed = is_transposed(decoder, &m);
    size_t channels = transposed ? m.columns : m.rows, num = transposed ? m.rows : m.columns;
    *out = (struct channels){.data = m.data,
                             .num_boxes = num,
                             .num_classes = channels < 5 + extra ? 0 : channels - 4 - extra,
                             .by_channel = transposed ? 1 : num,
                             .by_box = transposed ? channels : 1,
                             .has_angle = extra == 1};
    return out->num_classes && lbw_decoder_classes(decoder, out->num_classes);
}

static void weigh_channels(struct lbw_decoder *decoder, const struct channels *all)
{
    size_t step = all->by_channel;
    for (size_t i = 0; i < all->num_boxes; i++) {
        const float *p = all->data + i * all->by_box;
        float best = 0;
        for (size_t c = 4; c < 4 + all->num_classes; c++)
            best = fmaxf(best, p[c * step]);
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p + 4 * step, all->num_classes, step, 1);
        lbw_decoder_box_matters(decoder, p, step, best, p[2 * step], p[3 * step]);
    }
}

/* The sides of the upright box around a rotated one. */
static void turn(float *width, float *height, float angle)
{
    float c = fabsf(cosf(angle)), s = fabsf(sinf(angle)), w = *width, h = *height;
    *width = w * c + h * s;
    *height = w * s + h * c;
}

enum lbw_status lbw_decode_yolov8(struct lbw_decoder *decoder)
{
    struct channels all;
    if (!find_channels(&all, decoder))
        return lbw_decoder_mismatch(decoder, "[1,4+classes,boxes] or [1,boxes,4+classes]");
    if (decoder->importance)
        weigh_channels(decoder, &all);
    size_t step = all.by_channel;
    for (size_t c = 0; c < all.num_classes; c++)
        for (size_t i = 0; i < all.num_boxes; i++) {
            const float *p = all.data + i * all.by_box;
            float score = p[(4 + c) * step], width = p[2 * step], height = p[3 * step];
            if (!(score >= decoder->input->score))
                continue;
            if (all.has_angle)
                turn(&width, &height, p[(4 + all.num_classes) * step]);
            LBW_TRY(lbw_decoder_add_centred(decoder, lbw_decoder_class(decoder, c), score, p[0],
                                            p[step], width, height));
        }
    return LBW_OK;
}

/*
 * One list of scores and one of boxes. Box i begins at i × box_step; its score for column c is
 * at i × by_row + c × by_column.
 */
struct listed {
    const float *boxes, *scores;
    size_t num, num_columns;
    size_t box_step, by_row, by_column;
};

/* [1,n,columns] or [1,columns,n], if the columns can be the classes. */
static bool take_scores(struct listed *out, const struct lbw_decoder *decoder,
                        const struct lbw_matrix *m)
{
    bool across = m->rows != out->num;
    out->scores = m->data;
    out->num_columns = across ? m->rows : m->columns;
    out->by_row = across ? 1 : m->columns;
    out->by_column = across ? m->columns : 1;
    return (across ? m->columns : m->rows) == out->num && out->num_columns &&
           lbw_decoder_classes(decoder, out->num_columns);
}

/* In any order; if both could be boxes, the name decides, else the first is taken. */
static bool find_listed(struct listed *out, const struct lbw_decoder *decoder)
{
    struct lbw_matrix boxes, scores;
    for (int named = 1; named >= 0; named--)
        for (size_t b = 0; b < decoder->num_planes; b++) {
            const struct lbw_plane *plane = &decoder->planes[b];
            if (!lbw_plane_matrix(&boxes, plane) || boxes.columns != 4 ||
                (named && !lbw_name_has(plane->name, "box")))
                continue;
            *out = (struct listed){
                .boxes = boxes.data, .num = boxes.rows, .box_step = boxes.columns};
            for (size_t s = 0; s < decoder->num_planes; s++)
                if (s != b && lbw_plane_matrix(&scores, &decoder->planes[s]) &&
                    take_scores(out, decoder, &scores))
                    return true;
        }
    if (decoder->profile->family != LBW_FAMILY_DETR || decoder->num_planes != 1 ||
        !lbw_plane_matrix(&boxes, &decoder->planes[0]) || boxes.columns < 5 ||
        !lbw_decoder_classes(decoder, boxes.columns - 4))
        return false;
    *out = (struct listed){boxes.data,    boxes.data + 4, boxes.rows, boxes.columns - 4,
                           boxes.columns, boxes.columns,  1};
    return true;
}

/* Whether the scores of a transformer are logits: some are outside 0 … 1. */
static bool are_logits(const struct lbw_decoder *decoder, const struct listed *all)
{
    bool outside = false;
    if (decoder->profile->family != LBW_FAMILY_DETR)
        return false;
    for (size_t i = 0; i < all->num; i++)
        for (size_t c = 0; c < all->num_columns; c++) {
            float score = all->scores[i * all->by_row + c * all->by_column];
            outside = outside || !(score >= 0 && score <= 1);
        }
    return outside;
}

/* The scores of box i, one per column: as they are, by a softmax, or each by a sigmoid. */
static void read_scores(float *out, const struct lbw_decoder *decoder, const struct listed *all,
                        size_t i, bool logits)
{
    float largest = -INFINITY, sum = 0;
    bool is_softmax = decoder->profile->background >= 0;
    for (size_t c = 0; c < all->num_columns; c++) {
        out[c] = all->scores[i * all->by_row + c * all->by_column];
        largest = fmaxf(largest, out[c]);
    }
    for (size_t c = 0; c < all->num_columns && logits; c++) {
        out[c] = is_softmax ? expf(out[c] - largest) : lbw_sigmoid(out[c]);
        sum += out[c];
    }
    for (size_t c = 0; c < all->num_columns && logits && is_softmax; c++)
        out[c] /= sum;
}

static void weigh_listed(struct lbw_decoder *decoder, const struct listed *all, size_t i,
                         const float *scores, bool logits)
{
    const float *p = all->boxes + i * all->box_step;
    bool is_centred = decoder->profile->box_order == LBW_BOX_CXCYWH;
    float best = 0;
    for (size_t c = 0; c < all->num_columns; c++)
        if (lbw_decoder_class(decoder, c) >= 0)
            best = fmaxf(best, scores[c]);
    lbw_decoder_matters(decoder, LBW_MATTER_SCORE, all->scores + i * all->by_row,
                        all->num_columns, all->by_column, logits ? best + LBW_LEAST_LOGIT : 1);
    lbw_decoder_box_matters(decoder, p, 1, best, is_centred ? p[2] : p[2] - p[0],
                            is_centred ? p[3] : p[3] - p[1]);
}

enum lbw_status lbw_decode_listed(struct lbw_decoder *decoder)
{
    struct listed all;
    bool found = find_listed(&all, decoder);
    if (!found && decoder->profile->family == LBW_FAMILY_YOLONAS) /* exported with its NMS */
        return lbw_decode_nms(decoder);
    if (!found)
        return lbw_decoder_mismatch(decoder, "[1,boxes,background+classes] and [1,boxes,4]");
    bool logits = are_logits(decoder, &all);
    float *scores = malloc(all.num_columns * sizeof *scores);
    if (!scores)
        return lbw_fail_memory(decoder->err);
    enum lbw_status status = LBW_OK;
    for (size_t i = 0; i < all.num && status == LBW_OK; i++) {
        read_scores(scores, decoder, &all, i, logits);
        if (decoder->importance)
            weigh_listed(decoder, &all, i, scores, logits);
        for (size_t c = 0; c < all.num_columns && status == LBW_OK; c++)
            if (scores[c] >= decoder->input->score)
                status = lbw_decoder_add_listed(decoder, lbw_decoder_class(decoder, c),
                                                scores[c], all.boxes + i * all.box_step);
    }
    free(scores);
    return status;
}
