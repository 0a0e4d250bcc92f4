/* SPDX-License-Identifier: MIT */
/*
 * Maximum pooling backwards, one axis after the other: k + k comparisons for a window of k × k
 * instead of k·k. Rows first: h is the maximum along each row, and dh its gradient.
 */
#include "kernels/maxima.h"

#include <float.h>
#include <string.h>

#include "kernels/lanes.h"

/*
 * Frames, in which rows have room for whole vectors. x stands with its padding; h and dh have
 * kernel - 1 columns before the first, which no x equals, so that windows need no ends.
 */
struct frames {
    size_t x_width, h_width, y_width, before;
    size_t x_size, h_size, y_size;
};

static void frames_of(struct frames *f, const struct lbw_maxima_window *w)
{
    f->before = w->kernel[1] - 1;
    f->x_width = lbw_round_lanes((w->out[1] - 1) * w->stride[1] + w->kernel[1]);
    if (f->x_width < w->in[1] + w->begin[1])
        f->x_width = lbw_round_lanes(w->in[1] + w->begin[1]);
    f->x_width += 2 * LANES;
    f->h_width = f->before + f->x_width + LANES;
    f->y_width = lbw_round_lanes(w->out[1]);
    f->x_size = w->in[0] * f->x_width;
    f->h_size = w->in[0] * f->h_width;
    f->y_size = w->out[0] * f->y_width;
}

#define MOST_SIDE ((size_t)1 << 14)

size_t lbw_maxima_scratch(const struct lbw_maxima_window *window)
{
    struct frames f;
    for (int i = 0; i < 2; i++)
        if (window->in[i] > MOST_SIDE || window->out[i] > MOST_SIDE)
            return 0;
    frames_of(&f, window);
    return f.x_size + 2 * f.h_size + f.y_size + f.x_width + LANES;
}

static void fill(float *to, size_t num, float value)
{
    for (size_t i = 0; i < num; i++)
        to[i] = value;
}

INLINE void enlarge(lanes *most, const lanes *by)
{
    ints is = *by > *most;
    *most = (lanes)(((ints)*by & is) | ((ints)*most & ~is));
}

/* Maxima along one row of x. */
INLINE void maxima_of_row(float *h, const float *x, const struct lbw_maxima_window *w)
{
    if (w->stride[1] == 1) {
        for (size_t i = 0; i < w->out[1]; i += LANES) {
            lanes most = *(const lanes *)(x + i);
            for (size_t t = 1; t < w->kernel[1]; t++)
                enlarge(&most, (const lanes *)(x + i + t));
            *(lanes *)(h + i) = most;
        }
        return;
    }
    for (size_t i = 0; i < w->out[1]; i++) {
        const float *at = x + i * w->stride[1];
        float most = at[0];
        for (size_t t = 1; t < w->kernel[1]; t++)
            most = at[t] > most ? at[t] : most;
        h[i] = most;
    }
}

/* The rows of x that row i of y sees: [first, last). */
static void rows_of(size_t *first, size_t *last, const struct lbw_maxima_window *w, size_t i)
{
    size_t at = i * w->stride[0], end = at + w->kernel[0];
    *first = at < w->begin[0] ? 0 : at - w->begin[0];
    *last = end < w->begin[0] ? 0 : end - w->begin[0];
    if (*last > w->in[0])
        *last = w->in[0];
}

/* Along columns: dh from h and dy. */
INLINE void columns_of(float *dh, const float *h, const float *dy,
                       const struct lbw_maxima_window *w, const struct frames *f)
{
    for (size_t i = 0; i < w->out[0]; i++, dy += f->y_width) {
        size_t first, last;
        rows_of(&first, &last, w, i);
        for (size_t k = 0; k < w->out[1]; k += LANES) {
            lanes most = (lanes){0} - FLT_MAX, d = *(const lanes *)(dy + k);
            for (size_t r = first; r < last; r++)
                enlarge(&most, (const lanes *)(h + r * f->h_width + k));
            for (size_t r = first; r < last; r++) {
                ints is_top = *(const lanes *)(h + r * f->h_width + k) >= most;
                lanes *to = (lanes *)(dh + r * f->h_width + k);
                *to += (lanes)((ints)d & is_top);
            }
        }
    }
}

/* Along one row: dx from h and dh. */
INLINE void back_row(float *dx, const float *x, const float *h, const float *dh,
                     const struct lbw_maxima_window *w, const struct frames *f)
{
    if (w->stride[1] == 1) {
        for (size_t i = 0; i < w->in[1] + w->begin[1]; i += LANES) {
            lanes sum = {0}, at = *(const lanes *)(x + i);
            for (size_t t = 0; t < w->kernel[1]; t++) { /* window i - t, whose tap t it is */
                ints is_top = at >= *(const lanes *)(h + i - t);
                sum += (lanes)((ints) * (const lanes *)(dh + i - t) & is_top);
            }
            *(lanes *)(dx + i) = sum;
        }
        return;
    }
    fill(dx, f->x_width, 0);
    for (size_t t = 0; t < w->kernel[1]; t++)
        for (size_t i = 0; i < w->out[1]; i++)
            if (x[i * w->stride[1] + t] >= h[i])
                dx[i * w->stride[1] + t] += dh[i];
}

INLINE void plane_body(float *dx, const float *x, const float *dy,
                       const struct lbw_maxima_window *w, const struct frames *f,
                       float *scratch)
{
    float *framed = scratch, *h = framed + f->x_size + f->before, *dh = h + f->h_size;
    float *framed_dy = framed + f->x_size + 2 * f->h_size, *row = framed_dy + f->y_size;
    fill(framed, f->x_size, -FLT_MAX);
    fill(h - f->before, f->h_size, FLT_MAX);
    memset(dh - f->before, 0, f->h_size * sizeof *dh);
    memset(framed_dy, 0, f->y_size * sizeof *framed_dy);
    for (size_t r = 0; r < w->in[0]; r++) {
        memcpy(framed + r * f->x_width + w->begin[1], x + r * w->in[1], w->in[1] * sizeof *x);
        maxima_of_row(h + r * f->h_width, framed + r * f->x_width, w);
    }
    for (size_t r = 0; r < w->out[0]; r++)
        memcpy(framed_dy + r * f->y_width, dy + r * w->out[1], w->out[1] * sizeof *dy);
    columns_of(dh, h, framed_dy, w, f);
    for (size_t r = 0; r < w->in[0]; r++) {
        back_row(row, framed + r * f->x_width, h + r * f->h_width, dh + r * f->h_width, w, f);
        memcpy(dx + r * w->in[1], row + w->begin[1], w->in[1] * sizeof *dx);
    }
}

FOR_EVERY_ISA(plane,
              (float *dx, const float *x, const float *dy, const struct lbw_maxima_window *w,
               const struct frames *f, float *scratch),
              (dx, x, dy, w, f, scratch))

void lbw_gradient_maxima(float *dx, const float *x, const float *dy, size_t num,
                         const struct lbw_maxima_window *window, float *scratch)
{
    struct frames f;
    frames_of(&f, window);
    for (size_t p = 0; p < num; p++) {
        plane(dx, x, dy, window, &f, scratch);
        dx += window->in[0] * window->in[1];
        x += window->in[0] * window->in[1];
        dy += window->out[0] * window->out[1];
    }
}
