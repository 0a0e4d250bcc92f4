/* SPDX-License-Identifier: MIT */
/* From the picture options to a profile. */
#include "cli/picture.h"

#include <stdio.h>
#include <string.h>

#include "cli/talk.h"

const char *const lbw_resize_names[] = {"stretch", "letterbox", "letterbox-corner", NULL};
const char *const lbw_color_names[] = {"rgb", "bgr", "gray", NULL};
const char *const lbw_layout_names[] = {"nchw", "nhwc", NULL};

bool lbw_picture_given(const struct lbw_picture_values *v)
{
    return v->profile || v->resize || v->pad || v->mean || v->std || v->color || v->layout ||
           v->multiple;
}

bool lbw_picture_is_usable(const struct lbw_picture_values *v, const char *source,
                           const char *command)
{
    const struct {
        const char *name, *value;
    } settings[] = {{"resize", v->resize}, {"pad", v->pad},     {"mean", v->mean},
                    {"std", v->std},       {"color", v->color}, {"multiple", v->multiple}};
    const char *end = strrchr(source, '.');
    if (!end || (strcmp(end, ".npy") != 0 && strcmp(end, ".npz") != 0))
        return true;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (settings[i].value) {
            lbw_usage_error(command, "--%s is for pictures; arrays are taken as they are",
                            settings[i].name);
            return false;
        }
    return true;
}

static enum lbw_status overlay(struct lbw_preprocess *preprocess,
                               const struct lbw_picture_values *v, struct lbw_error *err)
{
    const struct {
        const char *key, *value;
    } settings[] = {
        {"size", v->size},     {"resize", v->resize},     {"pad", v->pad},
        {"mean", v->mean},     {"std", v->std},           {"color", v->color},
        {"layout", v->layout}, {"multiple", v->multiple},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (!settings[i].value)
            continue;
        enum lbw_status status =
            lbw_preprocess_option(preprocess, settings[i].key, settings[i].value, err);
        if (status != LBW_OK)
            return status;
    }
    return LBW_OK;
}

/* The profile that --profile names, or `base`, with the other options put over it. */
static enum lbw_status resolve(struct lbw_profile *profile, struct lbw_model *model,
                               const struct lbw_picture_values *values,
                               const struct lbw_profile *base, struct lbw_error *err)
{
    struct lbw_profile made = *base;
    enum lbw_status status = LBW_OK;
    if (values->profile)
        status = lbw_profile_find(&made, values->profile, err);
    if (status != LBW_OK)
        return status;
    status = lbw_profile_adapt(&made, model, err);
    if (status == LBW_OK)
        status = overlay(&made.preprocess, values, err);
    if (status != LBW_OK) {
        lbw_profile_release(&made);
        return status;
    }
    *profile = made;
    return LBW_OK;
}

enum lbw_status lbw_picture_for_model(struct lbw_picture *out, struct lbw_model *model,
                                      const struct lbw_picture_values *values,
                                      struct lbw_error *err)
{
    struct lbw_profile base = {.name = "assumed"};
    enum lbw_status status = LBW_OK;
    bool is_given = lbw_picture_given(values);
    if (is_given && !values->profile)
        status = lbw_preprocess_assume(&base.preprocess, model, err);
    if (status == LBW_OK)
        status = resolve(&out->profile, model, values, &base, err);
    if (status != LBW_OK)
        return status;
    out->preprocess = is_given ? &out->profile.preprocess : NULL;
    out->width = values->size ? out->profile.preprocess.width : 0;
    out->height = values->size ? out->profile.preprocess.height : 0;
    return LBW_OK;
}

/* Explains that nobody knows this kind of detector. */
static enum lbw_status no_profile(struct lbw_model *model, const char *path,
                                  struct lbw_error *err)
{
    struct lbw_model_info info;
    enum lbw_status status = lbw_model_describe(&info, model, err);
    if (status != LBW_OK)
        return status;
    err->status = LBW_ERR_ARGUMENT;
    size_t size = sizeof err->message;
    int used = snprintf(err->message, size,
                        "%s: what kind of detector? Say --profile NAME; its outputs are", path);
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

enum lbw_status lbw_picture_for_detector(struct lbw_profile *out, struct lbw_model *model,
                                         const char *path,
                                         const struct lbw_picture_values *values,
                                         struct lbw_error *err)
{
    static const struct lbw_profile named;
    const struct lbw_profile *base = values->profile ? &named : lbw_profile_guess(model);
    if (!base)
        return no_profile(model, path, err);
    if (!values->profile)
        lbw_talk("%s: the outputs look like --profile %s", path, base->name);
    return resolve(out, model, values, base, err);
}
