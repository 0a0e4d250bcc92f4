/* SPDX-License-Identifier: MIT */
/* Exact rewrites before planning. */
#ifndef LBW_SRC_PASS_PREPARE_H
#define LBW_SRC_PASS_PREPARE_H

#include "onnx/index.h"

/* Exact rewrites before planning (see lbw_plan_new()). */
enum lbw_status lbw_prepare(struct lbw_model *model, bool keep_batchnorm, size_t *num_folded,
                            struct lbw_error *err);

/*
 * Below IR 4 every initializer has to be a graph input as well, and none can be overridden:
 * from IR 4 on the same meaning is an initializer that is no input. How to train a model goes
 * (training_info), because its graphs are about initializers and operators that change. For
 * models that get initializers of ours.
 */
void lbw_begin_rewrite(struct lbw_model *model);

#endif
