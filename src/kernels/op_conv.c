/* SPDX-License-Identifier: MIT */
/* The convolutions of `ai.lbw` as kernels: inputs and attributes to lbw_conv, tables made. */
#include <stdlib.h>

#include "kernels/conv.h"
#include "kernels/op_activation.h"

#define TABLE_SIZE 256

/* The inputs that all have, then those of the activations. */
enum input {
    INPUT_X,
    INPUT_X_SCALE,
    INPUT_X_ZERO,
    INPUT_W,
    INPUT_W_SCALE,
    INPUT_BIAS,
    INPUT_Y_SCALE,
    INPUT_Y_ZERO,
    INPUT_C_SCALE, /* of the convolution's result before the activation */
    INPUT_C_ZERO,
    INPUT_G_SCALE, /* of the gate it is multiplied by */
    INPUT_G_ZERO,
    NUM_INPUTS,
};

static const unsigned char input_types[NUM_INPUTS] = {
    ORT_TYPE_UINT8, ORT_TYPE_FLOAT, ORT_TYPE_UINT8, ORT_TYPE_INT8,
    ORT_TYPE_FLOAT, ORT_TYPE_INT32, ORT_TYPE_FLOAT, ORT_TYPE_UINT8,
    ORT_TYPE_FLOAT, ORT_TYPE_UINT8, ORT_TYPE_FLOAT, ORT_TYPE_UINT8,
};

struct kernel {
    const struct lbw_activation *activation;
    size_t num_inputs;
    struct lbw_settings settings;
    struct lbw_conv_params params; /* attributes only */
    struct lbw_conv *conv;         /* NULL: the weights are not known before a run */
};

/* The factors that requantise, one per output channel; owned by the caller. */
static enum lbw_status make_scale(float **out, const struct lbw_op_tensor *w_scale, size_t num,
                                  float x_scale, float y_scale, struct lbw_error *err)
{
    if (w_scale->count != 1 && w_scale->count != num)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "w_scale has %zu numbers for %zu channels",
                        w_scale->count, num);
    float *scale = calloc(num + 1, sizeof *scale);
    if (!scale)
        return lbw_fail_memory(err);
    for (size_t m = 0; m < num; m++)
        scale[m] =
            x_scale * ((const float *)w_scale->data)[w_scale->count == 1 ? 0 : m] / y_scale;
    *out = scale;
    return LBW_OK;
}

/* The weights' dims and the bias; the rest of `params` are the attributes. */
static enum lbw_status read_shapes(struct lbw_conv_params *params,
                                   const struct lbw_op_tensor *tensors, struct lbw_error *err)
{
    const struct lbw_op_tensor *w = &tensors[INPUT_W], *bias = &tensors[INPUT_BIAS];
    if (w->num_dims != 4)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "w has %zu dims, not 4", w->num_dims);
    if (bias->count != (size_t)w->dims[0])
        return lbw_fail(err, LBW_ERR_ARGUMENT, "bias has %zu numbers for %lld channels",
                        bias->count, (long long)w->dims[0]);
    if (__builtin_mul_overflow(w->dims[1], params->groups, &params->num_inputs))
        return lbw_fail(err, LBW_ERR_ARGUMENT, "%lld groups", (long long)params->groups);
    params->num_outputs = w->dims[0];
    params->kernel[0] = w->dims[2];
    params->kernel[1] = w->dims[3];
    params->weights = w->data;
    params->bias = bias->data;
    return LBW_OK;
}

/* From all inputs but x, which is not looked at. */
static enum lbw_status make_conv(struct lbw_conv **out, const struct kernel *kernel,
                                 const struct lbw_op_tensor *tensors, struct lbw_error *err)
{
    struct lbw_conv_params params = kernel->params;
    const struct lbw_activation *activation = kernel->activation;
    bool has_c = kernel->num_inputs > INPUT_C_SCALE;
    bool has_gate = kernel->num_inputs > INPUT_G_SCALE;
    struct lbw_scaling x, y, c, gate;
    uint8_t table[TABLE_SIZE];
    float *scale = NULL;
    LBW_TRY(read_shapes(&params, tensors, err));
    LBW_TRY(lbw_op_scaling(&x, &tensors[INPUT_X_SCALE], "x", err));
    LBW_TRY(lbw_op_scaling(&y, &tensors[INPUT_Y_SCALE], "y", err));
    if (has_c)
        LBW_TRY(lbw_op_scaling(&c, &tensors[INPUT_C_SCALE], "c", err));
    if (has_gate)
        LBW_TRY(lbw_op_scaling(&gate, &tensors[INPUT_G_SCALE], "g", err));
    if (activation->function) {
        lbw_activation_table(table, activation, &kernel->settings, &y, has_c ? &c : NULL,
                             has_gate ? &gate : NULL);
        params.tables = table;
    }
    params.x_zero = x.zero;
    params.y_zero = has_c ? c.zero : y.zero;
    LBW_TRY(make_scale(&scale, &tensors[INPUT_W_SCALE], (size_t)params.num_outputs, x.scale,
                       has_c ? c.scale : y.scale, err));
    params.scale = scale;
    enum lbw_status status = lbw_conv_new(out, &params, lbw_isa_best(), err);
    free(scale);
    return status;
}

static enum lbw_status read_attributes(struct kernel *kernel,
                                       const struct ort_kernel_info *info,
                                       struct lbw_error *err)
{
    struct lbw_conv_params *params = &kernel->params;
    *params = (struct lbw_conv_params){
        .groups = 1, .strides = {1, 1}, .dilations = {1, 1}, .pads = {0, 0, 0, 0}};
    lbw_op_int(&params->groups, info, "group");
    lbw_activation_settings(&kernel->settings, kernel->activation, info);
    LBW_TRY(lbw_op_ints(params->strides, 2, info, "strides", err));
    LBW_TRY(lbw_op_ints(params->dilations, 2, info, "dilations", err));
    return lbw_op_ints(params->pads, 4, info, "pads", err);
}

/* Packs the weights at once where all inputs but x are constants. */
static enum lbw_status prepare(struct kernel *kernel, const struct ort_kernel_info *info,
                               struct lbw_error *err)
{
    struct lbw_op_tensor tensors[NUM_INPUTS] = {0};
    LBW_TRY(read_attributes(kernel, info, err));
    for (size_t i = INPUT_X_SCALE; i < kernel->num_inputs; i++) {
        bool is_constant = false;
        LBW_TRY(lbw_op_constant(&tensors[i], &is_constant, info, i, err));
        if (!is_constant)
            return LBW_OK;
    }
    return make_conv(&kernel->conv, kernel, tensors, err);
}

static void destroy(void *kernel)
{
    struct kernel *self = kernel;
    lbw_conv_free(&self->conv);
    free(self);
}

static enum lbw_status create(void **kernel, const struct lbw_op *op,
                              const struct ort_kernel_info *info, struct lbw_error *err)
{
    struct kernel *self = calloc(1, sizeof *self);
    if (!self)
        return lbw_fail_memory(err);
    self->activation = op->row;
    self->num_inputs = op->num_inputs;
    enum lbw_status status = prepare(self, info, err);
    if (status != LBW_OK)
        destroy(self);
    else
        *kernel = self;
    return status;
}

static enum lbw_status run(struct lbw_conv *conv, const struct lbw_op_tensor *x,
                           struct ort_kernel_context *context, struct lbw_error *err)
{
    const struct lbw_conv_params *params = lbw_conv_params(conv);
    struct lbw_op_team team;
    void *y = NULL;
    if (x->num_dims != 4 || x->dims[1] != params->num_inputs)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "x has %zu dims and %lld channels, expected 4 and %lld", x->num_dims,
                        x->num_dims > 1 ? (long long)x->dims[1] : 0LL,
                        (long long)params->num_inputs);
    int64_t dims[4] = {x->dims[0], params->num_outputs, 0, 0};
    LBW_TRY(lbw_conv_output(dims + 2, params, x->dims + 2, err));
    LBW_TRY(lbw_op_output(&y, context, 0, dims, 4, err));
    struct lbw_parallel threads = lbw_op_threads(&team, context);
    LBW_TRY(lbw_conv_run(conv, y, x->data, x->dims[0], x->dims + 2, &threads, err));
    return team.has_failed ? lbw_fail(err, LBW_ERR_RUNTIME, "threads failed") : LBW_OK;
}

static enum lbw_status compute(void *kernel, struct ort_kernel_context *context,
                               struct lbw_error *err)
{
    struct kernel *self = kernel;
    struct lbw_op_tensor tensors[NUM_INPUTS] = {0};
    struct lbw_conv *conv = NULL;
    LBW_TRY(lbw_op_input(&tensors[INPUT_X], context, INPUT_X, err));
    if (self->conv)
        return run(self->conv, &tensors[INPUT_X], context, err);
    for (size_t i = INPUT_X_SCALE; i < self->num_inputs; i++)
        LBW_TRY(lbw_op_input(&tensors[i], context, i, err));
    LBW_TRY(make_conv(&conv, self, tensors, err));
    enum lbw_status status = run(conv, &tensors[INPUT_X], context, err);
    lbw_conv_free(&conv);
    return status;
}

#define CONV_OP(op_name, number, activation)                                                   \
    {                                                                                          \
        .name = op_name, .num_inputs = number, .input_types = input_types, .num_outputs = 1,   \
        .output_type = ORT_TYPE_UINT8, .row = &activation, .create = create,                   \
        .compute = compute, .destroy = destroy                                                 \
    }

struct lbw_op lbw_conv_ops[] = {
    CONV_OP("QConv", INPUT_C_SCALE, lbw_no_activation),
    CONV_OP("QConvRelu", INPUT_C_SCALE, lbw_relu),
    CONV_OP("QConvClip", INPUT_C_SCALE, lbw_clip),
    CONV_OP("QConvLeakyRelu", INPUT_G_SCALE, lbw_leaky_relu),
    CONV_OP("QConvSigmoid", INPUT_G_SCALE, lbw_sigmoid),
    CONV_OP("QConvHardSigmoid", INPUT_G_SCALE, lbw_hard_sigmoid),
    CONV_OP("QConvHardSwish", INPUT_G_SCALE, lbw_hard_swish),
    CONV_OP("QConvSilu", NUM_INPUTS, lbw_sigmoid),
    CONV_OP("QConvHardSilu", NUM_INPUTS, lbw_hard_sigmoid),
};
const size_t lbw_num_conv_ops = sizeof lbw_conv_ops / sizeof *lbw_conv_ops;
