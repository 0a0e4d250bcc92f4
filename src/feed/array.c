/* SPDX-License-Identifier: MIT */
/* Dense arrays: allocation, and conversion between element types. */
#include "feed/array.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "onnx/tensor.h"

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

void lbw_array_release(struct lbw_array *array)
{
    free(array->data);
    *array = (struct lbw_array){0};
}

void lbw_arrays_release(struct lbw_array *arrays, size_t num)
{
    for (size_t i = 0; arrays && i < num; i++)
        lbw_array_release(&arrays[i]);
}

bool lbw_array_has_numbers(int32_t data_type)
{
    unsigned bits = lbw_data_type_bits(data_type);
    double probe;
    const unsigned char zero[8] = {0};
    return bits >= 8 && bits <= 64 && lbw_number_load(&probe, zero, data_type);
}

bool lbw_number_load(double *out, const void *data, int32_t data_type)
{
    const unsigned char *byte = data;
    uint32_t word;
    switch (data_type) {
    case TYPE(FLOAT):
        *out = (double)lbw_float_from_bits(lbw_load_u32(data));
        return true;
    case TYPE(DOUBLE):
        memcpy(out, data, sizeof *out);
        return true;
    case TYPE(FLOAT16):
        *out = (double)lbw_half_to_float(lbw_load_u16(data));
        return true;
    case TYPE(BFLOAT16):
        *out = (double)lbw_bfloat16_to_float(lbw_load_u16(data));
        return true;
    case TYPE(BOOL):
    case TYPE(UINT8):
        *out = *byte;
        return true;
    case TYPE(INT8):
        *out = (int8_t)*byte;
        return true;
    case TYPE(UINT16):
        *out = lbw_load_u16(data);
        return true;
    case TYPE(INT16):
        *out = (int16_t)lbw_load_u16(data);
        return true;
    case TYPE(UINT32):
        *out = lbw_load_u32(data);
        return true;
    case TYPE(INT32):
        word = lbw_load_u32(data);
        *out = (int32_t)word;
        return true;
    case TYPE(UINT64):
        *out = (double)lbw_load_u64(data);
        return true;
    case TYPE(INT64):
        *out = (double)(int64_t)lbw_load_u64(data);
        return true;
    default:
        return false;
    }
}

/* To the nearest integer of the type; NaN becomes 0. */
static void store_whole(void *data, double value, int32_t data_type)
{
    unsigned bits = lbw_data_type_bits(data_type);
    bool is_signed = data_type == TYPE(INT8) || data_type == TYPE(INT16) ||
                     data_type == TYPE(INT32) || data_type == TYPE(INT64);
    double most = ldexp(1, (int)bits - is_signed), least = is_signed ? -most : 0;
    double nearest = isnan(value) ? 0 : rint(value);
    uint64_t whole;
    if (nearest < least)
        whole = (uint64_t)(int64_t)least;
    else if (nearest >= most)
        whole = is_signed ? (UINT64_C(1) << (bits - 1)) - 1 : UINT64_MAX;
    else
        whole = nearest < 0 ? (uint64_t)(int64_t)nearest : (uint64_t)nearest;
    lbw_store_le(data, whole, bits / 8);
}

void lbw_number_store(void *data, double value, int32_t data_type)
{
    switch (data_type) {
    case TYPE(FLOAT):
        lbw_store_le(data, lbw_float_bits((float)value), 4);
        break;
    case TYPE(DOUBLE):
        memcpy(data, &value, sizeof value);
        break;
    case TYPE(FLOAT16):
        lbw_store_le(data, lbw_half_from_float((float)value), 2);
        break;
    case TYPE(BFLOAT16):
        lbw_store_le(data, lbw_bfloat16_from_float((float)value), 2);
        break;
    case TYPE(BOOL):
        lbw_store_le(data, value != 0, 1);
        break;
    default:
        store_whole(data, value, data_type);
    }
}

void lbw_numbers_convert(void *out, int32_t out_type, const void *data, int32_t data_type,
                         size_t count)
{
    size_t to = lbw_data_type_bits(out_type) / 8, from = lbw_data_type_bits(data_type) / 8;
    if (out_type == data_type) {
        memcpy(out, data, count * to);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        double value = 0;
        lbw_number_load(&value, (const char *)data + i * from, data_type);
        lbw_number_store((char *)out + i * to, value, out_type);
    }
}

enum lbw_status lbw_array_init(struct lbw_array *out, int32_t data_type, const int64_t *dims,
                               size_t num_dims, struct lbw_error *err)
{
    struct lbw_array array = {.data_type = data_type, .num_dims = num_dims};
    size_t size = lbw_data_type_bits(data_type) / 8;
    for (size_t i = 0; i < num_dims; i++) {
        array.dims[i] = dims[i];
        if (dims[i] < 0 || !lbw_size_mul(&size, size, (size_t)dims[i]))
            return lbw_fail_memory(err);
    }
    array.size = size;
    array.data = calloc(size ? size : 1, 1);
    if (!array.data)
        return lbw_fail_memory(err);
    *out = array;
    return LBW_OK;
}

enum lbw_status lbw_array_copy(struct lbw_array *out, const struct lbw_array *in,
                               struct lbw_error *err)
{
    struct lbw_array array = *in;
    array.data = malloc(in->size ? in->size : 1);
    if (!array.data)
        return lbw_fail_memory(err);
    if (in->size)
        memcpy(array.data, in->data, in->size);
    *out = array;
    return LBW_OK;
}
