/* SPDX-License-Identifier: MIT */
/* A convolution with its weights packed: what conv.c makes and conv_run.c reads. */
#ifndef LBW_SRC_KERNELS_CONV_PACKED_H
#define LBW_SRC_KERNELS_CONV_PACKED_H

#include <stdatomic.h>

#include "kernels/conv_plan.h"

struct lbw_conv {
    struct lbw_conv_params params; /* its arrays are owned; no weights with an isa */
    const struct lbw_isa *isa;
    size_t depth;    /* input channels of a group */
    size_t rows;     /* output channels of a group */
    size_t products; /* per output: depth × taps */
    size_t quads;    /* ceil(products / 4) */
    size_t blocks;   /* of output channels in a group, up to max_rows each */
    bool is_wide;
    int32_t *words;                       /* per group and block: quads × rows of the block */
    int32_t *bias;                        /* with the zero points' share */
    _Atomic(struct lbw_conv_plan *) plan; /* of the first size that came along */
    _Atomic(int32_t *) flat; /* the words again, for multiply_flat(); NULL: not needed yet */
};

/* The first channel of block b: blocks differ by one channel at most. */
size_t lbw_conv_block(const struct lbw_conv *conv, size_t b);

/*
 * The words in blocks of LBW_FLAT_ROWS, of which the rows of a group must be a multiple; NULL:
 * no memory. Made by the first caller.
 */
const int32_t *lbw_conv_flat(struct lbw_conv *conv);

/* The weights from the packed words, as in struct lbw_conv_params. */
void lbw_conv_unpack(int8_t *weights, const struct lbw_conv *conv);

/*
 * Rows `first` to `last` of the planes of `num` channels from the input's rows, of which x is
 * the first channel. What the input does not reach stays as it is.
 */
void lbw_conv_fill(uint8_t *planes, const struct lbw_conv *conv,
                   const struct lbw_conv_plan *plan, const uint8_t *x, size_t num, size_t first,
                   size_t last);

#endif
