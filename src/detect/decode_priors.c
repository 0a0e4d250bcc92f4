/* SPDX-License-Identifier: MIT */
/* Families whose boxes are relative to priors of fixed sizes: SSD, and face detectors. */
#include <math.h>

#include "detect/decode.h"

/* One list of scores [n,classes] and one of boxes [n,4], in any order. */
static bool find_scores_and_boxes(struct lbw_matrix *scores, struct lbw_matrix *boxes,
                                  const struct lbw_decoder *decoder, size_t num)
{
    struct lbw_matrix m;
    *scores = *boxes = (struct lbw_matrix){0};
    for (int named = 1; named >= 0; named--)
        for (size_t i = 0; i < decoder->num_planes && !boxes->data; i++) {
            const struct lbw_plane *plane = &decoder->planes[i];
            if (lbw_plane_matrix(&m, plane) && m.columns == 4 && m.rows == num &&
                (!named || lbw_name_has(plane->name, "box")))
                *boxes = m;
        }
    for (size_t i = 0; i < decoder->num_planes && !scores->data; i++)
        if (lbw_plane_matrix(&m, &decoder->planes[i]) && m.rows == num &&
            m.data != boxes->data && lbw_decoder_classes(decoder, m.columns))
            *scores = m;
    return num && boxes->data && scores->data;
}

/* Whether they are logits. Probabilities are in 0 … 1, and with a background sum to 1. */
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
        float score = ready        ? p[c]
                      : is_softmax ? expf(p[c] - largest) / sum
                                   : lbw_sigmoid(p[c]);
        best = lbw_decoder_class(decoder, c) >= 0 ? fmaxf(best, score) : best;
        LBW_TRY(lbw_decoder_add_centred(decoder, lbw_decoder_class(decoder, c), score, box[0],
                                        box[1], box[2], box[3]));
    }
    lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p, num, 1,
                        ready ? 1 : best + LBW_LEAST_LOGIT);
    lbw_decoder_matters(decoder, LBW_MATTER_BOX, offsets, 4, 1, best);
    return LBW_OK;
}

/* A prior, in pixels of the input. */
struct prior {
    float x, y, width, height;
};

/* cx = prior.x + l₀·v₀·prior.width, width = prior.width·exp(l₂·v₁), in the profile's order. */
static enum lbw_status add_offsets(struct lbw_decoder *decoder, const struct lbw_matrix *scores,
                                   const struct lbw_matrix *boxes, size_t i, bool ready,
                                   const struct prior *prior)
{
    const struct lbw_profile *profile = decoder->profile;
    const float *l = boxes->data + 4 * i;
    float v0 = profile->variance[0], v1 = profile->variance[1];
    size_t x = profile->box_order == LBW_BOX_YXYX, y = !x;
    const float box[4] = {
        prior->x + l[x] * v0 * prior->width, prior->y + l[y] * v0 * prior->height,
        prior->width * expf(l[2 + x] * v1), prior->height * expf(l[2 + y] * v1)};
    return add_prior(decoder, scores->data + i * scores->columns, scores->columns, ready, box,
                     l);
}

/*
 * The layout of the SSD paper and its commonest exports: priors stride by stride, cell by cell
 * (row by row), anchor by anchor.
 */
enum lbw_status lbw_decode_ssd(struct lbw_decoder *decoder)
{
    const struct lbw_profile *profile = decoder->profile;
    struct lbw_matrix scores, boxes;
    size_t num = 0, i = 0;
    LBW_TRY(lbw_decoder_check_anchors(decoder));
    for (int s = 0; s < profile->num_strides; s++)
        for (int a = 0; a < profile->num_anchors; a++)
            if (profile->anchors[s][a].width > 0)
                num += lbw_decoder_cells(decoder->input->width, profile->strides[s]) *
                       lbw_decoder_cells(decoder->input->height, profile->strides[s]);
    if (!find_scores_and_boxes(&scores, &boxes, decoder, num))
        return lbw_decoder_mismatch(decoder, "[1,priors,background+classes] and [1,priors,4]");
    bool ready = are_probabilities(decoder, &scores);
    for (int s = 0; s < profile->num_strides; s++) {
        float stride = (float)profile->strides[s];
        size_t columns = lbw_decoder_cells(decoder->input->width, profile->strides[s]);
        size_t rows = lbw_decoder_cells(decoder->input->height, profile->strides[s]);
        for (size_t cell = 0; cell < rows * columns; cell++)
            for (int a = 0; a < profile->num_anchors; a++) {
                const struct lbw_anchor *anchor = &profile->anchors[s][a];
                if (!(anchor->width > 0))
                    continue;
                const struct prior prior = {((float)(cell % columns) + .5f) * stride,
                                            ((float)(cell / columns) + .5f) * stride,
                                            anchor->width, anchor->height};
                LBW_TRY(add_offsets(decoder, &scores, &boxes, i++, ready, &prior));
            }
    }
    return LBW_OK;
}

/* FaceBoxes: priors of these sizes, `density` times as dense as the cells in each direction. */
static const struct densified {
    int stride;
    float size;
    size_t density; /* 1: in the middle of the cell; else from its corner on */
} densified[] = {{32, 32, 4}, {32, 64, 2}, {32, 128, 1}, {64, 256, 1}, {128, 512, 1}};

/* The priors of one cell that belong to row `d` of the table. */
static enum lbw_status add_densified(struct lbw_decoder *decoder,
                                     const struct lbw_matrix *scores,
                                     const struct lbw_matrix *boxes, size_t *i, bool ready,
                                     const struct densified *d, size_t column, size_t row)
{
    float stride = (float)d->stride, shift = d->density == 1 ? .5f : 0;
    for (size_t k = 0; k < d->density * d->density; k++) {
        float x = (float)(k % d->density) / (float)d->density + shift;
        float y = (float)(k / d->density) / (float)d->density + shift;
        const struct prior prior = {((float)column + x) * stride, ((float)row + y) * stride,
                                    d->size, d->size};
        LBW_TRY(add_offsets(decoder, scores, boxes, (*i)++, ready, &prior));
    }
    return LBW_OK;
}

enum lbw_status lbw_decode_faceboxes(struct lbw_decoder *decoder)
{
    size_t num = 0, i = 0, num_rows = sizeof densified / sizeof *densified;
    struct lbw_matrix scores, boxes;
    for (size_t d = 0; d < num_rows; d++)
        num += densified[d].density * densified[d].density *
               lbw_decoder_cells(decoder->input->width, densified[d].stride) *
               lbw_decoder_cells(decoder->input->height, densified[d].stride);
    if (!find_scores_and_boxes(&scores, &boxes, decoder, num))
        return lbw_decoder_mismatch(decoder, "[1,priors,background+face] and [1,priors,4]");
    bool ready = are_probabilities(decoder, &scores);
    for (size_t first = 0, end; first < num_rows; first = end) {
        int stride = densified[first].stride;
        size_t columns = lbw_decoder_cells(decoder->input->width, stride);
        size_t rows = lbw_decoder_cells(decoder->input->height, stride);
        for (end = first; end < num_rows && densified[end].stride == stride;)
            end++;
        for (size_t cell = 0; cell < rows * columns; cell++)
            for (size_t d = first; d < end; d++)
                LBW_TRY(add_densified(decoder, &scores, &boxes, &i, ready, &densified[d],
                                      cell % columns, cell / columns));
    }
    return LBW_OK;
}

/* Two anchors per cell at the first stride, six at the second: all as large as the input. */
enum lbw_status lbw_decode_blazeface(struct lbw_decoder *decoder)
{
    static const size_t num_anchors[2] = {2, 6};
    const struct lbw_profile *profile = decoder->profile;
    struct lbw_matrix logits = {0}, boxes = {0}, m;
    size_t columns[2], cells[2], i = 0;
    for (int s = 0; s < 2; s++) {
        columns[s] = lbw_decoder_cells(decoder->input->width, profile->strides[s]);
        cells[s] = columns[s] * lbw_decoder_cells(decoder->input->height, profile->strides[s]);
    }
    for (size_t k = 0; k < decoder->num_planes; k++)
        if (lbw_plane_matrix(&m, &decoder->planes[k]) && m.rows == 2 * cells[0] + 6 * cells[1])
            *(m.columns == 1 ? &logits : &boxes) = m;
    if (!logits.data || !boxes.data || boxes.columns < 4)
        return lbw_decoder_mismatch(decoder, "[1,anchors,1] and [1,anchors,16]");
    for (int s = 0; s < 2; s++)
        for (size_t k = 0; k < cells[s] * num_anchors[s]; k++, i++) {
            const float *p = boxes.data + i * boxes.columns, *logit = logits.data + i;
            size_t cell = k / num_anchors[s];
            float score = lbw_sigmoid(*logit), stride = (float)profile->strides[s];
            lbw_decoder_matters(decoder, LBW_MATTER_SCORE, logit, 1, 1,
                                score + LBW_LEAST_LOGIT);
            lbw_decoder_box_matters(decoder, p, 1, score, fmaxf(p[2], 1), fmaxf(p[3], 1));
            LBW_TRY(lbw_decoder_add_centred(
                decoder, 0, score, p[0] + ((float)(cell % columns[s]) + .5f) * stride,
                p[1] + ((float)(cell / columns[s]) + .5f) * stride, p[2], p[3]));
        }
    return LBW_OK;
}
