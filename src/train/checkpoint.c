/* SPDX-License-Identifier: MIT */
/*
 * The checkpoint: one checksummed record of all that training goes on from, replaced as a
 * whole. A run that was cut off goes on as if it never had been.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bits.h"
#include "base/file.h"
#include "base/writer.h"
#include "train/tuning.h"

#define MAGIC       "LBWTUNE1"
#define HEADER_SIZE ((size_t)24) /* magic, run, checksum */

/* What the steps depend on: where they start and how they are taken. */
static uint64_t fingerprint(const struct lbw_tuning *t)
{
    const struct lbw_tune_params *p = &t->params;
    uint64_t numbers[] = {t->num_samples, t->num_train, p->seed,
                          p->num_steps,   p->batch,     (uint64_t)p->optimizer};
    double reals[] = {p->minutes, p->rate, p->tap_weight};
    uint64_t h = lbw_hash(LBW_HASH_START, numbers, sizeof numbers);
    h = lbw_hash(h, reals, sizeof reals);
    for (size_t i = 0; i < t->student.num_params; i++)
        h = lbw_hash(h, t->student.arrays[i].data, t->student.arrays[i].size);
    for (size_t i = 0; i < t->trainer.num_targets; i++)
        h = lbw_hash_text(h, t->trainer.targets[i]);
    for (size_t i = 0; i < t->num_samples; i++)
        for (size_t k = 0; k < lbw_feed_num_inputs(t->feed); k++)
            h = lbw_hash(h, t->samples[i][k].data, t->samples[i][k].size);
    return h;
}

/* `elapsed` is what the clock of this run has shown. */
static void carry(struct lbw_record *record, struct lbw_tuning *t, double *elapsed,
                  lbw_record_fn *move)
{
    struct lbw_tune_result *r = &t->result;
    move(record, elapsed, sizeof *elapsed);
    move(record, &t->status, sizeof t->status);
    move(record, &t->random, sizeof t->random);
    move(record, t->order, t->num_train * sizeof *t->order);
    move(record, &r->held_back_before, sizeof r->held_back_before);
    move(record, &r->agreement_before, sizeof r->agreement_before);
    move(record, &r->agreement_after, sizeof r->agreement_after);
    move(record, &r->changed, sizeof r->changed);
}

enum lbw_status lbw_tuning_save(struct lbw_tuning *t, struct lbw_error *err)
{
    struct lbw_record record = {0};
    struct lbw_writer *writer = NULL;
    unsigned char header[HEADER_SIZE] = MAGIC;
    double elapsed = lbw_tuning_now() - t->started;
    if (!t->params.checkpoint)
        return LBW_OK;
    carry(&record, t, &elapsed, lbw_record_keep);
    lbw_student_put(&record, &t->student);
    lbw_store_le(header + 8, t->run, 8);
    lbw_store_le(header + 16, lbw_hash(LBW_HASH_START, record.data, record.at), 8);
    enum lbw_status status = record.failed
                                 ? lbw_fail_memory(err)
                                 : lbw_writer_open(&writer, t->params.checkpoint, err);
    if (status == LBW_OK) {
        lbw_writer_write(writer, header, sizeof header);
        lbw_writer_write(writer, record.data, record.at);
        status = lbw_writer_commit(&writer, err);
    }
    free(record.data);
    return status;
}

static enum lbw_status read_record(struct lbw_tuning *t, const struct lbw_bytes *bytes,
                                   struct lbw_error *err)
{
    const char *path = t->params.checkpoint;
    size_t size = bytes->size - HEADER_SIZE;
    double elapsed = 0;
    if (bytes->size < HEADER_SIZE || memcmp(bytes->data, MAGIC, 8) != 0 ||
        lbw_load_u64(bytes->data + 16) !=
            lbw_hash(LBW_HASH_START, bytes->data + HEADER_SIZE, size))
        return lbw_fail(err, LBW_ERR_FORMAT, "%s: not an lbw checkpoint, or corrupt", path);
    if (lbw_load_u64(bytes->data + 8) != t->run)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "%s: belongs to another model, plan, calibration set or options", path);
    struct lbw_record record = {(unsigned char *)bytes->data + HEADER_SIZE, size, 0, false};
    carry(&record, t, &elapsed, lbw_record_get);
    lbw_student_get(&record, &t->student);
    for (size_t i = 0; i < t->num_train; i++)
        record.failed = record.failed || t->order[i] >= t->num_train;
    if (record.failed || record.at != size)
        return lbw_fail(err, LBW_ERR_FORMAT, "%s: written by another version of lbw", path);
    t->started = lbw_tuning_now() - elapsed;
    return LBW_OK;
}

enum lbw_status lbw_tuning_restore(bool *found, struct lbw_tuning *t, struct lbw_error *err)
{
    const char *path = t->params.checkpoint;
    struct lbw_bytes bytes;
    struct stat st;
    *found = false;
    if (!path)
        return LBW_OK;
    t->run = fingerprint(t);
    if (stat(path, &st) != 0)
        return LBW_OK;
    *found = true;
    if (!S_ISREG(st.st_mode)) /* a device may have no end */
        return lbw_fail(err, LBW_ERR_IO, "%s: cannot hold a checkpoint: not a regular file",
                        path);
    LBW_TRY(lbw_bytes_read(&bytes, path, err));
    enum lbw_status status = read_record(t, &bytes, err);
    lbw_bytes_release(&bytes);
    return status;
}
