/* SPDX-License-Identifier: MIT */
/* Better codes from what a layer sees. */
#ifndef LBW_SRC_PASS_RECONSTRUCT_H
#define LBW_SRC_PASS_RECONSTRUCT_H

#include "pass/activations.h"
#include "pass/codes.h"
#include "pass/plan.h"

/* The layer's output, or without calibration the weight itself: energies of signal and error.
 */
struct lbw_layer_stats {
    bool is_reconstructed;
    double energy, error_before, error_after;
    char why[256]; /* not reconstructed: what calibration met with, or "" */
};

/*
 * Better codes for one weight from what its consumers see. On entry `codes`
 * holds the projection; when the weight's inputs are out of reach it is left as it is and
 * stats->is_reconstructed is false. Corrected biases are written into the model.
 */
struct lbw_calibrator {
    struct lbw_activations *activations;
    const struct lbw_plan *plan;
    double damping;
    uint64_t seed; /* of sampled positions; advanced from weight to weight */
    struct lbw_watch *watch;
};
enum lbw_status lbw_reconstruct_weight(struct lbw_codes *codes, struct lbw_layer_stats *stats,
                                       struct lbw_calibrator *calibrator,
                                       const struct lbw_weight *weight, const float *values,
                                       struct lbw_error *err);

/* Why calibration cannot look at what reads the weight, or NULL. */
const char *lbw_weight_out_of_reach(const struct lbw_weight *weight);

/* Fills item.fit and item.fit_bytes for calibration with that --memory. */
void lbw_weight_plan_fit(struct lbw_weight *weight, uint64_t memory);

/* Makes the converted side of the activations use these codes and biases from now on. */
enum lbw_status lbw_weight_show(struct lbw_calibrator *calibrator,
                                const struct lbw_weight *weight, const struct lbw_codes *codes,
                                struct lbw_error *err);

#endif
