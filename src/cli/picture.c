/* SPDX-License-Identifier: MIT */
/* From the picture options to a profile. */
#include "cli/picture.h"

#include <stdio.h>

const char *const lbw_resize_names[] = {"stretch", "letterbox", "letterbox-corner", NULL};
const char *const lbw_color_names[] = {"rgb", "bgr", "gray", NULL};
const char *const lbw_layout_names[] = {"nchw", "nhwc", NULL};

bool lbw_picture_given(const struct lbw_picture_values *v)
{
    return v->profile || v->resize || v->pad || v->mean || v->std || v->color || v->layout ||
           v->multiple;
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

enum lbw_status lbw_picture_resolve(struct lbw_profile *profile,
                                    const struct lbw_picture_values *values,
                                    const struct lbw_profile *base, struct lbw_error *err)
{
    static const struct lbw_profile plain = {
        .name = "plain",
        .preprocess = {.resize = LBW_RESIZE_LETTERBOX, .pad = 114, .std = {1, 1, 1}},
    };
    struct lbw_profile made = base ? *base : plain;
    enum lbw_status status = LBW_OK;
    if (values->profile)
        status = lbw_profile_find(&made, values->profile, err);
    if (status != LBW_OK)
        return status;
    status = overlay(&made.preprocess, values, err);
    if (status != LBW_OK) {
        lbw_profile_release(&made);
        return status;
    }
    *profile = made;
    return LBW_OK;
}
