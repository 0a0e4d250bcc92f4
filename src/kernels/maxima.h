/* SPDX-License-Identifier: MIT */
/* The gradient of maximum pooling. */
#ifndef LBW_SRC_KERNELS_MAXIMA_H
#define LBW_SRC_KERNELS_MAXIMA_H

#include <stddef.h>

#define LBW_MAXIMA_MAX_KERNEL 32

/* One plane; pairs are rows, columns. */
struct lbw_maxima_window {
    size_t in[2], out[2];
    size_t kernel[2], stride[2]; /* kernel: at most LBW_MAXIMA_MAX_KERNEL */
    size_t begin[2];             /* padding before; less than the kernel */
};

/* Floats of scratch memory that lbw_gradient_maxima() needs; 0: too large. */
size_t lbw_maxima_scratch(const struct lbw_maxima_window *window);

/*
 * Of `num` planes: dx from x and dy. A value gets the dy of every window in which it is the
 * largest of its row, and that the largest of the window: equal ones get all of it each.
 */
void lbw_gradient_maxima(float *dx, const float *x, const float *dy, size_t num,
                         const struct lbw_maxima_window *window, float *scratch);

#endif
