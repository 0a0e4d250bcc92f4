/* SPDX-License-Identifier: MIT */
/* Works out where each tap of a convolution reads, for one size of the input. */
#include "kernels/conv_plan.h"

#include <stdlib.h>

#define MAX_TAPS  256
#define MAX_MASKS (4 << 20)

static int64_t floor_div(int64_t a, int64_t b)
{
    return a >= 0 ? a / b : -((b - 1 - a) / b);
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return -floor_div(-a, b);
}

/* Sets the bits of positions [from, to) for one tap. */
static void set_range(struct lbw_conv_plan *plan, size_t tap, size_t from, size_t to,
                      size_t lanes)
{
    while (from < to) {
        size_t tile = from / lanes, bit = from % lanes;
        size_t num = to - from < lanes - bit ? to - from : lanes - bit;
        uint64_t ones = num == 64 ? ~UINT64_C(0) : (UINT64_C(1) << num) - 1;
        plan->masks[tile * plan->num_taps + tap] |= ones << bit;
        from += num;
    }
}

/* The plane of a phase, added when it is new. */
static size_t find_plane(struct lbw_conv_plan *plan, const int64_t phase[2])
{
    size_t i = 0;
    while (i < plan->num_planes &&
           (plan->phases[2 * i] != phase[0] || plan->phases[2 * i + 1] != phase[1]))
        i++;
    if (i == plan->num_planes) {
        plan->phases[2 * i] = phase[0];
        plan->phases[2 * i + 1] = phase[1];
        plan->num_planes++;
    }
    return i;
}

static void place_tap(struct lbw_conv_plan *plan, const struct lbw_conv_params *p, int64_t ky,
                      int64_t kx, size_t lanes)
{
    const int64_t k[2] = {ky, kx};
    int64_t start[2], shift[2], phase[2], low[2], high[2];
    size_t tap = (size_t)(ky * p->kernel[1] + kx);
    for (int i = 0; i < 2; i++) {
        start[i] = k[i] * p->dilations[i] - p->pads[i];
        shift[i] = floor_div(start[i], p->strides[i]);
        phase[i] = start[i] - shift[i] * p->strides[i];
        low[i] = ceil_div(-start[i], p->strides[i]);
        high[i] = floor_div(plan->in[i] - 1 - start[i], p->strides[i]) + 1;
        low[i] = low[i] < 0 ? 0 : low[i];
        high[i] = high[i] > plan->out[i] ? plan->out[i] : high[i];
    }
    plan->offsets[tap] = (ptrdiff_t)(find_plane(plan, phase) * plan->plane_size) +
                         shift[0] * (ptrdiff_t)plan->pitch + shift[1];
    for (int64_t y = low[0]; y < high[0] && low[1] < high[1]; y++)
        set_range(plan, tap, (size_t)y * plan->pitch + (size_t)low[1],
                  (size_t)y * plan->pitch + (size_t)high[1], lanes);
}

static enum lbw_status allocate(struct lbw_conv_plan *plan, struct lbw_error *err)
{
    if (plan->num_taps > MAX_TAPS || plan->num_tiles > MAX_MASKS / plan->num_taps)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "a kernel of %zu taps", plan->num_taps);
    plan->offsets = calloc(plan->num_taps, sizeof *plan->offsets);
    plan->phases = calloc(plan->num_taps, 2 * sizeof *plan->phases);
    plan->masks = calloc(plan->num_tiles * plan->num_taps + 1, sizeof *plan->masks);
    return plan->offsets && plan->phases && plan->masks ? LBW_OK : lbw_fail_memory(err);
}

enum lbw_status lbw_conv_plan_new(struct lbw_conv_plan **out, const struct lbw_conv_params *p,
                                  const int64_t in[2], size_t lanes, struct lbw_error *err)
{
    struct lbw_conv_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return lbw_fail_memory(err);
    enum lbw_status status;
    LBW_OR_OUT(lbw_conv_output(plan->out, p, in, err));
    int64_t width = ceil_div(in[1], p->strides[1]);
    plan->in[0] = in[0];
    plan->in[1] = in[1];
    plan->pitch = (size_t)(plan->out[1] > width ? plan->out[1] : width);
    plan->is_in_place =
        p->strides[0] == 1 && p->strides[1] == 1 && plan->pitch == (size_t)in[1];
    plan->plane_size = plan->pitch * (size_t)ceil_div(in[0], p->strides[0]);
    plan->num_positions = (size_t)plan->out[0] * plan->pitch;
    plan->num_tiles = (plan->num_positions + lanes - 1) / lanes;
    plan->num_taps = (size_t)(p->kernel[0] * p->kernel[1]);
    LBW_OR_OUT(allocate(plan, err));
    for (int64_t ky = 0; ky < p->kernel[0]; ky++)
        for (int64_t kx = 0; kx < p->kernel[1]; kx++)
            place_tap(plan, p, ky, kx, lanes);
    *out = plan;
    plan = NULL;
out:
    lbw_conv_plan_free(&plan);
    return status;
}

void lbw_conv_plan_free(struct lbw_conv_plan **plan)
{
    if (!*plan)
        return;
    free((*plan)->offsets);
    free((*plan)->phases);
    free((*plan)->masks);
    free(*plan);
    *plan = NULL;
}
