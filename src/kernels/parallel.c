/* SPDX-License-Identifier: MIT */
/* Tasks one after the other, and a list of memory blocks that tasks borrow. */
#include "kernels/parallel.h"

#include <pthread.h>
#include <stdlib.h>

#define ALIGNMENT 64

/* Precedes the bytes that are borrowed, and takes one alignment. */
struct block {
    struct block *next;
    size_t size;
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

/* The smallest kept block that is large enough, else the first, which is replaced. */
static struct block *take_kept(size_t size)
{
    struct block **best = NULL;
    pthread_mutex_lock(&lock);
    for (struct block **at = &kept; *at; at = &(*at)->next)
        if ((*at)->size >= size && (!best || (*at)->size < (*best)->size))
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
