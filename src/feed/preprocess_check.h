/* SPDX-License-Identifier: MIT */
/* Checking preprocessing parameters of the public API. */
#ifndef LBW_SRC_FEED_PREPROCESS_CHECK_H
#define LBW_SRC_FEED_PREPROCESS_CHECK_H

#include <lbw/image.h>

#include "base/error.h"

#define LBW_MAX_SIDE 16384 /* of images and inputs */

/* LBW_ERR_ARGUMENT names the field: an unknown enumerator, a side out of range, a std of 0. */
enum lbw_status lbw_preprocess_check(const struct lbw_preprocess *preprocess,
                                     struct lbw_error *err);

/* The same for the sides of an open input: 0 … LBW_MAX_SIDE each. */
enum lbw_status lbw_sides_check(int width, int height, struct lbw_error *err);

#endif
