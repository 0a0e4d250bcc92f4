/* SPDX-License-Identifier: MIT */
/* Operators of `ai.lbw.gradient`, which training graphs hold: gradients in one pass. */
#include <stdlib.h>
#include <string.h>

#include "kernels/gradient.h"
#include "kernels/op.h"

static const unsigned char floats[] = {ORT_TYPE_FLOAT, ORT_TYPE_FLOAT, ORT_TYPE_FLOAT};

struct kernel {
    float alpha;
    int64_t kernel[2], strides[2], pads[4];
};

static void destroy(void *kernel)
{
    free(kernel);
}

static enum lbw_status create_pointwise(void **kernel, const struct lbw_op *op,
                                        const struct ort_kernel_info *info,
                                        struct lbw_error *err)
{
    (void)op;
    struct kernel *self = calloc(1, sizeof *self);
    if (!self)
        return lbw_fail_memory(err);
    lbw_op_float(&self->alpha, info, "alpha");
    *kernel = self;
    return LBW_OK;
}

/* Inputs 0 and 1, which must be alike, and an output like them. */
static enum lbw_status open_pointwise(struct lbw_op_tensor in[2], void **out,
                                      struct ort_kernel_context *context, struct lbw_error *err)
{
    for (size_t i = 0; i < 2; i++)
        LBW_TRY(lbw_op_input(&in[i], context, i, err));
    if (in[0].count != in[1].count)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "inputs of %zu and %zu values", in[0].count,
                        in[1].count);
    return lbw_op_output(out, context, 0, in[1].dims, in[1].num_dims, err);
}

static enum lbw_status silu(void *kernel, struct ort_kernel_context *context,
                            struct lbw_error *err)
{
    struct lbw_op_tensor in[2];
    void *out;
    (void)kernel;
    LBW_TRY(open_pointwise(in, &out, context, err));
    lbw_gradient_silu(out, in[0].data, in[1].data, in[0].count);
    return LBW_OK;
}

static enum lbw_status leaky(void *kernel, struct ort_kernel_context *context,
                             struct lbw_error *err)
{
    const struct kernel *self = kernel;
    struct lbw_op_tensor in[2];
    void *out;
    LBW_TRY(open_pointwise(in, &out, context, err));
    lbw_gradient_leaky(out, in[0].data, in[1].data, in[0].count, self->alpha);
    return LBW_OK;
}

static enum lbw_status read_attributes(struct kernel *self, const struct ort_kernel_info *info,
                                       struct lbw_error *err)
{
    LBW_TRY(lbw_op_ints(self->kernel, 2, info, "kernel_shape", err));
    LBW_TRY(lbw_op_ints(self->strides, 2, info, "strides", err));
    LBW_TRY(lbw_op_ints(self->pads, 4, info, "pads", err));
    for (size_t i = 0; i < 2; i++)
        if (self->kernel[i] < 1 || self->kernel[i] > LBW_GRADIENT_MAX_KERNEL ||
            self->strides[i] < 1 || self->strides[i] > LBW_GRADIENT_MAX_STRIDE ||
            self->pads[i] < 0 || self->pads[i] >= self->kernel[i] || self->pads[2 + i] < 0 ||
            self->pads[2 + i] >= self->kernel[i])
            return lbw_fail(err, LBW_ERR_ARGUMENT, "a window that has no gradient here");
    return LBW_OK;
}

static enum lbw_status create_depthwise(void **kernel, const struct lbw_op *op,
                                        const struct ort_kernel_info *info,
                                        struct lbw_error *err)
{
    struct kernel *self = calloc(1, sizeof *self);
    (void)op;
    if (!self)
        return lbw_fail_memory(err);
    enum lbw_status status = read_attributes(self, info, err);
    if (status != LBW_OK)
        free(self);
    else
        *kernel = self;
    return status;
}

/* Of one image x and a weight; `dims` are those of y. */
static enum lbw_status read_window(struct lbw_gradient_window *out, int64_t dims[4],
                                   const struct kernel *self, const struct lbw_op_tensor *x,
                                   const struct lbw_op_tensor *w, struct lbw_error *err)
{
    if (x->num_dims != 4 || w->num_dims != 4 || x->dims[0] != 1 || w->dims[0] != x->dims[1] ||
        w->dims[1] != 1)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "shapes that do not fit");
    dims[0] = 1;
    dims[1] = x->dims[1];
    for (size_t i = 0; i < 2; i++) {
        int64_t padded = x->dims[2 + i] + self->pads[i] + self->pads[2 + i];
        if (w->dims[2 + i] != self->kernel[i] || padded < self->kernel[i])
            return lbw_fail(err, LBW_ERR_ARGUMENT, "shapes that do not fit");
        dims[2 + i] = (padded - self->kernel[i]) / self->strides[i] + 1;
        out->in[i] = (size_t)x->dims[2 + i];
        out->out[i] = (size_t)dims[2 + i];
        out->kernel[i] = (size_t)self->kernel[i];
        out->stride[i] = (size_t)self->strides[i];
        out->begin[i] = (size_t)self->pads[i];
    }
    return LBW_OK;
}

static enum lbw_status take_scratch(float **out, const struct lbw_gradient_window *window,
                                    struct lbw_error *err)
{
    size_t num = lbw_gradient_scratch(window);
    *out = num ? lbw_scratch_take(num * sizeof **out) : NULL;
    return *out ? LBW_OK : lbw_fail_memory(err);
}

/* x, dy, w → dx, dw */
static enum lbw_status back(void *kernel, struct ort_kernel_context *context,
                            struct lbw_error *err)
{
    struct lbw_op_tensor x, dy, w;
    struct lbw_gradient_window window;
    int64_t dims[4];
    float *scratch;
    void *dx, *dw;
    LBW_TRY(lbw_op_input(&x, context, 0, err));
    LBW_TRY(lbw_op_input(&dy, context, 1, err));
    LBW_TRY(lbw_op_input(&w, context, 2, err));
    LBW_TRY(read_window(&window, dims, kernel, &x, &w, err));
    if (dy.num_dims != 4 || memcmp(dims, dy.dims, sizeof dims) != 0)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "shapes that do not fit");
    LBW_TRY(lbw_op_output(&dx, context, 0, x.dims, 4, err));
    LBW_TRY(lbw_op_output(&dw, context, 1, w.dims, 4, err));
    LBW_TRY(take_scratch(&scratch, &window, err));
    lbw_gradient_depthwise(dx, dw, x.data, dy.data, w.data, (size_t)x.dims[1], &window,
                           scratch);
    lbw_scratch_give(scratch);
    return LBW_OK;
}

/* x, w, bias → y */
static enum lbw_status forth(void *kernel, struct ort_kernel_context *context,
                             struct lbw_error *err)
{
    struct lbw_op_tensor x, w, bias;
    struct lbw_gradient_window window;
    int64_t dims[4];
    float *scratch;
    void *y;
    LBW_TRY(lbw_op_input(&x, context, 0, err));
    LBW_TRY(lbw_op_input(&w, context, 1, err));
    LBW_TRY(lbw_op_input(&bias, context, 2, err));
    LBW_TRY(read_window(&window, dims, kernel, &x, &w, err));
    if (bias.num_dims != 1 || bias.dims[0] != dims[1])
        return lbw_fail(err, LBW_ERR_ARGUMENT, "shapes that do not fit");
    LBW_TRY(lbw_op_output(&y, context, 0, dims, 4, err));
    LBW_TRY(take_scratch(&scratch, &window, err));
    lbw_depthwise(y, x.data, w.data, bias.data, (size_t)dims[1], &window, scratch);
    lbw_scratch_give(scratch);
    return LBW_OK;
}

struct lbw_op lbw_gradient_ops[] = {
    {
        .name = "Silu",
        .num_inputs = 2, /* dy, x */
        .input_types = floats,
        .num_outputs = 1,
        .output_type = ORT_TYPE_FLOAT,
        .create = create_pointwise,
        .compute = silu,
        .destroy = destroy,
    },
    {
        .name = "LeakyRelu",
        .num_inputs = 2, /* dy, y */
        .input_types = floats,
        .num_outputs = 1,
        .output_type = ORT_TYPE_FLOAT,
        .create = create_pointwise,
        .compute = leaky,
        .destroy = destroy,
    },
    {
        .name = "Depthwise",
        .num_inputs = 3,
        .input_types = floats,
        .num_outputs = 2,
        .output_type = ORT_TYPE_FLOAT,
        .create = create_depthwise,
        .compute = back,
        .destroy = destroy,
    },
    {
        .name = "DepthwiseConv", /* not a gradient, but what training does most */
        .num_inputs = 3,
        .input_types = floats,
        .num_outputs = 1,
        .output_type = ORT_TYPE_FLOAT,
        .create = create_depthwise,
        .compute = forth,
        .destroy = destroy,
    },
};
const size_t lbw_num_gradient_ops = sizeof lbw_gradient_ops / sizeof *lbw_gradient_ops;
