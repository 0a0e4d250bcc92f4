/* SPDX-License-Identifier: MIT */
/* The ONNX Runtime in the build folder, where samples/setup.sh installs it. */
#include "cli/runtime.h"

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const places[] = {
    "ort/libonnxruntime.so*",
    "ort/lib/libonnxruntime.so*",
    "ort-venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so*",
    "ort-npm/node_modules/onnxruntime-node/bin/napi-v*/linux/*/libonnxruntime.so*",
};

/* A folder that meson made, and that none but its owner, who is us or root, writes to. */
static bool is_own_build(const char *folder)
{
    char path[4096];
    struct stat st;
    if (snprintf(path, sizeof path, "%s/build.ninja", folder) >= (int)sizeof path ||
        access(path, F_OK) != 0 || stat(folder, &st) != 0)
        return false;
    return (st.st_uid == geteuid() || st.st_uid == 0) && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* Sets LBW_ORT to the first file that matches. */
static bool take(const char *folder, const char *place)
{
    char pattern[4096];
    glob_t found;
    if (snprintf(pattern, sizeof pattern, "%s/%s", folder, place) >= (int)sizeof pattern ||
        glob(pattern, 0, NULL, &found) != 0)
        return false;
    bool done = found.gl_pathc && setenv("LBW_ORT", found.gl_pathv[0], 1) == 0;
    globfree(&found);
    return done;
}

void lbw_runtime_of_build(void)
{
    char folder[2048];
    const char *given = getenv("LBW_ORT");
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    if ((given && *given) || length <= 0)
        return;
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (!slash || slash == folder)
        return;
    *slash = '\0';
    if (!is_own_build(folder))
        return;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (take(folder, places[i]))
            return;
}
