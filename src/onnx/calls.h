/* SPDX-License-Identifier: MIT */
/*
 * What the calls of a model's functions stand for once each is replaced by its body, as this
 * program and every runtime do. Calls within calls multiply: a file of a few kilobytes can ask
 * for more nodes than any memory holds (ONNX IR, functions).
 */
#ifndef LBW_SRC_ONNX_CALLS_H
#define LBW_SRC_ONNX_CALLS_H

#include "onnx/index.h"

/*
 * Counts before anything is made, in time linear in the model. `wanted` says by position which
 * functions will be expanded; NULL: all. LBW_ERR_FORMAT for a function that calls itself,
 * LBW_ERR_UNSUPPORTED for calls that would make the model huge.
 */
enum lbw_status lbw_calls_check(const struct lbw_index *index, const bool *wanted,
                                struct lbw_error *err);

#endif
