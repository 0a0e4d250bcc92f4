/* SPDX-License-Identifier: MIT */
/* What exporters record in ModelProto.metadata_props: Ultralytics, Paddle. */
#ifndef LBW_SRC_ONNX_METADATA_H
#define LBW_SRC_ONNX_METADATA_H

#include <stdbool.h>

#include <lbw/model.h>

#include "base/arena.h"

/* The value of a key; "" if there is none. */
const char *lbw_metadata_find(const struct lbw_model_info *info, const char *key);

/* "imgsz", the size of the input: "[640, 480]", height first, or "640". False if missing. */
bool lbw_metadata_size(int *width, int *height, const struct lbw_model_info *info);

/*
 * "names", one per class: {0: 'person', 1: "driver's seat"} as Python prints it, or a list; or
 * "character", one per line, as Paddle's converters write it. If neither is valid, *num is 0
 * and *out untouched. LBW_ERR_MEMORY.
 */
enum lbw_status lbw_metadata_labels(const char *const **out, size_t *num,
                                    struct lbw_arena *arena, const struct lbw_model_info *info,
                                    struct lbw_error *err);

#endif
