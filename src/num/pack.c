/* SPDX-License-Identifier: MIT */
/* Digits in words: Horner's rule one way, division by the constant base the other. */
#include "num/pack.h"

#include <string.h>

#include "base/bits.h"

#define MAX_DIGITS 27

/*
 * A word is taken in parts of `part` digits, base^part < 2^32 and a multiple of `run` but for
 * the last, whose chains of multiplications or divisions run side by side. With all the numbers
 * constant, divisions become multiplications and the loops over digits unroll.
 */
struct shape {
    uint32_t base;
    size_t digits, part, size; /* per word; of one part; bytes of a word */
    size_t run;                /* digits that unpacking looks up at once, at most 4 */
};

#define ALWAYS_INLINE __attribute__((always_inline)) static inline

ALWAYS_INLINE uint64_t power(uint32_t base, size_t exponent)
{
    uint64_t product = 1;
#pragma GCC unroll 32
    for (size_t i = 0; i < exponent; i++)
        product *= base;
    return product;
}

ALWAYS_INLINE uint64_t join(const uint8_t *codes, struct shape shape)
{
    uint64_t word = 0;
    size_t num_parts = (shape.digits + shape.part - 1) / shape.part;
#pragma GCC unroll 8
    for (size_t p = num_parts; p-- > 0;) {
        size_t first = p * shape.part;
        size_t num = shape.digits - first < shape.part ? shape.digits - first : shape.part;
        uint32_t value = 0;
#pragma GCC unroll 32
        for (size_t j = num; j-- > 0;)
            value = value * shape.base + codes[first + j];
        word = word * power(shape.base, shape.part) + value;
    }
    return word;
}

/* Returns the rest after the last digit: not 0 if the word is out of range. */
ALWAYS_INLINE uint32_t split(uint8_t *codes, uint64_t word, struct shape shape)
{
    uint32_t excess = 0;
    size_t num_parts = (shape.digits + shape.part - 1) / shape.part;
#pragma GCC unroll 8
    for (size_t p = 0; p < num_parts; p++) {
        size_t first = p * shape.part;
        size_t num = shape.digits - first < shape.part ? shape.digits - first : shape.part;
        uint64_t limit = power(shape.base, num);
        uint32_t value = (uint32_t)(word % limit);
        word /= limit;
#pragma GCC unroll 32
        for (size_t j = 0; j < num; j++) {
            codes[first + j] = (uint8_t)(value % shape.base);
            value /= shape.base;
        }
        excess |= value;
    }
    return excess | (word != 0);
}

ALWAYS_INLINE void pack_shape(unsigned char *out, const uint8_t *codes, size_t n,
                              struct shape shape)
{
    size_t i = 0;
    for (; n - i >= shape.digits; i += shape.digits, out += shape.size)
        lbw_store_le(out, join(codes + i, shape), shape.size);
    if (i < n) {
        uint8_t rest[MAX_DIGITS] = {0};
        memcpy(rest, codes + i, n - i);
        lbw_store_le(out, join(rest, shape), shape.size);
    }
}

/* Every run of digits, least significant first; entries always hold RUN bytes. */
#define RUN      4
#define MAX_RUNS 2809 /* 53² */

static void fill_runs(uint8_t runs[][RUN], struct shape shape)
{
    uint8_t digits[RUN] = {0};
    size_t num = (size_t)power(shape.base, shape.run);
    for (size_t i = 0; i < num; i++) {
        memcpy(runs[i], digits, RUN);
        for (size_t j = 0; j < shape.run && ++digits[j] == shape.base; j++)
            digits[j] = 0;
    }
}

/* As split(), run by run; also overwrites up to RUN - 1 bytes after the last code. */
ALWAYS_INLINE uint32_t split_runs(uint8_t *codes, uint64_t word, uint8_t runs[][RUN],
                                  struct shape shape)
{
    uint32_t excess = 0, num_runs = (uint32_t)power(shape.base, shape.run);
    size_t num_parts = (shape.digits + shape.part - 1) / shape.part;
#pragma GCC unroll 8
    for (size_t p = 0; p < num_parts; p++) {
        size_t first = p * shape.part;
        size_t num = shape.digits - first < shape.part ? shape.digits - first : shape.part;
        uint64_t limit = power(shape.base, num);
        uint32_t value = (uint32_t)(word % limit);
        word /= limit;
#pragma GCC unroll 8
        for (size_t j = 0; j < num; j += shape.run) {
            memcpy(codes + first + j, runs[value % num_runs], RUN);
            value /= num_runs;
        }
        excess |= value;
    }
    return excess | (word != 0);
}

ALWAYS_INLINE uint64_t load_word(const unsigned char *in, size_t size)
{
    return size == 2 ? lbw_load_u16(in) : lbw_load_u64(in);
}

ALWAYS_INLINE bool unpack_shape(uint8_t *codes, const unsigned char *in, size_t n,
                                struct shape shape)
{
    size_t i = 0;
    uint32_t excess = 0;
    if (n >= 4 * (size_t)power(shape.base,
                               shape.run)) { /* below, the table costs more than it saves */
        uint8_t runs[MAX_RUNS][RUN];
        fill_runs(runs, shape);
        for (; n - i >= shape.digits + RUN; i += shape.digits, in += shape.size)
            excess |= split_runs(codes + i, load_word(in, shape.size), runs, shape);
    }
    for (; n - i >= shape.digits; i += shape.digits, in += shape.size)
        excess |= split(codes + i, load_word(in, shape.size), shape);
    if (i < n) {
        uint8_t rest[MAX_DIGITS];
        excess |= split(rest, load_word(in, shape.size), shape);
        memcpy(codes + i, rest, n - i);
    }
    return excess == 0;
}

/* base, digits, of a part, bytes, of a run: the word sizes of grid.c once more, as constants */
#define SHAPES(X)                                                                              \
    X(3, 10, 10, 2, 4)                                                                         \
    X(5, 27, 12, 8, 4)                                                                         \
    X(7, 22, 9, 8, 3)                                                                          \
    X(9, 5, 5, 2, 3)                                                                           \
    X(13, 17, 6, 8, 2)                                                                         \
    X(17, 15, 6, 8, 2)                                                                         \
    X(21, 14, 6, 8, 2)                                                                         \
    X(33, 3, 3, 2, 2)                                                                          \
    X(37, 3, 3, 2, 2)                                                                          \
    X(53, 10, 4, 8, 2)

#define DEFINE(base, ...)                                                                      \
    static void pack_##base(unsigned char *out, const uint8_t *codes, size_t n)                \
    {                                                                                          \
        pack_shape(out, codes, n, (struct shape){base, __VA_ARGS__});                          \
    }                                                                                          \
    static bool unpack_##base(uint8_t *codes, const unsigned char *in, size_t n)               \
    {                                                                                          \
        return unpack_shape(codes, in, n, (struct shape){base, __VA_ARGS__});                  \
    }
SHAPES(DEFINE)

#define ROW(base, ...) {base, pack_##base, unpack_##base},

static const struct packer {
    int base;
    void (*pack)(unsigned char *out, const uint8_t *codes, size_t n);
    bool (*unpack)(uint8_t *codes, const unsigned char *in, size_t n);
} packers[] = {SHAPES(ROW)};

static const struct packer *packer_of(const struct lbw_grid *grid)
{
    const struct packer *packer = packers;
    while (packer->base != grid->num_levels)
        packer++;
    return packer;
}

size_t lbw_pack_num_words(const struct lbw_grid *grid, size_t n)
{
    size_t k = (size_t)grid->digits_per_word;
    return n / k + (n % k != 0);
}

void lbw_pack(void *words, const uint8_t *codes, size_t n, const struct lbw_grid *grid)
{
    packer_of(grid)->pack(words, codes, n);
}

bool lbw_unpack(uint8_t *codes, const void *words, size_t n, const struct lbw_grid *grid)
{
    return packer_of(grid)->unpack(codes, words, n);
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
