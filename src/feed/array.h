/* SPDX-License-Identifier: MIT */
/* Dense arrays of numbers, and conversion between element types. */
#ifndef LBW_SRC_FEED_ARRAY_H
#define LBW_SRC_FEED_ARRAY_H

#include <stdbool.h>

#include <lbw/base.h>

/* A dense array, as passed between feed, session and decoders. */
struct lbw_array {
    int32_t data_type; /* ONNX__TENSOR_PROTO__DATA_TYPE__… */
    size_t num_dims;
    int64_t dims[8];
    size_t size; /* bytes of data */
    void *data;  /* owned, malloc'ed */
};

void lbw_array_release(struct lbw_array *array);

/* The contents of `num` arrays, not `arrays` itself, which may be NULL. */
void lbw_arrays_release(struct lbw_array *arrays, size_t num);

/* Zeros; `dims` are all >= 0, at most 8 of them. LBW_ERR_MEMORY. */
enum lbw_status lbw_array_init(struct lbw_array *out, int32_t data_type, const int64_t *dims,
                               size_t num_dims, struct lbw_error *err);

/* A copy of `in`, owned by the caller. LBW_ERR_MEMORY. */
enum lbw_status lbw_array_copy(struct lbw_array *out, const struct lbw_array *in,
                               struct lbw_error *err);

/* True for the types that the functions below support: floats, integers of 8 bits up, BOOL. */
bool lbw_array_has_numbers(int32_t data_type);

/* One little-endian number, of any alignment; false (with *out unchanged) for other types. */
bool lbw_number_load(double *out, const void *data, int32_t data_type);

/* Rounds to nearest; integers saturate, NaN becomes 0 in them. */
void lbw_number_store(void *data, double value, int32_t data_type);

/* `count` numbers. The same type is copied bit by bit. */
void lbw_numbers_convert(void *out, int32_t out_type, const void *data, int32_t data_type,
                         size_t count);

#endif
