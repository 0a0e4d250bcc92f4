/* SPDX-License-Identifier: MIT */
/* Weight tensors as rows of output channels, for every operator that holds weights. */
#ifndef LBW_SRC_PASS_LAYOUT_H
#define LBW_SRC_PASS_LAYOUT_H

#include <stdbool.h>

#include "onnx/index.h"

/* Of a weight; no convolution has more. */
#define LBW_MAX_DIMS 8

/* The layout of a weight as rows. Output channels of one group share one input. */
struct lbw_layout {
    size_t groups;
    size_t rows; /* output channels in a group */
    size_t k;    /* input values of one output: channels of a group × kernel taps */
    /* value i of row r of group g is at g·group_stride + r·row_stride + (i/taps)·in_stride +
     * i%taps */
    size_t taps;
    size_t group_stride, row_stride, in_stride;
};

static inline size_t lbw_layout_offset(const struct lbw_layout *layout, size_t group,
                                       size_t row, size_t i)
{
    return group * layout->group_stride + row * layout->row_stride +
           i / layout->taps * layout->in_stride + i % layout->taps;
}

/* Whether each row is contiguous, as those of Conv are. */
static inline bool lbw_layout_is_contiguous(const struct lbw_layout *layout)
{
    return layout->in_stride == layout->taps || layout->k == layout->taps;
}

/*
 * The layout of a weight that is input `input` of `node`; false if its rank or number of groups
 * is invalid. In a batch of matrices [H, K, N] a row extends over all H, which share a step.
 */
bool lbw_layout_of(struct lbw_layout *out, const Onnx__NodeProto *node, size_t input,
                   const int64_t *dims, size_t num_dims);

/* The axis of the weight that the rows run along. */
int lbw_layout_axis(const Onnx__NodeProto *node, size_t input, size_t num_dims);

/* Whether it is MatMul or Gemm. */
bool lbw_layout_is_linear(const Onnx__NodeProto *node);

#endif
