/* SPDX-License-Identifier: MIT */
/* Where a model's learned layers end. */
#ifndef LBW_SRC_ONNX_LAST_LAYERS_H
#define LBW_SRC_ONNX_LAST_LAYERS_H

#include "onnx/index.h"

/*
 * The tensors where the model's last learned layers end: walking back from the graph's outputs,
 * the first output met of a Conv, ConvTranspose, Gemm or of a MatMul with a constant. Nodes
 * after them only decode. Names belong to the model, the list to its arena. LBW_ERR_UNSUPPORTED
 * if there are none.
 */
enum lbw_status lbw_index_ends(const char ***out, size_t *num, const struct lbw_index *index,
                               struct lbw_error *err);

/* For walks back from some names: whether the node produces one of them. */
bool lbw_ends_reach(const Onnx__NodeProto *node, const struct lbw_strmap *names);

/* Adds names, except those of omitted inputs; false when memory is out. */
bool lbw_ends_put(struct lbw_strmap *names, char *const *list, size_t num);

#endif
