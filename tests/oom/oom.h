/* SPDX-License-Identifier: MIT */
/*
 * Fails the n-th allocation of a scenario, for n = 1, 2, … until it runs through. The program
 * is linked with --wrap for each function below (see tests/meson.build), so every allocation
 * that this project makes is counted; those inside other libraries are not.
 */
#ifndef LBW_TESTS_OOM_H
#define LBW_TESTS_OOM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

static atomic_long oom_left = -1; /* allocations until one fails; negative: none will */
static atomic_bool oom_for_ever;  /* and all after it */
static atomic_bool oom_has_failed;
static atomic_long oom_live; /* allocations not yet freed */

void *__real_malloc(size_t size);
void *__real_calloc(size_t num, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t num, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
void __wrap_free(void *memory);
void *__real_lbw_arena_alloc(struct lbw_arena *arena, size_t size);
void *__real_lbw_arena_calloc(struct lbw_arena *arena, size_t num, size_t size);
void *__real_lbw_arena_memdup(struct lbw_arena *arena, const void *data, size_t size);
char *__real_lbw_arena_strdup(struct lbw_arena *arena, const char *text);
void *__wrap_lbw_arena_alloc(struct lbw_arena *arena, size_t size);
void *__wrap_lbw_arena_calloc(struct lbw_arena *arena, size_t num, size_t size);
void *__wrap_lbw_arena_memdup(struct lbw_arena *arena, const void *data, size_t size);
char *__wrap_lbw_arena_strdup(struct lbw_arena *arena, const char *text);

static bool oom_is_due(void)
{
    long left = atomic_load(&oom_left);
    if (left < 0)
        return false;
    if (atomic_fetch_sub(&oom_left, 1) > 0)
        return false;
    if (atomic_load(&oom_for_ever))
        atomic_store(&oom_left, 0);
    atomic_store(&oom_has_failed, true);
    return true;
}

static void *oom_count(void *memory)
{
    if (memory)
        atomic_fetch_add(&oom_live, 1);
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return oom_is_due() ? NULL : oom_count(__real_malloc(size));
}

void *__wrap_calloc(size_t num, size_t size)
{
    return oom_is_due() ? NULL : oom_count(__real_calloc(num, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (oom_is_due())
        return NULL;
    return old ? __real_realloc(old, size) : oom_count(__real_malloc(size));
}

char *__wrap_strndup(const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    char *copy = __wrap_malloc(length + 1);
    if (copy) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, strlen(text));
}

void __wrap_free(void *memory)
{
    if (memory)
        atomic_fetch_sub(&oom_live, 1);
    __real_free(memory);
}

void *__wrap_lbw_arena_alloc(struct lbw_arena *arena, size_t size)
{
    return oom_is_due() ? NULL : __real_lbw_arena_alloc(arena, size);
}

void *__wrap_lbw_arena_calloc(struct lbw_arena *arena, size_t num, size_t size)
{
    return oom_is_due() ? NULL : __real_lbw_arena_calloc(arena, num, size);
}

void *__wrap_lbw_arena_memdup(struct lbw_arena *arena, const void *data, size_t size)
{
    return oom_is_due() ? NULL : __real_lbw_arena_memdup(arena, data, size);
}

char *__wrap_lbw_arena_strdup(struct lbw_arena *arena, const char *text)
{
    return oom_is_due() ? NULL : __real_lbw_arena_strdup(arena, text);
}

/*
 * Runs the scenario with its n-th allocation failing, once alone and once with all after it. It
 * has to return LBW_ERR_MEMORY (or LBW_OK, where it could do without) with a message that says
 * so, having freed everything. Prints what is wrong and returns false.
 */
static bool oom_run(const char *name, enum lbw_status (*scenario)(struct lbw_error *err))
{
    for (long n = 0;; n++) {
        for (int for_ever = 0; for_ever < 2; for_ever++) {
            struct lbw_error err = {0};
            long live = atomic_load(&oom_live);
            atomic_store(&oom_has_failed, false);
            atomic_store(&oom_for_ever, for_ever);
            atomic_store(&oom_left, n);
            enum lbw_status status = scenario(&err);
            atomic_store(&oom_left, -1);
            bool has_failed = atomic_load(&oom_has_failed);
            bool is_told = status == LBW_OK || (status == LBW_ERR_MEMORY && *err.message);
            if (!is_told || atomic_load(&oom_live) != live) {
                printf("# %s, allocation %ld: status %d, \"%s\", %ld left behind\n", name, n,
                       (int)status, err.message, atomic_load(&oom_live) - live);
                return false;
            }
            if (!has_failed) {
                printf("# %s: %ld allocations, each has failed\n", name, n);
                return status == LBW_OK && n > 0;
            }
        }
    }
}

#endif
