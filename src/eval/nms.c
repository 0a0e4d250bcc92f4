/* SPDX-License-Identifier: MIT */
/* Greedy non-maximum suppression: the best box wins, ties go to the one that came first. */
#include "eval/nms.h"

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

struct ranked {
    float score;
    size_t place;
};

static int by_score(const void *a, const void *b)
{
    const struct ranked *l = a, *r = b;
    if (l->score != r->score)
        return l->score > r->score ? -1 : 1;
    return l->place < r->place ? -1 : l->place > r->place;
}

enum lbw_status lbw_boxes_sort(struct lbw_box *boxes, size_t num, struct lbw_error *err)
{
    if (num < 2)
        return LBW_OK;
    struct ranked *ranks = malloc(num * sizeof *ranks);
    struct lbw_box *copy = malloc(num * sizeof *copy);
    enum lbw_status status = LBW_OK;
    if (!ranks || !copy) {
        status = lbw_fail_memory(err);
        goto out;
    }
    for (size_t i = 0; i < num; i++)
        ranks[i] = (struct ranked){boxes[i].score, i};
    qsort(ranks, num, sizeof *ranks, by_score);
    memcpy(copy, boxes, num * sizeof *copy);
    for (size_t i = 0; i < num; i++)
        boxes[i] = copy[ranks[i].place];
out:
    free(ranks);
    free(copy);
    return status;
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

enum lbw_status lbw_boxes_suppress(struct lbw_box *boxes, size_t *num,
                                   const struct lbw_nms_params *params, struct lbw_error *err)
{
    LBW_TRY(lbw_boxes_sort(boxes, *num, err));
    size_t num_kept = 0;
    for (size_t i = 0; i < *num; i++) {
        if (params->max_boxes && num_kept == params->max_boxes)
            break;
        if (params->iou <= 0 || !is_suppressed(&boxes[i], boxes, num_kept, params))
            boxes[num_kept++] = boxes[i];
    }
    *num = num_kept;
    return LBW_OK;
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
