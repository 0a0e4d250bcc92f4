/* SPDX-License-Identifier: MIT */
/* QFocus of `ai.lbw` as a kernel: four images of half the size, as consecutive channels. */
#include <stdlib.h>
#include <string.h>

#include "kernels/isa.h"
#include "kernels/op.h"

static const unsigned char input_types[] = {ORT_TYPE_UINT8};

/* The first row and column of each quarter of the output's channels. */
static const size_t phases[4][2] = {{0, 0}, {1, 0}, {0, 1}, {1, 1}};

struct kernel {
    const struct lbw_isa *isa;
};

struct job {
    const struct lbw_isa *isa;
    const uint8_t *x;
    uint8_t *y;
    size_t channels, height, width; /* of x */
};

static enum lbw_status create(void **kernel, const struct lbw_op *op,
                              const struct ort_kernel_info *info, struct lbw_error *err)
{
    (void)op, (void)info;
    struct kernel *self = calloc(1, sizeof *self);
    if (!self)
        return lbw_fail_memory(err);
    self->isa = lbw_isa_best();
    *kernel = self;
    return LBW_OK;
}

static void destroy(void *kernel)
{
    free(kernel);
}

/* Channel i of the output, counted over all images. */
static void fill_plane(void *argument, size_t i)
{
    const struct job *job = argument;
    size_t image = i / (4 * job->channels), quarter = i / job->channels % 4;
    size_t channel = i % job->channels;
    size_t width = job->width / 2, height = job->height / 2;
    const uint8_t *x = job->x + (image * job->channels + channel) * job->height * job->width;
    uint8_t *y = job->y + i * height * width;
    for (size_t row = 0; row < height; row++, y += width) {
        const uint8_t *from =
            x + (2 * row + phases[quarter][0]) * job->width + phases[quarter][1];
        if (job->isa)
            job->isa->halve(y, from, width);
        else
            for (size_t k = 0; k < width; k++)
                y[k] = from[2 * k];
    }
}

static enum lbw_status compute(void *kernel, struct ort_kernel_context *context,
                               struct lbw_error *err)
{
    const struct kernel *self = kernel;
    struct lbw_op_tensor x;
    struct lbw_op_team team;
    void *y = NULL;
    LBW_TRY(lbw_op_input(&x, context, 0, err));
    if (x.num_dims != 4 || x.dims[2] % 2 || x.dims[3] % 2)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "x has no even height and width");
    const int64_t dims[4] = {x.dims[0], 4 * x.dims[1], x.dims[2] / 2, x.dims[3] / 2};
    LBW_TRY(lbw_op_output(&y, context, 0, dims, 4, err));
    struct job job = {self->isa,         x.data,           y, (size_t)x.dims[1],
                      (size_t)x.dims[2], (size_t)x.dims[3]};
    struct lbw_parallel threads = lbw_op_threads(&team, context);
    threads.run(threads.user, x.count ? (size_t)(dims[0] * dims[1]) : 0, fill_plane, &job);
    return team.has_failed ? lbw_fail(err, LBW_ERR_RUNTIME, "threads failed") : LBW_OK;
}

struct lbw_op lbw_focus_ops[] = {
    {
        .name = "QFocus",
        .num_inputs = 1,
        .input_types = input_types,
        .num_outputs = 1,
        .output_type = ORT_TYPE_UINT8,
        .create = create,
        .compute = compute,
        .destroy = destroy,
    },
};
const size_t lbw_num_focus_ops = sizeof lbw_focus_ops / sizeof *lbw_focus_ops;
