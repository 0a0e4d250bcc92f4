/* SPDX-License-Identifier: MIT */
/* Greedy non-maximum suppression: the best box wins, of equal ones the first. */
#include "detect/nms.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

float lbw_box_iou(const struct lbw_box *a, const struct lbw_box *b)
{
    float left = a->x > b->x ? a->x : b->x;
    float top = a->y > b->y ? a->y : b->y;
    float a_right = a->x + a->width, b_right = b->x + b->width;
    float a_bottom = a->y + a->height, b_bottom = b->y + b->height;
    float width = (a_right < b_right ? a_right : b_right) - left;
    float height = (a_bottom < b_bottom ? a_bottom : b_bottom) - top;
    if (!(width > 0 && height > 0))
        return 0;
    float both = width * height;
    float either = a->width * a->height + b->width * b->height - both;
    return either > 0 ? both / either : 0;
}

/* A position in the list, ordered by score; equal scores by position. */
struct ranked {
    float score;
    size_t place;
};

static bool is_before(const struct ranked *a, const struct ranked *b)
{
    return a->score != b->score ? a->score > b->score : a->place < b->place;
}

static void sift_down(struct ranked *heap, size_t num, size_t i)
{
    struct ranked item = heap[i];
    for (size_t child; (child = 2 * i + 1) < num; i = child) {
        if (child + 1 < num && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &item))
            break;
        heap[i] = heap[child];
    }
    heap[i] = item;
}

static bool is_suppressed(const struct lbw_box *box, const struct lbw_box *kept, size_t num,
                          const struct lbw_nms_params *params)
{
    for (size_t i = 0; i < num; i++)
        if ((params->any_class || kept[i].class_index == box->class_index) &&
            lbw_box_iou(&kept[i], box) > params->iou)
            return true;
    return false;
}

/*
 * A low threshold gives tens of thousands of boxes, of which a hundred remain: a heap yields
 * the best first without sorting all.
 */
enum lbw_status lbw_boxes_suppress(struct lbw_box *boxes, size_t *num,
                                   const struct lbw_nms_params *params, struct lbw_error *err)
{
    size_t num_left = *num, num_kept = 0;
    size_t most = params->max_boxes && params->max_boxes < *num ? params->max_boxes : *num;
    struct ranked *heap = malloc((*num + 1) * sizeof *heap);
    struct lbw_box *kept = malloc((most + 1) * sizeof *kept);
    enum lbw_status status = LBW_OK;
    if (!heap || !kept) {
        status = lbw_fail_memory(err);
        goto out;
    }
    for (size_t i = 0; i < *num; i++)
        heap[i] = (struct ranked){boxes[i].score, i};
    for (size_t i = *num / 2; i-- > 0;)
        sift_down(heap, *num, i);
    while (num_left && num_kept < most) {
        const struct lbw_box *box = &boxes[heap[0].place];
        if (params->iou >= 1 || !is_suppressed(box, kept, num_kept, params))
            kept[num_kept++] = *box;
        heap[0] = heap[--num_left];
        sift_down(heap, num_left, 0);
    }
    if (num_kept)
        memcpy(boxes, kept, num_kept * sizeof *kept);
    *num = num_kept;
out:
    free(heap);
    free(kept);
    return status;
}

void lbw_boxes_pair(ptrdiff_t *wanted_pair, const struct lbw_box *wanted, size_t num_wanted,
                    ptrdiff_t *found_pair, const struct lbw_box *found, size_t num_found,
                    float iou)
{
    for (size_t i = 0; i < num_wanted; i++)
        wanted_pair[i] = -1;
    for (size_t k = 0; k < num_found; k++) {
        float best = iou;
        found_pair[k] = -1;
        for (size_t i = 0; i < num_wanted; i++) {
            if (wanted_pair[i] >= 0 || wanted[i].class_index != found[k].class_index)
                continue;
            float share = lbw_box_iou(&wanted[i], &found[k]);
            if (share >= best && (share > best || found_pair[k] < 0)) {
                best = share;
                found_pair[k] = (ptrdiff_t)i;
            }
        }
        if (found_pair[k] >= 0)
            wanted_pair[found_pair[k]] = (ptrdiff_t)k;
    }
}
