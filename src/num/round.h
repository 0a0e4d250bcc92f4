/* SPDX-License-Identifier: MIT */
/* Integer least squares on a grid: the rounding methods of lbw_reconstruct(). */
#ifndef LBW_SRC_NUM_ROUND_H
#define LBW_SRC_NUM_ROUND_H

#include <lbw/grid.h>

#include <stdbool.h>
#include <stddef.h>

/* Columns are rounded in this many lanes; one lane is one row with one step. */
#define LBW_LANES 32

/* The most columns that the beam search takes. */
#define LBW_BEAM_MAX_K 32

/* The levels of a grid as float, ascending, and the midpoints between them. */
struct lbw_levels {
    size_t num;
    float values[LBW_MAX_LEVELS];
    float middles[LBW_MAX_LEVELS];
};

void lbw_levels_of(struct lbw_levels *out, const struct lbw_grid *grid);

/* minimise ‖U (q - target)‖² over q = step × levels, K columns; row i of U at u[i·stride]. */
struct lbw_triangle {
    size_t k, stride;
    const float *u; /* upper triangular */
    const struct lbw_levels *levels;
};

/*
 * Error feedback (Babai's nearest plane, the GPTQ recursion) from the last column to the first:
 * for each lane r, codes[i·num + r] and errors[i·num + r] = q - target for column i, given
 * pulled[i·num + r], what columns beyond these did to row i of U (q - target), target[i·num +
 * r] and step[r]; cost[r] grows by the lane's part of the objective. `num` is the distance of
 * rows.
 */
void lbw_round_feedback(uint8_t *codes, float *errors, float *cost,
                        const struct lbw_triangle *triangle, const float *pulled,
                        const float *target, const float *step, size_t num);

/*
 * cost[r] += Σ weight[i] (q - target)² of the nearest levels, for one row with LANES steps.
 */
void lbw_round_nearest_cost(float *cost, const struct lbw_levels *levels, const float *target,
                            const float *weight, size_t k, const float *step);

/*
 * Beam search with LANES survivors for one row: codes[i], target[i]; returns the objective, or
 * INFINITY and no codes when it would not be below `bound`. `scratch` takes 2 × K × LANES
 * floats.
 */
float lbw_round_beam(uint8_t *codes, const struct lbw_triangle *triangle, const float *target,
                     float step, float bound, float *scratch);

/*
 * One pass of coordinate descent, from the last column to the first, over K columns with
 * gradient (q - target) H and H = block (row i at block[i·stride]); gradient, codes and error =
 * q - target follow. delta[i] receives the change of column i, or 0. Returns how many changed.
 */
size_t lbw_round_descend(uint8_t *codes, float *error, float *gradient, float *delta,
                         const struct lbw_levels *levels, const float *block, size_t k,
                         size_t stride, const float *target, float step);

#endif
