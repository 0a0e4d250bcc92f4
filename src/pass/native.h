/* SPDX-License-Identifier: MIT */
/*
 * Replaces layers between QuantizeLinear and DequantizeLinear by calls of `ai.lbw` operators.
 * Their model-local functions contain the same layers (docs/format.md, Native), which a runtime
 * without kernels runs.
 */
#ifndef LBW_SRC_PASS_NATIVE_H
#define LBW_SRC_PASS_NATIVE_H

#include "onnx/build.h"
#include "onnx/index.h"

/* What was rewritten. */
struct lbw_native_count {
    size_t num_convs;
    size_t num_others; /* concatenations, poolings and softmaxes */
};

/*
 * Rewrites every layer of the main graph for which there is an operator; others stay as they
 * are, and so does the encoding of weights. LBW_ERR_UNSUPPORTED below opset 13, and if no
 * convolution runs on 8-bit activations.
 */
enum lbw_status lbw_nativize(struct lbw_native_count *out, struct lbw_model *model,
                             struct lbw_error *err);

/* LBW_ERR_UNSUPPORTED if lbw_nativize() is certain to fail. */
enum lbw_status lbw_native_check(const struct lbw_model *model, struct lbw_error *err);

/* Whether a function is the body of a native operator. */
bool lbw_is_native(const Onnx__FunctionProto *f);

/* Whether the model holds one. */
bool lbw_has_native(const struct lbw_model *model);

/*
 * The function of that operator ("QConvSilu", "QConcat3"), added to the model if missing.
 * LBW_ERR_ARGUMENT for other names.
 */
enum lbw_status lbw_native_function(struct lbw_model *model, const char *name,
                                    struct lbw_error *err);

/* Whether there is one. */
bool lbw_native_has_function(const char *name);

#endif
