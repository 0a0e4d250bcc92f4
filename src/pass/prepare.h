/* SPDX-License-Identifier: MIT */
/* Exact rewrites before planning. */
#ifndef LBW_SRC_PASS_PREPARE_H
#define LBW_SRC_PASS_PREPARE_H

#include "onnx/index.h"

/*
 * Raises the IR version to at least 4. Below it, every initializer has to be a graph input as
 * well, and none can be overridden; from it on, an initializer that is not an input means the
 * same. Drops training_info, whose graphs refer to initializers and operators that change. Call
 * it before adding initializers.
 */
void lbw_begin_rewrite(struct lbw_model *model);

#endif
