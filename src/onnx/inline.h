/* SPDX-License-Identifier: MIT */
/*
 * Exact rewrites of a model's structure: the body of a function in place of its call, and the
 * taken branch in place of an If whose condition is a constant (ONNX IR, sections on functions
 * and on names).
 */
#ifndef LBW_SRC_ONNX_INLINE_H
#define LBW_SRC_ONNX_INLINE_H

#include "onnx/build.h"
#include "onnx/index.h"

/*
 * Replaces calls of the functions with wanted[position], wherever they stand, by the functions'
 * nodes, under names of their own, and drops functions that nothing calls any more. Calls are
 * kept where an operator might mean something else at the caller's version of its domain. *num
 * receives how many were replaced. LBW_ERR_FORMAT for a function that calls itself,
 * LBW_ERR_UNSUPPORTED for calls that would make the model huge. Every index of the model is
 * stale afterwards.
 */
enum lbw_status lbw_inline_calls(size_t *num, struct lbw_model *model, const bool *wanted,
                                 struct lbw_error *err);

/*
 * What keeps a function's nodes from standing among the model's: the first operator that might
 * mean something else at the model's version of its domain, or NULL.
 */
const Onnx__NodeProto *lbw_inline_obstacle(const struct lbw_index *index,
                                           const Onnx__FunctionProto *f);

/* Whether an If is worth looking at. */
typedef bool (*lbw_inline_fn)(void *user, const Onnx__NodeProto *node);

/*
 * Replaces each If that `fn` accepts and whose condition is a constant by the nodes of the
 * branch it takes. *num receives how many. Every index of the model is stale afterwards.
 */
enum lbw_status lbw_inline_branches(size_t *num, struct lbw_model *model, lbw_inline_fn fn,
                                    void *user, struct lbw_error *err);

#endif
