/* SPDX-License-Identifier: MIT */
/* Other views of a picture: mirrored, cut out and scaled up. */
#ifndef LBW_SRC_TRAIN_AUGMENT_H
#define LBW_SRC_TRAIN_AUGMENT_H

#include "base/random.h"
#include "run/feed.h"

/*
 * A random view of a sample, of the same size: half of them mirrored, three in four cut to
 * between half of the sides and the whole, and scaled up. Inputs that are no float pictures
 * (1 or 3 channels, first or last) are copied. `out` is owned by the caller.
 */
enum lbw_status lbw_augment(struct lbw_array *out, const struct lbw_array *in,
                            struct lbw_random *random, struct lbw_error *err);

#endif
