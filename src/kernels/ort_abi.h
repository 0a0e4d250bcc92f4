/* SPDX-License-Identifier: MIT */
/*
 * The part of ONNX Runtime's C interface that custom operators need, declared by ourselves: see
 * src/run/ort_api.h on slots. Version 17 (ONNX Runtime 1.17) is the lowest in which a kernel
 * may fail with a status and use the session's threads.
 */
#ifndef LBW_SRC_KERNELS_ORT_ABI_H
#define LBW_SRC_KERNELS_ORT_ABI_H

#include <stddef.h>
#include <stdint.h>

struct ort_domain;
struct ort_kernel_context;
struct ort_kernel_info;
struct ort_session_options;
struct ort_shape_context;
struct ort_shape_info;
struct ort_status; /* NULL is success */
struct ort_value;

#define ORT_KERNEL_API_VERSION 17

/* The values of the runtime's enumerations that are used. */
#define ORT_FAIL             1
#define ORT_INVALID_ARGUMENT 2
#define ORT_TYPE_FLOAT       1
#define ORT_TYPE_UINT8       2
#define ORT_TYPE_INT8        3
#define ORT_TYPE_INT32       6
#define ORT_TYPE_INT64       7
#define ORT_REQUIRED         0
#define ORT_MEMORY_DEFAULT   0

struct ort_api_base {
    const void *(*get_api)(uint32_t version);
    const char *(*version)(void);
};

/* X(slot, result, name, parameters) */
#define ORT_KERNEL_CALLS(X)                                                                    \
    X(0, struct ort_status *, create_status, (int code, const char *message))                  \
    X(26, struct ort_status *, create_domain, (const char *name, struct ort_domain **out))     \
    X(27, struct ort_status *, add_operator,                                                   \
      (struct ort_domain * domain, const struct ort_operator *op))                             \
    X(28, struct ort_status *, add_domain,                                                     \
      (struct ort_session_options * options, struct ort_domain * domain))                      \
    X(51, struct ort_status *, tensor_data, (struct ort_value * value, void **out))            \
    X(61, struct ort_status *, num_dims, (const struct ort_shape_info *info, size_t *out))     \
    X(62, struct ort_status *, dims,                                                           \
      (const struct ort_shape_info *info, int64_t *out, size_t num_dims))                      \
    X(65, struct ort_status *, tensor_shape,                                                   \
      (const struct ort_value *value, struct ort_shape_info **out))                            \
    X(85, struct ort_status *, attribute_float,                                                \
      (const struct ort_kernel_info *info, const char *name, float *out))                      \
    X(86, struct ort_status *, attribute_int,                                                  \
      (const struct ort_kernel_info *info, const char *name, int64_t *out))                    \
    X(90, struct ort_status *, input,                                                          \
      (const struct ort_kernel_context *context, size_t i, const struct ort_value **out))      \
    X(91, struct ort_status *, output,                                                         \
      (struct ort_kernel_context * context, size_t i, const int64_t *dims, size_t num_dims,    \
       struct ort_value **out))                                                                \
    X(93, void, release_status, (struct ort_status * status))                                  \
    X(99, void, release_shape_info, (struct ort_shape_info * info))                            \
    X(101, void, release_domain, (struct ort_domain * domain))                                 \
    X(163, struct ort_status *, attribute_ints,                                                \
      (const struct ort_kernel_info *info, const char *name, int64_t *out, size_t *num))       \
    X(249, struct ort_status *, constant_input,                                                \
      (const struct ort_kernel_info *info, size_t i, int *is_constant,                         \
       const struct ort_value **out))                                                          \
    X(274, struct ort_status *, parallel_for,                                                  \
      (const struct ort_kernel_context *context, void (*task)(void *user, size_t i),           \
       size_t num, size_t num_batches, void *user))

/*
 * A custom operator as the runtime sees it, members in the interface's order. `version` says
 * how far it reads.
 */
struct ort_operator {
    uint32_t version;
    void *(*create)(const struct ort_operator *op, const void *api,
                    const struct ort_kernel_info *info);
    const char *(*name)(const struct ort_operator *op);
    const char *(*provider)(const struct ort_operator *op);
    int (*input_type)(const struct ort_operator *op, size_t i);
    size_t (*num_inputs)(const struct ort_operator *op);
    int (*output_type)(const struct ort_operator *op, size_t i);
    size_t (*num_outputs)(const struct ort_operator *op);
    void (*compute)(void *kernel, struct ort_kernel_context *context);
    void (*destroy)(void *kernel);
    int (*input_kind)(const struct ort_operator *op, size_t i);
    int (*output_kind)(const struct ort_operator *op, size_t i);
    int (*input_memory)(const struct ort_operator *op, size_t i);
    int (*variadic_input_min)(const struct ort_operator *op);
    int (*variadic_input_is_homogeneous)(const struct ort_operator *op);
    int (*variadic_output_min)(const struct ort_operator *op);
    int (*variadic_output_is_homogeneous)(const struct ort_operator *op);
    struct ort_status *(*create_v2)(const struct ort_operator *op, const void *api,
                                    const struct ort_kernel_info *info, void **kernel);
    struct ort_status *(*compute_v2)(void *kernel, struct ort_kernel_context *context);
    struct ort_status *(*infer_shapes)(const struct ort_operator *op,
                                       struct ort_shape_context *context);
    int (*first_version)(const struct ort_operator *op);
    int (*last_version)(const struct ort_operator *op);
    void *later[4]; /* of version 18: in-place and alias maps */
};

#endif
