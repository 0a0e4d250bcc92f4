/* SPDX-License-Identifier: MIT */
/* Operators on float that native models have beside those on bytes. */
#ifndef LBW_SRC_PASS_NATIVE_FLOAT_H
#define LBW_SRC_PASS_NATIVE_FLOAT_H

#include "pass/native_find.h"

/* A Softmax of float32 along an axis that is not the last: runtimes transpose for those. */
bool lbw_native_match_softmax(struct lbw_native_call *call, const struct lbw_native_finder *r,
                              const Onnx__NodeProto *softmax);

/*
 * Convolutions that read or write float32 beside layers on bytes. With a result of 8 bits:
 * lbw_native_match_float_inputs() takes x, w and bias, what follows is matched as for bytes,
 * and lbw_native_read_float() makes it the operator on floats. With a result of float,
 * lbw_native_match_float() does it all.
 */
bool lbw_native_match_float_inputs(struct lbw_native_call *call,
                                   const struct lbw_native_finder *r,
                                   const Onnx__NodeProto *conv);
bool lbw_native_read_float(struct lbw_native_call *call, const struct lbw_native_finder *r);
bool lbw_native_match_float(struct lbw_native_call *call, const struct lbw_native_finder *r,
                            const Onnx__NodeProto *conv);

/* The four dims of a weight, and whether it is made of integers. */
bool lbw_native_weight_dims(int64_t dims[4], bool *is_encoded,
                            const struct lbw_native_finder *r, const char *name);

#endif
