/* SPDX-License-Identifier: MIT */
/* Samples from the caller's memory, in place of files: for calibration, training, comparison.
 */
#ifndef LBW_SAMPLES_H
#define LBW_SAMPLES_H

#include <lbw/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LBW_MAX_SAMPLE_DIMS 9 /* one more than an input can have */

/* An array of the caller's: little-endian, row-major (C order), without gaps. */
struct lbw_array_view {
    const char *name; /* of the model's input; NULL or "" where it has only one */
    /* "float32", "float16", "float64", "bool", "int8" … "int64", "uint8" … "uint64" */
    const char *type;
    int num_dims;
    int64_t dims[LBW_MAX_SAMPLE_DIMS];
    const void *data; /* at any address */
    size_t size;      /* bytes, as dims and type give them */
};

/*
 * What a model is fed, one of two. Values are converted to the type of the input and not
 * preprocessed. Everything is borrowed until the handle that was opened with it is closed, or
 * until the call ends.
 *
 * Whole arrays, as an .npz file holds them, one per input: the first axis counts samples, in
 * an axis of its own or in the batch axis. An array that holds one sample serves all.
 *
 * Or one sample at a time: `get` sets *arrays to one array per input, valid until it is called
 * again, with a batch axis of 1 or without it. It is called by one thread at a time, maybe
 * another one than the caller's, in ascending order, maybe several times over; the same `i` has
 * to give the same values in the same shapes. It fails by returning another status than LBW_OK,
 * with its own message in `err` or without one.
 *
 * LBW_ERR_ARGUMENT: arrays of other shapes than the inputs, of unknown type or wrong size.
 */
struct lbw_samples {
    size_t num_arrays; /* 0: `get` */
    const struct lbw_array_view *arrays;
    size_t num_samples; /* that `get` can give */
    enum lbw_status (*get)(void *user, size_t i, const struct lbw_array_view **arrays,
                           size_t *num_arrays, struct lbw_error *err);
    void *user;
};

#ifdef __cplusplus
}
#endif

#endif
