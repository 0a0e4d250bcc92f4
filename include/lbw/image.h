/* SPDX-License-Identifier: MIT */
/* Images in, network inputs out: decoding, resizing, normalising. */
#ifndef LBW_IMAGE_H
#define LBW_IMAGE_H

#include <lbw/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 8-bit RGB, row-major, 3 bytes per pixel. */
struct lbw_image {
    int width;
    int height;
    uint8_t *pixels; /* owned; lbw_image_release() */
};

/*
 * Decodes a JPEG or PNG file, recognised by its content. Sides may have up to 16384 pixels; a
 * file too small for its number of pixels is refused. LBW_ERR_IO and LBW_ERR_FORMAT name the
 * path.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_image_read(struct lbw_image *out, const char *path,
                                                     struct lbw_error *err);
LBW_API void lbw_image_release(struct lbw_image *image);

enum lbw_resize {
    LBW_RESIZE_STRETCH,          /* to the size, aspect lost */
    LBW_RESIZE_LETTERBOX,        /* aspect kept, centred, rest padded */
    LBW_RESIZE_LETTERBOX_CORNER, /* aspect kept, at the top left, rest padded */
};

enum lbw_color {
    LBW_COLOR_RGB,
    LBW_COLOR_BGR,
    LBW_COLOR_GRAY,
};

/* "letterbox", "bgr", …; NULL past the last. */
LBW_API const char *lbw_resize_name(enum lbw_resize resize);
LBW_API const char *lbw_color_name(enum lbw_color color);

/* Fields that the user set. Unlike those of a profile, they are not adapted to the model. */
enum lbw_given {
    LBW_GIVEN_SIZE = 1, /* an error if the model has another size */
    LBW_GIVEN_MEAN = 2, /* an error for integer inputs, whose mean is else taken as 0 */
    LBW_GIVEN_STD = 4,  /* an error for integer inputs, whose std is else taken as 1 */
};

/* From pixels 0 … 255 to inputs of a network: (x - mean[c]) / std[c], c in `color` order. */
struct lbw_preprocess {
    int width; /* of the network's input; 0: the model's, or that given by the user */
    int height;
    enum lbw_resize resize;
    enum lbw_color color;
    float pad; /* value of padded pixels, 0 … 255, before normalisation */
    float mean[3];
    float std[3];
    int multiple; /* dynamic inputs: sides are rounded up to a multiple of this; 0 or 1: any */
    int channels_last; /* 0: NCHW, 1: NHWC; for inputs whose shape leaves it open */
    unsigned given;    /* LBW_GIVEN_…, set by lbw_preprocess_option() */
};

/* Where the image is in the input: x_input = x_image × scale_x + offset_x. */
struct lbw_placement {
    float scale_x, scale_y;
    float offset_x, offset_y;
};

/*
 * Fills `out`: 3 or 1 × height × width floats, sides as in `preprocess`, both > 0. Bilinear
 * with half-pixel centres, within ±1 level of OpenCV's INTER_LINEAR on 8-bit pixels.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_preprocess_image(float *out, struct lbw_placement *placement, const struct lbw_image *image,
                     const struct lbw_preprocess *preprocess, struct lbw_error *err);

#ifdef __cplusplus
}
#endif

#endif
