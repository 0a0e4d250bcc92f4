/* SPDX-License-Identifier: MIT */
/* Finds what a native operator stands for, and what its call takes. */
#ifndef LBW_SRC_PASS_NATIVE_MATCH_H
#define LBW_SRC_PASS_NATIVE_MATCH_H

#include "onnx/build.h"
#include "onnx/index.h"

#define LBW_NATIVE_MAX_INPUTS 32

/* Where it looks. */
struct lbw_native_finder {
    struct lbw_model *model;
    struct lbw_index *index;
    struct lbw_names *names; /* for a bias of zeros */
    struct lbw_scope *scope;
};

/* A call that may take the place of a layer. Everything is borrowed from the model. */
struct lbw_native_call {
    const char *op;
    const char *inputs[LBW_NATIVE_MAX_INPUTS + 1];
    size_t num_inputs;
    const Onnx__NodeProto *attributed[2]; /* whose attributes it takes; NULL: none */
    const Onnx__NodeProto *last;          /* the node whose output it makes */
    bool is_conv;
    bool has_bounds; /* attributes `min` and `max` */
    float low, high;
    /* The bytes it takes are still to be made of this float tensor, scaled as `last` does. */
    const char *unquantized;
};

/*
 * Whether the layer around `node` (a Conv, Concat or MaxPool) has an operator. May add an
 * initializer to the model, which goes unused when memory runs out: that is no match.
 */
bool lbw_native_match(struct lbw_native_call *out, const struct lbw_native_finder *finder,
                      const Onnx__NodeProto *node);

#endif
