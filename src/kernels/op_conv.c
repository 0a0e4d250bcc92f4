/* SPDX-License-Identifier: MIT */
/* The convolutions of `ai.lbw` as kernels: inputs and attributes to lbw_conv, tables made. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/conv.h"
#include "kernels/op_activation.h"

/*
 * The inputs that all have, then those of the activations, then those of a sum. Where scales
 * may differ from channel to channel the bias's own scale comes behind the bias; else it is x's
 * times the weight's.
 */
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
    INPUT_R, /* what is added to the result */
    INPUT_R_SCALE,
    INPUT_R_ZERO,
    INPUT_S_SCALE, /* of the sum */
    INPUT_S_ZERO,
    INPUT_BIAS_SCALE,
    NUM_INPUTS,
};
#define NUM_SUM_INPUTS 5

#define U   ORT_TYPE_UINT8
#define F   ORT_TYPE_FLOAT
#define SUM U, F, U, F, U
static const unsigned char input_types[] = {U, F, U, ORT_TYPE_INT8, F, ORT_TYPE_INT32, F, U, F,
                                            U, F, U};
static const unsigned char channel_types[] = {
    U, F, U, ORT_TYPE_INT8, F, ORT_TYPE_INT32, F, F, U, F, U, F, U};

/* Before a sum there may be no scalings, that of c, or those of c and of a gate. */
#define SUM_TYPES(...)                                                                         \
    (const unsigned char[])                                                                    \
    {                                                                                          \
        U, F, U, ORT_TYPE_INT8, F, ORT_TYPE_INT32, F, U, __VA_ARGS__                           \
    }

/* What tells the operators apart. */
struct row {
    const struct lbw_activation *activation;
    enum input end;  /* of the inputs before those of a sum and the bias's scale */
    bool by_channel; /* it has a bias_scale */
    bool adds;       /* it has the inputs of a sum */
    bool clips;      /* the sum goes through Relu */
};

struct kernel {
    const struct row *row;
    struct lbw_settings settings;
    struct lbw_conv_params params; /* attributes only */
    struct lbw_conv *conv;         /* NULL: the weights are not known before a run */
};

/* Which input of the node holds this one. */
static size_t place_of(const struct row *row, size_t input)
{
    if (input == INPUT_BIAS_SCALE)
        return INPUT_BIAS + 1;
    if (input >= INPUT_R)
        return input - INPUT_R + row->end;
    return input + (row->by_channel && input > INPUT_BIAS);
}

static bool has_input(const struct row *row, size_t input)
{
    return input == INPUT_BIAS_SCALE ? row->by_channel
           : input >= INPUT_R        ? row->adds
                                     : input < row->end;
}

/* Of a convolution's tensors, c before its activation. */
struct scales {
    struct lbw_scalings x, y, c;
    struct lbw_scaling gate;
    bool has_c, has_gate;
};

static float x_scale(const struct scales *scales, const struct lbw_conv_params *p, size_t m)
{
    return lbw_scaling_at(&scales->x, m / (size_t)(p->num_outputs / p->groups)).scale;
}

static float number_at(const struct lbw_op_tensor *tensor, size_t m)
{
    return ((const float *)tensor->data)[tensor->count == 1 ? 0 : m];
}

/* The factors that requantise, one per output channel; owned by the caller. */
static enum lbw_status make_scale(float **out, const struct lbw_op_tensor *w_scale,
                                  const struct lbw_conv_params *params,
                                  const struct scales *scales, struct lbw_error *err)
{
    size_t num = (size_t)params->num_outputs;
    if (w_scale->count != 1 && w_scale->count != num)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "w_scale has %zu numbers for %zu channels",
                        w_scale->count, num);
    float *scale = calloc(num + 1, sizeof *scale);
    if (!scale)
        return lbw_fail_memory(err);
    for (size_t m = 0; m < num; m++)
        scale[m] = x_scale(scales, params, m) * number_at(w_scale, m) /
                   lbw_scaling_at(scales->has_c ? &scales->c : &scales->y, m).scale;
    *out = scale;
    return LBW_OK;
}

/* The bias in units of the sums, from those of its own scale; owned by the caller. */
static enum lbw_status make_bias(int32_t **out, const struct lbw_op_tensor *tensors,
                                 const struct lbw_conv_params *params,
                                 const struct scales *scales, struct lbw_error *err)
{
    const struct lbw_op_tensor *bias_scale = &tensors[INPUT_BIAS_SCALE];
    size_t num = (size_t)params->num_outputs;
    if (bias_scale->count != 1 && bias_scale->count != num)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "bias_scale has %zu numbers for %zu channels",
                        bias_scale->count, num);
    int32_t *bias = calloc(num + 1, sizeof *bias);
    if (!bias)
        return lbw_fail_memory(err);
    for (size_t m = 0; m < num; m++) {
        float unit = x_scale(scales, params, m) * number_at(&tensors[INPUT_W_SCALE], m);
        double units =
            rint((double)params->bias[m] * (double)number_at(bias_scale, m) / (double)unit);
        if (!(fabs(units) < 0x1p31)) {
            free(bias);
            return lbw_fail(err, LBW_ERR_ARGUMENT,
                            "the bias of output channel %zu exceeds 31 bits of its sums", m);
        }
        bias[m] = (int32_t)units;
    }
    *out = bias;
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
    return lbw_conv_check_shape(params, err);
}

static enum lbw_status read_scales(struct scales *out, const struct kernel *kernel,
                                   const struct lbw_op_tensor *tensors,
                                   const struct lbw_conv_params *params, struct lbw_error *err)
{
    size_t num = kernel->row->by_channel ? (size_t)params->num_outputs : 1;
    bool is_depthwise = kernel->row->by_channel && params->groups == params->num_inputs;
    size_t num_x = is_depthwise ? (size_t)params->num_inputs : 1;
    LBW_TRY(lbw_op_scalings(&out->x, &tensors[INPUT_X_SCALE], num_x, "x", err));
    LBW_TRY(lbw_op_scalings(&out->y, &tensors[INPUT_Y_SCALE], num, "y", err));
    out->has_c = has_input(kernel->row, INPUT_C_SCALE);
    out->has_gate = has_input(kernel->row, INPUT_G_SCALE);
    if (out->has_c)
        LBW_TRY(lbw_op_scalings(&out->c, &tensors[INPUT_C_SCALE], num, "c", err));
    if (out->has_gate)
        LBW_TRY(lbw_op_scaling(&out->gate, &tensors[INPUT_G_SCALE], "g", err));
    return LBW_OK;
}

/* The sum of the result and r, as ONNX Runtime's QLinearAdd. */
static enum lbw_status read_sum(struct lbw_conv_sum *out, const struct kernel *kernel,
                                const struct lbw_op_tensor *tensors,
                                const struct lbw_scalings *y, struct lbw_error *err)
{
    struct lbw_scaling r, s;
    LBW_TRY(lbw_op_scaling(&r, &tensors[INPUT_R_SCALE], "r", err));
    LBW_TRY(lbw_op_scaling(&s, &tensors[INPUT_S_SCALE], "s", err));
    out->own = lbw_scaling_at(y, 0).scale / s.scale;
    out->other = r.scale / s.scale;
    out->fixed = (float)s.zero - (out->own * (float)y->zero + out->other * (float)r.zero);
    out->least = kernel->row->clips ? s.zero : 0;
    return LBW_OK;
}

/* From all inputs but x and r, which are not looked at. */
static enum lbw_status make_conv(struct lbw_conv **out, const struct kernel *kernel,
                                 const struct lbw_op_tensor *tensors, struct lbw_error *err)
{
    struct lbw_conv_params params = kernel->params;
    const struct row *row = kernel->row;
    struct scales scales = {0};
    struct lbw_conv_sum sum;
    uint8_t *tables = NULL;
    float *scale = NULL;
    int32_t *bias = NULL;
    size_t num_tables = 0;
    enum lbw_status status;
    LBW_OR_OUT(read_shapes(&params, tensors, err));
    LBW_OR_OUT(read_scales(&scales, kernel, tensors, &params, err));
    params.x_zero = scales.x.zero;
    params.y_zero = scales.has_c ? scales.c.zero : scales.y.zero;
    LBW_OR_OUT(make_scale(&scale, &tensors[INPUT_W_SCALE], &params, &scales, err));
    if (row->adds) {
        LBW_OR_OUT(read_sum(&sum, kernel, tensors, &scales.y, err));
        params.sum = &sum;
    }
    if (row->by_channel)
        LBW_OR_OUT(make_bias(&bias, tensors, &params, &scales, err));
    if (row->activation->function) {
        tables = lbw_activation_tables(
            &num_tables, (size_t)params.num_outputs, row->activation, &kernel->settings,
            &scales.y, scales.has_c ? &scales.c : NULL, scales.has_gate ? &scales.gate : NULL);
        LBW_OR_OUT(tables ? LBW_OK : lbw_fail_memory(err));
    }
    params.scale = scale;
    params.bias = bias ? bias : params.bias;
    params.tables = tables;
    params.has_channel_tables = num_tables > 1;
    LBW_OR_OUT(lbw_conv_new(out, &params, lbw_isa_best(), err));
out:
    free(tables);
    free(scale);
    free(bias);
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
    lbw_activation_settings(&kernel->settings, kernel->row->activation, info);
    LBW_TRY(lbw_op_ints(params->strides, 2, info, "strides", err));
    LBW_TRY(lbw_op_ints(params->dilations, 2, info, "dilations", err));
    return lbw_op_ints(params->pads, 4, info, "pads", err);
}

/* Packs the weights at once where all inputs but x and r are constants. */
static enum lbw_status prepare(struct kernel *kernel, const struct ort_kernel_info *info,
                               struct lbw_error *err)
{
    struct lbw_op_tensor tensors[NUM_INPUTS] = {0};
    LBW_TRY(read_attributes(kernel, info, err));
    for (size_t i = INPUT_X_SCALE; i < NUM_INPUTS; i++) {
        bool is_constant = true;
        if (has_input(kernel->row, i) && i != INPUT_R)
            LBW_TRY(lbw_op_constant(&tensors[i], &is_constant, info, place_of(kernel->row, i),
                                    err));
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
    self->row = op->row;
    enum lbw_status status = prepare(self, info, err);
    if (status != LBW_OK)
        destroy(self);
    else
        *kernel = self;
    return status;
}

/* Bytes of y and r added up where their shapes differ, as ONNX broadcasts. */
static void add_broadcast(uint8_t *out, const int64_t dims[4], const uint8_t *y,
                          const int64_t y_dims[4], const struct lbw_op_tensor *r,
                          const int64_t r_dims[4], const struct lbw_conv_sum *sum)
{
    size_t at[4];
    for (at[0] = 0; at[0] < (size_t)dims[0]; at[0]++)
        for (at[1] = 0; at[1] < (size_t)dims[1]; at[1]++)
            for (at[2] = 0; at[2] < (size_t)dims[2]; at[2]++)
                for (at[3] = 0; at[3] < (size_t)dims[3]; at[3]++) {
                    size_t i = 0, k = 0;
                    for (int d = 0; d < 4; d++) {
                        i = i * (size_t)y_dims[d] + (y_dims[d] == 1 ? 0 : at[d]);
                        k = k * (size_t)r_dims[d] + (r_dims[d] == 1 ? 0 : at[d]);
                    }
                    *out++ = lbw_conv_add(y[i], ((const uint8_t *)r->data)[k], sum);
                }
}

/* The sum's dims; false where the two do not fit. */
static bool broadcast(int64_t dims[4], int64_t r_dims[4], const int64_t y_dims[4],
                      const struct lbw_op_tensor *r)
{
    if (r->num_dims > 4)
        return false;
    for (size_t d = 0; d < 4; d++) {
        size_t missing = 4 - r->num_dims;
        r_dims[d] = d < missing ? 1 : r->dims[d - missing];
        dims[d] = y_dims[d] == 1 ? r_dims[d] : y_dims[d];
        if (r_dims[d] != dims[d] && r_dims[d] != 1)
            return false;
    }
    return true;
}

/* r of another shape: the convolution first, then the sum. */
static enum lbw_status run_broadcast(struct lbw_conv *conv, const struct lbw_op_tensor *x,
                                     const struct lbw_op_tensor *r, const int64_t y_dims[4],
                                     struct ort_kernel_context *context, struct lbw_error *err)
{
    struct lbw_op_team team = {0};
    struct lbw_parallel threads = lbw_op_threads(&team, context);
    int64_t dims[4], r_dims[4];
    void *sum = NULL;
    uint8_t *y = NULL;
    enum lbw_status status;
    if (!broadcast(dims, r_dims, y_dims, r))
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_ARGUMENT, "r does not fit the convolution's result"));
    LBW_OR_OUT(lbw_op_output(&sum, context, 0, dims, 4, err));
    if (!dims[0] || !dims[1] || !dims[2] || !dims[3])
        goto out; /* y may be huge if the sum is empty */
    y = malloc((size_t)(y_dims[0] * y_dims[1] * y_dims[2] * y_dims[3]) + 1);
    LBW_OR_OUT(y ? LBW_OK : lbw_fail_memory(err));
    LBW_OR_OUT(lbw_conv_run(conv, y, x->data, NULL, x->dims[0], x->dims + 2, &threads, err));
    if (team.has_failed)
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_RUNTIME, "threads failed"));
    add_broadcast(sum, dims, y, y_dims, r, r_dims, lbw_conv_params(conv)->sum);
out:
    free(y);
    return status;
}

static enum lbw_status run(struct lbw_conv *conv, const struct lbw_op_tensor *x,
                           const struct lbw_op_tensor *r, struct ort_kernel_context *context,
                           struct lbw_error *err)
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
    if (params->sum && (r->num_dims != 4 || memcmp(r->dims, dims, sizeof dims) != 0))
        return run_broadcast(conv, x, r, dims, context, err);
    LBW_TRY(lbw_op_output(&y, context, 0, dims, 4, err));
    struct lbw_parallel threads = lbw_op_threads(&team, context);
    LBW_TRY(lbw_conv_run(conv, y, x->data, params->sum ? r->data : NULL, x->dims[0],
                         x->dims + 2, &threads, err));
    return team.has_failed ? lbw_fail(err, LBW_ERR_RUNTIME, "threads failed") : LBW_OK;
}

static enum lbw_status compute(void *kernel, struct ort_kernel_context *context,
                               struct lbw_error *err)
{
    struct kernel *self = kernel;
    struct lbw_op_tensor tensors[NUM_INPUTS] = {0};
    struct lbw_conv *conv = NULL;
    for (size_t i = INPUT_X; i < NUM_INPUTS; i++)
        if (has_input(self->row, i) && (!self->conv || i == INPUT_X || i == INPUT_R))
            LBW_TRY(lbw_op_input(&tensors[i], context, place_of(self->row, i), err));
    if (self->conv)
        return run(self->conv, &tensors[INPUT_X], &tensors[INPUT_R], context, err);
    LBW_TRY(make_conv(&conv, self, tensors, err));
    enum lbw_status status = run(conv, &tensors[INPUT_X], &tensors[INPUT_R], context, err);
    lbw_conv_free(&conv);
    return status;
}

#define CONV_OP(op_name, types, number, ...)                                                   \
    {                                                                                          \
        .name = op_name, .num_inputs = number, .input_types = types, .num_outputs = 1,         \
        .output_type = ORT_TYPE_UINT8, .row = &(const struct row){__VA_ARGS__},                \
        .create = create, .compute = compute, .destroy = destroy                               \
    }

#define FAMILY(OP)                                                                             \
    OP("", INPUT_C_SCALE, lbw_no_activation), OP("Relu", INPUT_C_SCALE, lbw_relu),             \
        OP("Clip", INPUT_C_SCALE, lbw_clip), OP("LeakyRelu", INPUT_G_SCALE, lbw_leaky_relu),   \
        OP("Sigmoid", INPUT_G_SCALE, lbw_sigmoid),                                             \
        OP("HardSigmoid", INPUT_G_SCALE, lbw_hard_sigmoid),                                    \
        OP("HardSwish", INPUT_G_SCALE, lbw_hard_swish), OP("Silu", INPUT_R, lbw_sigmoid),      \
        OP("HardSilu", INPUT_R, lbw_hard_sigmoid)

#define PLAIN(name, end, activation)                                                           \
    CONV_OP("QConv" name, input_types, end, &activation, end, false, false, false)
#define BY_CHANNEL(name, end, activation)                                                      \
    CONV_OP("QCConv" name, channel_types, end + 1, &activation, end, true, false, false)
#define TYPES_TO_INPUT_C_SCALE SUM_TYPES(SUM)
#define TYPES_TO_INPUT_G_SCALE SUM_TYPES(F, U, SUM)
#define TYPES_TO_INPUT_R       SUM_TYPES(F, U, F, U, SUM)
#define ADDED(name, end, activation)                                                           \
    CONV_OP("QConv" name "Add", TYPES_TO_##end, end + NUM_SUM_INPUTS, &activation, end, false, \
            true, false)
#define ADDED_RELU(name, end, activation)                                                      \
    CONV_OP("QConv" name "AddRelu", TYPES_TO_##end, end + NUM_SUM_INPUTS, &activation, end,    \
            false, true, true)

struct lbw_op lbw_conv_ops[] = {FAMILY(PLAIN), FAMILY(BY_CHANNEL), FAMILY(ADDED),
                                FAMILY(ADDED_RELU)};
const size_t lbw_num_conv_ops = sizeof lbw_conv_ops / sizeof *lbw_conv_ops;
