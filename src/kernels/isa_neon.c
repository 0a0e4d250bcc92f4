/* SPDX-License-Identifier: MIT */
/* The inner loops for 64-bit ARM with the dot product (Armv8.2 and later). */
#include "kernels/isa.h"

#ifdef __aarch64__

#include <arm_neon.h>
#include <string.h>
#include <sys/auxv.h>

#define HAS_DOT_PRODUCT (1UL << 20) /* HWCAP_ASIMDDP */

#define LANES 16
#define ROWS  6
#ifdef __clang__
#define ISA __attribute__((target("dotprod")))
#else
#define ISA __attribute__((target("arch=armv8.2-a+dotprod")))
#endif
#define NAME(x) neon_##x
#define DOTS(X) X()
#define bytes   uint8x16_t
#define ints    int32x4_t

/* out[i] = in[2 i]; sixteen at a time while the byte behind the last belongs to the row. */
static void neon_halve(uint8_t *out, const uint8_t *in, size_t n)
{
    size_t i = 0;
    for (; i + 17 <= n; i += 16)
        vst1q_u8(out + i, vuzp1q_u8(vld1q_u8(in + 2 * i), vld1q_u8(in + 2 * i + 16)));
    for (; i < n; i++)
        out[i] = in[2 * i];
}

ISA static inline uint8x16_t neon_load(const uint8_t *p)
{
    return vld1q_u8(p);
}

ISA static inline uint8x16_t neon_load_masked(const uint8_t *p, uint64_t mask, uint8x16_t fill)
{
    static const uint8_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t spread = vcombine_u8(vdup_n_u8((uint8_t)mask), vdup_n_u8((uint8_t)(mask >> 8)));
    return vbslq_u8(vtstq_u8(spread, vld1q_u8(bits)), vld1q_u8(p), fill);
}

ISA static inline void neon_store(uint8_t *p, uint8x16_t x)
{
    vst1q_u8(p, x);
}

ISA static inline uint8x16_t neon_splat(uint8_t x)
{
    return vdupq_n_u8(x);
}

ISA static inline uint8x16_t neon_larger(uint8x16_t a, uint8x16_t b)
{
    return vmaxq_u8(a, b);
}

ISA static inline int32x4_t neon_splat_word(int32_t x)
{
    return vdupq_n_s32(x);
}

ISA static inline void neon_unpack(uint8x16_t out[4], const uint8x16_t r[4])
{
    uint16x8_t low01 = vreinterpretq_u16_u8(vzip1q_u8(r[0], r[1]));
    uint16x8_t low23 = vreinterpretq_u16_u8(vzip1q_u8(r[2], r[3]));
    uint16x8_t high01 = vreinterpretq_u16_u8(vzip2q_u8(r[0], r[1]));
    uint16x8_t high23 = vreinterpretq_u16_u8(vzip2q_u8(r[2], r[3]));
    out[0] = vreinterpretq_u8_u16(vzip1q_u16(low01, low23));
    out[1] = vreinterpretq_u8_u16(vzip2q_u16(low01, low23));
    out[2] = vreinterpretq_u8_u16(vzip1q_u16(high01, high23));
    out[3] = vreinterpretq_u8_u16(vzip2q_u16(high01, high23));
}

/* A vector holds one part of the positions: the sums are in order. */
ISA static inline void neon_order(int32x4_t out[4], const int32x4_t sums[4])
{
    for (int j = 0; j < 4; j++)
        out[j] = sums[j];
}

ISA static inline uint8x16_t neon_to_bytes(const int32x4_t sums[4], float scale, int16_t zero)
{
    int16x4_t q[4];
    for (int j = 0; j < 4; j++)
        q[j] = vqmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vcvtq_f32_s32(sums[j]), scale)));
    int16x8_t z = vdupq_n_s16(zero);
    return vcombine_u8(vqmovun_s16(vqaddq_s16(vcombine_s16(q[0], q[1]), z)),
                       vqmovun_s16(vqaddq_s16(vcombine_s16(q[2], q[3]), z)));
}

ISA static inline void neon_widen(float32x4_t out[4], uint8x16_t x)
{
    uint16x8_t low = vmovl_u8(vget_low_u8(x)), high = vmovl_u8(vget_high_u8(x));
    out[0] = vcvtq_f32_u32(vmovl_u16(vget_low_u16(low)));
    out[1] = vcvtq_f32_u32(vmovl_u16(vget_high_u16(low)));
    out[2] = vcvtq_f32_u32(vmovl_u16(vget_low_u16(high)));
    out[3] = vcvtq_f32_u32(vmovl_u16(vget_high_u16(high)));
}

ISA static inline uint8x16_t neon_add(uint8x16_t q, uint8x16_t r, const struct lbw_requant *to)
{
    float32x4_t a[4], b[4];
    int16x4_t sum[4];
    neon_widen(a, q);
    neon_widen(b, r);
    for (int j = 0; j < 4; j++)
        sum[j] = vqmovn_s32(vcvtnq_s32_f32(
            vfmaq_n_f32(vfmaq_n_f32(vdupq_n_f32(to->fixed), b[j], to->other), a[j], to->own)));
    return vmaxq_u8(vcombine_u8(vqmovun_s16(vcombine_s16(sum[0], sum[1])),
                                vqmovun_s16(vcombine_s16(sum[2], sum[3]))),
                    vdupq_n_u8(to->least));
}

ISA static inline uint8x16_t neon_look_up(uint8x16_t q, const uint8_t *table)
{
    const uint8x16_t quarter = vdupq_n_u8(64);
    uint8x16_t found = vqtbl4q_u8(vld1q_u8_x4(table), q);
    for (int i = 1; i < 4; i++) {
        q = vsubq_u8(q, quarter);
        found = vqtbx4q_u8(found, vld1q_u8_x4(table + (size_t)64 * i), q);
    }
    return found;
}

/* Pixels less 128 are signed, as the product wants both factors: see `shift`. */
ISA static inline int32x4_t neon_dot(int32x4_t sum, uint8x16_t x, int32x4_t w)
{
    int8x16_t a = vreinterpretq_s8_u8(veorq_u8(x, vdupq_n_u8(0x80)));
#ifdef __clang__
    __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(a), "w"(w));
    return sum;
#else
    return vdotq_s32(sum, a, vreinterpretq_s8_s32(w));
#endif
}

#define WIDTH 4
#include "kernels/isa_float.h"
#include "kernels/isa_vector.h"

static bool has_neon(void)
{
    return getauxval(AT_HWCAP) & HAS_DOT_PRODUCT;
}

const struct lbw_isa lbw_isa_neon = {
    .name = "NEON dot product",
    .lanes = LANES,
    .max_rows = ROWS,
    .shift = 128,
    .pack = neon_pack,
    .multiply = neon_multiply,
    .multiply_wide = neon_multiply,
    .depthwise = neon_depthwise,
    .depthwise_wide = neon_depthwise,
    .halve = neon_halve,
    .maximum = neon_maximum,
    .largest = neon_largest,
    .look_up = neon_look_up_all,
    .sums = neon_sums,
    .sums_wide = neon_sums,
    .floats = &neon_floats,
    .is_available = has_neon,
};

#endif
