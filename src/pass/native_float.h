/* SPDX-License-Identifier: MIT */
/* Operators on float that native models have beside those on bytes. */
#ifndef LBW_SRC_PASS_NATIVE_FLOAT_H
#define LBW_SRC_PASS_NATIVE_FLOAT_H

#include "pass/native_find.h"

/* A Softmax of float32 along an axis that is not the last: runtimes transpose for those. */
bool lbw_native_match_softmax(struct lbw_native_call *call, const struct lbw_native_finder *r,
                              const Onnx__NodeProto *softmax);

#endif
