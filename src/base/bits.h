/* SPDX-License-Identifier: MIT */
/* Checked arithmetic, little-endian access and the 16-bit float formats. */
#ifndef LBW_SRC_BITS_H
#define LBW_SRC_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* out = a op b; false on overflow. Every size from a file goes through these. */
static inline bool lbw_size_add(size_t *out, size_t a, size_t b)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool lbw_size_mul(size_t *out, size_t a, size_t b)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline uint16_t lbw_load_u16(const void *p)
{
    const unsigned char *b = p;
    return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t lbw_load_u32(const void *p)
{
    return lbw_load_u16(p) | (uint32_t)lbw_load_u16((const unsigned char *)p + 2) << 16;
}

static inline uint64_t lbw_load_u64(const void *p)
{
    return lbw_load_u32(p) | (uint64_t)lbw_load_u32((const unsigned char *)p + 4) << 32;
}

/* Stores the low `size` bytes of `value`, least significant first. */
static inline void lbw_store_le(void *p, uint64_t value, size_t size)
{
    unsigned char *b = p;
    for (size_t i = 0; i < size; i++)
        b[i] = (unsigned char)(value >> (8 * i));
}

static inline float lbw_float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t lbw_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* IEEE binary16 and bfloat16; rounding is to nearest, ties to even, as every runtime does. */
float lbw_half_to_float(uint16_t half);
uint16_t lbw_half_from_float(float value);

static inline float lbw_bfloat16_to_float(uint16_t bits)
{
    return lbw_float_from_bits((uint32_t)bits << 16);
}

uint16_t lbw_bfloat16_from_float(float value);

#endif
