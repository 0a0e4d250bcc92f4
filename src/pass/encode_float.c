/* SPDX-License-Identifier: MIT */
/* The float encoding: quantized values in place, in the weight's own type. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "pass/encode.h"

float lbw_encode_round(float value, int32_t type)
{
    if (type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16)
        return lbw_half_to_float(lbw_half_from_float(value));
    return type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16
               ? lbw_bfloat16_to_float(lbw_bfloat16_from_float(value))
               : value;
}

void lbw_encode_narrow(unsigned char *out, const float *values, size_t count, int32_t type)
{
    for (size_t i = 0; i < count; i++) {
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
}

Onnx__TensorProto *lbw_encode_plain(struct lbw_model *model, const char *name, int32_t type,
                                    const int64_t *dims, size_t num_dims, const float *values,
                                    size_t count)
{
    size_t size = count * lbw_data_type_bits(type) / 8;
    unsigned char *data = lbw_weight_can_be(type) ? lbw_mapped_alloc(model, size) : NULL;
    if (!data)
        return NULL;
    lbw_encode_narrow(data, values, count, type);
    return lbw_tensor_new(model, name, type, dims, num_dims, data, size);
}

enum lbw_status lbw_encode_float(struct lbw_decoding *out, struct lbw_encoder *encoder,
                                 const struct lbw_weight *weight, const struct lbw_codes *codes,
                                 struct lbw_error *err)
{
    float *values = malloc(weight->item.count * sizeof *values);
    if (!values)
        return lbw_fail_memory(err);
    lbw_codes_decode(values, weight, codes);
    Onnx__TensorProto *tensor =
        lbw_encode_plain(encoder->model, weight->tensor->name ? weight->tensor->name : "",
                         weight->tensor->data_type, weight->item.dims, weight->item.num_dims,
                         values, weight->item.count);
    free(values);
    if (!tensor)
        return lbw_fail_memory(err);
    out->size = tensor->raw_data.len;
    if (weight->root == weight->value) {
        *weight->tensor = *tensor; /* an initializer, or the value of a Constant node */
        return LBW_OK;
    }
    return lbw_encode_constant(out, encoder, weight->value->scope, tensor)
               ? LBW_OK
               : lbw_fail_memory(err);
}
