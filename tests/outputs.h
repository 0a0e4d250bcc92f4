/* SPDX-License-Identifier: MIT */
/* Outputs of detectors made by hand, and the boxes in them. */
#ifndef LBW_TESTS_OUTPUTS_H
#define LBW_TESTS_OUTPUTS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/decode.h"

#define SIDE 64 /* of the input; the image is twice as large and moved by 8 pixels */

static const struct lbw_placement placement = {.5f, .5f, 8, 8};

/* Outputs under construction; zeroed data. */
struct stage {
    size_t num;
    const char *names[12];
    struct lbw_array arrays[12];
    struct lbw_profile profile;
    struct lbw_boxes boxes;
    struct lbw_error err;
};

static inline void *add(struct stage *stage, const char *name, int32_t type, size_t num_dims,
                        const int64_t *dims)
{
    size_t count = 1;
    struct lbw_array *array = &stage->arrays[stage->num];
    for (size_t i = 0; i < num_dims; i++)
        count *= (size_t)dims[i];
    size_t size = type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ? 8 : 4;
    *array = (struct lbw_array){.data_type = type, .num_dims = num_dims, .size = count * size};
    memcpy(array->dims, dims, num_dims * sizeof *dims);
    array->data = calloc(count + 1, size);
    assert_non_null(array->data);
    stage->names[stage->num++] = name;
    return array->data;
}

#define ADD(stage, name, ...)                                                                  \
    add(stage, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,                                     \
        sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})
#define ADD_INT64(stage, name, ...)                                                            \
    add(stage, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64,                                     \
        sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})

static inline struct stage stage_of(const char *profile, int num_classes)
{
    struct stage stage = {.profile = *lbw_profile_by_name(profile)};
    stage.profile.num_classes = num_classes;
    stage.profile.num_labels = 0;
    return stage;
}

/* Without a least score, and nothing suppressed. */
static inline struct lbw_decode_input decode_input(const struct stage *stage)
{
    return (struct lbw_decode_input){
        .num_outputs = stage->num,
        .names = stage->names,
        .outputs = stage->arrays,
        .profile = &stage->profile,
        .width = SIDE,
        .height = SIDE,
        .placement = placement,
        .picture_width = 100,
        .picture_height = 90,
        .nms = 1,
    };
}

static inline enum lbw_status decode(struct stage *stage)
{
    struct lbw_decode_input input = decode_input(stage);
    input.score = .25f;
    input.nms = .5f;
    lbw_boxes_release(&stage->boxes);
    return lbw_decode(&stage->boxes, &input, &stage->err);
}

static inline void release(struct stage *stage)
{
    for (size_t i = 0; i < stage->num; i++)
        free(stage->arrays[i].data);
    lbw_boxes_release(&stage->boxes);
}

/* The box with these corners in the input, as it lies in the image. */
static inline void check_box(const struct stage *stage, size_t i, int class_index, double score,
                             double x0, double y0, double x1, double y1)
{
    assert_true(i < stage->boxes.num);
    const struct lbw_box *box = &stage->boxes.items[i];
    double left = fmax(0, (x0 - 8) * 2), top = fmax(0, (y0 - 8) * 2);
    double right = fmin(100, (x1 - 8) * 2), bottom = fmin(90, (y1 - 8) * 2);
    assert_int_equal(box->class_index, class_index);
    assert_float_equal(box->score, score, 1e-4);
    assert_float_equal(box->x, left, 1e-3);
    assert_float_equal(box->y, top, 1e-3);
    assert_float_equal(box->x + box->width, right, 1e-3);
    assert_float_equal(box->y + box->height, bottom, 1e-3);
}

static inline void check_one(struct stage *stage, int class_index, double score, double x0,
                             double y0, double x1, double y1)
{
    enum lbw_status status = decode(stage);
    if (status != LBW_OK)
        fail_msg("%s", stage->err.message);
    assert_int_equal(stage->boxes.num, 1);
    check_box(stage, 0, class_index, score, x0, y0, x1, y1);
    release(stage);
}

#endif
