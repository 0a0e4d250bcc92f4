/* SPDX-License-Identifier: MIT */
/* QMaxPool of `ai.lbw` as a kernel. The scaling does not change and is not read. */
#include <stdlib.h>

#include "kernels/op.h"
#include "kernels/pool.h"

static const unsigned char input_types[] = {ORT_TYPE_UINT8, ORT_TYPE_FLOAT, ORT_TYPE_UINT8};

struct kernel {
    struct lbw_pool_params params;
    const struct lbw_isa *isa;
};

static enum lbw_status read_attributes(struct lbw_pool_params *params,
                                       const struct ort_kernel_info *info,
                                       struct lbw_error *err)
{
    int64_t rounds_up = 0;
    *params = (struct lbw_pool_params){.strides = {1, 1}, .dilations = {1, 1}};
    lbw_op_int(&rounds_up, info, "ceil_mode");
    params->rounds_up = rounds_up != 0;
    LBW_TRY(lbw_op_ints(params->kernel, 2, info, "kernel_shape", err));
    LBW_TRY(lbw_op_ints(params->strides, 2, info, "strides", err));
    LBW_TRY(lbw_op_ints(params->dilations, 2, info, "dilations", err));
    LBW_TRY(lbw_op_ints(params->pads, 4, info, "pads", err));
    /* A side of 2^24 exceeds every window: checks the attributes without an input. */
    return lbw_pool_output((int64_t[2]){0}, params, (const int64_t[2]){1 << 24, 1 << 24}, err);
}

static enum lbw_status create(void **kernel, const struct lbw_op *op,
                              const struct ort_kernel_info *info, struct lbw_error *err)
{
    (void)op;
    struct kernel *self = calloc(1, sizeof *self);
    if (!self)
        return lbw_fail_memory(err);
    self->isa = lbw_isa_best();
    enum lbw_status status = read_attributes(&self->params, info, err);
    if (status != LBW_OK)
        free(self);
    else
        *kernel = self;
    return status;
}

static void destroy(void *kernel)
{
    free(kernel);
}

static enum lbw_status compute(void *kernel, struct ort_kernel_context *context,
                               struct lbw_error *err)
{
    const struct kernel *self = kernel;
    struct lbw_op_tensor x;
    struct lbw_op_team team;
    void *y = NULL;
    LBW_TRY(lbw_op_input(&x, context, 0, err));
    if (x.num_dims != 4)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "x has %zu dims, not 4", x.num_dims);
    int64_t dims[4] = {x.dims[0], x.dims[1]};
    LBW_TRY(lbw_pool_output(dims + 2, &self->params, x.dims + 2, err));
    LBW_TRY(lbw_op_output(&y, context, 0, dims, 4, err));
    struct lbw_parallel threads = lbw_op_threads(&team, context);
    LBW_TRY(lbw_pool_run(y, x.data, (size_t)(dims[0] * dims[1]), x.dims + 2, &self->params,
                         self->isa, &threads, err));
    return team.has_failed ? lbw_fail(err, LBW_ERR_RUNTIME, "threads failed") : LBW_OK;
}

struct lbw_op lbw_pool_ops[] = {
    {
        .name = "QMaxPool",
        .num_inputs = 3,
        .input_types = input_types,
        .num_outputs = 1,
        .output_type = ORT_TYPE_UINT8,
        .create = create,
        .compute = compute,
        .destroy = destroy,
    },
};
const size_t lbw_num_pool_ops = sizeof lbw_pool_ops / sizeof *lbw_pool_ops;
