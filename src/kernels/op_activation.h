/* SPDX-License-Identifier: MIT */
/* Activations behind convolutions, as tables of 256 bytes. */
#ifndef LBW_SRC_KERNELS_OP_ACTIVATION_H
#define LBW_SRC_KERNELS_OP_ACTIVATION_H

#include "kernels/op.h"

#define LBW_TABLE_SIZE 256

/* The attributes of activations. */
struct lbw_settings {
    float alpha, beta, min, max;
};

struct lbw_activation {
    float (*function)(float x, const struct lbw_settings *settings); /* NULL: none */
    struct lbw_settings defaults;                                    /* ONNX's */
};

extern const struct lbw_activation lbw_no_activation, lbw_relu, lbw_clip, lbw_leaky_relu,
    lbw_sigmoid, lbw_hard_sigmoid, lbw_hard_swish;

/* From the node, or the defaults. */
void lbw_activation_settings(struct lbw_settings *out, const struct lbw_activation *activation,
                             const struct ort_kernel_info *info);

/*
 * What a function's body does between the convolution and the output, for each byte. `c` is
 * the scaling in front of the activation, NULL: that of y; with a gate c is multiplied by the
 * activation, which is rounded first.
 */
void lbw_activation_table(uint8_t table[LBW_TABLE_SIZE],
                          const struct lbw_activation *activation,
                          const struct lbw_settings *settings, const struct lbw_scaling *y,
                          const struct lbw_scaling *c, const struct lbw_scaling *gate);

/*
 * The tables of `num` channels one behind the other, or a single one where neither y nor c has
 * scales per channel; *num_tables is how many. Free them; NULL when memory is out.
 */
uint8_t *lbw_activation_tables(size_t *num_tables, size_t num,
                               const struct lbw_activation *activation,
                               const struct lbw_settings *settings,
                               const struct lbw_scalings *y, const struct lbw_scalings *c,
                               const struct lbw_scaling *gate);

#endif
