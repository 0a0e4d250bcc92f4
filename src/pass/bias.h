/* SPDX-License-Identifier: MIT */
/* Biases: every Conv gets one of its own for calibration to correct; unused ones are dropped.
 */
#ifndef LBW_SRC_PASS_BIAS_H
#define LBW_SRC_PASS_BIAS_H

#include "onnx/build.h"
#include "pass/codes.h"
#include "pass/plan.h"

/* The suffix of the zero biases and copies of shared ones that lbw_prepare() adds. */
#define LBW_ADDED_BIAS ".lbw_bias"

/*
 * Every Conv of the main graph with a constant weight gets a bias of its own: zeros where it
 * has none, a copy where other nodes read the same.
 */
enum lbw_status lbw_bias_own(struct lbw_model *model, const struct lbw_index *index,
                             struct lbw_names *names, struct lbw_error *err);

/* The float32 bias of a consumer that no other node reads, viewed as `tensor`, or NULL. */
struct lbw_value *lbw_weight_bias(struct lbw_tensor *tensor, const struct lbw_plan *plan,
                                  const struct lbw_weight *weight, const Onnx__NodeProto *node);

/* Writes corrected biases into the model, once calibration no longer looks at it. */
enum lbw_status lbw_bias_write(const struct lbw_plan *plan, const struct lbw_weight *weight,
                               const struct lbw_codes *codes, struct lbw_error *err);

/* Writes what was learned of a weight that stays float, likewise. */
enum lbw_status lbw_values_write(const struct lbw_plan *plan, const struct lbw_weight *weight,
                                 const struct lbw_codes *codes, struct lbw_error *err);

/* Takes away the biases of lbw_prepare() that calibration had no use for. */
enum lbw_status lbw_clean_biases(struct lbw_model *model, struct lbw_error *err);

#endif
