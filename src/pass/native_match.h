/* SPDX-License-Identifier: MIT */
/* Finds what a native operator stands for, and what its call takes. */
#ifndef LBW_SRC_PASS_NATIVE_MATCH_H
#define LBW_SRC_PASS_NATIVE_MATCH_H

#include "pass/native_find.h"

/*
 * Whether the layer around `node` (a Conv, Concat or MaxPool) has an operator. May add an
 * initializer to the model, which goes unused when memory runs out: that is no match.
 */
bool lbw_native_match(struct lbw_native_call *out, const struct lbw_native_finder *finder,
                      const Onnx__NodeProto *node);

#endif
