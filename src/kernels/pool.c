/* SPDX-License-Identifier: MIT */
/* Maximum pooling: rows first, whole vectors at a time, then along the row that results. */
#include "kernels/pool.h"

#include <stdatomic.h>
#include <string.h>

#define MAX_SIDE  (1 << 24)
#define TASK_WORK (1 << 17) /* bytes of output times the window's sides */

static bool is_between(int64_t value, int64_t low, int64_t high)
{
    return value >= low && value <= high;
}

static int64_t min_dim(int64_t a, int64_t b)
{
    return a < b ? a : b;
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
    size_t pitch;  /* of a row with its padding, whole vectors and one more */
    size_t offset; /* of a row's first pixel */
    atomic_bool has_failed;
};

/* The largest of each column of the window's rows, to a padded row. */
static void fold_rows(uint8_t *row, const struct job *job, const uint8_t *plane, int64_t oy)
{
    const struct lbw_pool_params *p = job->params;
    int64_t first = oy * p->strides[0] - p->pads[0];
    memset(row, 0, job->pitch);
    for (int64_t k = 0; k < p->kernel[0]; k++) {
        int64_t iy = first + k * p->dilations[0];
        if (is_between(iy, 0, job->in[0] - 1))
            job->isa->maximum(row, plane + (size_t)iy * job->pitch, job->pitch);
    }
}

static void pool_plane(const struct job *job, uint8_t *scratch, uint8_t *y, const uint8_t *x)
{
    const struct lbw_pool_params *p = job->params;
    size_t height = (size_t)job->in[0], width = (size_t)job->in[1];
    size_t stride = (size_t)p->strides[1], out_width = (size_t)job->out[1];
    uint8_t *row = scratch + height * job->pitch, *along = row + 2 * job->pitch;
    for (size_t i = 0; i < height; i++)
        memcpy(scratch + i * job->pitch + job->offset, x + i * width, width);
    for (int64_t oy = 0; oy < job->out[0]; oy++, y += out_width) {
        fold_rows(row, job, scratch, oy);
        memcpy(along, row, job->pitch);
        for (int64_t k = 1; k < p->kernel[1]; k++)
            job->isa->maximum(
                along, row + k * p->dilations[1],
                min_dim((int64_t)job->pitch, (int64_t)((out_width - 1) * stride + 1)));
        if (stride == 1)
            memcpy(y, along, out_width);
        else if (stride == 2)
            job->isa->halve(y, along, out_width);
        else
            for (size_t i = 0; i < out_width; i++)
                y[i] = along[i * stride];
    }
}

static void pool_task(void *argument, size_t i)
{
    struct job *job = argument;
    size_t height = (size_t)job->in[0], plane = height * (size_t)job->in[1];
    size_t first = i * job->planes_per_task, last = first + job->planes_per_task;
    /* Behind the plane: a row and as much of zeros as a window may reach, and the result. */
    size_t size = (height + 3) * job->pitch + LBW_MAX_LANES;
    uint8_t *scratch = lbw_scratch_take(size);
    if (!scratch) {
        atomic_store(&job->has_failed, true);
        return;
    }
    memset(scratch, 0, size);
    for (size_t n = first; n < last && n < job->num_planes; n++)
        pool_plane(job, scratch, job->y + n * (size_t)(job->out[0] * job->out[1]),
                   job->x + n * plane);
    lbw_scratch_give(scratch);
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
                      .in = {sides[0], sides[1]},
                      .offset = (size_t)p->pads[1]};
    LBW_TRY(lbw_pool_output(job.out, p, sides, err));
    if (!isa)
        return lbw_pool_reference(y, x, num_planes, sides, p, err);
    if (!num_planes || !job.out[0] || !job.out[1])
        return LBW_OK;
    /* As far as the last window reaches, which may be beyond the padding when rounded up. */
    size_t reach =
        (size_t)((job.out[1] - 1) * p->strides[1] + (p->kernel[1] - 1) * p->dilations[1] + 1);
    size_t width = job.offset + (size_t)sides[1];
    job.pitch = ((reach > width ? reach : width) / isa->lanes + 1) * isa->lanes;
    size_t work = (size_t)(job.out[0] * (p->kernel[0] + p->kernel[1])) * job.pitch;
    job.planes_per_task = TASK_WORK / work + 1;
    parallel->run(parallel->user, (num_planes + job.planes_per_task - 1) / job.planes_per_task,
                  pool_task, &job);
    return atomic_load(&job.has_failed) ? lbw_fail_memory(err) : LBW_OK;
}
