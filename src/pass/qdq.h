/* SPDX-License-Identifier: MIT */
/*
 * 8-bit activations as QuantizeLinear and DequantizeLinear (docs/format.md), and their removal.
 */
#ifndef LBW_SRC_PASS_QDQ_H
#define LBW_SRC_PASS_QDQ_H

#include <lbw/convert.h>

#include "pass/edge.h"

/*
 * Before the weights are encoded: where a channel of a layer on integers has a bias that its
 * own step cannot count in 30 bits, and next to no weights beside it, the step grows by powers
 * of two until it can.
 */
enum lbw_status lbw_qdq_widen(const struct lbw_plan *plan, struct lbw_codes *codes,
                              enum lbw_target target, struct lbw_error *err);

/*
 * Puts a QuantizeLinear and a DequantizeLinear behind every edge of 8 bits, and an int32 bias
 * into every layer on integers, once its weights are encoded. Weights without codes whose
 * layers are on integers become plain int8. The plan's edges are fitted.
 */
enum lbw_status lbw_qdq_insert(const struct lbw_plan *plan, struct lbw_codes *codes,
                               enum lbw_target target, struct lbw_error *err);

/*
 * The reverse, for any model: integer biases become float constants, and tensors are read as
 * they were before rounding. *num receives the number of roundings removed.
 */
enum lbw_status lbw_qdq_remove(size_t *num, struct lbw_model *model, struct lbw_error *err);

#endif
