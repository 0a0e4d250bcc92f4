/* SPDX-License-Identifier: MIT */
/* Exit statuses of the program, and the idioms of functions that fail. */
#ifndef LBW_CLI_EXIT_H
#define LBW_CLI_EXIT_H

#include <lbw/base.h>

enum lbw_exit {
    LBW_EXIT_DONE = 0,
    LBW_EXIT_FAILED = 1,
    LBW_EXIT_USAGE = 2,
    LBW_EXIT_UNMET = 3,         /* a comparison or a budget was not met */
    LBW_EXIT_INTERRUPTED = 130, /* as shells report SIGINT */
};

/* The idioms of src/base/error.h, for functions that own nothing and that own something. */
#define LBW_TRY(call)                                                                          \
    do {                                                                                       \
        enum lbw_status try_status = (call);                                                   \
        if (try_status != LBW_OK)                                                              \
            return try_status;                                                                 \
    } while (0)
#define LBW_OR_OUT(call)                                                                       \
    do {                                                                                       \
        status = (call);                                                                       \
        if (status != LBW_OK)                                                                  \
            goto out;                                                                          \
    } while (0)

#endif
