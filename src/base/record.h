/* SPDX-License-Identifier: MIT */
/*
 * Records of the files that long work resumes from: consecutive little-endian fields without
 * gaps, each checked when it is read. The same calls write and read them, so that the two
 * cannot differ.
 */
#ifndef LBW_SRC_BASE_RECORD_H
#define LBW_SRC_BASE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Zero-initialised, it is written and `data` grows: free() it. Failure is sticky: out of memory
 * when writing; out of bytes, or a field out of its range, when reading.
 */
struct lbw_record {
    unsigned char *data;
    size_t size, at;
    bool is_read;
    bool failed;
};

/* 8 bytes; at most `most`. */
void lbw_record_u64(struct lbw_record *record, uint64_t *value, uint64_t most);
void lbw_record_size(struct lbw_record *record, size_t *value, size_t most);

/* One byte, 0 or 1. */
void lbw_record_bool(struct lbw_record *record, bool *value);

/* binary64 and binary32 from `least` to `most`; NaN is never in range. */
void lbw_record_real(struct lbw_record *record, double *value, double least, double most);
void lbw_record_floats(struct lbw_record *record, float *values, size_t num, float least,
                       float most);

/* One byte each, below `limit`. */
void lbw_record_codes(struct lbw_record *record, uint8_t *codes, size_t num, int limit);

/* A value that has to be the same when it is read: a number, or a text with its length. */
void lbw_record_same(struct lbw_record *record, uint64_t value);
void lbw_record_same_text(struct lbw_record *record, const char *text);

/* Whether all fields were in range and no bytes remain. */
bool lbw_record_is_whole(const struct lbw_record *record);

/*
 * The header of such a file: 8 letters for its kind, the version of its format (32 bits, then
 * 32 zero bits), and 64 bits that identify the run it belongs to.
 */
#define LBW_HEADER_SIZE ((size_t)24)
struct lbw_header {
    char kind[9]; /* 8 letters */
    uint32_t version;
    uint64_t run;
};
void lbw_header_put(unsigned char out[LBW_HEADER_SIZE], const struct lbw_header *header);

/*
 * LBW_ERR_FORMAT: another kind of file, or another version. *is_same_run receives whether the
 * run is the same. Fewer than LBW_HEADER_SIZE bytes pass, with *is_same_run false, if they are
 * the beginning of such a header.
 */
enum lbw_status lbw_header_check(bool *is_same_run, const struct lbw_header *header,
                                 const unsigned char *data, size_t size, struct lbw_error *err);

/* FNV-1a, 64 bits: pass LBW_HASH_START first, then the last result. */
#define LBW_HASH_START 0xcbf29ce484222325
uint64_t lbw_hash(uint64_t hash, const void *data, size_t size);
uint64_t lbw_hash_text(uint64_t hash, const char *text);

#endif
