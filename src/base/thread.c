/* SPDX-License-Identifier: MIT */
/* Parallel loops over a shared counter: short-lived POSIX threads, no pool to manage. */
#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define MAX_THREADS 64

struct loop {
    atomic_size_t next;
    size_t num;
    void (*fn)(void *user, size_t i);
    void *user;
};

unsigned lbw_num_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : (unsigned)count;
}

static void *run(void *arg)
{
    struct loop *loop = arg;
    for (;;) {
        size_t i = atomic_fetch_add(&loop->next, 1);
        if (i >= loop->num)
            return NULL;
        loop->fn(loop->user, i);
    }
}

void lbw_parallel_for(size_t num, unsigned num_threads, void (*fn)(void *user, size_t i),
                      void *user)
{
    struct loop loop = {.num = num, .fn = fn, .user = user};
    pthread_t threads[MAX_THREADS];
    unsigned num_started = 0;
    if (num_threads == 0)
        num_threads = lbw_num_processors();
    if (num_threads > MAX_THREADS)
        num_threads = MAX_THREADS;
    while (num_started + 1 < num_threads && num_started + 1 < num)
        if (pthread_create(&threads[num_started], NULL, run, &loop) == 0)
            num_started++;
        else
            break;
    run(&loop);
    while (num_started)
        pthread_join(threads[--num_started], NULL);
}
