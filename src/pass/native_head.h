/* SPDX-License-Identifier: MIT */
/* The end of a detector: bytes of several levels that become rows of floats. */
#ifndef LBW_SRC_PASS_NATIVE_HEAD_H
#define LBW_SRC_PASS_NATIVE_HEAD_H

#include "pass/native_find.h"

/*
 * Rows, one for each position (and anchor), that Transpose and Reshape make of the bytes of one
 * level or of several with a Concat; `node` is the last of them.
 */
bool lbw_native_match_head(struct lbw_native_call *call, const struct lbw_native_finder *r,
                           const Onnx__NodeProto *node);

#endif
