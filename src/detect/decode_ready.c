/* SPDX-License-Identifier: MIT */
/* Models that suppress overlapping boxes themselves and output boxes, scores and labels. */
#include <math.h>

#include "detect/decode.h"

/* Four numbers in the profile's order and unit. */
static enum lbw_status add_ready(struct lbw_decoder *decoder, const float *p, float score,
                                 float label)
{
    if (!(label >= 0 && label < 1e6f))
        return LBW_OK;
    return lbw_decoder_add_listed(decoder, lbw_decoder_class(decoder, (size_t)lrintf(label)),
                                  score, p);
}

/* The positions of box, score and label in the rows of a single output. */
struct row_layout {
    size_t columns;
    size_t num_dims; /* 0: any */
    size_t box, score, label;
};

static const struct row_layout row_layouts[] = {
    {6, 0, 0, 4, 5}, /* x0 y0 x1 y1 score label: YOLOv10, end-to-end exports */
    {7, 4, 3, 2, 1}, /* image label score x0 y0 x1 y1: DetectionOutput of Caffe and OpenVINO */
    {7, 0, 1, 6, 5}, /* image x0 y0 x1 y1 label score: YOLOv7 end to end */
    {6, 0, 2, 1, 0}, /* label score x0 y0 x1 y1: PaddleDetection */
};

/* Whether in every row the label is a whole number and the score lies in 0 … 1. */
static bool is_plausible(const struct row_layout *layout, const struct lbw_matrix *m)
{
    for (size_t i = 0; i < m->rows; i++) {
        const float *p = m->data + i * m->columns;
        float score = p[layout->score], label = p[layout->label];
        if (!(score >= 0 && score <= 1 && label >= -1 && label == floorf(label)))
            return false;
    }
    return true;
}

/* The layout of rows of this many columns; where values fit more than one, the first. */
static const struct row_layout *find_layout(const struct lbw_matrix *m, size_t num_dims,
                                            size_t extra)
{
    const struct row_layout *found = NULL;
    for (size_t k = 0; k < sizeof row_layouts / sizeof *row_layouts; k++) {
        const struct row_layout *layout = &row_layouts[k];
        if (layout->columns + (k ? 0 : extra) != m->columns ||
            (layout->num_dims && layout->num_dims != num_dims))
            continue;
        if (is_plausible(layout, m))
            return layout;
        found = found ? found : layout;
    }
    return found;
}

/* Beside the rows: prototypes of masks where extra columns are for them, numbers of boxes. */
static bool are_rows_alone(const struct lbw_decoder *decoder, size_t extra)
{
    for (size_t k = 1; k < decoder->num_planes; k++)
        if (decoder->planes[k].count > 1 && !(extra && k == 1))
            return false;
    return decoder->num_planes > 0;
}

static enum lbw_status decode_rows(struct lbw_decoder *decoder, bool *known)
{
    struct lbw_matrix m;
    *known = false;
    size_t extra = (size_t)decoder->profile->num_extra;
    if (!are_rows_alone(decoder, extra) || !lbw_plane_matrix(&m, &decoder->planes[0]))
        return LBW_OK;
    const struct row_layout *layout = find_layout(&m, decoder->planes[0].num_dims, extra);
    *known = layout != NULL;
    for (size_t i = 0; layout && i < m.rows; i++) {
        const float *p = m.data + i * m.columns;
        LBW_TRY(add_ready(decoder, p + layout->box, p[layout->score], p[layout->label]));
    }
    return LBW_OK;
}

/* The outputs of a model with separate boxes, scores and labels. */
struct ready {
    struct lbw_matrix boxes; /* 4 columns, or 5 with the score after the box */
    const struct lbw_plane *scores;
    const struct lbw_plane *labels;
    size_t num;
};

static bool is_label(const struct lbw_plane *plane)
{
    return plane->is_integer || lbw_name_has(plane->name, "label") ||
           lbw_name_has(plane->name, "class") || lbw_name_has(plane->name, "cls");
}

static bool find_ready(struct ready *out, const struct lbw_decoder *decoder)
{
    *out = (struct ready){0};
    for (size_t i = 0; i < decoder->num_planes; i++) {
        const struct lbw_plane *plane = &decoder->planes[i];
        struct lbw_matrix m;
        if (!out->boxes.columns && lbw_plane_matrix(&m, plane) &&
            (m.columns == 4 || m.columns == 5) && !is_label(plane))
            out->boxes = m;
    }
    if (!out->boxes.columns)
        return false;
    for (size_t i = 0; i < decoder->num_planes; i++) {
        const struct lbw_plane *plane = &decoder->planes[i];
        if (plane->data == out->boxes.data || plane->count != out->boxes.rows ||
            lbw_name_has(plane->name, "num"))
            continue;
        if (is_label(plane) && !out->labels)
            out->labels = plane;
        else if (!out->scores)
            out->scores = plane;
        else if (!out->labels)
            out->labels = plane;
    }
    out->num = out->boxes.rows;
    return out->scores || out->boxes.columns == 5;
}

/* The number of detections, for lists padded to a fixed length. */
static size_t count_of(const struct lbw_decoder *decoder, size_t num)
{
    for (size_t i = 0; i < decoder->num_planes; i++) {
        const struct lbw_plane *plane = &decoder->planes[i];
        if (plane->count == 1 && lbw_name_has(plane->name, "num") && plane->data[0] >= 0 &&
            plane->data[0] < (float)num)
            return (size_t)plane->data[0];
    }
    return num;
}

enum lbw_status lbw_decode_nms(struct lbw_decoder *decoder)
{
    bool known;
    struct ready ready;
    LBW_TRY(decode_rows(decoder, &known));
    if (known)
        return LBW_OK;
    if (!find_ready(&ready, decoder))
        return lbw_decoder_mismatch(
            decoder, "boxes [n,4], scores [n] and labels [n], or [n,5] and [n], or [n,6 or 7]");
    size_t num = count_of(decoder, ready.num);
    for (size_t i = 0; i < num; i++) {
        const float *p = ready.boxes.data + i * ready.boxes.columns;
        float score = ready.boxes.columns == 5 ? p[4] : ready.scores->data[i];
        LBW_TRY(add_ready(decoder, p, score, ready.labels ? ready.labels->data[i] : 0));
    }
    return LBW_OK;
}
