/* SPDX-License-Identifier: MIT */
/* The steps of a detection, for models that share the first. */
#ifndef LBW_SRC_DETECT_DETECTOR_H
#define LBW_SRC_DETECT_DETECTOR_H

#include <lbw/eval.h>

#include "detect/decode.h"
#include "run/session.h"

struct lbw_detector {
    struct lbw_session *session;
    struct lbw_profile profile;  /* preprocessing, fitted to the input */
    struct lbw_feed_input input; /* no dim is open; has no name */
    struct lbw_array *inputs;    /* in the session's order; the image's is empty */
    size_t num_inputs, picture;
    const char **output_names; /* owned array, borrowed strings */
    size_t num_outputs;
};

/* True if both have the same input for an image. */
bool lbw_detector_same_input(const struct lbw_detector *a, const struct lbw_detector *b);

/* The input array (caller releases) of an image. */
enum lbw_status lbw_detector_prepare(const struct lbw_detector *detector,
                                     struct lbw_array *input, struct lbw_placement *placement,
                                     const struct lbw_image *image, struct lbw_error *err);

/* Runs the model; outputs has room for num_outputs arrays, each to be released. */
enum lbw_status lbw_detector_infer(const struct lbw_detector *detector,
                                   struct lbw_array *outputs, const struct lbw_array *input,
                                   struct lbw_error *err);

/* Decodes the outputs, with these thresholds. */
enum lbw_status lbw_detector_decode(const struct lbw_detector *detector, struct lbw_boxes *out,
                                    const struct lbw_array *outputs,
                                    const struct lbw_placement *placement,
                                    const struct lbw_image *image, float score, float nms,
                                    struct lbw_error *err);

void lbw_detector_release_outputs(const struct lbw_detector *detector,
                                  struct lbw_array *outputs);

#endif
