/* SPDX-License-Identifier: MIT */
/*
 * The inner loops of the operators on 8-bit tensors, one table per instruction set. All of them
 * give the same bytes as src/kernels/reference.c.
 *
 * A tile is `lanes` consecutive positions of one image's output. Its input is a panel: for each
 * group of four products (four rows of pixels that meet four weights) four vectors of `lanes`
 * bytes, in which the four pixels of one position stand side by side. Interleaving happens
 * within 16 bytes, so that four vectors of sums, narrowed twice, are back in order.
 */
#ifndef LBW_SRC_KERNELS_ISA_H
#define LBW_SRC_KERNELS_ISA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LBW_MAX_LANES  64 /* bytes of the widest vector */
#define LBW_COLUMNS    16 /* floats that are worked on side by side */
#define LBW_FLOAT_ROWS 4  /* output channels of one product of floats */
#define LBW_MAX_ROWS   6  /* output channels of one multiplication */
#define LBW_FLAT_ROWS  32 /* output channels of one where positions are few */
#define LBW_MAX_ISAS   8

/* How sums become bytes; arrays begin at the first output channel at hand. */
struct lbw_requant {
    const int32_t *bias;
    const float *scale;    /* no sum times its scale leaves the range of int32 */
    const uint8_t *tables; /* 256 entries each; NULL: none */
    size_t table_step;     /* bytes from one channel's table to the next: 0 or 256 */
    int16_t zero;
    /* Bytes to add, as in struct lbw_conv_sum; NULL: none. Not for depthwise(). */
    const uint8_t *addend;
    size_t addend_step; /* bytes from one channel's to the next */
    float own, other, fixed;
    uint8_t least;
};

/* Where the rows of one tile come from. */
struct lbw_rows {
    const uint8_t *base;      /* position 0 of the tile in the first channel's plane */
    size_t channel_step;      /* bytes from channel to channel */
    const ptrdiff_t *offsets; /* num_taps items: from position 0 to the pixel a tap reads */
    const uint64_t *masks;    /* num_taps items: bit i set when position i has such a pixel */
    size_t num_taps;
    size_t num_rows;            /* channels × taps */
    const uint8_t *begin, *end; /* readable memory around */
    uint8_t fill;               /* what padding holds */
};

/* What follows a convolution whose result is float. */
enum lbw_curve {
    LBW_CURVE_LINE,
    LBW_CURVE_RELU,
    LBW_CURVE_GATED, /* x · round(sigmoid(x)), as QuantizeLinear and DequantizeLinear round */
};
struct lbw_ending {
    enum lbw_curve curve;
    float gate_scale, gate_low, gate_high; /* low = -zero, high = 255 - zero */
};

/*
 * Loops on float, sixteen numbers side by side. Sums are made in the order of the definition
 * and products are rounded, so that every instruction set gives the same bits.
 */
struct lbw_float_loops {
    /*
     * Softmax down num_vectors × LBW_COLUMNS columns of num_rows floats each, `step` floats
     * from row to row.
     */
    void (*softmax)(float *y, const float *x, size_t num_rows, size_t step, size_t num_vectors);

    /*
     * sums[m][i] = bias[m] + Σ weights[k × num + m] · x[offsets[k] + i] for `num` channels, at
     * most LBW_FLOAT_ROWS, and `width` × LBW_COLUMNS positions, width 1, 2 or 4; channels are
     * 4 × LBW_COLUMNS floats apart in `sums`.
     */
    void (*products)(float *sums, size_t num, size_t width, const float *x,
                     const ptrdiff_t *offsets, size_t num_products, const float *weights,
                     const float *bias);

    /* out[i] = sums[i] · scale + bias, num_vectors × LBW_COLUMNS items. */
    void (*scale)(float *out, const int32_t *sums, size_t num_vectors, float scale, float bias);

    /* The curve in place, likewise. */
    void (*bend)(float *x, size_t num_vectors, const struct lbw_ending *ending);

    /* As QuantizeLinear, likewise; low and high as in a gate. */
    void (*round)(uint8_t *out, const float *x, size_t num_vectors, float scale, float low,
                  float high);

    /* out[i] = in[2 × i], n items; in[2 × n - 2] is the last one read. */
    void (*halve)(float *out, const float *in, size_t n);
};

/* In plain C, for where there is no instruction set. */
extern const struct lbw_float_loops *const lbw_plain_floats;

struct lbw_isa {
    const char *name;
    size_t lanes;
    size_t max_rows;
    int32_t shift; /* the loops see pixels less this: the bias must hold shift × Σ weights */
    /* Whether sums of two products must fit 16 bits for multiply(); else use multiply_wide().
     */
    bool adds_pairs;

    /* Writes ceil(num_rows / 4) × 4 × lanes bytes; rows beyond num_rows are zeros. */
    void (*pack)(uint8_t *panel, const struct lbw_rows *rows);

    /*
     * `num` output channels (at most max_rows) at the positions of the panel. `weights` holds
     * num_quads × num words of four int8. Channel m goes to out + m × out_step, `lanes` bytes.
     */
    void (*multiply)(uint8_t *out, size_t out_step, size_t num, const uint8_t *panel,
                     const int32_t *weights, size_t num_quads, const struct lbw_requant *to);
    void (*multiply_wide)(uint8_t *out, size_t out_step, size_t num, const uint8_t *panel,
                          const int32_t *weights, size_t num_quads,
                          const struct lbw_requant *to);

    /*
     * The same for a tile whose first narrow_lanes positions are all that count, where that is
     * faster: that many bytes go to each channel. NULL: there is none.
     */
    size_t narrow_lanes;
    void (*multiply_narrow)(uint8_t *out, size_t out_step, size_t num, const uint8_t *panel,
                            const int32_t *weights, size_t num_quads,
                            const struct lbw_requant *to);

    /*
     * LBW_FLAT_ROWS output channels at the first positions of the panel, for tiles that hold
     * few: `weights` holds num_quads × LBW_FLAT_ROWS words. Writes `lanes` bytes to each
     * channel. NULL: there is none.
     */
    void (*multiply_flat)(uint8_t *out, size_t out_step, size_t num_positions,
                          const uint8_t *panel, const int32_t *weights, size_t num_quads,
                          const struct lbw_requant *to);

    /*
     * One output channel straight from its rows, for depthwise convolutions: `num_tiles` tiles
     * one behind the other, of which `rows` describes the first.
     */
    void (*depthwise)(uint8_t *out, size_t num_tiles, const struct lbw_rows *rows,
                      const int32_t *weights, const struct lbw_requant *to);
    void (*depthwise_wide)(uint8_t *out, size_t num_tiles, const struct lbw_rows *rows,
                           const int32_t *weights, const struct lbw_requant *to);

    /* out[i] = in[2 × i], n items; in[2 × n - 2] is the last byte read. */
    void (*halve)(uint8_t *out, const uint8_t *in, size_t n);

    /*
     * Even and odd columns of `rows` rows of `width` bytes, `step` apart, to rows out_step
     * apart. NULL: halve() twice is as fast.
     */
    void (*split)(uint8_t *even, uint8_t *odd, size_t out_step, const uint8_t *in, size_t step,
                  size_t width, size_t rows);

    /* out[i] = max(out[i], in[i]), n items rounded up to whole vectors. */
    void (*maximum)(uint8_t *out, const uint8_t *in, size_t n);

    /* out[i] = the largest of rows[r][i], n items rounded up to whole vectors. */
    void (*largest)(uint8_t *out, const uint8_t *const *rows, size_t num_rows, size_t n);

    /* out[i] = table[in[i]], n items. */
    void (*look_up)(uint8_t *out, const uint8_t *in, size_t n, const uint8_t *table);

    /*
     * multiply() up to the sums: channel m's go to out + m × lanes, in the order of positions.
     */
    void (*sums)(int32_t *out, size_t num, const uint8_t *panel, const int32_t *weights,
                 size_t num_quads, const int32_t *bias);
    void (*sums_wide)(int32_t *out, size_t num, const uint8_t *panel, const int32_t *weights,
                      size_t num_quads, const int32_t *bias);

    const struct lbw_float_loops *floats;

    bool (*is_available)(void);
};

/* Those that this processor has, slowest first; returns their number, which may be 0. */
size_t lbw_isa_all(const struct lbw_isa *out[LBW_MAX_ISAS]);

/* The last of them, or NULL: the reference has to do. LBW_ISA in the environment names another.
 */
const struct lbw_isa *lbw_isa_best(void);

extern const struct lbw_isa lbw_isa_avx2;
extern const struct lbw_isa lbw_isa_avxvnni;
extern const struct lbw_isa lbw_isa_avx512vnni;
extern const struct lbw_isa lbw_isa_avx512vbmi;
extern const struct lbw_isa lbw_isa_neon;

#endif
