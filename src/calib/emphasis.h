/* SPDX-License-Identifier: MIT */
/* Where the float model's boxes are in each sample: fits weight these positions more. */
#ifndef LBW_SRC_CALIB_EMPHASIS_H
#define LBW_SRC_CALIB_EMPHASIS_H

#include <lbw/profile.h>

#include "feed/feed.h"
#include "onnx/model.h"

struct lbw_emphasis;

/*
 * Opens the float model to run it on samples of this feed. *out stays NULL if the profile
 * cannot decode its outputs.
 */
enum lbw_status lbw_emphasis_open(struct lbw_emphasis **out, struct lbw_model *model,
                                  const struct lbw_feed *feed,
                                  const struct lbw_profile *profile, struct lbw_error *err);
void lbw_emphasis_close(struct lbw_emphasis **emphasis);

/* Finds the boxes of sample `i` of the feed, whose arrays these are; `user` is the emphasis. */
enum lbw_status lbw_emphasis_look(void *user, size_t i, const struct lbw_array *images,
                                  struct lbw_error *err);

/* After the last sample: releases model and profile. NULL is fine. */
void lbw_emphasis_settle(struct lbw_emphasis *emphasis);

/* One map per sample of the feed as in struct lbw_activation: zero until it is looked at. */
const float *lbw_emphasis_maps(const struct lbw_emphasis *emphasis);

#endif
