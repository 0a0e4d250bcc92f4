/* SPDX-License-Identifier: MIT */
/* The error object: made once, prefixed on the way up, never printed here. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *lbw_version(void)
{
    return LBW_VERSION;
}

const char *lbw_status_name(enum lbw_status status)
{
    static const char *const names[] = {
        [LBW_OK] = "ok",
        [LBW_ERR_MEMORY] = "out of memory",
        [LBW_ERR_IO] = "input/output error",
        [LBW_ERR_FORMAT] = "malformed data",
        [LBW_ERR_ARGUMENT] = "invalid argument",
        [LBW_ERR_UNSUPPORTED] = "not supported",
        [LBW_ERR_RUNTIME] = "runtime error",
        [LBW_ERR_INTERRUPTED] = "interrupted",
    };
    if ((size_t)status >= sizeof names / sizeof *names)
        return "unknown status";
    return names[status];
}

void lbw_free(void *memory)
{
    free(memory);
}

enum lbw_status lbw_fail(struct lbw_error *err, enum lbw_status status, const char *fmt, ...)
{
    if (err) {
        /* A name from a file may hold line breaks; a message is one line. */
        char text[sizeof err->message];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        lbw_text_clean(err->message, sizeof err->message, text);
        err->status = status;
    }
    return status;
}

enum lbw_status lbw_fail_errno(struct lbw_error *err, const char *fmt, ...)
{
    int number = errno;
    char text[sizeof err->message];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    enum lbw_status status = number == ENOMEM ? LBW_ERR_MEMORY : LBW_ERR_IO;
    return lbw_fail(err, status, "%s: %s", text, strerror(number));
}

enum lbw_status lbw_fail_memory(struct lbw_error *err)
{
    return lbw_fail(err, LBW_ERR_MEMORY, "out of memory");
}

enum lbw_status lbw_within(struct lbw_error *err, enum lbw_status status, const char *fmt, ...)
{
    if (err && status != LBW_OK) {
        char inner[sizeof err->message];
        memcpy(inner, err->message, sizeof inner);
        char outer[sizeof err->message];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(outer, sizeof outer, fmt, ap);
        va_end(ap);
        size_t length = strlen(outer); /* nested stages add the same context */
        if (strncmp(inner, outer, length) == 0 && strncmp(inner + length, ": ", 2) == 0)
            return status;
        return lbw_fail(err, status, "%s: %s", outer, inner);
    }
    return status;
}
