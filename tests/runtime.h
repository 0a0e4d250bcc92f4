/* SPDX-License-Identifier: MIT */
/* Tests that need ONNX Runtime skip, and say so, where there is none. */
#ifndef LBW_TESTS_RUNTIME_H
#define LBW_TESTS_RUNTIME_H

#include <stdbool.h>
#include <stdio.h>

#include "run/session.h"

#define EXIT_SKIPPED 77 /* to meson */

static inline bool has_runtime(void)
{
    struct lbw_runtime *runtime;
    struct lbw_error err = {0};
    if (lbw_runtime_load(&runtime, NULL, &err) == LBW_OK)
        return true;
    fprintf(stderr, "skipped: %s\n", err.message);
    return false;
}

#endif
