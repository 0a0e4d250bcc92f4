/* SPDX-License-Identifier: MIT */
/* Restores an image: undoes normalisation, channel order and layout. */
#include "eval/picture.h"

#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "onnx/tensor.h"

enum lbw_status lbw_picture_restore(struct lbw_image *out, const struct lbw_array *input,
                                    const struct lbw_picture_axes *axes, int width, int height,
                                    const struct lbw_preprocess *preprocess,
                                    struct lbw_error *err)
{
    size_t places = (size_t)width * (size_t)height, size = 0;
    size_t bytes = lbw_data_type_bits(input->data_type) / 8;
    struct lbw_image image = {.width = width, .height = height};
    if (!lbw_array_has_numbers(input->data_type) ||
        __builtin_mul_overflow(places, bytes * axes->channels, &size) || size > input->size)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "the network's input is not an image");
    image.pixels = malloc(3 * places + 1);
    if (!image.pixels)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < 3 * places; i++) {
        size_t c = axes->channels == 1                  ? 0
                   : preprocess->color == LBW_COLOR_BGR ? 2 - i % 3
                                                        : i % 3;
        size_t at = axes->channels_last ? i / 3 * axes->channels + c : c * places + i / 3;
        double value = 0;
        lbw_number_load(&value, (const char *)input->data + at * bytes, input->data_type);
        value = value * (double)preprocess->std[c] + (double)preprocess->mean[c];
        image.pixels[i] = (uint8_t)fmin(fmax(value + .5, 0), 255);
    }
    *out = image;
    return LBW_OK;
}
