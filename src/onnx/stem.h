/* SPDX-License-Identifier: MIT */
/*
 * The stem of a model: its first Conv and the BatchNormalization after it, whose statistics
 * describe the images that the model was trained on.
 */
#ifndef LBW_SRC_ONNX_STEM_H
#define LBW_SRC_ONNX_STEM_H

#include "onnx/model.h"

/* Arrays belong to the model. */
struct lbw_stem {
    struct lbw_stem *next;
    const char *input;
    bool scales_its_input; /* begins with arithmetic; nothing below is set */
    /* of the Conv's weight; 0 and NULL if there is no such pair */
    int64_t outputs, channels, height, width;
    const float *weight;
    const float *bias; /* NULL: none */
    const float *mean, *variance;
};

/*
 * The stem at that input, as in the file even if it has been folded since; NULL if the model
 * begins in another way.
 */
enum lbw_status lbw_stem_of(const struct lbw_stem **out, struct lbw_model *model,
                            const char *input, struct lbw_error *err);

/* Keeps the result of lbw_stem_of() for every input; call it before a stem is rewritten. */
enum lbw_status lbw_stem_remember(struct lbw_model *model, struct lbw_error *err);

#endif
