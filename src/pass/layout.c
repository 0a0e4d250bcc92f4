/* SPDX-License-Identifier: MIT */
/* Weight tensors as rows of output channels, for every operator that holds weights. */
#include "pass/layout.h"

#include "base/bits.h"

static bool product(size_t *out, const int64_t *dims, size_t num_dims)
{
    *out = 1;
    for (size_t i = 0; i < num_dims; i++)
        if (dims[i] <= 0 || !lbw_size_mul(out, *out, (size_t)dims[i]))
            return false;
    return true;
}

/* (M, C/group, taps…): rows are contiguous. */
static bool layout_conv(struct lbw_layout *out, const int64_t *dims, size_t num_dims,
                        size_t groups)
{
    size_t k, taps;
    if (!product(&k, dims + 1, num_dims - 1) || !product(&taps, dims + 2, num_dims - 2) ||
        (size_t)dims[0] % groups)
        return false;
    size_t rows = (size_t)dims[0] / groups;
    *out = (struct lbw_layout){groups, rows, k, taps, rows * k, k, taps};
    return true;
}

/* (C, M/group, taps…): rows run along axis 1. */
static bool layout_conv_transpose(struct lbw_layout *out, const int64_t *dims, size_t num_dims,
                                  size_t groups)
{
    size_t taps;
    if (!product(&taps, dims + 2, num_dims - 2) || (size_t)dims[0] % groups)
        return false;
    size_t rows = (size_t)dims[1], channels = (size_t)dims[0] / groups;
    *out = (struct lbw_layout){
        groups, rows, channels * taps, taps, channels * rows * taps, taps, rows * taps};
    return true;
}

bool lbw_layout_is_linear(const Onnx__NodeProto *node)
{
    return lbw_node_is(node, "Gemm") || lbw_node_is(node, "MatMul");
}

/* Whether rows are those of the stored matrix, (rows, k); else it is (k, rows). */
static bool has_rows_first(const Onnx__NodeProto *node, size_t input)
{
    bool is_gemm = lbw_node_is(node, "Gemm");
    if (input == 0)
        return !(is_gemm && lbw_node_int(node, "transA", 0));
    return is_gemm && lbw_node_int(node, "transB", 0);
}

int lbw_layout_axis(const Onnx__NodeProto *node, size_t input, size_t num_dims)
{
    if (lbw_node_is(node, "ConvTranspose"))
        return 1;
    if (!lbw_layout_is_linear(node) || num_dims < 2)
        return 0;
    return (int)num_dims - (has_rows_first(node, input) ? 2 : 1);
}

/* The last two axes are the matrix; a batch in front of it is part of the rows' length. */
static bool layout_linear(struct lbw_layout *out, const Onnx__NodeProto *node, size_t input,
                          const int64_t *dims, size_t num_dims)
{
    size_t batch, count;
    if (num_dims < 2 || !product(&batch, dims, num_dims - 2) ||
        !product(&count, dims, num_dims))
        return false;
    size_t a = (size_t)dims[num_dims - 2], b = (size_t)dims[num_dims - 1];
    if (has_rows_first(node, input)) {
        *out = (struct lbw_layout){1, a, b, 1, count, b, 1};
        return batch == 1;
    }
    *out = (struct lbw_layout){1, b, batch * a, 1, count, 1, b};
    return true;
}

bool lbw_layout_of(struct lbw_layout *out, const Onnx__NodeProto *node, size_t input,
                   const int64_t *dims, size_t num_dims)
{
    size_t count;
    if (num_dims > LBW_MAX_DIMS || !product(&count, dims, num_dims))
        return false;
    if (lbw_layout_is_linear(node))
        return layout_linear(out, node, input, dims, num_dims);
    int64_t groups = lbw_node_int(node, "group", 1);
    if (num_dims < 3 || groups < 1)
        return false;
    if (lbw_node_is(node, "ConvTranspose"))
        return layout_conv_transpose(out, dims, num_dims, (size_t)groups);
    return layout_conv(out, dims, num_dims, (size_t)groups);
}
