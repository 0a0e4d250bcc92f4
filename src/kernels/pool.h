/* SPDX-License-Identifier: MIT */
/* The maximum of each window, on 8-bit tensors in NCHW. Padding is below all values. */
#ifndef LBW_SRC_KERNELS_POOL_H
#define LBW_SRC_KERNELS_POOL_H

#include "base/error.h"
#include "kernels/isa.h"
#include "kernels/parallel.h"

/* Two spatial dims, as ONNX's MaxPool; [0] is vertical. */
struct lbw_pool_params {
    int64_t kernel[2];
    int64_t strides[2];
    int64_t dilations[2];
    int64_t pads[4]; /* top, left, bottom, right */
    bool rounds_up;  /* ceil_mode */
};

/* LBW_ERR_ARGUMENT for parameters out of range, or if no window fits. */
enum lbw_status lbw_pool_output(int64_t out[2], const struct lbw_pool_params *params,
                                const int64_t in[2], struct lbw_error *err);

/* The definition: x and y are `num_planes` planes. */
enum lbw_status lbw_pool_reference(uint8_t *y, const uint8_t *x, size_t num_planes,
                                   const int64_t sides[2], const struct lbw_pool_params *params,
                                   struct lbw_error *err);

/* The same y; `isa` NULL: the reference. LBW_ERR_MEMORY leaves y partly written. */
enum lbw_status lbw_pool_run(uint8_t *y, const uint8_t *x, size_t num_planes,
                             const int64_t sides[2], const struct lbw_pool_params *params,
                             const struct lbw_isa *isa, const struct lbw_parallel *parallel,
                             struct lbw_error *err);

#endif
