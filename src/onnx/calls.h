/* SPDX-License-Identifier: MIT */
/*
 * What a model expands to when each call of a function is replaced by its body, as lbw and
 * every runtime do. Nested calls multiply: a file of a few kilobytes can ask for more nodes
 * than any memory holds (ONNX IR, functions).
 */
#ifndef LBW_SRC_ONNX_CALLS_H
#define LBW_SRC_ONNX_CALLS_H

#include "onnx/index.h"

/*
 * Checks the limits before anything is expanded, in time linear in the model. wanted[i]:
 * function i will be expanded; NULL: all. LBW_ERR_FORMAT for a function that calls itself,
 * LBW_ERR_UNSUPPORTED for calls that would make the model huge.
 */
enum lbw_status lbw_calls_check(const struct lbw_index *index, const bool *wanted,
                                struct lbw_error *err);

#endif
