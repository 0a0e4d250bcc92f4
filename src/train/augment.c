/* SPDX-License-Identifier: MIT */
/* Augment: one affine view per picture, bilinear. */
#include "train/augment.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "onnx.pb-c.h"

#define SHARE_CUT  0.75
#define LEAST_SIDE 0.5

/* How pixels lie: value (c, y, x) is at c·channel + y·row + x·column. */
struct picture {
    size_t num, channels, height, width;
    size_t channel, row, column;
};

static bool has_channels(int64_t num)
{
    return num == 1 || num == 3;
}

static bool picture_of(struct picture *out, const struct lbw_array *array)
{
    if (array->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT || array->num_dims != 4)
        return false;
    size_t d[4];
    for (size_t i = 0; i < 4; i++)
        d[i] = (size_t)array->dims[i];
    if (has_channels(array->dims[1]))
        *out = (struct picture){d[0], d[1], d[2], d[3], d[2] * d[3], d[3], 1};
    else if (has_channels(array->dims[3]))
        *out = (struct picture){d[0], d[3], d[1], d[2], 1, d[2] * d[3], d[3]};
    else
        return false;
    return out->height > 0 && out->width > 0;
}

/* Where one line of the view looks: two neighbours and the second one's share. */
struct tap {
    size_t low, high;
    float share;
};

static void fill_taps(struct tap *taps, size_t num, double start, double side, bool mirrored)
{
    for (size_t i = 0; i < num; i++) {
        size_t to = mirrored ? num - 1 - i : i;
        double at = start + ((double)i + 0.5) * side - 0.5;
        at = at < 0 ? 0 : at > (double)num - 1 ? (double)num - 1 : at;
        size_t low = (size_t)at;
        taps[to] = (struct tap){low, low + 1 < num ? low + 1 : low, (float)(at - (double)low)};
    }
}

static void render(float *out, const float *in, const struct picture *p, const struct tap *xs,
                   const struct tap *ys)
{
    for (size_t c = 0; c < p->channels; c++)
        for (size_t y = 0; y < p->height; y++) {
            const float *low = in + c * p->channel + ys[y].low * p->row;
            const float *high = in + c * p->channel + ys[y].high * p->row;
            float *line = out + c * p->channel + y * p->row;
            for (size_t x = 0; x < p->width; x++) {
                size_t a = xs[x].low * p->column, b = xs[x].high * p->column;
                float top = low[a] + (low[b] - low[a]) * xs[x].share;
                float bottom = high[a] + (high[b] - high[a]) * xs[x].share;
                line[x * p->column] = top + (bottom - top) * ys[y].share;
            }
        }
}

enum lbw_status lbw_augment(struct lbw_array *out, const struct lbw_array *in,
                            struct lbw_random *random, struct lbw_error *err)
{
    struct lbw_array copy = *in;
    struct picture p;
    double mirrors = lbw_random_unit(random), cuts = lbw_random_unit(random);
    double side = 1 - (1 - LEAST_SIDE) * lbw_random_unit(random);
    double left = lbw_random_unit(random), top = lbw_random_unit(random);
    copy.data = malloc(in->size + 1);
    if (!copy.data)
        return lbw_fail_memory(err);
    if (!picture_of(&p, in)) {
        memcpy(copy.data, in->data, in->size);
        *out = copy;
        return LBW_OK;
    }
    struct tap *taps = malloc((p.width + p.height) * sizeof *taps);
    if (!taps) {
        free(copy.data);
        return lbw_fail_memory(err);
    }
    side = cuts < SHARE_CUT ? side : 1;
    fill_taps(taps, p.width, left * (1 - side) * (double)p.width, side, mirrors < 0.5);
    fill_taps(taps + p.width, p.height, top * (1 - side) * (double)p.height, side, false);
    size_t one = p.channels * p.height * p.width;
    for (size_t i = 0; i < p.num; i++)
        render((float *)copy.data + i * one, (const float *)in->data + i * one, &p, taps,
               taps + p.width);
    free(taps);
    *out = copy;
    return LBW_OK;
}
