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

/* The lowest failure so far; `lowest` is num if there is none. */
struct attempt {
    atomic_size_t lowest;
    pthread_mutex_t lock;
    lbw_task_fn *fn;
    void *user;
    enum lbw_status status;
    struct lbw_error err;
};

static void attempt_one(void *user, size_t i)
{
    struct attempt *attempt = user;
    struct lbw_error err = {0};
    if (i > atomic_load(&attempt->lowest))
        return;
    enum lbw_status status = attempt->fn(attempt->user, i, &err);
    if (status == LBW_OK)
        return;
    pthread_mutex_lock(&attempt->lock);
    if (i < atomic_load(&attempt->lowest)) {
        atomic_store(&attempt->lowest, i);
        attempt->status = status;
        attempt->err = err;
    }
    pthread_mutex_unlock(&attempt->lock);
}

enum lbw_status lbw_parallel_try(size_t num, unsigned num_threads, lbw_task_fn *fn, void *user,
                                 struct lbw_error *err)
{
    struct attempt attempt = {.fn = fn, .user = user};
    atomic_init(&attempt.lowest, num);
    pthread_mutex_init(&attempt.lock, NULL);
    lbw_parallel_for(num, num_threads, attempt_one, &attempt);
    pthread_mutex_destroy(&attempt.lock);
    if (attempt.status != LBW_OK && err)
        *err = attempt.err;
    return attempt.status;
}
