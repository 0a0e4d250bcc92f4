/* SPDX-License-Identifier: MIT */
/* Tests that need ONNX Runtime skip, and say so, where there is none. */
#ifndef LBW_TESTS_RUNTIME_H
#define LBW_TESTS_RUNTIME_H

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <lbw/runtime.h>

#include "run/session.h"

#define EXIT_SKIPPED 77 /* to meson */

/* The runtime of the build folder, unless LBW_ORT names another: see src/cli/runtime.c. */
static inline void use_runtime_of_build(void)
{
    static const char *const places[] = {
        "ort/libonnxruntime.so*", "ort/lib/libonnxruntime.so*",
        "ort-venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so*",
        "ort-npm/node_modules/onnxruntime-node/bin/napi-v*/linux/*/libonnxruntime.so*"};
    const char *build = getenv("LBW_BUILD_ROOT");
    for (size_t i = 0; build && i < sizeof places / sizeof *places; i++) {
        char pattern[1024];
        glob_t found;
        snprintf(pattern, sizeof pattern, "%s/%s", build, places[i]);
        if (glob(pattern, 0, NULL, &found) == 0) {
            setenv("LBW_ORT", found.gl_pathv[0], 0);
            globfree(&found);
        }
    }
}

static inline bool has_runtime(void)
{
    use_runtime_of_build();
    struct lbw_runtime *runtime;
    struct lbw_error err = {0};
    if (lbw_runtime_load(&runtime, NULL, &err) == LBW_OK)
        return true;
    fprintf(stderr, "skipped: %s\n", err.message);
    return false;
}

/* What main() returns without the runtime, or without the operator library; 0: both are there.
 */
static inline int miss_kernels(void)
{
    const char *library = NULL;
    struct lbw_error err = {0};
    if (!has_runtime())
        return EXIT_SKIPPED;
    if (lbw_native_library(&library, &err) == LBW_OK)
        return EXIT_SUCCESS;
    printf("%s\n", err.message);
    return EXIT_FAILURE;
}

#endif
