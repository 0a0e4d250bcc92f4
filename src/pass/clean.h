/* SPDX-License-Identifier: MIT */
/* Drops what a rewrite left unused, and nothing else. */
#ifndef LBW_SRC_PASS_CLEAN_H
#define LBW_SRC_PASS_CLEAN_H

#include "onnx/index.h"

/*
 * Drops nodes and initializers that were read before a rewrite and no longer are, and entries
 * of value_info and quantization_annotation for dropped names.
 */
enum lbw_status lbw_clean(struct lbw_model *model, const struct lbw_index *before,
                          struct lbw_error *err);

#endif
