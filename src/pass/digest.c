/* SPDX-License-Identifier: MIT */
/* The digest of a model's weights as its operators read them, whatever they are stored as. */
#include "base/digest.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"
#include "pass/encode.h"

static void add_number(struct lbw_sha256 *sha, uint64_t value)
{
    unsigned char bytes[8];
    lbw_store_le(bytes, value, sizeof bytes);
    lbw_sha256_add(sha, bytes, sizeof bytes);
}

static void add_head(struct lbw_sha256 *sha, size_t num_dims, const int64_t *dims, int32_t type)
{
    add_number(sha, num_dims);
    for (size_t i = 0; i < num_dims; i++)
        add_number(sha, (uint64_t)dims[i]);
    add_number(sha, (uint64_t)type);
}

/* The values in raw form; the float types alone, as all weights of a plan are. */
static enum lbw_status add_values(struct lbw_sha256 *sha, struct lbw_model *model,
                                  const float *values, size_t count, int32_t type,
                                  struct lbw_error *err)
{
    struct lbw_arena_mark mark = lbw_arena_mark(&model->arena);
    size_t size;
    void *data = lbw_encode_narrow(model, values, count, type, &size);
    if (!data)
        return lbw_fail_memory(err);
    lbw_sha256_add(sha, data, size);
    lbw_arena_reset(&model->arena, mark);
    return LBW_OK;
}

static enum lbw_status add_encoded(struct lbw_sha256 *sha, struct lbw_model *model,
                                   const struct lbw_encoded *encoded, struct lbw_error *err)
{
    float *values = malloc((encoded->count + 1) * sizeof *values);
    if (!values)
        return lbw_fail_memory(err);
    add_head(sha, encoded->num_dims, encoded->dims, encoded->data_type);
    enum lbw_status status = lbw_decode_values(values, model, encoded, err);
    if (status == LBW_OK)
        status = add_values(sha, model, values, encoded->count, encoded->data_type, err);
    free(values);
    return status;
}

static enum lbw_status add_constant(struct lbw_sha256 *sha, struct lbw_model *model,
                                    const Onnx__TensorProto *proto, struct lbw_error *err)
{
    struct lbw_tensor tensor;
    LBW_TRY(lbw_tensor_view(&tensor, model, proto, err));
    add_head(sha, tensor.num_dims, tensor.dims, tensor.data_type);
    if (tensor.data) {
        lbw_sha256_add(sha, tensor.data, tensor.size);
        return LBW_OK;
    }
    float *values = malloc((tensor.count + 1) * sizeof *values);
    if (!values)
        return lbw_fail_memory(err);
    enum lbw_status status = lbw_tensor_read_float(&tensor, values, err);
    if (status == LBW_OK)
        status = add_values(sha, model, values, tensor.count, tensor.data_type, err);
    free(values);
    return status;
}

static enum lbw_status add_weights(struct lbw_sha256 *sha, const struct lbw_plan *plan,
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
    const struct lbw_plan_params params = {.ops = LBW_ALL_OPS, .as_is = true};
    struct lbw_plan *plan = NULL;
    struct lbw_sha256 sha;
    unsigned char bytes[32];
    LBW_TRY(lbw_plan_new(&plan, model, &params, err));
    lbw_sha256_init(&sha);
    enum lbw_status status = add_weights(&sha, plan, err);
    lbw_plan_free(&plan);
    if (status != LBW_OK)
        return status;
    lbw_sha256_finish(&sha, bytes);
    for (size_t i = 0; i < (LBW_DIGEST_SIZE - 1) / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return LBW_OK;
}
