/* SPDX-License-Identifier: MIT */
/* Finds the layer that a native operator can replace, and the inputs of its call. */
#ifndef LBW_SRC_PASS_NATIVE_MATCH_H
#define LBW_SRC_PASS_NATIVE_MATCH_H

#include "pass/native_find.h"

/*
 * Whether there is an operator for the layer around `node` (a Conv, Concat or MaxPool). May add
 * an initializer to the model; if memory runs out it remains unused and there is no match.
 */
bool lbw_native_match(struct lbw_native_call *out, const struct lbw_native_finder *finder,
                      const Onnx__NodeProto *node);

#endif
