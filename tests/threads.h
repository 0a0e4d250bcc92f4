/* SPDX-License-Identifier: MIT */
/* Work of many threads that begin at the same time; include it after cmocka.h. */
#ifndef LBW_TESTS_THREADS_H
#define LBW_TESTS_THREADS_H

#include <pthread.h>

#include "fixture.h"

struct together {
    pthread_t thread;
    pthread_barrier_t *gate;
    void (*work)(void *job);
    void *job;
};

static inline void *begin_together(void *user)
{
    struct together *together = user;
    pthread_barrier_wait(together->gate);
    together->work(together->job);
    return NULL;
}

/* Calls work() for each of `num` jobs of `size` bytes, in a thread of its own. */
static inline void run_together(void (*work)(void *job), void *jobs, size_t size, unsigned num)
{
    pthread_barrier_t gate;
    struct together *all = calloc(num, sizeof *all);
    assert_non_null(all);
    assert_int_equal(pthread_barrier_init(&gate, NULL, num), 0);
    for (size_t i = 0; i < num; i++) {
        all[i].gate = &gate;
        all[i].work = work;
        all[i].job = (char *)jobs + i * size;
        assert_int_equal(pthread_create(&all[i].thread, NULL, begin_together, &all[i]), 0);
    }
    for (size_t i = 0; i < num; i++)
        assert_int_equal(pthread_join(all[i].thread, NULL), 0);
    pthread_barrier_destroy(&gate);
    free(all);
}

#endif
