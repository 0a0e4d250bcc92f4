/* SPDX-License-Identifier: MIT */
/*
 * Softmax along an axis that has others behind it, as detectors take it over the bins or the
 * classes of NCHW tensors, where runtimes transpose first.
 */
#ifndef LBW_SRC_KERNELS_SOFTMAX_H
#define LBW_SRC_KERNELS_SOFTMAX_H

#include "base/error.h"
#include "kernels/isa.h"
#include "kernels/parallel.h"

/*
 * y[o][·][i] = softmax of x[o][·][i]; both are num_outer × num_rows × num_inner and may not
 * overlap. Every instruction set gives the same bits; NULL is plain C. LBW_ERR_MEMORY leaves y
 * in part written.
 */
enum lbw_status lbw_softmax(float *y, const float *x, size_t num_outer, size_t num_rows,
                            size_t num_inner, const struct lbw_isa *isa,
                            const struct lbw_parallel *parallel, struct lbw_error *err);

#endif
