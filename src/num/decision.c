/* SPDX-License-Identifier: MIT */
/* Thresholds between levels, exact as floats. */
#include "num/decision.h"

#include <math.h>
#include <string.h>

#include "base/bits.h"

/* The bits of the least float that is not below x > 0: |w| >= x just when it reaches that. */
static uint32_t bits_not_below(double x)
{
    float rounded = (float)x;
    return lbw_float_bits(rounded) + ((double)rounded < x);
}

static void begin(struct lbw_decision *out, const struct lbw_grid *grid)
{
    memset(out, 0, sizeof *out);
    out->num = (grid->num_levels - 1) / 2;
    out->zero_code = grid->zero_code;
    out->is_one_term = grid->terms == 1;
    for (int i = 0; i <= out->num; i++)
        out->magnitudes[i] = (float)grid->levels[grid->zero_code + i];
    for (int i = out->num; i < LBW_MAX_MAGNITUDES; i++)
        out->thresholds[i] = INT32_MAX;
}

/* Doubling adds one to the exponent field, as long as that is neither 0 nor full. */
static void find_octaves(struct lbw_decision *out)
{
    out->is_octaves =
        out->is_one_term && (out->num < 2 || (out->thresholds[1] >= 0x00800000 &&
                                              out->thresholds[out->num - 1] < 0x7f800000));
}

void lbw_decision_set_step(struct lbw_decision *decision, float step)
{
    for (int i = 0; i < decision->num; i++) {
        /* 24 + 17 bits: exact in double */
        double levels = (double)decision->magnitudes[i] + (double)decision->magnitudes[i + 1];
        decision->thresholds[i] = bits_not_below(0.5 * (double)step * levels);
    }
    find_octaves(decision);
}

void lbw_decision_nearest(struct lbw_decision *out, const struct lbw_grid *grid, float step)
{
    begin(out, grid);
    lbw_decision_set_step(out, step);
}

void lbw_decision_threshold(struct lbw_decision *out, const struct lbw_grid *grid, double mu)
{
    begin(out, grid);
    for (int i = 1; i < out->num; i++)
        out->thresholds[i] = bits_not_below(ldexp(mu, i + 1 - out->num));
    out->thresholds[0] = bits_not_below(ldexp(mu, 2 - out->num) / 3);
    find_octaves(out);
}
