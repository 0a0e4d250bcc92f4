/* SPDX-License-Identifier: MIT */
/*
 * Infers preprocessing when the user gives none. A BatchNormalization after the first Conv
 * holds the mean and variance of its inputs in training; of the usual normalisations, the one
 * that reproduces them best on natural-looking images is taken.
 */
#include "detect/assume.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "detect/look.h"
#include "onnx/metadata.h"
#include "onnx/stem.h"
#include "feed/generate.h"
#include "feed/npz.h"
#include "feed/preprocess_check.h"

#define NUM_PICTURES 6
#define SIDE         96 /* of the images used */
#define MAX_WINDOW   (3 * 7 * 7)

static const char nothing_known[] = "assumed: nothing in the model says otherwise";

static bool is_known(const char *why)
{
    return strncmp(why, nothing_known, sizeof nothing_known - 1) != 0;
}

static const struct candidate {
    const char *why;
    float mean[3], std[3];
} candidates[] = {
    {"fits the model's first BatchNormalization: 0 to 1", {0, 0, 0}, {255, 255, 255}},
    {"fits the model's first BatchNormalization: -1 to 1",
     {127.5f, 127.5f, 127.5f},
     {127.5f, 127.5f, 127.5f}},
    {"fits the model's first BatchNormalization: ImageNet's mean and deviation",
     {123.675f, 116.28f, 103.53f},
     {58.395f, 57.12f, 57.375f}},
    {"fits the model's first BatchNormalization: ImageNet's mean alone",
     {123.675f, 116.28f, 103.53f},
     {1, 1, 1}},
    {"fits the model's first BatchNormalization: 0 to 255", {0, 0, 0}, {1, 1, 1}},
};

/* Means and covariances of the pixels in the first Conv's window. */
struct moments {
    size_t num; /* 3 or 1 channels × window, in the order of the weight's columns */
    double count;
    double mean[MAX_WINDOW];
    double *products; /* num × num */
};

/* Whether the window fits these sums. */
static bool is_whole(const struct lbw_stem *stem, int channels)
{
    int64_t window = stem->height * stem->width;
    return stem->weight && stem->channels == channels && stem->outputs > 0 && window >= 1 &&
           window <= MAX_WINDOW / 3;
}

/* Adds every second window of the image in both directions. */
static void add_windows(struct moments *moments, const struct lbw_stem *stem,
                        const struct lbw_image *image)
{
    double window[MAX_WINDOW];
    for (int y = 0; y + stem->height <= image->height; y += 2)
        for (int x = 0; x + stem->width <= image->width; x += 2) {
            size_t n = 0;
            for (int64_t c = 0; c < stem->channels; c++)
                for (int64_t i = 0; i < stem->height; i++)
                    for (int64_t j = 0; j < stem->width; j++) {
                        const uint8_t *pixel =
                            image->pixels + ((y + i) * image->width + x + j) * 3;
                        /* Green serves as gray. */
                        window[n++] = pixel[stem->channels == 1 ? 1 : c];
                    }
            for (size_t a = 0; a < n; a++) {
                moments->mean[a] += window[a];
                for (size_t b = 0; b <= a; b++)
                    moments->products[a * n + b] += window[a] * window[b];
            }
            moments->count++;
        }
}

/* Turns sums into means and covariances. */
static void finish(struct moments *moments)
{
    size_t n = moments->num;
    for (size_t a = 0; a < n; a++)
        moments->mean[a] /= moments->count;
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b <= a; b++) {
            double covariance = moments->products[a * n + b] / moments->count -
                                moments->mean[a] * moments->mean[b];
            moments->products[a * n + b] = moments->products[b * n + a] = covariance;
        }
}

/*
 * The distance of the stem's outputs under a normalisation from the statistics of the
 * BatchNormalization: per channel the difference of the means in deviations, and of the
 * variances in octaves.
 */
static double misfit(const struct lbw_stem *stem, const struct moments *moments,
                     const struct candidate *candidate)
{
    size_t n = moments->num, window = n / (size_t)stem->channels;
    double total = 0;
    for (int64_t o = 0; o < stem->outputs; o++) {
        const float *weight = stem->weight + (size_t)o * n;
        double mean = stem->bias ? (double)stem->bias[o] : 0, variance = 0;
        for (size_t a = 0; a < n; a++) {
            size_t c = a / window;
            double scaled = (double)weight[a] / (double)candidate->std[c];
            mean += scaled * (moments->mean[a] - (double)candidate->mean[c]);
            double row = 0;
            for (size_t b = 0; b < n; b++)
                row += moments->products[a * n + b] * (double)weight[b] /
                       (double)candidate->std[b / window];
            variance += scaled * row;
        }
        double expected = (double)stem->variance[o];
        if (!(expected > 1e-12) || !(variance > 0))
            continue; /* a dead channel has no information */
        double distance = fabs(mean - (double)stem->mean[o]) / sqrt(expected);
        double octaves = fabs(log2(variance / expected));
        total += (distance > 8 ? 8 : distance) + (octaves > 16 ? 16 : octaves);
    }
    return total;
}

static enum lbw_status best_fit(const struct candidate **out, const struct lbw_stem *stem,
                                struct lbw_error *err)
{
    struct moments moments = {.num = (size_t)(stem->channels * stem->height * stem->width)};
    moments.products = calloc(moments.num * moments.num, sizeof(double));
    if (!moments.products)
        return lbw_fail_memory(err);
    enum lbw_status status = LBW_OK;
    for (size_t i = 0; i < NUM_PICTURES && status == LBW_OK; i++) {
        struct lbw_image image = {0};
        status = lbw_generate_image(&image, SIDE, SIDE, 0, i, err);
        if (status == LBW_OK)
            add_windows(&moments, stem, &image);
        lbw_image_release(&image);
    }
    if (status == LBW_OK) {
        finish(&moments);
        double least = INFINITY;
        for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
            double distance = misfit(stem, &moments, &candidates[i]);
            if (distance < least) {
                least = distance;
                *out = &candidates[i];
            }
        }
    }
    free(moments.products);
    return status;
}

/* *out is unchanged if the model gives no information. */
static enum lbw_status examine(const struct candidate **out, struct lbw_model *model,
                               const char *input, int channels, struct lbw_error *err)
{
    static const struct candidate raw = {
        "the model scales its input itself: 0 to 255", {0, 0, 0}, {1, 1, 1}};
    const struct lbw_stem *stem = NULL;
    LBW_TRY(lbw_stem_of(&stem, model, input, err));
    if (stem && stem->scales_its_input)
        *out = &raw;
    else if (stem && is_whole(stem, channels))
        return best_fit(out, stem, err);
    return LBW_OK;
}

/* For an open input, the size in the metadata, else the profile's. */
static enum lbw_status take_profile(struct lbw_preprocess *out, const char **why,
                                    const struct lbw_profile *profile,
                                    const struct lbw_look *look, bool is_sized,
                                    struct lbw_error *err)
{
    struct lbw_preprocess preprocess = profile->preprocess;
    bool is_open = look->is_open && !is_sized && preprocess.width;
    const char *size = is_open ? "; its usual size" : "";
    if (lbw_metadata_size(&preprocess.width, &preprocess.height, &look->info) && is_open)
        size = "; the metadata's size";
    const char *text = lbw_arena_printf(&look->model->arena, "the outputs look like %s%s",
                                        profile->name, size);
    if (!text)
        return lbw_fail_memory(err);
    *out = preprocess;
    *why = text;
    return LBW_OK;
}

/* The reason, and which profiles match if the outputs match several. */
static enum lbw_status why_not(const char **out, const char *why, struct lbw_model *model,
                               int channels, struct lbw_error *err)
{
    const struct lbw_profile *one = channels == 3 ? lbw_profile_candidate(model, 0) : NULL;
    const char *names = one ? one->name : NULL;
    for (size_t i = 1; names && (one = lbw_profile_candidate(model, i)); i++)
        names =
            lbw_arena_printf(&model->arena, "%s%s%s", names,
                             lbw_profile_candidate(model, i + 1) ? ", " : " or ", one->name);
    if (one && !names)
        return lbw_fail_memory(err);
    if (names)
        why = lbw_arena_printf(&model->arena,
                               "%s; the outputs fit more than one detector: "
                               "--profile %s",
                               why, names);
    if (!why)
        return lbw_fail_memory(err);
    *out = why;
    return LBW_OK;
}

/*
 * For image input `input` with `channels` (1 or 3). In this order: the profile that matches
 * the outputs; the normalisation whose results in the first Conv best fit the statistics of the
 * BatchNormalization after it; RGB / 255, stretched. *why receives text that tells which; it
 * lives as long as the model.
 */
static enum lbw_status assume_preprocess(struct lbw_preprocess *out, const char **why,
                                         struct lbw_model *model, const char *input,
                                         int channels, bool is_sized, struct lbw_error *err)
{
    static const struct candidate unknown = {nothing_known, {0, 0, 0}, {255, 255, 255}};
    struct lbw_look look;
    LBW_TRY(lbw_look_init(&look, model, err));
    const struct lbw_profile *profile = channels == 3 ? lbw_profile_guess(model) : NULL;
    if (profile)
        return take_profile(out, why, profile, &look, is_sized, err);
    const struct candidate *chosen = &unknown;
    LBW_TRY(examine(&chosen, model, input, channels, err));
    struct lbw_preprocess preprocess = {
        .resize = LBW_RESIZE_STRETCH,
        .color = channels == 1 ? LBW_COLOR_GRAY : LBW_COLOR_RGB,
        .multiple = 32,
    };
    memcpy(preprocess.mean, chosen->mean, sizeof preprocess.mean);
    memcpy(preprocess.std, chosen->std, sizeof preprocess.std);
    *out = preprocess;
    return why_not(why, chosen->why, model, channels, err);
}

/* The model's image input, and its most likely preprocessing. */
static enum lbw_status assume(struct lbw_preprocess *out, const char **why,
                              struct lbw_arena *arena, struct lbw_model *model, bool is_sized,
                              struct lbw_error *err)
{
    struct lbw_model_info info;
    struct lbw_feed_input *inputs;
    struct lbw_picture_axes axes;
    size_t picture;
    LBW_TRY(lbw_model_describe(&info, model, err));
    LBW_TRY(lbw_within(err, lbw_inputs_list(&inputs, arena, &info, err), "%s", model->name));
    LBW_TRY(lbw_within(err, lbw_inputs_find_picture(&picture, &axes, inputs, &info, false, err),
                       "%s", model->name));
    LBW_TRY(assume_preprocess(out, why, model, inputs[picture].name, (int)axes.channels,
                              is_sized, err));
    lbw_preprocess_whole(out, &inputs[picture]);
    if (!lbw_input_is_float(&inputs[picture]))
        *why = "the input takes whole numbers: 0 to 255";
    out->channels_last = axes.channels_last;
    return LBW_OK;
}

enum lbw_status lbw_preprocess_assume(struct lbw_preprocess *out, struct lbw_model *model,
                                      struct lbw_error *err)
{
    struct lbw_arena arena = {0};
    const char *why;
    enum lbw_status status = assume(out, &why, &arena, model, false, err);
    lbw_arena_release(&arena);
    return lbw_within(err, status, "%s", model->name);
}

enum lbw_status lbw_assumed_feed_open_of(struct lbw_feed **out, struct lbw_model *const *models,
                                         size_t num_models,
                                         const struct lbw_feed_params *params,
                                         const char **assumed, struct lbw_error *err)
{
    struct lbw_preprocess preprocess, other;
    struct lbw_feed_params resolved = *params;
    LBW_TRY(lbw_sides_check(params->width, params->height, err));
    if (params->preprocess)
        LBW_TRY(lbw_preprocess_check(params->preprocess, err));
    if (!params->preprocess && !lbw_feed_takes_arrays(params)) {
        struct lbw_arena arena = {0};
        bool is_sized = params->width > 0 || params->height > 0;
        enum lbw_status status =
            assume(&preprocess, &resolved.why, &arena, models[0], is_sized, err);
        for (size_t i = 1; i < num_models && status == LBW_OK; i++) {
            const char *why = "";
            if (is_known(resolved.why))
                break;
            if (assume(&other, &why, &arena, models[i], is_sized, NULL) == LBW_OK &&
                is_known(why)) {
                preprocess = other;
                resolved.why = why;
            }
        }
        lbw_arena_release(&arena);
        LBW_TRY(status);
        resolved.preprocess = &preprocess;
    }
    return lbw_feed_open(out, models[0], &resolved, assumed, err);
}

enum lbw_status lbw_assumed_feed_open(struct lbw_feed **out, struct lbw_model *model,
                                      const struct lbw_feed_params *params,
                                      const char **assumed, struct lbw_error *err)
{
    return lbw_assumed_feed_open_of(out, &model, 1, params, assumed, err);
}
