/* SPDX-License-Identifier: MIT */
/* Values that live in mapped files, so that a model larger than memory can be walked. */
#ifndef LBW_SRC_ONNX_MAPPED_H
#define LBW_SRC_ONNX_MAPPED_H

#include "onnx/model.h"

/*
 * Room for the values of a new tensor, not zeroed, until the model is closed; NULL when memory
 * is out. Once 256 MiB of the arena hold such values, larger ones get a temporary file without
 * a name in $TMPDIR, /var/tmp or /tmp, where one can be had.
 */
void *lbw_mapped_alloc(struct lbw_model *model, size_t size);

/*
 * Says that these values are being looked at. Where they are mapped and many, the pages of
 * those looked at before are given back to the system; they are read again when touched.
 */
void lbw_mapped_touch(struct lbw_model *model, const void *data, size_t size);

/* Unmaps what lbw_mapped_alloc() has mapped; part of lbw_model_close(). */
void lbw_mapped_release(struct lbw_model *model);

#endif
