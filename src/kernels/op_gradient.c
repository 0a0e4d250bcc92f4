/* SPDX-License-Identifier: MIT */
/* Operators of `ai.lbw.gradient`, which training graphs hold: gradients in one pass. */
#include <stdlib.h>
#include <string.h>

#include "kernels/activation.h"
#include "kernels/dense.h"
#include "kernels/gradient.h"
#include "kernels/maxima.h"
#include "kernels/op.h"

static const unsigned char floats[] = {ORT_TYPE_FLOAT, ORT_TYPE_FLOAT, ORT_TYPE_FLOAT,
                                       ORT_TYPE_FLOAT};

/* The windows that an operator takes. */
struct limits {
    int64_t kernel, stride;
};
static const struct limits convolutions = {LBW_GRADIENT_MAX_KERNEL, LBW_GRADIENT_MAX_STRIDE};
static const struct limits maxima = {LBW_MAXIMA_MAX_KERNEL, LBW_MAXIMA_MAX_KERNEL};

struct kernel {
    float alpha, least;
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
    lbw_op_float(&self->least, info, "least");
    *kernel = self;
    return LBW_OK;
}

static enum lbw_status fail_shapes(struct lbw_error *err)
{
    return lbw_fail(err, LBW_ERR_ARGUMENT, "shapes that do not fit");
}

/* What an activation's gradient works on: planes are the channels of one image, else one. */
struct planes {
    struct lbw_op_tensor in[3];
    void *dx, *sums;
    size_t num, size;
};

/* The inputs, which must be alike, an output like them, and the sums of planes. */
static enum lbw_status open_planes(struct planes *p, struct ort_kernel_context *context,
                                   size_t num_inputs, struct lbw_error *err)
{
    for (size_t i = 0; i < num_inputs; i++) {
        LBW_TRY(lbw_op_input(&p->in[i], context, i, err));
        if (p->in[i].count != p->in[0].count)
            return lbw_fail(err, LBW_ERR_ARGUMENT, "inputs of %zu and %zu values",
                            p->in[0].count, p->in[i].count);
    }
    const int64_t *dims = p->in[1].dims;
    int64_t num = p->in[1].num_dims > 1 && dims[0] == 1 && dims[1] > 0 ? dims[1] : 1;
    p->num = (size_t)num;
    p->size = p->in[1].count / p->num;
    LBW_TRY(lbw_op_output(&p->dx, context, 0, dims, p->in[1].num_dims, err));
    return lbw_op_output(&p->sums, context, 1, &num, 1, err);
}

static enum lbw_status silu(void *kernel, struct ort_kernel_context *context,
                            struct lbw_error *err)
{
    struct planes p;
    (void)kernel;
    LBW_TRY(open_planes(&p, context, 3, err));
    lbw_gradient_silu(p.dx, p.sums, p.in[0].data, p.in[1].data, p.in[2].data, p.num, p.size);
    return LBW_OK;
}

static enum lbw_status leaky(void *kernel, struct ort_kernel_context *context,
                             struct lbw_error *err)
{
    const struct kernel *self = kernel;
    struct planes p;
    LBW_TRY(open_planes(&p, context, 2, err));
    lbw_gradient_leaky(p.dx, p.sums, p.in[0].data, p.in[1].data, p.num, p.size, self->alpha);
    return LBW_OK;
}

/* p, wanted, factors, scores → loss, dp */
static enum lbw_status scores(void *kernel, struct ort_kernel_context *context,
                              struct lbw_error *err)
{
    const struct kernel *self = kernel;
    struct lbw_op_tensor in[4];
    void *loss, *dp;
    for (size_t i = 0; i < 4; i++) {
        LBW_TRY(lbw_op_input(&in[i], context, i, err));
        if (in[i].count != in[0].count)
            return fail_shapes(err);
    }
    LBW_TRY(lbw_op_output(&loss, context, 0, NULL, 0, err));
    LBW_TRY(lbw_op_output(&dp, context, 1, in[0].dims, in[0].num_dims, err));
    const struct lbw_score_terms terms = {in[0].data, in[1].data, in[2].data, in[3].data,
                                          self->least};
    *(float *)loss = lbw_gradient_scores(dp, &terms, in[0].count);
    return LBW_OK;
}

static enum lbw_status read_attributes(struct kernel *self, const struct limits *limits,
                                       const struct ort_kernel_info *info,
                                       struct lbw_error *err)
{
    LBW_TRY(lbw_op_ints(self->kernel, 2, info, "kernel_shape", err));
    LBW_TRY(lbw_op_ints(self->strides, 2, info, "strides", err));
    LBW_TRY(lbw_op_ints(self->pads, 4, info, "pads", err));
    for (size_t i = 0; i < 2; i++)
        if (self->kernel[i] < 1 || self->kernel[i] > limits->kernel || self->strides[i] < 1 ||
            self->strides[i] > limits->stride || self->pads[i] < 0 ||
            self->pads[i] >= self->kernel[i] || self->pads[2 + i] < 0 ||
            self->pads[2 + i] >= self->kernel[i])
            return lbw_fail(err, LBW_ERR_ARGUMENT, "a window that has no gradient here");
    return LBW_OK;
}

static enum lbw_status create_window(void **kernel, const struct lbw_op *op,
                                     const struct ort_kernel_info *info, struct lbw_error *err)
{
    struct kernel *self = calloc(1, sizeof *self);
    if (!self)
        return lbw_fail_memory(err);
    enum lbw_status status = read_attributes(self, op->row, info, err);
    if (status != LBW_OK)
        free(self);
    else
        *kernel = self;
    return status;
}

/* The rows and columns of one image x and of a weight; `dims` are those of y. */
static enum lbw_status read_sides(int64_t dims[4], const struct kernel *self,
                                  const struct lbw_op_tensor *x, const struct lbw_op_tensor *w,
                                  struct lbw_error *err)
{
    if (x->num_dims != 4 || w->num_dims != 4 || x->dims[0] != 1)
        return fail_shapes(err);
    dims[0] = 1;
    dims[1] = w->dims[0];
    for (size_t i = 0; i < 2; i++) {
        int64_t padded = x->dims[2 + i] + self->pads[i] + self->pads[2 + i];
        if (w->dims[2 + i] != self->kernel[i] || padded < self->kernel[i])
            return fail_shapes(err);
        dims[2 + i] = (padded - self->kernel[i]) / self->strides[i] + 1;
    }
    return LBW_OK;
}

static enum lbw_status read_window(struct lbw_gradient_window *out, int64_t dims[4],
                                   const struct kernel *self, const struct lbw_op_tensor *x,
                                   const struct lbw_op_tensor *w, struct lbw_error *err)
{
    LBW_TRY(read_sides(dims, self, x, w, err));
    if (w->dims[0] != x->dims[1] || w->dims[1] != 1)
        return fail_shapes(err);
    for (size_t i = 0; i < 2; i++) {
        out->in[i] = (size_t)x->dims[2 + i];
        out->out[i] = (size_t)dims[2 + i];
        out->kernel[i] = (size_t)self->kernel[i];
        out->stride[i] = (size_t)self->strides[i];
        out->begin[i] = (size_t)self->pads[i];
    }
    return LBW_OK;
}

static enum lbw_status read_dense(struct lbw_dense_window *out, int64_t dims[4],
                                  const struct kernel *self, const struct lbw_op_tensor *x,
                                  const struct lbw_op_tensor *w, struct lbw_error *err)
{
    LBW_TRY(read_sides(dims, self, x, w, err));
    if (w->dims[1] != x->dims[1])
        return fail_shapes(err);
    out->channels = (size_t)x->dims[1];
    out->filters = (size_t)w->dims[0];
    for (size_t i = 0; i < 2; i++) {
        out->in[i] = (size_t)x->dims[2 + i];
        out->out[i] = (size_t)dims[2 + i];
        out->kernel[i] = (size_t)self->kernel[i];
        out->stride[i] = (size_t)self->strides[i];
        out->begin[i] = (size_t)self->pads[i];
    }
    return LBW_OK;
}

static enum lbw_status take_scratch(float **out, size_t num, struct lbw_error *err)
{
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
        return fail_shapes(err);
    LBW_TRY(lbw_op_output(&dx, context, 0, x.dims, 4, err));
    LBW_TRY(lbw_op_output(&dw, context, 1, w.dims, 4, err));
    LBW_TRY(take_scratch(&scratch, lbw_gradient_scratch(&window), err));
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
        return fail_shapes(err);
    LBW_TRY(lbw_op_output(&y, context, 0, dims, 4, err));
    LBW_TRY(take_scratch(&scratch, lbw_gradient_scratch(&window), err));
    lbw_depthwise(y, x.data, w.data, bias.data, (size_t)dims[1], &window, scratch);
    lbw_scratch_give(scratch);
    return LBW_OK;
}

/* x, w, bias → y */
static enum lbw_status dense(void *kernel, struct ort_kernel_context *context,
                             struct lbw_error *err)
{
    struct lbw_op_tensor x, w, bias;
    struct lbw_dense_window window;
    int64_t dims[4];
    float *scratch;
    void *y;
    LBW_TRY(lbw_op_input(&x, context, 0, err));
    LBW_TRY(lbw_op_input(&w, context, 1, err));
    LBW_TRY(lbw_op_input(&bias, context, 2, err));
    LBW_TRY(read_dense(&window, dims, kernel, &x, &w, err));
    if (bias.num_dims != 1 || bias.dims[0] != dims[1])
        return fail_shapes(err);
    LBW_TRY(lbw_op_output(&y, context, 0, dims, 4, err));
    LBW_TRY(take_scratch(&scratch, lbw_dense_scratch(&window), err));
    lbw_dense(y, x.data, w.data, bias.data, &window, scratch);
    lbw_scratch_give(scratch);
    return LBW_OK;
}

/* x, dy, w → dw; of w only the shape counts */
static enum lbw_status dense_weight(void *kernel, struct ort_kernel_context *context,
                                    struct lbw_error *err)
{
    struct lbw_op_tensor x, dy, w;
    struct lbw_dense_window window;
    int64_t dims[4];
    float *scratch;
    void *dw;
    LBW_TRY(lbw_op_input(&x, context, 0, err));
    LBW_TRY(lbw_op_input(&dy, context, 1, err));
    LBW_TRY(lbw_op_input(&w, context, 2, err));
    LBW_TRY(read_dense(&window, dims, kernel, &x, &w, err));
    if (dy.num_dims != 4 || memcmp(dims, dy.dims, sizeof dims) != 0)
        return fail_shapes(err);
    LBW_TRY(lbw_op_output(&dw, context, 0, w.dims, 4, err));
    LBW_TRY(take_scratch(&scratch, lbw_dense_scratch(&window), err));
    lbw_gradient_dense(dw, x.data, dy.data, &window, scratch);
    lbw_scratch_give(scratch);
    return LBW_OK;
}

/* x, dy → dx */
static enum lbw_status pool(void *kernel, struct ort_kernel_context *context,
                            struct lbw_error *err)
{
    const struct kernel *self = kernel;
    struct lbw_op_tensor x, dy;
    struct lbw_maxima_window window;
    float *scratch;
    void *dx;
    LBW_TRY(lbw_op_input(&x, context, 0, err));
    LBW_TRY(lbw_op_input(&dy, context, 1, err));
    if (x.num_dims != 4 || dy.num_dims != 4 || x.dims[0] != dy.dims[0] ||
        x.dims[1] != dy.dims[1] || !x.count || !dy.count)
        return fail_shapes(err);
    for (size_t i = 0; i < 2; i++) {
        window.in[i] = (size_t)x.dims[2 + i];
        window.out[i] = (size_t)dy.dims[2 + i];
        window.kernel[i] = (size_t)self->kernel[i];
        window.stride[i] = (size_t)self->strides[i];
        window.begin[i] = (size_t)self->pads[i];
    }
    LBW_TRY(lbw_op_output(&dx, context, 0, x.dims, 4, err));
    LBW_TRY(take_scratch(&scratch, lbw_maxima_scratch(&window), err));
    lbw_gradient_maxima(dx, x.data, dy.data, (size_t)(x.dims[0] * x.dims[1]), &window, scratch);
    lbw_scratch_give(scratch);
    return LBW_OK;
}

struct lbw_op lbw_gradient_ops[] = {
    {
        .name = "Silu",
        .num_inputs = 3, /* dy, x, y */
        .input_types = floats,
        .num_outputs = 2,
        .output_type = ORT_TYPE_FLOAT,
        .create = create_pointwise,
        .compute = silu,
        .destroy = destroy,
    },
    {
        .name = "LeakyRelu",
        .num_inputs = 2, /* dy, y */
        .input_types = floats,
        .num_outputs = 2,
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
        .row = &convolutions,
        .create = create_window,
        .compute = back,
        .destroy = destroy,
    },
    {
        .name = "DepthwiseConv", /* not a gradient, but what training does most */
        .num_inputs = 3,
        .input_types = floats,
        .num_outputs = 1,
        .output_type = ORT_TYPE_FLOAT,
        .row = &convolutions,
        .create = create_window,
        .compute = forth,
        .destroy = destroy,
    },
    {
        .name = "DenseConv",
        .num_inputs = 3,
        .input_types = floats,
        .num_outputs = 1,
        .output_type = ORT_TYPE_FLOAT,
        .row = &convolutions,
        .create = create_window,
        .compute = dense,
        .destroy = destroy,
    },
    {
        .name = "DenseWeight",
        .num_inputs = 3,
        .input_types = floats,
        .num_outputs = 1,
        .output_type = ORT_TYPE_FLOAT,
        .row = &convolutions,
        .create = create_window,
        .compute = dense_weight,
        .destroy = destroy,
    },
    {
        .name = "MaxPool",
        .num_inputs = 2,
        .input_types = floats,
        .num_outputs = 1,
        .output_type = ORT_TYPE_FLOAT,
        .row = &maxima,
        .create = create_window,
        .compute = pool,
        .destroy = destroy,
    },
    {
        .name = "Scores",
        .num_inputs = 4,
        .input_types = floats,
        .num_outputs = 2,
        .output_type = ORT_TYPE_FLOAT,
        .create = create_pointwise,
        .compute = scores,
        .destroy = destroy,
    },
};
const size_t lbw_num_gradient_ops = sizeof lbw_gradient_ops / sizeof *lbw_gradient_ops;
