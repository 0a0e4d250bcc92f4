/* SPDX-License-Identifier: MIT */
/* Convolutions of few channels: row by row of the output, from rows of x that stay in cache. */
#include "kernels/dense.h"

#include <string.h>

#include "kernels/lanes.h"

#define FILTERS 4 /* at once: their sums stay in registers */

/*
 * All that one row of y sees: for every channel and row of the kernel a row of x with its
 * padding, with a stride of 2 as its even columns, then its odd ones. Tap c of such a row
 * reads offsets[c] + i for column i of y.
 */
struct sight {
    size_t num_taps, num_sums; /* taps of one filter; of one filter and row of the kernel */
    size_t width;              /* of one phase of a row */
    size_t phases;             /* of a row */
    size_t blocks;             /* of FILTERS */
    size_t columns;            /* of y, in whole vectors */
    size_t step;               /* from one row of the kernel to the next */
    size_t offsets[LBW_DENSE_MAX_KERNEL]; /* of its taps */
};

static void sight_of(struct sight *s, const struct lbw_dense_window *w)
{
    s->num_taps = w->channels * w->kernel[0] * w->kernel[1];
    s->num_sums = w->kernel[1] * FILTERS;
    s->phases = w->stride[1];
    s->columns = lbw_round_lanes(w->out[1]);
    /* Two vectors are computed at a time, from up to kernel - 1 columns further on. */
    s->width = s->columns + 2 * LANES + lbw_round_lanes(w->kernel[1]);
    s->blocks = (w->filters + FILTERS - 1) / FILTERS;
    s->step = s->phases * s->width;
    for (size_t c = 0; c < w->kernel[1]; c++)
        s->offsets[c] = c % w->stride[1] * s->width + c / w->stride[1];
}

static size_t size_of_rows(const struct sight *s, const struct lbw_dense_window *w)
{
    return w->channels * w->kernel[0] * s->step;
}

#define MOST_SIDE ((size_t)1 << 16)

size_t lbw_dense_scratch(const struct lbw_dense_window *window)
{
    struct sight s;
    for (int i = 0; i < 2; i++)
        if (window->in[i] > MOST_SIDE || window->out[i] > MOST_SIDE)
            return 0;
    if (window->channels > MOST_SIDE || window->filters > MOST_SIDE)
        return 0;
    sight_of(&s, window);
    size_t forth = s.blocks * FILTERS * (s.num_taps + 1);
    size_t back = s.blocks * FILTERS * (s.num_taps * LANES + s.columns);
    return size_of_rows(&s, window) + (forth > back ? forth : back);
}

/* The row of x behind row r of the kernel where y is at `at`; NULL in the padding. */
static const float *row_of(const float *x, const struct lbw_dense_window *w, size_t channel,
                           size_t at, size_t r)
{
    size_t row = at * w->stride[0] + r;
    if (row < w->begin[0] || row - w->begin[0] >= w->in[0])
        return NULL;
    return x + (channel * w->in[0] + row - w->begin[0]) * w->in[1];
}

static void fill_row(float *to, const float *from, const struct sight *s,
                     const struct lbw_dense_window *w)
{
    memset(to, 0, s->step * sizeof *to);
    if (!from)
        return;
    if (w->stride[1] == 1) {
        size_t room = s->width - w->begin[1];
        memcpy(to + w->begin[1], from, (w->in[1] < room ? w->in[1] : room) * sizeof *to);
        return;
    }
    for (size_t q = 0; q < s->phases; q++) {
        size_t first = q < w->begin[1] ? (w->begin[1] - q + 1) / 2 : 0;
        for (size_t i = first; i < s->width && 2 * i + q - w->begin[1] < w->in[1]; i++)
            to[q * s->width + i] = from[2 * i + q - w->begin[1]];
    }
}

static void fill_rows(float *rows, const float *x, const struct sight *s,
                      const struct lbw_dense_window *w, size_t at)
{
    for (size_t c = 0; c < w->channels; c++)
        for (size_t r = 0; r < w->kernel[0]; r++, rows += s->step)
            fill_row(rows, row_of(x, w, c, at, r), s, w);
}

/* ---- forth ---- */

/* Two vectors of FILTERS filters; weights are FILTERS by FILTERS for each tap. */
INLINE void pair_of(lanes sums[FILTERS][2], const float *weights, const float *bias,
                    const float *rows, const struct sight *s, const struct lbw_dense_window *w,
                    size_t columns)
{
    const size_t num = w->channels * w->kernel[0];
    for (size_t f = 0; f < FILTERS; f++)
        sums[f][0] = sums[f][1] = bias[f] - (lanes){0};
    for (size_t r = 0; r < num; r++, rows += s->step)
#pragma GCC unroll 8
        for (size_t c = 0; c < columns; c++, weights += FILTERS) {
            const float *at = rows + s->offsets[c];
            lanes a = *(const lanes *)at, b = *(const lanes *)(at + LANES);
#pragma GCC unroll 4
            for (size_t f = 0; f < FILTERS; f++) {
                sums[f][0] += weights[f] * a;
                sums[f][1] += weights[f] * b;
            }
        }
}

INLINE void store(float *y, const lanes *sums, size_t num)
{
    if (num >= 2 * LANES) {
        *(lanes *)y = sums[0];
        *(lanes *)(y + LANES) = sums[1];
    } else {
        memcpy(y, sums, num * sizeof *y);
    }
}

/* One row of y: what few columns see stays in the first cache for all filters. */
INLINE void row_body(float *y, const float *weights, const float *bias, const float *rows,
                     const struct sight *s, const struct lbw_dense_window *w)
{
    size_t plane = w->out[0] * w->out[1];
    for (size_t i = 0; i < w->out[1]; i += 2 * LANES)
        for (size_t b = 0; b < s->blocks; b++) {
            const float *block = weights + b * FILTERS * s->num_taps;
            size_t rest = w->filters - b * FILTERS;
            lanes sums[FILTERS][2];
            if (w->kernel[1] == 3)
                pair_of(sums, block, bias + b * FILTERS, rows + i, s, w, 3);
            else
                pair_of(sums, block, bias + b * FILTERS, rows + i, s, w, w->kernel[1]);
            for (size_t f = 0; f < FILTERS && f < rest; f++)
                store(y + (b * FILTERS + f) * plane + i, sums[f], w->out[1] - i);
        }
}

FOR_EVERY_ISA(row,
              (float *y, const float *weights, const float *bias, const float *rows,
               const struct sight *s, const struct lbw_dense_window *w),
              (y, weights, bias, rows, s, w))

/* Filters beyond the last have zeros. Their biases stand behind. */
static void interleave(float *to, const float *w, const float *bias, const struct sight *s,
                       size_t filters)
{
    for (size_t b = 0; b < s->blocks; b++)
        for (size_t t = 0; t < s->num_taps; t++)
            for (size_t f = b * FILTERS; f < (b + 1) * FILTERS; f++)
                *to++ = f < filters ? w[f * s->num_taps + t] : 0;
    for (size_t f = 0; f < s->blocks * FILTERS; f++)
        *to++ = f < filters ? bias[f] : 0;
}

void lbw_dense(float *y, const float *x, const float *w, const float *bias,
               const struct lbw_dense_window *window, float *scratch)
{
    struct sight s;
    sight_of(&s, window);
    float *rows = scratch, *weights = rows + size_of_rows(&s, window);
    interleave(weights, w, bias, &s, window->filters);
    const float *biases = weights + s.blocks * FILTERS * s.num_taps;
    for (size_t at = 0; at < window->out[0]; at++) {
        fill_rows(rows, x, &s, window, at);
        row(y + at * window->out[1], weights, biases, rows, &s, window);
    }
}

/* ---- the weights' gradient ---- */

/* One row of the kernel, one channel: FILTERS × columns sums, which go on from row to row. */
INLINE void sums_of(lanes *sums, const float *dy, const float *rows, const struct sight *s,
                    size_t columns)
{
    lanes sum[FILTERS * LBW_DENSE_MAX_KERNEL] = {{0}}; /* registers, once it is unrolled */
#pragma GCC unroll 32
    for (size_t k = 0; k < FILTERS * columns; k++)
        sum[k] = sums[k];
    for (size_t i = 0; i < s->columns; i += LANES)
#pragma GCC unroll 8
        for (size_t c = 0; c < columns; c++) {
            lanes x = *(const lanes *)(rows + s->offsets[c] + i);
#pragma GCC unroll 4
            for (size_t f = 0; f < FILTERS; f++)
                sum[c * FILTERS + f] += x * *(const lanes *)(dy + f * s->columns + i);
        }
#pragma GCC unroll 32
    for (size_t k = 0; k < FILTERS * columns; k++)
        sums[k] = sum[k];
}

/* All channels and rows of the kernel. */
INLINE void block_body(lanes *sums, const float *dy, const float *rows, const struct sight *s,
                       const struct lbw_dense_window *w)
{
    const size_t num = w->channels * w->kernel[0];
    for (size_t row = 0; row < num; row++, sums += s->num_sums, rows += s->step)
        if (w->kernel[1] == 3)
            sums_of(sums, dy, rows, s, 3);
        else
            sums_of(sums, dy, rows, s, w->kernel[1]);
}

FOR_EVERY_ISA(block,
              (lanes * sums, const float *dy, const float *rows, const struct sight *s,
               const struct lbw_dense_window *w),
              (sums, dy, rows, s, w))

/* One row of dy, with zeros beyond its end and for filters beyond the last. */
static void fill_dy(float *to, const float *dy, const struct sight *s,
                    const struct lbw_dense_window *w, size_t at)
{
    memset(to, 0, s->blocks * FILTERS * s->columns * sizeof *to);
    for (size_t f = 0; f < w->filters; f++)
        memcpy(to + f * s->columns, dy + (f * w->out[0] + at) * w->out[1],
               w->out[1] * sizeof *to);
}

static void add_lanes(float *dw, const lanes *sums, const struct sight *s,
                      const struct lbw_dense_window *w)
{
    for (size_t f = 0; f < w->filters; f++)
        for (size_t t = 0; t < s->num_taps; t++) {
            lanes sum = sums[f / FILTERS * FILTERS * s->num_taps + t * FILTERS + f % FILTERS];
            float total = 0;
            for (size_t i = 0; i < LANES; i++)
                total += sum[i];
            dw[f * s->num_taps + t] = total;
        }
}

void lbw_gradient_dense(float *dw, const float *x, const float *dy,
                        const struct lbw_dense_window *window, float *scratch)
{
    struct sight s;
    sight_of(&s, window);
    float *rows = scratch, *lines = rows + size_of_rows(&s, window);
    lanes *sums = (lanes *)(lines + s.blocks * FILTERS * s.columns);
    memset(sums, 0, s.blocks * FILTERS * s.num_taps * sizeof *sums);
    for (size_t at = 0; at < window->out[0]; at++) {
        fill_rows(rows, x, &s, window, at);
        fill_dy(lines, dy, &s, window, at);
        for (size_t b = 0; b < s.blocks; b++)
            block(sums + b * FILTERS * s.num_taps, lines + b * FILTERS * s.columns, rows, &s,
                  window);
    }
    add_lanes(dw, sums, &s, window);
}
