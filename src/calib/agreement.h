/* SPDX-License-Identifier: MIT */
/* How far the boxes of the converted model agree with those of the float model. */
#ifndef LBW_SRC_CALIB_AGREEMENT_H
#define LBW_SRC_CALIB_AGREEMENT_H

#include <lbw/profile.h>

#include "calib/stages.h"

/*
 * Runs both models to their outputs, over all samples of the stages, and compares the boxes
 * that the profile decodes: 1 if all are the same, 0 if none is. Sure boxes count most.
 * LBW_ERR_UNSUPPORTED if no boxes are found there, or too few to go by.
 */
enum lbw_status lbw_agreement_measure(double *out, struct lbw_activations *stages,
                                      const struct lbw_model *model,
                                      const struct lbw_feed *feed,
                                      const struct lbw_profile *profile, struct lbw_error *err);

#endif
