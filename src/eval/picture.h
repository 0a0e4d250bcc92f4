/* SPDX-License-Identifier: MIT */
/* From a network's input back to an image. */
#ifndef LBW_SRC_EVAL_PICTURE_H
#define LBW_SRC_EVAL_PICTURE_H

#include "feed/array.h"
#include "feed/input.h"

/*
 * Undoes lbw_preprocess_image() and the conversion to the input's type: the network's input,
 * `width` by `height` pixels, as RGB. Free it with lbw_image_release().
 */
enum lbw_status lbw_picture_restore(struct lbw_image *out, const struct lbw_array *input,
                                    const struct lbw_picture_axes *axes, int width, int height,
                                    const struct lbw_preprocess *preprocess,
                                    struct lbw_error *err);

#endif
