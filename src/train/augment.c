/* SPDX-License-Identifier: MIT */
/* Augmentation: affine views, bilinear, of one or four images; then their light. */
#include "train/augment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "onnx.pb-c.h"

#define SHARE_CUT  0.75
#define LEAST_SIDE 0.5

#define SHARE_TILED 0.4
#define SHARE_LIT   0.5
#define MOST_GAIN   0.3 /* of contrast; half of it per channel */
#define MOST_SHIFT  0.3 /* of brightness, in standard deviations of the image */

/* The layout of pixels: value (c, y, x) is at c·channel + y·row + x·column. */
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

/* The source of one line of the view: two neighbours and the weight of the second. */
struct tap {
    size_t low, high;
    float share;
};

/* A part of the view, and the part of an image that it shows: `side` pixels of it per pixel. */
struct span {
    size_t begin, end;
    double start, side;
    bool mirrored;
};

static void fill_taps(struct tap *taps, size_t num, const struct span *s)
{
    for (size_t i = 0; i < s->end - s->begin; i++) {
        size_t to = s->mirrored ? s->end - 1 - i : s->begin + i;
        double at = s->start + ((double)i + 0.5) * s->side - 0.5;
        at = at < 0 ? 0 : at > (double)num - 1 ? (double)num - 1 : at;
        size_t low = (size_t)at;
        taps[to] = (struct tap){low, low + 1 < num ? low + 1 : low, (float)(at - (double)low)};
    }
}

static void render(float *out, const float *in, const struct picture *p, const struct tap *xs,
                   const struct tap *ys, const struct span *across, const struct span *down)
{
    for (size_t c = 0; c < p->channels; c++)
        for (size_t y = down->begin; y < down->end; y++) {
            const float *low = in + c * p->channel + ys[y].low * p->row;
            const float *high = in + c * p->channel + ys[y].high * p->row;
            float *line = out + c * p->channel + y * p->row;
            for (size_t x = across->begin; x < across->end; x++) {
                size_t a = xs[x].low * p->column, b = xs[x].high * p->column;
                float top = low[a] + (low[b] - low[a]) * xs[x].share;
                float bottom = high[a] + (high[b] - high[a]) * xs[x].share;
                line[x * p->column] = top + (bottom - top) * ys[y].share;
            }
        }
}

/* Crops `in` at random for that part of the view. */
static void show(struct lbw_array *out, const struct lbw_array *in, const struct picture *p,
                 struct tap *taps, struct span across, struct span down,
                 struct lbw_random *random)
{
    double mirrors = lbw_random_unit(random), cuts = lbw_random_unit(random);
    double side = 1 - (1 - LEAST_SIDE) * lbw_random_unit(random);
    double left = lbw_random_unit(random), top = lbw_random_unit(random);
    side = cuts < SHARE_CUT ? side : 1;
    across.mirrored = mirrors < 0.5;
    across.start = left * (1 - side) * (double)p->width;
    across.side = side * (double)p->width / (double)(across.end - across.begin);
    down.start = top * (1 - side) * (double)p->height;
    down.side = side * (double)p->height / (double)(down.end - down.begin);
    fill_taps(taps, p->width, &across);
    fill_taps(taps + p->width, p->height, &down);
    size_t one = p->channels * p->height * p->width;
    for (size_t i = 0; i < p->num; i++)
        render((float *)out->data + i * one, (const float *)in->data + i * one, p, taps,
               taps + p->width, &across, &down);
}

/* Where the tiles meet along a side of at least two pixels. */
static size_t middle_of(size_t side, struct lbw_random *random)
{
    size_t at = (size_t)((0.35 + 0.3 * lbw_random_unit(random)) * (double)side);
    return at < 1 ? 1 : at >= side ? side - 1 : at;
}

static void show_tiles(struct lbw_array *out, const struct lbw_array *const *in,
                       const struct picture *p, struct tap *taps, struct lbw_random *random)
{
    size_t x = middle_of(p->width, random), y = middle_of(p->height, random);
    for (size_t i = 0; i < LBW_NUM_TILES; i++) {
        struct span across = {i % 2 ? x : 0, i % 2 ? p->width : x, 0, 1, false};
        struct span down = {i / 2 ? y : 0, i / 2 ? p->height : y, 0, 1, false};
        show(out, in[i], p, taps, across, down, random);
    }
}

static double between(struct lbw_random *random, double most)
{
    return most * (2 * lbw_random_unit(random) - 1);
}

/* Contrast about the mean, a shift of all values, and a tint, whatever their range. */
static void change_light(struct lbw_array *array, const struct picture *p,
                         struct lbw_random *random)
{
    float *values = array->data;
    size_t count = p->num * p->channels * p->height * p->width;
    double sum = 0, squares = 0, gain = 1 + between(random, MOST_GAIN);
    double shift = between(random, MOST_SHIFT), gains[3];
    for (size_t c = 0; c < 3; c++)
        gains[c] = gain * (1 + between(random, MOST_GAIN / 2));
    for (size_t i = 0; i < count; i++) {
        sum += values[i];
        squares += (double)values[i] * values[i];
    }
    double mean = sum / (double)count;
    double spread = sqrt(fmax(squares / (double)count - mean * mean, 0));
    for (size_t i = 0; i < count;)
        for (size_t c = 0; c < p->channels; c++)
            for (size_t k = 0; k < p->channel; k++, i++)
                values[i] = (float)(mean + shift * spread + gains[c] * (values[i] - mean));
}

static bool are_alike(const struct lbw_array *const *in)
{
    for (size_t i = 1; i < LBW_NUM_TILES; i++)
        if (in[i]->num_dims != in[0]->num_dims || in[i]->data_type != in[0]->data_type ||
            memcmp(in[i]->dims, in[0]->dims, in[0]->num_dims * sizeof *in[0]->dims) != 0)
            return false;
    return true;
}

enum lbw_status lbw_augment(struct lbw_array *out, const struct lbw_array *const *in,
                            struct lbw_random *random, struct lbw_error *err)
{
    struct lbw_array copy = *in[0];
    struct picture p;
    double tiles = lbw_random_unit(random), light = lbw_random_unit(random);
    copy.data = malloc(copy.size + 1);
    if (!copy.data)
        return lbw_fail_memory(err);
    if (!picture_of(&p, in[0])) {
        memcpy(copy.data, in[0]->data, copy.size);
        *out = copy;
        return LBW_OK;
    }
    struct tap *taps = malloc((p.width + p.height) * sizeof *taps);
    if (!taps) {
        free(copy.data);
        return lbw_fail_memory(err);
    }
    struct span across = {.end = p.width}, down = {.end = p.height};
    if (tiles < SHARE_TILED && are_alike(in) && p.width > 1 && p.height > 1)
        show_tiles(&copy, in, &p, taps, random);
    else
        show(&copy, in[0], &p, taps, across, down, random);
    if (light < SHARE_LIT)
        change_light(&copy, &p, random);
    free(taps);
    *out = copy;
    return LBW_OK;
}
