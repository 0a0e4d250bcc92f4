/* SPDX-License-Identifier: MIT */
/* The definition of the operators, one product after the other, and checks of parameters. */
#include <math.h>

#include "base/bits.h"
#include "kernels/conv.h"

#define MAX_SIDE     (1 << 24)
#define MAX_CHANNELS (1 << 24)
#define MAX_WEIGHTS  (INT64_C(1) << 31)

static bool is_between(int64_t value, int64_t low, int64_t high)
{
    return value >= low && value <= high;
}

static bool has_sane_window(const struct lbw_conv_params *p)
{
    for (int i = 0; i < 2; i++)
        if (!is_between(p->kernel[i], 1, 1 << 12) || !is_between(p->strides[i], 1, 1 << 12) ||
            !is_between(p->dilations[i], 1, 1 << 12) || !is_between(p->pads[i], 0, MAX_SIDE) ||
            !is_between(p->pads[i + 2], 0, MAX_SIDE))
            return false;
    return true;
}

enum lbw_status lbw_conv_check_shape(const struct lbw_conv_params *p, struct lbw_error *err)
{
    if (!is_between(p->num_outputs, 0, MAX_CHANNELS) ||
        !is_between(p->num_inputs, 0, MAX_CHANNELS) || p->groups < 1 ||
        p->num_outputs % p->groups || p->num_inputs % p->groups)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "%lld to %lld channels in %lld groups",
                        (long long)p->num_inputs, (long long)p->num_outputs,
                        (long long)p->groups);
    if (!has_sane_window(p))
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "a kernel, stride, dilation or padding is out of range");
    /* Each factor is below 2^25, so that two steps cannot overflow. */
    if (p->num_outputs * (p->num_inputs / p->groups) > MAX_WEIGHTS ||
        p->num_outputs * (p->num_inputs / p->groups) >
            MAX_WEIGHTS / (p->kernel[0] * p->kernel[1]))
        return lbw_fail(err, LBW_ERR_ARGUMENT, "too many weights");
    return LBW_OK;
}

static bool is_ratio(float x)
{
    return x > 0 && x <= LBW_CONV_MAX_RATIO;
}

enum lbw_status lbw_conv_check(const struct lbw_conv_params *p, struct lbw_error *err)
{
    LBW_TRY(lbw_conv_check_shape(p, err));
    for (int64_t m = 0; m < p->num_outputs; m++)
        if (!isfinite(p->scale[m]))
            return lbw_fail(err, LBW_ERR_ARGUMENT, "the scale of output channel %lld is %g",
                            (long long)m, (double)p->scale[m]);
    if (p->sum && (p->ending || !is_ratio(p->sum->own) || !is_ratio(p->sum->other) ||
                   !isfinite(p->sum->fixed)))
        return lbw_fail(err, LBW_ERR_ARGUMENT, "scales of a sum that differ too much");
    return LBW_OK;
}

enum lbw_status lbw_conv_output(int64_t out[2], const struct lbw_conv_params *p,
                                const int64_t in[2], struct lbw_error *err)
{
    int64_t sides[2];
    for (int i = 0; i < 2; i++) {
        int64_t span = (p->kernel[i] - 1) * p->dilations[i] + 1;
        if (!is_between(in[i], 0, MAX_SIDE))
            return lbw_fail(err, LBW_ERR_ARGUMENT, "an input side of %lld", (long long)in[i]);
        int64_t room = in[i] + p->pads[i] + p->pads[i + 2] - span;
        sides[i] = room < 0 ? 0 : room / p->strides[i] + 1;
        if (in[i] > 0 && sides[i] < 1)
            return lbw_fail(err, LBW_ERR_ARGUMENT,
                            "an input side of %lld is too small for a kernel of %lld",
                            (long long)in[i], (long long)p->kernel[i]);
    }
    out[0] = sides[0];
    out[1] = sides[1];
    return LBW_OK;
}

/* The sum for one output position. */
static int32_t sum_at(const uint8_t *x, const int64_t in[2], const struct lbw_conv_params *p,
                      int64_t m, int64_t oy, int64_t ox)
{
    int64_t depth = p->num_inputs / p->groups;
    int64_t first = m / (p->num_outputs / p->groups) * depth;
    const int8_t *w = p->weights + m * depth * p->kernel[0] * p->kernel[1];
    uint32_t sum = p->bias ? (uint32_t)p->bias[m] : 0;
    for (int64_t c = first; c < first + depth; c++)
        for (int64_t ky = 0; ky < p->kernel[0]; ky++)
            for (int64_t kx = 0; kx < p->kernel[1]; kx++, w++) {
                int64_t iy = oy * p->strides[0] + ky * p->dilations[0] - p->pads[0];
                int64_t ix = ox * p->strides[1] + kx * p->dilations[1] - p->pads[1];
                if (is_between(iy, 0, in[0] - 1) && is_between(ix, 0, in[1] - 1))
                    sum += (uint32_t)((x[(c * in[0] + iy) * in[1] + ix] - p->x_zero) * *w);
            }
    return (int32_t)sum;
}

static uint8_t requantize(int32_t sum, const struct lbw_conv_params *p, int64_t m)
{
    float value = (float)sum * p->scale[m];
    float low = (float)-p->y_zero, high = (float)(255 - p->y_zero);
    value = value > high ? high : value < low ? low : value;
    int q = (int)rintf(value) + p->y_zero;
    return p->tables ? p->tables[(p->has_channel_tables ? m * 256 : 0) + q] : (uint8_t)q;
}

static float finish_float(int32_t sum, const struct lbw_conv_params *p, int64_t m)
{
    float row[LBW_COLUMNS] = {(float)sum * p->scale[m] + p->float_bias[m]};
    lbw_plain_floats->bend(row, 1, p->ending);
    return row[0];
}

uint8_t lbw_conv_add(uint8_t y, uint8_t r, const struct lbw_conv_sum *sum)
{
    float value = rintf(fmaf(sum->own, y, fmaf(sum->other, r, sum->fixed)));
    value = value > 255 ? 255 : value;
    return value > sum->least ? (uint8_t)value : sum->least;
}

enum lbw_status lbw_conv_reference(void *y, const uint8_t *x, const uint8_t *r,
                                   int64_t num_images, const int64_t in[2],
                                   const struct lbw_conv_params *p, struct lbw_error *err)
{
    int64_t out[2];
    size_t i = 0;
    LBW_TRY(lbw_conv_check(p, err));
    LBW_TRY(lbw_conv_output(out, p, in, err));
    for (int64_t n = 0; n < num_images; n++, x += p->num_inputs * in[0] * in[1])
        for (int64_t m = 0; m < p->num_outputs; m++)
            for (int64_t oy = 0; oy < out[0]; oy++)
                for (int64_t ox = 0; ox < out[1]; ox++, i++) {
                    int32_t sum = sum_at(x, in, p, m, oy, ox);
                    if (p->ending)
                        ((float *)y)[i] = finish_float(sum, p, m);
                    else
                        ((uint8_t *)y)[i] = requantize(sum, p, m);
                    if (r && p->sum)
                        ((uint8_t *)y)[i] = lbw_conv_add(((uint8_t *)y)[i], r[i], p->sum);
                }
    return LBW_OK;
}
