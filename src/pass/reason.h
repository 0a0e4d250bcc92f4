/* SPDX-License-Identifier: MIT */
/* Why a weight has no values that could be converted. */
#ifndef LBW_SRC_PASS_REASON_H
#define LBW_SRC_PASS_REASON_H

#include "onnx/index.h"

/*
 * One phrase, in the model's arena or static; never NULL. Weights that another tool quantized
 * are the business of foreign.h.
 */
const char *lbw_reason_of(const struct lbw_index *index, const struct lbw_value *value);

#endif
