/* SPDX-License-Identifier: MIT */
/* Images of a page: the boxes of both models on held-back samples. */
#ifndef LBW_SRC_PAGE_PICTURES_H
#define LBW_SRC_PAGE_PICTURES_H

#include <stdio.h>

#include <lbw/check.h>

/* Up to three samples with boxes, or the reason why there are none. */
enum lbw_status lbw_pictures_print(FILE *to, const struct lbw_check *check, size_t num_samples,
                                   struct lbw_error *err);

#endif
