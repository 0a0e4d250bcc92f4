/* SPDX-License-Identifier: MIT */
/* Families that give a list of boxes, decoded inside the model or relative to priors. */
#include <math.h>
#include <string.h>

#include "detect/decode.h"

/* Logits of the background: a shift of one moves next to nothing. */
#define LEAST_LOGIT 0.01f

/* Four numbers, `step` apart, in the unit of the box's own width and height. */
static void box_matters(struct lbw_decoder *decoder, const float *p, size_t step, float score,
                        float width, float height)
{
    for (size_t k = 0; k < 4; k++) {
        float size = fmaxf(k % 2 ? height : width, 1e-6f);
        lbw_decoder_matters(decoder, LBW_MATTER_BOX, p + k * step, 1, 1, score / (size * size));
    }
}

/* One row per box: cx cy width height objectness classes… in pixels of the input. */
static enum lbw_status add_yolov5_rows(struct lbw_decoder *decoder, const struct lbw_matrix *m)
{
    for (size_t i = 0; i < m->rows; i++) {
        const float *p = m->data + i * m->columns;
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p + 4, 1, 1, 1);
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p + 5, m->columns - 5, 1, p[4]);
        box_matters(decoder, p, 1, p[4], p[2], p[3]);
        if (p[4] >= decoder->input->score)
            LBW_TRY(lbw_decoder_add_classes(decoder, p + 5, m->columns - 5, p[4], p[0], p[1],
                                            p[2], p[3]));
    }
    return LBW_OK;
}

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* A head [1,anchors,rows,columns,5+classes] that the export left undecoded (logits). */
static enum lbw_status add_yolov5_head(struct lbw_decoder *decoder,
                                       const struct lbw_plane *plane, int s)
{
    const struct lbw_profile *profile = decoder->profile;
    size_t rows = (size_t)plane->dims[2], columns = (size_t)plane->dims[3];
    size_t width = (size_t)plane->dims[4], cells = rows * columns;
    float stride = (float)profile->strides[s];
    for (size_t i = 0; i < cells * (size_t)plane->dims[1]; i++) {
        const float *p = plane->data + i * width;
        const struct lbw_anchor *anchor = &profile->anchors[s][i / cells];
        float objectness = sigmoid(p[4]);
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p + 4, 1, 1, objectness + LEAST_LOGIT);
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p + 5, width - 5, 1, objectness);
        lbw_decoder_matters(decoder, LBW_MATTER_BOX, p, 4, 1, objectness);
        if (!(objectness >= decoder->input->score))
            continue;
        float cx = (2 * sigmoid(p[0]) - .5f + (float)(i % columns)) * stride;
        float cy = (2 * sigmoid(p[1]) - .5f + (float)(i % cells / columns)) * stride;
        float w = 2 * sigmoid(p[2]), h = 2 * sigmoid(p[3]);
        for (size_t c = 0; c < width - 5; c++)
            LBW_TRY(lbw_decoder_add_centred(decoder, lbw_decoder_class(decoder, c),
                                            objectness * sigmoid(p[5 + c]), cx, cy,
                                            w * w * anchor->width, h * h * anchor->height));
    }
    return LBW_OK;
}

static const struct lbw_plane *find_head(const struct lbw_decoder *decoder, int s)
{
    const struct lbw_profile *profile = decoder->profile;
    for (size_t i = 0; i < decoder->num_planes; i++) {
        const struct lbw_plane *plane = &decoder->planes[i];
        if (plane->num_dims == 5 && plane->dims[0] == 1 &&
            plane->dims[1] == profile->num_anchors && plane->dims[4] > 5 &&
            (size_t)plane->dims[3] ==
                lbw_decoder_cells(decoder->input->width, profile->strides[s]) &&
            lbw_decoder_classes(decoder, (size_t)plane->dims[4] - 5))
            return plane;
    }
    return NULL;
}

/* Exports often give the undecoded heads beside the decoded list; the list is enough. */
enum lbw_status lbw_decode_yolov5(struct lbw_decoder *decoder)
{
    struct lbw_matrix m;
    for (size_t i = 0; i < decoder->num_planes; i++)
        if (lbw_plane_matrix(&m, &decoder->planes[i]) && m.columns > 5 &&
            lbw_decoder_classes(decoder, m.columns - 5))
            return add_yolov5_rows(decoder, &m);
    LBW_TRY(lbw_decoder_check_anchors(decoder));
    for (int s = 0; s < decoder->profile->num_strides; s++) {
        const struct lbw_plane *head = find_head(decoder, s);
        if (!head)
            return lbw_decoder_mismatch(decoder, "[1,boxes,5+classes] or, per stride, "
                                                 "[1,anchors,rows,columns,5+classes]");
        LBW_TRY(add_yolov5_head(decoder, head, s));
    }
    return LBW_OK;
}

/* Which of the two sides holds the channels: what the profile says, else the shorter one. */
static bool is_transposed(const struct lbw_decoder *decoder, const struct lbw_matrix *m)
{
    if (decoder->profile->num_classes)
        return m->columns == (size_t)decoder->profile->num_classes + 4;
    return m->columns < m->rows;
}

enum lbw_status lbw_decode_yolov8(struct lbw_decoder *decoder)
{
    struct lbw_matrix m;
    if (decoder->num_planes < 1 || !lbw_plane_matrix(&m, &decoder->planes[0]))
        return lbw_decoder_mismatch(decoder, "[1,4+classes,boxes] or [1,boxes,4+classes]");
    bool transposed = is_transposed(decoder, &m);
    size_t channels = transposed ? m.columns : m.rows;
    size_t num = transposed ? m.rows : m.columns;
    if (channels < 5 || !lbw_decoder_classes(decoder, channels - 4))
        return lbw_decoder_mismatch(decoder, "[1,4+classes,boxes] or [1,boxes,4+classes]");
    /* Channel c of box i lies at c × by_channel + i × by_box. */
    size_t by_channel = transposed ? 1 : num, by_box = transposed ? channels : 1;
    for (size_t i = 0; i < num && decoder->importance; i++) {
        const float *p = m.data + i * by_box;
        float best = 0;
        for (size_t c = 4; c < channels; c++)
            best = fmaxf(best, p[c * by_channel]);
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p + 4 * by_channel, channels - 4,
                            by_channel, 1);
        box_matters(decoder, p, by_channel, best, p[2 * by_channel], p[3 * by_channel]);
    }
    for (size_t c = 4; c < channels; c++)
        for (size_t i = 0; i < num; i++) {
            float score = m.data[c * by_channel + i * by_box];
            if (!(score >= decoder->input->score))
                continue;
            const float *p = m.data + i * by_box;
            LBW_TRY(lbw_decoder_add_centred(decoder, lbw_decoder_class(decoder, c - 4), score,
                                            p[0], p[by_channel], p[2 * by_channel],
                                            p[3 * by_channel]));
        }
    return LBW_OK;
}

/* One list of scores [n,classes] and one of boxes [n,4], in whatever order. */
static bool find_scores_and_boxes(struct lbw_matrix *scores, struct lbw_matrix *boxes,
                                  const struct lbw_decoder *decoder)
{
    struct lbw_matrix m[2];
    if (decoder->num_planes < 2)
        return false;
    for (int i = 0; i < 2; i++)
        if (!lbw_plane_matrix(&m[i], &decoder->planes[i]))
            return false;
    int b = m[0].columns == 4 ? 0 : 1;
    if (m[0].columns == 4 && m[1].columns == 4 && lbw_name_has(decoder->planes[1].name, "box"))
        b = 1;
    *boxes = m[b];
    *scores = m[!b];
    return boxes->columns == 4 && scores->rows == boxes->rows &&
           lbw_decoder_classes(decoder, scores->columns);
}

/* Of row i, the background left out. */
static float best_score(const struct lbw_decoder *decoder, const struct lbw_matrix *scores,
                        size_t i)
{
    float best = 0;
    for (size_t c = 0; c < scores->columns; c++)
        if (lbw_decoder_class(decoder, c) >= 0)
            best = fmaxf(best, scores->data[i * scores->columns + c]);
    return best;
}

enum lbw_status lbw_decode_ultraface(struct lbw_decoder *decoder)
{
    struct lbw_matrix scores, boxes;
    float width = (float)decoder->input->width, height = (float)decoder->input->height;
    if (!find_scores_and_boxes(&scores, &boxes, decoder))
        return lbw_decoder_mismatch(decoder, "[1,boxes,background+classes] and [1,boxes,4]");
    for (size_t i = 0; i < scores.rows && decoder->importance; i++) {
        const float *p = boxes.data + 4 * i;
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, scores.data + i * scores.columns,
                            scores.columns, 1, 1);
        box_matters(decoder, p, 1, best_score(decoder, &scores, i), p[2] - p[0], p[3] - p[1]);
    }
    for (size_t i = 0; i < scores.rows; i++)
        for (size_t c = 0; c < scores.columns; c++) {
            const float *p = boxes.data + 4 * i;
            float score = scores.data[i * scores.columns + c];
            if (score >= decoder->input->score)
                LBW_TRY(lbw_decoder_add(decoder, lbw_decoder_class(decoder, c), score,
                                        p[0] * width, p[1] * height, p[2] * width,
                                        p[3] * height));
        }
    return LBW_OK;
}

/* Logits, or probabilities already? Those lie in 0 … 1, and with a background they sum to 1. */
static bool are_probabilities(const struct lbw_decoder *decoder, const struct lbw_matrix *m)
{
    float sum = 0;
    for (size_t i = 0; i < m->columns; i++)
        sum += m->data[i];
    if (decoder->profile->background >= 0 && fabsf(sum - 1) > 1e-3f)
        return false;
    for (size_t i = 0; i < m->rows * m->columns; i++)
        if (!(m->data[i] >= 0 && m->data[i] <= 1))
            return false;
    return true;
}

/* Adds the classes of one prior; `p` are the logits or probabilities. */
static enum lbw_status add_prior(struct lbw_decoder *decoder, const float *p, size_t num,
                                 bool ready, const float box[4], const float *offsets)
{
    bool is_softmax = !ready && decoder->profile->background >= 0;
    float largest = p[0], sum = 0, best = 0;
    for (size_t c = 1; c < num; c++)
        largest = fmaxf(largest, p[c]);
    for (size_t c = 0; is_softmax && c < num; c++)
        sum += expf(p[c] - largest);
    for (size_t c = 0; c < num; c++) {
        float score = ready ? p[c] : is_softmax ? expf(p[c] - largest) / sum : sigmoid(p[c]);
        best = lbw_decoder_class(decoder, c) >= 0 ? fmaxf(best, score) : best;
        LBW_TRY(lbw_decoder_add_centred(decoder, lbw_decoder_class(decoder, c), score, box[0],
                                        box[1], box[2], box[3]));
    }
    lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p, num, 1, ready ? 1 : best + LEAST_LOGIT);
    lbw_decoder_matters(decoder, LBW_MATTER_BOX, offsets, 4, 1, best);
    return LBW_OK;
}

/*
 * The layout of the SSD paper and its commonest exports: priors stride by stride, cell by cell
 * (row by row), anchor by anchor; cx = prior.cx + l₀·v₀·prior.w, w = prior.w·exp(l₂·v₁).
 */
enum lbw_status lbw_decode_ssd(struct lbw_decoder *decoder)
{
    const struct lbw_profile *profile = decoder->profile;
    struct lbw_matrix scores, boxes;
    size_t num = 0, i = 0;
    LBW_TRY(lbw_decoder_check_anchors(decoder));
    for (int s = 0; s < profile->num_strides; s++)
        num += lbw_decoder_cells(decoder->input->width, profile->strides[s]) *
               lbw_decoder_cells(decoder->input->height, profile->strides[s]) *
               (size_t)profile->num_anchors;
    if (!find_scores_and_boxes(&scores, &boxes, decoder) || scores.rows != num || !num)
        return lbw_decoder_mismatch(decoder, "[1,priors,background+classes] and [1,priors,4]");
    bool ready = are_probabilities(decoder, &scores);
    float v0 = profile->variance[0], v1 = profile->variance[1];
    for (int s = 0; s < profile->num_strides; s++) {
        size_t columns = lbw_decoder_cells(decoder->input->width, profile->strides[s]);
        size_t rows = lbw_decoder_cells(decoder->input->height, profile->strides[s]);
        for (size_t cell = 0; cell < rows * columns; cell++)
            for (int a = 0; a < profile->num_anchors; a++, i++) {
                const struct lbw_anchor *prior = &profile->anchors[s][a];
                const float *l = boxes.data + 4 * i;
                float x = ((float)(cell % columns) + .5f) * (float)profile->strides[s];
                float y = ((float)(cell / columns) + .5f) * (float)profile->strides[s];
                const float box[4] = {
                    x + l[0] * v0 * prior->width, y + l[1] * v0 * prior->height,
                    prior->width * expf(l[2] * v1), prior->height * expf(l[3] * v1)};
                LBW_TRY(add_prior(decoder, scores.data + i * scores.columns, scores.columns,
                                  ready, box, l));
            }
    }
    return LBW_OK;
}

/* Four numbers in the profile's order and unit. */
static enum lbw_status add_ready(struct lbw_decoder *decoder, const float *p, float score,
                                 float label)
{
    const struct lbw_profile *profile = decoder->profile;
    float sx = profile->normalized ? (float)decoder->input->width : 1;
    float sy = profile->normalized ? (float)decoder->input->height : 1;
    if (!(label >= 0 && label < 1e6f))
        return LBW_OK;
    int class_index = lbw_decoder_class(decoder, (size_t)lrintf(label));
    switch (profile->box_order) {
    case LBW_BOX_YXYX:
        return lbw_decoder_add(decoder, class_index, score, p[1] * sx, p[0] * sy, p[3] * sx,
                               p[2] * sy);
    case LBW_BOX_CXCYWH:
        return lbw_decoder_add_centred(decoder, class_index, score, p[0] * sx, p[1] * sy,
                                       p[2] * sx, p[3] * sy);
    case LBW_BOX_XYXY:
        break;
    }
    return lbw_decoder_add(decoder, class_index, score, p[0] * sx, p[1] * sy, p[2] * sx,
                           p[3] * sy);
}

/* Where box, score and label stand in the rows of a single output. */
struct row_layout {
    size_t columns;
    size_t num_dims; /* 0: any */
    size_t box, score, label;
};

static const struct row_layout row_layouts[] = {
    {6, 0, 0, 4, 5}, /* x0 y0 x1 y1 score label: YOLOv10, end-to-end exports */
    {7, 4, 3, 2, 1}, /* image label score x0 y0 x1 y1: DetectionOutput of Caffe and OpenVINO */
    {7, 0, 1, 6, 5}, /* image x0 y0 x1 y1 label score: YOLOv7 end to end */
};

static enum lbw_status decode_rows(struct lbw_decoder *decoder, bool *known)
{
    struct lbw_matrix m;
    *known = false;
    if (decoder->num_planes != 1 || !lbw_plane_matrix(&m, &decoder->planes[0]))
        return LBW_OK;
    for (size_t k = 0; k < sizeof row_layouts / sizeof *row_layouts; k++) {
        const struct row_layout *layout = &row_layouts[k];
        if (layout->columns != m.columns ||
            (layout->num_dims && layout->num_dims != decoder->planes[0].num_dims))
            continue;
        *known = true;
        for (size_t i = 0; i < m.rows; i++) {
            const float *p = m.data + i * m.columns;
            LBW_TRY(add_ready(decoder, p + layout->box, p[layout->score], p[layout->label]));
        }
        return LBW_OK;
    }
    return LBW_OK;
}

/* The outputs of a model that gives boxes, scores and labels apart. */
struct ready {
    struct lbw_matrix boxes; /* 4 columns, or 5 with the score behind the box */
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

/* A number of detections, where the lists are padded to a fixed length. */
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
