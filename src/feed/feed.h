/* SPDX-License-Identifier: MIT */
/*
 * Samples for the model's inputs: from images, from arrays in .npz/.npy files, or generated.
 */
#ifndef LBW_SRC_FEED_FEED_H
#define LBW_SRC_FEED_FEED_H

#include <lbw/image.h>
#include <lbw/samples.h>

#include "feed/array.h"
#include "feed/input.h"
#include "onnx/model.h"

struct lbw_feed;

/* Samples of a calibration set that is not generated, unless the caller says how many. */
#define LBW_FEED_SAMPLES ((size_t)64)

/* Zero-initialised: 32 generated images of the model's own size. */
struct lbw_feed_params {
    const char *
        source; /* "generated", "generated:N", a folder, a .npz or .npy file; NULL: generated */
    const struct lbw_samples *samples;       /* instead of the source; NULL: none */
    size_t max_samples;                      /* 0: 32 generated, or all of the source */
    const struct lbw_preprocess *preprocess; /* required unless the source is arrays */
    const char *why;   /* the origin of the preprocessing, one phrase; NULL: the user */
    int width, height; /* for dynamic inputs; 0: not given */
    uint64_t seed;
    size_t hold_back; /* leave out this many samples at the end, but not all */
    size_t few;       /* of the others use this many, evenly chosen; 0: all of them */
};

/*
 * Checks and lists the source; samples are read on demand. `assumed` (NULL is fine) receives
 * one line on what was assumed about preprocessing; it lives as long as the feed. Errors name
 * the file or input.
 */
enum lbw_status lbw_feed_open(struct lbw_feed **out, struct lbw_model *model,
                              const struct lbw_feed_params *params, const char **assumed,
                              struct lbw_error *err);
void lbw_feed_close(struct lbw_feed **feed);

/* Whether `params` name arrays, which are not preprocessed, rather than images. */
bool lbw_feed_takes_arrays(const struct lbw_feed_params *params);

size_t lbw_feed_num_samples(const struct lbw_feed *feed);
size_t lbw_feed_num_inputs(const struct lbw_feed *feed);
const struct lbw_feed_input *lbw_feed_input(const struct lbw_feed *feed, size_t i);

/* Which input takes the images; the first where none of those fed with arrays could. */
size_t lbw_feed_picture(const struct lbw_feed *feed);

/* Images of the folder that could not be read, and why: "DIR/a.png: broken PNG: …". */
size_t lbw_feed_num_skipped(const struct lbw_feed *feed);
const char *lbw_feed_skipped(const struct lbw_feed *feed, size_t i);

/* Reads sample i: one array per input, in the order of lbw_feed_input(). Same i, same bytes. */
enum lbw_status lbw_feed_get(struct lbw_feed *feed, size_t i, struct lbw_array *arrays,
                             struct lbw_error *err);

#endif
