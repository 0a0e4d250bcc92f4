/* SPDX-License-Identifier: MIT */
/* Looking around in a graph of layers between QuantizeLinear and DequantizeLinear. */
#ifndef LBW_SRC_PASS_NATIVE_FIND_H
#define LBW_SRC_PASS_NATIVE_FIND_H

#include "onnx/build.h"
#include "onnx/index.h"

#define LBW_NATIVE_MAX_INPUTS        56 /* at least those of a head, 3 · 6 · 3 */
#define LBW_NATIVE_MAX_CHANNEL_PARTS 12 /* of QChannels */
#define LBW_NATIVE_MAX_LISTS         3

/* Where it looks. */
struct lbw_native_finder {
    struct lbw_model *model;
    struct lbw_index *index;
    struct lbw_names *names; /* for a bias of zeros */
    struct lbw_scope *scope;
    const struct lbw_strmap *taken; /* outputs of nodes that a call replaces already */
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
    bool has_pads; /* of zeros that count, in place of the attribute `pads` */
    int64_t pads[4];
    bool has_axis; /* an attribute of its own */
    int64_t axis;
    struct {
        const char *name;
        const int64_t *values;
        size_t num;
    } lists[LBW_NATIVE_MAX_LISTS]; /* more of them */
    size_t num_lists;
    /* The bytes it takes are still to be made of this float tensor, scaled as `last` does. */
    const char *unquantized;
};

/* What is known of a name, or NULL. */
struct lbw_value *lbw_native_value(const struct lbw_native_finder *r, const char *name);

/* The constant of a name, or NULL. */
const Onnx__TensorProto *lbw_native_constant(const struct lbw_native_finder *r,
                                             const char *name);

/* Constants, also where a caller of the model could replace them; returns their number. */
size_t lbw_native_ints(int64_t *out, size_t most, const struct lbw_native_finder *r,
                       const char *name);

/* The node that makes a name, when it is that operator. */
const Onnx__NodeProto *lbw_native_made_by(const struct lbw_native_finder *r, const char *name,
                                          const char *op);

/* What the model states of a value's type, or NULL. */
const Onnx__TypeProto__Tensor *lbw_native_type(const struct lbw_native_finder *r,
                                               const char *name);

/* The dims of a value of rank 4 where the model states all of them. */
bool lbw_native_dims(int64_t dims[4], const struct lbw_native_finder *r, const char *name);

/* The only node that reads a node's first output, when it is no output of the graph. */
const Onnx__NodeProto *lbw_native_only_reader(const struct lbw_native_finder *r,
                                              const Onnx__NodeProto *node);

/* One constant scale and a constant zero point of uint8. */
bool lbw_native_has_byte_scaling(const struct lbw_native_finder *r,
                                 const Onnx__NodeProto *node);

/* The DequantizeLinear of bytes that makes a name, or NULL. */
const Onnx__NodeProto *lbw_native_dequantizer(const struct lbw_native_finder *r,
                                              const char *name);

/* The QuantizeLinear to bytes that alone reads a node's result, or NULL. */
const Onnx__NodeProto *lbw_native_quantizer(const struct lbw_native_finder *r,
                                            const Onnx__NodeProto *node);

/* How bytes stand for numbers: names of a scale and a zero point. */
struct lbw_native_scaling {
    const char *scale, *zero;
    bool is_factor;  /* of a Div or Mul beside a node whose own scale is 1 */
    bool by_channel; /* a factor for each channel, float32 [C, 1, 1] */
};

/*
 * The bytes that a value is made of by DequantizeLinear, perhaps with a Mul behind it for
 * scales per channel; *out receives their scaling. NULL: it is not.
 */
const char *lbw_native_read(struct lbw_native_scaling *out, const struct lbw_native_finder *r,
                            const char *name);

/* The QuantizeLinear that alone reads a node's result, perhaps with a Div before it, or NULL.
 */
const Onnx__NodeProto *lbw_native_rounder(struct lbw_native_scaling *out,
                                          const struct lbw_native_finder *r,
                                          const Onnx__NodeProto *node);

/* Whether two nodes have the same scale and zero point, by name or by value. */
bool lbw_native_has_same_scaling(const struct lbw_native_finder *r, const Onnx__NodeProto *a,
                                 const Onnx__NodeProto *b);

/* Whether a node puts the elements of its inputs in other places, and does no more than that.
 */
bool lbw_native_moves(const Onnx__NodeProto *node);

/* The next inputs of a call: a name, or the scale and zero point of a node. */
void lbw_native_add_input(struct lbw_native_call *call, const char *name);
void lbw_native_add_scaling(struct lbw_native_call *call, const Onnx__NodeProto *node);

/* An attribute of its own; `values` live as long as the model. */
void lbw_native_add_ints(struct lbw_native_call *call, const char *name, const int64_t *values,
                         size_t num);

#endif
