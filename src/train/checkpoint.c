/* SPDX-License-Identifier: MIT */
/*
 * The checkpoint: one checksummed record of the state of training, replaced as a whole. A run
 * that resumes from it ends like an uninterrupted one.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/bits.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/writer.h"
#include "train/tuning.h"

#define HEAD_SIZE (LBW_HEADER_SIZE + 8) /* header and checksum */

static struct lbw_header header_of(const struct lbw_tuning *t)
{
    return (struct lbw_header){"LBWTUNED", 5, t->run};
}

/* Everything the steps depend on: the start, and the options. */
static uint64_t fingerprint(const struct lbw_tuning *t)
{
    const struct lbw_tune_params *p = &t->params;
    uint64_t numbers[] = {t->num_samples,
                          t->num_train,
                          p->seed,
                          p->num_steps,
                          p->batch,
                          (uint64_t)p->optimizer,
                          t->views.num,
                          t->targets.num_taps,
                          t->weighing.profile != NULL};
    double reals[] = {p->minutes, p->rate, p->tap_weight};
    uint64_t h = lbw_hash(LBW_HASH_START, numbers, sizeof numbers);
    h = lbw_hash(h, reals, sizeof reals);
    for (size_t i = 0; i < t->student.num_params; i++)
        h = lbw_hash(h, t->student.arrays[i].data, t->student.arrays[i].size);
    for (size_t i = 0; i < t->sessions.num_targets; i++)
        h = lbw_hash_text(h, t->sessions.targets[i]);
    for (size_t i = 0; i < t->num_samples; i++)
        for (size_t k = 0; k < lbw_feed_num_inputs(t->feed); k++)
            h = lbw_hash(h, t->samples[i][k].data, t->samples[i][k].size);
    return h;
}

/* `elapsed` is the time in this run. */
static void carry(struct lbw_record *record, struct lbw_tuning *t, double *elapsed)
{
    struct lbw_tune_status *s = &t->status;
    struct lbw_tune_result *r = &t->result;
    lbw_record_real(record, elapsed, 0, DBL_MAX);
    lbw_record_size(record, &s->step, SIZE_MAX);
    lbw_record_size(record, &s->num_steps, SIZE_MAX);
    double *const reals[] = {&s->loss,
                             &s->held_back,
                             &s->best,
                             &s->agreement,
                             &s->changed,
                             &s->rate,
                             &s->images_per_second,
                             &s->seconds_left,
                             &r->held_back_before,
                             &r->agreement_before,
                             &r->agreement_after,
                             &r->changed};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        lbw_record_real(record, reals[i], -INFINITY, INFINITY);
    lbw_record_u64(record, &t->random.state, UINT64_MAX);
    lbw_record_real(record, &t->pace, 0, 1024);
    lbw_record_same(record, t->views.num);
    for (size_t i = 0; i < t->views.num; i++)
        lbw_record_size(record, &t->order[i], t->views.num - 1);
    lbw_student_carry(record, &t->student);
}

enum lbw_status lbw_tuning_save(struct lbw_tuning *t, struct lbw_error *err)
{
    struct lbw_record record = {0};
    struct lbw_writer *writer = NULL;
    unsigned char head[HEAD_SIZE];
    double elapsed = lbw_now() - t->started;
    if (!t->params.checkpoint)
        return LBW_OK;
    const struct lbw_header header = header_of(t);
    carry(&record, t, &elapsed);
    lbw_header_put(head, &header);
    lbw_store_le(head + LBW_HEADER_SIZE, lbw_hash(LBW_HASH_START, record.data, record.at), 8);
    enum lbw_status status = record.failed
                                 ? lbw_fail_memory(err)
                                 : lbw_writer_open(&writer, t->params.checkpoint, err);
    if (status == LBW_OK) {
        lbw_writer_write(writer, head, sizeof head);
        lbw_writer_write(writer, record.data, record.at);
        status = lbw_writer_commit(&writer, err);
    }
    free(record.data);
    return status;
}

static enum lbw_status read_record(struct lbw_tuning *t, const struct lbw_bytes *bytes,
                                   struct lbw_error *err)
{
    const struct lbw_header header = header_of(t);
    bool is_same_run = false;
    LBW_TRY(lbw_header_check(&is_same_run, &header, bytes->data, bytes->size, err));
    if (bytes->size < HEAD_SIZE ||
        lbw_load_u64(bytes->data + LBW_HEADER_SIZE) !=
            lbw_hash(LBW_HASH_START, bytes->data + HEAD_SIZE, bytes->size - HEAD_SIZE))
        return lbw_fail(err, LBW_ERR_FORMAT, "corrupt");
    if (!is_same_run)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "belongs to another model, plan, calibration set or options");
    struct lbw_record record = {.data = (unsigned char *)(uintptr_t)bytes->data + HEAD_SIZE,
                                .size = bytes->size - HEAD_SIZE,
                                .is_read = true};
    double elapsed = 0;
    carry(&record, t, &elapsed);
    if (!lbw_record_is_whole(&record))
        return lbw_fail(err, LBW_ERR_FORMAT, "corrupt");
    t->started = lbw_now() - elapsed;
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
    enum lbw_status status = lbw_within(err, read_record(t, &bytes, err), "%s", path);
    lbw_bytes_release(&bytes);
    return status;
}
