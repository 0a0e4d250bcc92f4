/* SPDX-License-Identifier: MIT */
/* Threads provided by the caller, and memory that tasks borrow. */
#ifndef LBW_SRC_KERNELS_PARALLEL_H
#define LBW_SRC_KERNELS_PARALLEL_H

#include <stddef.h>

/* run() calls task(argument, i) for each i in [0, num), on any threads, and waits. */
struct lbw_parallel {
    void (*run)(void *user, size_t num, void (*task)(void *argument, size_t i), void *argument);
    void *user;
};

/* One after the other, on the calling thread. */
extern const struct lbw_parallel lbw_sequential;

/*
 * Borrows at least `size` bytes, aligned to 64, uninitialised; NULL: no memory. Returned memory
 * is kept for the next borrower, so that no run has to request pages from the system; the
 * thread that returned it comes first, whose caches have it.
 */
void *lbw_scratch_take(size_t size);
void lbw_scratch_give(void *memory);

/* What tells this thread from all others that run. */
const void *lbw_scratch_thread(void);

/* Frees what is kept; call it only while nothing is borrowed. */
void lbw_scratch_clear(void);

#endif
