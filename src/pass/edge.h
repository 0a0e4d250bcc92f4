/* SPDX-License-Identifier: MIT */
/*
 * Edges: the activations between layers that may have 8 bits. The graph determines which
 * tensors these are (lbw_edges_find()), the activations their ranges (lbw_edges_fit(),
 * src/pass/ranges.c).
 */
#ifndef LBW_SRC_PASS_EDGE_H
#define LBW_SRC_PASS_EDGE_H

#include "num/range.h"
#include "pass/activations.h"
#include "pass/codes.h"
#include "pass/plan.h"

/* Where the range of an edge comes from. */
enum lbw_edge_rule {
    LBW_EDGE_FITTED,
    LBW_EDGE_UNIT,   /* of a sigmoid: 0 … 1 */
    LBW_EDGE_HANDED, /* its producer only moves values: the range of its input */
};

/* One planned edge. `item` comes first: the public view is a cast away. */
struct lbw_edge {
    struct lbw_plan_edge item;
    struct lbw_value *value;
    size_t position; /* of the producer, one past it; 0 for an input of the model */
    enum lbw_edge_rule rule;
    struct lbw_edge *source;    /* HANDED: the edge that is read */
    enum lbw_range_curve curve; /* that all who read it compute of it */
    const char *watched;        /* the tensor where that stands; without a curve its own name */
    /*
     * Per channel (axis 1) of that tensor: noise of variance v costs slope × v at the outputs,
     * where all weights on grid 4x2 cost 1; by lbw_plan_weigh_edges(). num_slopes 0: not known.
     */
    const double *slopes;
    size_t num_slopes;
    /*
     * Whether each channel may have a scale of its own: those who read it never add channels
     * up, and a layer writes it, itself or through an activation function.
     */
    bool may_differ;
    bool is_wished; /* the plan file has given its range, or made it float */
    /* from here on by lbw_edges_fit() */
    bool is_fitted;
    struct lbw_ranges ranges; /* in the model's arena */
    bool needs_channels;      /* one scale would cost too much */
    bool is_settled;          /* what it is made of has 8 bits on the promise that this has */
};

/*
 * Fills plan->edges, in the order of their producers: for plans with 8-bit activations, after
 * the weights have been planned. LBW_ERR_UNSUPPORTED below opset 13; LBW_ERR_ARGUMENT for a
 * grid that int8 cannot hold, or a bad regex.
 */
enum lbw_status lbw_edges_find(struct lbw_plan *plan, const struct lbw_plan_params *params,
                               struct lbw_error *err);

/* LBW_ERR_ARGUMENT names a weight of the plan whose grid does not fit 8-bit kernels. */
enum lbw_status lbw_edges_check_grids(const struct lbw_plan *plan, struct lbw_error *err);

/* From now on the plan is for weights alone. */
void lbw_edges_drop(struct lbw_plan *plan);

/* Whether the levels of a grid fit int8. */
bool lbw_grid_fits_int8(const struct lbw_grid *grid);

/* The edge of that name, or NULL. */
struct lbw_edge *lbw_edge_of(const struct lbw_plan *plan, const char *name);

/*
 * Whether a consumer of the weight runs on integers: it reads and writes 8-bit edges, itself or
 * by the Relu or Clip after it. Convolutions only: those on a grid, and those too small for
 * one, whose weights then become plain int8.
 */
bool lbw_edge_is_integer(const struct lbw_plan *plan, const struct lbw_weight *weight,
                         const struct lbw_consumer *consumer);

/*
 * Whether any of them does: the weight then becomes int8 behind a DequantizeLinear, which the
 * others read as well. Were it float, ONNX Runtime would round it by itself, more coarsely.
 */
bool lbw_weight_is_integer(const struct lbw_plan *plan, const struct lbw_weight *weight);

/* How to choose between ranges: what the runtime takes, and what costs it nothing. */
struct lbw_edge_rules {
    enum lbw_range_kind kind;
    bool has_channels; /* a scale per channel takes no more time than one */
    double power;      /* of errors, whose weighted sum ranges keep least */
};

/*
 * Fits the ranges of all edges written before node `position` and not fitted yet, and has the
 * converted model round them from now on. An edge that cannot be shown, or
 * whose rounding costs too much at the outputs, becomes a float one.
 */
enum lbw_status lbw_edges_fit(const struct lbw_plan *plan, struct lbw_activations *activations,
                              const struct lbw_edge_rules *rules, size_t position,
                              struct lbw_error *err);

#endif
