/* SPDX-License-Identifier: MIT */
/* Fuzz target: whatever the bytes of a .npz or .npy, every promised value is there. */
#include "fuzz.h"
#include "onnx/tensor.h"
#include "feed/array.h"
#include "feed/npz.h"

/* All values, as a feed takes them. */
static void read_values(const struct lbw_npz_array *array)
{
    size_t size = lbw_data_type_bits(array->data_type) / 8, count = array->size / size;
    float *values = malloc(count * sizeof *values + 1);
    if (count * size != array->size)
        abort();
    if (values)
        lbw_numbers_convert(values, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, array->data,
                            array->data_type, count);
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lbw_npz npz;
    if (lbw_npz_parse(&npz, data, size, "fuzz", NULL) != LBW_OK)
        return 0;
    for (size_t i = 0; i < npz.num_arrays; i++)
        read_values(&npz.arrays[i]);
    lbw_npz_release(&npz);
    return 0;
}
