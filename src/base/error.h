/* SPDX-License-Identifier: MIT */
/* Making errors, which only lbw_fail() does, and passing them on. */
#ifndef LBW_SRC_ERROR_H
#define LBW_SRC_ERROR_H

#include <lbw/base.h>

/* Fills `err` (may be NULL) and returns `status`. */
enum lbw_status lbw_fail(struct lbw_error *err, enum lbw_status status, const char *fmt, ...)
    LBW_PRINTF(3, 4);

/* As lbw_fail(LBW_ERR_IO), with ": strerror(errno)" appended to the message. */
enum lbw_status lbw_fail_errno(struct lbw_error *err, const char *fmt, ...) LBW_PRINTF(2, 3);

/* As lbw_fail(LBW_ERR_MEMORY, "out of memory"). */
enum lbw_status lbw_fail_memory(struct lbw_error *err);

/*
 * Prefixes the message with "CONTEXT: ", unless it already begins with it, and returns
 * `status`: `return lbw_within(…);`.
 */
enum lbw_status lbw_within(struct lbw_error *err, enum lbw_status status, const char *fmt, ...)
    LBW_PRINTF(3, 4);

/* Returns on failure; for functions that own nothing at that point. */
#define LBW_TRY(call)                                                                          \
    do {                                                                                       \
        enum lbw_status try_status = (call);                                                   \
        if (try_status != LBW_OK)                                                              \
            return try_status;                                                                 \
    } while (0)

/* Goes to `out:` on failure, with `status` set; for functions that own something. */
#define LBW_OR_OUT(call)                                                                       \
    do {                                                                                       \
        status = (call);                                                                       \
        if (status != LBW_OK)                                                                  \
            goto out;                                                                          \
    } while (0)

#endif
