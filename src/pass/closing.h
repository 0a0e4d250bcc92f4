/* SPDX-License-Identifier: MIT */
/* The closing fit of a model's last layers: scores as high as the float model's. */
#ifndef LBW_SRC_PASS_CLOSING_H
#define LBW_SRC_PASS_CLOSING_H

#include "pass/reconstruct.h"

/*
 * A least-squares fit shrinks: what it cannot predict it leaves out, so that scores come out
 * lower than they were, and boxes fall below a user's threshold (LBW.md, section 6). This gives
 * the outputs of one of the last layers the mean and the amplitude that they have in the float
 * model, by one factor on all its steps and a shift of each bias; scores (what a Sigmoid reads)
 * count where they are probable in either model. Codes stay. Does nothing for a weight that
 * calibration could not reach, that has several consumers, or that has no bias of its own.
 */
enum lbw_status lbw_close_weight(struct lbw_codes *codes, struct lbw_calibrator *calibrator,
                                 const struct lbw_weight *weight, struct lbw_error *err);

#endif
