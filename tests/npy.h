/* SPDX-License-Identifier: MIT */
/* Fixtures for tests: .npy arrays and the zip around them, written by hand. */
#ifndef LBW_TESTS_NPY_H
#define LBW_TESTS_NPY_H

#include <zlib.h>

#include "fixture.h"

static inline void put_le(struct text *t, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++, value >>= 8) {
        unsigned char byte = (unsigned char)value;
        put(t, &byte, 1);
    }
}

/* `header` is the dictionary; versions 2 and 3 have a wider length. */
static inline struct text npy_raw(int version, const char *header, const void *data,
                                  size_t size)
{
    struct text t = {0};
    unsigned char magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y', (unsigned char)version, 0};
    put(&t, magic, sizeof magic);
    put_le(&t, strlen(header), version == 1 ? 2 : 4);
    put(&t, header, strlen(header));
    put(&t, data, size);
    return t;
}

/* `shape` as Python prints it, "(2, 3)". */
static inline struct text npy(const char *type, const char *shape, const void *data,
                              size_t size)
{
    char header[200];
    snprintf(header, sizeof header,
             "{'descr': '%s', 'fortran_order': False, 'shape': %s, }   \n", type, shape);
    return npy_raw(1, header, data, size);
}

/* A zip that grows: `file` holds the entries, `directory` what comes behind them. */
struct zip_text {
    struct text file, directory;
    unsigned num;
    bool is_wide; /* sizes and offsets go to zip64 fields */
};

/* Adds `name` with these bytes (freed), deflated or stored. */
static inline void zip_add(struct zip_text *zip, const char *name, struct text *bytes,
                           bool deflated)
{
    struct text packed = {0};
    size_t offset = zip->file.size;
    uint32_t crc = (uint32_t)crc32(0, bytes->data, (uInt)bytes->size);
    if (deflated) {
        z_stream z = {0};
        packed.data = malloc(compressBound((uLong)bytes->size) + 64);
        if (!packed.data || deflateInit2(&z, 9, Z_DEFLATED, -15, 8, 0) != Z_OK)
            abort();
        z.next_in = bytes->data;
        z.avail_in = (uInt)bytes->size;
        z.next_out = packed.data;
        z.avail_out = (uInt)compressBound((uLong)bytes->size) + 64;
        if (deflate(&z, Z_FINISH) != Z_STREAM_END)
            abort();
        packed.size = z.total_out;
        deflateEnd(&z);
    } else {
        put(&packed, bytes->data, bytes->size);
    }
    uint64_t sizes[3] = {bytes->size, packed.size, offset};
    uint64_t narrow[3];
    for (int i = 0; i < 3; i++)
        narrow[i] = zip->is_wide ? UINT32_MAX : sizes[i];
    put(&zip->file, "PK\3\4\24\0\0\0", 8);
    put_le(&zip->file, deflated ? 8 : 0, 2);
    put_le(&zip->file, 0, 4); /* time */
    put_le(&zip->file, crc, 4);
    put_le(&zip->file, packed.size, 4);
    put_le(&zip->file, bytes->size, 4);
    put_le(&zip->file, strlen(name), 2);
    put_le(&zip->file, 4, 2); /* an extra field that the directory does not have */
    put(&zip->file, name, strlen(name));
    put(&zip->file, "xx\0\0", 4);
    put(&zip->file, packed.data, packed.size);

    struct text *d = &zip->directory;
    put(d, "PK\1\2\24\0\24\0\0\0", 10);
    put_le(d, deflated ? 8 : 0, 2);
    put_le(d, 0, 4);
    put_le(d, crc, 4);
    put_le(d, narrow[1], 4);
    put_le(d, narrow[0], 4);
    put_le(d, strlen(name), 2);
    put_le(d, zip->is_wide ? 28 : 0, 2);
    put_le(d, 0, 2 + 2 + 2 + 4); /* comment, disk, attributes */
    put_le(d, narrow[2], 4);
    put(d, name, strlen(name));
    if (zip->is_wide) {
        put_le(d, 1, 2);
        put_le(d, 24, 2);
        for (int i = 0; i < 3; i++)
            put_le(d, sizes[i], 8);
    }
    zip->num++;
    free(packed.data);
    free(bytes->data);
    *bytes = (struct text){0};
}

/* The finished file; the zip is emptied. */
static inline struct text zip_finish(struct zip_text *zip)
{
    struct text t = zip->file;
    uint64_t offset = t.size, size = zip->directory.size;
    put(&t, zip->directory.data, zip->directory.size);
    uint64_t end64 = t.size;
    if (zip->is_wide) {
        put(&t, "PK\6\6", 4);
        put_le(&t, 44, 8);
        put_le(&t, 45 | 45 << 16, 4);
        put_le(&t, 0, 8); /* disks */
        put_le(&t, zip->num, 8);
        put_le(&t, zip->num, 8);
        put_le(&t, size, 8);
        put_le(&t, offset, 8);
        put(&t, "PK\6\7\0\0\0\0", 8);
        put_le(&t, end64, 8);
        put_le(&t, 1, 4);
    }
    put(&t, "PK\5\6\0\0\0\0", 8);
    put_le(&t, zip->is_wide ? UINT16_MAX : zip->num, 2);
    put_le(&t, zip->is_wide ? UINT16_MAX : zip->num, 2);
    put_le(&t, size, 4);
    put_le(&t, zip->is_wide ? UINT32_MAX : offset, 4);
    put_le(&t, 7, 2);
    put(&t, "comment", 7);
    free(zip->directory.data);
    *zip = (struct zip_text){0};
    return t;
}

#endif
