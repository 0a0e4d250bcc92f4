/* SPDX-License-Identifier: MIT */
/* The only way to read a tensor's values: every size is checked before a byte is read. */
#ifndef LBW_SRC_ONNX_TENSOR_H
#define LBW_SRC_ONNX_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "onnx/model.h"

/*
 * A checked TensorProto. Pointers borrow from the model; the bytes may be in a file mapped
 * read-only, at any alignment: never write to them.
 */
struct lbw_tensor {
    const char *name;  /* "" if it has none */
    int32_t data_type; /* ONNX__TENSOR_PROTO__DATA_TYPE__… */
    size_t num_dims;
    const int64_t *dims;       /* all >= 0 */
    size_t count;              /* product of dims, 1 for a scalar */
    const unsigned char *data; /* raw little-endian bytes, or NULL if in a typed field */
    size_t size;               /* bytes the values take in raw form */
    const Onnx__TensorProto *proto;
};

/*
 * Checks dims, type and the number of values present (raw, typed or external: external data is
 * mapped read-only through the model). LBW_ERR_FORMAT names the tensor and both sizes;
 * LBW_ERR_UNSUPPORTED for strings and unknown types.
 */
enum lbw_status lbw_tensor_view(struct lbw_tensor *out, struct lbw_model *model,
                                const Onnx__TensorProto *proto, struct lbw_error *err);

/*
 * `out` takes count values. Accepts FLOAT, FLOAT16, BFLOAT16, DOUBLE (rounded to nearest) and
 * the floats of 4 and 8 bits; LBW_ERR_UNSUPPORTED for other types.
 */
enum lbw_status lbw_tensor_read_float(const struct lbw_tensor *tensor, float *out,
                                      struct lbw_error *err);

/*
 * The same in a new array of *num values, to be freed; NULL for a damaged tensor or another
 * type, and when out of memory.
 */
float *lbw_tensor_copy_floats(size_t *num, struct lbw_model *model,
                              const Onnx__TensorProto *proto);

/* False for a DOUBLE tensor that lbw_tensor_read_float() would have to round, or with NaN. */
bool lbw_tensor_fits_float(const struct lbw_tensor *tensor);

/*
 * The values in place, without a copy: float32 in raw form, aligned, on a little-endian
 * machine. NULL if only lbw_tensor_read_float() can read them.
 */
const float *lbw_tensor_floats(const struct lbw_tensor *tensor);

/*
 * `out` takes count values. Accepts every integer type, packed ones too, and BOOL;
 * LBW_ERR_UNSUPPORTED for other types and for a UINT64 above INT64_MAX.
 */
enum lbw_status lbw_tensor_read_int64(const struct lbw_tensor *tensor, int64_t *out,
                                      struct lbw_error *err);

/*
 * A new raw-data tensor in the model's arena: name and dims are copied, `data` (size bytes,
 * little-endian, in the type's packed form) is borrowed and must outlive the model, or be
 * allocated from its arena. NULL when memory is out.
 */
Onnx__TensorProto *lbw_tensor_new(struct lbw_model *model, const char *name, int32_t data_type,
                                  const int64_t *dims, size_t num_dims, void *data,
                                  size_t size);

/* "float32", "int4", … as numpy and ml_dtypes name them; never NULL. */
const char *lbw_data_type_name(int32_t data_type);

/* Bits of one element (4 for INT4), 0 for strings and unknown types. */
unsigned lbw_data_type_bits(int32_t data_type);

#endif
