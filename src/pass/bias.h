/* SPDX-License-Identifier: MIT */
/*
 * Biases: every Conv gets one of its own that calibration can correct; unused ones are dropped.
 */
#ifndef LBW_SRC_PASS_BIAS_H
#define LBW_SRC_PASS_BIAS_H

#include "onnx/build.h"
#include "pass/codes.h"
#include "pass/plan.h"

/* The suffix of the zero biases and copies of shared ones that lbw_model_prepare() adds. */
#define LBW_ADDED_BIAS ".lbw_bias"

/*
 * Gives every Conv of the main graph with a constant weight a bias of its own: zeros if it has
 * none, a copy if other nodes read it too.
 */
enum lbw_status lbw_bias_own(struct lbw_model *model, const struct lbw_index *index,
                             struct lbw_names *names, struct lbw_error *err);

/* The float32 bias of a consumer that no other node reads, viewed as `tensor`, or NULL. */
struct lbw_value *lbw_weight_bias(struct lbw_tensor *tensor, const struct lbw_plan *plan,
                                  const struct lbw_weight *weight, const Onnx__NodeProto *node);

/* Writes corrected biases into the model, after calibration has finished with it. */
enum lbw_status lbw_bias_write(const struct lbw_plan *plan, const struct lbw_weight *weight,
                               const struct lbw_codes *codes, struct lbw_error *err);

/* Likewise, writes the trained values of a weight that stays float. */
enum lbw_status lbw_values_write(const struct lbw_plan *plan, const struct lbw_weight *weight,
                                 const struct lbw_codes *codes, struct lbw_error *err);

/* Removes the biases that lbw_model_prepare() added and calibration did not use. */
enum lbw_status lbw_clean_biases(struct lbw_model *model, struct lbw_error *err);

#endif
