/* SPDX-License-Identifier: MIT */
/* Samples from the arrays of a .npz or .npy file, or of the caller. */
#ifndef LBW_SRC_FEED_FEED_ARRAYS_H
#define LBW_SRC_FEED_FEED_ARRAYS_H

#include <stdbool.h>

#include "feed/feed.h"

struct lbw_feed_arrays;

/*
 * Finds the array of each input: by name, or the only one for the only input. Its first axis
 * counts samples if it has one axis more than the input, or a multiple of the model's fixed
 * batch (1 if the batch is dynamic); an array with one sample is used for all. Dynamic dims of
 * `inputs` (-1) are resolved; `has_rank[i]` is false if the model does not even declare the
 * rank. At most `most` samples (0: all), spread evenly. Errors name file and input.
 */
enum lbw_status lbw_feed_arrays_open(struct lbw_feed_arrays **out, const char *path,
                                     struct lbw_feed_input *inputs, const bool *has_rank,
                                     size_t num_inputs, size_t most, struct lbw_error *err);

/* The same from memory; `samples` and `inputs` have to outlive the handle. */
enum lbw_status lbw_feed_arrays_open_memory(struct lbw_feed_arrays **out,
                                            const struct lbw_samples *samples,
                                            struct lbw_feed_input *inputs, const bool *has_rank,
                                            size_t num_inputs, size_t most,
                                            struct lbw_error *err);
void lbw_feed_arrays_close(struct lbw_feed_arrays **arrays);

size_t lbw_feed_arrays_num_samples(const struct lbw_feed_arrays *arrays);

/* Makes `i` the current sample. Fails only if the caller provides samples. */
enum lbw_status lbw_feed_arrays_seek(struct lbw_feed_arrays *arrays, size_t i,
                                     struct lbw_error *err);

/* Copies input `input` of the current sample to `out`, which has the input's type and dims. */
void lbw_feed_arrays_fill(struct lbw_array *out, const struct lbw_feed_arrays *arrays,
                          size_t input);

#endif
