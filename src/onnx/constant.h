/* SPDX-License-Identifier: MIT */
/*
 * Values computed from constants alone, by Transpose, Reshape, Concat, sums, the norm of a
 * weight and the like, as a runtime computes them when it loads the model (ONNX operator
 * specification).
 */
#ifndef LBW_SRC_ONNX_CONSTANT_H
#define LBW_SRC_ONNX_CONSTANT_H

#include "onnx/index.h"

/* Whether the value depends on constants alone, whatever the operators. */
bool lbw_constant_is_made(const struct lbw_index *index, const struct lbw_value *value);

/*
 * The value as a tensor in the model's arena, under its own name. *out is NULL if it depends on
 * something else or needs an operator that is not computed here; *node (NULL is fine) is then
 * the node of that operator, or NULL.
 */
enum lbw_status lbw_constant_make(Onnx__TensorProto **out, const Onnx__NodeProto **node,
                                  const struct lbw_index *index, const struct lbw_value *value,
                                  struct lbw_error *err);

/*
 * Bytes of the constants that would become unused if the values were constants themselves;
 * *reader (NULL is fine) receives a node that reads one of the others, or NULL.
 */
uint64_t lbw_constant_spared(const Onnx__NodeProto **reader, const struct lbw_index *index,
                             const struct lbw_value *const *values, size_t num);

/* Whether some constant is in the making of both. */
bool lbw_constant_is_shared(const struct lbw_index *index, const struct lbw_value *a,
                            const struct lbw_value *b);

#endif
