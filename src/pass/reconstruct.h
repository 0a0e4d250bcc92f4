/* SPDX-License-Identifier: MIT */
/* Better codes from the inputs of a layer. */
#ifndef LBW_SRC_PASS_RECONSTRUCT_H
#define LBW_SRC_PASS_RECONSTRUCT_H

#include "pass/activations.h"
#include "pass/codes.h"
#include "pass/plan.h"

/* Energies of signal and error: of the layer's output, or without calibration of weights. */
struct lbw_layer_stats {
    bool is_reconstructed;
    double energy, error_before, error_after;
    char why[256]; /* if not reconstructed: the obstacle that calibration met, or "" */
};

/*
 * Finds better codes for one weight from the inputs of its consumers. On entry `codes` holds
 * the projection; if the inputs are out of reach, it does not change and
 * stats->is_reconstructed is false. Corrected biases are written into the model.
 */
struct lbw_calibrator {
    struct lbw_activations *activations;
    const struct lbw_plan *plan;
    double damping; /* 0: by default */
    uint64_t seed;  /* of sampled positions; advanced from weight to weight */
    struct lbw_watch *watch;
};
enum lbw_status lbw_reconstruct_weight(struct lbw_codes *codes, struct lbw_layer_stats *stats,
                                       struct lbw_calibrator *calibrator,
                                       const struct lbw_weight *weight, const float *values,
                                       struct lbw_error *err);

/* Why calibration cannot see the inputs of the weight's readers, or NULL. */
const char *lbw_weight_out_of_reach(const struct lbw_weight *weight);

/* Fills item.fit and item.fit_bytes for calibration with that much --memory. */
void lbw_weight_plan_fit(struct lbw_weight *weight, uint64_t memory);

/*
 * Makes the converted side of the activations use these codes, or trained values, and biases
 * from now on.
 */
enum lbw_status lbw_weight_show(struct lbw_calibrator *calibrator,
                                const struct lbw_weight *weight, const struct lbw_codes *codes,
                                struct lbw_error *err);

#endif
