/* SPDX-License-Identifier: MIT */
/* A numbered list of images: the files of a folder, or generated ones. */
#ifndef LBW_SRC_FEED_PICTURES_H
#define LBW_SRC_FEED_PICTURES_H

#include <stdbool.h>

#include <lbw/convert.h>
#include <lbw/image.h>

struct lbw_pictures;

/*
 * `source`: NULL, "generated", "generated:N", a folder (its .jpg, .jpeg and .png files in the
 * order of their names) or one image. At most `most` images, spread evenly over a folder
 * (0: 32 generated, all of a folder). Every file is decoded once here: unreadable ones are left
 * out and their messages kept; LBW_ERR_FORMAT if none remain.
 */
enum lbw_status lbw_pictures_open(struct lbw_pictures **out, const char *source, size_t most,
                                  uint64_t seed, struct lbw_error *err);
void lbw_pictures_close(struct lbw_pictures **pictures);

size_t lbw_pictures_num(const struct lbw_pictures *pictures);
bool lbw_pictures_are_generated(const struct lbw_pictures *pictures);

/* Image i; a generated one has these sides. */
enum lbw_status lbw_pictures_read(struct lbw_image *out, const struct lbw_pictures *pictures,
                                  size_t i, int width, int height, struct lbw_error *err);

/* The files that could not be read, and why: "a.png: broken PNG: …". */
size_t lbw_pictures_num_skipped(const struct lbw_pictures *pictures);
const char *lbw_pictures_skipped(const struct lbw_pictures *pictures, size_t i);

#endif
