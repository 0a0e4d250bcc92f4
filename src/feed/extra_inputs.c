/* SPDX-License-Identifier: MIT */
/* Inputs other than the image, with the order and unit of each family of exports. */
#include "feed/extra_inputs.h"

#include <string.h>

#include "onnx/tensor.h"

enum content {
    CONTENT_ZEROS,
    CONTENT_ONES,
    CONTENT_HEIGHT_WIDTH,
    CONTENT_WIDTH_HEIGHT,
};

struct beside {
    const char *part; /* of the input's name */
    enum content content;
};

static const struct beside rows[] = {
    {"scale_factor", CONTENT_ONES},              /* PaddleDetection: [n,2], y before x */
    {"im_shape", CONTENT_HEIGHT_WIDTH},          /* PaddleDetection */
    {"image_shape", CONTENT_HEIGHT_WIDTH},       /* YOLOv3 of keras-yolo3 */
    {"orig_target_sizes", CONTENT_WIDTH_HEIGHT}, /* RT-DETR, D-FINE, DEIM */
    {"orig_size", CONTENT_WIDTH_HEIGHT},         /* the same, older exports */
    {"target_sizes", CONTENT_HEIGHT_WIDTH},      /* post-processing of Transformers */
    {"target_size", CONTENT_HEIGHT_WIDTH},
};

static const char *const meanings[] = {
    [CONTENT_ZEROS] = "zeros",
    [CONTENT_ONES] = "1",
    [CONTENT_HEIGHT_WIDTH] = "the image's size",
    [CONTENT_WIDTH_HEIGHT] = "the image's size",
};

static enum content content_of(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strstr(name, rows[i].part))
            return rows[i].content;
    return CONTENT_ZEROS;
}

const char *lbw_beside_meaning(const char *name)
{
    return meanings[content_of(name)];
}

void lbw_beside_settle(struct lbw_feed_input *input)
{
    bool is_pair = content_of(input->name) != CONTENT_ZEROS;
    for (size_t k = 0; k < input->num_dims; k++)
        if (input->dims[k] < 0)
            input->dims[k] = is_pair && k + 1 == input->num_dims ? 2 : 1;
}

void lbw_beside_fill(struct lbw_array *array, const char *name,
                     const struct lbw_preprocess *preprocess)
{
    double height = preprocess->height, width = preprocess->width;
    const double pairs[][2] = {
        [CONTENT_ZEROS] = {0, 0},
        [CONTENT_ONES] = {1, 1},
        [CONTENT_HEIGHT_WIDTH] = {height, width},
        [CONTENT_WIDTH_HEIGHT] = {width, height},
    };
    const double *pair = pairs[content_of(name)];
    size_t size = lbw_data_type_bits(array->data_type) / 8;
    for (size_t i = 0; i < array->size / size; i++)
        lbw_number_store((char *)array->data + i * size, pair[i % 2], array->data_type);
}
