/* SPDX-License-Identifier: MIT */
/* One .npy array in memory. */
#ifndef LBW_SRC_FEED_NPY_H
#define LBW_SRC_FEED_NPY_H

#include <stdbool.h>

#include "feed/npz.h"

bool lbw_npy_is_one(const unsigned char *data, size_t size);

/* *out points into `data`; its name is "". Errors do not name the file. */
enum lbw_status lbw_npy_parse(struct lbw_npz_array *out, const unsigned char *data, size_t size,
                              struct lbw_error *err);

#endif
