/* SPDX-License-Identifier: MIT */
/* Finds ONNX Runtime, loads it once per process and reads its function table. */
#include "base/error.h"
#include "base/text.h"
#include "run/ort_api.h"

#include <dlfcn.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <lbw/runtime.h>

struct api_base {
    const void *(*get_api)(uint32_t version);
    const char *(*version)(void);
};

#define ORT_SLOT(slot, result, name, parameters) {slot, offsetof(struct lbw_runtime, name)},
static const struct slot {
    unsigned slot;
    size_t offset;
} slots[] = {ORT_CALLS(ORT_SLOT)}, slots_later[] = {ORT_CALLS_LATER(ORT_SLOT)};
#undef ORT_SLOT

/*
 * Without the "FILE:LINE FUNCTION(ARGUMENTS) " at the start of messages from the runtime's own
 * checks, which would leave no room for the rest.
 */
static const char *plain_message(const char *message)
{
    const char *at = strchr(message, '(');
    size_t line = strcspn(message, ":"), digits = message[line] ? line + 1 : line, depth = 0;
    size_t blank = digits + strspn(message + digits, "0123456789");
    if (message[0] != '/' || blank == digits || message[blank] != ' ' || !at)
        return message;
    for (; *at; at++) {
        depth += *at == '(';
        depth -= *at == ')';
        if (depth == 0)
            break;
    }
    return at[0] && at[1] == ' ' && at[2] ? at + 2 : message;
}

enum lbw_status lbw_runtime_check(const struct lbw_runtime *runtime, struct ort_status *status,
                                  const char *what, struct lbw_error *err)
{
    char message[400];
    if (!status)
        return LBW_OK;
    lbw_text_excerpt(message, sizeof message,
                     plain_message(runtime->get_error_message(status)));
    runtime->release_status(status);
    return lbw_fail(err, LBW_ERR_RUNTIME, "%s: ONNX Runtime: %s", what, message);
}

/* The first library that loads of the files matching `pattern`; NULL if none does. */
static void *load_matching(const char *pattern)
{
    void *library = NULL;
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0)
        return NULL;
    for (size_t i = 0; i < found.gl_pathc && !library; i++)
        library = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
    globfree(&found);
    return library;
}

/* The system's names: development, major version, then Debian's 1.NN from new to old. */
static void *load_from_system(void)
{
    void *library = dlopen("libonnxruntime.so", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        library = dlopen("libonnxruntime.so.1", RTLD_NOW | RTLD_LOCAL);
    for (int minor = 60; minor >= 5 && !library; minor--) {
        char name[64];
        snprintf(name, sizeof name, "libonnxruntime.so.1.%d", minor);
        library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    return library;
}

/* The library `given`, or the one in a folder of that name. */
static enum lbw_status load_given(void **out, const char *given, const char *who,
                                  struct lbw_error *err)
{
    char path[4096];
    struct stat st;
    void *library;
    if (stat(given, &st) == 0 && S_ISDIR(st.st_mode)) {
        snprintf(path, sizeof path, "%s/libonnxruntime.so*", given);
        library = load_matching(path);
    } else {
        library = dlopen(given, RTLD_NOW | RTLD_LOCAL);
    }
    if (!library) {
        const char *why = dlerror();
        return lbw_fail(err, LBW_ERR_RUNTIME, "%snot ONNX Runtime: %s: %.300s", who, given,
                        why ? why : "no libonnxruntime.so in this folder");
    }
    *out = library;
    return LBW_OK;
}

static enum lbw_status load_library(void **out, struct lbw_error *err)
{
    const char *given = getenv("LBW_ORT");
    if (given && *given)
        return load_given(out, given, "LBW_ORT: ", err);
    *out = load_from_system();
    if (*out)
        return LBW_OK;
    return lbw_fail(err, LBW_ERR_RUNTIME,
                    "no ONNX Runtime found: tried libonnxruntime.so, .so.1 and .so.1.N of the "
                    "system; install one, or set LBW_ORT to the library or its folder");
}

static void fill(struct lbw_runtime *runtime, const void *api, const struct slot *table,
                 size_t num)
{
    for (size_t i = 0; i < num; i++)
        memcpy((char *)runtime + table[i].offset,
               (const char *)api + table[i].slot * sizeof(void (*)(void)),
               sizeof(void (*)(void)));
}

/* Reads the function table. Requesting a version that is too new would print to stderr. */
static enum lbw_status read_table(struct lbw_runtime *runtime, void *library,
                                  struct lbw_error *err)
{
    const struct api_base *(*get_base)(void) = NULL;
    void *symbol = dlsym(library, "OrtGetApiBase");
    if (!symbol)
        return lbw_fail(err, LBW_ERR_RUNTIME, "the library found is not ONNX Runtime: %.300s",
                        dlerror());
    memcpy(&get_base, &symbol, sizeof get_base);
    const struct api_base *base = get_base();
    runtime->version = base->version();
    int major = 0, minor = 0;
    sscanf(runtime->version, "%d.%d", &major, &minor);
    if (major != 1 || minor < ORT_API_VERSION)
        return lbw_fail(err, LBW_ERR_RUNTIME,
                        "ONNX Runtime %s is not supported; 1.%d or later is required",
                        runtime->version, ORT_API_VERSION);
    bool has_later = minor >= ORT_API_VERSION_LATER;
    const void *api = base->get_api(has_later ? ORT_API_VERSION_LATER : ORT_API_VERSION);
    if (!api)
        return lbw_fail(err, LBW_ERR_RUNTIME, "ONNX Runtime %s does not offer its interface %d",
                        runtime->version, ORT_API_VERSION);
    fill(runtime, api, slots, sizeof slots / sizeof *slots);
    if (has_later)
        fill(runtime, api, slots_later, sizeof slots_later / sizeof *slots_later);
    return LBW_OK;
}

static enum lbw_status load(struct lbw_runtime *out, const char *path, struct lbw_error *err)
{
    void *library = NULL; /* never closed: the runtime's threads and statics outlive us */
    struct lbw_runtime runtime = {0};
    if (path)
        LBW_TRY(load_given(&library, path, "", err));
    else
        LBW_TRY(load_library(&library, err));
    LBW_TRY(read_table(&runtime, library, err));
    LBW_TRY(lbw_runtime_check(&runtime, runtime.create_env(ORT_LOG_FATAL, "lbw", &runtime.env),
                              "start", err));
    LBW_TRY(lbw_runtime_check(&runtime,
                              runtime.create_cpu_memory_info(ORT_ALLOCATOR_ARENA,
                                                             ORT_MEMORY_TYPE_DEFAULT,
                                                             &runtime.memory_info),
                              "start", err));
    LBW_TRY(lbw_runtime_check(&runtime, runtime.default_allocator(&runtime.allocator), "start",
                              err));
    *out = runtime;
    return LBW_OK;
}

/* Loads the library at `path`, or with NULL the one found, unless one is loaded. */
static enum lbw_status load_once(struct lbw_runtime **out, const char *path,
                                 struct lbw_error *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct lbw_runtime runtime;
    pthread_mutex_lock(&lock);
    enum lbw_status status = runtime.env ? LBW_OK : load(&runtime, path, err);
    pthread_mutex_unlock(&lock);
    if (status == LBW_OK)
        *out = &runtime;
    return status;
}

enum lbw_status lbw_runtime_load(struct lbw_runtime **out, const char **version,
                                 struct lbw_error *err)
{
    LBW_TRY(load_once(out, NULL, err));
    if (version)
        *version = (*out)->version;
    return LBW_OK;
}

enum lbw_status lbw_runtime_open(const char *path, struct lbw_error *err)
{
    struct lbw_runtime *runtime;
    return load_once(&runtime, path, err);
}
