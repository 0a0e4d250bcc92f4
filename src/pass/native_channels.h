/* SPDX-License-Identifier: MIT */
/* Channels picked from tensors of 8 bits, by whatever nodes: one operator in their place. */
#ifndef LBW_SRC_PASS_NATIVE_CHANNELS_H
#define LBW_SRC_PASS_NATIVE_CHANNELS_H

#include "pass/native_find.h"

/*
 * A QuantizeLinear of channels that Concat, Reshape, Transpose, Gather and their like take from
 * bytes and put in another order, as in the channel shuffle of ShuffleNet: QChannels<parts>.
 * Needs a batch of one and shapes that the model states.
 */
bool lbw_native_match_channels(struct lbw_native_call *call, const struct lbw_native_finder *r,
                               const Onnx__NodeProto *quantize);

#endif
