/* SPDX-License-Identifier: MIT */
/* Giving a node other inputs. */
#ifndef LBW_SRC_ONNX_NODE_H
#define LBW_SRC_ONNX_NODE_H

#include "onnx/build.h"
#include "onnx/index.h"

/*
 * New constant values as input i of the node, copied into the arena: under the old name where
 * nothing else reads it, else as an initializer with a name made from `stem`. False when memory
 * is out.
 */
bool lbw_node_set_constant(struct lbw_model *model, struct lbw_names *names,
                           const struct lbw_scope *scope, Onnx__NodeProto *node, size_t i,
                           const char *stem, int32_t type, const int64_t *dims, size_t num_dims,
                           const void *data, size_t size);

#endif
