/* SPDX-License-Identifier: MIT */
/* Finds the operator library in the folder of this one, and registers it with sessions. */
#include "run/native.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lbw/runtime.h>

#include "base/error.h"

/* Set by the runtime's version: the library needs interface 17. */
#define MIN_MINOR 17

/* Relative to the folder of this library, or of the program where it is linked statically. */
static const char *const places[] = {"liblbw_ort.so", "src/liblbw_ort.so",
                                     "../src/liblbw_ort.so"};

/* The file that contains this code; empty if the loader does not know. */
static void find_folder(char *out, size_t size)
{
    static const char here; /* an address inside this library */
    Dl_info info;
    char *real = dladdr(&here, &info) && info.dli_fname ? realpath(info.dli_fname, NULL) : NULL;
    snprintf(out, size, "%s", real ? real : "");
    free(real);
    char *slash = strrchr(out, '/');
    *(slash ? slash : out) = '\0';
}

static bool find_library(char *out, size_t size)
{
    char folder[4000];
    const char *given = getenv("LBW_ORT_LIBRARY");
    if (given) {
        snprintf(out, size, "%s", given);
        return *given && access(out, R_OK) == 0;
    }
    find_folder(folder, sizeof folder);
    for (size_t i = 0; *folder && i < sizeof places / sizeof *places; i++) {
        snprintf(out, size, "%s/%s", folder, places[i]);
        if (access(out, R_OK) == 0)
            return true;
    }
    return false;
}

enum lbw_status lbw_native_library(const char **path, struct lbw_error *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char found[4096];
    pthread_mutex_lock(&lock);
    char text[4096];
    if (!*found && find_library(text, sizeof text))
        memcpy(found, text, sizeof found);
    pthread_mutex_unlock(&lock);
    if (!*found)
        return lbw_fail(err, LBW_ERR_RUNTIME,
                        "no liblbw_ort.so in the folder of liblbw; set LBW_ORT_LIBRARY to its "
                        "path");
    *path = found;
    return LBW_OK;
}

bool lbw_native_is_usable(const struct lbw_runtime *runtime)
{
    const char *path = NULL;
    int major = 0, minor = 0;
    sscanf(runtime->version, "%d.%d", &major, &minor);
    return minor >= MIN_MINOR && lbw_native_library(&path, NULL) == LBW_OK;
}

enum lbw_status lbw_native_register(const struct lbw_runtime *runtime,
                                    struct ort_session_options *options, struct lbw_error *err)
{
    const char *path = NULL;
    void *handle = NULL; /* never closed: sessions call into it */
    if (!lbw_native_is_usable(runtime) || lbw_native_library(&path, NULL) != LBW_OK)
        return LBW_OK;
    return lbw_runtime_check(runtime, runtime->register_library(options, path, &handle), path,
                             err);
}
