/* SPDX-License-Identifier: MIT */
/* Record: a growing buffer, a shrinking one, FNV-1a. */
#include "base/record.h"

#include <stdlib.h>
#include <string.h>

void lbw_record_put(struct lbw_record *record, const void *data, size_t size)
{
    if (record->failed || size > SIZE_MAX / 4) {
        record->failed = true;
        return;
    }
    if (record->size - record->at < size) {
        size_t larger = 2 * (record->size + size);
        unsigned char *grown = realloc(record->data, larger);
        if (!grown) {
            record->failed = true;
            return;
        }
        record->data = grown;
        record->size = larger;
    }
    if (size)
        memcpy(record->data + record->at, data, size);
    record->at += size;
}

void lbw_record_get(struct lbw_record *record, void *out, size_t size)
{
    record->failed = record->failed || size > record->size - record->at;
    if (!record->failed && size) {
        memcpy(out, record->data + record->at, size);
        record->at += size;
    }
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
