/* SPDX-License-Identifier: MIT */
/* Inputs other than the image: in practice constants, recognised by exporters' names. */
#ifndef LBW_SRC_FEED_EXTRA_INPUTS_H
#define LBW_SRC_FEED_EXTRA_INPUTS_H

#include <lbw/image.h>

#include "feed/array.h"
#include "feed/input.h"

/* The content of the input, one phrase: "the image's size", "1", "zeros". */
const char *lbw_beside_meaning(const char *name);

/* Open dims become 1, but the last of an input that takes a pair becomes 2. */
void lbw_beside_settle(struct lbw_feed_input *input);

/*
 * Fills the array of this input for an image of the preprocessing's sides. Boxes that the
 * model scales by it are then in pixels of its input, as decoders expect.
 */
void lbw_beside_fill(struct lbw_array *array, const char *name,
                     const struct lbw_preprocess *preprocess);

#endif
