/* SPDX-License-Identifier: MIT */
/* Fits an image to an input: its axes, its size, normalised or integer values. */
#include "feed/input.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "onnx/tensor.h"
#include "feed/array.h"
#include "onnx/metadata.h"

#define MAX_SIDE   16384
#define LEAST_SIDE 8 /* of an image without a batch axis */

static int32_t type_by_name(const char *name)
{
    for (int32_t type = 1; type < 64; type++)
        if (!strcmp(lbw_data_type_name(type), name))
            return type;
    return 0;
}

enum lbw_status lbw_input_init(struct lbw_feed_input *out, const struct lbw_port *port,
                               struct lbw_error *err)
{
    struct lbw_feed_input input = {
        .name = port->name,
        .data_type = type_by_name(port->type),
        .num_dims = port->num_dims < 0 ? 0 : (size_t)port->num_dims,
    };
    if (!lbw_array_has_numbers(input.data_type))
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "input '%s' takes %s", port->name,
                        port->type);
    memcpy(input.dims, port->dims, sizeof input.dims);
    *out = input;
    return LBW_OK;
}

enum lbw_status lbw_inputs_list(struct lbw_feed_input **out, struct lbw_arena *arena,
                                const struct lbw_model_info *info, struct lbw_error *err)
{
    struct lbw_feed_input *inputs = lbw_arena_calloc(arena, info->num_inputs, sizeof *inputs);
    if (!inputs)
        return lbw_fail_memory(err);
    if (!info->num_inputs)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "the model has no input");
    for (size_t i = 0; i < info->num_inputs; i++) {
        LBW_TRY(lbw_input_init(&inputs[i], &info->inputs[i], err));
        inputs[i].name = lbw_arena_strdup(arena, inputs[i].name);
        if (!inputs[i].name)
            return lbw_fail_memory(err);
    }
    *out = inputs;
    return LBW_OK;
}

void lbw_input_shape(char *out, size_t size, const struct lbw_feed_input *input)
{
    size_t used = 0;
    snprintf(out, size, "%s", input->num_dims ? "" : "scalar");
    for (size_t i = 0; i < input->num_dims && used < size; i++) {
        const char *between = i ? "x" : "";
        int put = input->dims[i] < 0 ? snprintf(out + used, size - used, "%s?", between)
                                     : snprintf(out + used, size - used, "%s%lld", between,
                                                (long long)input->dims[i]);
        used += (size_t)put;
    }
}

static bool is_channels(int64_t dim)
{
    return dim == 1 || dim == 3;
}

/*
 * Without a batch axis (rank 3) other data resemble images: audio [batch,1,samples], series
 * [batch,steps,1], points [batch,3,points], hidden states [1,tokens,width]. An image has three
 * fixed channels, or one and equal sides, and no side known to be tiny.
 */
static bool is_likely(const struct lbw_feed_input *input, const struct lbw_picture_axes *axes)
{
    int64_t channels = input->dims[axes->channels_axis];
    int64_t height = input->dims[axes->height_axis], width = input->dims[axes->width_axis];
    bool is_tiny = (height >= 0 && height < LEAST_SIDE) || (width >= 0 && width < LEAST_SIDE);
    if (input->num_dims == 4)
        return true;
    if (channels == 3)
        return !is_tiny && (!axes->channels_last || height > 0 || width > 0);
    return channels == 1 && !is_tiny && height > 0 && height == width;
}

bool lbw_picture_axes(struct lbw_picture_axes *out, struct lbw_feed_input *input, bool has_rank,
                      bool prefers_last)
{
    if (!has_rank) {
        input->num_dims = 4;
        for (int i = 0; i < 4; i++)
            input->dims[i] = -1;
    }
    if (input->num_dims < 3 || input->num_dims > 4)
        return false;
    size_t first = input->num_dims - 3;
    bool before = is_channels(input->dims[first]), behind = is_channels(input->dims[first + 2]);
    bool is_last = before == behind ? prefers_last : behind;
    size_t axis = is_last ? first + 2 : first;
    if (!is_channels(input->dims[axis]) && input->dims[axis] >= 0)
        return false;
    *out = (struct lbw_picture_axes){
        .batch = input->num_dims == 4 && input->dims[0] > 0 ? (size_t)input->dims[0] : 1,
        .channels = input->dims[axis] == 1 ? 1 : 3,
        .channels_axis = axis,
        .height_axis = first + !is_last,
        .width_axis = first + 1 + !is_last,
        .channels_last = is_last,
    };
    return is_likely(input, out);
}

enum lbw_status lbw_inputs_find_picture(size_t *out, struct lbw_picture_axes *axes,
                                        struct lbw_feed_input *inputs,
                                        const struct lbw_model_info *info, bool prefers_last,
                                        struct lbw_error *err)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < info->num_inputs; i++) {
            bool has_rank = info->inputs[i].num_dims >= 0;
            if (lbw_input_is_float(&inputs[i]) == !pass &&
                lbw_picture_axes(axes, &inputs[i], has_rank, prefers_last)) {
                *out = i;
                return LBW_OK;
            }
        }
    char shape[128];
    lbw_input_shape(shape, sizeof shape, &inputs[0]);
    return lbw_fail(
        err, LBW_ERR_UNSUPPORTED,
        "no input takes images (the first, '%s', is %s); give arrays of that shape: "
        "FILE.npz",
        inputs[0].name, shape);
}

bool lbw_input_is_float(const struct lbw_feed_input *input)
{
    return input->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
           input->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ||
           input->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE ||
           input->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16;
}

void lbw_preprocess_whole(struct lbw_preprocess *preprocess, const struct lbw_feed_input *input)
{
    for (int c = 0; c < 3 && !lbw_input_is_float(input); c++) {
        if (!(preprocess->given & LBW_GIVEN_MEAN))
            preprocess->mean[c] = 0;
        if (!(preprocess->given & LBW_GIVEN_STD))
            preprocess->std[c] = 1;
    }
}

/* A side that the model fixes is kept; others come from the user, the profile or metadata. */
static enum lbw_status settle_side(int *out, struct lbw_feed_input *input, size_t axis,
                                   int asked, int otherwise, int multiple,
                                   struct lbw_error *err)
{
    int64_t side = input->dims[axis];
    if (side > 0 && asked > 0 && asked != side)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "input '%s' has a fixed side of %lld; --size cannot change it to %d",
                        input->name, (long long)side, asked);
    if (side <= 0) {
        side = asked > 0 ? asked : otherwise;
        side = multiple > 1 ? (side + multiple - 1) / multiple * multiple : side;
    }
    char shape[128];
    lbw_input_shape(shape, sizeof shape, input);
    if (side <= 0)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "input '%s' has a dynamic size (%s): use --size WIDTHxHEIGHT",
                        input->name, shape);
    if (side > MAX_SIDE)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "input '%s' (%s) gets a side of %lld%s, at most %d are supported",
                        input->name, shape, (long long)side,
                        input->dims[axis] > 0 || asked > 0 ? "" : " by metadata or profile",
                        MAX_SIDE);
    *out = (int)side;
    return LBW_OK;
}

/* If the model leaves channels open, those of the preprocessing are used. */
static enum lbw_status settle_channels(struct lbw_picture_axes *axes,
                                       const struct lbw_preprocess *preprocess,
                                       const struct lbw_feed_input *input,
                                       struct lbw_error *err)
{
    size_t made = preprocess->color == LBW_COLOR_GRAY ? 1 : 3;
    if (input->dims[axes->channels_axis] < 0)
        axes->channels = made;
    if (axes->channels != made)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "input '%s' takes %zu channel%s, the preprocessing makes %zu",
                        input->name, axes->channels, axes->channels == 1 ? "" : "s", made);
    return LBW_OK;
}

enum lbw_status lbw_preprocess_fit(struct lbw_preprocess *preprocess,
                                   struct lbw_feed_input *input, struct lbw_picture_axes *axes,
                                   const struct lbw_model_info *info, int width, int height,
                                   struct lbw_error *err)
{
    LBW_TRY(settle_channels(axes, preprocess, input, err));
    struct lbw_preprocess fitted = *preprocess;
    int otherwise_width = 0, otherwise_height = 0;
    lbw_metadata_size(&otherwise_width, &otherwise_height, info);
    if (fitted.width > 0)
        otherwise_width = fitted.width;
    if (fitted.height > 0)
        otherwise_height = fitted.height;
    if (fitted.given & LBW_GIVEN_SIZE) {
        width = width > 0 ? width : fitted.width;
        height = height > 0 ? height : fitted.height;
    }
    LBW_TRY(settle_side(&fitted.width, input, axes->width_axis, width, otherwise_width,
                        fitted.multiple, err));
    LBW_TRY(settle_side(&fitted.height, input, axes->height_axis, height, otherwise_height,
                        fitted.multiple, err));
    fitted.channels_last = axes->channels_last;
    lbw_preprocess_whole(&fitted, input);
    input->dims[axes->width_axis] = fitted.width;
    input->dims[axes->height_axis] = fitted.height;
    input->dims[axes->channels_axis] = (int64_t)axes->channels;
    if (input->num_dims == 4)
        input->dims[0] = (int64_t)axes->batch;
    *preprocess = fitted;
    return LBW_OK;
}
