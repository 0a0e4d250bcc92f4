/* SPDX-License-Identifier: MIT */
/*
 * What noise in a layer's output costs at the model's outputs: the Gauss-Newton diagonal of the
 * loss, per output channel, by gradients of randomly signed outputs.
 */
#ifndef LBW_SRC_SEARCH_SENSITIVITY_H
#define LBW_SRC_SEARCH_SENSITIVITY_H

#include <lbw/convert.h>
#include <lbw/profile.h>

#include "pass/plan.h"

/* One node that reads a planned weight. */
struct lbw_layer_gain {
    bool is_known;    /* else no gradient reaches the node's output; arrays are NULL */
    size_t num_out;   /* output channels */
    size_t num_in;    /* input channels of the node, all groups together */
    double *gain;     /* num_out: loss per sample, per mean square of noise in the channel */
    double *variance; /* num_in: of the node's input around its channel's mean */
};

/* What noise in one activation of the plan (lbw_plan_edge()) costs, as above. */
struct lbw_edge_gain {
    size_t num; /* channels; 0: no gradient reaches it */
    double *gain;
};

struct lbw_sensitivity {
    size_t num_weights;            /* of the plan */
    struct lbw_layer_gain **gains; /* per weight, its consumers; NULL for weights not planned */
    size_t *num_gains;
    size_t num_edges;
    struct lbw_edge_gain *edges; /* per edge of the plan */
    bool by_boxes;      /* the loss is that of boxes; else of the last layers' outputs */
    size_t num_unknown; /* planned weights with a consumer whose effect is unknown */
    char reason[256];   /* the reason for one of them; "" */
};

struct lbw_sensitivity_params {
    const struct lbw_calibrate_params *calibrate; /* NULL: zero-initialised */
    const struct lbw_profile *profile;            /* NULL: unknown detector */
    size_t num_samples;                           /* 0: 8 */
    size_t num_draws;                             /* of signs, per sample; 0: 1 */
    lbw_progress_fn progress;
    void *user;
};

/*
 * Runs the model of the plan forward and backward. LBW_ERR_RUNTIME without ONNX Runtime,
 * LBW_ERR_UNSUPPORTED where the model has no differentiable end, LBW_ERR_INTERRUPTED when
 * `progress` says so. Zero-initialise *out; release it in any case.
 */
enum lbw_status lbw_sensitivity_measure(struct lbw_sensitivity *out,
                                        const struct lbw_plan *plan,
                                        const struct lbw_sensitivity_params *params,
                                        struct lbw_error *err);

/* As if no gradient reached any weight, for this reason. */
void lbw_sensitivity_forget(struct lbw_sensitivity *sensitivity, const struct lbw_plan *plan,
                            const char *reason);
void lbw_sensitivity_release(struct lbw_sensitivity *sensitivity);

#endif
