/* SPDX-License-Identifier: MIT */
/* Open addressing with linear probing, FNV-1a, at most half full; nothing is ever removed. */
#include "base/strmap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct lbw_strmap_slot {
    const char *key;
    void *value;
};

static struct lbw_strmap_slot *slot_of(const struct lbw_strmap *map, const char *key)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (const unsigned char *p = (const unsigned char *)key; *p; p++)
        hash = (hash ^ *p) * 0x100000001b3;
    /* FNV-1a maps names that differ in the last digit to a lattice, which makes clusters */
    hash = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15;
    size_t i = (size_t)(hash ^ hash >> 32) & (map->num_slots - 1);
    while (map->slots[i].key && strcmp(map->slots[i].key, key) != 0)
        i = (i + 1) & (map->num_slots - 1);
    return &map->slots[i];
}

static bool grow(struct lbw_strmap *map)
{
    struct lbw_strmap larger = {.num_slots = map->num_slots ? 2 * map->num_slots : 64};
    larger.slots = calloc(larger.num_slots, sizeof *larger.slots);
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < map->num_slots; i++)
        if (map->slots[i].key)
            *slot_of(&larger, map->slots[i].key) = map->slots[i];
    larger.num_used = map->num_used;
    free(map->slots);
    *map = larger;
    return true;
}

void lbw_strmap_release(struct lbw_strmap *map)
{
    free(map->slots);
    *map = (struct lbw_strmap){0};
}

void *lbw_strmap_get(const struct lbw_strmap *map, const char *key)
{
    return map->num_slots ? slot_of(map, key)->value : NULL;
}

bool lbw_strmap_put(struct lbw_strmap *map, const char *key, void *value)
{
    if (2 * (map->num_used + 1) > map->num_slots && !grow(map))
        return false;
    struct lbw_strmap_slot *slot = slot_of(map, key);
    map->num_used += !slot->key;
    *slot = (struct lbw_strmap_slot){key, value};
    return true;
}
