/* SPDX-License-Identifier: MIT */
/* The input that takes pictures: its axes, its size, what its type asks of preprocessing. */
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

/* Which axis is which; `channels` is 1 or 3, 3 where that is open. */
struct lbw_picture_axes {
    size_t batch; /* pictures in one sample, 1 where that is open */
    size_t channels;
    size_t channels_axis, height_axis, width_axis;
    bool channels_last;
};

/*
 * What the model says of an input; open dims stay -1, an unknown rank is 0. The name is the
 * port's. LBW_ERR_UNSUPPORTED where it takes no numbers.
 */
enum lbw_status lbw_input_init(struct lbw_feed_input *out, const struct lbw_port *port,
                               struct lbw_error *err);

/* All inputs of the model, names copied into the arena. LBW_ERR_UNSUPPORTED without any. */
enum lbw_status lbw_inputs_list(struct lbw_feed_input **out, struct lbw_arena *arena,
                                const struct lbw_model_info *info, struct lbw_error *err);

/* "?x3x416x416" */
void lbw_input_shape(char *out, size_t size, const struct lbw_feed_input *input);

/*
 * A picture has rank 4, or 3 without the batch (then with its channels fixed, and sides from 8
 * on), and 1 or 3 channels before or behind the sides;
 * `prefers_last` decides where the shape leaves that open. An input of unknown rank becomes one
 * of four open dims. False: it takes no pictures.
 */
bool lbw_picture_axes(struct lbw_picture_axes *out, struct lbw_feed_input *input, bool has_rank,
                      bool prefers_last);

/*
 * The first of the model's inputs that can be a picture, float ones before integers.
 * LBW_ERR_UNSUPPORTED names the first input and its shape.
 */
enum lbw_status lbw_inputs_find_picture(size_t *out, struct lbw_picture_axes *axes,
                                        struct lbw_feed_input *inputs,
                                        const struct lbw_model_info *info, bool prefers_last,
                                        struct lbw_error *err);

/* Floats get normalised pixels. */
bool lbw_input_is_float(const struct lbw_feed_input *input);

/* Whole numbers get 0 … 255, whatever the profile says, unless the user asked otherwise. */
void lbw_preprocess_whole(struct lbw_preprocess *preprocess,
                          const struct lbw_feed_input *input);

/*
 * Makes preprocessing and input fit each other: layout, channels, sides, range of the numbers;
 * no dim of the input stays open. Sides that the model leaves open are `width` and `height` (0:
 * not asked for), else those of `preprocess`, else of the metadata. LBW_ERR_ARGUMENT where
 * channels or sides do not go together or nobody knows the size.
 */
enum lbw_status lbw_preprocess_fit(struct lbw_preprocess *preprocess,
                                   struct lbw_feed_input *input, struct lbw_picture_axes *axes,
                                   const struct lbw_model_info *info, int width, int height,
                                   struct lbw_error *err);

#endif
