/* SPDX-License-Identifier: MIT */
/* From an image to a network's input: resize, pad, reorder the colours, normalise. */
#include "feed/preprocess_check.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define WEIGHT_BITS 11 /* of one bilinear weight, as in OpenCV */
#define WEIGHT_ONE  (1 << WEIGHT_BITS)

#define MOST_MEAN 1e6

/* Two neighbours, and the weight of the second. */
struct tap {
    int first, second;
    int32_t share; /* 0 … WEIGHT_ONE */
};

/* Where the resized image is in the input. */
struct box {
    int x, y, width, height;
};

/* Half-pixel centres; the outermost pixels continue outwards. */
static void make_taps(struct tap *taps, int num, int source)
{
    double step = (double)source / num;
    for (int i = 0; i < num; i++) {
        double at = (i + 0.5) * step - 0.5;
        double whole = floor(at);
        int first = (int)whole;
        int32_t share = (int32_t)floor((at - whole) * WEIGHT_ONE + 0.5);
        if (first < 0)
            first = 0, share = 0;
        if (first >= source - 1)
            first = source - 1, share = 0;
        taps[i] = (struct tap){first, share ? first + 1 : first, share};
    }
}

static void resize_row(int32_t *out, const uint8_t *row, const struct tap *taps, int num)
{
    for (int i = 0; i < num; i++) {
        const uint8_t *a = row + (size_t)3 * (size_t)taps[i].first;
        const uint8_t *b = row + (size_t)3 * (size_t)taps[i].second;
        for (int c = 0; c < 3; c++)
            out[3 * i + c] = a[c] * WEIGHT_ONE + (b[c] - a[c]) * taps[i].share;
    }
}

static void blend_rows(uint8_t *out, const int32_t *a, const int32_t *b, int32_t share, int num)
{
    const int32_t half = 1 << (2 * WEIGHT_BITS - 1);
    for (int i = 0; i < num; i++)
        out[i] =
            (uint8_t)((a[i] * (WEIGHT_ONE - share) + b[i] * share + half) >> 2 * WEIGHT_BITS);
}

/* 8-bit RGB in, 8-bit RGB out, width × height. */
static enum lbw_status resize(uint8_t *out, int width, int height,
                              const struct lbw_image *image, struct lbw_error *err)
{
    size_t row_size = (size_t)3 * (size_t)width;
    struct tap *taps = malloc(((size_t)width + (size_t)height) * sizeof *taps);
    int32_t *rows = malloc(2 * row_size * sizeof *rows);
    if (!taps || !rows) {
        free(taps);
        free(rows);
        return lbw_fail_memory(err);
    }
    const struct tap *vertical = taps + width;
    make_taps(taps, width, image->width);
    make_taps(taps + width, height, image->height);
    int held[2] = {-1, -1}; /* which source rows are in `rows`: even ones in 0, odd ones in 1 */
    for (int y = 0; y < height; y++) {
        const int needed[2] = {vertical[y].first, vertical[y].second};
        for (int k = 0; k < 2; k++) {
            int slot = needed[k] % 2;
            if (held[slot] != needed[k])
                resize_row(rows + (size_t)slot * row_size,
                           image->pixels + (size_t)3 * (size_t)image->width * (size_t)needed[k],
                           taps, width);
            held[slot] = needed[k];
        }
        blend_rows(out + (size_t)y * row_size, rows + (size_t)(needed[0] % 2) * row_size,
                   rows + (size_t)(needed[1] % 2) * row_size, vertical[y].share, 3 * width);
    }
    free(taps);
    free(rows);
    return LBW_OK;
}

static int clamp_side(double side, int most)
{
    return side < 1 ? 1 : side > most ? most : (int)side;
}

/*
 * The corner variant truncates, as YOLOX's preproc(); the centred one rounds to nearest and
 * puts an odd row or column at the bottom or right, as Ultralytics' LetterBox.
 */
static struct box place(const struct lbw_image *image, const struct lbw_preprocess *preprocess)
{
    int width = preprocess->width, height = preprocess->height;
    struct box box = {0, 0, width, height};
    if (preprocess->resize == LBW_RESIZE_STRETCH)
        return box;
    double x = (double)width / image->width, y = (double)height / image->height;
    double ratio = x < y ? x : y;
    bool is_centred = preprocess->resize == LBW_RESIZE_LETTERBOX;
    box.width =
        clamp_side(is_centred ? rint(image->width * ratio) : image->width * ratio, width);
    box.height =
        clamp_side(is_centred ? rint(image->height * ratio) : image->height * ratio, height);
    if (is_centred) {
        box.x = (width - box.width) / 2;
        box.y = (height - box.height) / 2;
    }
    return box;
}

/* One float for each of the 256 levels of channel c. */
static void make_table(float *table, const struct lbw_preprocess *preprocess, int c)
{
    for (int level = 0; level < 256; level++)
        table[level] = ((float)level - preprocess->mean[c]) / preprocess->std[c];
}

static uint8_t luma(const uint8_t *rgb) /* BT.601, weights in 1/32768 as in OpenCV */
{
    return (uint8_t)((rgb[0] * 9798 + rgb[1] * 19235 + rgb[2] * 3735 + (1 << 14)) >> 15);
}

/* Writes channel c of the resized image into its box of `out`. */
static void write_channel(float *out, const uint8_t *pixels, const struct box *box,
                          const struct lbw_preprocess *preprocess, int c)
{
    float table[256];
    make_table(table, preprocess, c);
    bool is_gray = preprocess->color == LBW_COLOR_GRAY;
    size_t channels = is_gray ? 1 : 3;
    size_t area = (size_t)preprocess->width * (size_t)preprocess->height;
    size_t step = preprocess->channels_last ? channels : 1;
    float *plane = out + (preprocess->channels_last ? (size_t)c : (size_t)c * area);
    float pad = (preprocess->pad - preprocess->mean[c]) / preprocess->std[c];
    if (box->width != preprocess->width || box->height != preprocess->height)
        for (size_t i = 0; i < area; i++)
            plane[i * step] = pad;
    int source = preprocess->color == LBW_COLOR_BGR ? 2 - c : c;
    for (int y = 0; y < box->height; y++) {
        const uint8_t *row = pixels + (size_t)3 * (size_t)box->width * (size_t)y;
        float *to =
            plane + ((size_t)(box->y + y) * (size_t)preprocess->width + (size_t)box->x) * step;
        for (int x = 0; x < box->width; x++, row += 3)
            to[(size_t)x * step] = table[is_gray ? luma(row) : row[source]];
    }
}

enum lbw_status lbw_sides_check(int width, int height, struct lbw_error *err)
{
    LBW_TRY(lbw_check_range("width", width, 0, LBW_MAX_SIDE, err));
    return lbw_check_range("height", height, 0, LBW_MAX_SIDE, err);
}

enum lbw_status lbw_preprocess_check(const struct lbw_preprocess *preprocess,
                                     struct lbw_error *err)
{
    LBW_TRY(
        lbw_check_choice("resize", preprocess->resize, LBW_RESIZE_LETTERBOX_CORNER + 1, err));
    LBW_TRY(lbw_check_choice("color", preprocess->color, LBW_COLOR_GRAY + 1, err));
    LBW_TRY(lbw_sides_check(preprocess->width, preprocess->height, err));
    LBW_TRY(lbw_check_range("multiple", preprocess->multiple, 0, LBW_MAX_SIDE, err));
    LBW_TRY(lbw_check_range("pad", (double)preprocess->pad, 0, 255, err));
    for (int c = 0; c < (preprocess->color == LBW_COLOR_GRAY ? 1 : 3); c++) {
        LBW_TRY(
            lbw_check_range("mean", (double)preprocess->mean[c], -MOST_MEAN, MOST_MEAN, err));
        if (!(fabsf(preprocess->std[c]) > 0) || !isfinite(preprocess->std[c]))
            return lbw_fail(err, LBW_ERR_ARGUMENT, "std %g of channel %d",
                            (double)preprocess->std[c], c);
    }
    return LBW_OK;
}

static enum lbw_status check(const struct lbw_image *image,
                             const struct lbw_preprocess *preprocess, struct lbw_error *err)
{
    if (image->width < 1 || image->height < 1 || !image->pixels)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "an image without pixels");
    if (preprocess->width < 1 || preprocess->height < 1)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "%dx%d is not a valid input size",
                        preprocess->width, preprocess->height);
    return lbw_preprocess_check(preprocess, err);
}

enum lbw_status lbw_preprocess_image(float *out, struct lbw_placement *placement,
                                     const struct lbw_image *image,
                                     const struct lbw_preprocess *preprocess,
                                     struct lbw_error *err)
{
    LBW_TRY(check(image, preprocess, err));
    struct box box = place(image, preprocess);
    uint8_t *pixels = malloc((size_t)3 * (size_t)box.width * (size_t)box.height);
    if (!pixels)
        return lbw_fail_memory(err);
    enum lbw_status status = resize(pixels, box.width, box.height, image, err);
    if (status == LBW_OK) {
        for (int c = 0; c < (preprocess->color == LBW_COLOR_GRAY ? 1 : 3); c++)
            write_channel(out, pixels, &box, preprocess, c);
        if (placement)
            *placement = (struct lbw_placement){
                .scale_x = (float)box.width / (float)image->width,
                .scale_y = (float)box.height / (float)image->height,
                .offset_x = (float)box.x,
                .offset_y = (float)box.y,
            };
    }
    free(pixels);
    return status;
}
