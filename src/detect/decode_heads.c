/* SPDX-License-Identifier: MIT */
/* Undecoded heads with anchors: YOLOv3, v4, v5, v7, Yolo-FastestV2. */
#include <math.h>

#include "detect/decode.h"

/* Channel c of anchor a in cell i is at a × by_anchor + i × by_cell + c × by_channel. */
struct head {
    const float *data;
    size_t rows, columns, width; /* channels of one anchor */
    size_t by_anchor, by_cell, by_channel;
};

/*
 * [1,anchors,h,w,channels], [1,h,w,anchors,channels], [1,anchors·channels,h,w] or
 * [1,h,w,anchors·channels], if it is that of stride s.
 */
static bool read_head(struct head *out, const struct lbw_decoder *decoder,
                      const struct lbw_plane *plane, int s)
{
    const struct lbw_profile *profile = decoder->profile;
    const int64_t *d = plane->dims;
    int64_t num = profile->num_anchors;
    int64_t h = (int64_t)lbw_decoder_cells(decoder->input->height, profile->strides[s]);
    int64_t w = (int64_t)lbw_decoder_cells(decoder->input->width, profile->strides[s]);
    int64_t cells = h * w, width;
    if (!num || plane->num_dims < 4 || plane->num_dims > 5 || d[0] != 1)
        return false;
    bool is_split = plane->num_dims == 5;
    width = is_split ? d[4] : (d[2] == h && d[3] == w ? d[1] : d[3]) / num;
    int64_t steps[3] = {0}; /* by_anchor, by_cell, by_channel */
    if (is_split && d[1] == num && d[2] == h && d[3] == w)
        steps[0] = cells * width, steps[1] = width, steps[2] = 1;
    else if (is_split && d[1] == h && d[2] == w && d[3] == num)
        steps[0] = width, steps[1] = num * width, steps[2] = 1;
    else if (!is_split && d[2] == h && d[3] == w && d[1] == num * width)
        steps[0] = cells * width, steps[1] = 1, steps[2] = cells;
    else if (!is_split && d[1] == h && d[2] == w && d[3] == num * width)
        steps[0] = width, steps[1] = num * width, steps[2] = 1;
    else
        return false;
    *out = (struct head){plane->data,      (size_t)h,        (size_t)w,       (size_t)width,
                         (size_t)steps[0], (size_t)steps[1], (size_t)steps[2]};
    return width > 5 && lbw_decoder_classes(decoder, (size_t)width - 5);
}

static bool find_head(struct head *out, const struct lbw_decoder *decoder, int s)
{
    for (size_t i = 0; i < decoder->num_planes; i++)
        if (read_head(out, decoder, &decoder->planes[i], s))
            return true;
    return false;
}

/* Centre in cells and size in anchors, from the four logits of a box. */
typedef void (*box_fn)(float box[4], const float *t, size_t step, float spread);

static void yolov5_box(float box[4], const float *t, size_t step, float spread)
{
    (void)spread;
    for (size_t k = 0; k < 2; k++) {
        float size = 2 * lbw_sigmoid(t[(2 + k) * step]);
        box[k] = 2 * lbw_sigmoid(t[k * step]) - .5f;
        box[2 + k] = size * size;
    }
}

static void yolov3_box(float box[4], const float *t, size_t step, float spread)
{
    for (size_t k = 0; k < 2; k++) {
        box[k] = spread * lbw_sigmoid(t[k * step]) - (spread - 1) / 2;
        box[2 + k] = expf(t[(2 + k) * step]);
    }
}

static enum lbw_status add_head(struct lbw_decoder *decoder, const struct head *head, int s,
                                box_fn decode_box)
{
    const struct lbw_profile *profile = decoder->profile;
    float stride = (float)profile->strides[s], box[4];
    float spread = profile->spread[s] > 0 ? profile->spread[s] : 1;
    size_t cells = head->rows * head->columns, step = head->by_channel;
    for (size_t i = 0; i < cells * (size_t)profile->num_anchors; i++) {
        size_t cell = i % cells, a = i / cells;
        const float *p = head->data + a * head->by_anchor + cell * head->by_cell;
        const struct lbw_anchor *anchor = &profile->anchors[s][a];
        float objectness = lbw_sigmoid(p[4 * step]);
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p + 4 * step, 1, 1,
                            objectness + LBW_LEAST_LOGIT);
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, p + 5 * step, head->width - 5, step,
                            objectness);
        lbw_decoder_matters(decoder, LBW_MATTER_BOX, p, 4, step, objectness);
        if (!(objectness >= decoder->input->score))
            continue;
        decode_box(box, p, step, spread);
        for (size_t c = 0; c < head->width - 5; c++)
            LBW_TRY(lbw_decoder_add_centred(decoder, lbw_decoder_class(decoder, c),
                                            objectness * lbw_sigmoid(p[(5 + c) * step]),
                                            (box[0] + (float)(cell % head->columns)) * stride,
                                            (box[1] + (float)(cell / head->columns)) * stride,
                                            box[2] * anchor->width, box[3] * anchor->height));
    }
    return LBW_OK;
}

static enum lbw_status decode_heads(struct lbw_decoder *decoder, box_fn decode_box,
                                    const char *wanted)
{
    LBW_TRY(lbw_decoder_check_anchors(decoder));
    for (int s = 0; s < decoder->profile->num_strides; s++) {
        struct head head;
        if (!find_head(&head, decoder, s))
            return lbw_decoder_mismatch(decoder, wanted);
        LBW_TRY(add_head(decoder, &head, s, decode_box));
    }
    return LBW_OK;
}

enum lbw_status lbw_decode_heads(struct lbw_decoder *decoder)
{
    return decode_heads(decoder, yolov5_box,
                        "[1,boxes,5+classes] or, per stride, "
                        "[1,anchors,rows,columns,5+classes]");
}

enum lbw_status lbw_decode_yolov3(struct lbw_decoder *decoder)
{
    return decode_heads(decoder, yolov3_box,
                        "per stride [1,anchors,rows,columns,5+classes] or "
                        "[1,anchors·(5+classes),rows,columns]");
}

#define FASTEST_ANCHORS 3

/* One cell: 3 × 4 for the boxes, 3 for objectness, classes that the anchors share. */
static enum lbw_status add_fastest(struct lbw_decoder *decoder, const float *p,
                                   size_t num_classes, int s, size_t column, size_t row)
{
    const struct lbw_profile *profile = decoder->profile;
    const float *objectness = p + 4 * FASTEST_ANCHORS, *classes = p + 5 * FASTEST_ANCHORS;
    float stride = (float)profile->strides[s], most = 0;
    for (size_t a = 0; a < FASTEST_ANCHORS; a++) {
        const float *t = p + 4 * a;
        const struct lbw_anchor *anchor = &profile->anchors[s][a];
        float w = 4 * t[2] * t[2] * anchor->width, h = 4 * t[3] * t[3] * anchor->height;
        most = fmaxf(most, objectness[a]);
        lbw_decoder_matters(decoder, LBW_MATTER_SCORE, objectness + a, 1, 1, 1);
        lbw_decoder_matters(decoder, LBW_MATTER_BOX, t, 4, 1, objectness[a]);
        if (objectness[a] >= decoder->input->score)
            LBW_TRY(lbw_decoder_add_classes(decoder, classes, num_classes, objectness[a],
                                            (2 * t[0] - .5f + (float)column) * stride,
                                            (2 * t[1] - .5f + (float)row) * stride, w, h));
    }
    lbw_decoder_matters(decoder, LBW_MATTER_SCORE, classes, num_classes, 1,
                        most + LBW_LEAST_CLASS);
    return LBW_OK;
}

/* Heads [1,h,w,12+3+classes], through sigmoid and softmax already. */
enum lbw_status lbw_decode_yolofastestv2(struct lbw_decoder *decoder)
{
    const struct lbw_profile *profile = decoder->profile;
    LBW_TRY(lbw_decoder_check_anchors(decoder));
    for (int s = 0; s < profile->num_strides; s++) {
        const struct lbw_plane *head = NULL;
        size_t rows = lbw_decoder_cells(decoder->input->height, profile->strides[s]);
        size_t columns = lbw_decoder_cells(decoder->input->width, profile->strides[s]);
        for (size_t i = 0; i < decoder->num_planes; i++) {
            const struct lbw_plane *plane = &decoder->planes[i];
            if (plane->num_dims == 4 && plane->dims[0] == 1 &&
                plane->dims[1] == (int64_t)rows && plane->dims[2] == (int64_t)columns &&
                plane->dims[3] > 5 * FASTEST_ANCHORS &&
                lbw_decoder_classes(decoder, (size_t)plane->dims[3] - 5 * FASTEST_ANCHORS))
                head = plane;
        }
        if (!head)
            return lbw_decoder_mismatch(decoder, "per stride [1,rows,columns,15+classes]");
        size_t width = (size_t)head->dims[3];
        for (size_t i = 0; i < rows * columns; i++)
            LBW_TRY(add_fastest(decoder, head->data + i * width, width - 5 * FASTEST_ANCHORS, s,
                                i % columns, i / columns));
    }
    return LBW_OK;
}
