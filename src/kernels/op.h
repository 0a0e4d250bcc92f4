/* SPDX-License-Identifier: MIT */
/* The operators of `ai.lbw` and `ai.lbw.gradient` as kernels of ONNX Runtime: what they share.
 */
#ifndef LBW_SRC_KERNELS_OP_H
#define LBW_SRC_KERNELS_OP_H

#include <stdbool.h>

#include "base/error.h"
#include "kernels/ort_abi.h"
#include "kernels/parallel.h"

#define LBW_OP_MAX_DIMS 8

/* The runtime's functions; filled in before any kernel is made. */
struct lbw_op_runtime {
#define ORT_MEMBER(slot, result, name, parameters) result(*name) parameters;
    ORT_KERNEL_CALLS(ORT_MEMBER)
#undef ORT_MEMBER
};
extern struct lbw_op_runtime lbw_ort;

/* One operator: what the runtime sees, and the kernel behind it. */
struct lbw_op {
    struct ort_operator base;
    const char *name;
    size_t num_inputs;
    const unsigned char *input_types; /* ORT_TYPE_…, num_inputs items */
    size_t num_outputs;
    int output_type; /* ORT_TYPE_…, of all */
    const void *row; /* of the kernel's own table */

    /* A kernel for one node; freed by destroy(). */
    enum lbw_status (*create)(void **kernel, const struct lbw_op *op,
                              const struct ort_kernel_info *info, struct lbw_error *err);
    enum lbw_status (*compute)(void *kernel, struct ort_kernel_context *context,
                               struct lbw_error *err);
    void (*destroy)(void *kernel);
};

/* A tensor to look at; borrowed. */
struct lbw_op_tensor {
    const void *data;
    size_t num_dims;
    int64_t dims[LBW_OP_MAX_DIMS];
    size_t count; /* elements */
};

/* LBW_OK for NULL; else releases `status` and fails with "WHAT: failed in the runtime". */
enum lbw_status lbw_op_check(struct ort_status *status, const char *what,
                             struct lbw_error *err);

/* Input i of a running node. */
enum lbw_status lbw_op_input(struct lbw_op_tensor *out, struct ort_kernel_context *context,
                             size_t i, struct lbw_error *err);

/* Input i when it is known before the first run; *is_constant is false when it is not. */
enum lbw_status lbw_op_constant(struct lbw_op_tensor *out, bool *is_constant,
                                const struct ort_kernel_info *info, size_t i,
                                struct lbw_error *err);

/* Makes output i of those dims; *data receives where it goes. */
enum lbw_status lbw_op_output(void **data, struct ort_kernel_context *context, size_t i,
                              const int64_t *dims, size_t num_dims, struct lbw_error *err);

/* Attributes; where the node has none of that name, *out stays as it is. */
void lbw_op_float(float *out, const struct ort_kernel_info *info, const char *name);
void lbw_op_int(int64_t *out, const struct ort_kernel_info *info, const char *name);
/* Exactly `num` numbers, else LBW_ERR_ARGUMENT. */
enum lbw_status lbw_op_ints(int64_t *out, size_t num, const struct ort_kernel_info *info,
                            const char *name, struct lbw_error *err);

/* The session's threads. `team` must live as long as *out. */
struct lbw_op_team {
    struct ort_kernel_context *context;
    bool has_failed;
};
struct lbw_parallel lbw_op_threads(struct lbw_op_team *team,
                                   struct ort_kernel_context *context);

/* How bytes stand for numbers: (q - zero) · scale. */
struct lbw_scaling {
    float scale;
    uint8_t zero;
};

/*
 * From the two tensors at `tensors`: a scale, finite and above 0, and a zero point, one number
 * each. LBW_ERR_ARGUMENT names `what`.
 */
enum lbw_status lbw_op_scaling(struct lbw_scaling *out, const struct lbw_op_tensor *tensors,
                               const char *what, struct lbw_error *err);

/* The same with a scale for each channel: scales[m · step] is that of channel m. */
struct lbw_scalings {
    const float *scales; /* borrowed from the tensor */
    size_t step;         /* 0: one scale for all */
    uint8_t zero;
};

/*
 * From the two tensors at `tensors`: one scale, or [num, 1, 1] of them, all finite and above 0,
 * and one zero point.
 */
enum lbw_status lbw_op_scalings(struct lbw_scalings *out, const struct lbw_op_tensor *tensors,
                                size_t num, const char *what, struct lbw_error *err);

/* That of channel m. */
struct lbw_scaling lbw_scaling_at(const struct lbw_scalings *scalings, size_t m);

/* As ONNX's QuantizeLinear and DequantizeLinear. NaN becomes 0. */
uint8_t lbw_quantize(float x, const struct lbw_scaling *to);
float lbw_dequantize(int q, const struct lbw_scaling *from);

/* Bytes of one scaling to those of another, for parts that are put side by side. */
struct lbw_op_mapping {
    bool is_same;
    uint8_t table[256];
};

/* Of `num` parts: x, x_scale and x_zero of each in `tensors`, to the scaling at `y`. */
enum lbw_status lbw_op_map(struct lbw_op_mapping *out, size_t num,
                           const struct lbw_op_tensor *tensors, const struct lbw_op_tensor *y,
                           struct lbw_error *err);

/*
 * The same before the first run, the scaling of y being inputs y and y + 1. *out is NULL where
 * one of them is not constant; else free it.
 */
enum lbw_status lbw_op_map_constants(struct lbw_op_mapping **out, size_t num, size_t y,
                                     const struct ort_kernel_info *info, struct lbw_error *err);

/* The operators of each file. */
extern struct lbw_op lbw_conv_ops[];
extern const size_t lbw_num_conv_ops;
extern struct lbw_op lbw_conv_float_ops[];
extern const size_t lbw_num_conv_float_ops;
extern struct lbw_op lbw_concat_ops[];
extern const size_t lbw_num_concat_ops;
extern struct lbw_op lbw_channels_ops[];
extern const size_t lbw_num_channels_ops;
extern struct lbw_op lbw_pool_ops[];
extern const size_t lbw_num_pool_ops;
extern struct lbw_op lbw_focus_ops[];
extern const size_t lbw_num_focus_ops;
extern struct lbw_op lbw_resize_ops[];
extern const size_t lbw_num_resize_ops;
extern struct lbw_op lbw_head_ops[];
extern const size_t lbw_num_head_ops;
extern struct lbw_op lbw_average_ops[];
extern const size_t lbw_num_average_ops;
extern struct lbw_op lbw_softmax_ops[];
extern const size_t lbw_num_softmax_ops;
extern struct lbw_op lbw_gradient_ops[];
extern const size_t lbw_num_gradient_ops;

#endif
