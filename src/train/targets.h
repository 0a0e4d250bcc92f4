/* SPDX-License-Identifier: MIT */
/* The tensors at which teacher and student are compared. */
#ifndef LBW_SRC_TRAIN_TARGETS_H
#define LBW_SRC_TRAIN_TARGETS_H

#include "pass/plan.h"

/* Names belong to the model, the list to the arena. */
struct lbw_targets {
    const char **names;
    size_t num;
    size_t num_taps; /* this many at the end are taps */
};

/*
 * The model's outputs (`of_outputs`) or the ends of its last layers, as lbw_grad_targets()
 * finds them; then at most `num_taps` outputs of convolutions with planned weights that these
 * are computed from, evenly along the trunk.
 */
enum lbw_status lbw_targets_find(struct lbw_targets *out, struct lbw_arena *arena,
                                 const struct lbw_plan *plan, bool of_outputs, size_t num_taps,
                                 struct lbw_error *err);

#endif
