/* SPDX-License-Identifier: MIT */
/* Projection of a group of weights onto a grid (arXiv 1612.06052, section 2). */
#ifndef LBW_SRC_NUM_PROJECT_H
#define LBW_SRC_NUM_PROJECT_H

#include <stdbool.h>

#include <lbw/grid.h>

#include "base/error.h"

struct lbw_quantize_params {
    enum lbw_method method;
    enum lbw_scale scale;
    float mu; /* THRESHOLD only: µ as a share of max|w|; the paper takes 0.75 */
};

/* All grids; *num receives how many. */
const struct lbw_grid *lbw_grid_table(size_t *num);

/* Whether it points into the table, not to a copy or a grid of the caller's making. */
bool lbw_grid_is_known(const struct lbw_grid *grid);

/* False when a value is NaN or infinite. */
bool lbw_all_finite(const float *w, size_t n);

/*
 * Projects n weights onto the grid: codes[i] in [0, num_levels), *step > 0 so that
 * step × levels[code] is nearest to w[i] (a tie goes to the larger magnitude) and Σ(q - w)² is
 * least over step (all powers of two for POW2; for REAL, a local optimum found by refitting
 * from several fractional octaves, never worse than POW2). A group of zeros gets zero codes and
 * step 1. THRESHOLD keeps the codes of the paper's scheme and only its step is fitted. The
 * step may be denormal; step × the largest level is finite. Results depend on nothing but the
 * arguments. LBW_ERR_ARGUMENT: TERNARY with another grid than b = 2, THRESHOLD with a two-term
 * grid or b = 2, µ not in (0, 1.5), n = 0, or a value that is not finite. LBW_ERR_MEMORY:
 * TERNARY sorts a copy. On failure *step is untouched, codes may have been written.
 */
enum lbw_status lbw_quantize(uint8_t *codes, float *step, const float *w, size_t n,
                             const struct lbw_grid *grid,
                             const struct lbw_quantize_params *params, struct lbw_error *err);

/*
 * The nearest level of every weight for a given step; ties to the larger magnitude. Exact for
 * every step > 0: |w| is compared with the real midpoints of step × levels, unrounded.
 */
void lbw_nearest(uint8_t *codes, const float *w, size_t n, const struct lbw_grid *grid,
                 float step);

/* out[i] = step × levels[codes[i]], one float32 multiply: every encoding decodes to this. */
void lbw_dequantize(float *out, const uint8_t *codes, size_t n, const struct lbw_grid *grid,
                    float step);

/* Σ(step × level - w)² and Σw² in double. */
void lbw_projection_error(double *error, double *energy, const float *w, const uint8_t *codes,
                          size_t n, const struct lbw_grid *grid, float step);

/*
 * The nearest float with 11 significant bits: what an IEEE half holds, within its normal range.
 * Powers of two are unchanged; the result is finite.
 */
float lbw_round_step(float step);

#endif
