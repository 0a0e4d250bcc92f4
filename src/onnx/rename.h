/* SPDX-License-Identifier: MIT */
/* Copying nodes, and renaming what they define and read, bodies included. */
#ifndef LBW_SRC_ONNX_RENAME_H
#define LBW_SRC_ONNX_RENAME_H

#include "base/strmap.h"
#include "onnx/build.h"

/* Deep copies in the model's arena; NULL when memory is out. */
Onnx__NodeProto *lbw_node_copy(struct lbw_model *model, const Onnx__NodeProto *node);
Onnx__AttributeProto *lbw_attribute_copy(struct lbw_model *model,
                                         const Onnx__AttributeProto *attribute);

/*
 * For every name that the nodes and their bodies define and the map lacks, adds old name →
 * unused name; new names begin with `prefix`. False when memory is out.
 */
bool lbw_rename_collect(struct lbw_strmap *map, struct lbw_model *model,
                        struct lbw_names *names, const char *prefix,
                        Onnx__NodeProto *const *nodes, size_t num);

/* Replaces names by those of the map, in the node and in its bodies. */
void lbw_rename_node(const struct lbw_strmap *map, Onnx__NodeProto *node);

#endif
