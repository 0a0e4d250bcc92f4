/* SPDX-License-Identifier: MIT */
/* Thresholds between levels, exact as floats. */
#ifndef LBW_SRC_NUM_DECISION_H
#define LBW_SRC_NUM_DECISION_H

#include "num/kernels.h"

/* The nearest levels of step × grid, ties to the larger magnitude. */
void lbw_decision_nearest(struct lbw_decision *out, const struct lbw_grid *grid, float step);

/* The same for another step; `decision` was made by lbw_decision_nearest(). */
void lbw_decision_set_step(struct lbw_decision *decision, float step);

/*
 * The paper's scheme (arXiv 1612.06052 §2, b >= 3): µ and above is the top level, µ/2^t …
 * µ/2^(t-1) the t-th below it, and one third of the last threshold still the lowest.
 */
void lbw_decision_threshold(struct lbw_decision *out, const struct lbw_grid *grid, double mu);

#endif
