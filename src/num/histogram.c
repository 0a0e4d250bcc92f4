/* SPDX-License-Identifier: MIT */
/* The one-pass optimum: everything that decides the exponent is in two sums per half octave. */
#include "num/histogram.h"

#include <math.h>
#include <string.h>

#include "base/bits.h"

#define BIAS 127

/* Exponents tried: one weight in 2^40 may hold all the energy, and num - 1 levels follow. */
#define MAX_OCTAVES 64

/* Half octaves whose nearest level is the same; `sum` is Σ|w| in units of 2^top. */
struct cell {
    double count, sum;
};

/*
 * Many weights: count and sum share one 64-bit word, and four tables in turn keep the next add
 * from waiting for the last. A word holds up to 2^16 - 1 weights: their count above bit 48, the
 * sum of their raw bits below.
 */
#define NUM_TABLES  4
#define TABLE_SIZE  1024             /* bins with the sign bit in front */
#define TABLE_PITCH (TABLE_SIZE + 8) /* equal bins of two tables not 4096 bytes apart */
#define ROUND_SIZE  ((size_t)NUM_TABLES << 15) /* weights between two flushes */
#define MANY        ((size_t)1024)
#define ONE         (UINT64_C(1) << 48)

static void flush(struct lbw_histogram *histogram, uint64_t tables[NUM_TABLES][TABLE_PITCH])
{
    for (uint64_t bin = 0; bin < TABLE_SIZE; bin++) {
        if ((tables[0][bin] | tables[1][bin] | tables[2][bin] | tables[3][bin]) == 0)
            continue;
        uint64_t count = 0, sum = 0;
        for (int j = 0; j < NUM_TABLES; j++) {
            count += tables[j][bin] >> 48;
            sum += tables[j][bin] & (ONE - 1);
            tables[j][bin] = 0;
        }
        /* take sign and exponent out of each, put the implicit bit of normal ones in */
        uint64_t implicit = bin >> 1 & 0xff ? 0x800000 : 0;
        histogram->count[bin % LBW_NUM_BINS] += count;
        histogram->mantissa[bin % LBW_NUM_BINS] += sum - count * ((bin >> 1 << 23) - implicit);
    }
}

static void add_many(struct lbw_histogram *histogram, const float *w, size_t n)
{
    uint64_t tables[NUM_TABLES][TABLE_PITCH] = {{0}};
    for (size_t i = 0; i < n; i += ROUND_SIZE) {
        size_t end = n - i < ROUND_SIZE ? n : i + ROUND_SIZE;
        for (size_t k = i; k < end; k += NUM_TABLES)
#pragma GCC unroll 4
            for (size_t j = 0; j < NUM_TABLES; j++) {
                uint32_t bits = lbw_float_bits(w[k + j]);
                tables[j][bits >> 22] += bits + ONE;
            }
        flush(histogram, tables);
    }
}

static void add_few(struct lbw_histogram *histogram, const float *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = lbw_float_bits(w[i]) & 0x7fffffff;
        uint32_t implicit = bits >> 23 ? 0x800000 : 0;
        histogram->count[bits >> 22]++;
        histogram->mantissa[bits >> 22] += (bits & 0x7fffff) | implicit;
    }
}

void lbw_histogram_add(struct lbw_histogram *histogram, const float *w, size_t n)
{
    size_t many = n < MANY ? 0 : n / NUM_TABLES * NUM_TABLES;
    if (many)
        add_many(histogram, w, many);
    add_few(histogram, w + many, n - many);
}

int lbw_histogram_top(const struct lbw_histogram *histogram)
{
    int bin = LBW_NUM_BINS - 1;
    while (bin > 0 && histogram->count[bin] == 0)
        bin--;
    return bin;
}

static struct cell cell_add(struct cell a, struct cell b)
{
    return (struct cell){a.count + b.count, a.sum + b.sum};
}

/* The lower (half 0) or upper part of [2^octave, 2^(octave + 1)), whose scale is 2^(octave -
 * top).
 */
static struct cell cell_at(const struct lbw_histogram *histogram, int octave, int half,
                           double scale)
{
    int bin = 2 * (octave + BIAS) + half;
    if (bin < 2 || bin >= LBW_NUM_BINS - 2)
        return (struct cell){0, 0};
    return (struct cell){(double)histogram->count[bin],
                         (double)histogram->mantissa[bin] * 0x1p-23 * scale};
}

/* Σ(2·q·|w| - q²) of a cell projected to q. */
static double gain(struct cell cell, double q)
{
    return q * (2 * cell.sum - q * cell.count);
}

/*
 * The gain Σw² - Σ(q - w)² = Σ(2·q·|w| - q²) of an exponent s has three parts: the level 2^s
 * takes all from 1.5·2^(s-1) up; each level 2^e between takes [1.5·2^(e-1), 1.5·2^e) whatever s
 * is, so that running sums serve; the lowest takes in addition the half octave below, as zero's
 * threshold is at 1.0·2^(e-1). No value adds more than 2·2^s·|w|, which ends the search.
 */
int lbw_histogram_exponent(const struct lbw_histogram *histogram, uint64_t total, int num,
                           int least, int most)
{
    int top_bin = lbw_histogram_top(histogram);
    int top = top_bin / 2 - BIAS + (top_bin & 1);
    top = top < least ? least : top;

    struct cell above[MAX_OCTAVES]; /* from 1.5·2^(e-1) up, e = top - i */
    double between[MAX_OCTAVES];    /* Σ of gains of levels top … e */
    struct cell sum = {0, 0};
    double gains = 0, best_gain = -1, scale = 1;
    int best = most < top ? most : top;
    for (int i = 0; i < MAX_OCTAVES; i++, scale *= 0.5) {
        int e = top - i, s = e + num - 1, j = i - (num - 1);
        struct cell cell = cell_add(cell_at(histogram, e, 0, scale),
                                    cell_at(histogram, e - 1, 1, 0.5 * scale));
        sum = above[i] = cell_add(sum, cell);
        gains = between[i] = gains + gain(cell, scale);
        if (s > top || s > most)
            continue;
        if (s < least)
            break;
        double q = ldexp(1, s - top);
        if (2 * q * (sum.sum + (double)total * scale) <= best_gain)
            break;
        struct cell extra = cell_at(histogram, e - 1, 0, 0.5 * scale);
        double gain_s = gain(above[j], q) + (gains - between[j]) + gain(extra, scale);
        if (gain_s > best_gain) {
            best_gain = gain_s;
            best = s;
        }
    }
    return best;
}
