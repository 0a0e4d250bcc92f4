/* SPDX-License-Identifier: MIT */
/* The zip around .npy arrays (PKWARE APPNOTE 4.3: end record, central directory, zip64). */
#include "feed/npz.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/bits.h"
#include "feed/npy.h"

#define END_SIZE     22u /* of the end of central directory record */
#define LOCATOR_SIZE 20u /* of the zip64 locator before it */
#define END64_SIZE   56u
#define ENTRY_SIZE   46u /* of a central directory entry, without its texts */
#define LOCAL_SIZE   30u

struct zip {
    const unsigned char *data;
    size_t size;
    struct lbw_error *err;
};

struct entry {
    const unsigned char *name; /* not terminated */
    size_t name_size;
    unsigned flags, method;
    uint32_t crc;
    uint64_t packed_size, size, offset;
};

static enum lbw_status broken(const struct zip *zip, const char *what)
{
    return lbw_fail(zip->err, LBW_ERR_FORMAT, "broken zip: %s", what);
}

static bool lies_within(const struct zip *zip, uint64_t offset, uint64_t size)
{
    return offset <= zip->size && size <= zip->size - offset;
}

/* Finds the central directory: its position and number of entries. */
static enum lbw_status find_directory(uint64_t *offset, uint64_t *num, const struct zip *zip)
{
    if (zip->size < END_SIZE)
        return broken(zip, "too short");
    size_t at = zip->size - END_SIZE, tried = 0;
    while (memcmp(zip->data + at, "PK\5\6", 4)) {
        if (!at-- || ++tried > UINT16_MAX)
            return broken(zip, "no end record (truncated?)");
    }
    *num = lbw_load_u16(zip->data + at + 10);
    *offset = lbw_load_u32(zip->data + at + 16);
    if (*num != UINT16_MAX && *offset != UINT32_MAX)
        return LBW_OK;
    if (at < LOCATOR_SIZE || memcmp(zip->data + at - LOCATOR_SIZE, "PK\6\7", 4))
        return LBW_OK; /* the numbers may really be these */
    uint64_t end64 = lbw_load_u64(zip->data + at - LOCATOR_SIZE + 8);
    if (!lies_within(zip, end64, END64_SIZE) || memcmp(zip->data + end64, "PK\6\6", 4))
        return broken(zip, "no zip64 end record");
    *num = lbw_load_u64(zip->data + end64 + 32);
    *offset = lbw_load_u64(zip->data + end64 + 48);
    return LBW_OK;
}

/* The zip64 extra field holds those numbers, in this order, that did not fit. */
static bool widen(struct entry *entry, const unsigned char *extra, size_t extra_size)
{
    while (extra_size >= 4) {
        size_t size = lbw_load_u16(extra + 2);
        if (size > extra_size - 4)
            return false;
        if (lbw_load_u16(extra) == 1) {
            uint64_t *const wide[] = {&entry->size, &entry->packed_size, &entry->offset};
            const unsigned char *value = extra + 4;
            for (size_t i = 0; i < 3; i++) {
                if (*wide[i] != UINT32_MAX)
                    continue;
                if (size < 8)
                    return false;
                *wide[i] = lbw_load_u64(value);
                value += 8;
                size -= 8;
            }
            return true;
        }
        extra += 4 + size;
        extra_size -= 4 + size;
    }
    return true;
}

/* Reads the entry at *at of the directory and advances past it. */
static enum lbw_status read_entry(struct entry *out, uint64_t *at, const struct zip *zip)
{
    if (!lies_within(zip, *at, ENTRY_SIZE) || memcmp(zip->data + *at, "PK\1\2", 4))
        return broken(zip, "the directory is cut short");
    const unsigned char *data = zip->data + *at;
    struct entry entry = {
        .name = data + ENTRY_SIZE,
        .name_size = lbw_load_u16(data + 28),
        .flags = lbw_load_u16(data + 8),
        .method = lbw_load_u16(data + 10),
        .crc = lbw_load_u32(data + 16),
        .packed_size = lbw_load_u32(data + 20),
        .size = lbw_load_u32(data + 24),
        .offset = lbw_load_u32(data + 42),
    };
    size_t extra_size = lbw_load_u16(data + 30), comment_size = lbw_load_u16(data + 32);
    size_t size = ENTRY_SIZE + entry.name_size + extra_size + comment_size;
    if (!lies_within(zip, *at, size) ||
        !widen(&entry, entry.name + entry.name_size, extra_size))
        return broken(zip, "the directory is cut short");
    *at += size;
    *out = entry;
    return LBW_OK;
}

/* The packed bytes follow a local header whose texts may differ in length. */
static enum lbw_status find_data(const unsigned char **out, const struct zip *zip,
                                 const struct entry *entry)
{
    if (!lies_within(zip, entry->offset, LOCAL_SIZE) ||
        memcmp(zip->data + entry->offset, "PK\3\4", 4))
        return broken(zip, "an entry is missing");
    const unsigned char *local = zip->data + entry->offset;
    uint64_t start =
        entry->offset + LOCAL_SIZE + lbw_load_u16(local + 26) + lbw_load_u16(local + 28);
    if (!lies_within(zip, start, entry->packed_size))
        return broken(zip, "an entry is cut short");
    *out = zip->data + start;
    return LBW_OK;
}

/* Raw deflate into exactly entry->size bytes; zlib takes 32-bit lengths. */
static bool inflate_raw(unsigned char *out, const unsigned char *packed,
                        const struct entry *entry)
{
    z_stream z = {0};
    uint64_t taken = 0, made = 0;
    int code = inflateInit2(&z, -MAX_WBITS);
    while (code == Z_OK) {
        uint64_t left_in = entry->packed_size - taken, left_out = entry->size - made;
        z.next_in = (Bytef *)(uintptr_t)(packed + taken);
        z.avail_in = (uInt)(left_in < INT_MAX ? left_in : INT_MAX);
        z.next_out = out + made;
        z.avail_out = (uInt)(left_out < INT_MAX ? left_out : INT_MAX);
        uInt avail_in = z.avail_in, avail_out = z.avail_out;
        code = inflate(&z, Z_NO_FLUSH);
        taken += avail_in - z.avail_in;
        made += avail_out - z.avail_out;
        if (code == Z_OK && avail_in == z.avail_in && avail_out == z.avail_out)
            break;
    }
    inflateEnd(&z);
    return code == Z_STREAM_END && made == entry->size;
}

static uint32_t checksum(const unsigned char *data, uint64_t size)
{
    uLong crc = crc32(0, NULL, 0);
    while (size) {
        uInt part = (uInt)(size < INT_MAX ? size : INT_MAX);
        crc = crc32(crc, data, part);
        data += part;
        size -= part;
    }
    return (uint32_t)crc;
}

/* The bytes of an entry, unpacked if necessary. */
static enum lbw_status unpack(const unsigned char **out, struct lbw_arena *arena,
                              const struct zip *zip, const struct entry *entry)
{
    const unsigned char *data = NULL;
    LBW_TRY(find_data(&data, zip, entry));
    if (entry->flags & 1)
        return lbw_fail(zip->err, LBW_ERR_UNSUPPORTED, "encrypted");
    if (entry->method == 8) {
        /* Deflate cannot exceed 1032 to 1: a larger size is forged and would cost memory. */
        if (entry->size / 1032 > entry->packed_size || entry->size != (size_t)entry->size)
            return broken(zip, "an entry promises more than it can hold");
        unsigned char *plain = lbw_arena_alloc(arena, entry->size);
        if (!plain)
            return lbw_fail_memory(zip->err);
        if (!inflate_raw(plain, data, entry))
            return broken(zip, "the deflated values are corrupt");
        data = plain;
    } else if (entry->method) {
        return lbw_fail(zip->err, LBW_ERR_UNSUPPORTED, "zip compression method %u",
                        entry->method);
    } else if (entry->size != entry->packed_size) {
        return broken(zip, "a stored entry has two sizes");
    }
    if (checksum(data, entry->size) != entry->crc)
        return broken(zip, "wrong checksum");
    *out = data;
    return LBW_OK;
}

static enum lbw_status read_array(struct lbw_npz *npz, const struct zip *zip,
                                  const struct entry *entry)
{
    const unsigned char *data = NULL;
    struct lbw_npz_array *array = &npz->arrays[npz->num_arrays];
    LBW_TRY(unpack(&data, &npz->arena, zip, entry));
    LBW_TRY(lbw_npy_parse(array, data, entry->size, zip->err));
    char *name = lbw_arena_printf(&npz->arena, "%.*s", (int)entry->name_size - 4,
                                  (const char *)entry->name);
    if (!name)
        return lbw_fail_memory(zip->err);
    array->name = name;
    npz->num_arrays++;
    return LBW_OK;
}

static enum lbw_status read_zip(struct lbw_npz *npz, const struct zip *zip)
{
    uint64_t at = 0, num = 0;
    LBW_TRY(find_directory(&at, &num, zip));
    if (num > zip->size / ENTRY_SIZE)
        return broken(zip, "the directory is cut short");
    npz->arrays = lbw_arena_calloc(&npz->arena, num, sizeof *npz->arrays);
    if (!npz->arrays)
        return lbw_fail_memory(zip->err);
    for (uint64_t i = 0; i < num; i++) {
        struct entry entry = {0};
        LBW_TRY(read_entry(&entry, &at, zip));
        if (entry.name_size <= 4 || memcmp(entry.name + entry.name_size - 4, ".npy", 4))
            continue;
        LBW_TRY(lbw_within(zip->err, read_array(npz, zip, &entry), "'%.*s'",
                           (int)entry.name_size - 4, (const char *)entry.name));
    }
    if (!npz->num_arrays)
        return lbw_fail(zip->err, LBW_ERR_FORMAT, "holds no .npy array");
    return LBW_OK;
}

static enum lbw_status read_single(struct lbw_npz *npz, const struct zip *zip)
{
    npz->arrays = lbw_arena_calloc(&npz->arena, 1, sizeof *npz->arrays);
    if (!npz->arrays)
        return lbw_fail_memory(zip->err);
    LBW_TRY(lbw_npy_parse(npz->arrays, zip->data, zip->size, zip->err));
    npz->num_arrays = 1;
    return LBW_OK;
}

static bool is_zip(const unsigned char *data, size_t size)
{
    return size >= 4 && (!memcmp(data, "PK\3\4", 4) || !memcmp(data, "PK\5\6", 4));
}

enum lbw_status lbw_npz_parse(struct lbw_npz *out, const void *data, size_t size,
                              const char *path, struct lbw_error *err)
{
    struct zip zip = {data, size, err};
    struct lbw_npz npz = {0};
    enum lbw_status status;
    if (is_zip(data, size))
        status = read_zip(&npz, &zip);
    else if (lbw_npy_is_one(data, size))
        status = read_single(&npz, &zip);
    else
        status =
            lbw_fail(err, LBW_ERR_FORMAT, "neither a zip (.npz) nor an array of NumPy (.npy)");
    if (status == LBW_OK)
        *out = npz;
    else
        lbw_npz_release(&npz);
    return lbw_within(err, status, "%s", path);
}

enum lbw_status lbw_npz_read(struct lbw_npz *out, const char *path, struct lbw_error *err)
{
    struct lbw_bytes bytes = {0};
    LBW_TRY(lbw_bytes_read(&bytes, path, err));
    enum lbw_status status = lbw_npz_parse(out, bytes.data, bytes.size, path, err);
    if (status == LBW_OK)
        out->bytes = bytes;
    else
        lbw_bytes_release(&bytes);
    return status;
}

void lbw_npz_release(struct lbw_npz *npz)
{
    lbw_bytes_release(&npz->bytes);
    lbw_arena_release(&npz->arena);
    *npz = (struct lbw_npz){0};
}

static bool is_named_so(const char *path)
{
    const char *end = strrchr(path, '.');
    return end && (!strcmp(end, ".npz") || !strcmp(end, ".npy"));
}

bool lbw_npz_is_one(const char *path)
{
    unsigned char magic[6] = {0};
    struct stat st;
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    bool is_file = fstat(fileno(file), &st) == 0 && !S_ISDIR(st.st_mode);
    size_t size = fread(magic, 1, sizeof magic, file);
    fclose(file);
    return is_zip(magic, size) || lbw_npy_is_one(magic, size) || (is_file && is_named_so(path));
}
