/* SPDX-License-Identifier: MIT */
/* Functions and branches that hide weights. */
#ifndef LBW_SRC_PASS_FUNCTIONS_H
#define LBW_SRC_PASS_FUNCTIONS_H

#include "onnx/index.h"

/*
 * Inlines functions that keep weights out of sight, and branches that are always
 * taken. *num receives how many calls and branches.
 */
enum lbw_status lbw_open_functions(size_t *num, struct lbw_model *model, const char *ops,
                                   struct lbw_error *err);

#endif
