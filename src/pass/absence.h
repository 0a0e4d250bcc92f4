/* SPDX-License-Identifier: MIT */
/* Why a weight has no values that could be converted. */
#ifndef LBW_SRC_PASS_ABSENCE_H
#define LBW_SRC_PASS_ABSENCE_H

#include "onnx/index.h"

/* One phrase, in the model's arena or static; never NULL. For what another tool quantized, see
 * foreign.h. */
const char *lbw_absence_of(const struct lbw_index *index, const struct lbw_value *value);

#endif
