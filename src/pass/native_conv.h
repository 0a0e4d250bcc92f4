/* SPDX-License-Identifier: MIT */
/* Convolutions between QuantizeLinear and DequantizeLinear, matched with operators. */
#ifndef LBW_SRC_PASS_NATIVE_CONV_H
#define LBW_SRC_PASS_NATIVE_CONV_H

#include "pass/native_find.h"

/* The operator for a Conv of two spatial dims and what follows it; as lbw_native_match(). */
bool lbw_native_match_conv(struct lbw_native_call *call, const struct lbw_native_finder *r,
                           const Onnx__NodeProto *conv);

/* Whether the runtime works out the padding by itself. */
bool lbw_native_has_auto_pad(const Onnx__NodeProto *node);

#endif
