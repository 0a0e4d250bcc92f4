/* SPDX-License-Identifier: MIT */
/* Samples for all inputs: resolves shapes, then reads images or arrays. */
#include "feed/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lbw/profile.h>

#include "base/arena.h"
#include "base/bits.h"
#include "base/error.h"
#include "onnx/tensor.h"
#include "feed/array.h"
#include "feed/extra_inputs.h"
#include "feed/feed_arrays.h"
#include "feed/input.h"
#include "feed/npz.h"
#include "feed/pictures.h"

struct lbw_feed {
    struct lbw_arena arena;
    size_t num_samples; /* shown, */
    size_t num_left;    /* of those not held back */
    size_t num_inputs;
    struct lbw_feed_input *inputs;
    const char *assumed;
    struct lbw_feed_arrays *arrays; /* either these or images */
    struct lbw_pictures *pictures;
    size_t picture; /* the input that takes images, in inputs[] */
    struct lbw_picture_axes axes;
    struct lbw_preprocess preprocess;
};

/* Copies the model's inputs; dynamic dims stay -1 until they are resolved. */
static enum lbw_status list_inputs(struct lbw_feed *feed, const struct lbw_model_info *info,
                                   struct lbw_error *err)
{
    LBW_TRY(lbw_inputs_list(&feed->inputs, &feed->arena, info, err));
    feed->num_inputs = info->num_inputs;
    return LBW_OK;
}

/* Another input like that of the image: of stereo pairs, changes, several cameras. */
static bool is_picture_too(const struct lbw_feed *feed, size_t i)
{
    const struct lbw_feed_input *a = &feed->inputs[feed->picture], *b = &feed->inputs[i];
    if (a->data_type != b->data_type || a->num_dims != b->num_dims)
        return false;
    for (size_t k = 0; k < a->num_dims; k++)
        if (a->dims[k] != b->dims[k])
            return false;
    return true;
}

/* An open side may be that of the image, if the channels are as many. */
static void settle_other(struct lbw_feed *feed, size_t i)
{
    struct lbw_feed_input *other = &feed->inputs[i], like = *other;
    const struct lbw_feed_input *picture = &feed->inputs[feed->picture];
    for (size_t k = 0; k < like.num_dims && like.num_dims == picture->num_dims; k++)
        if (like.dims[k] < 0 && k != feed->axes.channels_axis)
            like.dims[k] = picture->dims[k];
    struct lbw_feed_input before = *other;
    *other = like;
    if (is_picture_too(feed, i))
        return;
    *other = before;
    lbw_beside_settle(other);
}

/* One line on source, preprocessing and inputs besides the image. */
static enum lbw_status describe(struct lbw_feed *feed, const char *why, struct lbw_error *err)
{
    char line[384];
    lbw_preprocess_describe(line, sizeof line, &feed->preprocess);
    char count[64];
    size_t num = feed->num_samples, batch = feed->axes.batch;
    const char *made = lbw_pictures_are_generated(feed->pictures) ? "generated " : "";
    if (batch > 1)
        snprintf(count, sizeof count, "%zu batch%s of %zu %simages", num, num == 1 ? "" : "es",
                 batch, made);
    else
        snprintf(count, sizeof count, "%zu %simage%s", num, made, num == 1 ? "" : "s");
    const char *text = lbw_arena_printf(&feed->arena, "%s, %s%s%s%s", count, line,
                                        why ? " (" : "", why ? why : "", why ? ")" : "");
    for (size_t i = 0; text && i < feed->num_inputs; i++)
        if (i != feed->picture)
            text = lbw_arena_printf(
                &feed->arena, "%s; input '%s': %s", text, feed->inputs[i].name,
                is_picture_too(feed, i) ? "the next image"
                                        : lbw_beside_meaning(feed->inputs[i].name));
    if (text && lbw_feed_num_skipped(feed))
        text = lbw_arena_printf(&feed->arena, "%s; %zu could not be read, the first: %s", text,
                                lbw_feed_num_skipped(feed), lbw_feed_skipped(feed, 0));
    feed->assumed = text;
    return text ? LBW_OK : lbw_fail_memory(err);
}

static enum lbw_status settle_picture(struct lbw_feed *feed, const struct lbw_model_info *info,
                                      const struct lbw_feed_params *params,
                                      struct lbw_error *err)
{
    LBW_TRY(lbw_inputs_find_picture(&feed->picture, &feed->axes, feed->inputs, info,
                                    feed->preprocess.channels_last, err));
    return lbw_preprocess_fit(&feed->preprocess, &feed->inputs[feed->picture], &feed->axes,
                              info, params->width, params->height, err);
}

static enum lbw_status open_pictures(struct lbw_feed *feed, const struct lbw_model *model,
                                     const struct lbw_model_info *info,
                                     const struct lbw_feed_params *params,
                                     struct lbw_error *err)
{
    if (!params->preprocess)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "no preprocessing given for the image input");
    feed->preprocess = *params->preprocess;
    LBW_TRY(lbw_within(err, settle_picture(feed, info, params, err), "%s", model->name));
    for (size_t i = 0; i < feed->num_inputs; i++)
        if (i != feed->picture)
            settle_other(feed, i);
    size_t most = params->max_samples, batch = feed->axes.batch;
    if (most && !lbw_size_mul(&most, most, batch))
        most = 0;
    LBW_TRY(lbw_pictures_open(&feed->pictures, params->source, most, params->seed, err));
    feed->num_samples = (lbw_pictures_num(feed->pictures) + batch - 1) / batch;
    return describe(feed, params->why, err);
}

/* Among arrays: the first of floats that can be an image, else the first of all. */
static size_t find_picture(const struct lbw_feed *feed)
{
    struct lbw_picture_axes axes;
    for (size_t i = 0; i < feed->num_inputs; i++) {
        struct lbw_feed_input input = feed->inputs[i];
        if (lbw_input_is_float(&input) && lbw_picture_axes(&axes, &input, true, false))
            return i;
    }
    return 0;
}

static enum lbw_status open_arrays(struct lbw_feed *feed, const struct lbw_model_info *info,
                                   const struct lbw_feed_params *params, struct lbw_error *err)
{
    bool *has_rank = lbw_arena_calloc(&feed->arena, feed->num_inputs, sizeof *has_rank);
    if (!has_rank)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < feed->num_inputs; i++)
        has_rank[i] = info->inputs[i].num_dims >= 0;
    if (params->samples)
        LBW_TRY(lbw_feed_arrays_open_memory(&feed->arrays, params->samples, feed->inputs,
                                            has_rank, feed->num_inputs, params->max_samples,
                                            err));
    else
        LBW_TRY(lbw_feed_arrays_open(&feed->arrays, params->source, feed->inputs, has_rank,
                                     feed->num_inputs, params->max_samples, err));
    feed->num_samples = lbw_feed_arrays_num_samples(feed->arrays);
    feed->picture = find_picture(feed);
    feed->assumed = lbw_arena_printf(&feed->arena, "%zu sample%s of %s, as they are",
                                     feed->num_samples, feed->num_samples == 1 ? "" : "s",
                                     params->samples ? "the caller" : params->source);
    return feed->assumed ? LBW_OK : lbw_fail_memory(err);
}

bool lbw_feed_takes_arrays(const struct lbw_feed_params *params)
{
    return params->samples || (params->source && lbw_npz_is_one(params->source));
}

enum lbw_status lbw_feed_open(struct lbw_feed **out, struct lbw_model *model,
                              const struct lbw_feed_params *params, const char **assumed,
                              struct lbw_error *err)
{
    struct lbw_model_info info;
    enum lbw_status status;
    struct lbw_feed *feed = calloc(1, sizeof *feed);
    if (!feed)
        return lbw_fail_memory(err);
    LBW_OR_OUT(lbw_model_describe(&info, model, err));
    LBW_OR_OUT(lbw_within(err, list_inputs(feed, &info, err), "%s", model->name));
    if (lbw_feed_takes_arrays(params))
        LBW_OR_OUT(open_arrays(feed, &info, params, err));
    else
        LBW_OR_OUT(open_pictures(feed, model, &info, params, err));
    feed->num_samples -=
        params->hold_back < feed->num_samples ? params->hold_back : feed->num_samples - 1;
    feed->num_left = feed->num_samples;
    if (params->few && params->few < feed->num_samples)
        feed->num_samples = params->few;
    *out = feed;
    if (assumed)
        *assumed = feed->assumed;
    feed = NULL;
out:
    lbw_feed_close(&feed);
    return status;
}

void lbw_feed_close(struct lbw_feed **feed)
{
    if (!*feed)
        return;
    lbw_feed_arrays_close(&(*feed)->arrays);
    lbw_pictures_close(&(*feed)->pictures);
    lbw_arena_release(&(*feed)->arena);
    free(*feed);
    *feed = NULL;
}

size_t lbw_feed_num_samples(const struct lbw_feed *feed)
{
    return feed->num_samples;
}

size_t lbw_feed_num_inputs(const struct lbw_feed *feed)
{
    return feed->num_inputs;
}

size_t lbw_feed_picture(const struct lbw_feed *feed)
{
    return feed->picture;
}

size_t lbw_feed_num_skipped(const struct lbw_feed *feed)
{
    return feed->pictures ? lbw_pictures_num_skipped(feed->pictures) : 0;
}

const char *lbw_feed_skipped(const struct lbw_feed *feed, size_t i)
{
    return lbw_pictures_skipped(feed->pictures, i);
}

const struct lbw_feed_input *lbw_feed_input(const struct lbw_feed *feed, size_t i)
{
    return &feed->inputs[i];
}

/*
 * The sides of generated image i. Photographs are rarely as square as inputs, so if the
 * aspect is kept, the model should see some padding.
 */
static void generated_sides(int *width, int *height, const struct lbw_preprocess *preprocess,
                            size_t i)
{
    static const double aspects[] = {4 / 3.0, 3 / 4.0, 3 / 2.0, 1, 4 / 3.0, 2 / 3.0};
    *width = preprocess->width;
    *height = preprocess->height;
    if (preprocess->resize == LBW_RESIZE_STRETCH)
        return;
    double aspect = aspects[i % (sizeof aspects / sizeof *aspects)];
    if (*width > *height * aspect)
        *width = (int)(*height * aspect);
    else
        *height = (int)(*width / aspect);
    *width = *width < 1 ? 1 : *width;
    *height = *height < 1 ? 1 : *height;
}

/* Image `number` as `out`, width × height × channels floats. */
static enum lbw_status make_picture(float *out, const struct lbw_feed *feed, size_t number,
                                    struct lbw_error *err)
{
    struct lbw_image image = {0};
    int width, height;
    generated_sides(&width, &height, &feed->preprocess, number);
    LBW_TRY(lbw_pictures_read(&image, feed->pictures, number, width, height, err));
    enum lbw_status status = lbw_preprocess_image(out, NULL, &image, &feed->preprocess, err);
    lbw_image_release(&image);
    return status;
}

static enum lbw_status fill_pictures(struct lbw_array *array, struct lbw_feed *feed, size_t i,
                                     struct lbw_error *err)
{
    size_t area = (size_t)feed->preprocess.width * (size_t)feed->preprocess.height;
    size_t count = area * feed->axes.channels;
    float *values = malloc(count * sizeof *values);
    if (!values)
        return lbw_fail_memory(err);
    enum lbw_status status = LBW_OK;
    size_t one = array->size / feed->axes.batch, num = lbw_pictures_num(feed->pictures);
    for (size_t k = 0; k < feed->axes.batch && status == LBW_OK; k++) {
        status = make_picture(values, feed, (i * feed->axes.batch + k) % num, err);
        if (status == LBW_OK)
            lbw_numbers_convert((char *)array->data + k * one, array->data_type, values,
                                ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, count);
    }
    free(values);
    return status;
}

enum lbw_status lbw_feed_get(struct lbw_feed *feed, size_t i, struct lbw_array *arrays,
                             struct lbw_error *err)
{
    size_t made = 0, next = 0;
    i = (2 * i + 1) * feed->num_left / (2 * feed->num_samples);
    enum lbw_status status = feed->arrays ? lbw_feed_arrays_seek(feed->arrays, i, err) : LBW_OK;
    for (; made < feed->num_inputs && status == LBW_OK; made++) {
        const struct lbw_feed_input *input = &feed->inputs[made];
        arrays[made] = (struct lbw_array){0};
        status =
            lbw_array_init(&arrays[made], input->data_type, input->dims, input->num_dims, err);
        if (status == LBW_OK && feed->arrays)
            lbw_feed_arrays_fill(&arrays[made], feed->arrays, made);
        else if (status == LBW_OK && made == feed->picture)
            status = fill_pictures(&arrays[made], feed, i, err);
        else if (status == LBW_OK && is_picture_too(feed, made))
            status = fill_pictures(&arrays[made], feed, i + ++next, err);
        else if (status == LBW_OK)
            lbw_beside_fill(&arrays[made], input->name, &feed->preprocess);
    }
    if (status != LBW_OK)
        lbw_arrays_release(arrays, made);
    return status;
}
