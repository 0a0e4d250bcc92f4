/* SPDX-License-Identifier: MIT */
/* Exact rewrites that bring weights to light, other than functions and BatchNormalization. */
#ifndef LBW_SRC_PASS_REWRITE_H
#define LBW_SRC_PASS_REWRITE_H

#include "onnx/model.h"

/*
 * Weights that constants alone make become constants, where that makes the model no larger;
 * unused values are dropped. *num receives how many.
 */
enum lbw_status lbw_make_constants(size_t *num, struct lbw_model *model, const char *ops,
                                   struct lbw_error *err);

/*
 * FusedConv of ONNX Runtime becomes a Conv, an Add where it has a summand, and the activation.
 * *num receives how many.
 */
enum lbw_status lbw_split_fused(size_t *num, struct lbw_model *model, struct lbw_error *err);

#endif
