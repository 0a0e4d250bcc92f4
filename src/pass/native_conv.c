/* SPDX-License-Identifier: MIT */
/* Convolutions between QuantizeLinear and DequantizeLinear, and the activations behind them. */
#include "pass/native_conv.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/tensor.h"
#include "pass/encode.h"
#include "pass/native_float.h"

#define INT8  ONNX__TENSOR_PROTO__DATA_TYPE__INT8
#define INT32 ONNX__TENSOR_PROTO__DATA_TYPE__INT32

/* A convolution with what surrounds it; names of the graph. */
struct layer {
    const char *x; /* bytes; NULL: it reads floats, which the call has already */
    const char *w, *w_scale, *bias, *bias_scale;
    struct lbw_native_scaling x_scaling, y, c, gate;
    bool has_bias, has_c, has_gate;
    const Onnx__NodeProto *r; /* the DequantizeLinear of what is added to it; NULL: nothing */
    struct lbw_native_scaling s;
};

/* Constant values of any float type, or a Cast of them; NULL if there are none, or no room. */
static float *constant_floats(size_t *num, const struct lbw_native_finder *r, const char *name)
{
    const Onnx__NodeProto *cast = lbw_native_made_by(r, name, "Cast");
    const Onnx__TensorProto *tensor =
        lbw_native_constant(r, cast ? lbw_node_input(cast, 0) : name);
    return tensor ? lbw_tensor_copy_floats(num, r->model, tensor) : NULL;
}

/* Whether two names stand for the same, or for constants of the same values. */
static bool is_same(const struct lbw_native_finder *r, const char *a, const char *b)
{
    size_t num_a = 0, num_b = 0;
    if (strcmp(a, b) == 0)
        return true;
    float *x = constant_floats(&num_a, r, a), *y = constant_floats(&num_b, r, b);
    bool same = x && y && num_a == num_b && memcmp(x, y, num_a * sizeof *x) == 0;
    free(x);
    free(y);
    return same;
}

/* Whether a bias has the scale of the sums: x's times the weight's. */
static bool has_sum_scale(const struct lbw_native_finder *r, const char *bias, const char *x,
                          const char *w)
{
    size_t num_bias = 0, num_x = 0, num_w = 0;
    const Onnx__NodeProto *product = lbw_native_made_by(r, bias, "Mul");
    if (product) {
        const char *a = lbw_node_input(product, 0), *b = lbw_node_input(product, 1);
        return (is_same(r, a, x) && is_same(r, b, w)) || (is_same(r, a, w) && is_same(r, b, x));
    }
    float *bias_scale = constant_floats(&num_bias, r, bias);
    float *x_scale = constant_floats(&num_x, r, x), *w_scale = constant_floats(&num_w, r, w);
    bool same = bias_scale && x_scale && w_scale && num_x == 1 && num_bias > 0 && num_w > 0 &&
                (num_bias == num_w || num_w == 1 || num_bias == 1);
    size_t num = num_bias > num_w ? num_bias : num_w;
    for (size_t i = 0; same && i < num; i++) {
        float expected = x_scale[0] * w_scale[num_w == 1 ? 0 : i];
        same = fabsf(bias_scale[num_bias == 1 ? 0 : i] - expected) <= 1e-5F * expected;
    }
    free(bias_scale);
    free(x_scale);
    free(w_scale);
    return same;
}

/* Skips nodes that only move values, to one that reveals their type. */
static bool is_int8(const struct lbw_native_finder *r, const char *name)
{
    for (int steps = 0; steps < 8; steps++) {
        const Onnx__TensorProto *tensor = lbw_native_constant(r, name);
        const struct lbw_value *value = lbw_native_value(r, name);
        if (tensor)
            return tensor->data_type == INT8;
        if (!value || !value->producer)
            return false;
        const Onnx__NodeProto *node = value->producer;
        if (lbw_node_is(node, "Cast"))
            return lbw_node_int(node, "to", 0) == INT8;
        if (!lbw_node_is(node, "Reshape") && !lbw_node_is(node, "Transpose") &&
            !lbw_node_is(node, "Slice") && !lbw_node_is(node, "Identity")) {
            const char *suffix = node->op_type ? strstr(node->op_type, "_int8") : NULL;
            return node->domain && strcmp(node->domain, LBW_DOMAIN) == 0 && suffix;
        }
        name = lbw_node_input(node, 0);
    }
    return false;
}

static bool is_all_zeros(const struct lbw_native_finder *r, const Onnx__TensorProto *tensor)
{
    struct lbw_tensor view;
    if (tensor->data_type != INT8 || lbw_tensor_view(&view, r->model, tensor, NULL) != LBW_OK)
        return false;
    int64_t *values = calloc(view.count + 1, sizeof *values);
    bool zeros = values && lbw_tensor_read_int64(&view, values, NULL) == LBW_OK;
    for (size_t i = 0; zeros && i < view.count; i++)
        zeros = values[i] == 0;
    free(values);
    return zeros;
}

/* The weight's DequantizeLinear: int8 codes, no zero point, scales along output channels. */
static const Onnx__NodeProto *weight_dequantizer(const struct lbw_native_finder *r,
                                                 const char *name)
{
    const Onnx__NodeProto *node = lbw_native_made_by(r, name, "DequantizeLinear");
    if (!node || lbw_node_attribute(node, "block_size") || !is_int8(r, lbw_node_input(node, 0)))
        return NULL;
    const char *zero = lbw_node_input(node, 2);
    const Onnx__TensorProto *zeros = lbw_native_constant(r, zero);
    if (*zero && (!zeros || !is_all_zeros(r, zeros)))
        return NULL;
    size_t num = 0;
    float *scale = constant_floats(&num, r, lbw_node_input(node, 1));
    free(scale);
    return scale && (num == 1 || lbw_node_int(node, "axis", 1) == 0) ? node : NULL;
}

/* An int32 bias of zeros for a convolution without one; NULL: its size is not known. */
static const char *zero_bias(const struct lbw_native_finder *r, const Onnx__NodeProto *weight)
{
    const Onnx__TensorProto *w = lbw_native_constant(r, lbw_node_input(weight, 0));
    size_t num = 0;
    float *scale = constant_floats(&num, r, lbw_node_input(weight, 1));
    free(scale);
    if (num < 2 && w && w->n_dims)
        num = (size_t)w->dims[0];
    if (num < 2 && !w)
        return NULL;
    int64_t dim = (int64_t)num;
    char *stem = lbw_arena_printf(&r->model->arena, "%s.bias", lbw_node_input(weight, 0));
    const char *name = stem ? lbw_names_make(r->names, r->model, stem) : NULL;
    void *zeros = lbw_arena_calloc(&r->model->arena, num + 1, 4);
    Onnx__TensorProto *tensor =
        name && zeros ? lbw_tensor_new(r->model, name, INT32, &dim, 1, zeros, 4 * num) : NULL;
    return lbw_graph_add_initializer(r->model, r->scope->graph, tensor) ? name : NULL;
}

bool lbw_native_has_auto_pad(const Onnx__NodeProto *node)
{
    return !lbw_node_says(node, "auto_pad", "NOTSET", true);
}

/* The int32 bias of a layer, and its scale. */
static bool match_bias(struct layer *layer, const struct lbw_native_finder *r,
                       const Onnx__NodeProto *conv, const Onnx__NodeProto *w)
{
    if (!*lbw_node_input(conv, 2)) {
        layer->bias = zero_bias(r, w);
        layer->bias_scale = layer->w_scale; /* of zeros */
        return layer->bias != NULL;
    }
    const Onnx__NodeProto *b =
        lbw_native_made_by(r, lbw_node_input(conv, 2), "DequantizeLinear");
    const Onnx__TensorProto *values = b ? lbw_native_constant(r, lbw_node_input(b, 0)) : NULL;
    if (!values || values->data_type != INT32)
        return false;
    layer->bias = lbw_node_input(b, 0);
    layer->bias_scale = lbw_node_input(b, 1);
    layer->has_bias = true;
    return true;
}

/* x, w and bias of a Conv that runs on integers. A scale per channel takes a group for each. */
static bool match_conv_inputs(struct layer *layer, const struct lbw_native_finder *r,
                              const Onnx__NodeProto *conv)
{
    const char *x = lbw_native_read(&layer->x_scaling, r, lbw_node_input(conv, 0));
    const Onnx__NodeProto *w = weight_dequantizer(r, lbw_node_input(conv, 1));
    if (!x || !w)
        return false;
    if (layer->x_scaling.by_channel &&
        lbw_node_int(conv, "group", 1) !=
            lbw_native_constant(r, layer->x_scaling.scale)->dims[0])
        return false;
    layer->w = lbw_node_input(w, 0);
    layer->w_scale = lbw_node_input(w, 1);
    if (!match_bias(layer, r, conv, w))
        return false;
    layer->x = x;
    return true;
}

/* The values that a DequantizeLinear makes, behind the Mul of a factor. */
static const struct lbw_value *decoded(const struct lbw_native_finder *r,
                                       const Onnx__NodeProto *dequantize,
                                       const struct lbw_native_scaling *scaling)
{
    if (!scaling->is_factor)
        return lbw_native_value(r, dequantize->output[0]);
    const Onnx__NodeProto *mul = lbw_native_only_reader(r, dequantize);
    return mul && lbw_node_is(mul, "Mul") && strcmp(lbw_node_input(mul, 1), scaling->scale) == 0
               ? lbw_native_value(r, mul->output[0])
               : NULL;
}

/* The only reader of what dequantizers of `q` produce; of two, the other is in *gated. */
static const Onnx__NodeProto *activation_of(const Onnx__NodeProto **gated,
                                            const struct lbw_native_finder *r,
                                            const Onnx__NodeProto *q,
                                            const struct lbw_native_scaling *scaling)
{
    const struct lbw_value *bytes = lbw_native_value(r, q->output[0]);
    const Onnx__NodeProto *readers[2] = {NULL};
    size_t num = 0;
    for (const struct lbw_use *use = bytes->uses; use; use = use->next) {
        const struct lbw_value *real =
            use->scope == r->scope && lbw_node_is(use->node, "DequantizeLinear")
                ? decoded(r, use->node, scaling)
                : NULL;
        if (!real || real->is_output || use->input != 0)
            return NULL;
        for (const struct lbw_use *u = real->uses; u; u = u->next) {
            if (num == 2 || u->scope != r->scope)
                return NULL;
            readers[num++] = u->node;
        }
    }
    if (bytes->is_output || !num)
        return NULL;
    bool is_swapped = num == 2 && lbw_node_is(readers[0], "Mul");
    *gated = num == 2 ? readers[is_swapped ? 0 : 1] : NULL;
    return readers[is_swapped ? 1 : 0];
}

/* Activations that follow a DequantizeLinear; those with a gate are multiplied by it. */
static const struct {
    const char *op;
    const char *call;
    const char *gated_call;
} activations[] = {
    {"LeakyRelu", "QConvLeakyRelu", NULL},
    {"Sigmoid", "QConvSigmoid", "QConvSilu"},
    {"HardSigmoid", "QConvHardSigmoid", "QConvHardSilu"},
    {"HardSwish", "QConvHardSwish", NULL},
};

/* The scaling of the gate, and the QuantizeLinear at the end. */
static bool match_gate(struct lbw_native_call *call, struct layer *layer,
                       const struct lbw_native_finder *r, const Onnx__NodeProto *f,
                       const Onnx__NodeProto *product)
{
    const Onnx__NodeProto *gate = lbw_native_quantizer(r, f);
    const Onnx__NodeProto *real = gate ? lbw_native_only_reader(r, gate) : NULL;
    if (!real || !lbw_node_is(real, "DequantizeLinear") ||
        !lbw_native_has_byte_scaling(r, real) ||
        strcmp(lbw_node_input(real, 1), lbw_node_input(gate, 1)) != 0 ||
        lbw_native_only_reader(r, real) != product || !lbw_node_is(product, "Mul"))
        return false;
    layer->gate =
        (struct lbw_native_scaling){lbw_node_input(gate, 1), lbw_node_input(gate, 2), false};
    layer->has_gate = true;
    call->last = lbw_native_rounder(&layer->y, r, product);
    return call->last != NULL;
}

/* `c` is the scaling of q. */
static void match_activation(struct lbw_native_call *call, struct layer *layer,
                             const struct lbw_native_finder *r, const Onnx__NodeProto *q,
                             const struct lbw_native_scaling *c)
{
    const Onnx__NodeProto *product = NULL, *f = activation_of(&product, r, q, c);
    for (size_t i = 0; f && i < sizeof activations / sizeof *activations; i++) {
        const char *name = product ? activations[i].gated_call : activations[i].call;
        if (!lbw_node_is(f, activations[i].op) || !name)
            continue;
        if (product ? !match_gate(call, layer, r, f, product)
                    : !(call->last = lbw_native_rounder(&layer->y, r, f)))
            break;
        call->op = name;
        call->attributed[1] = f;
        layer->c = *c;
        layer->has_c = true;
        return;
    }
    layer->has_gate = false;
    call->op = "QConv";
    call->last = q;
    layer->y = *c;
}

/* A bound of Clip: a constant, perhaps as in the body of QConvClip, or left out. */
static bool read_bound(float *out, const struct lbw_native_finder *r, const char *name,
                       float otherwise)
{
    const Onnx__NodeProto *node = *name ? lbw_native_made_by(r, name, "Constant") : NULL;
    const Onnx__AttributeProto *number = node ? lbw_node_attribute(node, "value_float") : NULL;
    size_t num = 1;
    float *values = *name && !number ? constant_floats(&num, r, name) : NULL;
    *out = number ? number->f : values && num == 1 ? values[0] : otherwise;
    bool is_known = !*name || number || (values && num == 1);
    free(values);
    return is_known;
}

/* Without a kernel_shape the rank must show in the weight, or in the shape it is decoded to. */
static bool has_planar_weight(const struct lbw_native_finder *r, const char *name,
                              const Onnx__NodeProto *conv)
{
    const Onnx__TensorProto *w = lbw_native_constant(r, name);
    if (lbw_node_attribute(conv, "kernel_shape") || w)
        return !w || w->n_dims == 4;
    const struct lbw_value *value = lbw_native_value(r, name);
    const Onnx__NodeProto *node = value ? value->producer : NULL;
    const Onnx__TensorProto *shape =
        node && node->n_input ? lbw_native_constant(r, node->input[node->n_input - 1]) : NULL;
    return shape && shape->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 &&
           shape->n_dims == 1 && shape->dims[0] == 4;
}

/* Relu and Clip precede the QuantizeLinear and keep its scaling. */
static bool match_ending(struct lbw_native_call *call, struct layer *layer,
                         const struct lbw_native_finder *r, const Onnx__NodeProto *reader,
                         const Onnx__NodeProto *q, const struct lbw_native_scaling *scaling)
{
    bool is_relu = lbw_node_is(reader, "Relu"), is_clip = lbw_node_is(reader, "Clip");
    if (!is_relu && !is_clip) {
        match_activation(call, layer, r, q, scaling);
        return true;
    }
    call->op = is_relu ? "QConvRelu" : "QConvClip";
    call->last = q;
    call->has_bounds = is_clip;
    layer->y = *scaling;
    return is_relu || (read_bound(&call->low, r, lbw_node_input(reader, 1), -FLT_MAX) &&
                       read_bound(&call->high, r, lbw_node_input(reader, 2), FLT_MAX));
}

static void add_scaling(struct lbw_native_call *call, const struct lbw_native_scaling *scaling)
{
    lbw_native_add_input(call, scaling->scale);
    lbw_native_add_input(call, scaling->zero);
}

/*
 * Takes the sum of the layer's result and of other bytes, when nothing else reads the result.
 * If both come from layers, the first of them takes it.
 */
static void match_sum(struct lbw_native_call *call, struct layer *layer,
                      const struct lbw_native_finder *r)
{
    const Onnx__NodeProto *real = lbw_native_only_reader(r, call->last);
    if (!real || lbw_native_dequantizer(r, real->output[0]) != real ||
        !lbw_native_has_same_scaling(r, real, call->last))
        return;
    const Onnx__NodeProto *add = lbw_native_only_reader(r, real);
    if (!add || !lbw_node_is(add, "Add") || add->n_input != 2)
        return;
    bool is_first = strcmp(add->input[0], real->output[0]) == 0;
    const Onnx__NodeProto *other = lbw_native_dequantizer(r, add->input[is_first]);
    const Onnx__NodeProto *reader = lbw_native_only_reader(r, add);
    const Onnx__NodeProto *relu = reader && lbw_node_is(reader, "Relu") ? reader : NULL;
    const Onnx__NodeProto *q = lbw_native_quantizer(r, relu ? relu : add);
    const char *op =
        lbw_arena_printf(&r->model->arena, "%sAdd%s", call->op, relu ? "Relu" : "");
    if (!other || other == real || !q || !op || lbw_strmap_get(r->taken, q->output[0]))
        return;
    layer->r = other;
    layer->s =
        (struct lbw_native_scaling){lbw_node_input(q, 1), lbw_node_input(q, 2), false, false};
    call->last = q;
    call->op = op;
}

/* The inputs in the order of docs/format.md; with a scale per channel it is another operator.
 */
static bool emit(struct lbw_native_call *call, struct layer *layer,
                 const struct lbw_native_finder *r)
{
    bool by_channel =
        (layer->x && layer->x_scaling.by_channel) || layer->y.by_channel || layer->c.by_channel;
    if (!by_channel && layer->has_bias &&
        !has_sum_scale(r, layer->bias_scale, layer->x_scaling.scale, layer->w_scale))
        return false;
    if (by_channel)
        call->op = lbw_arena_printf(&r->model->arena, "QC%s", call->op + 1);
    else if (layer->x && !layer->y.is_factor)
        match_sum(call, layer, r);
    if (layer->x) {
        lbw_native_add_input(call, layer->x);
        add_scaling(call, &layer->x_scaling);
        lbw_native_add_input(call, layer->w);
        lbw_native_add_input(call, layer->w_scale);
        lbw_native_add_input(call, layer->bias);
        if (by_channel)
            lbw_native_add_input(call, layer->bias_scale);
    }
    add_scaling(call, &layer->y);
    if (layer->has_c)
        add_scaling(call, &layer->c);
    if (layer->has_gate)
        add_scaling(call, &layer->gate);
    if (layer->r) {
        lbw_native_add_input(call, lbw_node_input(layer->r, 0));
        lbw_native_add_scaling(call, layer->r);
        add_scaling(call, &layer->s);
    }
    return call->op && (layer->x || lbw_native_read_float(call, r));
}

bool lbw_native_match_conv(struct lbw_native_call *call, const struct lbw_native_finder *r,
                           const Onnx__NodeProto *conv)
{
    const Onnx__NodeProto *reader = lbw_native_only_reader(r, conv);
    struct lbw_native_scaling scaling;
    struct layer layer = {0};
    if (lbw_native_has_auto_pad(conv))
        return false;
    bool has_clip = reader && (lbw_node_is(reader, "Relu") || lbw_node_is(reader, "Clip")) &&
                    strcmp(lbw_node_input(reader, 0), conv->output[0]) == 0;
    const Onnx__NodeProto *q = lbw_native_rounder(&scaling, r, has_clip ? reader : conv);
    if (!q)
        return lbw_native_match_float(call, r, conv);
    call->attributed[0] = conv;
    if (match_conv_inputs(&layer, r, conv))
        return match_ending(call, &layer, r, reader, q, &scaling) &&
               has_planar_weight(r, layer.w, conv) && emit(call, &layer, r);
    return lbw_native_match_float_inputs(call, r, conv) &&
           match_ending(call, &layer, r, reader, q, &scaling) && emit(call, &layer, r);
}
