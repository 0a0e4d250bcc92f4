/* SPDX-License-Identifier: MIT */
/*
 * Gradients by graph transformation: from a model's trunk (from its inputs to some target
 * tensors) to a training graph of standard operators, valid at the model's own opset. Its
 * inputs are those of the model, the wanted weights, and the desired values of the targets; its
 * outputs are the loss and its gradient in every wanted weight. Any ONNX runtime can execute
 * it.
 */
#ifndef LBW_SRC_GRAD_GRAD_H
#define LBW_SRC_GRAD_GRAD_H

#include "base/strmap.h"
#include "onnx/index.h"
#include "onnx/model.h"

#define LBW_GRAD_MAX_DIMS 8

/*
 * The domain of operators (src/kernels/op_gradient.c) that do in one pass over memory what
 * takes several standard ones. Training graphs exist in memory only.
 */
#define LBW_GRAD_DOMAIN "ai.lbw.gradient"

/* Probabilities are clamped to this distance from 0 and 1. */
#define LBW_GRAD_LEAST_SCORE 1e-6

/* Type and size of a tensor while the training graph runs: all dims are fixed. */
struct lbw_grad_shape {
    int32_t data_type; /* ONNX__TENSOR_PROTO__DATA_TYPE__… */
    size_t num_dims;
    int64_t dims[LBW_GRAD_MAX_DIMS];
    /*
     * Its values, raw, if the caller knows them; else NULL. Rules read them only if they depend
     * on constants and sizes alone (computed scales, bounds and the like).
     */
    const void *values;
};

/* Where the loss is computed: lbw_index_ends(). */
enum lbw_status lbw_grad_targets(const char ***out, size_t *num, const struct lbw_index *index,
                                 struct lbw_error *err);

/*
 * The names of all tensors that the targets are computed from, the targets included, in the
 * order of the nodes, without initializers: lbw_grad_build() needs their shapes.
 */
enum lbw_status lbw_grad_values(const char ***out, size_t *num, const struct lbw_index *index,
                                const char *const *targets, size_t num_targets,
                                struct lbw_error *err);

/* A float tensor of the main graph, of rank 2 or more, whose axis `axis` holds channels. */
struct lbw_grad_channels {
    const char *name;
    bool is_last; /* the channel axis is the last one, else it is axis 1 */
};

/* The shape of the factors of a tap: one per channel, axis 1. */
static inline void lbw_grad_by_channel(int64_t *dims, size_t num_dims)
{
    for (size_t i = 0; i < num_dims; i++)
        dims[i] = i == 1 ? dims[i] : 1;
}

struct lbw_grad_params {
    const char *const *targets; /* float tensors of the main graph */
    size_t num_targets;
    const char *const *weights; /* initializers of the main graph: gradients are wanted */
    size_t num_weights;
    const struct lbw_strmap *shapes; /* of inputs, lbw_grad_values(): → lbw_grad_shape */
    bool no_gradients; /* outputs are the loss and the targets but taps, to judge a state */
    bool is_linear;    /* the loss is Σ factor·target, without desired values */
    bool has_native;   /* the session will have LBW_GRAD_DOMAIN */
    size_t num_scored; /* this many targets, the first, may hold probabilities: see loss */
    size_t num_taps;   /* this many, the last: compared by channel, not in the loss */
    /* Adds outputs, per channel: Σ gradient² of these tensors … */
    const struct lbw_grad_channels *energies;
    size_t num_energies;
    /* … and the means of value and value² of these. */
    const struct lbw_grad_channels *moments;
    size_t num_moments;
};

/*
 * The training graph as a serialised model. With T targets and W weights its inputs are those
 * of the model that the trunk needs, then T tensors "desired value of target t", then T tensors
 * of factors (the shape of the target, or lbw_grad_by_channel()), then num_scored tensors of
 * score factors, then those of the W weights that it reads. Its outputs are the loss, a scalar,
 * then the gradient of each weight that has one, in the shape of the weight; or with
 * no_gradients the targets but taps; then energies and moments as requested, vectors. All names
 * and lists live in the arena of the index's model.
 *
 * The loss is, over all targets but taps,
 * Σ factor·(target - wanted)² - Σ score·(wanted·ln p + (1 - wanted)·ln(1 - p)), the
 * cross-entropy, where p is the target clamped to LBW_GRAD_LEAST_SCORE … 1 - it.
 */
struct lbw_grad {
    void *data; /* malloc'ed: lbw_grad_release() */
    size_t size;
    size_t num_inputs; /* of the model */
    const char **inputs;
    const char **wanted;  /* T input names; NULL when the loss is linear */
    const char **factors; /* T input names */
    const char **scores;  /* num_scored input names */
    const char *loss;
    bool *is_input;         /* W: false if no node of the trunk reads the weight */
    bool *is_reached;       /* W: false if the weight has no gradient */
    const char **gradients; /* W output names, NULL if not reached, or with no_gradients */
    double *positions;      /* of each tensor of `energies`: values per channel; 0: unknown */
    const char **energies;  /* output names, NULL if no gradient reaches the tensor */
    const char **means, **squares; /* output names, NULL for a tensor that the trunk lacks */
    size_t num_cuts;               /* nodes in the trunk that have no rule */
    const char **cuts;             /* "TopK 'node_3'", or with a reason appended */
};

/*
 * A weight has no gradient if some path from it to a target leads through a node without a rule
 * (a partial gradient would mislead). LBW_ERR_UNSUPPORTED if the trunk is not float32 or
 * double; LBW_ERR_ARGUMENT for a name that is not in the main graph.
 */
enum lbw_status lbw_grad_build(struct lbw_grad *out, const struct lbw_index *index,
                               const struct lbw_grad_params *params, struct lbw_error *err);
void lbw_grad_release(struct lbw_grad *grad);

#endif
