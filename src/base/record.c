/* SPDX-License-Identifier: MIT */
/* Record: a growing buffer, a shrinking one; the header of its files; FNV-1a. */
#include "base/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

/* Where to write or read the next `size` bytes; NULL after a failure. */
static unsigned char *take(struct lbw_record *record, size_t size)
{
    bool is_short = size > record->size - record->at;
    if (!record->failed && is_short && !record->is_read && size <= SIZE_MAX / 4) {
        size_t larger = 2 * (record->size + size);
        unsigned char *grown = realloc(record->data, larger);
        is_short = !grown;
        if (grown) {
            record->data = grown;
            record->size = larger;
        }
    }
    record->failed = record->failed || is_short;
    if (record->failed)
        return NULL;
    record->at += size;
    return record->data + record->at - size;
}

static void check(struct lbw_record *record, bool is_right)
{
    record->failed = record->failed || (record->is_read && !is_right);
}

void lbw_record_u64(struct lbw_record *record, uint64_t *value, uint64_t most)
{
    unsigned char *at = take(record, 8);
    if (at && !record->is_read)
        lbw_store_le(at, *value, 8);
    if (!at || !record->is_read)
        return;
    uint64_t found = lbw_load_u64(at);
    check(record, found <= most);
    if (!record->failed)
        *value = found;
}

void lbw_record_size(struct lbw_record *record, size_t *value, size_t most)
{
    uint64_t wide = *value;
    lbw_record_u64(record, &wide, most);
    *value = (size_t)wide;
}

void lbw_record_codes(struct lbw_record *record, uint8_t *codes, size_t num, int limit)
{
    unsigned char *at = take(record, num);
    if (!at || !num)
        return;
    memcpy(record->is_read ? codes : at, record->is_read ? at : codes, num);
    for (size_t i = 0; i < num && record->is_read && !record->failed; i++)
        check(record, codes[i] < limit);
}

void lbw_record_bool(struct lbw_record *record, bool *value)
{
    uint8_t byte = *value;
    lbw_record_codes(record, &byte, 1, 2);
    *value = byte == 1;
}

void lbw_record_real(struct lbw_record *record, double *value, double least, double most)
{
    uint64_t bits;
    double found;
    memcpy(&bits, value, sizeof bits);
    lbw_record_u64(record, &bits, UINT64_MAX);
    memcpy(&found, &bits, sizeof found);
    check(record, found >= least && found <= most);
    if (!record->failed)
        *value = found;
}

void lbw_record_floats(struct lbw_record *record, float *values, size_t num, float least,
                       float most)
{
    unsigned char *at = num > SIZE_MAX / 8 ? NULL : take(record, 4 * num);
    record->failed = record->failed || !at;
    for (size_t i = 0; i < num && !record->failed; i++) {
        if (record->is_read)
            values[i] = lbw_float_from_bits(lbw_load_u32(at + 4 * i));
        else
            lbw_store_le(at + 4 * i, lbw_float_bits(values[i]), 4);
        check(record, values[i] >= least && values[i] <= most);
    }
}

void lbw_record_same(struct lbw_record *record, uint64_t value)
{
    uint64_t found = value;
    lbw_record_u64(record, &found, UINT64_MAX);
    check(record, found == value);
}

void lbw_record_same_text(struct lbw_record *record, const char *text)
{
    size_t length = strlen(text);
    lbw_record_same(record, length);
    unsigned char *at = take(record, length);
    if (at && length && !record->is_read)
        memcpy(at, text, length);
    check(record, at && memcmp(at, text, length) == 0);
}

bool lbw_record_is_whole(const struct lbw_record *record)
{
    return !record->failed && record->at == record->size;
}

void lbw_header_put(unsigned char out[LBW_HEADER_SIZE], const struct lbw_header *header)
{
    memcpy(out, header->kind, 8);
    lbw_store_le(out + 8, header->version, 8);
    lbw_store_le(out + 16, header->run, 8);
}

enum lbw_status lbw_header_check(bool *is_same_run, const struct lbw_header *header,
                                 const unsigned char *data, size_t size, struct lbw_error *err)
{
    unsigned char expected[LBW_HEADER_SIZE];
    lbw_header_put(expected, header);
    size_t known = size < 8 ? size : 8;
    if (known && memcmp(data, expected, known) != 0)
        return lbw_fail(err, LBW_ERR_FORMAT, "not a file of kind %s", header->kind);
    known = size < 16 ? size : 16;
    if (known && memcmp(data, expected, known) != 0)
        return lbw_fail(err, LBW_ERR_FORMAT,
                        "written by another version of lbw, in another format");
    *is_same_run = size >= LBW_HEADER_SIZE && memcmp(data, expected, LBW_HEADER_SIZE) == 0;
    return LBW_OK;
}

uint64_t lbw_hash(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3;
    return hash;
}

uint64_t lbw_hash_text(uint64_t hash, const char *text)
{
    return lbw_hash(hash, text, strlen(text) + 1);
}
