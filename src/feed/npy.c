/* SPDX-License-Identifier: MIT */
/* One .npy array: magic, version, a Python dictionary of three keys, the values. */
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "onnx/tensor.h"
#include "feed/npy.h"

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

static const struct {
    const char *code; /* without the byte order */
    int32_t data_type;
} types[] = {
    {"f2", TYPE(FLOAT16)}, {"f4", TYPE(FLOAT)},  {"f8", TYPE(DOUBLE)}, {"b1", TYPE(BOOL)},
    {"i1", TYPE(INT8)},    {"i2", TYPE(INT16)},  {"i4", TYPE(INT32)},  {"i8", TYPE(INT64)},
    {"u1", TYPE(UINT8)},   {"u2", TYPE(UINT16)}, {"u4", TYPE(UINT32)}, {"u8", TYPE(UINT64)},
};

/* The text of the header, read from left to right; any error sets `bad`. */
struct scanner {
    const char *at, *end;
    bool bad;
};

static char peek(struct scanner *scanner)
{
    while (scanner->at < scanner->end && strchr(" \t\r\n", *scanner->at))
        scanner->at++;
    return scanner->at < scanner->end ? *scanner->at : '\0';
}

/* Skips the character if it comes next. */
static bool take(struct scanner *scanner, char expected)
{
    if (peek(scanner) != expected || scanner->at == scanner->end)
        return false;
    scanner->at++;
    return true;
}

/* 'text' or "text", without escapes, into `size` bytes. */
static void take_string(struct scanner *scanner, char *out, size_t size)
{
    char quote = peek(scanner);
    size_t length = 0;
    *out = '\0';
    if (quote != '\'' && quote != '"') {
        scanner->bad = true;
        return;
    }
    for (scanner->at++; scanner->at < scanner->end && *scanner->at != quote; scanner->at++) {
        if (length + 1 < size)
            out[length++] = *scanner->at;
        else
            scanner->bad = true;
    }
    out[length] = '\0';
    scanner->bad |= !take(scanner, quote);
}

static bool take_word(struct scanner *scanner, const char *word)
{
    size_t length = strlen(word);
    peek(scanner);
    if ((size_t)(scanner->end - scanner->at) < length || memcmp(scanner->at, word, length))
        return false;
    scanner->at += length;
    return true;
}

/* (2, 3) or (2,) or (). */
static void take_shape(struct scanner *scanner, struct lbw_npz_array *array)
{
    scanner->bad |= !take(scanner, '(');
    while (!scanner->bad && !take(scanner, ')')) {
        int64_t dim = 0;
        int digits = 0;
        for (char c = peek(scanner); c >= '0' && c <= '9' && digits < 18; digits++) {
            dim = 10 * dim + (c - '0');
            scanner->at++;
            c = scanner->at < scanner->end ? *scanner->at : '\0';
        }
        if (!digits || digits == 18 || array->num_dims == LBW_NPZ_MAX_DIMS) {
            scanner->bad = true;
            return;
        }
        array->dims[array->num_dims++] = dim;
        if (!take(scanner, ',') && peek(scanner) != ')')
            scanner->bad = true;
    }
}

struct header {
    char type[16];
    bool is_fortran;
    unsigned seen; /* a bit for each key */
};

static void take_header(struct scanner *scanner, struct header *header,
                        struct lbw_npz_array *array)
{
    scanner->bad |= !take(scanner, '{');
    while (!scanner->bad && !take(scanner, '}')) {
        char key[16];
        take_string(scanner, key, sizeof key);
        scanner->bad |= !take(scanner, ':');
        if (!strcmp(key, "descr") && peek(scanner) == '[') {
            strcpy(header->type, "a structure");
            header->seen |= 7; /* the rest does not matter */
            return;
        }
        unsigned bit = 0;
        if (!strcmp(key, "descr")) {
            bit = 1;
            take_string(scanner, header->type, sizeof header->type);
        } else if (!strcmp(key, "fortran_order")) {
            bit = 2;
            header->is_fortran = take_word(scanner, "True");
            scanner->bad |= !header->is_fortran && !take_word(scanner, "False");
        } else if (!strcmp(key, "shape")) {
            bit = 4;
            take_shape(scanner, array);
        }
        scanner->bad |= !bit || (header->seen & bit);
        header->seen |= bit;
        if (!take(scanner, ',') && peek(scanner) != '}')
            scanner->bad = true;
    }
    scanner->bad |= header->seen != 7;
}

static enum lbw_status find_type(struct lbw_npz_array *array, const char *type,
                                 struct lbw_error *err)
{
    const char *code = strchr("<|=>", *type) && *type ? type + 1 : type;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].code, code)) {
            if (*type == '>' && code[1] != '1')
                return lbw_fail(err, LBW_ERR_UNSUPPORTED, "big-endian values ('%s')", type);
            array->data_type = types[i].data_type;
            return LBW_OK;
        }
    return lbw_fail(err, LBW_ERR_UNSUPPORTED, "values of type '%s'", type);
}

/* One long axis is the same in both orders. */
static bool order_matters(const struct lbw_npz_array *array)
{
    int long_axes = 0;
    for (size_t i = 0; i < array->num_dims; i++)
        long_axes += array->dims[i] > 1;
    return long_axes > 1;
}

/* The text of the header; false if the file is too short for it. */
static bool find_header(struct scanner *out, const unsigned char *data, size_t size)
{
    if (size < 10)
        return false;
    size_t start = data[6] == 1 ? 10 : 12;
    if (size < start)
        return false;
    size_t length = data[6] == 1 ? lbw_load_u16(data + 8) : lbw_load_u32(data + 8);
    if (size - start < length)
        return false;
    const char *text = (const char *)data + start;
    *out = (struct scanner){text, text + length, false};
    return true;
}

bool lbw_npy_is_one(const unsigned char *data, size_t size)
{
    return size >= 6 && !memcmp(data, "\x93NUMPY", 6);
}

enum lbw_status lbw_npy_parse(struct lbw_npz_array *out, const unsigned char *data, size_t size,
                              struct lbw_error *err)
{
    struct lbw_npz_array array = {.name = ""};
    struct header header = {0};
    struct scanner scanner;
    if (!lbw_npy_is_one(data, size))
        return lbw_fail(err, LBW_ERR_FORMAT, "not a .npy array");
    if (size > 6 && (data[6] < 1 || data[6] > 3))
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "unsupported .npy version %d", data[6]);
    if (!find_header(&scanner, data, size))
        return lbw_fail(err, LBW_ERR_FORMAT, "the header is truncated");
    take_header(&scanner, &header, &array);
    if (scanner.bad)
        return lbw_fail(err, LBW_ERR_FORMAT, "the header is malformed");
    LBW_TRY(find_type(&array, header.type, err));
    if (header.is_fortran && order_matters(&array))
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "Fortran order is not supported; save numpy.ascontiguousarray() of it");
    array.size = lbw_data_type_bits(array.data_type) / 8;
    bool fits = true;
    for (size_t i = 0; i < array.num_dims; i++)
        fits = fits && lbw_size_mul(&array.size, array.size, (size_t)array.dims[i]);
    array.data = (const unsigned char *)scanner.end;
    size_t present = size - (size_t)(array.data - data);
    if (!fits || array.size > present)
        return lbw_fail(err, LBW_ERR_FORMAT, "truncated: %zu bytes of values for its shape",
                        present);
    *out = array;
    return LBW_OK;
}
