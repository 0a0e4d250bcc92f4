/* SPDX-License-Identifier: MIT */
/*
 * What rounding one weight costs at the outputs, by running the model with that weight rounded:
 * for weights that no gradient reaches.
 */
#ifndef LBW_SRC_SEARCH_PROBE_H
#define LBW_SRC_SEARCH_PROBE_H

#include <lbw/convert.h>
#include <lbw/profile.h>

#include "pass/plan.h"

struct lbw_probe_params {
    const struct lbw_calibrate_params *calibrate; /* NULL: zero-initialised */
    const struct lbw_profile *profile;            /* NULL: outputs count by their variance */
    const struct lbw_grid *grid;                  /* to round to, without calibration */
    lbw_progress_fn progress;
    void *user;
};

/*
 * losses[i] is that of weights[i] (indices into the plan), per sample. NaN if it cannot be
 * measured: the runtime cannot run the model, the outputs change their shapes, or the weight is
 * not stored in the model. Leaves the model unchanged. LBW_ERR_INTERRUPTED.
 */
enum lbw_status lbw_probe_weights(double *losses, const struct lbw_plan *plan,
                                  const size_t *weights, size_t num,
                                  const struct lbw_probe_params *params, struct lbw_error *err);

#endif
