/* SPDX-License-Identifier: MIT */
/* Gradients of activations and of cross-entropy, value by value. */
#include "kernels/activation.h"

#include <string.h>

#include "kernels/lanes.h"

static float total(const lanes *sums)
{
    float sum = 0;
    for (size_t i = 0; i < LANES; i++)
        sum += (*sums)[i];
    return sum;
}

/*
 * Without exp(): sigmoid(x) is y / x, to a unit in the last place or two, and 1/2 where x is 0.
 * Its slope is s + x·s·(1 - s).
 */
INLINE void silu_lanes(lanes *dx, const lanes *dy, const lanes *x, const lanes *y, float alpha)
{
    ints is_zero = *x == 0;
    lanes half = *x * 0 + 0.5f, s = *y / *x;
    (void)alpha;
    s = (lanes)(((ints)s & ~is_zero) | ((ints)half & is_zero));
    *dx = *dy * (s + *y * (1 - s));
}

INLINE void leaky_lanes(lanes *dx, const lanes *dy, const lanes *x, const lanes *y, float alpha)
{
    (void)x;
    ints above = *y > 0;
    *dx = (lanes)(((ints)*dy & above) | ((ints)(*dy * alpha) & ~above));
}

/* Planes of an activation; what lies beyond the end of one is zeros. */
#define PLANES(name, slope)                                                                    \
    INLINE void name##_body(float *dx, float *sums, const float *dy, const float *x,           \
                            const float *y, size_t num, size_t size, float alpha)              \
    {                                                                                          \
        for (size_t p = 0; p < num; p++, dx += size, dy += size, x += size, y += size) {       \
            lanes sum = {0};                                                                   \
            size_t i = 0;                                                                      \
            for (; i + LANES <= size; i += LANES) {                                            \
                lanes d;                                                                       \
                slope(&d, (const lanes *)(dy + i), (const lanes *)(x + i),                     \
                      (const lanes *)(y + i), alpha);                                          \
                *(lanes *)(dx + i) = d;                                                        \
                sum += d;                                                                      \
            }                                                                                  \
            if (i < size) {                                                                    \
                lanes ends[4] = {{0}};                                                         \
                memcpy(&ends[1], dy + i, (size - i) * sizeof *dy);                             \
                memcpy(&ends[2], x + i, (size - i) * sizeof *x);                               \
                memcpy(&ends[3], y + i, (size - i) * sizeof *y);                               \
                slope(&ends[0], &ends[1], &ends[2], &ends[3], alpha);                          \
                memcpy(dx + i, &ends[0], (size - i) * sizeof *dx);                             \
                sum += ends[0];                                                                \
            }                                                                                  \
            sums[p] = total(&sum);                                                             \
        }                                                                                      \
    }                                                                                          \
    FOR_EVERY_ISA(name,                                                                        \
                  (float *dx, float *sums, const float *dy, const float *x, const float *y,    \
                   size_t num, size_t size, float alpha),                                      \
                  (dx, sums, dy, x, y, num, size, alpha))

PLANES(silu, silu_lanes)
PLANES(leaky, leaky_lanes)

void lbw_gradient_silu(float *dx, float *sums, const float *dy, const float *x, const float *y,
                       size_t num, size_t size)
{
    silu(dx, sums, dy, x, y, num, size, 0);
}

void lbw_gradient_leaky(float *dx, float *sums, const float *dy, const float *y, size_t num,
                        size_t size, float alpha)
{
    leaky(dx, sums, dy, y, y, num, size, alpha);
}

/* ---- scores ---- */

/*
 * *x = ln *x for normal numbers, to a few units in the last place: x = m·2^n with m between the
 * roots of 1/2 and 2, and a polynomial for ln m.
 */
INLINE void logarithm(lanes *x)
{
    ints bits = (ints)*x - 0x3f3504f3; /* the root of 1/2 */
    ints n = bits >> 23;
    lanes m = (lanes)((bits & 0x7fffff) + 0x3f3504f3) - 1;
    lanes e = __builtin_convertvector(n, lanes), square = m * m;
    lanes p = m * 7.0376836292e-2f - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    p = p * m * square + e * -2.12194440e-4f - square * 0.5f;
    *x = p + m + e * 0.693359375f;
}

INLINE void scores_lanes(lanes *dp, lanes *loss, const lanes *p, const lanes *wanted,
                         const lanes *factors, const lanes *scores, float least)
{
    lanes error = *p - *wanted, scaled = error * *factors;
    lanes low = *p * 0 + least, high = *p * 0 + (1 - least);
    ints under = *p<low, over = *p> high;
    lanes q = (lanes)(((ints)*p & ~under & ~over) | ((ints)low & under) | ((ints)high & over));
    lanes rest = 1 - q, log_q = q, log_rest = rest;
    logarithm(&log_q);
    logarithm(&log_rest);
    *loss = scaled * error - *scores * (log_rest + *wanted * (log_q - log_rest));
    *dp = 2 * scaled + *scores * (q - *wanted) / (q * rest);
}

INLINE void scores_body(float *loss, float *dp, const struct lbw_score_terms *t, size_t num)
{
    double sum = 0;
    for (size_t i = 0; i < num;) {
        lanes block = {0};
        size_t end = i + 64 * LANES;
        for (; i < end && i + LANES <= num; i += LANES) {
            lanes term;
            scores_lanes((lanes *)(dp + i), &term, (const lanes *)(t->p + i),
                         (const lanes *)(t->wanted + i), (const lanes *)(t->factors + i),
                         (const lanes *)(t->scores + i), t->least);
            block += term;
        }
        if (i < end && i < num) { /* zeros beyond the end have no factors: their terms are 0 */
            lanes ends[6] = {{0}};
            size_t size = (num - i) * sizeof(float);
            memcpy(&ends[2], t->p + i, size);
            memcpy(&ends[3], t->wanted + i, size);
            memcpy(&ends[4], t->factors + i, size);
            memcpy(&ends[5], t->scores + i, size);
            scores_lanes(&ends[0], &ends[1], &ends[2], &ends[3], &ends[4], &ends[5], t->least);
            memcpy(dp + i, &ends[0], size);
            block += ends[1];
            i = num;
        }
        sum += (double)total(&block);
    }
    *loss = (float)sum;
}

FOR_EVERY_ISA(scores, (float *loss, float *dp, const struct lbw_score_terms *t, size_t num),
              (loss, dp, t, num))

float lbw_gradient_scores(float *dp, const struct lbw_score_terms *terms, size_t num)
{
    float loss;
    scores(&loss, dp, terms, num);
    return loss;
}
