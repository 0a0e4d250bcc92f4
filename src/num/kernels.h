/* SPDX-License-Identifier: MIT */
/* The inner loops over weights: one portable version, and others that give the same bits. */
#ifndef LBW_SRC_NUM_KERNELS_H
#define LBW_SRC_NUM_KERNELS_H

#include <stdbool.h>

#include <lbw/grid.h>

#define LBW_MAX_MAGNITUDES (LBW_MAX_LEVELS / 2)

/*
 * Which magnitude a weight goes to: the number of thresholds that |w| reaches, compared as
 * float bits (which order like the values). Where is_octaves, the thresholds after the first
 * two are the second times 1, 2, 4, …, so that one subtraction of bits finds the number.
 */
struct lbw_decision {
    int num; /* of thresholds, and of magnitudes above zero */
    int zero_code;
    bool is_one_term;
    bool is_octaves;
    uint32_t thresholds[LBW_MAX_MAGNITUDES]; /* ascending; then INT32_MAX */
    float magnitudes[LBW_MAX_LEVELS];        /* 0 and the positive levels */
};

/*
 * Sums of doubles are taken in 16 lanes, weight i in lane i % 16, in ascending i, then lanes
 * j and j + 8, j and j + 4, … are added, j and j + 1 last: the order every version follows.
 */
#define LBW_LANES 16

#define LBW_LADDER 8

struct lbw_kernels {
    const char *name;

    /* *greatest: the greatest |w| as float bits, from 0x7f800000 on not finite; *sum = Σ|w|. */
    void (*scan)(uint32_t *greatest, double *sum, const float *w, size_t n);

    /*
     * sums[k] = Σ max(x, thresholds[k]), x = |w|·scale rounded to the nearest integer, ties to
     * even. x and thresholds are in [0, 2^23]; the sums are exact.
     */
    void (*ladder)(int64_t sums[LBW_LADDER], const float *w, size_t n, float scale,
                   const int32_t thresholds[LBW_LADDER]);

    void (*nearest)(uint8_t *codes, const float *w, size_t n,
                    const struct lbw_decision *decision);

    /* *cross = Σ m·|w| and *square = Σ m², m the magnitude that |w| goes to. */
    void (*fit)(double *cross, double *square, const float *w, size_t n,
                const struct lbw_decision *decision);

    /* out[i] = values[codes[i]]. */
    void (*look_up)(float *out, const uint8_t *codes, size_t n,
                    const float values[LBW_MAX_LEVELS]);

    /* *error = Σ(values[codes[i]] - w[i])² and *energy = Σ w[i]². */
    void (*compare)(double *error, double *energy, const float *w, const uint8_t *codes,
                    size_t n, const float values[LBW_MAX_LEVELS]);
};

#define LBW_MAX_KERNELS 3

extern const struct lbw_kernels lbw_kernels_portable, lbw_kernels_avx2, lbw_kernels_avx512;

/* Those that this processor can run, slowest (the C reference) first; returns how many. */
size_t lbw_kernels_all(const struct lbw_kernels *out[LBW_MAX_KERNELS]);

/* The fastest of them. */
const struct lbw_kernels *lbw_kernels_best(void);

#endif
