/* SPDX-License-Identifier: MIT */
/* Average precision over a set of images. */
#ifndef LBW_SRC_EVAL_MAP_H
#define LBW_SRC_EVAL_MAP_H

#include <lbw/eval.h>

#define LBW_COCO_MAX_BOXES 100

/* A box of a reference model, as the truth for another model. */
static inline struct lbw_truth lbw_truth_of_box(const struct lbw_box *box)
{
    return (struct lbw_truth){.x = box->x,
                              .y = box->y,
                              .width = box->width,
                              .height = box->height,
                              .area = (double)box->width * box->height,
                              .class_index = box->class_index};
}

/* One image: its truths and the boxes found (in any order). Borrowed. */
struct lbw_scene {
    const struct lbw_truth *truths;
    size_t num_truths;
    const struct lbw_box *boxes;
    size_t num_boxes;
};

/*
 * Fills `classes` (num_classes items) and `mean` (over the classes with labels; a field is -1
 * if there are none). Boxes and truths of a class outside [0, num_classes) are ignored. Equal
 * scores keep the order of scenes, then of boxes. COCO's measures use the best `max_boxes` of a
 * image and class (COCO's own number is 100; 0: all). `num_threads` 0: all processors; the
 * results do not depend on it. LBW_ERR_MEMORY.
 */
enum lbw_status lbw_map_compute(struct lbw_ap *mean, struct lbw_ap *classes, size_t num_classes,
                                const struct lbw_scene *scenes, size_t num_scenes,
                                size_t max_boxes, unsigned num_threads, struct lbw_error *err);

#endif
