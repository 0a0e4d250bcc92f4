/* SPDX-License-Identifier: MIT */
/* The input that takes images: its axes, its size, and the values it expects. */
#ifndef LBW_SRC_FEED_INPUT_H
#define LBW_SRC_FEED_INPUT_H

#include <stdbool.h>

#include <lbw/image.h>
#include <lbw/model.h>

#include "base/arena.h"

/* One input of the model (initializers excluded). */
struct lbw_feed_input {
    const char *name;
    int32_t data_type;
    size_t num_dims;
    int64_t dims[8]; /* -1 until resolved */
};

/* The axes of an image; `channels` is 1 or 3, 3 if open. */
struct lbw_picture_axes {
    size_t batch; /* images in one sample, 1 if open */
    size_t channels;
    size_t channels_axis, height_axis, width_axis;
    bool channels_last;
};

/*
 * The declaration of an input; open dims stay -1, an unknown rank is 0. The name is the port's.
 * LBW_ERR_UNSUPPORTED if it is not a tensor of numbers.
 */
enum lbw_status lbw_input_init(struct lbw_feed_input *out, const struct lbw_port *port,
                               struct lbw_error *err);

/*
 * All inputs of the model, names copied into the arena. LBW_ERR_UNSUPPORTED if there are none.
 */
enum lbw_status lbw_inputs_list(struct lbw_feed_input **out, struct lbw_arena *arena,
                                const struct lbw_model_info *info, struct lbw_error *err);

/* "?x3x416x416" */
void lbw_input_shape(char *out, size_t size, const struct lbw_feed_input *input);

/*
 * An image has rank 4, or 3 without the batch (then with fixed channels and sides of at least
 * 8), and 1 or 3 channels before or after the sides; `prefers_last` decides if the shape does
 * not. An input of unknown rank gets four open dims. False: it takes no images.
 */
bool lbw_picture_axes(struct lbw_picture_axes *out, struct lbw_feed_input *input, bool has_rank,
                      bool prefers_last);

/*
 * The first input of the model that can take an image, float ones before integers.
 * LBW_ERR_UNSUPPORTED names the first input and its shape.
 */
enum lbw_status lbw_inputs_find_picture(size_t *out, struct lbw_picture_axes *axes,
                                        struct lbw_feed_input *inputs,
                                        const struct lbw_model_info *info, bool prefers_last,
                                        struct lbw_error *err);

/* Floats get normalised pixels. */
bool lbw_input_is_float(const struct lbw_feed_input *input);

/* Integers get 0 … 255, even if a profile says otherwise, unless the user does. */
void lbw_preprocess_whole(struct lbw_preprocess *preprocess,
                          const struct lbw_feed_input *input);

/*
 * Fits preprocessing and input to each other: layout, channels, sides, range of values; no dim
 * of the input stays open. Sides that the model leaves open are `width` and `height` (0: not
 * given), else those of `preprocess`, else of the metadata. LBW_ERR_ARGUMENT if channels or
 * sides do not match or the size is unknown.
 */
enum lbw_status lbw_preprocess_fit(struct lbw_preprocess *preprocess,
                                   struct lbw_feed_input *input, struct lbw_picture_axes *axes,
                                   const struct lbw_model_info *info, int width, int height,
                                   struct lbw_error *err);

#endif
