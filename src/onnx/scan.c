/* SPDX-License-Identifier: MIT */
/* File magics, then a walk over the wire format guided by the schema's descriptors. */
#include "onnx/scan.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "onnx.pb-c.h"

/* Files that people pass by mistake. */
static const struct magic {
    const char *bytes;
    unsigned size;
    unsigned offset;
    const char *what;
} magics[] = {
    {"\xff\xd8\xff", 3, 0, "a JPEG image"},
    {"\x89PNG", 4, 0, "a PNG image"},
    {"GIF8", 4, 0, "a GIF image"},
    {"version https://git-lfs.github.com", 34, 0,
     "a Git LFS pointer, not the file it points to (try git lfs pull)"},
    {"<!DOCTYPE", 9, 0, "an HTML page"},
    {"<!doctype", 9, 0, "an HTML page"},
    {"<html", 5, 0, "an HTML page"},
    {"<?xml", 5, 0, "an XML file"},
    {"PK\3\4", 4, 0, "a ZIP archive (a PyTorch checkpoint?)"},
    {"\x80\2", 2, 0, "a Python pickle (a PyTorch checkpoint?)"},
    {"\x93NUMPY", 6, 0, "a NumPy array"},
    {"\x89HDF", 4, 0, "an HDF5 file (a Keras model?)"},
    {"TFL3", 4, 4, "a TensorFlow Lite model"},
    {"ORTM", 4, 4, "a model in ONNX Runtime's own format"},
    {"GGUF", 4, 0, "a GGUF file"},
    {"%PDF", 4, 0, "a PDF file"},
    {"7767517", 7, 0, "an ncnn parameter file"},
    {"\x28\xb5\x2f\xfd", 4, 0, "a zstd-compressed file"},
    {"BZh", 3, 0, "a bzip2-compressed file"},
    {"\xfd"
     "7zXZ",
     5, 0, "an xz-compressed file"},
};

struct scan {
    const uint8_t *start; /* of the file */
    struct lbw_error *err;
};

/* The result of reading a piece of the wire format. */
enum outcome {
    WHOLE,
    SHORT, /* the bytes end within it */
    WRONG,
};

/* One field of a message. */
struct piece {
    const ProtobufCFieldDescriptor *field; /* NULL: not in the schema */
    unsigned wire_type;
    uint64_t size; /* of the content, which ends where the next piece starts */
};

static enum outcome read_varint(uint64_t *out, const uint8_t **p, const uint8_t *end)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (*p == end)
            return SHORT;
        uint8_t byte = *(*p)++;
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        if (!(byte & 0x80)) {
            *out = value;
            return WHOLE;
        }
    }
    return WRONG;
}

/* Whether a field of the schema may have that wire type; repeated numbers may be packed. */
static bool fits(const ProtobufCFieldDescriptor *field, unsigned wire_type)
{
    bool is_packable = field->label == PROTOBUF_C_LABEL_REPEATED;
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    case PROTOBUF_C_TYPE_FLOAT:
        return wire_type == PROTOBUF_C_WIRE_TYPE_32BIT ||
               (is_packable && wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
    case PROTOBUF_C_TYPE_DOUBLE:
        return wire_type == PROTOBUF_C_WIRE_TYPE_64BIT ||
               (is_packable && wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
    default:
        return wire_type == PROTOBUF_C_WIRE_TYPE_VARINT ||
               (is_packable && wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
    }
}

static enum outcome read_piece(struct piece *out, const ProtobufCMessageDescriptor *type,
                               const uint8_t **p, const uint8_t *end)
{
    uint64_t tag, value;
    enum outcome outcome = read_varint(&tag, p, end);
    if (outcome != WHOLE)
        return outcome;
    if (tag >> 3 == 0 || tag > UINT32_MAX)
        return WRONG;
    out->wire_type = (unsigned)(tag & 7);
    out->field = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
    if (out->field && !fits(out->field, out->wire_type))
        return WRONG;
    out->size = 0;
    if (out->wire_type == PROTOBUF_C_WIRE_TYPE_VARINT)
        return read_varint(&value, p, end);
    if (out->wire_type == PROTOBUF_C_WIRE_TYPE_64BIT)
        out->size = 8;
    else if (out->wire_type == PROTOBUF_C_WIRE_TYPE_32BIT)
        out->size = 4;
    else if (out->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
        return WRONG;
    else
        outcome = read_varint(&out->size, p, end);
    if (outcome != WHOLE || out->size > INT_MAX)
        return outcome != WHOLE ? outcome : WRONG;
    if (out->size > (uint64_t)(end - *p))
        return SHORT;
    *p += out->size;
    return WHOLE;
}

static enum lbw_status scan_message(const struct scan *s,
                                    const ProtobufCMessageDescriptor *type, const uint8_t *p,
                                    const uint8_t *end, unsigned depth)
{
    if (depth > LBW_MAX_NESTING)
        return lbw_fail(s->err, LBW_ERR_FORMAT, "nested more than %d levels deep",
                        LBW_MAX_NESTING);
    while (p < end) {
        size_t at = (size_t)(p - s->start);
        struct piece piece = {0};
        enum outcome outcome = read_piece(&piece, type, &p, end);
        if (outcome == SHORT && depth == 0 && (piece.field || at > 0))
            return lbw_fail(s->err, LBW_ERR_FORMAT,
                            "truncated: the field at byte %zu extends past the end at %zu", at,
                            (size_t)(end - s->start));
        if (outcome != WHOLE)
            return lbw_fail(s->err, LBW_ERR_FORMAT, "not an ONNX model (malformed at byte %zu)",
                            at);
        if (!piece.field)
            continue;
        const uint8_t *content = p - piece.size;
        if (piece.field->type == PROTOBUF_C_TYPE_MESSAGE)
            LBW_TRY(scan_message(s, piece.field->descriptor, content, p, depth + 1));
        else if (piece.field->type == PROTOBUF_C_TYPE_STRING &&
                 memchr(content, 0, (size_t)piece.size))
            return lbw_fail(s->err, LBW_ERR_FORMAT, "a zero byte in the string '%s' at %zu",
                            piece.field->name, at);
    }
    return LBW_OK;
}

static const char *find_magic(const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++) {
        const struct magic *m = &magics[i];
        if (size >= m->offset + m->size && memcmp(data + m->offset, m->bytes, m->size) == 0)
            return m->what;
    }
    return NULL;
}

enum lbw_status lbw_scan_model(const void *data, size_t size, struct lbw_error *err)
{
    if (size == 0)
        return lbw_fail(err, LBW_ERR_FORMAT, "empty");
    struct scan scan = {data, err};
    enum lbw_status status = LBW_ERR_FORMAT;
    if (size <= INT_MAX)
        status = scan_message(&scan, &onnx__model_proto__descriptor, data,
                              (const uint8_t *)data + size, 0);
    /* Magics are checked only for what is not a model: a model can start like one. */
    const char *what = status != LBW_OK ? find_magic(data, size) : NULL;
    if (what)
        return lbw_fail(err, LBW_ERR_FORMAT, "not an ONNX model but %s", what);
    if (size > INT_MAX)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "%zu bytes exceed the 2 GiB limit of a protobuf message (larger models "
                        "store their weights as external data)",
                        size);
    return status;
}
