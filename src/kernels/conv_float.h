/* SPDX-License-Identifier: MIT */
/* Convolutions whose input is float, for the layers between those on bytes. */
#ifndef LBW_SRC_KERNELS_CONV_FLOAT_H
#define LBW_SRC_KERNELS_CONV_FLOAT_H

#include "kernels/conv.h"

/* Strides up to here. */
#define LBW_FLOAT_MAX_STRIDE 4

/*
 * Geometry as in lbw_conv_params, of which weights, bias, scale and tables are not looked at.
 * With an ending y is float; else bytes, as QuantizeLinear makes them of scale and zero, looked
 * up in the table unless that is NULL. Padding counts as 0.
 */
struct lbw_conv_float_params {
    struct lbw_conv_params shape;
    const float *weights; /* num_outputs × num_inputs / groups × kernel */
    const float *bias;    /* num_outputs items */
    const struct lbw_ending *ending;
    const float *scales; /* without an ending: num_outputs items */
    uint8_t zero;
    const uint8_t *tables; /* 256 bytes, or 256 per output channel */
    bool has_channel_tables;
};

/* A convolution with its weights packed. Any number of threads. */
struct lbw_conv_float;

/* Copies all that `params` points to. `isa` NULL: plain C, with the same bits. */
enum lbw_status lbw_conv_float_new(struct lbw_conv_float **out,
                                   const struct lbw_conv_float_params *params,
                                   const struct lbw_isa *isa, struct lbw_error *err);
void lbw_conv_float_free(struct lbw_conv_float **conv);

/* `y` and `sides` as for lbw_conv_run(). LBW_ERR_MEMORY leaves y in part written. */
enum lbw_status lbw_conv_float_run(const struct lbw_conv_float *conv, void *y, const float *x,
                                   int64_t num_images, const int64_t sides[2],
                                   const struct lbw_parallel *parallel, struct lbw_error *err);

#endif
