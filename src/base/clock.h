/* SPDX-License-Identifier: MIT */
/* A monotonic clock. */
#ifndef LBW_SRC_BASE_CLOCK_H
#define LBW_SRC_BASE_CLOCK_H

#include <time.h>

/* Seconds since some moment before the program began. */
static inline double lbw_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
