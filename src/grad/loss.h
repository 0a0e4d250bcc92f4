/* SPDX-License-Identifier: MIT */
/* Terms of the loss, and where the backward pass starts. */
#ifndef LBW_SRC_GRAD_LOSS_H
#define LBW_SRC_GRAD_LOSS_H

#include "grad/tape.h"

/* One target, and the names of the graph's inputs for it. */
struct lbw_loss {
    const char *target, *wanted, *factor;
    const char *score; /* NULL: no scores */
};

/*
 * All but lbw_loss_pull() return the term, a scalar; *gradient receives its derivative in the
 * target.
 */

/* Σ factor·target */
const char *lbw_loss_linear(struct lbw_tape *tape, const struct lbw_loss *loss,
                            const char **gradient);

/* Σ factor·(target - wanted)² */
const char *lbw_loss_squares(struct lbw_tape *tape, const struct lbw_loss *loss,
                             const char **gradient);

/*
 * -Σ score·(wanted·ln p + (1 - wanted)·ln(1 - p)), where p is the target drawn into
 * LBW_GRAD_LEAST_SCORE … 1 - it.
 */
const char *lbw_loss_scores(struct lbw_tape *tape, const struct lbw_loss *loss,
                            const char **gradient);

/* Squares and scores in one operator of LBW_GRAD_DOMAIN. */
const char *lbw_loss_both(struct lbw_tape *tape, const struct lbw_loss *loss,
                          const char **gradient);

/* Returns the derivative of Σ factor·(target - wanted)² alone, with a factor per channel. */
const char *lbw_loss_pull(struct lbw_tape *tape, const struct lbw_loss *loss);

#endif
