/* SPDX-License-Identifier: MIT */
/* The closing fit of a model's last layers: restores the level of the float model's scores. */
#ifndef LBW_SRC_PASS_CLOSING_H
#define LBW_SRC_PASS_CLOSING_H

#include "pass/reconstruct.h"

/*
 * A least-squares fit shrinks: it leaves out what it cannot predict, so that scores are lower
 * than before and boxes fall below a threshold (docs/search.md). This gives the scores of a
 * last layer the mean and amplitude that they have in the float model, by one factor on all its
 * steps and a shift of each bias. Scores are the inputs of a Sigmoid, counted where they are
 * probable in either model, or of a Softmax. Codes do not change. Does nothing for a weight
 * that calibration could not reach, with several consumers, without a bias of its own, or with
 * other outputs than scores: a box is best where its error is least.
 */
enum lbw_status lbw_close_weight(struct lbw_codes *codes, struct lbw_calibrator *calibrator,
                                 const struct lbw_weight *weight, struct lbw_error *err);

#endif
