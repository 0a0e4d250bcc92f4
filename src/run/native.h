/* SPDX-License-Identifier: MIT */
/* The operator library liblbw_ort.so: finding it, and registering it with a session. */
#ifndef LBW_SRC_RUN_NATIVE_H
#define LBW_SRC_RUN_NATIVE_H

#include "run/ort_api.h"

/* Whether there is a library that this runtime can load. */
bool lbw_native_is_usable(const struct lbw_runtime *runtime);

/*
 * Registers the library's operators. Does nothing if no library is found or the runtime is too
 * old for it: then the model's functions run. LBW_ERR_RUNTIME if the runtime rejects it.
 */
enum lbw_status lbw_native_register(const struct lbw_runtime *runtime,
                                    struct ort_session_options *options, struct lbw_error *err);

#endif
