/* SPDX-License-Identifier: MIT */
/* Status codes, the error object and version of liblbw: shared by every public header. */
#ifndef LBW_BASE_H
#define LBW_BASE_H

#include <stddef.h>
#include <stdint.h>

#include <lbw/version.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LBW_API              __attribute__((visibility("default")))
#define LBW_NODISCARD        __attribute__((warn_unused_result))
#define LBW_PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))
#else
#define LBW_API
#define LBW_NODISCARD
#define LBW_PRINTF(fmt, arg)
#endif

/* The kinds of failure that a caller may act on. */
enum lbw_status {
    LBW_OK = 0,
    LBW_ERR_MEMORY,      /* an allocation failed */
    LBW_ERR_IO,          /* open, read, write, sync or rename failed */
    LBW_ERR_FORMAT,      /* malformed input: not what its format prescribes */
    LBW_ERR_ARGUMENT,    /* an invalid option or argument */
    LBW_ERR_UNSUPPORTED, /* valid, but beyond what this library can do */
    LBW_ERR_RUNTIME,     /* no ONNX Runtime found, or it refused or failed */
    LBW_ERR_INTERRUPTED, /* a callback asked to stop */
};

/*
 * Filled in by the function that failed, with context prefixed on the way up:
 * "yolo.onnx: node 'Conv_12': weight 'w12': 1150 bytes for shape [16,3,3,2], expected 1152".
 * One line, no trailing newline. The caller owns the storage and may zero it; every function
 * accepts NULL for it.
 */
struct lbw_error {
    enum lbw_status status;
    char message[512];
};

/*
 * Called during long work: `done` of `total` steps, `what` names the current one (valid during
 * the call only, may be NULL). Return non-zero to stop: the work then fails with
 * LBW_ERR_INTERRUPTED and leaves no files.
 */
typedef int (*lbw_progress_fn)(void *user, const char *what, size_t done, size_t total);

/* The version of the loaded library, "MAJOR.MINOR.PATCH"; static storage. */
LBW_API const char *lbw_version(void);

/* A short English name of a status, "out of memory"; static storage. */
LBW_API const char *lbw_status_name(enum lbw_status status);

/*
 * Copies text as valid UTF-8, for JSON and drawings: each invalid byte becomes U+FFFD. Text
 * that does not fit into `size` bytes is cut between two characters. Three times the length of
 * the text plus one is always enough.
 */
LBW_API void lbw_text_mend(char *out, size_t size, const char *text);

/*
 * Copies text for a terminal: characters that move the cursor, break the line or change the
 * direction of writing become '?', invalid bytes U+FFFD. `size` as for lbw_text_mend().
 */
LBW_API void lbw_text_clean(char *out, size_t size, const char *text);

/* Frees memory from functions whose comment says to free it with this one. NULL is fine. */
LBW_API void lbw_free(void *memory);

#ifdef __cplusplus
}
#endif

#endif
