/* SPDX-License-Identifier: MIT */
/* A model in ONNX Runtime with its profile: picture in, boxes out. */
#include "eval/detector.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define MAX_SIDE 8192

struct input_type {
    const char *name; /* as lbw_model_describe() says it */
    int32_t data_type;
    size_t size;
};

static const struct input_type input_types[] = {
    {"float32", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 4},
    {"float16", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, 2},
    {"uint8", ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, 1},
};

#define NUM_INPUT_TYPES (sizeof input_types / sizeof *input_types)

static const struct input_type *input_type_of(int32_t data_type)
{
    for (size_t i = 0; i < NUM_INPUT_TYPES; i++)
        if (input_types[i].data_type == data_type)
            return &input_types[i];
    return NULL;
}

/* A side: the model's own, else the caller's, else the profile's. */
static enum lbw_status resolve_side(int *out, int64_t dim, int asked, int otherwise,
                                    const struct lbw_port *port, struct lbw_error *err)
{
    int64_t side = dim > 0 ? dim : asked > 0 ? asked : otherwise;
    if (side <= 0)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "input '%s' leaves its size open: give one (--size WxH)", port->name);
    if (side > MAX_SIDE)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "input '%s': a side of %" PRId64 " pixels, at most %d are supported",
                        port->name, side, MAX_SIDE);
    *out = (int)side;
    return LBW_OK;
}

static int round_up(int side, int multiple)
{
    return multiple > 1 ? (side + multiple - 1) / multiple * multiple : side;
}

/* Checks that the port takes one picture, and settles size, layout and type. */
static enum lbw_status resolve_input(struct lbw_detector *detector, const struct lbw_port *port,
                                     const struct lbw_detector_params *params,
                                     struct lbw_error *err)
{
    struct lbw_preprocess *preprocess = &detector->profile.preprocess;
    const struct input_type *type = NULL;
    for (size_t i = 0; i < NUM_INPUT_TYPES; i++)
        if (strcmp(port->type, input_types[i].name) == 0)
            type = &input_types[i];
    if (!type)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "input '%s' is %s; float32, float16 and uint8 are supported",
                        port->name, port->type);
    int channels = preprocess->color == LBW_COLOR_GRAY ? 1 : 3;
    int height_at = preprocess->channels_last ? 1 : 2;
    int64_t dims[4] = {1, -1, -1, -1};
    if (port->num_dims == 4)
        memcpy(dims, port->dims, sizeof dims);
    int64_t given = dims[preprocess->channels_last ? 3 : 1];
    if ((port->num_dims != 4 && port->num_dims != -1) || dims[0] > 1 ||
        (given > 0 && given != channels))
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "input '%s' is not one picture of %d channels (%s)", port->name,
                        channels, preprocess->channels_last ? "NHWC" : "NCHW");
    int width = 0, height = 0;
    LBW_TRY(
        resolve_side(&width, dims[height_at + 1], params->width, preprocess->width, port, err));
    LBW_TRY(
        resolve_side(&height, dims[height_at], params->height, preprocess->height, port, err));
    preprocess->width = dims[height_at + 1] > 0 ? width : round_up(width, preprocess->multiple);
    preprocess->height = dims[height_at] > 0 ? height : round_up(height, preprocess->multiple);
    detector->input_type = type->data_type;
    return LBW_OK;
}

static enum lbw_status open_session(struct lbw_detector *detector, struct lbw_model *model,
                                    unsigned num_threads, struct lbw_error *err)
{
    struct lbw_session_params params = {
        .num_threads = num_threads, .optimize = 99, .decode_once = 1};
    void *bytes = NULL;
    size_t size = 0;
    LBW_TRY(lbw_model_save_memory(model, &bytes, &size, err));
    enum lbw_status status = lbw_session_open(&detector->session, bytes, size, &params, err);
    lbw_free(bytes);
    return status;
}

static enum lbw_status fill(struct lbw_detector *detector, struct lbw_model *model,
                            const struct lbw_detector_params *params, struct lbw_error *err)
{
    struct lbw_model_info info;
    LBW_TRY(lbw_model_describe(&info, model, err));
    if (info.num_inputs != 1)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "%zu inputs; a detector has one, the picture%s%s", info.num_inputs,
                        info.num_inputs > 1 ? ", not also " : "",
                        info.num_inputs > 1 ? info.inputs[1].name : "");
    LBW_TRY(resolve_input(detector, &info.inputs[0], params, err));
    LBW_TRY(open_session(detector, model, params->num_threads, err));
    detector->num_outputs = lbw_session_num_outputs(detector->session);
    detector->output_names = calloc(detector->num_outputs + 1, sizeof *detector->output_names);
    if (!detector->output_names)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < detector->num_outputs; i++)
        detector->output_names[i] = lbw_session_output_name(detector->session, i);
    return LBW_OK;
}

enum lbw_status lbw_detector_open(struct lbw_detector **out, struct lbw_model *model,
                                  const struct lbw_profile *profile,
                                  const struct lbw_detector_params *params,
                                  struct lbw_error *err)
{
    static const struct lbw_detector_params none;
    struct lbw_detector *detector = calloc(1, sizeof *detector);
    if (!detector)
        return lbw_fail_memory(err);
    params = params ? params : &none;
    detector->profile = *profile;
    detector->score = params->score > 0 ? params->score : profile->score;
    detector->nms = params->nms > 0 ? params->nms : profile->nms;
    enum lbw_status status = fill(detector, model, params, err);
    if (status != LBW_OK)
        lbw_detector_close(&detector);
    else
        *out = detector;
    return status;
}

void lbw_detector_close(struct lbw_detector **detector)
{
    if (!*detector)
        return;
    lbw_session_close(&(*detector)->session);
    free((*detector)->output_names);
    free(*detector);
    *detector = NULL;
}

bool lbw_detector_same_input(const struct lbw_detector *a, const struct lbw_detector *b)
{
    return a->input_type == b->input_type &&
           a->profile.preprocess.width == b->profile.preprocess.width &&
           a->profile.preprocess.height == b->profile.preprocess.height;
}

/* Replaces the floats by the type the model wants. */
static enum lbw_status narrow(struct lbw_array *array, int32_t data_type, size_t count,
                              struct lbw_error *err)
{
    const float *from = array->data;
    size_t size = input_type_of(data_type)->size;
    unsigned char *to = malloc(count * size);
    if (!to)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < count; i++)
        if (data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16)
            lbw_store_le(to + 2 * i, lbw_half_from_float(from[i]), 2);
        else
            to[i] = (unsigned char)fminf(fmaxf(from[i] + .5f, 0), 255);
    free(array->data);
    array->data = to;
    array->size = count * size;
    array->data_type = data_type;
    return LBW_OK;
}

enum lbw_status lbw_detector_prepare(const struct lbw_detector *detector,
                                     struct lbw_array *input, struct lbw_placement *placement,
                                     const struct lbw_image *image, struct lbw_error *err)
{
    const struct lbw_preprocess *preprocess = &detector->profile.preprocess;
    int64_t channels = preprocess->color == LBW_COLOR_GRAY ? 1 : 3;
    int64_t width = preprocess->width, height = preprocess->height;
    size_t count = (size_t)channels * (size_t)width * (size_t)height;
    struct lbw_array array = {
        .data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
        .num_dims = 4,
        .dims = {1, channels, height, width},
        .size = count * sizeof(float),
        .data = malloc(count * sizeof(float)),
    };
    if (preprocess->channels_last) {
        array.dims[1] = height;
        array.dims[2] = width;
        array.dims[3] = channels;
    }
    if (!array.data)
        return lbw_fail_memory(err);
    enum lbw_status status =
        lbw_preprocess_image(array.data, placement, image, preprocess, err);
    if (status == LBW_OK && detector->input_type != array.data_type)
        status = narrow(&array, detector->input_type, count, err);
    if (status != LBW_OK)
        lbw_array_release(&array);
    else
        *input = array;
    return status;
}

enum lbw_status lbw_detector_infer(const struct lbw_detector *detector,
                                   struct lbw_array *outputs, const struct lbw_array *input,
                                   struct lbw_error *err)
{
    return lbw_session_run(detector->session, input, outputs, err);
}

enum lbw_status lbw_detector_decode(const struct lbw_detector *detector, struct lbw_boxes *out,
                                    const struct lbw_array *outputs,
                                    const struct lbw_placement *placement,
                                    const struct lbw_image *image, float score, float nms,
                                    struct lbw_error *err)
{
    struct lbw_decode_input input = {
        .num_outputs = detector->num_outputs,
        .names = detector->output_names,
        .outputs = outputs,
        .profile = &detector->profile,
        .width = detector->profile.preprocess.width,
        .height = detector->profile.preprocess.height,
        .placement = *placement,
        .picture_width = image->width,
        .picture_height = image->height,
        .score = score,
        .nms = nms,
    };
    return lbw_decode(out, &input, err);
}

void lbw_detector_release_outputs(const struct lbw_detector *detector,
                                  struct lbw_array *outputs)
{
    for (size_t i = 0; i < detector->num_outputs; i++)
        lbw_array_release(&outputs[i]);
}

enum lbw_status lbw_detector_run(struct lbw_detector *detector, const struct lbw_image *image,
                                 struct lbw_box **boxes, size_t *num_boxes,
                                 struct lbw_error *err)
{
    struct lbw_array input = {0};
    struct lbw_placement placement = {0};
    struct lbw_boxes found = {0};
    struct lbw_array *outputs = calloc(detector->num_outputs + 1, sizeof *outputs);
    if (!outputs)
        return lbw_fail_memory(err);
    enum lbw_status status = lbw_detector_prepare(detector, &input, &placement, image, err);
    if (status == LBW_OK)
        status = lbw_detector_infer(detector, outputs, &input, err);
    if (status == LBW_OK)
        status = lbw_detector_decode(detector, &found, outputs, &placement, image,
                                     detector->score, detector->nms, err);
    lbw_array_release(&input);
    lbw_detector_release_outputs(detector, outputs);
    free(outputs);
    if (status != LBW_OK)
        return status;
    *boxes = found.items;
    *num_boxes = found.num;
    return LBW_OK;
}
