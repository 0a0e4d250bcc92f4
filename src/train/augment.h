/* SPDX-License-Identifier: MIT */
/* Augmented views of images: mirrored, cropped, scaled, side by side, in other light. */
#ifndef LBW_SRC_TRAIN_AUGMENT_H
#define LBW_SRC_TRAIN_AUGMENT_H

#include "base/random.h"
#include "feed/feed.h"

#define LBW_NUM_TILES 4

/*
 * A random view of the first of LBW_NUM_TILES samples, of the same size: half of them mirrored,
 * three in four cut to between half of the sides and the whole, and scaled up. Two in five
 * views show all samples, meeting at a point near the middle; light, contrast and tint change a
 * little in half of them. Inputs other than float images of one size (1 or 3 channels, first
 * or last) are copied from the first. `out` is owned by the caller.
 */
enum lbw_status lbw_augment(struct lbw_array *out, const struct lbw_array *const *in,
                            struct lbw_random *random, struct lbw_error *err);

#endif
