/* SPDX-License-Identifier: MIT */
/*
 * The convolutions of `ai.lbw` that read or write float. Those that read bytes run on integers
 * where the weights of each output channel turn out to be multiples of one step.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/conv_float.h"
#include "kernels/op_activation.h"

#define MAX_INPUTS 9

/* The most that a weight may be from a multiple of the step, in steps. */
#define TOLERANCE 1e-4F

/* Inputs come in this order; which of them an operator has stands in its row. */
enum part {
    PART_X,
    PART_X_SCALING, /* two inputs, as all scalings are */
    PART_W,
    PART_BIAS,
    PART_Y_SCALING,
    PART_C_SCALING,
    PART_GATE_SCALING,
    NUM_PARTS,
};

struct row {
    signed char at[NUM_PARTS]; /* first input of a part; -1: it has none */
    enum lbw_curve curve;      /* without y's scaling: the output is float */
    const struct lbw_activation *activation;
};

struct kernel {
    const struct lbw_op *op;
    const struct row *row;
    struct lbw_settings settings;
    struct lbw_conv_params shape; /* attributes, and the weights' dims */
    bool by_channel;              /* y and c may have a scale per channel */
    bool is_ready;                /* all but x was constant */
    struct lbw_conv *on_bytes;
    struct lbw_conv_float *on_floats;
    struct lbw_scaling x;
};

/* The largest step of which all weights are multiples up to 127; 0: there is none. */
static float step_of(const float *w, size_t num)
{
    float most = 0;
    for (size_t i = 0; i < num; i++)
        most = fmaxf(most, fabsf(w[i]));
    if (!isfinite(most) || most == 0)
        return most == 0 ? 1 : 0;
    for (int levels = 1; levels <= 127; levels++) {
        float step = most / (float)levels;
        size_t i = 0;
        while (i < num && fabsf(w[i] / step - rintf(w[i] / step)) <= TOLERANCE)
            i++;
        if (i == num)
            return step;
    }
    return 0;
}

/* Codes and steps of all rows; false where one of them has none, or its sums are no numbers. */
static bool find_codes(int8_t *codes, float *steps, const float *w, size_t num_rows,
                       size_t size, float x_scale)
{
    for (size_t m = 0; m < num_rows; m++, w += size, codes += size) {
        float step = step_of(w, size);
        steps[m] = x_scale * step;
        if (step == 0 || !isfinite(steps[m]))
            return false;
        for (size_t i = 0; i < size; i++)
            codes[i] = (int8_t)rintf(w[i] / step);
    }
    return true;
}

static enum lbw_status make_on_bytes(struct kernel *kernel, const float *w, const float *bias,
                                     const struct lbw_ending *ending, struct lbw_error *err)
{
    struct lbw_conv_params params = kernel->shape;
    size_t rows = (size_t)params.num_outputs;
    size_t size =
        (size_t)(params.num_inputs / params.groups * params.kernel[0] * params.kernel[1]);
    int8_t *codes = malloc(rows * size + 1);
    float *steps = calloc(rows + 1, sizeof *steps);
    enum lbw_status status = LBW_OK;
    if (!codes || !steps)
        LBW_OR_OUT(lbw_fail_memory(err));
    if (!find_codes(codes, steps, w, rows, size, kernel->x.scale))
        goto out;
    params.weights = codes;
    params.scale = steps;
    params.x_zero = kernel->x.zero;
    params.ending = ending;
    params.float_bias = bias;
    status = lbw_conv_new(&kernel->on_bytes, &params, lbw_isa_best(), err);
out:
    free(codes);
    free(steps);
    return status;
}

static enum lbw_status read_shapes(struct kernel *kernel, const struct lbw_op_tensor *w,
                                   const struct lbw_op_tensor *bias, struct lbw_error *err)
{
    struct lbw_conv_params *shape = &kernel->shape;
    if (w->num_dims != 4)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "w has %zu dims, not 4", w->num_dims);
    if (bias->count != (size_t)w->dims[0])
        return lbw_fail(err, LBW_ERR_ARGUMENT, "bias has %zu numbers for %lld channels",
                        bias->count, (long long)w->dims[0]);
    if (__builtin_mul_overflow(w->dims[1], shape->groups, &shape->num_inputs))
        return lbw_fail(err, LBW_ERR_ARGUMENT, "%lld groups", (long long)shape->groups);
    shape->num_outputs = w->dims[0];
    shape->kernel[0] = w->dims[2];
    shape->kernel[1] = w->dims[3];
    return lbw_conv_check_shape(shape, err);
}

static enum lbw_status read_scaling(struct lbw_scaling *out, const struct kernel *kernel,
                                    enum part part, const struct lbw_op_tensor *tensors,
                                    const char *what, struct lbw_error *err)
{
    int at = kernel->row->at[part];
    return at < 0 ? LBW_OK : lbw_op_scaling(out, &tensors[at], what, err);
}

/* Bytes: scales and tables of the output. */
static enum lbw_status make_to_bytes(struct kernel *kernel,
                                     struct lbw_conv_float_params *params,
                                     const struct lbw_op_tensor *tensors,
                                     const struct lbw_scaling *gate, struct lbw_error *err)
{
    const struct row *row = kernel->row;
    size_t num = (size_t)kernel->shape.num_outputs, num_tables = 0;
    size_t num_scales = kernel->by_channel ? num : 1;
    bool has_c = row->at[PART_C_SCALING] >= 0, has_table = row->activation->function != NULL;
    struct lbw_scalings y = {0}, c = {0};
    float *scales = calloc(num + 1, sizeof *scales);
    uint8_t *tables = NULL;
    enum lbw_status status;
    LBW_OR_OUT(scales ? LBW_OK : lbw_fail_memory(err));
    LBW_OR_OUT(lbw_op_scalings(&y, &tensors[row->at[PART_Y_SCALING]], num_scales, "y", err));
    if (has_c)
        LBW_OR_OUT(
            lbw_op_scalings(&c, &tensors[row->at[PART_C_SCALING]], num_scales, "c", err));
    if (has_table)
        tables = lbw_activation_tables(&num_tables, num, row->activation, &kernel->settings, &y,
                                       has_c ? &c : NULL, gate);
    LBW_OR_OUT(tables || !has_table ? LBW_OK : lbw_fail_memory(err));
    for (size_t m = 0; m < num; m++)
        scales[m] = lbw_scaling_at(has_c ? &c : &y, m).scale;
    params->scales = scales;
    params->zero = has_c ? c.zero : y.zero;
    params->tables = tables;
    params->has_channel_tables = num_tables > 1;
    LBW_OR_OUT(lbw_conv_float_new(&kernel->on_floats, params, lbw_isa_best(), err));
out:
    free(scales);
    free(tables);
    return status;
}

/* From all inputs but x, which is not looked at. */
static enum lbw_status make(struct kernel *kernel, const struct lbw_op_tensor *tensors,
                            struct lbw_error *err)
{
    const struct row *row = kernel->row;
    const struct lbw_op_tensor *w = &tensors[row->at[PART_W]];
    const struct lbw_op_tensor *bias = &tensors[row->at[PART_BIAS]];
    struct lbw_scaling gate = {0};
    bool has_gate = row->at[PART_GATE_SCALING] >= 0;
    LBW_TRY(read_shapes(kernel, w, bias, err));
    LBW_TRY(read_scaling(&kernel->x, kernel, PART_X_SCALING, tensors, "x", err));
    LBW_TRY(read_scaling(&gate, kernel, PART_GATE_SCALING, tensors, "g", err));
    const struct lbw_ending ending = {row->curve, gate.scale, -(float)gate.zero,
                                      255 - (float)gate.zero};
    struct lbw_conv_float_params params = {
        .shape = kernel->shape, .weights = w->data, .bias = bias->data};
    if (row->at[PART_Y_SCALING] >= 0)
        return make_to_bytes(kernel, &params, tensors, has_gate ? &gate : NULL, err);
    if (row->at[PART_X_SCALING] >= 0)
        LBW_TRY(make_on_bytes(kernel, w->data, bias->data, &ending, err));
    params.ending = &ending;
    return kernel->on_bytes
               ? LBW_OK
               : lbw_conv_float_new(&kernel->on_floats, &params, lbw_isa_best(), err);
}

static enum lbw_status read_attributes(struct kernel *kernel,
                                       const struct ort_kernel_info *info,
                                       struct lbw_error *err)
{
    struct lbw_conv_params *shape = &kernel->shape;
    *shape = (struct lbw_conv_params){.groups = 1, .strides = {1, 1}, .dilations = {1, 1}};
    lbw_activation_settings(&kernel->settings, kernel->row->activation, info);
    lbw_op_int(&shape->groups, info, "group");
    LBW_TRY(lbw_op_ints(shape->strides, 2, info, "strides", err));
    LBW_TRY(lbw_op_ints(shape->dilations, 2, info, "dilations", err));
    return lbw_op_ints(shape->pads, 4, info, "pads", err);
}

static enum lbw_status prepare(struct kernel *kernel, const struct ort_kernel_info *info,
                               struct lbw_error *err)
{
    struct lbw_op_tensor tensors[MAX_INPUTS] = {0};
    LBW_TRY(read_attributes(kernel, info, err));
    for (size_t i = 1; i < kernel->op->num_inputs; i++) {
        bool is_constant = false;
        LBW_TRY(lbw_op_constant(&tensors[i], &is_constant, info, i, err));
        if (!is_constant)
            return LBW_OK;
    }
    kernel->is_ready = true;
    return make(kernel, tensors, err);
}

static void destroy(void *kernel)
{
    struct kernel *self = kernel;
    lbw_conv_free(&self->on_bytes);
    lbw_conv_float_free(&self->on_floats);
    free(self);
}

static enum lbw_status create(void **kernel, const struct lbw_op *op,
                              const struct ort_kernel_info *info, struct lbw_error *err)
{
    struct kernel *self = calloc(1, sizeof *self);
    if (!self)
        return lbw_fail_memory(err);
    self->op = op;
    self->row = op->row;
    self->by_channel = strncmp(op->name, "FC", 2) == 0 && op->name[2] == 'C';
    enum lbw_status status = prepare(self, info, err);
    if (status != LBW_OK)
        destroy(self);
    else
        *kernel = self;
    return status;
}

/* Bytes whose weights are on no grid: as floats. */
static enum lbw_status run_as_floats(const struct kernel *self, void *y,
                                     const struct lbw_op_tensor *x,
                                     const struct lbw_parallel *threads, struct lbw_error *err)
{
    const uint8_t *bytes = x->data;
    float *floats = malloc((x->count + 1) * sizeof *floats);
    if (!floats)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < x->count; i++)
        floats[i] = lbw_dequantize(bytes[i], &self->x);
    enum lbw_status status =
        lbw_conv_float_run(self->on_floats, y, floats, x->dims[0], x->dims + 2, threads, err);
    free(floats);
    return status;
}

static enum lbw_status run(const struct kernel *self, const struct lbw_op_tensor *x,
                           struct ort_kernel_context *context, struct lbw_error *err)
{
    const struct lbw_conv_params *shape = &self->shape;
    struct lbw_op_team team;
    void *y = NULL;
    if (x->num_dims != 4 || x->dims[1] != shape->num_inputs)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "x has %zu dims and %lld channels, expected 4 and %lld", x->num_dims,
                        x->num_dims > 1 ? (long long)x->dims[1] : 0LL,
                        (long long)shape->num_inputs);
    int64_t dims[4] = {x->dims[0], shape->num_outputs, 0, 0};
    LBW_TRY(lbw_conv_output(dims + 2, shape, x->dims + 2, err));
    LBW_TRY(lbw_op_output(&y, context, 0, dims, 4, err));
    struct lbw_parallel threads = lbw_op_threads(&team, context);
    if (self->on_bytes)
        LBW_TRY(lbw_conv_run(self->on_bytes, y, x->data, NULL, x->dims[0], x->dims + 2,
                             &threads, err));
    else if (self->row->at[PART_X_SCALING] >= 0)
        LBW_TRY(run_as_floats(self, y, x, &threads, err));
    else
        LBW_TRY(lbw_conv_float_run(self->on_floats, y, x->data, x->dims[0], x->dims + 2,
                                   &threads, err));
    return team.has_failed ? lbw_fail(err, LBW_ERR_RUNTIME, "threads failed") : LBW_OK;
}

/* Where an input is not known before, everything is made for this run. */
static enum lbw_status compute(void *kernel, struct ort_kernel_context *context,
                               struct lbw_error *err)
{
    const struct kernel *self = kernel;
    struct lbw_op_tensor tensors[MAX_INPUTS] = {0};
    LBW_TRY(lbw_op_input(&tensors[PART_X], context, PART_X, err));
    if (self->is_ready)
        return run(self, &tensors[PART_X], context, err);
    struct kernel once = *self;
    for (size_t i = 1; i < self->op->num_inputs; i++)
        LBW_TRY(lbw_op_input(&tensors[i], context, i, err));
    enum lbw_status status = make(&once, tensors, err);
    status = status == LBW_OK ? run(&once, &tensors[PART_X], context, err) : status;
    lbw_conv_free(&once.on_bytes);
    lbw_conv_float_free(&once.on_floats);
    return status;
}

#define F ORT_TYPE_FLOAT
#define U ORT_TYPE_UINT8
static const unsigned char from_bytes[MAX_INPUTS] = {U, F, U, F, F, F, U};
static const unsigned char from_floats[MAX_INPUTS] = {F, F, F, F, U, F, U, F, U};

/* x, w and bias are 0, 1 and 2, or with bytes 0, 3 and 4; what follows is given. */
#define ROW(y, c, gate, bend, function)                                                        \
    &(const struct row)                                                                        \
    {                                                                                          \
        {0, -1, 1, 2, y, c, gate}, bend, &(function)                                           \
    }
#define BYTES_ROW(gate, bend)                                                                  \
    &(const struct row)                                                                        \
    {                                                                                          \
        {0, 1, 3, 4, -1, -1, gate}, bend, &lbw_no_activation                                   \
    }
#define CONV_OP(op_name, number, types, type, the_row)                                         \
    {                                                                                          \
        .name = op_name, .num_inputs = number, .input_types = types, .num_outputs = 1,         \
        .output_type = type, .row = the_row, .create = create, .compute = compute,             \
        .destroy = destroy                                                                     \
    }
#define TO_BYTES(name, number, c, gate, function)                                              \
    CONV_OP(name, number, from_floats, U, ROW(3, c, gate, LBW_CURVE_LINE, function))
#define FAMILY(P)                                                                              \
    TO_BYTES(P, 5, -1, -1, lbw_no_activation), TO_BYTES(P "Relu", 5, -1, -1, lbw_relu),        \
        TO_BYTES(P "Clip", 5, -1, -1, lbw_clip),                                               \
        TO_BYTES(P "LeakyRelu", 7, 5, -1, lbw_leaky_relu),                                     \
        TO_BYTES(P "Sigmoid", 7, 5, -1, lbw_sigmoid),                                          \
        TO_BYTES(P "HardSigmoid", 7, 5, -1, lbw_hard_sigmoid),                                 \
        TO_BYTES(P "HardSwish", 7, 5, -1, lbw_hard_swish),                                     \
        TO_BYTES(P "Silu", 9, 5, 7, lbw_sigmoid),                                              \
        TO_BYTES(P "HardSilu", 9, 5, 7, lbw_hard_sigmoid)

struct lbw_op lbw_conv_float_ops[] = {
    CONV_OP("QConvF", 5, from_bytes, F, BYTES_ROW(-1, LBW_CURVE_LINE)),
    CONV_OP("QConvReluF", 5, from_bytes, F, BYTES_ROW(-1, LBW_CURVE_RELU)),
    CONV_OP("QConvSiluF", 7, from_bytes, F, BYTES_ROW(5, LBW_CURVE_GATED)),
    CONV_OP("FConvReluF", 3, from_floats, F,
            ROW(-1, -1, -1, LBW_CURVE_RELU, lbw_no_activation)),
    CONV_OP("FConvSiluF", 5, from_floats, F,
            ROW(-1, -1, 3, LBW_CURVE_GATED, lbw_no_activation)),
    FAMILY("FConv"),
    FAMILY("FCConv"),
};
const size_t lbw_num_conv_float_ops = sizeof lbw_conv_float_ops / sizeof *lbw_conv_float_ops;
