/* SPDX-License-Identifier: MIT */
/* Families whose boxes are relative to the cells of a grid. */
#include <math.h>

#include "detect/decode.h"

/* The cells of one stride, row by row. */
struct grid {
    float stride;
    size_t columns;
    size_t num;
};

static struct grid grid_of(const struct lbw_decoder *decoder, int i)
{
    int stride = decoder->profile->strides[i];
    size_t columns = lbw_decoder_cells(decoder->input->width, stride);
    size_t rows = lbw_decoder_cells(decoder->input->height, stride);
    return (struct grid){(float)stride, columns, rows * columns};
}

static float square(float x)
{
    return x * x;
}

/* Offsets in cells and logarithms of sizes in cells: an error is relative to the box's size. */
static void yolox_matters(struct lbw_decoder *decoder, const float *p, size_t num_classes,
                          size_t best)
{
    float score = p[4] * p[5 + best];
    lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p + 4, 1, 1, 1);
    lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p + 5, num_classes, 1,
                        p[4] + LBW_LEAST_CLASS);
    for (size_t k = 0; k < 2; k++)
        lbw_decoder_matters(decoder, LBW_MATTER_BOX, p + k, 1, 1,
                            score / square(fmaxf(expf(p[2 + k]), 1)));
    lbw_decoder_matters(decoder, LBW_MATTER_BOX, p + 2, 2, 1, score);
}

/* One class per cell, as in the original evaluation. */
enum lbw_status lbw_decode_yolox(struct lbw_decoder *decoder)
{
    struct lbw_matrix m;
    size_t num_cells = 0, row = 0;
    for (int s = 0; s < decoder->profile->num_strides; s++)
        num_cells += grid_of(decoder, s).num;
    if (decoder->num_planes != 1 || !lbw_plane_matrix(&m, &decoder->planes[0]) ||
        m.rows != num_cells || m.columns < 6 || !lbw_decoder_classes(decoder, m.columns - 5))
        return lbw_decoder_mismatch(decoder, "one output [1,cells,5+classes]");
    for (int s = 0; s < decoder->profile->num_strides; s++) {
        struct grid grid = grid_of(decoder, s);
        for (size_t i = 0; i < grid.num; i++, row++) {
            const float *p = m.data + row * m.columns;
            if (decoder->importance)
                yolox_matters(decoder, p, m.columns - 5, lbw_argmax(p + 5, m.columns - 5, 1));
            if (!(p[4] >= decoder->input->score))
                continue;
            size_t c = lbw_argmax(p + 5, m.columns - 5, 1);
            LBW_TRY(
                lbw_decoder_add_centred(decoder, lbw_decoder_class(decoder, c), p[4] * p[5 + c],
                                        (p[0] + (float)(i % grid.columns)) * grid.stride,
                                        (p[1] + (float)(i / grid.columns)) * grid.stride,
                                        expf(p[2]) * grid.stride, expf(p[3]) * grid.stride));
        }
    }
    return LBW_OK;
}

/* Derivatives of the box's sides by the raw values, in sizes of the box. */
static void fastestdet_matters(struct lbw_decoder *decoder, const float *p, size_t cells,
                               size_t num_classes, float score, const float cell[2],
                               const float size[2])
{
    lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p, 1, 1, 1);
    lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p + 5 * cells, num_classes, cells,
                        p[0] + LBW_LEAST_CLASS);
    for (size_t k = 0; k < 2; k++) {
        float centre = tanhf(p[(1 + k) * cells]), sigmoid = 1 / (1 + expf(-p[(3 + k) * cells]));
        float slope = cell[k] * (1 - centre * centre) / (size[k] + 1);
        lbw_decoder_matters(decoder, LBW_MATTER_BOX, p + (1 + k) * cells, 1, 1,
                            score * square(slope));
        lbw_decoder_matters(decoder, LBW_MATTER_BOX, p + (3 + k) * cells, 1, 1,
                            score * square(1 - sigmoid));
    }
}

enum lbw_status lbw_decode_fastestdet(struct lbw_decoder *decoder)
{
    const struct lbw_plane *plane = &decoder->planes[0];
    if (decoder->num_planes != 1 || plane->num_dims != 4 || plane->dims[0] != 1 ||
        plane->dims[1] < 6 || !lbw_decoder_classes(decoder, (size_t)plane->dims[1] - 5))
        return lbw_decoder_mismatch(decoder, "one output [1,5+classes,rows,columns]");
    size_t num_classes = (size_t)plane->dims[1] - 5;
    size_t rows = (size_t)plane->dims[2], columns = (size_t)plane->dims[3];
    size_t cells = rows * columns;
    float cell_width = (float)decoder->input->width / (float)columns;
    float cell_height = (float)decoder->input->height / (float)rows;
    float power = decoder->profile->objectness_power;
    for (size_t i = 0; i < cells; i++) {
        const float *p = plane->data + i;
        size_t c = lbw_argmax(p + 5 * cells, num_classes, cells);
        float score = powf(p[0], power) * powf(p[(5 + c) * cells], 1 - power);
        if (!(score >= decoder->input->score) && !decoder->importance)
            continue;
        float cx = ((float)(i % columns) + tanhf(p[cells])) * cell_width;
        float cy = ((float)(i / columns) + tanhf(p[2 * cells])) * cell_height;
        float width = (float)decoder->input->width / (1 + expf(-p[3 * cells]));
        float height = (float)decoder->input->height / (1 + expf(-p[4 * cells]));
        if (decoder->importance)
            fastestdet_matters(decoder, p, cells, num_classes, score,
                               (float[]){cell_width, cell_height}, (float[]){width, height});
        LBW_TRY(lbw_decoder_add_centred(decoder, lbw_decoder_class(decoder, c), score, cx, cy,
                                        width, height));
    }
    return LBW_OK;
}

/* The expected distance of one side: the mean of a distribution over 0, 1, … bins - 1. */
static float expected_bin(const float *logits, size_t bins)
{
    float largest = logits[0], sum = 0, weighted = 0;
    for (size_t i = 1; i < bins; i++)
        largest = fmaxf(largest, logits[i]);
    for (size_t i = 0; i < bins; i++) {
        float weight = expf(logits[i] - largest);
        sum += weight;
        weighted += weight * (float)i;
    }
    return weighted / sum;
}

/* Logits of improbable bins have no effect. */
static void nanodet_matters(struct lbw_decoder *decoder, const float *score, size_t num_classes,
                            const float *logits, size_t bins)
{
    float best = score[lbw_argmax(score, num_classes, 1)];
    lbw_decoder_matters(decoder, LBW_MATTER_SCORE, score, num_classes, 1, 1);
    for (size_t k = 0; k < 4; k++) {
        const float *side = logits + k * bins;
        float largest = side[lbw_argmax(side, bins, 1)], sum = 0;
        for (size_t i = 0; i < bins; i++)
            sum += expf(side[i] - largest);
        for (size_t i = 0; i < bins; i++)
            lbw_decoder_matters(decoder, LBW_MATTER_BOX, side + i, 1, 1,
                                best * expf(side[i] - largest) / sum);
    }
}

static enum lbw_status add_nanodet(struct lbw_decoder *decoder, const struct grid *grid,
                                   const struct lbw_matrix *scores,
                                   const struct lbw_matrix *sides)
{
    size_t bins = sides->columns / 4;
    for (size_t i = 0; i < grid->num; i++) {
        const float *score = scores->data + i * scores->columns;
        const float *logits = sides->data + i * sides->columns;
        float side[4] = {0};
        bool is_known = false; /* the softmax is computed only for detections */
        if (decoder->importance)
            nanodet_matters(decoder, score, scores->columns, logits, bins);
        float x = (float)(i % grid->columns) * grid->stride + .5f * (grid->stride - 1);
        float y = (float)(i / grid->columns) * grid->stride + .5f * (grid->stride - 1);
        for (size_t c = 0; c < scores->columns; c++) {
            if (!(score[c] >= decoder->input->score))
                continue;
            for (size_t k = 0; !is_known && k < 4; k++)
                side[k] = grid->stride * expected_bin(logits + k * bins, bins);
            is_known = true;
            LBW_TRY(lbw_decoder_add(decoder, lbw_decoder_class(decoder, c), score[c],
                                    x - side[0], y - side[1], x + side[2], y + side[3]));
        }
    }
    return LBW_OK;
}

/* A matrix with this many rows and a number of columns that `fits` accepts. */
static bool find_matrix(struct lbw_matrix *out, const struct lbw_decoder *decoder, size_t rows,
                        bool (*fits)(const struct lbw_decoder *, size_t columns), size_t skip)
{
    for (size_t i = 0; i < decoder->num_planes; i++)
        if (lbw_plane_matrix(out, &decoder->planes[i]) && out->rows == rows &&
            fits(decoder, out->columns) && skip-- == 0)
            return true;
    return false;
}

static bool is_classes(const struct lbw_decoder *decoder, size_t columns)
{
    return decoder->profile->num_classes ? lbw_decoder_classes(decoder, columns) != 0
                                         : columns % 4 != 0 || columns > 64;
}

static bool is_sides(const struct lbw_decoder *decoder, size_t columns)
{
    return columns % 4 == 0 && columns >= 8 && !is_classes(decoder, columns);
}

static bool is_either(const struct lbw_decoder *decoder, size_t columns)
{
    return columns % 4 == 0 && columns >= 8 && lbw_decoder_classes(decoder, columns);
}

static bool is_named_as_sides(const struct lbw_decoder *decoder, const struct lbw_matrix *m)
{
    for (size_t i = 0; i < decoder->num_planes; i++) {
        const char *name = decoder->planes[i].name;
        if (decoder->planes[i].data == m->data)
            return lbw_name_has(name, "box") || lbw_name_has(name, "reg") ||
                   lbw_name_has(name, "dis");
    }
    return false;
}

/*
 * Classes and sides of one stride are distinguished by their widths. If these are equal, by
 * their names, else the classes are first.
 */
static bool find_pair(struct lbw_matrix *scores, struct lbw_matrix *sides,
                      const struct lbw_decoder *decoder, size_t rows)
{
    if (find_matrix(scores, decoder, rows, is_classes, 0) &&
        find_matrix(sides, decoder, rows, is_sides, 0))
        return true;
    if (!find_matrix(scores, decoder, rows, is_either, 0) ||
        !find_matrix(sides, decoder, rows, is_either, 1) || scores->columns != sides->columns)
        return false;
    if (is_named_as_sides(decoder, scores) && !is_named_as_sides(decoder, sides)) {
        struct lbw_matrix first = *scores;
        *scores = *sides;
        *sides = first;
    }
    return true;
}

enum lbw_status lbw_decode_nanodet(struct lbw_decoder *decoder)
{
    for (int s = 0; s < decoder->profile->num_strides; s++) {
        struct grid grid = grid_of(decoder, s);
        struct lbw_matrix scores, sides;
        if (!find_pair(&scores, &sides, decoder, grid.num))
            return lbw_decoder_mismatch(decoder,
                                        "per stride [1,cells,classes] and [1,cells,4·bins]");
        LBW_TRY(add_nanodet(decoder, &grid, &scores, &sides));
    }
    return LBW_OK;
}

static bool is_one(const struct lbw_decoder *decoder, size_t columns)
{
    (void)decoder;
    return columns == 1;
}

static bool is_four(const struct lbw_decoder *decoder, size_t columns)
{
    (void)decoder;
    return columns == 4;
}

/* Either factor of the score counts as far as the other lets it; boxes as in yolox. */
static void yunet_matters(struct lbw_decoder *decoder, const float *first, const float *second,
                          const float *p, float score)
{
    lbw_decoder_matters(decoder, LBW_MATTER_SCORE, first, 1, 1, *second + LBW_LEAST_CLASS);
    lbw_decoder_matters(decoder, LBW_MATTER_SCORE, second, 1, 1, *first + LBW_LEAST_CLASS);
    for (size_t k = 0; k < 2; k++)
        lbw_decoder_matters(decoder, LBW_MATTER_BOX, p + k, 1, 1,
                            score / square(fmaxf(expf(p[2 + k]), 1e-3f)));
    lbw_decoder_matters(decoder, LBW_MATTER_BOX, p + 2, 2, 1, score);
}

/* Class score and objectness have the same shape and meet in a product: either comes first. */
enum lbw_status lbw_decode_yunet(struct lbw_decoder *decoder)
{
    for (int s = 0; s < decoder->profile->num_strides; s++) {
        struct grid grid = grid_of(decoder, s);
        struct lbw_matrix first, second, sides;
        if (!find_matrix(&first, decoder, grid.num, is_one, 0) ||
            !find_matrix(&second, decoder, grid.num, is_one, 1) ||
            !find_matrix(&sides, decoder, grid.num, is_four, 0))
            return lbw_decoder_mismatch(decoder,
                                        "per stride two of [1,cells,1] and one [1,cells,4]");
        for (size_t i = 0; i < grid.num; i++) {
            const float *p = sides.data + 4 * i;
            float score =
                sqrtf(fminf(fmaxf(first.data[i], 0), 1) * fminf(fmaxf(second.data[i], 0), 1));
            if (decoder->importance)
                yunet_matters(decoder, first.data + i, second.data + i, p, score);
            if (!(score >= decoder->input->score))
                continue;
            LBW_TRY(lbw_decoder_add_centred(
                decoder, 0, score, ((float)(i % grid.columns) + p[0]) * grid.stride,
                ((float)(i / grid.columns) + p[1]) * grid.stride, expf(p[2]) * grid.stride,
                expf(p[3]) * grid.stride));
        }
    }
    return LBW_OK;
}

/* Distances, in strides, from the corner of the cell; two anchors there. */
static enum lbw_status add_scrfd(struct lbw_decoder *decoder, const struct grid *grid,
                                 const struct lbw_matrix *scores,
                                 const struct lbw_matrix *sides, size_t num_anchors)
{
    for (size_t i = 0; i < scores->rows; i++) {
        const float *d = sides->data + 4 * i;
        float score = scores->data[i];
        float x = (float)(i / num_anchors % grid->columns) * grid->stride;
        float y = (float)(i / num_anchors / grid->columns) * grid->stride;
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, scores->data + i, 1, 1, 1);
        lbw_decoder_box_matters(decoder, d, 1, score, fmaxf(d[0] + d[2], 1),
                                fmaxf(d[1] + d[3], 1));
        LBW_TRY(lbw_decoder_add(decoder, 0, score, x - d[0] * grid->stride,
                                y - d[1] * grid->stride, x + d[2] * grid->stride,
                                y + d[3] * grid->stride));
    }
    return LBW_OK;
}

enum lbw_status lbw_decode_scrfd(struct lbw_decoder *decoder)
{
    const size_t num_anchors = 2;
    for (int s = 0; s < decoder->profile->num_strides; s++) {
        struct grid grid = grid_of(decoder, s);
        struct lbw_matrix scores, sides;
        if (!find_matrix(&scores, decoder, num_anchors * grid.num, is_one, 0) ||
            !find_matrix(&sides, decoder, num_anchors * grid.num, is_four, 0))
            return lbw_decoder_mismatch(decoder,
                                        "per stride [anchors,1] and [anchors,4], two a cell");
        LBW_TRY(add_scrfd(decoder, &grid, &scores, &sides, num_anchors));
    }
    return LBW_OK;
}
