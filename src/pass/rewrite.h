/* SPDX-License-Identifier: MIT */
/* Exact rewrites that expose weights, one rewrite_*.c each. */
#ifndef LBW_SRC_PASS_REWRITE_H
#define LBW_SRC_PASS_REWRITE_H

#include "onnx/model.h"

/*
 * Inlines functions whose weights planning could not see, and branches that are always taken.
 * *num receives the number of calls and branches.
 */
enum lbw_status lbw_open_functions(size_t *num, struct lbw_model *model, const char *ops,
                                   struct lbw_error *err);

/*
 * Replaces weights that are computed from constants alone by their values, where that makes the
 * model no larger, and drops unused values. *num receives the number of weights.
 */
enum lbw_status lbw_make_constants(size_t *num, struct lbw_model *model, const char *ops,
                                   struct lbw_error *err);

/*
 * Replaces each FusedConv of ONNX Runtime by a Conv, an Add if it has a summand, and the
 * activation. *num receives the number of nodes.
 */
enum lbw_status lbw_split_fused(size_t *num, struct lbw_model *model, struct lbw_error *err);

/*
 * Folds each BatchNormalization into the Conv or ConvTranspose that only it reads, and drops
 * unused values. *num receives the number of nodes, added to what it holds.
 */
enum lbw_status lbw_fold_batchnorm(size_t *num, struct lbw_model *model, struct lbw_error *err);

#endif
