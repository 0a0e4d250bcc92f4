/* SPDX-License-Identifier: MIT */
/* A file from which a long calibration resumes. */
#ifndef LBW_SRC_PASS_STATE_H
#define LBW_SRC_PASS_STATE_H

#include <lbw/convert.h>

#include "pass/reconstruct.h"

struct lbw_state;

/*
 * Opens params->state: reads the layers of an earlier run with the same model, plan and
 * calibration, and appends new ones. *out is NULL if params->state is. LBW_ERR_ARGUMENT if the
 * file belongs to another run, LBW_ERR_FORMAT if it is not a state file.
 */
enum lbw_status lbw_state_open(struct lbw_state **out, const struct lbw_plan *plan,
                               const struct lbw_convert_params *params, struct lbw_error *err);
void lbw_state_close(struct lbw_state **state);

/* Takes codes, statistics and corrected biases of a weight from the file if it has them. */
enum lbw_status lbw_state_restore(bool *found, struct lbw_state *state, struct lbw_codes *codes,
                                  struct lbw_layer_stats *stats,
                                  struct lbw_calibrator *calibrator,
                                  const struct lbw_weight *weight, struct lbw_error *err);

/* Appends and syncs one finished weight. */
enum lbw_status lbw_state_append(struct lbw_state *state, const struct lbw_codes *codes,
                                 const struct lbw_layer_stats *stats,
                                 const struct lbw_calibrator *calibrator,
                                 const struct lbw_weight *weight, struct lbw_error *err);

#endif
