/* SPDX-License-Identifier: MIT */
/* Text and numbers in HTML and SVG. */
#ifndef LBW_SRC_PAGE_MARKUP_H
#define LBW_SRC_PAGE_MARKUP_H

#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

/*
 * Text of any bytes, safe in elements and in quoted attributes: control characters and marks of
 * direction become '?', as do the two code points that XML excludes.
 */
enum lbw_status lbw_markup_text(FILE *to, const char *text, struct lbw_error *err);

/* "3.55 MB": three digits and a decimal unit. */
#define LBW_MARKUP_SIZE 32
const char *lbw_markup_bytes(char out[LBW_MARKUP_SIZE], uint64_t bytes);

/* "23.4 dB", "exact" for infinity, "–" for NaN. */
const char *lbw_markup_snr(char out[LBW_MARKUP_SIZE], double snr);

#endif
