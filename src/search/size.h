/* SPDX-License-Identifier: MIT */
/* The size of the file that a plan gives, by encoding a copy of the model without calibration.
 */
#ifndef LBW_SRC_SEARCH_SIZE_H
#define LBW_SRC_SEARCH_SIZE_H

#include "pass/plan.h"

/* A copy of a plan's model, as a file in memory. Zero-initialise; release it in any case. */
struct lbw_sizer {
    void *data;
    size_t size;
    uint64_t biases; /* bytes that calibration may add, of Conv nodes without a bias */
};

/* Fails where the model is too large for one file; the plan's model stays as it is. */
enum lbw_status lbw_sizer_init(struct lbw_sizer *out, const struct lbw_plan *plan,
                               struct lbw_error *err);
void lbw_sizer_release(struct lbw_sizer *sizer);

/* Bytes of the packed file with these grids (NULL: float), one for each weight of the plan. */
enum lbw_status lbw_sizer_measure(uint64_t *out, const struct lbw_sizer *sizer,
                                  const struct lbw_plan *plan,
                                  const struct lbw_grid *const *grids, struct lbw_error *err);

#endif
