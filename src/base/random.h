/* SPDX-License-Identifier: MIT */
/* A small deterministic random generator (splitmix64): the same numbers on every machine. */
#ifndef LBW_SRC_RANDOM_H
#define LBW_SRC_RANDOM_H

#include <stdint.h>

struct lbw_random {
    uint64_t state; /* any value is a seed */
};

static inline uint64_t lbw_random_u64(struct lbw_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Uniform in [0, 1), 53 bits. */
static inline double lbw_random_unit(struct lbw_random *random)
{
    return (double)(lbw_random_u64(random) >> 11) * 0x1p-53;
}

/* Uniform in [0, bound), bound > 0 (bias below 2^-32 for every bound used here). */
static inline uint32_t lbw_random_below(struct lbw_random *random, uint32_t bound)
{
    return (uint32_t)((lbw_random_u64(random) >> 32) * bound >> 32);
}

#endif
