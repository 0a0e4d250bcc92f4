/* SPDX-License-Identifier: MIT */
/* Pictures with boxes on them, one or several versions side by side, as PNG. */
#ifndef LBW_DRAW_H
#define LBW_DRAW_H

#include <lbw/eval.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a box is, beside its class. */
enum lbw_mark {
    LBW_MARK_NONE,
    LBW_MARK_LOST,     /* dashed: the reference had it, this one has not */
    LBW_MARK_INVENTED, /* tagged: the reference had nothing there */
};

/* One copy of the picture. Borrowed. */
struct lbw_panel {
    const char *title;           /* above it, "float32"; NULL: none on any panel */
    const char *subtitle;        /* behind the title, in grey; NULL: none */
    const struct lbw_box *boxes; /* in pixels of the picture */
    const enum lbw_mark *marks;  /* one per box, or NULL: none */
    size_t num_boxes;
};

/*
 * Writes the panels to `path` ("-": standard output), beside each other, or below each other
 * for pictures wider than 1.7 times their height. `names` (NULL: numbers) are the classes; with
 * one class only the score is shown. Small pictures are enlarged and large ones reduced, so
 * that their longer side has 960 to 1600 pixels. Same input, same machine: same file.
 * LBW_ERR_IO names the path.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_draw(const char *path, const struct lbw_image *image,
                                               const struct lbw_panel *panels,
                                               size_t num_panels, const char *const *names,
                                               size_t num_names, struct lbw_error *err);

/*
 * Compares what a model found with what a reference found (same class, IoU >= iou). *boxes
 * (free with lbw_free(), as *marks) receives the model's boxes, those without a partner marked
 * as invented, then the reference's boxes without a partner, marked as lost.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_compare_boxes(struct lbw_box **boxes, enum lbw_mark **marks, size_t *num_boxes,
                  const struct lbw_box *wanted, size_t num_wanted, const struct lbw_box *found,
                  size_t num_found, float iou, struct lbw_error *err);

#ifdef __cplusplus
}
#endif

#endif
