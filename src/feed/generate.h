/* SPDX-License-Identifier: MIT */
/* Generated images with the statistics of photographs. */
#ifndef LBW_SRC_FEED_GENERATE_H
#define LBW_SRC_FEED_GENERATE_H

#include <lbw/image.h>

/*
 * A "dead leaves" image (Lee, Mumford, Huang, Occlusion Models for Natural Images, IJCV 41,
 * 2001): shapes of radius density ∝ r^-3 cover each other, which gives the edges, the 1/f
 * spectrum and the scale invariance of photographs. Image number `index` of `seed`: the same
 * bytes on every machine. LBW_ERR_MEMORY, LBW_ERR_ARGUMENT for sides outside 1 … 16384.
 */
enum lbw_status lbw_generate_image(struct lbw_image *out, int width, int height, uint64_t seed,
                                   size_t index, struct lbw_error *err);

#endif
