/* SPDX-License-Identifier: MIT */
/* Drawing boxes on images, one or several versions side by side, as PNG. */
#ifndef LBW_DRAW_H
#define LBW_DRAW_H

#include <lbw/eval.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a box compares with those of a reference. */
enum lbw_mark {
    LBW_MARK_NONE,
    LBW_MARK_LOST,     /* dashed: found by the reference only */
    LBW_MARK_INVENTED, /* tagged: without a partner in the reference */
};

/* One copy of the image. Borrowed. */
struct lbw_panel {
    const char *title;           /* above it, "float32"; NULL: no titles at all */
    const char *subtitle;        /* after the title, in grey; NULL: none */
    const struct lbw_box *boxes; /* in pixels of the image */
    const enum lbw_mark *marks;  /* one per box, or NULL: none */
    size_t num_boxes;
};

/*
 * Writes the panels to `path` ("-": standard output), side by side, or stacked for images
 * wider than 1.7 times their height. `names` (NULL: numbers) are the classes; with one class,
 * only the score is drawn. Small images are enlarged and large ones reduced to a longer side
 * of 960 to 1600 pixels. The same input on the same machine gives the same file. LBW_ERR_IO
 * names the path.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_draw(const char *path, const struct lbw_image *image,
                                               const struct lbw_panel *panels,
                                               size_t num_panels, const char *const *names,
                                               size_t num_names, struct lbw_error *err);

/*
 * Matches the boxes of a model (`found`) with those of a reference (`wanted`): partners have
 * the same class and IoU >= iou. *boxes receives the model's boxes, those without a partner
 * marked as invented, then the reference's boxes without a partner, marked as lost. Free *boxes
 * and *marks with lbw_free().
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_compare_boxes(struct lbw_box **boxes, enum lbw_mark **marks, size_t *num_boxes,
                  const struct lbw_box *wanted, size_t num_wanted, const struct lbw_box *found,
                  size_t num_found, float iou, struct lbw_error *err);

#ifdef __cplusplus
}
#endif

#endif
