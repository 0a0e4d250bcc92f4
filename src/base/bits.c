/* SPDX-License-Identifier: MIT */
/* The 16-bit float formats, in software so that every processor gives the same bits. */
#include "base/bits.h"

float lbw_half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 31;
    uint32_t mantissa = half & 0x3ff;
    if (exponent == 31)
        return lbw_float_from_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent)
        return lbw_float_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    float value = (float)mantissa * 0x1p-24f; /* subnormal: exact in binary32 */
    return lbw_float_from_bits(sign | lbw_float_bits(value));
}

uint16_t lbw_half_from_float(float value)
{
    uint32_t bits = lbw_float_bits(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return sign | 0x7e00;
    if (magnitude >= 0x477ff000) /* 65520 and above round to infinity */
        return sign | 0x7c00;
    if (magnitude < 0x38800000) { /* below 2^-14: subnormal half, an integer times 2^-24 */
        float scaled = lbw_float_from_bits(magnitude) * 0x1p24f;
        uint32_t whole = (uint32_t)scaled;
        float rest = scaled - (float)whole;
        whole += rest > 0.5f || (rest == 0.5f && whole % 2);
        return (uint16_t)(sign | whole);
    }
    uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | (rounded - 0x38000000) >> 13);
}

uint16_t lbw_bfloat16_from_float(float value)
{
    uint32_t bits = lbw_float_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
