/* SPDX-License-Identifier: MIT */
/* Work shared among threads; results never depend on their number. */
#ifndef LBW_SRC_THREAD_H
#define LBW_SRC_THREAD_H

#include <stddef.h>

#include "base/error.h"

/* The processors this process may run on, at least 1. */
unsigned lbw_num_processors(void);

/*
 * Calls fn(user, i) once for each i in [0, num), from at most `num_threads` threads (0: one per
 * processor), in no particular order; returns when all are done. `fn` writes only what belongs
 * to its own i. If threads cannot be started, the others do their work.
 */
void lbw_parallel_for(size_t num, unsigned num_threads, void (*fn)(void *user, size_t i),
                      void *user);

/*
 * The same for work that may fail: returns the status of the lowest i that failed, with its
 * message in `err`, whatever the number of threads. Every lower i was done; higher ones may
 * have been skipped.
 */
typedef enum lbw_status lbw_task_fn(void *user, size_t i, struct lbw_error *err);
enum lbw_status lbw_parallel_try(size_t num, unsigned num_threads, lbw_task_fn *fn, void *user,
                                 struct lbw_error *err);

#endif
