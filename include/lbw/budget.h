/* SPDX-License-Identifier: MIT */
/* Choosing the grid of each weight by what its rounding costs at the outputs. */
#ifndef LBW_BUDGET_H
#define LBW_BUDGET_H

#include <lbw/convert.h>
#include <lbw/profile.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What a plan may cost. The first of bits, size and loss that is not 0 applies.
 * Zero-initialised: the smallest plan within a predicted loss of 1.
 */
struct lbw_budget_params {
    double bits;   /* per converted weight, codes and scales; 0: not given */
    uint64_t size; /* bytes of the packed model file; 0: not given */
    double loss;   /* the predicted loss allowed, as in struct lbw_budget; 0: 1 */
    const struct lbw_calibrate_params *calibrate; /* NULL: generated images */
    const struct lbw_profile *profile;            /* NULL: unknown detector */
    size_t num_samples; /* of the calibration set to measure with; 0: 8 */
    lbw_progress_fn progress;
    void *user;
};

/* The choice. */
struct lbw_budget {
    double loss;   /* predicted, relative to two terms of 4 bits everywhere; NaN: unknown */
    double bits;   /* per converted weight, codes and scales */
    bool by_boxes; /* the loss is that of boxes; else of the last layers' outputs */
    size_t num_unknown; /* weights whose effect could not be measured; they get grid 4x2 */
    char reason[256];   /* why not, for one of them; else "" */
};

/*
 * Chooses the grid of every weight that the plan converts, except those that a rule or a plan
 * file names. Gradients measure what noise in each layer's output costs at the outputs of the
 * model, and what each grid changes there (docs/search.md); where no gradient reaches, the
 * weight is rounded alone and the model run. Fills predicted_loss and packed_bytes of the
 * plan's items. LBW_ERR_ARGUMENT when no plan meets the budget, with the least size in the
 * message; LBW_ERR_RUNTIME without ONNX Runtime; LBW_ERR_UNSUPPORTED when nothing can be
 * measured. The plan is unchanged on failure. *out may be NULL.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_plan_choose_bits(struct lbw_budget *out, struct lbw_plan *plan,
                     const struct lbw_budget_params *params, struct lbw_error *err);

/*
 * Measures what noise in each activation of the plan (lbw_plan_edge()) costs at the outputs, in
 * the unit of struct lbw_budget's loss, so that lbw_convert() fits ranges by it and leaves
 * those float whose rounding costs too much. Only calibrate, profile, num_samples, progress and
 * user of `params` count, which may be NULL. Does nothing after lbw_plan_choose_bits(), which
 * has measured it already. A model without gradients is not an error: lbw_convert() then
 * decides by the activations alone.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_plan_weigh_edges(struct lbw_plan *plan, const struct lbw_budget_params *params,
                     struct lbw_error *err);

#ifdef __cplusplus
}
#endif

#endif
