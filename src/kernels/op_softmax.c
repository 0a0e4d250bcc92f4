/* SPDX-License-Identifier: MIT */
/* FSoftmax of `ai.lbw` as a kernel: float in, float out. */
#include <stdlib.h>

#include "kernels/op.h"
#include "kernels/softmax.h"

static const unsigned char input_types[] = {ORT_TYPE_FLOAT};

struct kernel {
    int64_t axis;
    const struct lbw_isa *isa;
};

static enum lbw_status create(void **kernel, const struct lbw_op *op,
                              const struct ort_kernel_info *info, struct lbw_error *err)
{
    (void)op;
    struct kernel *self = calloc(1, sizeof *self);
    if (!self)
        return lbw_fail_memory(err);
    self->axis = -1;
    self->isa = lbw_isa_best();
    lbw_op_int(&self->axis, info, "axis");
    *kernel = self;
    return LBW_OK;
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
    int64_t rank = (int64_t)x.num_dims, axis = self->axis < 0 ? self->axis + rank : self->axis;
    if (axis < 0 || axis >= rank)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "axis %lld of %lld dims", (long long)self->axis,
                        (long long)rank);
    size_t outer = 1, inner = 1;
    for (int64_t i = 0; i < rank; i++)
        *(i < axis ? &outer : &inner) *= i == axis ? 1 : (size_t)x.dims[i];
    LBW_TRY(lbw_op_output(&y, context, 0, x.dims, x.num_dims, err));
    struct lbw_parallel threads = lbw_op_threads(&team, context);
    LBW_TRY(
        lbw_softmax(y, x.data, outer, (size_t)x.dims[axis], inner, self->isa, &threads, err));
    return team.has_failed ? lbw_fail(err, LBW_ERR_RUNTIME, "threads failed") : LBW_OK;
}

struct lbw_op lbw_softmax_ops[] = {
    {
        .name = "FSoftmax",
        .num_inputs = 1,
        .input_types = input_types,
        .num_outputs = 1,
        .output_type = ORT_TYPE_FLOAT,
        .create = create,
        .compute = compute,
        .destroy = destroy,
    },
};
const size_t lbw_num_softmax_ops = sizeof lbw_softmax_ops / sizeof *lbw_softmax_ops;
