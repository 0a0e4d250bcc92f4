/* SPDX-License-Identifier: MIT */
/* Sliding windows: what Conv, ConvTranspose and the pools have in common. */
#ifndef LBW_SRC_GRAD_WINDOW_H
#define LBW_SRC_GRAD_WINDOW_H

#include "grad/rule.h"

#define LBW_GRAD_MAX_SPATIAL (LBW_GRAD_MAX_DIMS - 2)

/*
 * Output o of a spatial axis reads input o·stride + t·dilation - begin for taps t. `end` is the
 * padding at the end that the outputs need; negative if inputs remain unread.
 */
struct lbw_window {
    size_t num; /* spatial axes */
    int64_t kernel[LBW_GRAD_MAX_SPATIAL], stride[LBW_GRAD_MAX_SPATIAL],
        dilation[LBW_GRAD_MAX_SPATIAL], begin[LBW_GRAD_MAX_SPATIAL], end[LBW_GRAD_MAX_SPATIAL],
        given_end[LBW_GRAD_MAX_SPATIAL];
    int64_t in[LBW_GRAD_MAX_SPATIAL], out[LBW_GRAD_MAX_SPATIAL];
};

/*
 * From the node's attributes; `large` is the side that windows slide over, `small` the one with
 * one value per window (swapped for ConvTranspose), `kernel` may be NULL (attribute
 * kernel_shape). False if attributes and sizes contradict each other.
 */
bool lbw_window_of(struct lbw_window *out, const Onnx__NodeProto *node,
                   const struct lbw_grad_shape *large, const struct lbw_grad_shape *small,
                   const int64_t *kernel);

#endif
