/* SPDX-License-Identifier: MIT */
/* How much the outputs' values count: the metric in which losses are predicted. */
#ifndef LBW_SRC_SEARCH_METRIC_H
#define LBW_SRC_SEARCH_METRIC_H

#include "detect/decode.h"

/*
 * Replaces the importance of each value of the `num` outputs by √metric. Scores that
 * are probabilities count by their Fisher information.
 */
void lbw_metric_weigh(struct lbw_importance *importance, const struct lbw_array *outputs,
                      size_t num);

/* Without a profile: the factor of one of `num` outputs over samples, so that a constant output
 * at the mean has a loss of 1 / num. 0 if the values do not vary. */
double lbw_metric_scale(const struct lbw_array *const *values, size_t num_samples, size_t num);

#endif
