/* SPDX-License-Identifier: MIT */
/* Hands columns of a softmax to the instruction set's loop, the last few by way of a copy. */
#include "kernels/softmax.h"

#include <stdatomic.h>
#include <string.h>

#define TASK_ELEMENTS (1 << 14)

struct job {
    float *y;
    const float *x;
    size_t num_rows, num_inner;
    size_t vectors_per_task, tasks_per_outer;
    void (*softmax)(float *y, const float *x, size_t num_rows, size_t step, size_t num_vectors);
    atomic_bool has_failed;
};

/* The last columns, fewer than a vector holds. */
static void run_rest(struct job *job, float *y, const float *x, size_t num)
{
    size_t size = job->num_rows * LBW_COLUMNS;
    float *copy = lbw_scratch_take(2 * size * sizeof *copy);
    if (!copy) {
        atomic_store(&job->has_failed, true);
        return;
    }
    memset(copy, 0, size * sizeof *copy);
    for (size_t i = 0; i < job->num_rows; i++)
        memcpy(copy + i * LBW_COLUMNS, x + i * job->num_inner, num * sizeof *copy);
    job->softmax(copy + size, copy, job->num_rows, LBW_COLUMNS, 1);
    for (size_t i = 0; i < job->num_rows; i++)
        memcpy(y + i * job->num_inner, copy + size + i * LBW_COLUMNS, num * sizeof *copy);
    lbw_scratch_give(copy);
}

static void task(void *argument, size_t i)
{
    struct job *job = argument;
    size_t outer = i / job->tasks_per_outer, part = i % job->tasks_per_outer;
    size_t first = part * job->vectors_per_task * LBW_COLUMNS;
    size_t left = job->num_inner - first, most = job->vectors_per_task * LBW_COLUMNS;
    size_t num = left < most ? left : most;
    size_t at = outer * job->num_rows * job->num_inner + first;
    size_t vectors = num / LBW_COLUMNS, rest = num % LBW_COLUMNS;
    job->softmax(job->y + at, job->x + at, job->num_rows, job->num_inner, vectors);
    at += vectors * LBW_COLUMNS;
    if (rest)
        run_rest(job, job->y + at, job->x + at, rest);
}

enum lbw_status lbw_softmax(float *y, const float *x, size_t num_outer, size_t num_rows,
                            size_t num_inner, const struct lbw_isa *isa,
                            const struct lbw_parallel *parallel, struct lbw_error *err)
{
    struct job job = {.y = y,
                      .x = x,
                      .num_rows = num_rows,
                      .num_inner = num_inner,
                      .softmax = (isa ? isa->floats : lbw_plain_floats)->softmax};
    if (!num_outer || !num_rows || !num_inner)
        return LBW_OK;
    job.vectors_per_task = TASK_ELEMENTS / LBW_COLUMNS / num_rows + 1;
    size_t columns = job.vectors_per_task * LBW_COLUMNS;
    job.tasks_per_outer = (num_inner + columns - 1) / columns;
    parallel->run(parallel->user, num_outer * job.tasks_per_outer, task, &job);
    return atomic_load(&job.has_failed) ? lbw_fail_memory(err) : LBW_OK;
}
