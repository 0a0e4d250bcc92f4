/* SPDX-License-Identifier: MIT */
/* The formats of images, one decoder each; a build may lack some (absent.c). */
#ifndef LBW_SRC_FEED_IMAGE_FORMATS_H
#define LBW_SRC_FEED_IMAGE_FORMATS_H

#include "base/error.h"
#include "base/file.h"
#include "feed/preprocess_check.h"

/* Decode a whole file of that format. LBW_ERR_UNSUPPORTED if the build has no decoder. */
typedef enum lbw_status lbw_image_read_fn(struct lbw_image *out, const struct lbw_bytes *bytes,
                                          struct lbw_error *err);
lbw_image_read_fn lbw_image_read_jpeg;
lbw_image_read_fn lbw_image_read_png;

/* Encodes at quality 85; free *out with free(). LBW_ERR_UNSUPPORTED as above. */
enum lbw_status lbw_image_write_jpeg(void **out, size_t *size, const struct lbw_image *image,
                                     struct lbw_error *err);

/* Allocates the pixels of an image whose sides come from a file of `file_size` bytes. */
enum lbw_status lbw_image_init(struct lbw_image *out, int64_t width, int64_t height,
                               size_t bytes_per_pixel, size_t file_size, struct lbw_error *err);

#endif
