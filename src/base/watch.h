/* SPDX-License-Identifier: MIT */
/* A callback that watches a long computation and may stop it. */
#ifndef LBW_SRC_WATCH_H
#define LBW_SRC_WATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 * Made by the thread that waits for the result. `fn` is called in that thread only, several
 * times a second; it returns false to stop the work.
 */
struct lbw_watch {
    bool (*fn)(void *user);
    void *user;
    pthread_t owner;
    atomic_bool is_stopped;
};

/* False once the work has to stop; from any thread. A NULL watch never stops it. */
static inline bool lbw_watch_goes_on(struct lbw_watch *watch)
{
    if (!watch)
        return true;
    if (!watch->is_stopped && pthread_equal(watch->owner, pthread_self()) &&
        !watch->fn(watch->user))
        watch->is_stopped = true;
    return !watch->is_stopped;
}

#endif
