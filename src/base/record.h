/* SPDX-License-Identifier: MIT */
/* Bytes of a record being written or read, checked, and the hash that guards them. */
#ifndef LBW_SRC_BASE_RECORD_H
#define LBW_SRC_BASE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One sticky failure: no memory left when writing, no bytes left when reading. */
struct lbw_record {
    unsigned char *data; /* owned when written: free() it */
    size_t size, at;
    bool failed;
};

/* Numbers are stored as this machine has them: a record is not for others. */
void lbw_record_put(struct lbw_record *record, const void *data, size_t size);
void lbw_record_get(struct lbw_record *record, void *out, size_t size);

/* Either way between memory and a record: lbw_record_get(), or lbw_record_keep() to put. */
typedef void lbw_record_fn(struct lbw_record *record, void *data, size_t size);
static inline void lbw_record_keep(struct lbw_record *record, void *data, size_t size)
{
    lbw_record_put(record, data, size);
}

/* FNV-1a, 64 bits: starts from LBW_HASH_START, goes on from what it returned. */
#define LBW_HASH_START 0xcbf29ce484222325
uint64_t lbw_hash(uint64_t hash, const void *data, size_t size);
uint64_t lbw_hash_text(uint64_t hash, const char *text);

#endif
