/* SPDX-License-Identifier: MIT */
/* External data: values of a tensor in another file (ONNX ExternalData.md). */
#ifndef LBW_SRC_ONNX_EXTDATA_H
#define LBW_SRC_ONNX_EXTDATA_H

#include "onnx/model.h"

/* True when the tensor's values are in another file. */
bool lbw_tensor_is_external(const Onnx__TensorProto *tensor);

/* The name of that file; NULL if the tensor states none. */
const char *lbw_external_location(const Onnx__TensorProto *tensor);

/* The location of the file mapped after this one; NULL starts and ends the list. */
const char *lbw_external_next(const struct lbw_model *model, const char *location);

/* Whether a byte is in one of the files mapped so far. */
bool lbw_external_holds(const struct lbw_model *model, const unsigned char *data);

/*
 * The bytes of an external tensor, mapped read-only and owned by the model until it is closed.
 * `expected` is the size they must have; SIZE_MAX accepts that of the tensor or the file. The
 * location has to be a relative path inside the model's folder: absolute paths, "..", symbolic
 * links and ranges past the end of the file are refused. LBW_ERR_FORMAT, LBW_ERR_IO, and
 * LBW_ERR_UNSUPPORTED for a model that did not come from a file. Keeps the pages of this one
 * tensor in memory only, see lbw_mapped_touch().
 */
enum lbw_status lbw_external_view(const unsigned char **out, size_t *size,
                                  struct lbw_model *model, const Onnx__TensorProto *tensor,
                                  size_t expected, struct lbw_error *err);

/*
 * Makes one external tensor of the model, or all, one with raw data. The data stays in the
 * mapped files: replace raw_data, never write to it.
 */
enum lbw_status lbw_external_inline_tensor(struct lbw_model *model, Onnx__TensorProto *tensor,
                                           struct lbw_error *err);
enum lbw_status lbw_external_inline(struct lbw_model *model, struct lbw_error *err);

/*
 * Refuses (LBW_ERR_ARGUMENT) to write `path` if it is the file of the open model or holds its
 * external data, unless the model itself is replaced together with it, as `model_path` (NULL:
 * it is not).
 */
enum lbw_status lbw_external_check_target(const struct lbw_model *model, const char *path,
                                          const char *model_path, struct lbw_error *err);

/* Bytes of all external data that the model refers to, according to the tensors. */
uint64_t lbw_external_size(const struct lbw_model *model);

/* Unmaps; part of lbw_model_close(). */
void lbw_external_release(struct lbw_model *model);

#endif
