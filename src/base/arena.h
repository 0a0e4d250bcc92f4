/* SPDX-License-Identifier: MIT */
/* A growing region of memory, released as a whole: all of one model lives in one arena. */
#ifndef LBW_SRC_ARENA_H
#define LBW_SRC_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct lbw_arena_block;

/* Zero-initialised is empty and valid. */
struct lbw_arena {
    struct lbw_arena_block *top;
};

void lbw_arena_release(struct lbw_arena *arena);

/* 16-byte aligned, not zeroed; NULL when memory is out. `size` 0 gives a valid pointer. */
void *lbw_arena_alloc(struct lbw_arena *arena, size_t size);

/*
 * Makes room for `size` bytes in one block, in large pages where the system has them. This is a
 * hint and may fail without harm.
 */
void lbw_arena_reserve(struct lbw_arena *arena, size_t size);

/* `num` items of `size` bytes, zeroed; NULL when memory is out or the product overflows. */
void *lbw_arena_calloc(struct lbw_arena *arena, size_t num, size_t size);

/* Copies; NULL when memory is out. */
char *lbw_arena_strdup(struct lbw_arena *arena, const char *text);
void *lbw_arena_memdup(struct lbw_arena *arena, const void *data, size_t size);
char *lbw_arena_printf(struct lbw_arena *arena, const char *fmt, ...) LBW_PRINTF(2, 3);

#endif
