/* SPDX-License-Identifier: MIT */
/*
 * Maximum pooling, whole vectors at a time. Of small windows each row of the output takes the
 * largest of its rows, then what is largest across; for others a plane with its padding is
 * folded down, then across.
 */
#include "kernels/pool.h"

#include <stdatomic.h>
#include <string.h>

#define MAX_SIDE  (1 << 24)
#define TASK_WORK (1 << 17) /* bytes */

static bool is_between(int64_t value, int64_t low, int64_t high)
{
    return value >= low && value <= high;
}

enum lbw_status lbw_pool_output(int64_t out[2], const struct lbw_pool_params *p,
                                const int64_t in[2], struct lbw_error *err)
{
    int64_t sides[2];
    for (int i = 0; i < 2; i++) {
        if (!is_between(p->kernel[i], 1, 1 << 12) || !is_between(p->strides[i], 1, 1 << 12) ||
            !is_between(p->dilations[i], 1, 1 << 12) || !is_between(p->pads[i], 0, MAX_SIDE) ||
            !is_between(p->pads[i + 2], 0, MAX_SIDE) || !is_between(in[i], 0, MAX_SIDE))
            return lbw_fail(err, LBW_ERR_ARGUMENT,
                            "a kernel, stride, dilation, padding or side is out of range");
        int64_t padded = in[i] + p->pads[i] + p->pads[i + 2];
        int64_t room = padded - (p->kernel[i] - 1) * p->dilations[i] - 1;
        sides[i] = room < 0 ? 0 : room / p->strides[i] + 1;
        /* A window more at the end, unless it begins in the padding there. */
        if (room >= 0 && p->rounds_up && room % p->strides[i] &&
            sides[i] * p->strides[i] < in[i] + p->pads[i])
            sides[i]++;
        if (in[i] > 0 && sides[i] < 1)
            return lbw_fail(err, LBW_ERR_ARGUMENT,
                            "an input side of %lld is too small for a window of %lld",
                            (long long)in[i], (long long)p->kernel[i]);
    }
    out[0] = sides[0];
    out[1] = sides[1];
    return LBW_OK;
}

static uint8_t window(const uint8_t *x, const int64_t in[2], const struct lbw_pool_params *p,
                      int64_t oy, int64_t ox)
{
    uint8_t most = 0;
    for (int64_t ky = 0; ky < p->kernel[0]; ky++)
        for (int64_t kx = 0; kx < p->kernel[1]; kx++) {
            int64_t iy = oy * p->strides[0] + ky * p->dilations[0] - p->pads[0];
            int64_t ix = ox * p->strides[1] + kx * p->dilations[1] - p->pads[1];
            if (is_between(iy, 0, in[0] - 1) && is_between(ix, 0, in[1] - 1) &&
                x[iy * in[1] + ix] > most)
                most = x[iy * in[1] + ix];
        }
    return most;
}

enum lbw_status lbw_pool_reference(uint8_t *y, const uint8_t *x, size_t num_planes,
                                   const int64_t in[2], const struct lbw_pool_params *p,
                                   struct lbw_error *err)
{
    int64_t out[2];
    LBW_TRY(lbw_pool_output(out, p, in, err));
    for (size_t i = 0; i < num_planes; i++, x += in[0] * in[1])
        for (int64_t oy = 0; oy < out[0]; oy++)
            for (int64_t ox = 0; ox < out[1]; ox++)
                *y++ = window(x, in, p, oy, ox);
    return LBW_OK;
}

struct job {
    const struct lbw_pool_params *params;
    const struct lbw_isa *isa;
    const uint8_t *x, *end;
    uint8_t *y;
    size_t num_planes, planes_per_task;
    int64_t in[2], out[2];
    size_t pitch, num_rows; /* of a plane with its padding, as far as windows reach */
    atomic_bool has_failed;
};

/*
 * The largest of `num` bytes `step` apart, for each of `size`: of two, of those two and two
 * more, and so on. In place, because it only looks ahead.
 */
static void fold(uint8_t *plane, size_t size, size_t num, size_t step,
                 const struct lbw_isa *isa)
{
    for (size_t done = 1; done < num;) {
        size_t more = done < num - done ? done : num - done, ahead = more * step;
        if (ahead < size)
            isa->maximum(plane, plane + ahead, size - ahead);
        done += more;
    }
}

/* A row of the output from what is largest around each column of the padded input. */
static void store_row(const struct job *job, uint8_t *y, const uint8_t *row)
{
    size_t num = (size_t)job->out[1], stride = (size_t)job->params->strides[1];
    if (stride == 1)
        memcpy(y, row, num);
    else if (stride == 2)
        job->isa->halve(y, row, num);
    else
        for (size_t i = 0; i < num; i++)
            y[i] = row[i * stride];
}

static void pool_plane(const struct job *job, uint8_t *plane, uint8_t *y, const uint8_t *x)
{
    const struct lbw_pool_params *p = job->params;
    size_t width = (size_t)job->in[1], size = job->num_rows * job->pitch;
    uint8_t *at = plane + (size_t)p->pads[0] * job->pitch + (size_t)p->pads[1];
    memset(plane, 0, size + LBW_MAX_LANES);
    for (int64_t i = 0; i < job->in[0]; i++)
        memcpy(at + (size_t)i * job->pitch, x + (size_t)i * width, width);
    fold(plane, size, (size_t)p->kernel[0], (size_t)p->dilations[0] * job->pitch, job->isa);
    fold(plane, size, (size_t)p->kernel[1], (size_t)p->dilations[1], job->isa);
    for (int64_t oy = 0; oy < job->out[0]; oy++)
        store_row(job, y + oy * job->out[1], plane + (size_t)(oy * p->strides[0]) * job->pitch);
}

/* A side of windows whose rows and columns are few enough to be compared all at once. */
#define SMALL_KERNEL  3
#define SMALL_BUFFERS (SMALL_KERNEL + 2)

/* Small windows; `row` has room for SMALL_BUFFERS padded rows, each with a vector more. */
static void pool_rows(const struct job *job, uint8_t *row, uint8_t *y, const uint8_t *x)
{
    const struct lbw_pool_params *p = job->params;
    size_t width = (size_t)job->in[1], left = (size_t)p->pads[1];
    size_t room = job->pitch + LBW_MAX_LANES;
    uint8_t *across = row + room, *copies = across + room;
    const uint8_t *rows[SMALL_KERNEL], *columns[SMALL_KERNEL];
    for (int64_t kx = 0; kx < p->kernel[1]; kx++)
        columns[kx] = row + kx * p->dilations[1];
    memset(row, 0, room);
    for (int64_t oy = 0; oy < job->out[0]; oy++) {
        size_t num = 0;
        for (int64_t ky = 0; ky < p->kernel[0]; ky++) {
            int64_t iy = oy * p->strides[0] + ky * p->dilations[0] - p->pads[0];
            if (!is_between(iy, 0, job->in[0] - 1))
                continue;
            rows[num] = x + (size_t)iy * width;
            /* at the end of x a vector would go too far */
            if ((size_t)(job->end - rows[num]) < width + LBW_MAX_LANES)
                rows[num] = memcpy(copies + num * room, rows[num], width);
            num++;
        }
        if (num)
            job->isa->largest(row + left, rows, num, width);
        size_t done = left + (num ? width : 0);
        memset(row + done, 0, room - done);
        job->isa->largest(across, columns, (size_t)p->kernel[1],
                          (size_t)((job->out[1] - 1) * p->strides[1] + 1));
        store_row(job, y + oy * job->out[1], across);
    }
}

static void pool_task(void *argument, size_t i)
{
    struct job *job = argument;
    size_t first = i * job->planes_per_task, last = first + job->planes_per_task;
    const int64_t *kernel = job->params->kernel;
    bool is_small = kernel[0] <= SMALL_KERNEL && kernel[1] <= SMALL_KERNEL;
    size_t num_rows = is_small ? SMALL_BUFFERS : job->num_rows;
    uint8_t *plane = lbw_scratch_take(num_rows * (job->pitch + LBW_MAX_LANES));
    if (!plane) {
        atomic_store(&job->has_failed, true);
        return;
    }
    for (size_t n = first; n < last && n < job->num_planes; n++)
        (is_small ? pool_rows : pool_plane)(job, plane,
                                            job->y + n * (size_t)(job->out[0] * job->out[1]),
                                            job->x + n * (size_t)(job->in[0] * job->in[1]));
    lbw_scratch_give(plane);
}

/* How far windows or the input extend along a dim. */
static size_t reach(const struct job *job, int i)
{
    const struct lbw_pool_params *p = job->params;
    int64_t windows = (job->out[i] - 1) * p->strides[i] + (p->kernel[i] - 1) * p->dilations[i];
    int64_t input = p->pads[i] + job->in[i];
    return (size_t)(windows + 1 > input ? windows + 1 : input);
}

enum lbw_status lbw_pool_run(uint8_t *y, const uint8_t *x, size_t num_planes,
                             const int64_t sides[2], const struct lbw_pool_params *p,
                             const struct lbw_isa *isa, const struct lbw_parallel *parallel,
                             struct lbw_error *err)
{
    struct job job = {.params = p,
                      .isa = isa,
                      .x = x,
                      .end = x + num_planes * (size_t)(sides[0] * sides[1]),
                      .y = y,
                      .num_planes = num_planes,
                      .in = {sides[0], sides[1]}};
    LBW_TRY(lbw_pool_output(job.out, p, sides, err));
    if (!isa)
        return lbw_pool_reference(y, x, num_planes, sides, p, err);
    if (!num_planes || !job.out[0] || !job.out[1])
        return LBW_OK;
    job.num_rows = reach(&job, 0);
    job.pitch = reach(&job, 1);
    job.planes_per_task = TASK_WORK / (job.num_rows * job.pitch) + 1;
    parallel->run(parallel->user, (num_planes + job.planes_per_task - 1) / job.planes_per_task,
                  pool_task, &job);
    return atomic_load(&job.has_failed) ? lbw_fail_memory(err) : LBW_OK;
}
