/* SPDX-License-Identifier: MIT */
/* Keeps arrays: in memory up to a limit, beyond it in an unlinked temporary file. */
#ifndef LBW_SRC_CALIB_STORE_H
#define LBW_SRC_CALIB_STORE_H

#include <pthread.h>
#include <stdbool.h>

#include "feed/feed.h"

/* A kept array: type, dims and size are always valid, data only while it is in memory. */
struct lbw_kept {
    struct lbw_array array;
    uint64_t offset;
    bool is_filed;
};

struct lbw_store_gap;

struct lbw_store {
    pthread_mutex_t lock;
    uint64_t limit;  /* bytes that may stay in memory */
    uint64_t memory; /* bytes in memory now */
    int file;        /* -1 until needed */
    uint64_t file_size;
    struct lbw_store_gap *gaps; /* free ranges of the file, ascending, never adjacent */
    size_t num_gaps;
    size_t max_gaps;
};

void lbw_store_init(struct lbw_store *store, uint64_t limit);
void lbw_store_release(struct lbw_store *store);

/*
 * Takes over *array and zeroes it, also on failure. The file is in $TMPDIR, /var/tmp or /tmp;
 * LBW_ERR_IO if it cannot be created or written. Any number of threads may put, view and drop
 * different arrays at once.
 */
enum lbw_status lbw_store_put(struct lbw_store *store, struct lbw_kept *out,
                              struct lbw_array *array, struct lbw_error *err);

/* *out borrows the data of a kept array, or owns a copy read from the file: see *is_owned. */
enum lbw_status lbw_store_view(struct lbw_store *store, const struct lbw_kept *kept,
                               struct lbw_array *out, bool *is_owned, struct lbw_error *err);

/* Moves one array from memory to the file. */
enum lbw_status lbw_store_file(struct lbw_store *store, struct lbw_kept *kept,
                               struct lbw_error *err);

/* Forgets one array, which may be zeroed. */
void lbw_store_drop(struct lbw_store *store, struct lbw_kept *kept);

#endif
