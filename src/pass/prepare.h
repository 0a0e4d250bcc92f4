/* SPDX-License-Identifier: MIT */
/* Exact rewrites before planning. */
#ifndef LBW_SRC_PASS_PREPARE_H
#define LBW_SRC_PASS_PREPARE_H

#include "onnx/index.h"

/*
 * Below IR 4 every initializer has to be a graph input as well, and none can be overridden:
 * from IR 4 on the same meaning is an initializer that is no input. How to train a model goes
 * (training_info), because its graphs are about initializers and operators that change. For
 * models that lbw adds initializers to.
 */
void lbw_begin_rewrite(struct lbw_model *model);

#endif
