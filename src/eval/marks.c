/* SPDX-License-Identifier: MIT */
/* Compares two lists of boxes: which are lost, which are invented. */
#include <lbw/draw.h>

#include <stdlib.h>

#include "base/check.h"
#include "detect/nms.h"

enum lbw_status lbw_compare_boxes(struct lbw_box **boxes, enum lbw_mark **marks,
                                  size_t *num_boxes, const struct lbw_box *wanted,
                                  size_t num_wanted, const struct lbw_box *found,
                                  size_t num_found, float iou, struct lbw_error *err)
{
    LBW_TRY(lbw_check_list("boxes", wanted, num_wanted, err));
    LBW_TRY(lbw_check_list("boxes", found, num_found, err));
    LBW_TRY(lbw_check_range("iou", (double)iou, 0, 1, err));
    size_t most = num_wanted + num_found, num = num_found;
    struct lbw_box *all = calloc(most + 1, sizeof *all);
    enum lbw_mark *all_marks = calloc(most + 1, sizeof *all_marks);
    ptrdiff_t *pairs = malloc((most + 1) * sizeof *pairs);
    if (!all || !all_marks || !pairs) {
        free(all);
        free(all_marks);
        free(pairs);
        return lbw_fail_memory(err);
    }
    lbw_boxes_pair(pairs, wanted, num_wanted, pairs + num_wanted, found, num_found, iou);
    for (size_t i = 0; i < num_found; i++) {
        all[i] = found[i];
        all_marks[i] = pairs[num_wanted + i] < 0 ? LBW_MARK_INVENTED : LBW_MARK_NONE;
    }
    for (size_t i = 0; i < num_wanted; i++)
        if (pairs[i] < 0) {
            all[num] = wanted[i];
            all_marks[num++] = LBW_MARK_LOST;
        }
    free(pairs);
    *boxes = all;
    *marks = all_marks;
    *num_boxes = num;
    return LBW_OK;
}
