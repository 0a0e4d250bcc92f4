/* SPDX-License-Identifier: MIT */
/* Maximum pooling: a plane with its padding is folded down, then across, whole vectors at a
 * time. */
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
    const uint8_t *x;
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

static void pool_plane(const struct job *job, uint8_t *plane, uint8_t *y, const uint8_t *x)
{
    const struct lbw_pool_params *p = job->params;
    size_t width = (size_t)job->in[1], stride = (size_t)p->strides[1];
    size_t out_width = (size_t)job->out[1], size = job->num_rows * job->pitch;
    uint8_t *at = plane + (size_t)p->pads[0] * job->pitch + (size_t)p->pads[1];
    memset(plane, 0, size + LBW_MAX_LANES);
    for (int64_t i = 0; i < job->in[0]; i++)
        memcpy(at + (size_t)i * job->pitch, x + (size_t)i * width, width);
    fold(plane, size, (size_t)p->kernel[0], (size_t)p->dilations[0] * job->pitch, job->isa);
    fold(plane, size, (size_t)p->kernel[1], (size_t)p->dilations[1], job->isa);
    for (int64_t oy = 0; oy < job->out[0]; oy++, y += out_width) {
        const uint8_t *row = plane + (size_t)(oy * p->strides[0]) * job->pitch;
        if (stride == 1)
            memcpy(y, row, out_width);
        else if (stride == 2)
            job->isa->halve(y, row, out_width);
        else
            for (size_t i = 0; i < out_width; i++)
                y[i] = row[i * stride];
    }
}

static void pool_task(void *argument, size_t i)
{
    struct job *job = argument;
    size_t first = i * job->planes_per_task, last = first + job->planes_per_task;
    uint8_t *plane = lbw_scratch_take(job->num_rows * job->pitch + LBW_MAX_LANES);
    if (!plane) {
        atomic_store(&job->has_failed, true);
        return;
    }
    for (size_t n = first; n < last && n < job->num_planes; n++)
        pool_plane(job, plane, job->y + n * (size_t)(job->out[0] * job->out[1]),
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
