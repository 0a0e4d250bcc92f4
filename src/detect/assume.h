/* SPDX-License-Identifier: MIT */
/* What a model's input most likely wants, when nobody says. */
#ifndef LBW_SRC_DETECT_ASSUME_H
#define LBW_SRC_DETECT_ASSUME_H

#include <lbw/profile.h>

#include "feed/feed.h"

/*
 * lbw_feed_open(), with preprocessing inferred from the model where `params` gives none and the
 * source is pictures.
 */
enum lbw_status lbw_assumed_feed_open(struct lbw_feed **out, struct lbw_model *model,
                                      const struct lbw_feed_params *params,
                                      const char **assumed, struct lbw_error *err);

/*
 * The same for models that get the same inputs: where the first tells nothing, as one whose
 * BatchNormalization has been folded, the next one is asked.
 */
enum lbw_status lbw_assumed_feed_open_of(struct lbw_feed **out, struct lbw_model *const *models,
                                         size_t num_models,
                                         const struct lbw_feed_params *params,
                                         const char **assumed, struct lbw_error *err);

#endif
