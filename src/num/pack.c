/* SPDX-License-Identifier: MIT */
/* Digits in words: Horner's rule one way, division by the constant base the other. */
#include "num/pack.h"

#include <string.h>

#include "base/bits.h"

size_t lbw_pack_num_words(const struct lbw_grid *grid, size_t n)
{
    size_t k = (size_t)grid->digits_per_word;
    return n / k + (n % k != 0);
}

void lbw_pack(void *words, const uint8_t *codes, size_t n, const struct lbw_grid *grid)
{
    unsigned char *out = words;
    size_t k = (size_t)grid->digits_per_word, size = (size_t)grid->word_size;
    for (size_t i = 0; i < n; i += k, out += size) {
        uint64_t word = 0;
        for (size_t j = n - i < k ? n - i : k; j-- > 0;)
            word = word * (uint64_t)grid->num_levels + codes[i + j];
        lbw_store_le(out, word, size);
    }
}

bool lbw_unpack(uint8_t *codes, const void *words, size_t n, const struct lbw_grid *grid)
{
    const unsigned char *in = words;
    size_t k = (size_t)grid->digits_per_word, size = (size_t)grid->word_size;
    uint64_t base = (uint64_t)grid->num_levels, excess = 0;
    for (size_t i = 0; i < n; i += k, in += size) {
        uint64_t word = size == 2 ? lbw_load_u16(in) : lbw_load_u64(in);
        for (size_t j = 0; j < k; j++) {
            if (i + j < n)
                codes[i + j] = (uint8_t)(word % base);
            word /= base;
        }
        excess |= word;
    }
    return excess == 0;
}

static void pack_bits(unsigned char *out, const int8_t *values, size_t n, size_t bits)
{
    size_t per_byte = 8 / bits;
    unsigned mask = (1U << bits) - 1;
    for (size_t i = 0; i < n; i += per_byte) {
        unsigned byte = 0;
        for (size_t j = 0; j < per_byte && i + j < n; j++)
            byte |= ((unsigned)values[i + j] & mask) << (bits * j);
        *out++ = (unsigned char)byte;
    }
}

static void unpack_bits(int8_t *out, const unsigned char *bytes, size_t n, size_t bits)
{
    size_t per_byte = 8 / bits;
    int sign = 1 << (bits - 1);
    for (size_t i = 0; i < n; i++) {
        int value = bytes[i / per_byte] >> (bits * (i % per_byte)) & ((1 << bits) - 1);
        out[i] = (int8_t)((value ^ sign) - sign);
    }
}

void lbw_pack_int4(unsigned char *out, const int8_t *values, size_t n)
{
    pack_bits(out, values, n, 4);
}

void lbw_pack_int2(unsigned char *out, const int8_t *values, size_t n)
{
    pack_bits(out, values, n, 2);
}

void lbw_unpack_int4(int8_t *out, const unsigned char *bytes, size_t n)
{
    unpack_bits(out, bytes, n, 4);
}

void lbw_unpack_int2(int8_t *out, const unsigned char *bytes, size_t n)
{
    unpack_bits(out, bytes, n, 2);
}
