/* SPDX-License-Identifier: MIT */
/* Depthwise convolutions and their gradients. */
#include "kernels/gradient.h"

#include <string.h>

#include "kernels/lanes.h"

/* ---- depthwise convolutions ---- */

/*
 * With a stride of s, x falls into s·s phases, planes of their own in which a window moves by
 * single steps: tap k reads phase k mod s at offset k / s. dy stands in a frame of zeros.
 */
struct frame {
    size_t extra[2];                /* offsets that taps reach: (kernel - 1) / stride */
    size_t phase_rows, phase_width; /* of one phase */
    size_t dy_rows, dy_width;
};

static void frame_of(struct frame *f, const struct lbw_gradient_window *w)
{
    for (int i = 0; i < 2; i++)
        f->extra[i] = (w->kernel[i] - 1) / w->stride[i];
    f->phase_rows = w->out[0] + f->extra[0];
    f->phase_width = lbw_round_lanes(w->out[1] + f->extra[1]) + LANES;
    f->dy_rows = w->out[0] + 2 * f->extra[0];
    f->dy_width = f->phase_width + LANES;
}

#define MOST_SIDE ((size_t)1 << 20)

#define NUM_ROWS 4 /* of phases, in which dx is put together */

size_t lbw_gradient_scratch(const struct lbw_gradient_window *window)
{
    struct frame f;
    for (int i = 0; i < 2; i++)
        if (window->in[i] > MOST_SIDE || window->out[i] > MOST_SIDE)
            return 0;
    frame_of(&f, window);
    size_t phases = window->stride[0] * window->stride[1];
    return (phases * f.phase_rows + NUM_ROWS) * f.phase_width + f.dy_rows * f.dy_width + LANES;
}

/*
 * Positions i in [first, last) of a phase along one axis, where i·stride + phase - begin lies
 * inside of x; and where the first of them lies.
 */
struct span {
    size_t first, last, at;
};

static struct span span_of(const struct lbw_gradient_window *w, const struct frame *f, int axis,
                           size_t phase)
{
    size_t stride = w->stride[axis], begin = w->begin[axis], end = w->in[axis] + begin;
    struct span s = {phase < begin ? (begin - phase + stride - 1) / stride : 0, 0, 0};
    s.last = end > phase ? (end - 1 - phase) / stride + 1 : 0;
    if (s.last > w->out[axis] + f->extra[axis])
        s.last = w->out[axis] + f->extra[axis];
    if (s.first > s.last)
        s.first = s.last;
    s.at = s.first * stride + phase - begin;
    return s;
}

INLINE void split(float *phases, const float *x, const struct lbw_gradient_window *w,
                  const struct frame *f)
{
    memset(phases, 0,
           w->stride[0] * w->stride[1] * f->phase_rows * f->phase_width * sizeof *phases);
    for (size_t p = 0; p < w->stride[0]; p++)
        for (size_t q = 0; q < w->stride[1]; q++, phases += f->phase_rows * f->phase_width) {
            struct span rows = span_of(w, f, 0, p), columns = span_of(w, f, 1, q);
            for (size_t i = rows.first; i < rows.last; i++) {
                const float *from =
                    x + (rows.at + (i - rows.first) * w->stride[0]) * w->in[1] + columns.at;
                float *to = phases + i * f->phase_width + columns.first;
                size_t num = columns.last - columns.first;
                if (w->stride[1] == 1)
                    lbw_copy_lanes(to, from, num);
                else
                    lbw_pick_lanes(to, from, num);
            }
        }
}

INLINE void weights_of(float *dw, const float *phases, const float *dy,
                       const struct lbw_gradient_window *w, const struct frame *f, size_t rows,
                       size_t columns, size_t down, size_t across)
{
    lanes sums[LBW_GRADIENT_MAX_KERNEL * LBW_GRADIENT_MAX_KERNEL];
    memset(sums, 0, sizeof sums);
    for (size_t y = 0; y < w->out[0]; y++) {
        const float *line = dy + (f->extra[0] + y) * f->dy_width + f->extra[1];
        for (size_t r = 0; r < rows; r++) {
            const float *plane = phases + r % down * across * f->phase_rows * f->phase_width +
                                 (y + r / down) * f->phase_width;
            lanes sum[LBW_GRADIENT_MAX_KERNEL] = {{0}}; /* registers, once it is unrolled */
#pragma GCC unroll 8
            for (size_t c = 0; c < columns; c++)
                sum[c] = sums[r * columns + c];
            for (size_t i = 0; i < w->out[1]; i += LANES) {
                lanes d = *(const lanes *)(line + i);
#pragma GCC unroll 8
                for (size_t c = 0; c < columns; c++)
                    sum[c] += d * *(const lanes *)(plane +
                                                   c % across * f->phase_rows * f->phase_width +
                                                   i + c / across);
            }
#pragma GCC unroll 8
            for (size_t c = 0; c < columns; c++)
                sums[r * columns + c] = sum[c];
        }
    }
    for (size_t k = 0; k < rows * columns; k++) {
        float total = 0;
        for (size_t i = 0; i < LANES; i++)
            total += sums[k][i];
        dw[k] = total;
    }
}

/* One row of a phase of dx, in whole vectors. */
INLINE void inputs_of_row(float *row, const float *weights, const float *dy,
                          const struct lbw_gradient_window *w, const struct frame *f, size_t p,
                          size_t q, size_t rows, size_t columns, size_t down, size_t across)
{
    for (size_t i = 0; i < w->out[1] + f->extra[1]; i += LANES) {
        lanes sum = {0};
#pragma GCC unroll 8
        for (size_t r = p; r < rows; r += down)
#pragma GCC unroll 8
            for (size_t c = q; c < columns; c += across)
                sum += weights[r * columns + c] *
                       *(const lanes *)(dy + i - r / down * f->dy_width - c / across);
        *(lanes *)(row + i) = sum;
    }
}

/* `even` has room for the row of each phase, and then of both together. */
INLINE void inputs_of(float *dx, float *even, const float *weights, const float *dy,
                      const struct lbw_gradient_window *w, const struct frame *f, size_t rows,
                      size_t columns, size_t down, size_t across)
{
    float *odd = even + f->phase_width, *both = odd + f->phase_width;
    size_t num = lbw_round_lanes(w->out[1] + f->extra[1]);
    memset(both, 0, 2 * f->phase_width * sizeof *both);
    for (size_t p = 0; p < down; p++) {
        struct span ys = span_of(w, f, 0, p);
        for (size_t y = ys.first; y < ys.last; y++) {
            const float *line = dy + (f->extra[0] + y) * f->dy_width + f->extra[1];
            float *to = dx + (ys.at + (y - ys.first) * w->stride[0]) * w->in[1];
            inputs_of_row(even, weights, line, w, f, p, 0, rows, columns, down, across);
            if (across == 1) {
                lbw_copy_lanes(to, even + w->begin[1], w->in[1]);
                continue;
            }
            inputs_of_row(odd, weights, line, w, f, p, 1, rows, columns, down, across);
            lbw_zip_lanes(both, even, odd, num);
            lbw_copy_lanes(to, both + w->begin[1], w->in[1]);
        }
    }
}

INLINE void plane(float *dx, float *dw, const float *x, const float *dy, const float *weights,
                  const struct lbw_gradient_window *w, float *scratch, size_t rows,
                  size_t columns, size_t down, size_t across)
{
    struct frame f;
    frame_of(&f, w);
    float *phases = scratch, *framed = phases + down * across * f.phase_rows * f.phase_width;
    split(phases, x, w, &f);
    memset(framed, 0, f.dy_rows * f.dy_width * sizeof *framed);
    for (size_t y = 0; y < w->out[0]; y++)
        lbw_copy_lanes(framed + (f.extra[0] + y) * f.dy_width + f.extra[1], dy + y * w->out[1],
                       w->out[1]);
    weights_of(dw, phases, framed, w, &f, rows, columns, down, across);
    memset(dx, 0, w->in[0] * w->in[1] * sizeof *dx);
    inputs_of(dx, framed + f.dy_rows * f.dy_width, weights, framed, w, &f, rows, columns, down,
              across);
}

/* Usual kernels are known to the compiler. */
INLINE void depthwise_body(float *dx, float *dw, const float *x, const float *dy,
                           const float *weights, const struct lbw_gradient_window *w,
                           float *scratch)
{
    size_t rows = w->kernel[0], columns = w->kernel[1], down = w->stride[0],
           across = w->stride[1];
    if (rows == 3 && columns == 3 && down == 1 && across == 1)
        plane(dx, dw, x, dy, weights, w, scratch, 3, 3, 1, 1);
    else if (rows == 3 && columns == 3 && down == 2 && across == 2)
        plane(dx, dw, x, dy, weights, w, scratch, 3, 3, 2, 2);
    else if (rows == 5 && columns == 5 && down == 1 && across == 1)
        plane(dx, dw, x, dy, weights, w, scratch, 5, 5, 1, 1);
    else
        plane(dx, dw, x, dy, weights, w, scratch, rows, columns, down, across);
}

FOR_EVERY_ISA(depthwise,
              (float *dx, float *dw, const float *x, const float *dy, const float *weights,
               const struct lbw_gradient_window *w, float *scratch),
              (dx, dw, x, dy, weights, w, scratch))

void lbw_gradient_depthwise(float *dx, float *dw, const float *x, const float *dy,
                            const float *w, size_t num,
                            const struct lbw_gradient_window *window, float *scratch)
{
    size_t in = window->in[0] * window->in[1], out = window->out[0] * window->out[1];
    size_t taps = window->kernel[0] * window->kernel[1];
    for (size_t i = 0; i < num; i++)
        depthwise(dx + i * in, dw + i * taps, x + i * in, dy + i * out, w + i * taps, window,
                  scratch);
}

/* ---- the way forth ---- */

INLINE void outputs_of(float *y, const float *x, const float *weights, float bias,
                       const struct lbw_gradient_window *w, float *scratch, size_t rows,
                       size_t columns, size_t down, size_t across)
{
    struct frame f;
    frame_of(&f, w);
    size_t phase = f.phase_rows * f.phase_width;
    float *phases = scratch, *row = phases + down * across * phase;
    split(phases, x, w, &f);
    for (size_t i = 0; i < w->out[0]; i++) {
        for (size_t k = 0; k < w->out[1]; k += LANES) {
            lanes sum = bias - (lanes){0};
#pragma GCC unroll 8
            for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 8
                for (size_t c = 0; c < columns; c++)
                    sum += weights[r * columns + c] *
                           *(const lanes *)(phases + (r % down * across + c % across) * phase +
                                            (i + r / down) * f.phase_width + k + c / across);
            *(lanes *)(row + k) = sum;
        }
        lbw_copy_lanes(y + i * w->out[1], row, w->out[1]);
    }
}

INLINE void forth_body(float *y, const float *x, const float *weights, float bias,
                       const struct lbw_gradient_window *w, float *scratch)
{
    size_t rows = w->kernel[0], columns = w->kernel[1], down = w->stride[0],
           across = w->stride[1];
    if (rows == 3 && columns == 3 && down == 1 && across == 1)
        outputs_of(y, x, weights, bias, w, scratch, 3, 3, 1, 1);
    else if (rows == 3 && columns == 3 && down == 2 && across == 2)
        outputs_of(y, x, weights, bias, w, scratch, 3, 3, 2, 2);
    else if (rows == 5 && columns == 5 && down == 1 && across == 1)
        outputs_of(y, x, weights, bias, w, scratch, 5, 5, 1, 1);
    else
        outputs_of(y, x, weights, bias, w, scratch, rows, columns, down, across);
}

FOR_EVERY_ISA(forth,
              (float *y, const float *x, const float *weights, float bias,
               const struct lbw_gradient_window *w, float *scratch),
              (y, x, weights, bias, w, scratch))

void lbw_depthwise(float *y, const float *x, const float *w, const float *bias, size_t num,
                   const struct lbw_gradient_window *window, float *scratch)
{
    size_t in = window->in[0] * window->in[1], out = window->out[0] * window->out[1];
    size_t taps = window->kernel[0] * window->kernel[1];
    for (size_t i = 0; i < num; i++)
        forth(y + i * out, x + i * in, w + i * taps, bias ? bias[i] : 0, window, scratch);
}
