/* SPDX-License-Identifier: MIT */
/*
 * Convolutions of few channels whose weights are known only when they run, such as a detector's
 * first layer in training, and the gradient of their weights. The same bytes on every
 * instruction set: sums are taken in one order, and nothing is contracted.
 */
#ifndef LBW_SRC_KERNELS_DENSE_H
#define LBW_SRC_KERNELS_DENSE_H

#include <stddef.h>

#define LBW_DENSE_MAX_KERNEL 7
#define LBW_DENSE_MAX_STRIDE 2

/* One image, one group; pairs are rows, columns. */
struct lbw_dense_window {
    size_t channels, filters;
    size_t in[2], out[2];
    size_t kernel[2], stride[2]; /* at most LBW_DENSE_MAX_… */
    size_t begin[2];             /* padding before; less than the kernel */
};

/* Floats of scratch memory that either of the functions needs; 0: too large. */
size_t lbw_dense_scratch(const struct lbw_dense_window *window);

/* y [filters, out] from x [channels, in], w [filters, channels, kernel] and biases. */
void lbw_dense(float *y, const float *x, const float *w, const float *bias,
               const struct lbw_dense_window *window, float *scratch);

/* dw from x and dy. */
void lbw_gradient_dense(float *dw, const float *x, const float *dy,
                        const struct lbw_dense_window *window, float *scratch);

#endif
