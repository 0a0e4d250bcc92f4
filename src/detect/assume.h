/* SPDX-License-Identifier: MIT */
/* The most likely preprocessing of a model when the user gives none. */
#ifndef LBW_SRC_DETECT_ASSUME_H
#define LBW_SRC_DETECT_ASSUME_H

#include <lbw/profile.h>

#include "feed/feed.h"

/*
 * lbw_feed_open(), with preprocessing inferred from the model if `params` gives none and the
 * source is images.
 */
enum lbw_status lbw_assumed_feed_open(struct lbw_feed **out, struct lbw_model *model,
                                      const struct lbw_feed_params *params,
                                      const char **assumed, struct lbw_error *err);

/*
 * The same for models that get the same inputs: if the first gives no information, as one whose
 * BatchNormalization has been folded, the next is tried.
 */
enum lbw_status lbw_assumed_feed_open_of(struct lbw_feed **out, struct lbw_model *const *models,
                                         size_t num_models,
                                         const struct lbw_feed_params *params,
                                         const char **assumed, struct lbw_error *err);

#endif
