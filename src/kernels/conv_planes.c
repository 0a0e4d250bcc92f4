/* SPDX-License-Identifier: MIT */
/* Copies an input into planes, one for each phase that the strides leave apart. */
#include <string.h>

#include "kernels/conv_packed.h"

/* What each row of a plane takes from the input. */
struct source {
    const uint8_t *x; /* of the first row */
    size_t step;      /* from one row to the next */
    size_t width;     /* left of a row */
    size_t num_rows;
};

/* Of rows from `first` on; none where the phase lies beyond the input. */
static struct source source_of(const struct lbw_conv *conv, const struct lbw_conv_plan *plan,
                               const uint8_t *x, size_t i, size_t first, size_t last)
{
    size_t height = (size_t)plan->in[0], width = (size_t)plan->in[1];
    size_t down = (size_t)conv->params.strides[0], column = (size_t)plan->phases[2 * i + 1];
    size_t row = (size_t)plan->phases[2 * i] + first * down;
    if (row >= height || column >= width)
        return (struct source){0};
    size_t num = (height - row + down - 1) / down;
    return (struct source){x + row * width + column, down * width, width - column,
                           num < last - first ? num : last - first};
}

static void fill_plane(uint8_t *to, const struct source *from, size_t pitch, size_t stride,
                       const struct lbw_isa *isa)
{
    size_t num = (from->width + stride - 1) / stride;
    for (size_t r = 0; r < from->num_rows; r++, to += pitch) {
        const uint8_t *x = from->x + r * from->step;
        if (stride == 1)
            memcpy(to, x, num);
        else if (stride == 2)
            isa->halve(to, x, num);
        else
            for (size_t q = 0; q < num; q++)
                to[q] = x[q * stride];
    }
}

/* Whether planes i and i + 1 are the even and odd columns of the same rows; or the other way.
 */
static bool is_pair(const struct lbw_conv *conv, const struct lbw_conv_plan *plan, size_t i)
{
    return conv->isa->split && conv->params.strides[1] == 2 && i + 1 < plan->num_planes &&
           plan->phases[2 * i] == plan->phases[2 * i + 2] &&
           plan->phases[2 * i + 1] != plan->phases[2 * i + 3] && plan->in[1] > 1;
}

void lbw_conv_fill(uint8_t *planes, const struct lbw_conv *conv,
                   const struct lbw_conv_plan *plan, const uint8_t *x, size_t num, size_t first,
                   size_t last)
{
    size_t stride = (size_t)conv->params.strides[1], size = plan->plane_size;
    for (; num; num--, x += plan->in[0] * plan->in[1])
        for (size_t i = 0; i < plan->num_planes; i++, planes += size) {
            uint8_t *to = planes + first * plan->pitch;
            bool is_swapped = plan->phases[2 * i + 1] != 0, pair = is_pair(conv, plan, i);
            struct source from =
                source_of(conv, plan, x, pair && is_swapped ? i + 1 : i, first, last);
            if (pair && from.num_rows) {
                conv->isa->split(is_swapped ? to + size : to, is_swapped ? to : to + size,
                                 plan->pitch, from.x, from.step, from.width, from.num_rows);
            } else if (from.num_rows) {
                fill_plane(to, &from, plan->pitch, stride, conv->isa);
            }
            if (pair) {
                planes += size;
                i++;
            }
        }
}
