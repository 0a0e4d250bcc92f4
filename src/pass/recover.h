/* SPDX-License-Identifier: MIT */
/* Codes and steps of weights that are on a grid already, without quantizing anything. */
#ifndef LBW_SRC_PASS_RECOVER_H
#define LBW_SRC_PASS_RECOVER_H

#include "pass/encode.h"

/* Of a scale that runs along an axis of length 1, whichever that is. */
#define LBW_ANY_AXIS (-2)

/* Whether some grid has all of these numbers, as the codes of `encoded` stand for them. */
bool lbw_recover_has_grid(const float *numbers, size_t n, const struct lbw_encoded *encoded);

/*
 * The codes of an encoded weight as they stand in the model. For dq, which does not name its
 * grid, the one with the fewest levels that has all of them. *grid is NULL (and *out untouched)
 * where the integers are on none of ours. out->axis is the scales', -1 for a
 * scalar.
 */
enum lbw_status lbw_recover_encoded(struct lbw_codes *out, const struct lbw_grid **grid,
                                    struct lbw_model *model, const struct lbw_encoded *encoded,
                                    struct lbw_error *err);

/*
 * The grid with the fewest levels, one step for all before one per channel, that gives exactly
 * these values; sets the item's grid and group. The step of a channel is as small as the grid
 * allows, that of a channel of zeros 1. The grid stays NULL where the values are on none.
 */
enum lbw_status lbw_recover_values(struct lbw_codes *out, struct lbw_weight *weight,
                                   const float *values, struct lbw_error *err);

#endif
