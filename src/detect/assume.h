/* SPDX-License-Identifier: MIT */
/* What a model's input most likely wants, when nobody says. */
#ifndef LBW_SRC_DETECT_ASSUME_H
#define LBW_SRC_DETECT_ASSUME_H

#include <lbw/profile.h>

#include "feed/feed.h"

/* lbw_profile_guess() of a model already described. */
const struct lbw_profile *lbw_guess_profile(const struct lbw_model_info *info);

/*
 * Preprocessing for the picture input `input`, `channels` of them (1 or 3; sides are left 0).
 * In this order: the profile that the outputs look like; the normalisation whose results in
 * the first Conv best fit the statistics of the BatchNormalization behind it; RGB / 255,
 * stretched. *why receives text that says which; it lives as long as the model.
 */
enum lbw_status lbw_assume_preprocess(struct lbw_preprocess *out, const char **why,
                                      struct lbw_model *model, const char *input, int channels,
                                      struct lbw_error *err);

/*
 * lbw_feed_open(), with preprocessing inferred from the model where `params` gives none and the
 * source is pictures.
 */
enum lbw_status lbw_assumed_feed_open(struct lbw_feed **out, struct lbw_model *model,
                                      const struct lbw_feed_params *params,
                                      const char **assumed, struct lbw_error *err);

#endif
