/* SPDX-License-Identifier: MIT */
/* Integer least squares on a grid: the rounding methods behind lbw_reconstruct(). */
#ifndef LBW_SRC_NUM_ROUND_H
#define LBW_SRC_NUM_ROUND_H

#include <lbw/grid.h>

#include <stddef.h>

/* Rows are rounded in blocks of this many lanes; one lane is one row with one step. */
#define LBW_LANES 32

/* The most columns that the beam search takes. */
#define LBW_BEAM_MAX_K 32

/*
 * minimise (q - target) H (q - target)ᵀ over q = step × levels, with H = Lᵀ L, L lower
 * triangular and row j of L at l[j·K]. Level values as float, ascending.
 */
struct lbw_round {
    size_t k;
    const float *l;
    size_t num_levels;
    const float *levels;
};

/*
 * Error feedback (Babai's nearest plane, the GPTQ recursion): for each lane r, codes[j·LANES +
 * r] for column j, given target[j·LANES + r] and step[r]; cost[r] receives the objective.
 * `scratch` takes K × LANES floats.
 */
void lbw_round_feedback(uint8_t *codes, float *cost, const struct lbw_round *round,
                        const float *target, const float *step, float *scratch);

/*
 * Beam search with LANES survivors for one row: codes[j], target[j]; returns the objective.
 * `scratch` takes 2 × K × LANES floats.
 */
float lbw_round_beam(uint8_t *codes, const struct lbw_round *round, const float *target,
                     float step, float *scratch);

/*
 * Coordinate descent on the same objective from codes[j], by the full H (K × K, row-major,
 * symmetric), at most `sweeps` passes; returns the objective. `scratch` takes 2 × K doubles.
 */
double lbw_round_descend(uint8_t *codes, const struct lbw_round *round, const float *h,
                         const float *target, float step, int sweeps, double *scratch);

/* The step that is best for these codes, Σ l H t / Σ l H l, or `step` when that is not > 0. */
float lbw_round_refit(const uint8_t *codes, const struct lbw_round *round, const float *h,
                      const float *target, float step, double *scratch);

#endif
