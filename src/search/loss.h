/* SPDX-License-Identifier: MIT */
/* From sensitivities to losses: what a grid costs a weight, and the unit of all losses. */
#ifndef LBW_SRC_SEARCH_LOSS_H
#define LBW_SRC_SEARCH_LOSS_H

#include "search/sensitivity.h"

/* Losses are relative to that of all planned weights on this grid. */
#define LBW_LOSS_GRID "4x2"

/*
 * The loss per sample that weight `i` of the plan is predicted to cost on the grid, rounded
 * without calibration; NaN where that is not known; *square receives what it changes, squared
 * and summed. `values` are its values, `converted` as many to work with.
 */
enum lbw_status lbw_loss_measure(double *out, double *square,
                                 const struct lbw_sensitivity *sensitivity,
                                 const struct lbw_plan *plan, size_t i,
                                 const struct lbw_grid *grid, const float *values,
                                 float *converted, struct lbw_error *err);

/* The sum over all planned weights whose loss on LBW_LOSS_GRID is known; 0: of none. */
enum lbw_status lbw_loss_unit(double *out, const struct lbw_sensitivity *sensitivity,
                              const struct lbw_plan *plan, struct lbw_error *err);

/* Has lbw_convert() know what noise in each activation of the plan costs, in that unit. */
enum lbw_status lbw_loss_of_edges(struct lbw_plan *plan,
                                  const struct lbw_sensitivity *sensitivity,
                                  struct lbw_error *err);

#endif
