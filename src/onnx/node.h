/* SPDX-License-Identifier: MIT */
/* Changing the inputs of a node. */
#ifndef LBW_SRC_ONNX_NODE_H
#define LBW_SRC_ONNX_NODE_H

#include "onnx/build.h"
#include "onnx/index.h"

/*
 * Sets input i of the node to a new constant, copied into the arena: under the old name if
 * nothing else reads that, else as an initializer with a name made from `stem`. False when
 * memory is out.
 */
bool lbw_node_set_constant(struct lbw_model *model, struct lbw_names *names,
                           const struct lbw_scope *scope, Onnx__NodeProto *node, size_t i,
                           const char *stem, int32_t type, const int64_t *dims, size_t num_dims,
                           const void *data, size_t size);

#endif
