/* SPDX-License-Identifier: MIT */
/* Sets of boxes: overlap, order, greedy non-maximum suppression, pairs. */
#ifndef LBW_SRC_DETECT_NMS_H
#define LBW_SRC_DETECT_NMS_H

#include <stdbool.h>
#include <stddef.h>

#include <lbw/eval.h>

/* Intersection over union; 0 if the union is empty. */
float lbw_box_iou(const struct lbw_box *a, const struct lbw_box *b);

struct lbw_nms_params {
    float
        iou; /* a box that overlaps a better one by more is dropped; at 1 and above none are */
    size_t max_boxes; /* most boxes kept; 0: any number */
    bool any_class;   /* boxes of different classes suppress each other */
};

/*
 * Reduces `boxes` in place and sets *num to the rest, highest score first; equal scores keep
 * their order. LBW_ERR_MEMORY.
 */
enum lbw_status lbw_boxes_suppress(struct lbw_box *boxes, size_t *num,
                                   const struct lbw_nms_params *params, struct lbw_error *err);

/*
 * Pairs the boxes of two sets one to one if the class is the same and IoU >= iou. Boxes of
 * `found` choose in their order (sorted: the best first). wanted_pair[i] and found_pair[i]
 * receive the partner's index or -1.
 */
void lbw_boxes_pair(ptrdiff_t *wanted_pair, const struct lbw_box *wanted, size_t num_wanted,
                    ptrdiff_t *found_pair, const struct lbw_box *found, size_t num_found,
                    float iou);

#endif
