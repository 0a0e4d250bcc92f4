/* SPDX-License-Identifier: MIT */
/* Codes and steps of weights that are already on a grid, without quantizing. */
#ifndef LBW_SRC_PASS_RECOVER_H
#define LBW_SRC_PASS_RECOVER_H

#include "pass/encode.h"

/* The axis of a scale that runs along any axis of length 1. */
#define LBW_ANY_AXIS (-2)

/* Whether some grid has all of these numbers, under the scales of `encoded`. */
bool lbw_recover_has_grid(const float *numbers, size_t n, const struct lbw_encoded *encoded);

/*
 * The codes of an encoded weight as stored in the model. For dq, which does not name its grid,
 * the one with the fewest levels that has all of them. *grid is NULL (and *out untouched) if
 * the integers are on none of our grids. out->axis is that of the scales, -1 for a scalar.
 */
enum lbw_status lbw_recover_encoded(struct lbw_codes *out, const struct lbw_grid **grid,
                                    struct lbw_model *model, const struct lbw_encoded *encoded,
                                    struct lbw_error *err);

/*
 * The grid with the fewest levels, with one step in all rather than per channel, that gives
 * exactly these values; sets the item's grid and group. The step of a channel is as small as
 * the grid allows, that of a channel of zeros 1. The grid stays NULL if the values are on none.
 */
enum lbw_status lbw_recover_values(struct lbw_codes *out, struct lbw_weight *weight,
                                   const float *values, struct lbw_error *err);

#endif
