/* SPDX-License-Identifier: MIT */
/*
 * The interface of training, which may change codes once all weights have theirs. src/train
 * implements it; src/pass does not know how.
 */
#ifndef LBW_SRC_PASS_TUNER_H
#define LBW_SRC_PASS_TUNER_H

#include "pass/codes.h"

struct lbw_tuner {
    const struct lbw_plan *plan; /* the plan whose weights it trains; held */
    /*
     * `codes` has one entry per weight of the plan, with NULL codes for those that are kept;
     * the model still has its float weights. May change codes, steps and biases, and sets
     * is_tuned[i] for weights that it trained.
     */
    enum lbw_status (*tune)(struct lbw_tuner *self, struct lbw_codes *codes, bool *is_tuned,
                            struct lbw_error *err);
};

#endif
