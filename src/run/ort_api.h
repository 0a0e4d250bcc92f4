/* SPDX-License-Identifier: MIT */
/*
 * The part of ONNX Runtime's C interface that this program calls, declared here so that its
 * headers are not needed. The interface is one append-only table of function pointers: a slot
 * never moves, so a slot number and a signature identify a function.
 */
#ifndef LBW_SRC_RUN_ORT_API_H
#define LBW_SRC_RUN_ORT_API_H

#include <stddef.h>
#include <stdint.h>

#include "run/session.h"

struct ort_allocator;
struct ort_env;
struct ort_memory_info;
struct ort_session;
struct ort_session_options;
struct ort_shape_info;
struct ort_type_info;
struct ort_status; /* NULL is success; else owned by the caller */
struct ort_value;

/* The table's version that has every slot below, except those of ORT_CALLS_LATER. */
#define ORT_API_VERSION       5
#define ORT_API_VERSION_LATER 17

/* The values of the runtime's enumerations that are used. */
#define ORT_LOG_FATAL           4
#define ORT_ALLOCATOR_ARENA     1
#define ORT_MEMORY_TYPE_DEFAULT 0

/* X(slot, result, name, parameters) */
#define ORT_CALLS(X)                                                                           \
    X(2, const char *, get_error_message, (const struct ort_status *status))                   \
    X(3, struct ort_status *, create_env,                                                      \
      (int log_severity, const char *log_name, struct ort_env **out))                          \
    X(8, struct ort_status *, create_session_from_array,                                       \
      (const struct ort_env *env, const void *model, size_t size,                              \
       const struct ort_session_options *options, struct ort_session **out))                   \
    X(9, struct ort_status *, run,                                                             \
      (struct ort_session * session, const void *run_options, const char *const *input_names,  \
       const struct ort_value *const *inputs, size_t num_inputs,                               \
       const char *const *output_names, size_t num_outputs, struct ort_value **outputs))       \
    X(10, struct ort_status *, create_session_options, (struct ort_session_options * *out))    \
    X(14, struct ort_status *, enable_profiling,                                               \
      (struct ort_session_options * options, const char *prefix))                              \
    X(17, struct ort_status *, disable_mem_pattern, (struct ort_session_options * options))    \
    X(19, struct ort_status *, disable_cpu_mem_arena, (struct ort_session_options * options))  \
    X(22, struct ort_status *, set_session_log_severity,                                       \
      (struct ort_session_options * options, int log_severity))                                \
    X(23, struct ort_status *, set_optimization_level,                                         \
      (struct ort_session_options * options, int level))                                       \
    X(24, struct ort_status *, set_intra_op_threads,                                           \
      (struct ort_session_options * options, int num))                                         \
    X(25, struct ort_status *, set_inter_op_threads,                                           \
      (struct ort_session_options * options, int num))                                         \
    X(29, struct ort_status *, register_library,                                               \
      (struct ort_session_options * options, const char *path, void **handle))                 \
    X(30, struct ort_status *, session_num_inputs,                                             \
      (const struct ort_session *session, size_t *out))                                        \
    X(31, struct ort_status *, session_num_outputs,                                            \
      (const struct ort_session *session, size_t *out))                                        \
    X(34, struct ort_status *, session_output_type,                                            \
      (const struct ort_session *session, size_t i, struct ort_type_info **out))               \
    X(36, struct ort_status *, session_input_name,                                             \
      (const struct ort_session *session, size_t i, struct ort_allocator *allocator,           \
       char **out))                                                                            \
    X(37, struct ort_status *, session_output_name,                                            \
      (const struct ort_session *session, size_t i, struct ort_allocator *allocator,           \
       char **out))                                                                            \
    X(49, struct ort_status *, create_tensor_with_data,                                        \
      (const struct ort_memory_info *info, void *data, size_t size, const int64_t *dims,       \
       size_t num_dims, int element_type, struct ort_value **out))                             \
    X(50, struct ort_status *, is_tensor, (const struct ort_value *value, int *out))           \
    X(51, struct ort_status *, tensor_data, (struct ort_value * value, void **out))            \
    X(55, struct ort_status *, type_as_shape,                                                  \
      (const struct ort_type_info *type, const struct ort_shape_info **out))                   \
    X(60, struct ort_status *, element_type, (const struct ort_shape_info *info, int *out))    \
    X(61, struct ort_status *, num_dims, (const struct ort_shape_info *info, size_t *out))     \
    X(62, struct ort_status *, dims,                                                           \
      (const struct ort_shape_info *info, int64_t *out, size_t num_dims))                      \
    X(64, struct ort_status *, num_elements, (const struct ort_shape_info *info, size_t *out)) \
    X(65, struct ort_status *, tensor_shape,                                                   \
      (const struct ort_value *value, struct ort_shape_info **out))                            \
    X(69, struct ort_status *, create_cpu_memory_info,                                         \
      (int allocator, int memory_type, struct ort_memory_info **out))                          \
    X(76, struct ort_status *, allocator_free,                                                 \
      (struct ort_allocator * allocator, void *memory))                                        \
    X(78, struct ort_status *, default_allocator, (struct ort_allocator * *out))               \
    X(93, void, release_status, (struct ort_status * status))                                  \
    X(95, void, release_session, (struct ort_session * session))                               \
    X(96, void, release_value, (struct ort_value * value))                                     \
    X(98, void, release_type_info, (struct ort_type_info * type))                              \
    X(99, void, release_shape_info, (struct ort_shape_info * info))                            \
    X(100, void, release_session_options, (struct ort_session_options * options))              \
    X(130, struct ort_status *, add_config_entry,                                              \
      (struct ort_session_options * options, const char *key, const char *value))

/* NULL if the runtime is older than ORT_API_VERSION_LATER. */
#define ORT_CALLS_LATER(X)                                                                     \
    X(273, struct ort_status *, set_deterministic,                                             \
      (struct ort_session_options * options, _Bool value))

/* The loaded library. Any number of threads may use it at once. */
struct lbw_runtime {
#define ORT_MEMBER(slot, result, name, parameters) result(*name) parameters;
    ORT_CALLS(ORT_MEMBER)
    ORT_CALLS_LATER(ORT_MEMBER)
#undef ORT_MEMBER
    const char *version;
    struct ort_env *env;
    struct ort_memory_info *memory_info;
    struct ort_allocator *allocator;
};

/*
 * LBW_OK for NULL; else releases `status`, makes its message one line and fails with
 * LBW_ERR_RUNTIME, "WHAT: the runtime's message".
 */
enum lbw_status lbw_runtime_check(const struct lbw_runtime *runtime, struct ort_status *status,
                                  const char *what, struct lbw_error *err);

#endif
