/* SPDX-License-Identifier: MIT */
/*
 * Layers between QuantizeLinear and DequantizeLinear become calls of operators of `ai.lbw`,
 * whose model-local functions hold the same layers (docs/format.md, Native operators): a
 * runtime without kernels for them runs the functions.
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
 * Rewrites every layer of the main graph that an operator stands for; what is left stays as it
 * is. Weights keep their encoding. LBW_ERR_UNSUPPORTED below opset 13, and where no convolution
 * runs on 8-bit activations.
 */
enum lbw_status lbw_nativize(struct lbw_native_count *out, struct lbw_model *model,
                             struct lbw_error *err);

/* What lbw_nativize() would refuse for certain: LBW_ERR_UNSUPPORTED says what. */
enum lbw_status lbw_native_check(const struct lbw_model *model, struct lbw_error *err);

/* Whether a function is the body of one of these operators. */
bool lbw_is_native(const Onnx__FunctionProto *f);

/*
 * The function of that operator, made from its row where the model has none: "QConvSilu",
 * "QConcat3". LBW_ERR_ARGUMENT for other names.
 */
enum lbw_status lbw_native_function(struct lbw_model *model, const char *name,
                                    struct lbw_error *err);

#endif
