/* SPDX-License-Identifier: MIT */
/* Pictures of a page: what both models find on samples held back. */
#ifndef LBW_SRC_PAGE_PICTURES_H
#define LBW_SRC_PAGE_PICTURES_H

#include <stdio.h>

#include <lbw/check.h>

/* Up to three samples with boxes, or why there are none. */
enum lbw_status lbw_pictures_print(FILE *to, const struct lbw_check *check, size_t num_samples,
                                   struct lbw_error *err);

#endif
