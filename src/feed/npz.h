/* SPDX-License-Identifier: MIT */
/* NumPy's files: .npy (formats 1.0 to 3.0) and .npz, a zip of them, stored or deflated. */
#ifndef LBW_SRC_FEED_NPZ_H
#define LBW_SRC_FEED_NPZ_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/file.h"

#define LBW_NPZ_MAX_DIMS 9 /* one more than a model's input can have */

/* One array: little-endian, row-major (C order), of any alignment. */
struct lbw_npz_array {
    const char *name;  /* without ".npy"; "" in a .npy file */
    int32_t data_type; /* ONNX__TENSOR_PROTO__DATA_TYPE__… */
    size_t num_dims;
    int64_t dims[LBW_NPZ_MAX_DIMS];
    size_t size; /* bytes of data, which match dims and type */
    const unsigned char *data;
};

/* Zero-initialised is empty and valid. */
struct lbw_npz {
    size_t num_arrays;
    struct lbw_npz_array *arrays;
    struct lbw_bytes bytes; /* stored arrays point here … */
    struct lbw_arena arena; /* … and inflated ones here */
};

/*
 * Reads float16/32/64, bool and integers of 8 to 64 bits. LBW_ERR_FORMAT names the path and the
 * array: truncated, wrong checksum, fewer values than its header says; LBW_ERR_UNSUPPORTED:
 * big-endian, Fortran order, structures and objects, encrypted, other compression.
 */
enum lbw_status lbw_npz_read(struct lbw_npz *out, const char *path, struct lbw_error *err);

/* The same from memory that outlives *out; `path` is for messages. */
enum lbw_status lbw_npz_parse(struct lbw_npz *out, const void *data, size_t size,
                              const char *path, struct lbw_error *err);
void lbw_npz_release(struct lbw_npz *npz);

/* True for files that begin like .npy or .npz, and for broken ones that are named so. */
bool lbw_npz_is_one(const char *path);

#endif
