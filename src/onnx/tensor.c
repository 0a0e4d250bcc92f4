/* SPDX-License-Identifier: MIT */
/* Tensors: dims, type and amount of data are checked here, before anything is read. */
#include "onnx/tensor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "onnx/extdata.h"
#include "onnx/mapped.h"

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

/* The field a type's values are in when they are not raw. */
enum field {
    FIELD_NONE,
    FIELD_FLOAT,
    FIELD_INT32,
    FIELD_INT64,
    FIELD_UINT64,
    FIELD_DOUBLE,
};

enum kind {
    KIND_OTHER,
    KIND_SIGNED,
    KIND_UNSIGNED,
    KIND_FLOAT32,
    KIND_FLOAT64,
    KIND_FLOAT16,
    KIND_BFLOAT16,
    KIND_SMALL, /* a float of 4 or 8 bits, see struct small_float */
};

/* A float of few bits: sign, exponent, mantissa; `nan` says which codes are NaN. */
struct small_float {
    int exponent_bits;
    int mantissa_bits;
    int bias;
    bool is_unsigned;
    enum {
        NAN_NONE,
        NAN_ALL_ONES,      /* every bit below the sign is set */
        NAN_NEGATIVE_ZERO, /* the code of -0, as there is no -0 */
        NAN_IEEE,          /* the largest exponent: infinity or NaN */
    } nan;
};

static const struct small_float e4m3fn = {4, 3, 7, false, NAN_ALL_ONES};
static const struct small_float e4m3fnuz = {4, 3, 8, false, NAN_NEGATIVE_ZERO};
static const struct small_float e5m2 = {5, 2, 15, false, NAN_IEEE};
static const struct small_float e5m2fnuz = {5, 2, 16, false, NAN_NEGATIVE_ZERO};
static const struct small_float e8m0 = {8, 0, 127, true, NAN_ALL_ONES};
static const struct small_float e2m1 = {2, 1, 1, false, NAN_NONE};

/* Properties by TensorProto.DataType, in ONNX's numbering. */
static const struct data_type {
    const char *name;
    unsigned bits; /* 0: cannot be read as a block of bytes */
    enum field field;
    enum kind kind;
    const struct small_float *small_float;
} data_types[] = {
    [TYPE(UNDEFINED)] = {"undefined", 0, FIELD_NONE, KIND_OTHER, NULL},
    [TYPE(FLOAT)] = {"float32", 32, FIELD_FLOAT, KIND_FLOAT32, NULL},
    [TYPE(UINT8)] = {"uint8", 8, FIELD_INT32, KIND_UNSIGNED, NULL},
    [TYPE(INT8)] = {"int8", 8, FIELD_INT32, KIND_SIGNED, NULL},
    [TYPE(UINT16)] = {"uint16", 16, FIELD_INT32, KIND_UNSIGNED, NULL},
    [TYPE(INT16)] = {"int16", 16, FIELD_INT32, KIND_SIGNED, NULL},
    [TYPE(INT32)] = {"int32", 32, FIELD_INT32, KIND_SIGNED, NULL},
    [TYPE(INT64)] = {"int64", 64, FIELD_INT64, KIND_SIGNED, NULL},
    [TYPE(STRING)] = {"string", 0, FIELD_NONE, KIND_OTHER, NULL},
    [TYPE(BOOL)] = {"bool", 8, FIELD_INT32, KIND_UNSIGNED, NULL},
    [TYPE(FLOAT16)] = {"float16", 16, FIELD_INT32, KIND_FLOAT16, NULL},
    [TYPE(DOUBLE)] = {"float64", 64, FIELD_DOUBLE, KIND_FLOAT64, NULL},
    [TYPE(UINT32)] = {"uint32", 32, FIELD_UINT64, KIND_UNSIGNED, NULL},
    [TYPE(UINT64)] = {"uint64", 64, FIELD_UINT64, KIND_UNSIGNED, NULL},
    [TYPE(COMPLEX64)] = {"complex64", 64, FIELD_FLOAT, KIND_OTHER, NULL},
    [TYPE(COMPLEX128)] = {"complex128", 128, FIELD_DOUBLE, KIND_OTHER, NULL},
    [TYPE(BFLOAT16)] = {"bfloat16", 16, FIELD_INT32, KIND_BFLOAT16, NULL},
    [TYPE(FLOAT8E4M3FN)] = {"float8_e4m3fn", 8, FIELD_INT32, KIND_SMALL, &e4m3fn},
    [TYPE(FLOAT8E4M3FNUZ)] = {"float8_e4m3fnuz", 8, FIELD_INT32, KIND_SMALL, &e4m3fnuz},
    [TYPE(FLOAT8E5M2)] = {"float8_e5m2", 8, FIELD_INT32, KIND_SMALL, &e5m2},
    [TYPE(FLOAT8E5M2FNUZ)] = {"float8_e5m2fnuz", 8, FIELD_INT32, KIND_SMALL, &e5m2fnuz},
    [TYPE(UINT4)] = {"uint4", 4, FIELD_INT32, KIND_UNSIGNED, NULL},
    [TYPE(INT4)] = {"int4", 4, FIELD_INT32, KIND_SIGNED, NULL},
    [TYPE(FLOAT4E2M1)] = {"float4_e2m1fn", 4, FIELD_INT32, KIND_SMALL, &e2m1},
    [TYPE(FLOAT8E8M0)] = {"float8_e8m0fnu", 8, FIELD_INT32, KIND_SMALL, &e8m0},
    [TYPE(UINT2)] = {"uint2", 2, FIELD_INT32, KIND_UNSIGNED, NULL},
    [TYPE(INT2)] = {"int2", 2, FIELD_INT32, KIND_SIGNED, NULL},
};
#define NUM_DATA_TYPES ((int32_t)(sizeof data_types / sizeof *data_types))

static const struct data_type *find_type(int32_t data_type)
{
    return data_type >= 0 && data_type < NUM_DATA_TYPES ? &data_types[data_type]
                                                        : &data_types[TYPE(UNDEFINED)];
}

const char *lbw_data_type_name(int32_t data_type)
{
    static const char *const later[] = {"type 27", "type 28", "type 29", "type 30", "type 31"};
    if (data_type >= 0 && data_type < NUM_DATA_TYPES)
        return data_types[data_type].name;
    size_t i = (size_t)data_type - NUM_DATA_TYPES;
    return i < sizeof later / sizeof *later ? later[i] : "an unknown type";
}

unsigned lbw_data_type_bits(int32_t data_type)
{
    return find_type(data_type)->bits;
}

/* "[16,3,3,2]", cut with "…" if it is too long. */
static const char *shape_text(char *buffer, size_t size, const Onnx__TensorProto *proto)
{
    size_t used = 0;
    for (size_t i = 0; i < proto->n_dims && used < size - 32; i++)
        used += (size_t)snprintf(buffer + used, size - used, "%s%lld", i ? "," : "[",
                                 (long long)proto->dims[i]);
    snprintf(buffer + used, size - used, "%s",
             !proto->n_dims     ? "[]"
             : used < size - 32 ? "]"
                                : ",...]");
    return buffer;
}

/* Number of elements and of bytes in packed form. */
static enum lbw_status measure(struct lbw_tensor *t, const struct data_type *type,
                               struct lbw_error *err)
{
    char text[128];
    size_t count = 1, bits;
    bool has_zero = false, fits = true;
    for (size_t i = 0; i < t->num_dims; i++) {
        if (t->dims[i] < 0)
            return lbw_fail(err, LBW_ERR_FORMAT, "negative dimension in shape %s",
                            shape_text(text, sizeof text, t->proto));
        has_zero |= t->dims[i] == 0;
        fits = fits && (uint64_t)t->dims[i] <= SIZE_MAX &&
               lbw_size_mul(&count, count, (size_t)t->dims[i]);
    }
    count = has_zero ? 0 : count;
    fits = has_zero || fits;
    if (!fits || !lbw_size_mul(&bits, count, type->bits) || bits > SIZE_MAX - 7)
        return lbw_fail(err, LBW_ERR_FORMAT, "shape %s overflows",
                        shape_text(text, sizeof text, t->proto));
    t->count = count;
    t->size = (bits + 7) / 8;
    return LBW_OK;
}

static size_t num_in_field(const Onnx__TensorProto *proto, enum field field)
{
    switch (field) {
    case FIELD_FLOAT:
        return proto->n_float_data;
    case FIELD_INT32:
        return proto->n_int32_data;
    case FIELD_INT64:
        return proto->n_int64_data;
    case FIELD_UINT64:
        return proto->n_uint64_data;
    case FIELD_DOUBLE:
        return proto->n_double_data;
    default:
        return 0;
    }
}

/* Items of the typed field for `count` elements. */
static size_t num_expected(const struct lbw_tensor *t, const struct data_type *type)
{
    if (type->bits < 8)
        return t->size; /* one packed byte in each int32 */
    return t->data_type == TYPE(COMPLEX64) || t->data_type == TYPE(COMPLEX128) ? 2 * t->count
                                                                               : t->count;
}

/* Finds the values in raw_data, the typed field or the external file. */
static enum lbw_status locate(struct lbw_tensor *t, struct lbw_model *model,
                              const struct data_type *type, struct lbw_error *err)
{
    char text[128];
    const Onnx__TensorProto *proto = t->proto;
    size_t num_typed = num_in_field(proto, type->field), raw_size = proto->raw_data.len;
    shape_text(text, sizeof text, proto);
    if (lbw_tensor_is_external(proto)) {
        size_t size;
        if (raw_size || num_typed)
            return lbw_fail(err, LBW_ERR_FORMAT, "values both inside and in external data");
        LBW_TRY(lbw_external_view(&t->data, &size, model, proto, t->size, err));
        if (size != t->size)
            return lbw_fail(err, LBW_ERR_FORMAT,
                            "%zu bytes of external data for shape %s, expected %zu", size, text,
                            t->size);
        return LBW_OK;
    }
    if (proto->has_raw_data && raw_size && num_typed)
        return lbw_fail(err, LBW_ERR_FORMAT, "values both in raw_data and in a typed field");
    if (proto->has_raw_data && (raw_size || !num_typed)) {
        if (raw_size != t->size)
            return lbw_fail(err, LBW_ERR_FORMAT, "%zu bytes for shape %s, expected %zu",
                            raw_size, text, t->size);
        t->data = t->size ? proto->raw_data.data : (const unsigned char *)"";
        lbw_mapped_touch(model, t->data, t->size);
        return LBW_OK;
    }
    if (num_typed != num_expected(t, type))
        return lbw_fail(err, LBW_ERR_FORMAT, "%zu values for shape %s, expected %zu", num_typed,
                        text, num_expected(t, type));
    return LBW_OK;
}

enum lbw_status lbw_tensor_view(struct lbw_tensor *out, struct lbw_model *model,
                                const Onnx__TensorProto *proto, struct lbw_error *err)
{
    const struct data_type *type = find_type(proto->data_type);
    struct lbw_tensor t = {
        .name = proto->name ? proto->name : "",
        .data_type = proto->data_type,
        .num_dims = proto->n_dims,
        .dims = proto->dims,
        .proto = proto,
    };
    enum lbw_status status;
    if (!type->bits)
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_UNSUPPORTED, "cannot read values of type %s",
                            lbw_data_type_name(proto->data_type)));
    if (proto->segment)
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_UNSUPPORTED, "segmented tensors are not supported"));
    LBW_OR_OUT(measure(&t, type, err));
    LBW_OR_OUT(locate(&t, model, type, err));
    *out = t;
out:
    return lbw_within(err, status, "tensor '%s'", t.name);
}

/* Element i as its bit pattern, from whichever field holds it. */
static uint64_t bits_at(const struct lbw_tensor *t, const struct data_type *type, size_t i)
{
    const Onnx__TensorProto *proto = t->proto;
    if (type->bits < 8) {
        size_t bit = i * type->bits;
        unsigned byte = t->data ? t->data[bit / 8] : (unsigned)proto->int32_data[bit / 8];
        return byte >> bit % 8 & ((1u << type->bits) - 1);
    }
    if (!t->data) {
        switch (type->field) {
        case FIELD_INT32:
            return (uint64_t)(int64_t)proto->int32_data[i];
        case FIELD_INT64:
            return (uint64_t)proto->int64_data[i];
        default:
            return proto->uint64_data[i];
        }
    }
    const unsigned char *p = t->data + i * (type->bits / 8);
    switch (type->bits) {
    case 8:
        return *p;
    case 16:
        return lbw_load_u16(p);
    case 32:
        return lbw_load_u32(p);
    default:
        return lbw_load_u64(p);
    }
}

static float small_to_float(unsigned code, const struct small_float *f)
{
    int magnitude_bits = f->exponent_bits + f->mantissa_bits;
    unsigned sign_bit = f->is_unsigned ? 0 : 1u << magnitude_bits;
    unsigned magnitude = code & ((1u << magnitude_bits) - 1);
    unsigned mantissa = magnitude & ((1u << f->mantissa_bits) - 1);
    int exponent = (int)(magnitude >> f->mantissa_bits);
    if ((f->nan == NAN_ALL_ONES && magnitude == (1u << magnitude_bits) - 1) ||
        (f->nan == NAN_NEGATIVE_ZERO && code == sign_bit))
        return NAN;
    float sign = code & sign_bit ? -1.0f : 1.0f;
    if (f->nan == NAN_IEEE && exponent == (1 << f->exponent_bits) - 1)
        return mantissa ? NAN : sign * INFINITY;
    int lowest = f->mantissa_bits == 0 ? 0 : 1; /* without a mantissa there are no subnormals */
    int significand = (int)mantissa | (exponent >= lowest) << f->mantissa_bits;
    if (exponent < lowest)
        exponent = lowest;
    return sign * ldexpf((float)significand, exponent - f->bias - f->mantissa_bits);
}

static double double_at(const struct lbw_tensor *t, size_t i)
{
    double value;
    if (!t->data)
        return t->proto->double_data[i];
    uint64_t bits = lbw_load_u64(t->data + 8 * i);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void read_floats(const struct lbw_tensor *t, float *out)
{
    if (!t->data && t->count)
        memcpy(out, t->proto->float_data, t->count * sizeof *out);
    for (size_t i = 0; t->data && i < t->count; i++)
        out[i] = lbw_float_from_bits(lbw_load_u32(t->data + 4 * i));
}

enum lbw_status lbw_tensor_read_float(const struct lbw_tensor *tensor, float *out,
                                      struct lbw_error *err)
{
    const struct data_type *type = find_type(tensor->data_type);
    switch (type->kind) {
    case KIND_FLOAT32:
        read_floats(tensor, out);
        return LBW_OK;
    case KIND_FLOAT64:
        for (size_t i = 0; i < tensor->count; i++)
            out[i] = (float)double_at(tensor, i);
        return LBW_OK;
    case KIND_FLOAT16:
        for (size_t i = 0; i < tensor->count; i++)
            out[i] = lbw_half_to_float((uint16_t)bits_at(tensor, type, i));
        return LBW_OK;
    case KIND_BFLOAT16:
        for (size_t i = 0; i < tensor->count; i++)
            out[i] = lbw_bfloat16_to_float((uint16_t)bits_at(tensor, type, i));
        return LBW_OK;
    case KIND_SMALL:
        for (size_t i = 0; i < tensor->count; i++)
            out[i] =
                small_to_float((unsigned)bits_at(tensor, type, i) & 0xff, type->small_float);
        return LBW_OK;
    default:
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "tensor '%s': %s is not a floating-point type", tensor->name,
                        lbw_data_type_name(tensor->data_type));
    }
}

float *lbw_tensor_copy_floats(size_t *num, struct lbw_model *model,
                              const Onnx__TensorProto *proto)
{
    struct lbw_tensor tensor;
    if (lbw_tensor_view(&tensor, model, proto, NULL) != LBW_OK)
        return NULL;
    float *values = malloc((tensor.count + 1) * sizeof *values);
    if (values && lbw_tensor_read_float(&tensor, values, NULL) != LBW_OK) {
        free(values);
        return NULL;
    }
    *num = tensor.count;
    return values;
}

bool lbw_tensor_fits_float(const struct lbw_tensor *tensor)
{
    bool fits = true;
    for (size_t i = 0; tensor->data_type == TYPE(DOUBLE) && i < tensor->count && fits; i++)
        fits = (double)(float)double_at(tensor, i) == double_at(tensor, i);
    return fits;
}

const float *lbw_tensor_floats(const struct lbw_tensor *tensor)
{
    const uint16_t one = 1;
    bool is_little_endian = *(const unsigned char *)&one == 1;
    bool is_aligned = (uintptr_t)tensor->data % _Alignof(float) == 0;
    bool is_raw = tensor->data && tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    return is_raw && is_aligned && is_little_endian ? (const float *)(const void *)tensor->data
                                                    : NULL;
}

enum lbw_status lbw_tensor_read_int64(const struct lbw_tensor *tensor, int64_t *out,
                                      struct lbw_error *err)
{
    const struct data_type *type = find_type(tensor->data_type);
    if (type->kind != KIND_SIGNED && type->kind != KIND_UNSIGNED)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "tensor '%s': %s is not an integer type",
                        tensor->name, lbw_data_type_name(tensor->data_type));
    unsigned unused = 64 - type->bits;
    for (size_t i = 0; i < tensor->count; i++) {
        uint64_t bits = bits_at(tensor, type, i) << unused;
        if (type->kind == KIND_SIGNED)
            out[i] = (int64_t)bits >> unused;
        else if (bits >> unused > INT64_MAX)
            return lbw_fail(err, LBW_ERR_UNSUPPORTED, "tensor '%s': value %zu exceeds 63 bits",
                            tensor->name, i);
        else
            out[i] = (int64_t)(bits >> unused);
    }
    return LBW_OK;
}

Onnx__TensorProto *lbw_tensor_new(struct lbw_model *model, const char *name, int32_t data_type,
                                  const int64_t *dims, size_t num_dims, void *data, size_t size)
{
    Onnx__TensorProto *tensor = lbw_arena_alloc(&model->arena, sizeof *tensor);
    char *own_name = lbw_arena_strdup(&model->arena, name);
    int64_t *own_dims = lbw_arena_memdup(&model->arena, dims, num_dims * sizeof *dims);
    if (!tensor || !own_name || !own_dims)
        return NULL;
    onnx__tensor_proto__init(tensor);
    tensor->name = own_name;
    tensor->has_data_type = true;
    tensor->data_type = data_type;
    tensor->n_dims = num_dims;
    tensor->dims = own_dims;
    tensor->has_raw_data = true;
    tensor->raw_data = (ProtobufCBinaryData){size, data};
    return tensor;
}
