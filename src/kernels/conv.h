/* SPDX-License-Identifier: MIT */
/*
 * Convolutions on 8-bit tensors in NCHW with everything that surrounds them: bias, scale per
 * output channel, rounding, activation. Integers in, integers out:
 *
 *     sum  = bias[m] + Σ (x - x_zero) · w        modulo 2^32, padding counts as x_zero
 *     q    = clamp(rint(float(sum) · scale[m]), -y_zero, 255 - y_zero) + y_zero
 *     y    = table[q], or q where there is no table
 *
 * or, with an ending, float: y = curve(float(sum) · scale[m] + float_bias[m]). To bytes, those
 * of another tensor may be added:
 *
 *     y    = max(clamp(rint(fma(own, y, fma(other, r, fixed))), 0, 255), least)
 *
 * float() and the product round to nearest, ties to even, in single precision; so does rint().
 * With scale[m] = x_scale · w_scale[m] / y_scale this is what ONNX Runtime's QLinearConv does.
 */
#ifndef LBW_SRC_KERNELS_CONV_H
#define LBW_SRC_KERNELS_CONV_H

#include "base/error.h"
#include "kernels/isa.h"
#include "kernels/parallel.h"

/*
 * y + r as bytes of a scaling of their own: `own` and `other` are their scales by that of the
 * sum, `fixed` = the sum's zero point - (own · y's + other · r's); what is below `least`
 * becomes it.
 */
struct lbw_conv_sum {
    float own, other; /* above 0, at most LBW_CONV_MAX_RATIO */
    float fixed;
    uint8_t least;
};
#define LBW_CONV_MAX_RATIO 0x1p16F

/* Two spatial dims, as ONNX's Conv; [0] is vertical. */
struct lbw_conv_params {
    int64_t num_outputs; /* channels */
    int64_t num_inputs;  /* channels of all groups */
    int64_t groups;
    int64_t kernel[2];
    int64_t strides[2];
    int64_t dilations[2];
    int64_t pads[4];       /* top, left, bottom, right */
    const int8_t *weights; /* num_outputs × num_inputs / groups × kernel */
    const int32_t *bias;   /* num_outputs items; NULL: zeros */
    const float *scale;    /* num_outputs items, finite */
    uint8_t x_zero, y_zero;
    const uint8_t *tables; /* 256 bytes, or 256 per output channel; NULL: none */
    bool has_channel_tables;
    const struct lbw_ending *ending; /* NULL: y is bytes */
    const float *float_bias;         /* with an ending: num_outputs items */
    const struct lbw_conv_sum *sum;  /* NULL: nothing is added; not with an ending */
};

/* The sides of the output for those of the input. LBW_ERR_ARGUMENT when none would be left. */
enum lbw_status lbw_conv_output(int64_t out[2], const struct lbw_conv_params *params,
                                const int64_t in[2], struct lbw_error *err);

/* Checks what lbw_conv_new() would refuse, and what of it does not look into arrays. */
enum lbw_status lbw_conv_check(const struct lbw_conv_params *params, struct lbw_error *err);
enum lbw_status lbw_conv_check_shape(const struct lbw_conv_params *params,
                                     struct lbw_error *err);

/*
 * The definition, one product after the other. `sides` are the input's; y holds num_images ×
 * num_outputs × what lbw_conv_output() gives, and so does r, which is added; NULL: the bytes
 * before the sum.
 */
enum lbw_status lbw_conv_reference(void *y, const uint8_t *x, const uint8_t *r,
                                   int64_t num_images, const int64_t sides[2],
                                   const struct lbw_conv_params *params, struct lbw_error *err);

/* One byte of such a sum. */
uint8_t lbw_conv_add(uint8_t y, uint8_t r, const struct lbw_conv_sum *sum);

/* A convolution with its weights packed for one instruction set. Any number of threads. */
struct lbw_conv;

/*
 * Copies all that `params` points to. `isa` NULL: the reference runs. LBW_ERR_ARGUMENT for
 * shapes and numbers that make no sense.
 */
enum lbw_status lbw_conv_new(struct lbw_conv **out, const struct lbw_conv_params *params,
                             const struct lbw_isa *isa, struct lbw_error *err);
void lbw_conv_free(struct lbw_conv **conv);

/* Same y as lbw_conv_reference(). LBW_ERR_MEMORY leaves y in part written. */
enum lbw_status lbw_conv_run(struct lbw_conv *conv, void *y, const uint8_t *x, const uint8_t *r,
                             int64_t num_images, const int64_t sides[2],
                             const struct lbw_parallel *parallel, struct lbw_error *err);

/* The parameters as copied, for lbw_conv_output(). */
const struct lbw_conv_params *lbw_conv_params(const struct lbw_conv *conv);

#endif
