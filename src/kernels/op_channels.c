/* SPDX-License-Identifier: MIT */
/* QChannels1 … QChannels12 of `ai.lbw`: channels of several tensors in any order. */
#include <stdlib.h>
#include <string.h>

#include "kernels/isa.h"
#include "kernels/op.h"

#define MAX_PARTS  12
#define TASK_BYTES (1 << 17)

struct part {
    const uint8_t *data;
    size_t channels;
    const struct lbw_op_mapping *mapping;
};

struct kernel {
    size_t num_parts;
    const struct lbw_isa *isa;
    struct lbw_op_mapping *mappings; /* NULL: scalings are not known before a run */
};

struct job {
    const struct kernel *kernel;
    struct part *parts;
    const int64_t *channels;
    size_t num_channels, total; /* of the output, of all parts */
    size_t plane, planes_per_task, num_planes;
    uint8_t *y;
};

static enum lbw_status create(void **kernel, const struct lbw_op *op,
                              const struct ort_kernel_info *info, struct lbw_error *err)
{
    struct kernel *self = calloc(1, sizeof *self);
    if (!self)
        return lbw_fail_memory(err);
    self->num_parts = (op->num_inputs - 3) / 3;
    self->isa = lbw_isa_best();
    enum lbw_status status = lbw_op_map_constants(&self->mappings, self->num_parts,
                                                  3 * self->num_parts + 1, info, err);
    if (status != LBW_OK)
        free(self);
    else
        *kernel = self;
    return status;
}

static void destroy(void *kernel)
{
    struct kernel *self = kernel;
    free(self->mappings);
    free(self);
}

static void copy_plane(const struct job *job, size_t i)
{
    size_t image = i / job->num_channels;
    int64_t channel = job->channels[i % job->num_channels];
    size_t at = (size_t)(channel + (channel < 0 ? (int64_t)job->total : 0));
    const struct part *part = job->parts;
    for (; at >= part->channels; part++)
        at -= part->channels;
    const uint8_t *x = part->data + (image * part->channels + at) * job->plane;
    uint8_t *y = job->y + i * job->plane;
    if (part->mapping->is_same)
        memcpy(y, x, job->plane);
    else if (job->kernel->isa)
        job->kernel->isa->look_up(y, x, job->plane, part->mapping->table);
    else
        for (size_t k = 0; k < job->plane; k++)
            y[k] = part->mapping->table[x[k]];
}

static void copy_planes(void *argument, size_t task)
{
    const struct job *job = argument;
    size_t i = task * job->planes_per_task, end = i + job->planes_per_task;
    for (; i < end && i < job->num_planes; i++)
        copy_plane(job, i);
}

/* Checks part k, and adds its channels. */
static enum lbw_status add_part(struct job *job, size_t k, const struct lbw_op_tensor *tensors,
                                const struct lbw_op_mapping *mappings, struct lbw_error *err)
{
    const struct lbw_op_tensor *x = &tensors[3 * k];
    struct part *part = &job->parts[k];
    if (x->num_dims != 4 || x->dims[0] != tensors->dims[0] || x->dims[2] != tensors->dims[2] ||
        x->dims[3] != tensors->dims[3])
        return lbw_fail(err, LBW_ERR_ARGUMENT, "x%zu differs from x0 in more than channels", k);
    part->data = x->data;
    part->channels = (size_t)x->dims[1];
    part->mapping = &mappings[k];
    job->total += part->channels;
    return LBW_OK;
}

static enum lbw_status read_channels(struct job *job, const struct lbw_op_tensor *channels,
                                     struct lbw_error *err)
{
    int64_t total = (int64_t)job->total;
    if (channels->num_dims != 1)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "channels has %zu dims, not 1",
                        channels->num_dims);
    job->channels = channels->data;
    job->num_channels = channels->count;
    for (size_t i = 0; i < channels->count; i++)
        if (job->channels[i] < -total || job->channels[i] >= total)
            return lbw_fail(err, LBW_ERR_ARGUMENT, "channel %lld of %zu",
                            (long long)job->channels[i], job->total);
    return LBW_OK;
}

static enum lbw_status compute(void *kernel, struct ort_kernel_context *context,
                               struct lbw_error *err)
{
    const struct kernel *self = kernel;
    struct lbw_op_tensor tensors[3 * MAX_PARTS + 3] = {0};
    struct part parts[MAX_PARTS];
    struct lbw_op_mapping once[MAX_PARTS];
    const struct lbw_op_mapping *mappings = self->mappings ? self->mappings : once;
    struct job job = {.kernel = self, .parts = parts};
    struct lbw_op_team team;
    size_t num = self->num_parts;
    void *y = NULL;
    for (size_t i = 0; i < 3 * num + 3; i++)
        if (!self->mappings || (i <= 3 * num && i % 3 == 0))
            LBW_TRY(lbw_op_input(&tensors[i], context, i, err));
    if (!self->mappings)
        LBW_TRY(lbw_op_map(once, num, tensors, &tensors[3 * num + 1], err));
    for (size_t k = 0; k < num; k++)
        LBW_TRY(add_part(&job, k, tensors, mappings, err));
    LBW_TRY(read_channels(&job, &tensors[3 * num], err));
    const int64_t dims[4] = {tensors->dims[0], (int64_t)job.num_channels, tensors->dims[2],
                             tensors->dims[3]};
    LBW_TRY(lbw_op_output(&y, context, 0, dims, 4, err));
    job.y = y;
    job.plane = (size_t)(dims[2] * dims[3]);
    job.num_planes = job.plane ? (size_t)dims[0] * job.num_channels : 0;
    job.planes_per_task = TASK_BYTES / (job.plane + 1) + 1;
    struct lbw_parallel threads = lbw_op_threads(&team, context);
    threads.run(threads.user, (job.num_planes + job.planes_per_task - 1) / job.planes_per_task,
                copy_planes, &job);
    return team.has_failed ? lbw_fail(err, LBW_ERR_RUNTIME, "threads failed") : LBW_OK;
}

#define X     ORT_TYPE_UINT8, ORT_TYPE_FLOAT, ORT_TYPE_UINT8
#define X2    X, X
#define X4    X2, X2
#define X8    X4, X4
#define Y     ORT_TYPE_INT64, ORT_TYPE_FLOAT, ORT_TYPE_UINT8
#define TYPES (const unsigned char[])

#define CHANNELS_OP(op_name, number, ...)                                                      \
    {                                                                                          \
        .name = op_name, .num_inputs = 3 * number + 3, .input_types = TYPES{__VA_ARGS__, Y},   \
        .num_outputs = 1, .output_type = ORT_TYPE_UINT8, .create = create, .compute = compute, \
        .destroy = destroy                                                                     \
    }

struct lbw_op lbw_channels_ops[] = {
    CHANNELS_OP("QChannels1", 1, X),           CHANNELS_OP("QChannels2", 2, X2),
    CHANNELS_OP("QChannels3", 3, X2, X),       CHANNELS_OP("QChannels4", 4, X4),
    CHANNELS_OP("QChannels5", 5, X4, X),       CHANNELS_OP("QChannels6", 6, X4, X2),
    CHANNELS_OP("QChannels7", 7, X4, X2, X),   CHANNELS_OP("QChannels8", 8, X8),
    CHANNELS_OP("QChannels9", 9, X8, X),       CHANNELS_OP("QChannels10", 10, X8, X2),
    CHANNELS_OP("QChannels11", 11, X8, X2, X), CHANNELS_OP("QChannels12", 12, X8, X4),
};
const size_t lbw_num_channels_ops = sizeof lbw_channels_ops / sizeof *lbw_channels_ops;
