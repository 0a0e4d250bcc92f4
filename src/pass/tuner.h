/* SPDX-License-Identifier: MIT */
/*
 * Who may still change codes once all weights have theirs. src/train implements it; src/pass
 * never knows how.
 */
#ifndef LBW_SRC_PASS_TUNER_H
#define LBW_SRC_PASS_TUNER_H

#include "pass/codes.h"

struct lbw_tuner {
    const struct lbw_plan *plan; /* whose weights it trains; held */
    /*
     * `codes` has one entry per weight of the plan, NULL codes for those left alone; the model
     * still holds its float weights. Codes, steps and biases may change; is_tuned[i] is set for
     * weights where they were learned.
     */
    enum lbw_status (*tune)(struct lbw_tuner *self, struct lbw_codes *codes, bool *is_tuned,
                            struct lbw_error *err);
};

#endif
