/* SPDX-License-Identifier: MIT */
/* Samples for the model's inputs: from pictures, from arrays in .npz/.npy files, or generated.
 */
#ifndef LBW_SRC_FEED_FEED_H
#define LBW_SRC_FEED_FEED_H

#include <lbw/image.h>
#include <lbw/samples.h>

#include "feed/array.h"
#include "feed/input.h"
#include "onnx/model.h"

struct lbw_feed;

/* Parameters; zero-initialised gives 32 generated images at the model's own size. */
struct lbw_feed_params {
    const char *
        source; /* "generated", "generated:N", a folder, a .npz or .npy file; NULL: generated */
    const struct lbw_samples *samples;       /* in place of the source; NULL: none */
    size_t max_samples;                      /* 0: 32 generated, or all that the source holds */
    const struct lbw_preprocess *preprocess; /* required unless the source is arrays */
    const char *why;   /* where the preprocessing comes from, one phrase; NULL: the user */
    int width, height; /* for dynamic inputs; 0: not given */
    uint64_t seed;
    size_t hold_back; /* the last so many samples are left out, all but one at most */
};

/*
 * Checks the source and lists it; samples are made when asked for. `assumed` (NULL is fine)
 * receives one line of text, valid as long as the feed, saying what was assumed about
 * preprocessing. Errors name the file or input.
 */
enum lbw_status lbw_feed_open(struct lbw_feed **out, struct lbw_model *model,
                              const struct lbw_feed_params *params, const char **assumed,
                              struct lbw_error *err);
void lbw_feed_close(struct lbw_feed **feed);

/* Whether `params` name arrays, which are fed as they are, instead of pictures. */
bool lbw_feed_takes_arrays(const struct lbw_feed_params *params);

size_t lbw_feed_num_samples(const struct lbw_feed *feed);
size_t lbw_feed_num_inputs(const struct lbw_feed *feed);
const struct lbw_feed_input *lbw_feed_input(const struct lbw_feed *feed, size_t i);

/* Pictures of the folder that could not be read, and why: "DIR/a.png: broken PNG: …". */
size_t lbw_feed_num_skipped(const struct lbw_feed *feed);
const char *lbw_feed_skipped(const struct lbw_feed *feed, size_t i);

/* Makes sample i: one array per input, in the order of lbw_feed_input(). Same i, same bytes. */
enum lbw_status lbw_feed_get(struct lbw_feed *feed, size_t i, struct lbw_array *arrays,
                             struct lbw_error *err);

#endif
