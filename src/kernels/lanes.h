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

/* The next multiple of LANES. */
static inline size_t lbw_round_lanes(size_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

#endif
