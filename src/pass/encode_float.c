/* SPDX-License-Identifier: MIT */
/* The float encoding: quantized values in place, in the weight's own type. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "pass/encode.h"

void *lbw_encode_narrow(struct lbw_model *model, const float *values, size_t count,
                        int32_t type, size_t *size)
{
    *size = count * lbw_data_type_bits(type) / 8;
    unsigned char *out = lbw_arena_alloc(&model->arena, *size);
    for (size_t i = 0; out && i < count; i++) {
        if (type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16) {
            lbw_store_le(out + 2 * i, lbw_half_from_float(values[i]), 2);
        } else if (type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16) {
            lbw_store_le(out + 2 * i, lbw_bfloat16_from_float(values[i]), 2);
        } else if (type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE) {
            double wide = values[i];
            uint64_t bits;
            memcpy(&bits, &wide, sizeof bits);
            lbw_store_le(out + 8 * i, bits, 8);
        } else {
            lbw_store_le(out + 4 * i, lbw_float_bits(values[i]), 4);
        }
    }
    return out;
}

enum lbw_status lbw_encode_float(struct lbw_decoding *out, struct lbw_encoder *encoder,
                                 const struct lbw_weight *weight, const struct lbw_codes *codes,
                                 struct lbw_error *err)
{
    struct lbw_model *model = encoder->model;
    size_t size;
    int32_t type = weight->tensor->data_type;
    float *values = malloc(weight->item.count * sizeof *values);
    if (!values)
        return lbw_fail_memory(err);
    lbw_codes_decode(values, weight, codes);
    void *data = lbw_encode_narrow(model, values, weight->item.count, type, &size);
    free(values);
    Onnx__TensorProto *tensor =
        data ? lbw_tensor_new(model, weight->tensor->name ? weight->tensor->name : "", type,
                              weight->item.dims, weight->item.num_dims, data, size)
             : NULL;
    if (!tensor)
        return lbw_fail_memory(err);
    out->size = size;
    if (weight->root == weight->value) {
        *weight->tensor = *tensor; /* an initializer, or the value of a Constant node */
        return LBW_OK;
    }
    return lbw_encode_constant(out, encoder, weight->value->scope, tensor)
               ? LBW_OK
               : lbw_fail_memory(err);
}
