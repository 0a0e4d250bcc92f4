/* SPDX-License-Identifier: MIT */
/* External data: values that a tensor keeps in another file (ONNX ExternalData.md). */
#ifndef LBW_SRC_ONNX_EXTDATA_H
#define LBW_SRC_ONNX_EXTDATA_H

#include "onnx/model.h"

/* True when the tensor's values are in another file. */
bool lbw_tensor_is_external(const Onnx__TensorProto *tensor);

/* In which; NULL where the tensor does not say. */
const char *lbw_external_location(const Onnx__TensorProto *tensor);

/* The locations of all files mapped so far, one behind the other; NULL starts and ends. */
const char *lbw_external_next(const struct lbw_model *model, const char *location);

/* Whether a byte is one of those mapped so far. */
bool lbw_external_holds(const struct lbw_model *model, const unsigned char *data);

/*
 * The bytes of an external tensor, mapped read-only and owned by the model until it is closed.
 * `expected` is how many there have to be; SIZE_MAX takes what the tensor or the file says. The
 * location must be a relative path inside the model's folder: absolute paths, "..", symbolic
 * links and ranges past the end of the file are refused. LBW_ERR_FORMAT, LBW_ERR_IO, and
 * LBW_ERR_UNSUPPORTED for a model that did not come from a file.
 * Keeps the pages of this one tensor in memory only, see lbw_mapped_touch().
 */
enum lbw_status lbw_external_view(const unsigned char **out, size_t *size,
                                  struct lbw_model *model, const Onnx__TensorProto *tensor,
                                  size_t expected, struct lbw_error *err);

/*
 * Turns one or every external tensor of the model into one with raw data; the data itself stays
 * in the mapped files (read-only: replace raw_data, never write into it).
 */
enum lbw_status lbw_external_inline_tensor(struct lbw_model *model, Onnx__TensorProto *tensor,
                                           struct lbw_error *err);
enum lbw_status lbw_external_inline(struct lbw_model *model, struct lbw_error *err);

/*
 * Refuses (LBW_ERR_ARGUMENT) a file to be written under `path` that the opened model is, or
 * keeps external data in, unless the model itself is replaced along with it under
 * `model_path` (NULL: it is not).
 */
enum lbw_status lbw_external_check_target(const struct lbw_model *model, const char *path,
                                          const char *model_path, struct lbw_error *err);

/* Bytes of all external data that the model refers to, as far as the tensors say it. */
uint64_t lbw_external_size(const struct lbw_model *model);

/* Unmaps; part of lbw_model_close(). */
void lbw_external_release(struct lbw_model *model);

#endif
