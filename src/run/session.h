/* SPDX-License-Identifier: MIT */
/* Running a model in ONNX Runtime, found at run time with dlopen, never linked. */
#ifndef LBW_SRC_RUN_SESSION_H
#define LBW_SRC_RUN_SESSION_H

#include <stdbool.h>

#include "feed/array.h"
#include "onnx/extract.h"

struct lbw_runtime; /* ort.c: the loaded library and its environment; shared, never unloaded */
struct lbw_session;

/*
 * Loads ONNX Runtime once per process: LBW_ORT names the library or a folder, else the system's
 * libonnxruntime.so*. LBW_ERR_RUNTIME lists the places tried. *version (may be NULL) receives
 * "1.30.0", static.
 */
enum lbw_status lbw_runtime_load(struct lbw_runtime **out, const char **version,
                                 struct lbw_error *err);

struct lbw_session_params {
    unsigned num_threads; /* 0: all processors */
    int optimize;         /* 0: none, 1: basic, 99: all */
    int decode_once;  /* fold DequantizeLinear of constants at load time, not in every run */
    int short_lived;  /* no memory pool kept between runs */
    int numbers_only; /* outputs that no array can hold are returned as type 0, without data */
    int native;       /* use the operator library if there is one */
    int spin;         /* waiting threads spin, as in the runtime's own default */
    const char *profile; /* the runtime writes PREFIX_….json, times of all nodes; NULL: none */
};

/*
 * Whether sessions with `native` have the operator library: the runtime is new enough for it,
 * and it is found.
 */
bool lbw_session_has_native(void);

/*
 * The decode_once for a model that runs as it is: true unless it contains a QuantizeLinear,
 * whose fusion into integer kernels decode_once would prevent.
 */
bool lbw_session_decodes(const struct lbw_model *model);

/*
 * From serialised model bytes (copied by the runtime). Errors contain the runtime's own
 * message.
 */
enum lbw_status lbw_session_open(struct lbw_session **out, const void *model, size_t size,
                                 const struct lbw_session_params *params,
                                 struct lbw_error *err);

/*
 * The model in its present state; decode_once is determined from it. The model may be closed
 * once the session is open. Errors begin with its name, also those of runs.
 */
enum lbw_status lbw_session_open_model(struct lbw_session **out, struct lbw_model *model,
                                       const struct lbw_session_params *params,
                                       struct lbw_error *err);

/* A part of it, see lbw_extract(). */
enum lbw_status lbw_session_open_part(struct lbw_session **out, struct lbw_model *model,
                                      const struct lbw_part *part,
                                      const struct lbw_session_params *params,
                                      struct lbw_error *err);
void lbw_session_close(struct lbw_session **session);

size_t lbw_session_num_inputs(const struct lbw_session *session);
size_t lbw_session_num_outputs(const struct lbw_session *session);
const char *lbw_session_input_name(const struct lbw_session *session, size_t i);
const char *lbw_session_output_name(const struct lbw_session *session, size_t i);

/*
 * ONNX__TENSOR_PROTO__DATA_TYPE__… of an output as far as the runtime knows it before a run; 0
 * for what lbw_session_run() cannot return: not a tensor, strings, more than 8 dims.
 */
int32_t lbw_session_output_type(const struct lbw_session *session, size_t i);

/* The position of the input or output of that name, or their number if there is none. */
size_t lbw_session_find_input(const struct lbw_session *session, const char *name);
size_t lbw_session_find_output(const struct lbw_session *session, const char *name);

/*
 * Inputs in the session's order, read in place; outputs are filled (owned by the caller,
 * released each). Any number of threads may run one session. Every tensor type but strings;
 * LBW_ERR_UNSUPPORTED names an output that is not such a tensor or has more than 8 dims.
 */
enum lbw_status lbw_session_run(struct lbw_session *session, const struct lbw_array *inputs,
                                struct lbw_array *outputs, struct lbw_error *err);

#endif
