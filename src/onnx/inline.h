/* SPDX-License-Identifier: MIT */
/*
 * Exact rewrites: the body of a function in place of its call, and the taken branch in place of
 * an If whose condition is a constant (ONNX IR, sections on functions and on names).
 */
#ifndef LBW_SRC_ONNX_INLINE_H
#define LBW_SRC_ONNX_INLINE_H

#include "onnx/build.h"
#include "onnx/index.h"

/*
 * Replaces all calls of functions with wanted[position] by the functions' nodes, under new
 * names, and drops functions that are no longer called. A call is kept if an operator of the
 * function might mean something else at the caller's version of its domain. *num receives the
 * number of calls replaced. LBW_ERR_FORMAT for a function that calls itself,
 * LBW_ERR_UNSUPPORTED for calls that would make the model huge. Every index of the model is
 * stale afterwards.
 */
enum lbw_status lbw_inline_calls(size_t *num, struct lbw_model *model, const bool *wanted,
                                 struct lbw_error *err);

/*
 * The obstacle to inlining a function: the first operator that might mean something else at the
 * model's version of its domain, or NULL.
 */
const Onnx__NodeProto *lbw_inline_obstacle(const struct lbw_index *index,
                                           const Onnx__FunctionProto *f);

/* Whether to consider an If. */
typedef bool (*lbw_inline_fn)(void *user, const Onnx__NodeProto *node);

/*
 * Replaces each If that `fn` accepts and whose condition is a constant by the nodes of the
 * branch it takes. *num receives their number. Every index of the model is stale afterwards.
 */
enum lbw_status lbw_inline_branches(size_t *num, struct lbw_model *model, lbw_inline_fn fn,
                                    void *user, struct lbw_error *err);

#endif
