/* SPDX-License-Identifier: MIT */
/*
 * Gradients of activations and of cross-entropy in one pass over memory. The same bytes on
 * every instruction set: sums are taken in one order, and nothing is contracted.
 */
#ifndef LBW_SRC_KERNELS_ACTIVATION_H
#define LBW_SRC_KERNELS_ACTIVATION_H

#include <stddef.h>

/*
 * dx of y = x·sigmoid(x), `num` planes of `size` values, and the sum of each plane, which is
 * the gradient of a bias that x was given.
 */
void lbw_gradient_silu(float *dx, float *sums, const float *dy, const float *x, const float *y,
                       size_t num, size_t size);

/* The same where y is x above 0 and alpha·x below, alpha >= 0; told from y. */
void lbw_gradient_leaky(float *dx, float *sums, const float *dy, const float *y, size_t num,
                        size_t size, float alpha);

/*
 * The loss of struct lbw_grad (grad/grad.h) over `num` values p that should be `wanted`, and
 * its derivative in p:
 * Σ factor·(p - wanted)² - Σ score·(wanted·ln q + (1 - wanted)·ln(1 - q)), q being p drawn into
 * least … 1 - least.
 */
struct lbw_score_terms {
    const float *p, *wanted, *factors, *scores;
    float least;
};
float lbw_gradient_scores(float *dp, const struct lbw_score_terms *terms, size_t num);

#endif
