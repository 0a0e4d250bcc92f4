/* SPDX-License-Identifier: MIT */
/* What the operators share: tensors, attributes and threads of ONNX Runtime. */
#include "kernels/op.h"

#include <math.h>
#include <stdlib.h>

struct lbw_op_runtime lbw_ort;

enum lbw_status lbw_op_check(struct ort_status *status, const char *what, struct lbw_error *err)
{
    if (!status)
        return LBW_OK;
    lbw_ort.release_status(status);
    return lbw_fail(err, LBW_ERR_RUNTIME, "%s: failed in the runtime", what);
}

static enum lbw_status view(struct lbw_op_tensor *out, const struct ort_value *value,
                            struct lbw_error *err)
{
    struct ort_shape_info *shape = NULL;
    struct lbw_op_tensor tensor = {0};
    void *data = NULL;
    LBW_TRY(lbw_op_check(lbw_ort.tensor_shape(value, &shape), "a tensor's shape", err));
    struct ort_status *status = lbw_ort.num_dims(shape, &tensor.num_dims);
    if (!status && tensor.num_dims <= LBW_OP_MAX_DIMS)
        status = lbw_ort.dims(shape, tensor.dims, tensor.num_dims);
    lbw_ort.release_shape_info(shape);
    LBW_TRY(lbw_op_check(status, "a tensor's shape", err));
    if (tensor.num_dims > LBW_OP_MAX_DIMS)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "a tensor of %zu dims", tensor.num_dims);
    tensor.count = 1;
    for (size_t i = 0; i < tensor.num_dims; i++)
        tensor.count *= (size_t)tensor.dims[i];
    LBW_TRY(lbw_op_check(lbw_ort.tensor_data((struct ort_value *)value, &data),
                         "a tensor's data", err));
    tensor.data = data;
    *out = tensor;
    return LBW_OK;
}

enum lbw_status lbw_op_input(struct lbw_op_tensor *out, struct ort_kernel_context *context,
                             size_t i, struct lbw_error *err)
{
    const struct ort_value *value = NULL;
    LBW_TRY(lbw_op_check(lbw_ort.input(context, i, &value), "an input", err));
    if (!value)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "input %zu is missing", i);
    return view(out, value, err);
}

enum lbw_status lbw_op_constant(struct lbw_op_tensor *out, bool *is_constant,
                                const struct ort_kernel_info *info, size_t i,
                                struct lbw_error *err)
{
    const struct ort_value *value = NULL;
    int is = 0;
    LBW_TRY(lbw_op_check(lbw_ort.constant_input(info, i, &is, &value), "a constant", err));
    *is_constant = is && value;
    return *is_constant ? view(out, value, err) : LBW_OK;
}

enum lbw_status lbw_op_output(void **data, struct ort_kernel_context *context, size_t i,
                              const int64_t *dims, size_t num_dims, struct lbw_error *err)
{
    struct ort_value *value = NULL;
    LBW_TRY(
        lbw_op_check(lbw_ort.output(context, i, dims, num_dims, &value), "the output", err));
    return lbw_op_check(lbw_ort.tensor_data(value, data), "the output", err);
}

void lbw_op_float(float *out, const struct ort_kernel_info *info, const char *name)
{
    float value = 0;
    struct ort_status *status = lbw_ort.attribute_float(info, name, &value);
    if (status)
        lbw_ort.release_status(status);
    else
        *out = value;
}

void lbw_op_int(int64_t *out, const struct ort_kernel_info *info, const char *name)
{
    int64_t value = 0;
    struct ort_status *status = lbw_ort.attribute_int(info, name, &value);
    if (status)
        lbw_ort.release_status(status);
    else
        *out = value;
}

enum lbw_status lbw_op_ints(int64_t *out, size_t num, const struct ort_kernel_info *info,
                            const char *name, struct lbw_error *err)
{
    size_t found = 0;
    struct ort_status *status = lbw_ort.attribute_ints(info, name, NULL, &found);
    if (status) {
        lbw_ort.release_status(status);
        return LBW_OK;
    }
    if (found != num)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "attribute '%s' has %zu numbers, not %zu", name,
                        found, num);
    return lbw_op_check(lbw_ort.attribute_ints(info, name, out, &found), name, err);
}

static void run_on_team(void *user, size_t num, void (*task)(void *argument, size_t i),
                        void *argument)
{
    struct lbw_op_team *team = user;
    if (num <= 1) {
        lbw_sequential.run(NULL, num, task, argument);
        return;
    }
    struct ort_status *status = lbw_ort.parallel_for(team->context, task, num, 0, argument);
    if (status) {
        lbw_ort.release_status(status);
        team->has_failed = true;
    }
}

struct lbw_parallel lbw_op_threads(struct lbw_op_team *team, struct ort_kernel_context *context)
{
    *team = (struct lbw_op_team){.context = context};
    return (struct lbw_parallel){run_on_team, team};
}

enum lbw_status lbw_op_scaling(struct lbw_scaling *out, const struct lbw_op_tensor *tensors,
                               const char *what, struct lbw_error *err)
{
    if (tensors[0].count != 1 || tensors[1].count != 1)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "%s_scale and %s_zero have %zu and %zu numbers",
                        what, what, tensors[0].count, tensors[1].count);
    float scale = *(const float *)tensors[0].data;
    if (!isfinite(scale) || scale <= 0)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "%s_scale is %g", what, (double)scale);
    *out = (struct lbw_scaling){scale, *(const uint8_t *)tensors[1].data};
    return LBW_OK;
}

enum lbw_status lbw_op_scalings(struct lbw_scalings *out, const struct lbw_op_tensor *tensors,
                                size_t num, const char *what, struct lbw_error *err)
{
    const struct lbw_op_tensor *scale = &tensors[0];
    const float *scales = scale->data;
    bool by_channel = scale->num_dims == 3 && scale->dims[1] == 1 && scale->dims[2] == 1 &&
                      scale->count == num && num > 1;
    if (!by_channel && scale->count != 1)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "%s_scale has %zu numbers in %zu dims, expected one, or [%zu, 1, 1]",
                        what, scale->count, scale->num_dims, num);
    if (tensors[1].count != 1)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "%s_zero has %zu numbers", what,
                        tensors[1].count);
    for (size_t i = 0; i < scale->count; i++)
        if (!isfinite(scales[i]) || scales[i] <= 0)
            return lbw_fail(err, LBW_ERR_ARGUMENT, "%s_scale is %g", what, (double)scales[i]);
    *out = (struct lbw_scalings){scales, by_channel, *(const uint8_t *)tensors[1].data};
    return LBW_OK;
}

struct lbw_scaling lbw_scaling_at(const struct lbw_scalings *scalings, size_t m)
{
    return (struct lbw_scaling){scalings->scales[m * scalings->step], scalings->zero};
}

uint8_t lbw_quantize(float x, const struct lbw_scaling *to)
{
    float q = rintf(x / to->scale) + (float)to->zero;
    return (uint8_t)(q > 255 ? 255 : q >= 0 ? q : 0);
}

float lbw_dequantize(int q, const struct lbw_scaling *from)
{
    return (float)(q - from->zero) * from->scale;
}

enum lbw_status lbw_op_map(struct lbw_op_mapping *out, size_t num,
                           const struct lbw_op_tensor *tensors, const struct lbw_op_tensor *y,
                           struct lbw_error *err)
{
    struct lbw_scaling to = {0}, from = {0};
    LBW_TRY(lbw_op_scaling(&to, y, "y", err));
    for (size_t k = 0; k < num; k++) {
        LBW_TRY(lbw_op_scaling(&from, &tensors[3 * k + 1], "x", err));
        out[k].is_same = from.scale == to.scale && from.zero == to.zero;
        for (int q = 0; q < 256 && !out[k].is_same; q++)
            out[k].table[q] = lbw_quantize(lbw_dequantize(q, &from), &to);
    }
    return LBW_OK;
}

enum lbw_status lbw_op_map_constants(struct lbw_op_mapping **out, size_t num, size_t y,
                                     const struct ort_kernel_info *info, struct lbw_error *err)
{
    struct lbw_op_tensor *tensors = calloc(y + 2, sizeof *tensors);
    struct lbw_op_mapping *mappings = calloc(num, sizeof *mappings);
    enum lbw_status status;
    LBW_OR_OUT(tensors && mappings ? LBW_OK : lbw_fail_memory(err));
    for (size_t i = 0; i < y + 2; i++) {
        bool is_constant = true;
        if (i >= y || (i < 3 * num && i % 3))
            LBW_OR_OUT(lbw_op_constant(&tensors[i], &is_constant, info, i, err));
        if (!is_constant)
            goto out;
    }
    LBW_OR_OUT(lbw_op_map(mappings, num, tensors, &tensors[y], err));
    *out = mappings;
    mappings = NULL;
out:
    free(tensors);
    free(mappings);
    return status;
}
