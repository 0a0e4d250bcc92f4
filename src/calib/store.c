/* SPDX-License-Identifier: MIT */
/* Kept arrays, in memory up to a number of bytes, then in ranges of one file, first fit. */
#include "calib/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

struct lbw_store_gap {
    uint64_t offset;
    uint64_t size;
};

void lbw_store_init(struct lbw_store *store, uint64_t limit)
{
    *store = (struct lbw_store){.limit = limit, .file = -1};
    pthread_mutex_init(&store->lock, NULL);
}

void lbw_store_release(struct lbw_store *store)
{
    if (store->file >= 0)
        close(store->file);
    free(store->gaps);
    pthread_mutex_destroy(&store->lock);
}

static enum lbw_status open_file(struct lbw_store *store, struct lbw_error *err)
{
    if (store->file < 0)
        store->file = lbw_temporary_open();
    if (store->file < 0)
        return lbw_fail_errno(err, "cannot make a temporary file for activations");
    return LBW_OK;
}

/* Takes the first gap that is large enough, else the end of the file. */
static uint64_t take_range(struct lbw_store *store, uint64_t size)
{
    for (size_t i = 0; i < store->num_gaps; i++) {
        struct lbw_store_gap *gap = &store->gaps[i];
        if (gap->size < size)
            continue;
        uint64_t offset = gap->offset;
        gap->offset += size;
        gap->size -= size;
        if (gap->size == 0) {
            store->num_gaps--;
            memmove(gap, gap + 1, (store->num_gaps - i) * sizeof *gap);
        }
        return offset;
    }
    store->file_size += size;
    return store->file_size - size;
}

/* Joins the range with its neighbours; if the list cannot grow, the range is lost. */
static void give_range(struct lbw_store *store, uint64_t offset, uint64_t size)
{
    size_t i = 0;
    struct lbw_store_gap *gaps = store->gaps;
    while (i < store->num_gaps && gaps[i].offset < offset)
        i++;
    bool joins_below = i > 0 && gaps[i - 1].offset + gaps[i - 1].size == offset;
    bool joins_above = i < store->num_gaps && offset + size == gaps[i].offset;
    if (joins_below) {
        gaps[i - 1].size += size + (joins_above ? gaps[i].size : 0);
        if (joins_above) {
            store->num_gaps--;
            memmove(&gaps[i], &gaps[i + 1], (store->num_gaps - i) * sizeof *gaps);
        }
        return;
    }
    if (joins_above) {
        gaps[i].offset = offset;
        gaps[i].size += size;
        return;
    }
    if (store->num_gaps == store->max_gaps) {
        size_t max_gaps = store->max_gaps ? store->max_gaps * 2 : 64;
        gaps = realloc(gaps, max_gaps * sizeof *gaps);
        if (!gaps)
            return;
        store->gaps = gaps;
        store->max_gaps = max_gaps;
    }
    memmove(&gaps[i + 1], &gaps[i], (store->num_gaps - i) * sizeof *gaps);
    gaps[i] = (struct lbw_store_gap){offset, size};
    store->num_gaps++;
}

static enum lbw_status write_range(int file, const char *data, size_t size, uint64_t offset,
                                   struct lbw_error *err)
{
    while (size) {
        ssize_t written = pwrite(file, data, size, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return lbw_fail_errno(err, "writing the temporary file for activations");
        data += written;
        size -= (size_t)written;
        offset += (uint64_t)written;
    }
    return LBW_OK;
}

static enum lbw_status read_range(int file, char *data, size_t size, uint64_t offset,
                                  struct lbw_error *err)
{
    while (size) {
        ssize_t got = pread(file, data, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return lbw_fail_errno(err, "reading the temporary file for activations");
        data += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return LBW_OK;
}

enum lbw_status lbw_store_put(struct lbw_store *store, struct lbw_kept *out,
                              struct lbw_array *array, struct lbw_error *err)
{
    struct lbw_kept kept = {.array = *array};
    enum lbw_status status = LBW_OK;
    *array = (struct lbw_array){0};
    pthread_mutex_lock(&store->lock);
    if (store->memory + kept.array.size <= store->limit || kept.array.size == 0) {
        store->memory += kept.array.size;
    } else {
        kept.is_filed = true;
        status = open_file(store, err);
        if (status == LBW_OK)
            kept.offset = take_range(store, kept.array.size);
    }
    pthread_mutex_unlock(&store->lock);
    if (kept.is_filed) {
        if (status == LBW_OK)
            status =
                write_range(store->file, kept.array.data, kept.array.size, kept.offset, err);
        free(kept.array.data);
        kept.array.data = NULL;
    }
    if (status == LBW_OK)
        *out = kept;
    return status;
}

enum lbw_status lbw_store_file(struct lbw_store *store, struct lbw_kept *kept,
                               struct lbw_error *err)
{
    uint64_t size = kept->array.size;
    pthread_mutex_lock(&store->lock);
    enum lbw_status status = open_file(store, err);
    uint64_t offset = status == LBW_OK ? take_range(store, size) : 0;
    pthread_mutex_unlock(&store->lock);
    LBW_TRY(status);
    LBW_TRY(write_range(store->file, kept->array.data, size, offset, err));
    free(kept->array.data);
    kept->array.data = NULL;
    kept->offset = offset;
    kept->is_filed = true;
    pthread_mutex_lock(&store->lock);
    store->memory -= size;
    pthread_mutex_unlock(&store->lock);
    return LBW_OK;
}

enum lbw_status lbw_store_view(struct lbw_store *store, const struct lbw_kept *kept,
                               struct lbw_array *out, bool *is_owned, struct lbw_error *err)
{
    struct lbw_array array = kept->array;
    if (kept->is_filed) {
        array.data = malloc(array.size);
        if (!array.data)
            return lbw_fail_memory(err);
        enum lbw_status status =
            read_range(store->file, array.data, array.size, kept->offset, err);
        if (status != LBW_OK) {
            free(array.data);
            return status;
        }
    }
    *out = array;
    *is_owned = kept->is_filed;
    return LBW_OK;
}

void lbw_store_drop(struct lbw_store *store, struct lbw_kept *kept)
{
    pthread_mutex_lock(&store->lock);
    if (kept->is_filed)
        give_range(store, kept->offset, kept->array.size);
    else
        store->memory -= kept->array.size;
    pthread_mutex_unlock(&store->lock);
    free(kept->array.data);
    *kept = (struct lbw_kept){0};
}
