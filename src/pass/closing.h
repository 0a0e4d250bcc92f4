/* SPDX-License-Identifier: MIT */
/* The closing fit of a model's last layers: scores as high as the float model's. */
#ifndef LBW_SRC_PASS_CLOSING_H
#define LBW_SRC_PASS_CLOSING_H

#include "pass/reconstruct.h"

/*
 * A least-squares fit shrinks: what it cannot predict it leaves out, so that scores come out
 * lower than they were, and boxes fall below a user's threshold (LBW.md, section 6). This gives
 * the scores of one of the last layers the mean and the amplitude that they have in the float
 * model, by one factor on all its steps and a shift of each bias. Scores are what a Sigmoid
 * reads, which count where they are probable in either model, or a Softmax. Codes stay. Does
 * nothing for a weight that calibration could not reach, that has several consumers, no bias of
 * its own or other outputs than scores: a box is nearest where its error is least.
 */
enum lbw_status lbw_close_weight(struct lbw_codes *codes, struct lbw_calibrator *calibrator,
                                 const struct lbw_weight *weight, struct lbw_error *err);

#endif
