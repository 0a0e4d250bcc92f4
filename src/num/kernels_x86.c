/* SPDX-License-Identifier: MIT */
/* The vector loops for AVX2 and AVX-512: one template and the instructions it cannot say. */
#include "num/kernels_lanes.h"

#ifdef __x86_64__

#include <immintrin.h>
#include <string.h>

#define FORCE_INLINE __attribute__((always_inline))

/* Tables hold LBW_MAX_LEVELS floats, indices stay below 64. */

#define ISA     __attribute__((target("avx2")))
#define NAME(x) avx2_##x
#define WIDTH   8

typedef int32_t avx2_ints __attribute__((vector_size(32)));
typedef float avx2_floats __attribute__((vector_size(32)));
typedef float avx2_half __attribute__((vector_size(16)));
typedef uint64_t avx2_longs __attribute__((vector_size(32)));
typedef double avx2_doubles __attribute__((vector_size(32)));

ISA static inline avx2_doubles avx2_convert(avx2_half in)
{
    return (avx2_doubles)_mm256_cvtps_pd((__m128)in);
}

ISA static inline void avx2_bytes_store(uint8_t *out, const void *vectors)
{
    const __m256i *in = vectors;
    __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(in[0], in[1]), 0xd8);
    _mm_storeu_si128(
        (__m128i *)(void *)out,
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}

ISA static inline avx2_ints avx2_round(avx2_floats in)
{
    return (avx2_ints)_mm256_cvtps_epi32((__m256)in);
}

ISA static inline avx2_ints avx2_minimum(avx2_ints a, avx2_ints b)
{
    return (avx2_ints)_mm256_min_epi32((__m256i)a, (__m256i)b);
}

ISA static inline avx2_ints avx2_maximum(avx2_ints a, avx2_ints b)
{
    return (avx2_ints)_mm256_max_epi32((__m256i)a, (__m256i)b);
}

ISA static inline avx2_ints avx2_bytes_load(const uint8_t *codes)
{
    return (avx2_ints)_mm256_cvtepu8_epi32(
        _mm_loadl_epi64((const __m128i *)(const void *)codes));
}

ISA static inline avx2_floats avx2_table_look_up(avx2_ints index, const float *table)
{
    return (avx2_floats)_mm256_i32gather_ps(table, (__m256i)index, 4);
}

ISA static inline avx2_ints avx2_search(avx2_ints bits, const struct lbw_decision *decision)
{
    avx2_ints index = {0};
    for (int i = 0; i < decision->num; i++)
        index -= bits >= (avx2_ints){0} + (int32_t)decision->thresholds[i];
    return index;
}

ISA static inline avx2_ints avx2_load_rest(const float *w, size_t num, int vector)
{
    const avx2_ints lanes = {0, 1, 2, 3, 4, 5, 6, 7};
    avx2_ints is_there = lanes < (avx2_ints){0} + ((int32_t)num - 8 * vector);
    const int *from = (const int *)(const void *)w + (num > 8 ? 8 * vector : 0);
    return (avx2_ints)_mm256_maskload_epi32(from, (__m256i)is_there);
}

#include "num/kernels_vector.h"

const struct lbw_kernels lbw_kernels_avx2 = {"AVX2",   avx2_scan,    avx2_ladder, avx2_nearest,
                                             avx2_fit, avx2_look_up, avx2_compare};

#undef ISA
#undef NAME
#undef WIDTH

#define ISA     __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define NAME(x) avx512_##x
#define WIDTH   16

typedef int32_t avx512_ints __attribute__((vector_size(64)));
typedef float avx512_floats __attribute__((vector_size(64)));
typedef float avx512_half __attribute__((vector_size(32)));
typedef uint64_t avx512_longs __attribute__((vector_size(64)));
typedef double avx512_doubles __attribute__((vector_size(64)));

ISA static inline avx512_doubles avx512_convert(avx512_half in)
{
    return (avx512_doubles)_mm512_cvtps_pd((__m256)in);
}

ISA static inline void avx512_bytes_store(uint8_t *out, const void *vectors)
{
    _mm_storeu_si128((__m128i *)(void *)out, _mm512_cvtepi32_epi8(*(const __m512i *)vectors));
}

ISA static inline avx512_ints avx512_round(avx512_floats in)
{
    return (avx512_ints)_mm512_cvtps_epi32((__m512)in);
}

ISA static inline avx512_ints avx512_minimum(avx512_ints a, avx512_ints b)
{
    return (avx512_ints)_mm512_min_epi32((__m512i)a, (__m512i)b);
}

ISA static inline avx512_ints avx512_maximum(avx512_ints a, avx512_ints b)
{
    return (avx512_ints)_mm512_max_epi32((__m512i)a, (__m512i)b);
}

ISA static inline avx512_ints avx512_bytes_load(const uint8_t *codes)
{
    return (avx512_ints)_mm512_cvtepu8_epi32(
        _mm_loadu_si128((const __m128i *)(const void *)codes));
}

/* 64 floats are four registers; the loads leave the loop. */
ISA static inline avx512_floats avx512_table_look_up(avx512_ints index, const float *table)
{
    __m512i i = (__m512i)index;
    __m512 low = _mm512_permutex2var_ps(_mm512_loadu_ps(table), i, _mm512_loadu_ps(table + 16));
    __m512 high =
        _mm512_permutex2var_ps(_mm512_loadu_ps(table + 32), i, _mm512_loadu_ps(table + 48));
    __mmask16 is_high = _mm512_test_epi32_mask(i, _mm512_set1_epi32(32));
    return (avx512_floats)_mm512_mask_blend_ps(is_high, low, high);
}

/* Binary search in the 32 thresholds of two registers, one step per bit of the index. */
ISA static inline avx512_ints avx512_search(avx512_ints bits,
                                            const struct lbw_decision *decision)
{
    __m512i low = _mm512_loadu_si512(decision->thresholds);
    __m512i high = _mm512_loadu_si512(decision->thresholds + 16);
    __m512i index = _mm512_setzero_si512();
#pragma GCC unroll 5
    for (int step = 16; step; step /= 2) {
        __m512i probe = _mm512_add_epi32(index, _mm512_set1_epi32(step - 1));
        __m512i threshold = _mm512_permutex2var_epi32(low, probe, high);
        __mmask16 reached = _mm512_cmpge_epi32_mask((__m512i)bits, threshold);
        index = _mm512_mask_add_epi32(index, reached, index, _mm512_set1_epi32(step));
    }
    return (avx512_ints)index;
}

ISA static inline avx512_ints avx512_load_rest(const float *w, size_t num, int vector)
{
    (void)vector;
    return (avx512_ints)_mm512_maskz_loadu_epi32((__mmask16)((1U << num) - 1), w);
}

#include "num/kernels_vector.h"

const struct lbw_kernels lbw_kernels_avx512 = {"AVX-512",      avx512_scan, avx512_ladder,
                                               avx512_nearest, avx512_fit,  avx512_look_up,
                                               avx512_compare};

#endif
