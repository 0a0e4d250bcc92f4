/* SPDX-License-Identifier: MIT */
/* QAveragePool of `ai.lbw` as a kernel: a depthwise convolution whose weights are all 1. */
#include <stdlib.h>
#include <string.h>

#include "kernels/conv.h"
#include "kernels/op.h"

#define MAX_AREA 4096

enum input {
    INPUT_X,
    INPUT_X_SCALE,
    INPUT_X_ZERO,
    INPUT_Y_SCALE,
    INPUT_Y_ZERO,
    NUM_INPUTS,
};

static const unsigned char input_types[NUM_INPUTS] = {
    ORT_TYPE_UINT8, ORT_TYPE_FLOAT, ORT_TYPE_UINT8, ORT_TYPE_FLOAT, ORT_TYPE_UINT8,
};

struct kernel {
    struct lbw_conv_params params; /* attributes only */
};

static enum lbw_status read_attributes(struct lbw_conv_params *params,
                                       const struct ort_kernel_info *info,
                                       struct lbw_error *err)
{
    int64_t counts_padding = 0;
    *params = (struct lbw_conv_params){.groups = 1, .strides = {1, 1}, .dilations = {1, 1}};
    lbw_op_int(&counts_padding, info, "count_include_pad");
    LBW_TRY(lbw_op_ints(params->kernel, 2, info, "kernel_shape", err));
    LBW_TRY(lbw_op_ints(params->strides, 2, info, "strides", err));
    LBW_TRY(lbw_op_ints(params->pads, 4, info, "pads", err));
    LBW_TRY(lbw_conv_check(params, err));
    if (params->kernel[0] * params->kernel[1] > MAX_AREA)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "a window of %lld by %lld",
                        (long long)params->kernel[0], (long long)params->kernel[1]);
    for (int i = 0; i < 4; i++)
        if (params->pads[i] && !counts_padding)
            return lbw_fail(err, LBW_ERR_ARGUMENT, "padding that does not count");
    return LBW_OK;
}

static enum lbw_status create(void **kernel, const struct lbw_op *op,
                              const struct ort_kernel_info *info, struct lbw_error *err)
{
    (void)op;
    struct kernel *self = calloc(1, sizeof *self);
    if (!self)
        return lbw_fail_memory(err);
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

/* For as many channels as x has. */
static enum lbw_status make_conv(struct lbw_conv **out, const struct kernel *kernel,
                                 const struct lbw_op_tensor *tensors, struct lbw_error *err)
{
    struct lbw_conv_params params = kernel->params;
    struct lbw_scaling x, y;
    size_t channels = (size_t)tensors[INPUT_X].dims[1];
    size_t area = (size_t)(params.kernel[0] * params.kernel[1]);
    LBW_TRY(lbw_op_scaling(&x, &tensors[INPUT_X_SCALE], "x", err));
    LBW_TRY(lbw_op_scaling(&y, &tensors[INPUT_Y_SCALE], "y", err));
    int8_t *ones = malloc(channels * area + 1);
    float *scale = calloc(channels + 1, sizeof *scale);
    params.num_inputs = params.num_outputs = (int64_t)channels;
    params.groups = channels ? (int64_t)channels : 1;
    params.x_zero = x.zero;
    params.y_zero = y.zero;
    params.weights = ones;
    params.scale = scale;
    for (size_t i = 0; scale && i < channels; i++)
        scale[i] = x.scale / (float)area / y.scale;
    if (ones)
        memset(ones, 1, channels * area);
    enum lbw_status status =
        ones && scale ? lbw_conv_new(out, &params, lbw_isa_best(), err) : lbw_fail_memory(err);
    free(ones);
    free(scale);
    return status;
}

static enum lbw_status compute(void *kernel, struct ort_kernel_context *context,
                               struct lbw_error *err)
{
    struct lbw_op_tensor tensors[NUM_INPUTS];
    const struct lbw_op_tensor *x = tensors;
    struct lbw_op_team team;
    struct lbw_conv *conv = NULL;
    void *y = NULL;
    enum lbw_status status;
    for (size_t i = 0; i < NUM_INPUTS; i++)
        LBW_OR_OUT(lbw_op_input(&tensors[i], context, i, err));
    if (x->num_dims != 4)
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_ARGUMENT, "x has %zu dims, not 4", x->num_dims));
    LBW_OR_OUT(make_conv(&conv, kernel, tensors, err));
    int64_t dims[4] = {x->dims[0], x->dims[1], 0, 0};
    struct lbw_parallel threads = lbw_op_threads(&team, context);
    LBW_OR_OUT(lbw_conv_output(dims + 2, lbw_conv_params(conv), x->dims + 2, err));
    LBW_OR_OUT(lbw_op_output(&y, context, 0, dims, 4, err));
    LBW_OR_OUT(lbw_conv_run(conv, y, x->data, NULL, dims[0], x->dims + 2, &threads, err));
    if (team.has_failed)
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_RUNTIME, "threads failed"));
out:
    lbw_conv_free(&conv);
    return status;
}

struct lbw_op lbw_average_ops[] = {
    {
        .name = "QAveragePool",
        .num_inputs = NUM_INPUTS,
        .input_types = input_types,
        .num_outputs = 1,
        .output_type = ORT_TYPE_UINT8,
        .create = create,
        .compute = compute,
        .destroy = destroy,
    },
};
const size_t lbw_num_average_ops = sizeof lbw_average_ops / sizeof *lbw_average_ops;
