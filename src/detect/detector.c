/* SPDX-License-Identifier: MIT */
/* A model in ONNX Runtime with its profile: image in, boxes out. */
#include "detect/detector.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "feed/array.h"
#include "feed/extra_inputs.h"
#include "feed/input.h"
#include "feed/preprocess_check.h"
#include "detect/profile_check.h"
#include "onnx/model.h"

/* Finds the input that takes one image, and determines its shape and preprocessing. */
static enum lbw_status settle_input(struct lbw_detector *detector,
                                    struct lbw_feed_input *inputs,
                                    const struct lbw_model_info *info,
                                    const struct lbw_detector_params *params,
                                    struct lbw_error *err)
{
    struct lbw_preprocess *preprocess = &detector->profile.preprocess;
    struct lbw_picture_axes axes;
    char shape[128];
    /* a detector takes no arrays, so that advice is left out */
    if (lbw_inputs_find_picture(&detector->picture, &axes, inputs, info,
                                preprocess->channels_last, NULL) != LBW_OK) {
        lbw_input_shape(shape, sizeof shape, &inputs[0]);
        return lbw_fail(
            err, LBW_ERR_UNSUPPORTED,
            info->num_inputs == 1
                ? "input '%s' is %s, not an image of 1 or 3 channels"
                : "no input is an image of 1 or 3 channels (the first, '%s', is %s)",
            inputs[0].name, shape);
    }
    struct lbw_feed_input *input = &inputs[detector->picture];
    lbw_input_shape(shape, sizeof shape, input);
    if (axes.batch != 1)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "input '%s' is %s: batches of %zu, but a detector takes one image; "
                        "export the model with batch size 1 or a dynamic batch",
                        input->name, shape, axes.batch);
    LBW_TRY(
        lbw_preprocess_fit(preprocess, input, &axes, info, params->width, params->height, err));
    detector->input = *input;
    return LBW_OK;
}

/* The arrays of the inputs beside the image, which are the same for every image. */
static enum lbw_status fill_others(struct lbw_detector *detector, struct lbw_feed_input *inputs,
                                   size_t num, struct lbw_error *err)
{
    size_t picture = lbw_session_find_input(detector->session, inputs[detector->picture].name);
    if (num != lbw_session_num_inputs(detector->session) || picture >= num)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "the runtime sees other inputs");
    detector->inputs = calloc(num, sizeof *detector->inputs);
    if (!detector->inputs)
        return lbw_fail_memory(err);
    detector->num_inputs = num;
    for (size_t i = 0; i < num; i++) {
        size_t at = lbw_session_find_input(detector->session, inputs[i].name);
        if (i == detector->picture)
            continue;
        if (at >= num)
            return lbw_fail(err, LBW_ERR_UNSUPPORTED, "the runtime sees no input '%s'",
                            inputs[i].name);
        lbw_beside_settle(&inputs[i]);
        LBW_TRY(lbw_array_init(&detector->inputs[at], inputs[i].data_type, inputs[i].dims,
                               inputs[i].num_dims, err));
        lbw_beside_fill(&detector->inputs[at], inputs[i].name, &detector->profile.preprocess);
    }
    detector->picture = picture;
    return LBW_OK;
}

static enum lbw_status open_session(struct lbw_detector *detector, struct lbw_model *model,
                                    const struct lbw_detector_params *wanted,
                                    struct lbw_error *err)
{
    struct lbw_session_params params = {
        .num_threads = wanted->num_threads,
        .optimize = 99,
        .native = !wanted->no_native,
    };
    return lbw_session_open_model(&detector->session, model, &params, err);
}

static enum lbw_status open_inputs(struct lbw_detector *detector, struct lbw_model *model,
                                   const struct lbw_detector_params *params,
                                   struct lbw_error *err)
{
    struct lbw_model_info info;
    struct lbw_arena arena = {0};
    struct lbw_feed_input *inputs;
    enum lbw_status status;
    LBW_OR_OUT(lbw_model_describe(&info, model, err));
    LBW_OR_OUT(
        lbw_within(err, lbw_inputs_list(&inputs, &arena, &info, err), "%s", model->name));
    LBW_OR_OUT(
        lbw_within(err, settle_input(detector, inputs, &info, params, err), "%s", model->name));
    LBW_OR_OUT(open_session(detector, model, params, err));
    LBW_OR_OUT(fill_others(detector, inputs, info.num_inputs, err));
    detector->input.name = NULL;
out:
    lbw_arena_release(&arena);
    return status;
}

static enum lbw_status fill(struct lbw_detector *detector, struct lbw_model *model,
                            const struct lbw_detector_params *params, struct lbw_error *err)
{
    LBW_TRY(open_inputs(detector, model, params, err));
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
    params = params ? params : &none;
    LBW_TRY(lbw_model_check(model, err));
    LBW_TRY(lbw_profile_check(profile, err));
    LBW_TRY(lbw_sides_check(params->width, params->height, err));
    struct lbw_detector *detector = calloc(1, sizeof *detector);
    if (!detector)
        return lbw_fail_memory(err);
    detector->profile = *profile;
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
    lbw_arrays_release((*detector)->inputs, (*detector)->num_inputs);
    free((*detector)->inputs);
    free((*detector)->output_names);
    free(*detector);
    *detector = NULL;
}

/* The same type and shape may have another layout, for an image 3 pixels wide. */
bool lbw_detector_same_input(const struct lbw_detector *a, const struct lbw_detector *b)
{
    return a->input.data_type == b->input.data_type && a->input.num_dims == b->input.num_dims &&
           !memcmp(a->input.dims, b->input.dims, sizeof a->input.dims) &&
           a->profile.preprocess.channels_last == b->profile.preprocess.channels_last;
}

enum lbw_status lbw_detector_prepare(const struct lbw_detector *detector,
                                     struct lbw_array *input, struct lbw_placement *placement,
                                     const struct lbw_image *image, struct lbw_error *err)
{
    const struct lbw_feed_input *wanted = &detector->input;
    struct lbw_array array = {0}, floats = {0};
    enum lbw_status status;
    LBW_OR_OUT(lbw_array_init(&floats, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, wanted->dims,
                              wanted->num_dims, err));
    LBW_OR_OUT(lbw_preprocess_image(floats.data, placement, image,
                                    &detector->profile.preprocess, err));
    if (wanted->data_type == floats.data_type) {
        *input = floats;
        return LBW_OK;
    }
    LBW_OR_OUT(lbw_array_init(&array, wanted->data_type, wanted->dims, wanted->num_dims, err));
    lbw_numbers_convert(array.data, array.data_type, floats.data, floats.data_type,
                        floats.size / sizeof(float));
    *input = array;
out:
    lbw_array_release(&floats);
    return status;
}

enum lbw_status lbw_detector_infer(const struct lbw_detector *detector,
                                   struct lbw_array *outputs, const struct lbw_array *input,
                                   struct lbw_error *err)
{
    struct lbw_array *inputs = malloc(detector->num_inputs * sizeof *inputs);
    if (!inputs)
        return lbw_fail_memory(err);
    memcpy(inputs, detector->inputs, detector->num_inputs * sizeof *inputs);
    inputs[detector->picture] = *input;
    enum lbw_status status = lbw_session_run(detector->session, inputs, outputs, err);
    free(inputs);
    return status;
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
    lbw_arrays_release(outputs, detector->num_outputs);
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
    enum lbw_status status;
    LBW_OR_OUT(lbw_detector_prepare(detector, &input, &placement, image, err));
    LBW_OR_OUT(lbw_detector_infer(detector, outputs, &input, err));
    status = lbw_detector_decode(detector, &found, outputs, &placement, image,
                                 detector->profile.score, detector->profile.nms, err);
out:
    lbw_array_release(&input);
    lbw_detector_release_outputs(detector, outputs);
    free(outputs);
    if (status != LBW_OK)
        return status;
    *boxes = found.items;
    *num_boxes = found.num;
    return LBW_OK;
}
