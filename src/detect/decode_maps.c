/* SPDX-License-Identifier: MIT */
/* Families whose outputs are maps [1,channels,rows,columns], without anchors. */
#include <math.h>

#include "detect/decode.h"

/* A map over the cells: channel c of cell i is at c × num + i. */
struct map {
    const float *data;
    const char *name;
    size_t channels, rows, columns, num;
};

static bool read_map(struct map *out, const struct lbw_plane *plane)
{
    if (plane->num_dims != 4 || plane->dims[0] != 1)
        return false;
    *out = (struct map){.data = plane->data,
                        .name = plane->name,
                        .channels = (size_t)plane->dims[1],
                        .rows = (size_t)plane->dims[2],
                        .columns = (size_t)plane->dims[3]};
    out->num = out->rows * out->columns;
    return out->num > 0;
}

/* Classes and the four distances of one stride. */
static bool find_rtmdet(struct map *classes, struct map *sides,
                        const struct lbw_decoder *decoder, int stride)
{
    struct map m;
    bool has_classes = false, has_sides = false;
    for (size_t i = 0; i < decoder->num_planes; i++) {
        if (!read_map(&m, &decoder->planes[i]) ||
            m.rows != lbw_decoder_cells(decoder->input->height, stride) ||
            m.columns != lbw_decoder_cells(decoder->input->width, stride))
            continue;
        bool is_sides = m.channels == 4 && !lbw_name_has(m.name, "cls");
        if (is_sides && !has_sides)
            *sides = m, has_sides = true;
        else if (!has_classes && lbw_decoder_classes(decoder, m.channels))
            *classes = m, has_classes = true;
    }
    return has_classes && has_sides;
}

/* Distances in pixels from the corner of the cell, as the head's priors have no offset. */
static enum lbw_status add_rtmdet(struct lbw_decoder *decoder, const struct map *classes,
                                  const struct map *sides, float stride)
{
    size_t n = classes->num;
    for (size_t i = 0; i < n; i++) {
        const float *logits = classes->data + i, *d = sides->data + i;
        float best = lbw_sigmoid(logits[n * lbw_argmax(logits, classes->channels, n)]);
        float x = (float)(i % classes->columns) * stride;
        float y = (float)(i / classes->columns) * stride;
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, logits, classes->channels, n,
                            best + LBW_LEAST_LOGIT);
        lbw_decoder_box_matters(decoder, d, n, best, d[0] + d[2 * n], d[n] + d[3 * n]);
        if (!(best >= decoder->input->score))
            continue;
        for (size_t c = 0; c < classes->channels; c++)
            LBW_TRY(lbw_decoder_add(decoder, lbw_decoder_class(decoder, c),
                                    lbw_sigmoid(logits[c * n]), x - d[0], y - d[n],
                                    x + d[2 * n], y + d[3 * n]));
    }
    return LBW_OK;
}

/* The heads, or the outputs of an export that suppresses boxes: dets [1,n,5], labels [1,n]. */
enum lbw_status lbw_decode_rtmdet(struct lbw_decoder *decoder)
{
    const struct lbw_profile *profile = decoder->profile;
    for (int s = 0; s < profile->num_strides; s++) {
        struct map classes = {0}, sides = {0};
        if (!find_rtmdet(&classes, &sides, decoder, profile->strides[s]))
            return s ? lbw_decoder_mismatch(decoder, "per stride [1,classes,rows,columns] and "
                                                     "[1,4,rows,columns]")
                     : lbw_decode_nms(decoder);
        LBW_TRY(add_rtmdet(decoder, &classes, &sides, (float)profile->strides[s]));
    }
    return LBW_OK;
}

static float mean_size(const struct map *map)
{
    float sum = 0;
    for (size_t i = 0; i < 2 * map->num; i++)
        sum += fabsf(map->data[i]);
    return sum;
}

/* By name; else offsets are below a cell, and sizes are larger. */
static bool are_offsets(const struct map *map, const struct map *other)
{
    if (lbw_name_has(map->name, "reg") != lbw_name_has(other->name, "reg"))
        return lbw_name_has(map->name, "reg");
    if (lbw_name_has(map->name, "wh") != lbw_name_has(other->name, "wh"))
        return lbw_name_has(other->name, "wh");
    return mean_size(map) < mean_size(other);
}

static bool find_centernet(struct map *heat, struct map *sizes, struct map *offsets,
                           const struct lbw_decoder *decoder)
{
    struct map m, pair[2];
    size_t num_pairs = 0;
    bool has_heat = false;
    for (size_t i = 0; i < decoder->num_planes; i++) {
        if (!read_map(&m, &decoder->planes[i]))
            return false;
        if (m.channels == 2 && !lbw_name_has(m.name, "hm") && num_pairs < 2)
            pair[num_pairs++] = m;
        else if (!has_heat && lbw_decoder_classes(decoder, m.channels))
            *heat = m, has_heat = true;
    }
    if (!has_heat || num_pairs != 2 || pair[0].num != heat->num || pair[1].num != heat->num)
        return false;
    bool is_first = are_offsets(&pair[0], &pair[1]);
    *offsets = pair[!is_first];
    *sizes = pair[is_first];
    return true;
}

/* No neighbour in the same map is larger. */
static bool is_peak(const struct map *map, const float *heat, size_t i)
{
    size_t x = i % map->columns, y = i / map->columns;
    for (size_t ny = y ? y - 1 : 0; ny <= y + 1 && ny < map->rows; ny++)
        for (size_t nx = x ? x - 1 : 0; nx <= x + 1 && nx < map->columns; nx++)
            if (heat[ny * map->columns + nx] > heat[i])
                return false;
    return true;
}

/* Whether class scores passed a sigmoid already: those are in 0 … 1. */
static bool are_scores(const struct map *heat)
{
    for (size_t i = 0; i < heat->channels * heat->num; i++)
        if (!(heat->data[i] >= 0 && heat->data[i] <= 1))
            return false;
    return true;
}

static void weigh_centernet(struct lbw_decoder *decoder, const struct map *heat,
                            const struct map *sizes, const struct map *offsets, bool ready)
{
    size_t n = heat->num;
    for (size_t i = 0; i < n; i++) {
        const float *p = heat->data + i;
        float best = p[n * lbw_argmax(p, heat->channels, n)];
        best = ready ? best : lbw_sigmoid(best);
        float w = fmaxf(sizes->data[i], 1), h = fmaxf(sizes->data[n + i], 1);
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p, heat->channels, n,
                            ready ? 1 : best + LBW_LEAST_LOGIT);
        for (size_t k = 0; k < 2; k++) {
            float size = k ? h : w, weight = best / (size * size);
            lbw_decoder_matters(decoder, LBW_MATTER_BOX, sizes->data + k * n + i, 1, 1, weight);
            lbw_decoder_matters(decoder, LBW_MATTER_BOX, offsets->data + k * n + i, 1, 1,
                                weight);
        }
    }
}

enum lbw_status lbw_decode_centernet(struct lbw_decoder *decoder)
{
    struct map heat = {0}, sizes = {0}, offsets = {0};
    if (!find_centernet(&heat, &sizes, &offsets, decoder))
        return lbw_decoder_mismatch(decoder, "[1,classes,rows,columns] and twice "
                                             "[1,2,rows,columns]");
    bool ready = are_scores(&heat);
    size_t n = heat.num;
    float sx = (float)decoder->input->width / (float)heat.columns;
    float sy = (float)decoder->input->height / (float)heat.rows;
    if (decoder->importance)
        weigh_centernet(decoder, &heat, &sizes, &offsets, ready);
    for (size_t c = 0; c < heat.channels; c++)
        for (size_t i = 0; i < n; i++) {
            const float *values = heat.data + c * n;
            float score = ready ? values[i] : lbw_sigmoid(values[i]);
            if (!(score >= decoder->input->score) || !is_peak(&heat, values, i))
                continue;
            LBW_TRY(
                lbw_decoder_add_centred(decoder, lbw_decoder_class(decoder, c), score,
                                        ((float)(i % heat.columns) + offsets.data[i]) * sx,
                                        ((float)(i / heat.columns) + offsets.data[n + i]) * sy,
                                        sizes.data[i] * sx, sizes.data[n + i] * sy));
        }
    return LBW_OK;
}
