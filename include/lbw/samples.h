/* SPDX-License-Identifier: MIT */
/* Samples from memory instead of files, for calibration, training and comparison. */
#ifndef LBW_SAMPLES_H
#define LBW_SAMPLES_H

#include <lbw/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LBW_MAX_SAMPLE_DIMS 9 /* one more than an input can have */

/* An array that the caller owns: little-endian, row-major (C order), without gaps. */
struct lbw_array_view {
    const char *name; /* of the model's input; may be NULL or "" if there is only one */
    /* "float32", "float16", "float64", "bool", "int8" … "int64", "uint8" … "uint64" */
    const char *type;
    int num_dims;
    int64_t dims[LBW_MAX_SAMPLE_DIMS];
    const void *data; /* of any alignment */
    size_t size;      /* in bytes; has to match dims and type */
};

/*
 * The inputs of a model, as arrays or by a callback. Values are converted to the type of the
 * input and not preprocessed. Everything is borrowed until the handle that was opened with it
 * is closed, or until the call ends.
 *
 * Arrays are as in an .npz file, one per input: the first axis counts samples, as an extra axis
 * or as the batch axis. An array with one sample is used for all of them.
 *
 * Without arrays, `get` provides one sample at a time: it sets *arrays to one array per input,
 * with a batch axis of 1 or without one, valid until the next call. It is called by one thread
 * at a time, which may not be the caller's, in ascending order, possibly several times over;
 * the same `i` has to give the same values in the same shapes. To fail, it returns another
 * status than LBW_OK and may fill in `err`.
 *
 * LBW_ERR_ARGUMENT: arrays of other shapes than the inputs, of unknown type or wrong size.
 */
struct lbw_samples {
    size_t num_arrays; /* 0: `get` */
    const struct lbw_array_view *arrays;
    size_t num_samples; /* that `get` provides */
    enum lbw_status (*get)(void *user, size_t i, const struct lbw_array_view **arrays,
                           size_t *num_arrays, struct lbw_error *err);
    void *user;
};

#ifdef __cplusplus
}
#endif

#endif
