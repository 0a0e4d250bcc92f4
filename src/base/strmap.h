/* SPDX-License-Identifier: MIT */
/* A map from strings to pointers; keys are borrowed and must outlive it. */
#ifndef LBW_SRC_STRMAP_H
#define LBW_SRC_STRMAP_H

#include <stdbool.h>
#include <stddef.h>

struct lbw_strmap_slot;

/* Zero-initialised is empty and valid. */
struct lbw_strmap {
    struct lbw_strmap_slot *slots;
    size_t num_slots; /* a power of two, or 0 */
    size_t num_used;
};

void lbw_strmap_release(struct lbw_strmap *map);

/* The value, or NULL when the key is absent. */
void *lbw_strmap_get(const struct lbw_strmap *map, const char *key);

/* Sets or replaces; `value` is not NULL. False when memory is out (the map is unchanged). */
bool lbw_strmap_put(struct lbw_strmap *map, const char *key, void *value);

#endif
