/* SPDX-License-Identifier: MIT */
/* From the image options to a profile. */
#include "cli/picture_options.h"

#include <stdio.h>
#include <string.h>

#include "cli/talk.h"

const char *lbw_resize_choice(int i)
{
    return lbw_resize_name((enum lbw_resize)i);
}

const char *lbw_color_choice(int i)
{
    return lbw_color_name((enum lbw_color)i);
}

const char *lbw_layout_choice(int i)
{
    static const char *const names[] = {"nchw", "nhwc", NULL};
    return names[i];
}

bool lbw_picture_given(const struct lbw_picture_values *v)
{
    return v->profile || v->resize || v->pad || v->mean || v->std || v->color || v->layout ||
           v->multiple;
}

/* The options that are also settings of preprocessing. */
#define NUM_SETTINGS 8
struct setting {
    const char *key, *value;
    bool is_for_arrays; /* has a meaning even without preprocessing */
};

static void list_settings(struct setting out[NUM_SETTINGS], const struct lbw_picture_values *v)
{
    const struct setting settings[NUM_SETTINGS] = {
        {"size", v->size, true},     {"resize", v->resize, false},
        {"pad", v->pad, false},      {"mean", v->mean, false},
        {"std", v->std, false},      {"color", v->color, false},
        {"layout", v->layout, true}, {"multiple", v->multiple, false},
    };
    memcpy(out, settings, sizeof settings);
}

static bool is_array_file(const char *source)
{
    const char *end = source ? strrchr(source, '.') : NULL;
    return end && (strcmp(end, ".npy") == 0 || strcmp(end, ".npz") == 0);
}

bool lbw_picture_is_usable(const struct lbw_picture_values *v, const char *source,
                           const char *command)
{
    struct setting settings[NUM_SETTINGS];
    struct lbw_preprocess scratch = {0};
    struct lbw_error err = {0};
    list_settings(settings, v);
    for (size_t i = 0; i < NUM_SETTINGS; i++) {
        const struct setting *s = &settings[i];
        if (!s->value)
            continue;
        if (!s->is_for_arrays && is_array_file(source))
            lbw_usage_error(command, "--%s applies to images; arrays are used as they are",
                            s->key);
        else if (lbw_preprocess_option(&scratch, s->key, s->value, &err) != LBW_OK)
            lbw_usage_error(command, "--%s", err.message);
        else
            continue;
        return false;
    }
    return true;
}

static enum lbw_status overlay(struct lbw_preprocess *preprocess,
                               const struct lbw_picture_values *v, struct lbw_error *err)
{
    struct setting settings[NUM_SETTINGS];
    enum lbw_status status = LBW_OK;
    list_settings(settings, v);
    for (size_t i = 0; i < NUM_SETTINGS && status == LBW_OK; i++)
        if (settings[i].value)
            status = lbw_preprocess_option(preprocess, settings[i].key, settings[i].value, err);
    return status;
}

/* lbw_profile_find(), with a suggestion for a typo. */
static enum lbw_status find_profile(struct lbw_profile *out, const char *name,
                                    struct lbw_error *err)
{
    enum lbw_status status = lbw_profile_find(out, name, err);
    if (status != LBW_ERR_ARGUMENT)
        return status;
    const char *names[64];
    size_t num = 0;
    const struct lbw_profile *profile;
    for (; num < sizeof names / sizeof *names && (profile = lbw_profile_at(num)); num++)
        names[num] = profile->name;
    const char *near = lbw_suggest(name, names, num);
    if (near)
        snprintf(err->message, sizeof err->message, "unknown profile '%s', did you mean '%s'?",
                 name, near);
    return status;
}

/* The profile of --profile, or `base`, with the other options applied to it. */
static enum lbw_status resolve(struct lbw_profile *profile, struct lbw_model *model,
                               const struct lbw_picture_values *values,
                               const struct lbw_profile *base, struct lbw_error *err)
{
    enum lbw_status status;
    *profile = *base;
    if (values->profile)
        LBW_OR_OUT(find_profile(profile, values->profile, err));
    LBW_OR_OUT(lbw_profile_adapt(profile, model, err));
    LBW_OR_OUT(overlay(&profile->preprocess, values, err));
out:
    if (status != LBW_OK)
        lbw_profile_release(profile);
    return status;
}

/* The profile of the outputs: the one named, else the one that they match. */
static void find_detector(struct lbw_picture *out, struct lbw_model *model, bool is_named)
{
    const struct lbw_profile *guess = is_named ? NULL : lbw_profile_guess(model);
    if (is_named)
        out->detector = &out->profile;
    if (!guess)
        return;
    out->guess = *guess;
    if (out->preprocess)
        out->guess.preprocess = *out->preprocess;
    if (lbw_profile_adapt(&out->guess, model, NULL) == LBW_OK)
        out->detector = &out->guess;
}

void lbw_picture_release(struct lbw_picture *picture)
{
    lbw_profile_release(&picture->profile);
    lbw_profile_release(&picture->guess);
}

enum lbw_status lbw_picture_for_model(struct lbw_picture *out, struct lbw_model *model,
                                      const struct lbw_picture_values *values,
                                      struct lbw_error *err)
{
    struct lbw_profile base = {.name = "assumed"};
    bool is_given = lbw_picture_given(values);
    if (is_given && !values->profile)
        LBW_TRY(lbw_preprocess_assume(&base.preprocess, model, err));
    LBW_TRY(resolve(&out->profile, model, values, &base, err));
    out->preprocess = is_given ? &out->profile.preprocess : NULL;
    out->width = values->size ? out->profile.preprocess.width : 0;
    out->height = values->size ? out->profile.preprocess.height : 0;
    find_detector(out, model, values->profile != NULL);
    return LBW_OK;
}

/* Explains that no profile matches. */
static enum lbw_status no_profile(struct lbw_model *model, const char *path,
                                  struct lbw_error *err)
{
    struct lbw_model_info info;
    enum lbw_status status = lbw_model_describe(&info, model, err);
    if (status != LBW_OK)
        return status;
    err->status = LBW_ERR_ARGUMENT;
    size_t size = sizeof err->message;
    const struct lbw_profile *one = lbw_profile_candidate(model, 0);
    if (one) {
        int length = snprintf(err->message, size,
                              "%s: the outputs fit more than one detector: use --profile %s",
                              path, one->name);
        for (size_t i = 1; (size_t)length < size && (one = lbw_profile_candidate(model, i));
             i++)
            length += snprintf(err->message + length, size - (size_t)length, "%s%s",
                               lbw_profile_candidate(model, i + 1) ? ", " : " or ", one->name);
        return LBW_ERR_ARGUMENT;
    }
    int used = snprintf(
        err->message, size,
        "%s: unknown detector: use --profile NAME (see 'lbw profiles'); its outputs are", path);
    for (size_t i = 0; i < info.num_outputs && used > 0 && (size_t)used < size; i++) {
        const struct lbw_port *port = &info.outputs[i];
        char shape[96] = "?";
        if (port->num_dims >= 0)
            lbw_text_shape(shape, (size_t)port->num_dims, port->dims);
        used += snprintf(err->message + used, size - (size_t)used, "%s '%s' %s", i ? "," : "",
                         port->name, shape);
    }
    return LBW_ERR_ARGUMENT;
}

/* When the model leaves the size open and the user gives none. */
static void tell_size(const struct lbw_profile *profile, struct lbw_model *model,
                      const char *path)
{
    struct lbw_model_info info;
    const struct lbw_preprocess *preprocess = &profile->preprocess;
    if (lbw_model_describe(&info, model, NULL) != LBW_OK || !info.num_inputs ||
        preprocess->width <= 0)
        return;
    const struct lbw_port *port = &info.inputs[0];
    for (size_t i = 0; i < info.num_inputs && port->num_dims != 4; i++)
        port = &info.inputs[i]; /* sizes and scales may stand before the image */
    for (int i = 1; i < port->num_dims; i++)
        if (port->dims[i] < 0) {
            lbw_talk(
                "%s: dynamic input: %dx%d by its metadata or profile %s; --size changes it",
                path, preprocess->width, preprocess->height, profile->name);
            return;
        }
}

enum lbw_status lbw_picture_for_detector(struct lbw_profile *out, struct lbw_model *model,
                                         const char *path,
                                         const struct lbw_picture_values *values, bool quiet,
                                         struct lbw_error *err)
{
    static const struct lbw_profile named;
    const struct lbw_profile *base = values->profile ? &named : lbw_profile_guess(model);
    if (!base)
        return no_profile(model, path, err);
    if (!values->profile && !quiet)
        lbw_talk("%s: the outputs look like --profile %s", path, base->name);
    enum lbw_status status = resolve(out, model, values, base, err);
    if (status == LBW_OK && !values->size && !quiet)
        tell_size(out, model, path);
    return status;
}
