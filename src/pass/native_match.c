/* SPDX-License-Identifier: MIT */
/* Layers between QuantizeLinear and DequantizeLinear, matched with operators. */
#include "pass/native_match.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/tensor.h"
#include "pass/encode.h"
#include "pass/native_channels.h"
#include "pass/native_float.h"

#define UINT8 ONNX__TENSOR_PROTO__DATA_TYPE__UINT8
#define INT8  ONNX__TENSOR_PROTO__DATA_TYPE__INT8
#define INT32 ONNX__TENSOR_PROTO__DATA_TYPE__INT32

#define MAX_PARTS 8

/* Constant values of any float type, or a Cast of them; NULL if there are none, or no room. */
static float *constant_floats(size_t *num, const struct lbw_native_finder *r, const char *name)
{
    const Onnx__NodeProto *cast = lbw_native_made_by(r, name, "Cast");
    const Onnx__TensorProto *tensor =
        lbw_native_constant(r, cast ? lbw_node_input(cast, 0) : name);
    return tensor ? lbw_tensor_copy_floats(num, r->model, tensor) : NULL;
}

/* Whether a bias has the scale of the sums: x's times the weight's. */
static bool has_sum_scale(const struct lbw_native_finder *r, const char *bias, const char *x,
                          const char *w)
{
    size_t num_bias = 0, num_x = 0, num_w = 0;
    const Onnx__NodeProto *product = lbw_native_made_by(r, bias, "Mul");
    if (product) {
        const char *a = lbw_node_input(product, 0), *b = lbw_node_input(product, 1);
        return (strcmp(a, x) == 0 && strcmp(b, w) == 0) ||
               (strcmp(a, w) == 0 && strcmp(b, x) == 0);
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

/* Whether the runtime works out the padding by itself. */
static bool has_auto_pad(const Onnx__NodeProto *node)
{
    const Onnx__AttributeProto *pad = lbw_node_attribute(node, "auto_pad");
    return pad && !(pad->s.len == 6 && memcmp(pad->s.data, "NOTSET", 6) == 0);
}

/* x, w and bias of a Conv that runs on integers. */
static bool match_conv_inputs(struct lbw_native_call *call, const struct lbw_native_finder *r,
                              const Onnx__NodeProto *conv)
{
    const Onnx__NodeProto *x = lbw_native_dequantizer(r, lbw_node_input(conv, 0));
    const Onnx__NodeProto *w = weight_dequantizer(r, lbw_node_input(conv, 1));
    if (!x || !w || has_auto_pad(conv))
        return false;
    const char *bias = NULL;
    if (*lbw_node_input(conv, 2)) {
        const Onnx__NodeProto *b =
            lbw_native_made_by(r, lbw_node_input(conv, 2), "DequantizeLinear");
        const Onnx__TensorProto *values =
            b ? lbw_native_constant(r, lbw_node_input(b, 0)) : NULL;
        if (!values || values->data_type != INT32 ||
            !has_sum_scale(r, lbw_node_input(b, 1), lbw_node_input(x, 1), lbw_node_input(w, 1)))
            return false;
        bias = lbw_node_input(b, 0);
    } else {
        bias = zero_bias(r, w);
    }
    if (!bias)
        return false;
    lbw_native_add_input(call, lbw_node_input(x, 0));
    lbw_native_add_scaling(call, x);
    lbw_native_add_input(call, lbw_node_input(w, 0));
    lbw_native_add_input(call, lbw_node_input(w, 1));
    lbw_native_add_input(call, bias);
    call->attributed[0] = conv;
    return true;
}

/* The only reader of what dequantizers of `q` produce; of two, the other is in *gated. */
static const Onnx__NodeProto *activation_of(const Onnx__NodeProto **gated,
                                            const struct lbw_native_finder *r,
                                            const Onnx__NodeProto *q)
{
    const struct lbw_value *bytes = lbw_native_value(r, q->output[0]);
    const Onnx__NodeProto *readers[2] = {NULL};
    size_t num = 0;
    for (const struct lbw_use *use = bytes->uses; use; use = use->next) {
        const struct lbw_value *real =
            use->scope == r->scope && lbw_node_is(use->node, "DequantizeLinear")
                ? lbw_native_value(r, use->node->output[0])
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

/* The scaling of c, that of the gate if there is one, and the QuantizeLinear at the end. */
static bool match_gate(struct lbw_native_call *call, const struct lbw_native_finder *r,
                       const Onnx__NodeProto *f, const Onnx__NodeProto *product,
                       const Onnx__NodeProto **gate)
{
    *gate = lbw_native_quantizer(r, f);
    const Onnx__NodeProto *real = *gate ? lbw_native_only_reader(r, *gate) : NULL;
    if (!real || !lbw_node_is(real, "DequantizeLinear") ||
        !lbw_native_has_byte_scaling(r, real) ||
        strcmp(lbw_node_input(real, 1), lbw_node_input(*gate, 1)) != 0 ||
        lbw_native_only_reader(r, real) != product || !lbw_node_is(product, "Mul"))
        return false;
    call->last = lbw_native_quantizer(r, product);
    return call->last != NULL;
}

static void match_activation(struct lbw_native_call *call, const struct lbw_native_finder *r,
                             const Onnx__NodeProto *q)
{
    const Onnx__NodeProto *product = NULL, *f = activation_of(&product, r, q), *gate = NULL;
    for (size_t i = 0; f && i < sizeof activations / sizeof *activations; i++) {
        const char *name = product ? activations[i].gated_call : activations[i].call;
        if (!lbw_node_is(f, activations[i].op) || !name)
            continue;
        if (product ? !match_gate(call, r, f, product, &gate)
                    : !(call->last = lbw_native_quantizer(r, f)))
            break;
        call->op = name;
        call->attributed[1] = f;
        lbw_native_add_scaling(call, call->last);
        lbw_native_add_scaling(call, q);
        if (gate)
            lbw_native_add_scaling(call, gate);
        return;
    }
    call->op = "QConv";
    call->last = q;
    lbw_native_add_scaling(call, q);
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
static bool has_planar_weight(const struct lbw_native_finder *r,
                              const struct lbw_native_call *call, const Onnx__NodeProto *conv)
{
    const Onnx__TensorProto *w = lbw_native_constant(r, call->inputs[3]);
    if (lbw_node_attribute(conv, "kernel_shape") || w)
        return !w || w->n_dims == 4;
    const struct lbw_value *value = lbw_native_value(r, call->inputs[3]);
    const Onnx__NodeProto *node = value ? value->producer : NULL;
    const Onnx__TensorProto *shape =
        node && node->n_input ? lbw_native_constant(r, node->input[node->n_input - 1]) : NULL;
    return shape && shape->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 &&
           shape->n_dims == 1 && shape->dims[0] == 4;
}

/* Relu and Clip precede the QuantizeLinear and keep its scaling. */
static bool match_ending(struct lbw_native_call *call, const struct lbw_native_finder *r,
                         const Onnx__NodeProto *reader, const Onnx__NodeProto *q)
{
    bool is_relu = lbw_node_is(reader, "Relu"), is_clip = lbw_node_is(reader, "Clip");
    if (!is_relu && !is_clip) {
        match_activation(call, r, q);
        return true;
    }
    call->op = is_relu ? "QConvRelu" : "QConvClip";
    call->last = q;
    call->has_bounds = is_clip;
    lbw_native_add_scaling(call, q);
    return is_relu || (read_bound(&call->low, r, lbw_node_input(reader, 1), -FLT_MAX) &&
                       read_bound(&call->high, r, lbw_node_input(reader, 2), FLT_MAX));
}

static bool match_conv(struct lbw_native_call *call, const struct lbw_native_finder *r,
                       const Onnx__NodeProto *conv)
{
    const Onnx__NodeProto *reader = lbw_native_only_reader(r, conv);
    const Onnx__NodeProto *q = lbw_native_quantizer(r, conv);
    if (has_auto_pad(conv))
        return false;
    if (reader && (lbw_node_is(reader, "Relu") || lbw_node_is(reader, "Clip")) &&
        strcmp(lbw_node_input(reader, 0), conv->output[0]) == 0)
        q = lbw_native_quantizer(r, reader);
    if (!q)
        return lbw_native_match_float(call, r, conv);
    if (match_conv_inputs(call, r, conv))
        return match_ending(call, r, reader, q) && has_planar_weight(r, call, conv);
    return lbw_native_match_float_inputs(call, r, conv) && match_ending(call, r, reader, q) &&
           lbw_native_read_float(call, r);
}

static bool match_concat(struct lbw_native_call *call, const struct lbw_native_finder *r,
                         const Onnx__NodeProto *concat)
{
    static const char *const names[MAX_PARTS + 1] = {NULL,       NULL,       "QConcat2",
                                                     "QConcat3", "QConcat4", "QConcat5",
                                                     "QConcat6", "QConcat7", "QConcat8"};
    call->last = lbw_native_quantizer(r, concat);
    if (!call->last || concat->n_input < 2 || concat->n_input > MAX_PARTS)
        return false;
    for (size_t i = 0; i < concat->n_input; i++) {
        const Onnx__NodeProto *x = lbw_native_dequantizer(r, lbw_node_input(concat, i));
        if (!x)
            return false;
        lbw_native_add_input(call, lbw_node_input(x, 0));
        lbw_native_add_scaling(call, x);
    }
    lbw_native_add_scaling(call, call->last);
    call->op = names[concat->n_input];
    call->attributed[0] = concat;
    return true;
}

/* Whether both constants have the same bytes. */
static bool is_same_constant(const struct lbw_native_finder *r, const char *a, const char *b)
{
    struct lbw_tensor x, y;
    const Onnx__TensorProto *s = lbw_native_constant(r, a), *t = lbw_native_constant(r, b);
    if (strcmp(a, b) == 0)
        return true;
    if (!s || !t || lbw_tensor_view(&x, r->model, s, NULL) != LBW_OK ||
        lbw_tensor_view(&y, r->model, t, NULL) != LBW_OK || x.data_type != y.data_type ||
        x.count != 1 || y.count != 1)
        return false;
    if (x.data_type == UINT8) {
        int64_t p = 0, q = 1;
        return lbw_tensor_read_int64(&x, &p, NULL) == LBW_OK &&
               lbw_tensor_read_int64(&y, &q, NULL) == LBW_OK && p == q;
    }
    float p = 0, q = 1;
    return lbw_tensor_read_float(&x, &p, NULL) == LBW_OK &&
           lbw_tensor_read_float(&y, &q, NULL) == LBW_OK && p == q;
}

static bool has_same_scaling(const struct lbw_native_finder *r, const Onnx__NodeProto *a,
                             const Onnx__NodeProto *b)
{
    return is_same_constant(r, lbw_node_input(a, 1), lbw_node_input(b, 1)) &&
           is_same_constant(r, lbw_node_input(a, 2), lbw_node_input(b, 2));
}

static bool match_pool(struct lbw_native_call *call, const struct lbw_native_finder *r,
                       const Onnx__NodeProto *pool)
{
    const Onnx__NodeProto *x = lbw_native_dequantizer(r, lbw_node_input(pool, 0));
    const Onnx__AttributeProto *kernel = lbw_node_attribute(pool, "kernel_shape");
    call->last = lbw_native_quantizer(r, pool);
    if (!x || !call->last || pool->n_output != 1 || !kernel || kernel->n_ints != 2 ||
        has_auto_pad(pool) || !has_same_scaling(r, x, call->last))
        return false;
    lbw_native_add_input(call, lbw_node_input(x, 0));
    lbw_native_add_scaling(call, x);
    call->op = "QMaxPool";
    call->attributed[0] = pool;
    return true;
}

/* An average that counts every pixel of the window, padding included. */
static bool match_average(struct lbw_native_call *call, const struct lbw_native_finder *r,
                          const Onnx__NodeProto *pool)
{
    const Onnx__NodeProto *x = lbw_native_dequantizer(r, lbw_node_input(pool, 0));
    const Onnx__AttributeProto *pads = lbw_node_attribute(pool, "pads");
    const Onnx__AttributeProto *kernel = lbw_node_attribute(pool, "kernel_shape");
    bool counts_all = lbw_node_int(pool, "count_include_pad", 0) != 0;
    call->last = lbw_native_quantizer(r, pool);
    for (size_t i = 0; pads && i < pads->n_ints && !counts_all; i++)
        if (pads->ints[i])
            return false;
    if (!x || !call->last || !kernel || kernel->n_ints != 2 || has_auto_pad(pool) ||
        lbw_node_int(pool, "ceil_mode", 0) || lbw_node_attribute(pool, "dilations"))
        return false;
    lbw_native_add_input(call, lbw_node_input(x, 0));
    lbw_native_add_scaling(call, x);
    lbw_native_add_scaling(call, call->last);
    call->op = "QAveragePool";
    call->attributed[0] = pool;
    return true;
}

/* Drops the second of two identical QuantizeLinear. */
static const char *unquantized(const struct lbw_native_finder *r, const char *name,
                               const Onnx__NodeProto *q)
{
    const Onnx__NodeProto *d = lbw_native_dequantizer(r, name);
    const Onnx__NodeProto *p =
        d ? lbw_native_made_by(r, lbw_node_input(d, 0), "QuantizeLinear") : NULL;
    bool same = p && lbw_native_has_byte_scaling(r, p) && has_same_scaling(r, d, q) &&
                has_same_scaling(r, p, q);
    return same ? lbw_node_input(p, 0) : name;
}

/* A Slice along one spatial axis that takes every other row or column; `start` is the first. */
static const Onnx__NodeProto *half_slice(int64_t *start, const struct lbw_native_finder *r,
                                         const char *name, int64_t axis,
                                         const Onnx__NodeProto *q)
{
    const Onnx__NodeProto *slice = lbw_native_made_by(r, unquantized(r, name, q), "Slice");
    int64_t values[4] = {0, 0, 0, 0}; /* starts, ends, axes, steps */
    for (size_t i = 0; slice && i < 4; i++) {
        const Onnx__TensorProto *tensor = lbw_native_constant(r, lbw_node_input(slice, i + 1));
        struct lbw_tensor view;
        if (!tensor || lbw_tensor_view(&view, r->model, tensor, NULL) != LBW_OK ||
            view.count != 1 || lbw_tensor_read_int64(&view, &values[i], NULL) != LBW_OK)
            return NULL;
    }
    bool fits = slice && (values[0] == 0 || values[0] == 1) && values[1] >= INT32_MAX &&
                values[2] == axis && values[3] == 2;
    *start = values[0];
    return fits ? slice : NULL;
}

/* The tensor whose every other row and column, from `phase` on, is `name`. */
static const char *quarter_of(const struct lbw_native_finder *r, const char *name,
                              const int64_t phase[2], const Onnx__NodeProto *q)
{
    int64_t start[2] = {-1, -1};
    for (int64_t last = 2; last < 4; last++) { /* the axis sliced last */
        const Onnx__NodeProto *b = half_slice(&start[last - 2], r, name, last, q);
        const Onnx__NodeProto *a =
            b ? half_slice(&start[3 - last], r, lbw_node_input(b, 0), 5 - last, q) : NULL;
        if (a && start[0] == phase[0] && start[1] == phase[1])
            return unquantized(r, lbw_node_input(a, 0), q);
    }
    return NULL;
}

/* A float picture's four quarters as channels, quantized: bytes first, then quarters. */
static bool match_focus(struct lbw_native_call *call, const struct lbw_native_finder *r,
                        const Onnx__NodeProto *concat)
{
    static const int64_t phases[4][2] = {{0, 0}, {1, 0}, {0, 1}, {1, 1}};
    const Onnx__NodeProto *q = lbw_native_quantizer(r, concat);
    const char *x = NULL;
    if (!q || concat->n_input != 4 || lbw_node_int(concat, "axis", 0) != 1)
        return false;
    for (size_t i = 0; i < 4; i++) {
        const char *source = quarter_of(r, lbw_node_input(concat, i), phases[i], q);
        if (!source || (x && strcmp(source, x) != 0))
            return false;
        x = source;
    }
    call->op = "QFocus";
    call->last = q;
    call->unquantized = x;
    return true;
}

/* Whether this QuantizeLinear belongs to a QFocus, which its Concat becomes. */
static bool ends_focus(const struct lbw_native_finder *r, const Onnx__NodeProto *q)
{
    struct lbw_native_call focus = {0};
    const Onnx__NodeProto *concat = lbw_native_made_by(r, lbw_node_input(q, 0), "Concat");
    return concat && match_focus(&focus, r, concat);
}

/* Attributes for two spatial dims; another number of values means another rank. */
static bool is_planar(const Onnx__NodeProto *node)
{
    static const struct {
        const char *name;
        size_t num;
    } lists[] = {{"kernel_shape", 2}, {"strides", 2}, {"dilations", 2}, {"pads", 4}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const Onnx__AttributeProto *a = lbw_node_attribute(node, lists[i].name);
        if (a && a->n_ints != lists[i].num)
            return false;
    }
    return true;
}

bool lbw_native_match(struct lbw_native_call *out, const struct lbw_native_finder *finder,
                      const Onnx__NodeProto *node)
{
    struct lbw_native_call call = {0};
    bool matches = false;
    if (lbw_node_has_reference(node))
        return false;
    if (lbw_node_is(node, "Conv")) {
        call.is_conv = true;
        matches = is_planar(node) && match_conv(&call, finder, node);
    } else if (lbw_node_is(node, "MaxPool")) {
        matches = is_planar(node) && match_pool(&call, finder, node);
    } else if (lbw_node_is(node, "AveragePool")) {
        matches = is_planar(node) && match_average(&call, finder, node);
    } else if (lbw_node_is(node, "QuantizeLinear")) {
        matches = !ends_focus(finder, node) && lbw_native_match_channels(&call, finder, node);
    } else if (lbw_node_is(node, "Softmax")) {
        matches = lbw_native_match_softmax(&call, finder, node);
    } else if (lbw_node_is(node, "Concat")) {
        matches = match_focus(&call, finder, node) || match_concat(&call, finder, node);
    }
    if (matches)
        *out = call;
    return matches;
}
