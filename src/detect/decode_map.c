/* SPDX-License-Identifier: MIT */
/* Families whose output is an image: boxes are the bounds of bright regions. */
#include <math.h>
#include <stdlib.h>

#include "detect/decode.h"

#define LEAST_SIDE 3    /* pixels of the map; smaller regions are specks */
#define UNCLIP     1.5f /* PaddleOCR's: training shrinks regions by this share */

struct region {
    size_t left, top, right, bottom; /* inclusive */
    size_t num;
    double sum;
};

/* Fills from pixel `start`; `stack` has room for every pixel of the map. */
static struct region flood(const struct lbw_plane *plane, size_t width, size_t height,
                           float least, size_t start, unsigned char *seen, size_t *stack)
{
    struct region region = {start % width, start / width, start % width, start / width, 0, 0};
    size_t num = 0;
    stack[num++] = start;
    seen[start] = 1;
    while (num) {
        size_t i = stack[--num], x = i % width, y = i / width;
        region.left = x < region.left ? x : region.left;
        region.right = x > region.right ? x : region.right;
        region.top = y < region.top ? y : region.top;
        region.bottom = y > region.bottom ? y : region.bottom;
        region.num++;
        region.sum += plane->data[i];
        for (size_t ny = y ? y - 1 : 0; ny <= y + 1 && ny < height; ny++)
            for (size_t nx = x ? x - 1 : 0; nx <= x + 1 && nx < width; nx++) {
                size_t k = ny * width + nx;
                if (!seen[k] && plane->data[k] > least) {
                    seen[k] = 1;
                    stack[num++] = k;
                }
            }
    }
    return region;
}

static enum lbw_status add_region(struct lbw_decoder *decoder, const struct region *region,
                                  float scale_x, float scale_y)
{
    float width = (float)(region->right - region->left + 1);
    float height = (float)(region->bottom - region->top + 1);
    if (width < LEAST_SIDE || height < LEAST_SIDE)
        return LBW_OK;
    float grow = width * height * UNCLIP / (2 * (width + height));
    return lbw_decoder_add(decoder, 0, (float)(region->sum / (double)region->num),
                           ((float)region->left - grow) * scale_x,
                           ((float)region->top - grow) * scale_y,
                           ((float)region->left + width + grow) * scale_x,
                           ((float)region->top + height + grow) * scale_y);
}

enum lbw_status lbw_decode_ppocr(struct lbw_decoder *decoder)
{
    struct lbw_matrix m;
    if (decoder->num_planes < 1 || !lbw_plane_matrix(&m, &decoder->planes[0]) || !m.rows ||
        !m.columns)
        return lbw_decoder_mismatch(decoder, "a map [1,1,height,width]");
    size_t num = m.rows * m.columns;
    unsigned char *seen = calloc(num, 1);
    size_t *stack = malloc(num * sizeof *stack);
    enum lbw_status status = LBW_OK;
    if (!seen || !stack) {
        status = lbw_fail_memory(decoder->err);
        goto out;
    }
    /* The threshold of the map, where text is as likely as not. */
    float least = decoder->profile->score;
    for (size_t i = 0; status == LBW_OK && i < num; i++) {
        if (seen[i] || !(m.data[i] > least))
            continue;
        struct region region =
            flood(&decoder->planes[0], m.columns, m.rows, least, i, seen, stack);
        status = add_region(decoder, &region, (float)decoder->input->width / (float)m.columns,
                            (float)decoder->input->height / (float)m.rows);
    }
out:
    free(seen);
    free(stack);
    return status;
}
