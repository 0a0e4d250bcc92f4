/* SPDX-License-Identifier: MIT */
/* The inner loops for x86-64: AVX2, AVX-VNNI, AVX-512 VNNI without and with VBMI. */
#include "kernels/isa.h"

#ifdef __x86_64__

#include <immintrin.h>
#include <string.h>

/* For all: AVX2 is in each of them. The last 16 are loaded one byte early, as odd ones. */
__attribute__((target("avx2"))) static void halve(uint8_t *out, const uint8_t *in, size_t n)
{
    const __m256i low = _mm256_set1_epi16(0xff);
    size_t i = 0;
    for (; i + 33 <= n; i += 32) {
        __m256i a = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(in + 2 * i)), low);
        __m256i b =
            _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(in + 2 * i + 32)), low);
        __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xd8);
        _mm256_storeu_si256((__m256i *)(out + i), packed);
    }
    for (; n > 16 && i < n; i += 16) {
        size_t at = i + 16 <= n ? i : n - 16;
        bool is_first = at == 0; /* of which no byte is early */
        const __m128i *p = (const __m128i *)(in + 2 * at - !is_first);
        __m128i a = _mm_loadu_si128(p), b = _mm_loadu_si128(p + 1);
        a = is_first ? _mm_and_si128(a, _mm256_castsi256_si128(low)) : _mm_srli_epi16(a, 8);
        b = is_first ? _mm_and_si128(b, _mm256_castsi256_si128(low)) : _mm_srli_epi16(b, 8);
        _mm_storeu_si128((__m128i *)(out + at), _mm_packus_epi16(a, b));
    }
    for (; i < n; i++)
        out[i] = in[2 * i];
}

/* ---- 256 bits ---- */

typedef __m256i vector256;

#define LANES 32
#define ISA   __attribute__((target("avx2,fma")))
#define bytes vector256
#define ints  vector256

ISA static inline __m256i load256(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

ISA static inline __m256i load_masked256(const uint8_t *p, uint64_t mask, __m256i fill)
{
    const __m256i spread =
        _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i bits = _mm256_shuffle_epi8(_mm256_set1_epi32((int)mask), spread);
    __m256i is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit);
    return _mm256_blendv_epi8(fill, load256(p), is_set);
}

ISA static inline void unpack256(__m256i out[4], const __m256i r[4])
{
    __m256i low01 = _mm256_unpacklo_epi8(r[0], r[1]), low23 = _mm256_unpacklo_epi8(r[2], r[3]);
    __m256i high01 = _mm256_unpackhi_epi8(r[0], r[1]);
    __m256i high23 = _mm256_unpackhi_epi8(r[2], r[3]);
    out[0] = _mm256_unpacklo_epi16(low01, low23);
    out[1] = _mm256_unpackhi_epi16(low01, low23);
    out[2] = _mm256_unpacklo_epi16(high01, high23);
    out[3] = _mm256_unpackhi_epi16(high01, high23);
}

ISA static inline __m256i to_bytes256(const __m256i sums[4], float scale, int16_t zero)
{
    __m256 s = _mm256_set1_ps(scale);
    __m256i z = _mm256_set1_epi16(zero), q[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        q[j] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[j]), s));
    return _mm256_packus_epi16(_mm256_adds_epi16(_mm256_packs_epi32(q[0], q[1]), z),
                               _mm256_adds_epi16(_mm256_packs_epi32(q[2], q[3]), z));
}

/* Four parts of bytes as floats; narrowed twice they are back in order. */
ISA static inline void widen256(__m256 out[4], __m256i x)
{
    const __m256i none = _mm256_setzero_si256();
    __m256i low = _mm256_unpacklo_epi8(x, none), high = _mm256_unpackhi_epi8(x, none);
    out[0] = _mm256_cvtepi32_ps(_mm256_unpacklo_epi16(low, none));
    out[1] = _mm256_cvtepi32_ps(_mm256_unpackhi_epi16(low, none));
    out[2] = _mm256_cvtepi32_ps(_mm256_unpacklo_epi16(high, none));
    out[3] = _mm256_cvtepi32_ps(_mm256_unpackhi_epi16(high, none));
}

ISA static inline __m256i add256(__m256i q, __m256i r, const struct lbw_requant *to)
{
    const __m256 own = _mm256_set1_ps(to->own), other = _mm256_set1_ps(to->other);
    const __m256 fixed = _mm256_set1_ps(to->fixed);
    __m256 a[4], b[4];
    __m256i sum[4];
    widen256(a, q);
    widen256(b, r);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        sum[j] =
            _mm256_cvtps_epi32(_mm256_fmadd_ps(a[j], own, _mm256_fmadd_ps(b[j], other, fixed)));
    return _mm256_max_epu8(_mm256_packus_epi16(_mm256_packs_epi32(sum[0], sum[1]),
                                               _mm256_packs_epi32(sum[2], sum[3])),
                           _mm256_set1_epi8((char)to->least));
}

/* A shuffle gives zero where the sum has its highest bit: only one of 16 does not. */
ISA static inline __m256i look_up256(__m256i q, const uint8_t *table)
{
    __m256i found = _mm256_setzero_si256();
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        __m256i part =
            _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(table + 16 * i)));
        __m256i rest = _mm256_xor_si256(q, _mm256_set1_epi8((char)(16 * i)));
        __m256i place = _mm256_adds_epu8(rest, _mm256_set1_epi8(0x70));
        found = _mm256_or_si256(found, _mm256_shuffle_epi8(part, place));
    }
    return found;
}

/* Sums in the order of positions. */
ISA static inline void order256(__m256i out[4], const __m256i s[4])
{
    out[0] = _mm256_permute2x128_si256(s[0], s[1], 0x20);
    out[1] = _mm256_permute2x128_si256(s[2], s[3], 0x20);
    out[2] = _mm256_permute2x128_si256(s[0], s[1], 0x31);
    out[3] = _mm256_permute2x128_si256(s[2], s[3], 0x31);
}

/* Where two neighbouring products never exceed 16 bits. */
ISA static inline __m256i avx2_dot(__m256i sum, __m256i x, __m256i w)
{
    return _mm256_add_epi32(
        sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), _mm256_set1_epi16(1)));
}

ISA static inline __m256i avx2_dot_wide(__m256i sum, __m256i x, __m256i w)
{
    __m256i even = _mm256_madd_epi16(_mm256_and_si256(x, _mm256_set1_epi16(0xff)),
                                     _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8));
    __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(x, 8), _mm256_srai_epi16(w, 8));
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}

/* What both sets of 256 bits share, under the names that the loops use. */
#define SHARED_256(name)                                                                       \
    ISA static inline __m256i name##_load(const uint8_t *p)                                    \
    {                                                                                          \
        return load256(p);                                                                     \
    }                                                                                          \
    ISA static inline __m256i name##_load_masked(const uint8_t *p, uint64_t mask,              \
                                                 __m256i fill)                                 \
    {                                                                                          \
        return load_masked256(p, mask, fill);                                                  \
    }                                                                                          \
    ISA static inline void name##_store(void *p, __m256i x)                                    \
    {                                                                                          \
        _mm256_storeu_si256(p, x);                                                             \
    }                                                                                          \
    ISA static inline __m256i name##_larger(__m256i a, __m256i b)                              \
    {                                                                                          \
        return _mm256_max_epu8(a, b);                                                          \
    }                                                                                          \
    ISA static inline __m256i name##_add(__m256i q, __m256i r, const struct lbw_requant *to)   \
    {                                                                                          \
        return add256(q, r, to);                                                               \
    }                                                                                          \
    ISA static inline __m256i name##_splat(uint8_t x)                                          \
    {                                                                                          \
        return _mm256_set1_epi8((char)x);                                                      \
    }                                                                                          \
    ISA static inline __m256i name##_splat_word(int32_t x)                                     \
    {                                                                                          \
        return _mm256_set1_epi32(x);                                                           \
    }                                                                                          \
    ISA static inline void name##_unpack(__m256i out[4], const __m256i r[4])                   \
    {                                                                                          \
        unpack256(out, r);                                                                     \
    }                                                                                          \
    ISA static inline void name##_order(__m256i out[4], const __m256i s[4])                    \
    {                                                                                          \
        order256(out, s);                                                                      \
    }                                                                                          \
    ISA static inline __m256i name##_to_bytes(const __m256i sums[4], float scale,              \
                                              int16_t zero)                                    \
    {                                                                                          \
        return to_bytes256(sums, scale, zero);                                                 \
    }                                                                                          \
    ISA static inline __m256i name##_look_up(__m256i q, const uint8_t *table)                  \
    {                                                                                          \
        return look_up256(q, table);                                                           \
    }

#define NAME(x)       avx2_##x
#define WIDTH         8
#define SMALLER(a, b) ((reals)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define LARGER(a, b)  ((reals)_mm256_max_ps((__m256)(a), (__m256)(b)))
#include "kernels/isa_float.h"
#define ROWS    2
#define DOTS(X) X() X(_wide)
SHARED_256(avx2)
#include "kernels/isa_vector.h"
#undef NAME
#undef ROWS
#undef DOTS

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const struct lbw_isa lbw_isa_avx2 = {
    .name = "AVX2",
    .lanes = 32,
    .max_rows = 2,
    .adds_pairs = true,
    .pack = avx2_pack,
    .multiply = avx2_multiply,
    .multiply_wide = avx2_multiply_wide,
    .depthwise = avx2_depthwise,
    .depthwise_wide = avx2_depthwise_wide,
    .halve = halve,
    .maximum = avx2_maximum,
    .largest = avx2_largest,
    .look_up = avx2_look_up_all,
    .sums = avx2_sums,
    .sums_wide = avx2_sums_wide,
    .floats = &avx2_floats,
    .is_available = has_avx2,
};

#undef ISA
#define ISA     __attribute__((target("avx2,fma,avxvnni")))
#define NAME(x) avxvnni_##x
#define ROWS    3
#define DOTS(X) X()
SHARED_256(avxvnni)

ISA static inline __m256i avxvnni_dot(__m256i sum, __m256i x, __m256i w)
{
    return _mm256_dpbusd_avx_epi32(sum, x, w);
}

#include "kernels/isa_vector.h"
#undef NAME
#undef ROWS
#undef DOTS

/* Leaf 7, subleaf 1: older compilers know no name for it. */
static bool has_avxvnni(void)
{
    unsigned a = 7, b, c = 1, d;
    if (!has_avx2())
        return false;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return a >> 4 & 1;
}

const struct lbw_isa lbw_isa_avxvnni = {
    .name = "AVX-VNNI",
    .lanes = 32,
    .max_rows = 3,
    .pack = avxvnni_pack,
    .multiply = avxvnni_multiply,
    .multiply_wide = avxvnni_multiply,
    .depthwise = avxvnni_depthwise,
    .depthwise_wide = avxvnni_depthwise,
    .halve = halve,
    .maximum = avxvnni_maximum,
    .largest = avxvnni_largest,
    .look_up = avxvnni_look_up_all,
    .sums = avxvnni_sums,
    .sums_wide = avxvnni_sums,
    .floats = &avx2_floats,
    .is_available = has_avxvnni,
};

#undef ISA
#undef LANES
#undef bytes
#undef ints

/* ---- 512 bits ---- */

typedef __m512i vector512;

#define LANES 64
#define ISA   __attribute__((target("fma,avx512f,avx512bw,avx512vl,avx512vnni")))
#define bytes vector512
#define ints  vector512
#define MASKED_LOADS_ARE_SAFE

ISA static inline void unpack512(__m512i out[4], const __m512i r[4])
{
    __m512i low01 = _mm512_unpacklo_epi8(r[0], r[1]), low23 = _mm512_unpacklo_epi8(r[2], r[3]);
    __m512i high01 = _mm512_unpackhi_epi8(r[0], r[1]);
    __m512i high23 = _mm512_unpackhi_epi8(r[2], r[3]);
    out[0] = _mm512_unpacklo_epi16(low01, low23);
    out[1] = _mm512_unpackhi_epi16(low01, low23);
    out[2] = _mm512_unpacklo_epi16(high01, high23);
    out[3] = _mm512_unpackhi_epi16(high01, high23);
}

ISA static inline void order512(__m512i out[4], const __m512i s[4])
{
    __m512i low01 = _mm512_shuffle_i32x4(s[0], s[1], 0x44);
    __m512i low23 = _mm512_shuffle_i32x4(s[2], s[3], 0x44);
    __m512i high01 = _mm512_shuffle_i32x4(s[0], s[1], 0xee);
    __m512i high23 = _mm512_shuffle_i32x4(s[2], s[3], 0xee);
    out[0] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    out[1] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    out[2] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    out[3] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
}

ISA static inline __m512i to_bytes512(const __m512i sums[4], float scale, int16_t zero)
{
    __m512 s = _mm512_set1_ps(scale);
    __m512i z = _mm512_set1_epi16(zero), q[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        q[j] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(sums[j]), s));
    return _mm512_packus_epi16(_mm512_adds_epi16(_mm512_packs_epi32(q[0], q[1]), z),
                               _mm512_adds_epi16(_mm512_packs_epi32(q[2], q[3]), z));
}

ISA static inline void widen512(__m512 out[4], __m512i x)
{
    const __m512i none = _mm512_setzero_si512();
    __m512i low = _mm512_unpacklo_epi8(x, none), high = _mm512_unpackhi_epi8(x, none);
    out[0] = _mm512_cvtepi32_ps(_mm512_unpacklo_epi16(low, none));
    out[1] = _mm512_cvtepi32_ps(_mm512_unpackhi_epi16(low, none));
    out[2] = _mm512_cvtepi32_ps(_mm512_unpacklo_epi16(high, none));
    out[3] = _mm512_cvtepi32_ps(_mm512_unpackhi_epi16(high, none));
}

ISA static inline __m512i add512(__m512i q, __m512i r, const struct lbw_requant *to)
{
    const __m512 own = _mm512_set1_ps(to->own), other = _mm512_set1_ps(to->other);
    const __m512 fixed = _mm512_set1_ps(to->fixed);
    __m512 a[4], b[4];
    __m512i sum[4];
    widen512(a, q);
    widen512(b, r);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        sum[j] =
            _mm512_cvtps_epi32(_mm512_fmadd_ps(a[j], own, _mm512_fmadd_ps(b[j], other, fixed)));
    return _mm512_max_epu8(_mm512_packus_epi16(_mm512_packs_epi32(sum[0], sum[1]),
                                               _mm512_packs_epi32(sum[2], sum[3])),
                           _mm512_set1_epi8((char)to->least));
}

/* Masks stand for what lies behind the last byte. */
ISA static void halve512(uint8_t *out, const uint8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i += 32) {
        size_t left = n - i < 32 ? n - i : 32;
        __m512i x = _mm512_maskz_loadu_epi8(~UINT64_C(0) >> (65 - 2 * left), in + 2 * i);
        _mm256_mask_storeu_epi8(out + i, (__mmask32)(~UINT32_C(0) >> (32 - left)),
                                _mm512_cvtepi16_epi8(x));
    }
}

ISA static void split512(uint8_t *even, uint8_t *odd, size_t out_step, const uint8_t *in,
                         size_t step, size_t width, size_t rows)
{
    for (; rows; rows--, in += step, even += out_step, odd += out_step)
        for (size_t i = 0; i < width; i += 64) {
            size_t left = width - i < 64 ? width - i : 64;
            __m512i x = _mm512_maskz_loadu_epi8(~UINT64_C(0) >> (64 - left), in + i);
            _mm256_mask_storeu_epi8(even + i / 2,
                                    (__mmask32)(~UINT64_C(0) >> (64 - (left + 1) / 2)),
                                    _mm512_cvtepi16_epi8(x));
            if (left > 1)
                _mm256_mask_storeu_epi8(odd + i / 2,
                                        (__mmask32)(~UINT64_C(0) >> (64 - left / 2)),
                                        _mm512_cvtepi16_epi8(_mm512_srli_epi16(x, 8)));
        }
}

#define SHARED_512(name)                                                                       \
    ISA static inline __m512i name##_load(const uint8_t *p)                                    \
    {                                                                                          \
        return _mm512_loadu_si512(p);                                                          \
    }                                                                                          \
    ISA static inline __m512i name##_load_masked(const uint8_t *p, uint64_t mask,              \
                                                 __m512i fill)                                 \
    {                                                                                          \
        return _mm512_mask_loadu_epi8(fill, mask, p);                                          \
    }                                                                                          \
    ISA static inline void name##_store(void *p, __m512i x)                                    \
    {                                                                                          \
        _mm512_storeu_si512(p, x);                                                             \
    }                                                                                          \
    ISA static inline __m512i name##_larger(__m512i a, __m512i b)                              \
    {                                                                                          \
        return _mm512_max_epu8(a, b);                                                          \
    }                                                                                          \
    ISA static inline __m512i name##_add(__m512i q, __m512i r, const struct lbw_requant *to)   \
    {                                                                                          \
        return add512(q, r, to);                                                               \
    }                                                                                          \
    ISA static inline __m512i name##_splat(uint8_t x)                                          \
    {                                                                                          \
        return _mm512_set1_epi8((char)x);                                                      \
    }                                                                                          \
    ISA static inline __m512i name##_splat_word(int32_t x)                                     \
    {                                                                                          \
        return _mm512_set1_epi32(x);                                                           \
    }                                                                                          \
    ISA static inline void name##_unpack(__m512i out[4], const __m512i r[4])                   \
    {                                                                                          \
        unpack512(out, r);                                                                     \
    }                                                                                          \
    ISA static inline void name##_order(__m512i out[4], const __m512i s[4])                    \
    {                                                                                          \
        order512(out, s);                                                                      \
    }                                                                                          \
    ISA static inline __m512i name##_to_bytes(const __m512i sums[4], float scale,              \
                                              int16_t zero)                                    \
    {                                                                                          \
        return to_bytes512(sums, scale, zero);                                                 \
    }                                                                                          \
    ISA static inline __m512i name##_dot(__m512i sum, __m512i x, __m512i w)                    \
    {                                                                                          \
        return _mm512_dpbusd_epi32(sum, x, w);                                                 \
    }

#define ROWS    6
#define DOTS(X) X()

#define NAME(x) avx512vnni_##x
SHARED_512(avx512vnni)

ISA static inline __m512i avx512vnni_look_up(__m512i q, const uint8_t *table)
{
    __m512i found = _mm512_setzero_si512();
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        __m512i part =
            _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(table + 16 * i)));
        __m512i rest = _mm512_xor_si512(q, _mm512_set1_epi8((char)(16 * i)));
        __m512i place = _mm512_adds_epu8(rest, _mm512_set1_epi8(0x70));
        found = _mm512_or_si512(found, _mm512_shuffle_epi8(part, place));
    }
    return found;
}

#define WIDTH         16
#define SMALLER(a, b) ((reals)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define LARGER(a, b)  ((reals)_mm512_max_ps((__m512)(a), (__m512)(b)))
#include "kernels/isa_float.h"
#include "kernels/isa_vector.h"
#undef NAME

#undef ISA
#define ISA     __attribute__((target("fma,avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")))
#define NAME(x) avx512vbmi_##x
SHARED_512(avx512vbmi)

ISA static inline __m512i avx512vbmi_look_up(__m512i q, const uint8_t *table)
{
    __m512i low =
        _mm512_permutex2var_epi8(_mm512_loadu_si512(table), q, _mm512_loadu_si512(table + 64));
    __m512i high = _mm512_permutex2var_epi8(_mm512_loadu_si512(table + 128), q,
                                            _mm512_loadu_si512(table + 192));
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(q), low, high);
}

#include "kernels/isa_vector.h"
#undef NAME

#include "kernels/isa_x86_flat.h"

/* ---- half of 512 bits, for tiles that end early ---- */

#undef LANES
#undef bytes
#undef ints
#define LANES      32
#define PANEL_STEP 64
#define MULTIPLY_ONLY
#define bytes   vector256
#define ints    vector256
#define NAME(x) narrow_##x

ISA static inline __m256i narrow_load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

ISA static inline void narrow_store(void *p, __m256i x)
{
    _mm256_storeu_si256(p, x);
}

ISA static inline __m256i narrow_splat_word(int32_t x)
{
    return _mm256_set1_epi32(x);
}

ISA static inline __m256i narrow_to_bytes(const __m256i sums[4], float scale, int16_t zero)
{
    return to_bytes256(sums, scale, zero);
}

ISA static inline __m256i narrow_add(__m256i q, __m256i r, const struct lbw_requant *to)
{
    return add256(q, r, to);
}

ISA static inline __m256i narrow_dot(__m256i sum, __m256i x, __m256i w)
{
    return _mm256_dpbusd_epi32(sum, x, w);
}

ISA static inline __m256i narrow_look_up(__m256i q, const uint8_t *table)
{
    return _mm512_castsi512_si256(avx512vbmi_look_up(_mm512_castsi256_si512(q), table));
}

#include "kernels/isa_vector.h"
#undef NAME

static bool has_avx512vnni(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
           has_avx2();
}

static bool has_avx512vbmi(void)
{
    return has_avx512vnni() && __builtin_cpu_supports("avx512vbmi");
}

const struct lbw_isa lbw_isa_avx512vnni = {
    .name = "AVX-512 VNNI",
    .lanes = 64,
    .max_rows = 6,
    .pack = avx512vnni_pack,
    .multiply = avx512vnni_multiply,
    .multiply_wide = avx512vnni_multiply,
    .depthwise = avx512vnni_depthwise,
    .depthwise_wide = avx512vnni_depthwise,
    .halve = halve512,
    .split = split512,
    .maximum = avx512vnni_maximum,
    .largest = avx512vnni_largest,
    .look_up = avx512vnni_look_up_all,
    .sums = avx512vnni_sums,
    .sums_wide = avx512vnni_sums,
    .floats = &avx512vnni_floats,
    .is_available = has_avx512vnni,
};

const struct lbw_isa lbw_isa_avx512vbmi = {
    .name = "AVX-512 VNNI VBMI",
    .lanes = 64,
    .max_rows = 6,
    .pack = avx512vbmi_pack,
    .multiply = avx512vbmi_multiply,
    .multiply_wide = avx512vbmi_multiply,
    .narrow_lanes = 32,
    .multiply_narrow = narrow_multiply,
    .multiply_flat = flat_multiply,
    .depthwise = avx512vbmi_depthwise,
    .depthwise_wide = avx512vbmi_depthwise,
    .halve = halve512,
    .split = split512,
    .maximum = avx512vbmi_maximum,
    .largest = avx512vbmi_largest,
    .look_up = avx512vbmi_look_up_all,
    .sums = avx512vbmi_sums,
    .sums_wide = avx512vbmi_sums,
    .floats = &avx512vnni_floats,
    .is_available = has_avx512vbmi,
};

#endif
