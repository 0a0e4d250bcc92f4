/* SPDX-License-Identifier: MIT */
/*
 * How a model begins: what its first Conv and the BatchNormalization behind it tell of the
 * pictures that it was trained on.
 */
#ifndef LBW_SRC_ONNX_STEM_H
#define LBW_SRC_ONNX_STEM_H

#include "onnx/model.h"

/* Arrays belong to the model. */
struct lbw_stem {
    struct lbw_stem *next;
    const char *input;
    bool scales_its_input; /* begins with arithmetic; nothing below is set */
    /* of the Conv's weight, all 0 and NULL where there is no such pair */
    int64_t outputs, channels, height, width;
    const float *weight;
    const float *bias; /* NULL: none */
    const float *mean, *variance;
};

/*
 * The stem at that input, as it was in the file even when it has been folded since; NULL where
 * the model begins in another way.
 */
enum lbw_status lbw_stem_of(const struct lbw_stem **out, struct lbw_model *model,
                            const char *input, struct lbw_error *err);

/* Keeps what lbw_stem_of() tells of every input; to be called before a stem is rewritten. */
enum lbw_status lbw_stem_remember(struct lbw_model *model, struct lbw_error *err);

#endif
