/* SPDX-License-Identifier: MIT */
/* Tasks one after the other, and a list of memory blocks that tasks borrow. */
#include "kernels/parallel.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define ALIGNMENT 64

/* Precedes the bytes that are borrowed, and takes one alignment. */
struct block {
    struct block *next;
    size_t size;
    const void *owner; /* the last thread that had it */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *kept;

static void run(void *user, size_t num, void (*task)(void *argument, size_t i), void *argument)
{
    (void)user;
    for (size_t i = 0; i < num; i++)
        task(argument, i);
}

const struct lbw_parallel lbw_sequential = {run, NULL};

const void *lbw_scratch_thread(void)
{
    static _Thread_local char self;
    return &self;
}

/* Whether a block fits better than another: by its thread first, then by its size. */
static bool is_better(const struct block *block, const struct block *than, const void *self)
{
    bool is_own = block->owner == self, was_own = than->owner == self;
    return is_own != was_own ? is_own : block->size < than->size;
}

/* The best kept block that is large enough, else the first, which is replaced. */
static struct block *take_kept(size_t size)
{
    const void *self = lbw_scratch_thread();
    struct block **best = NULL;
    pthread_mutex_lock(&lock);
    for (struct block **at = &kept; *at; at = &(*at)->next)
        if ((*at)->size >= size && (!best || is_better(*at, *best, self)))
            best = at;
    if (!best && kept)
        best = &kept;
    struct block *block = best ? *best : NULL;
    if (block)
        *best = block->next;
    pthread_mutex_unlock(&lock);
    return block;
}

void *lbw_scratch_take(size_t size)
{
    if (size > (size_t)-1 / 2)
        return NULL;
    struct block *block = take_kept(size);
    if (block && block->size < size) {
        free(block);
        block = NULL;
    }
    if (!block) {
        size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        block = aligned_alloc(ALIGNMENT, ALIGNMENT + size);
        if (!block)
            return NULL;
        block->size = size;
    }
    return (char *)block + ALIGNMENT;
}

void lbw_scratch_give(void *memory)
{
    if (!memory)
        return;
    struct block *block = (struct block *)(void *)((char *)memory - ALIGNMENT);
    block->owner = lbw_scratch_thread();
    pthread_mutex_lock(&lock);
    block->next = kept;
    kept = block;
    pthread_mutex_unlock(&lock);
}

void lbw_scratch_clear(void)
{
    pthread_mutex_lock(&lock);
    while (kept) {
        struct block *next = kept->next;
        free(kept);
        kept = next;
    }
    pthread_mutex_unlock(&lock);
}
