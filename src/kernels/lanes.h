/* SPDX-License-Identifier: MIT */
/* Vectors of 8 floats as the compiler knows them, and functions once per instruction set. */
#ifndef LBW_SRC_KERNELS_LANES_H
#define LBW_SRC_KERNELS_LANES_H

#include <stddef.h>
#include <stdint.h>

#define LANES 8

/* Anywhere in memory. */
typedef float lanes __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(32), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

/* Instantiates `name` for each instruction set that makes a difference. */
#if defined(__x86_64__)
#define FOR_EVERY_ISA(name, parameters, arguments)                                             \
    __attribute__((target("avx2"))) static void name##_avx2 parameters                         \
    {                                                                                          \
        name##_body arguments;                                                                 \
    }                                                                                          \
    static void name##_plain parameters                                                        \
    {                                                                                          \
        name##_body arguments;                                                                 \
    }                                                                                          \
    static void name parameters                                                                \
    {                                                                                          \
        if (__builtin_cpu_supports("avx2"))                                                    \
            name##_avx2 arguments;                                                             \
        else                                                                                   \
            name##_plain arguments;                                                            \
    }
#else
#define FOR_EVERY_ISA(name, parameters, arguments)                                             \
    static void name parameters                                                                \
    {                                                                                          \
        name##_body arguments;                                                                 \
    }
#endif

/* `num` floats; a call of memcpy() costs as much as a short row. */
INLINE void lbw_copy_lanes(float *to, const float *from, size_t num)
{
    size_t i = 0;
    if (num < LANES) {
        for (; i < num; i++)
            to[i] = from[i];
        return;
    }
    for (; i + LANES <= num; i += LANES)
        *(lanes *)(to + i) = *(const lanes *)(from + i);
    *(lanes *)(to + num - LANES) = *(const lanes *)(from + num - LANES);
}

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define LBW_HAS_SHUFFLE
#endif
#endif

/* to[i] = from[2·i] */
INLINE void lbw_pick_lanes(float *to, const float *from, size_t num)
{
    size_t i = 0;
#ifdef LBW_HAS_SHUFFLE
    for (; i + LANES < num; i += LANES) { /* `from` need not hold the last odd one */
        const lanes *at = (const lanes *)(from + 2 * i);
        *(lanes *)(to + i) = __builtin_shufflevector(at[0], at[1], 0, 2, 4, 6, 8, 10, 12, 14);
    }
#endif
    for (; i < num; i++)
        to[i] = from[2 * i];
}

/* to[2·i] = even[i], to[2·i + 1] = odd[i]; num is a multiple of LANES. */
INLINE void lbw_zip_lanes(float *to, const float *even, const float *odd, size_t num)
{
    size_t i = 0;
#ifdef LBW_HAS_SHUFFLE
    for (; i < num; i += LANES) {
        lanes a = *(const lanes *)(even + i), b = *(const lanes *)(odd + i);
        lanes *at = (lanes *)(to + 2 * i);
        at[0] = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
        at[1] = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
    }
#endif
    for (; i < num; i++) {
        to[2 * i] = even[i];
        to[2 * i + 1] = odd[i];
    }
}

/* The next multiple of LANES. */
static inline size_t lbw_round_lanes(size_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

#endif
