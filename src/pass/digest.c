/* SPDX-License-Identifier: MIT */
/* The digest of a model's weights as its operators read them, whatever their encoding. */
#include <stdio.h>
#include <stdlib.h>

#include <nettle/sha2.h>
#include <nettle/version.h>

#include "base/bits.h"
#include "pass/encode.h"

static void add_number(struct sha256_ctx *sha, uint64_t value)
{
    unsigned char bytes[8];
    lbw_store_le(bytes, value, sizeof bytes);
    sha256_update(sha, sizeof bytes, bytes);
}

static void add_head(struct sha256_ctx *sha, size_t num_dims, const int64_t *dims, int32_t type)
{
    add_number(sha, num_dims);
    for (size_t i = 0; i < num_dims; i++)
        add_number(sha, (uint64_t)dims[i]);
    add_number(sha, (uint64_t)type);
}

/* The values in raw form. Weights of a plan are floats. */
static void add_values(struct sha256_ctx *sha, const float *values, size_t count, int32_t type)
{
    unsigned char bytes[8 * 1024];
    for (size_t i = 0, num; i < count; i += num) {
        num = count - i < sizeof bytes / 8 ? count - i : sizeof bytes / 8;
        lbw_encode_narrow(bytes, values + i, num, type);
        sha256_update(sha, num * lbw_data_type_bits(type) / 8, bytes);
    }
}

static enum lbw_status add_encoded(struct sha256_ctx *sha, struct lbw_model *model,
                                   const struct lbw_encoded *encoded, struct lbw_error *err)
{
    float *values = malloc((encoded->count + 1) * sizeof *values);
    if (!values)
        return lbw_fail_memory(err);
    add_head(sha, encoded->num_dims, encoded->dims, encoded->data_type);
    enum lbw_status status = lbw_decode_values(values, model, encoded, err);
    if (status == LBW_OK)
        add_values(sha, values, encoded->count, encoded->data_type);
    free(values);
    return status;
}

/* Not weights, although MatMul reads them: integers of 32 and 64 bits. */
static enum lbw_status add_integers(struct sha256_ctx *sha, const struct lbw_tensor *tensor,
                                    struct lbw_error *err)
{
    unsigned char bytes[8];
    int64_t *values = malloc((tensor->count + 1) * sizeof *values);
    if (!values)
        return lbw_fail_memory(err);
    enum lbw_status status = lbw_tensor_read_int64(tensor, values, err);
    for (size_t i = 0; i < tensor->count && status == LBW_OK; i++) {
        lbw_store_le(bytes, (uint64_t)values[i], sizeof bytes);
        sha256_update(sha, lbw_data_type_bits(tensor->data_type) / 8, bytes);
    }
    free(values);
    return status;
}

static enum lbw_status add_constant(struct sha256_ctx *sha, struct lbw_model *model,
                                    const Onnx__TensorProto *proto, struct lbw_error *err)
{
    struct lbw_tensor tensor;
    LBW_TRY(lbw_tensor_view(&tensor, model, proto, err));
    add_head(sha, tensor.num_dims, tensor.dims, tensor.data_type);
    if (tensor.data) {
        sha256_update(sha, tensor.size, tensor.data);
        return LBW_OK;
    }
    if (!lbw_weight_can_be(tensor.data_type))
        return add_integers(sha, &tensor, err);
    float *values = malloc((tensor.count + 1) * sizeof *values);
    if (!values)
        return lbw_fail_memory(err);
    enum lbw_status status = lbw_tensor_read_float(&tensor, values, err);
    if (status == LBW_OK)
        add_values(sha, values, tensor.count, tensor.data_type);
    free(values);
    return status;
}

static enum lbw_status add_weights(struct sha256_ctx *sha, const struct lbw_plan *plan,
                                   struct lbw_error *err)
{
    for (size_t i = 0; i < plan->num_weights; i++) {
        const struct lbw_weight *weight = &plan->weights[i];
        struct lbw_encoded encoded;
        if (weight->tensor) {
            LBW_TRY(add_constant(sha, plan->model, weight->tensor, err));
            continue;
        }
        LBW_TRY(lbw_decode_match(&encoded, &plan->index, weight->value, err));
        if (encoded.kind)
            LBW_TRY(add_encoded(sha, plan->model, &encoded, err));
    }
    return LBW_OK;
}

enum lbw_status lbw_digest(char out[LBW_DIGEST_SIZE], struct lbw_model *model,
                           struct lbw_error *err)
{
    const struct lbw_prepare_params look = {.ops = LBW_ALL_OPS, .as_is = true};
    const struct lbw_plan_params params = {.ops = LBW_ALL_OPS};
    struct lbw_plan *plan = NULL;
    struct sha256_ctx sha;
    unsigned char bytes[SHA256_DIGEST_SIZE];
    LBW_TRY(lbw_model_prepare(model, &look, err));
    LBW_TRY(lbw_plan_new(&plan, model, &params, err));
    sha256_init(&sha);
    enum lbw_status status = add_weights(&sha, plan, err);
    lbw_plan_free(&plan);
    if (status != LBW_OK)
        return status;
#if NETTLE_VERSION_MAJOR >= 4
    sha256_digest(&sha, bytes);
#else
    sha256_digest(&sha, sizeof bytes, bytes);
#endif
    for (size_t i = 0; i < (LBW_DIGEST_SIZE - 1) / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return LBW_OK;
}
