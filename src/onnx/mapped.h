/* SPDX-License-Identifier: MIT */
/* Values in mapped files, so that a model larger than memory can be converted. */
#ifndef LBW_SRC_ONNX_MAPPED_H
#define LBW_SRC_ONNX_MAPPED_H

#include "onnx/model.h"

/*
 * Memory for the values of a new tensor, not zeroed, valid until the model is closed; NULL when
 * memory is out. Once the arena holds 256 MiB of such values, larger ones get a temporary file
 * without a name in $TMPDIR, /var/tmp or /tmp, if one can be made.
 */
void *lbw_mapped_alloc(struct lbw_model *model, size_t size);

/*
 * Announces that these values are read next. If they are mapped and large, the pages of those
 * read before are returned to the system; they are loaded again when touched.
 */
void lbw_mapped_touch(struct lbw_model *model, const void *data, size_t size);

/* Unmaps what lbw_mapped_alloc() has mapped; part of lbw_model_close(). */
void lbw_mapped_release(struct lbw_model *model);

#endif
