/* SPDX-License-Identifier: MIT */
/*
 * Depthwise convolutions whose weights are known only when they run, and their gradients, which
 * take many passes over memory as standard operators, in one. The same bytes on every
 * instruction set: sums are taken in one order, and nothing is contracted.
 */
#ifndef LBW_SRC_KERNELS_GRADIENT_H
#define LBW_SRC_KERNELS_GRADIENT_H

#include <stddef.h>

#define LBW_GRADIENT_MAX_KERNEL 7
#define LBW_GRADIENT_MAX_STRIDE 2

/* One plane of a depthwise convolution; pairs are rows, columns. */
struct lbw_gradient_window {
    size_t in[2], out[2];
    size_t kernel[2], stride[2]; /* at most LBW_GRADIENT_MAX_… */
    size_t begin[2];             /* padding before; less than the kernel */
};

/* Floats of scratch memory that lbw_gradient_depthwise() needs; 0: too large. */
size_t lbw_gradient_scratch(const struct lbw_gradient_window *window);

/*
 * Of `num` planes: dx and dw (kernel rows × columns) from x, dy and w, each plane after the
 * other. `scratch` is aligned to 64 bytes.
 */
void lbw_gradient_depthwise(float *dx, float *dw, const float *x, const float *dy,
                            const float *w, size_t num,
                            const struct lbw_gradient_window *window, float *scratch);

/*
 * The convolution itself: y from x, w and a bias per plane (NULL: none). The runtime's own is
 * fast only where it knows the weights in advance.
 */
void lbw_depthwise(float *y, const float *x, const float *w, const float *bias, size_t num,
                   const struct lbw_gradient_window *window, float *scratch);

#endif
