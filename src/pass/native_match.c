/* SPDX-License-Identifier: MIT */
/* Layers between QuantizeLinear and DequantizeLinear, matched with operators. */
#include "pass/native_match.h"

#include <string.h>

#include "onnx/tensor.h"
#include "pass/encode.h"
#include "pass/native_channels.h"
#include "pass/native_conv.h"
#include "pass/native_float.h"
#include "pass/native_head.h"

#define MAX_PARTS 8

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

static bool match_pool(struct lbw_native_call *call, const struct lbw_native_finder *r,
                       const Onnx__NodeProto *pool)
{
    const Onnx__NodeProto *x = lbw_native_dequantizer(r, lbw_node_input(pool, 0));
    const Onnx__AttributeProto *kernel = lbw_node_attribute(pool, "kernel_shape");
    call->last = lbw_native_quantizer(r, pool);
    if (!x || !call->last || pool->n_output != 1 || !kernel || kernel->n_ints != 2 ||
        lbw_native_has_auto_pad(pool) || !lbw_native_has_same_scaling(r, x, call->last))
        return false;
    lbw_native_add_input(call, lbw_node_input(x, 0));
    lbw_native_add_scaling(call, x);
    call->op = "QMaxPool";
    call->attributed[0] = pool;
    return true;
}

/* What a Pad adds around images: zeros, in the order of the attribute `pads`. */
static bool read_pad(int64_t pads[4], const struct lbw_native_finder *r,
                     const Onnx__NodeProto *pad)
{
    const Onnx__TensorProto *amounts = lbw_native_constant(r, lbw_node_input(pad, 1));
    const char *value = lbw_node_input(pad, 2);
    const Onnx__TensorProto *constant = lbw_native_constant(r, value);
    struct lbw_tensor view;
    int64_t all[8];
    float number = 0;
    if (!amounts || !lbw_node_says(pad, "mode", "constant", true) || (*value && !constant) ||
        *lbw_node_input(pad, 3) || lbw_tensor_view(&view, r->model, amounts, NULL) != LBW_OK ||
        view.count != 8 || lbw_tensor_read_int64(&view, all, NULL) != LBW_OK)
        return false;
    if (constant && (lbw_tensor_view(&view, r->model, constant, NULL) != LBW_OK ||
                     view.count != 1 || lbw_tensor_read_float(&view, &number, NULL) != LBW_OK))
        return false;
    for (size_t i = 0; i < 4; i++) {
        pads[i] = all[i < 2 ? i + 2 : i + 4];
        if (all[i < 2 ? i : i + 2] || pads[i] < 0)
            return false;
    }
    return number == 0;
}

/* An average that counts every pixel of the window, padding included, perhaps by a Pad. */
static bool match_average(struct lbw_native_call *call, const struct lbw_native_finder *r,
                          const Onnx__NodeProto *pool)
{
    const char *input = lbw_node_input(pool, 0);
    const Onnx__NodeProto *pad = lbw_native_made_by(r, input, "Pad");
    call->has_pads = pad && read_pad(call->pads, r, pad);
    const Onnx__NodeProto *x =
        lbw_native_dequantizer(r, call->has_pads ? lbw_node_input(pad, 0) : input);
    const Onnx__AttributeProto *pads = lbw_node_attribute(pool, "pads");
    const Onnx__AttributeProto *kernel = lbw_node_attribute(pool, "kernel_shape");
    bool counts_all = lbw_node_int(pool, "count_include_pad", 0) != 0 && !call->has_pads;
    call->last = lbw_native_quantizer(r, pool);
    for (size_t i = 0; pads && i < pads->n_ints && !counts_all; i++)
        if (pads->ints[i])
            return false;
    if (!x || !call->last || !kernel || kernel->n_ints != 2 || lbw_native_has_auto_pad(pool) ||
        lbw_node_int(pool, "ceil_mode", 0) || lbw_node_attribute(pool, "dilations"))
        return false;
    lbw_native_add_input(call, lbw_node_input(x, 0));
    lbw_native_add_scaling(call, x);
    lbw_native_add_scaling(call, call->last);
    call->op = "QAveragePool";
    call->attributed[0] = pool;
    return true;
}

/* The sizes or scales of a Resize: whether they keep a single row or column, if they shrink. */
static bool may_leave_one(const struct lbw_native_finder *r, const char *name)
{
    const Onnx__TensorProto *tensor = lbw_native_constant(r, name);
    struct lbw_tensor view;
    int64_t sizes[4];
    float scales[4];
    if (!tensor || lbw_tensor_view(&view, r->model, tensor, NULL) != LBW_OK || view.count != 4)
        return true;
    if (lbw_tensor_read_int64(&view, sizes, NULL) == LBW_OK)
        return sizes[2] < 2 || sizes[3] < 2;
    return lbw_tensor_read_float(&view, scales, NULL) != LBW_OK || scales[2] < 1 ||
           scales[3] < 1;
}

/* Bilinear, with half pixels; where one is left, there are two kinds of these. */
static bool match_resize(struct lbw_native_call *call, const struct lbw_native_finder *r,
                         const Onnx__NodeProto *resize)
{
    static const char mode[] = "coordinate_transformation_mode";
    const Onnx__NodeProto *x = lbw_native_dequantizer(r, lbw_node_input(resize, 0));
    const char *scales = lbw_node_input(resize, 2), *sizes = lbw_node_input(resize, 3);
    const char *wanted = *sizes ? sizes : scales;
    call->last = lbw_native_quantizer(r, resize);
    if (!x || !call->last || !lbw_native_has_same_scaling(r, x, call->last) || !*wanted ||
        !lbw_node_says(resize, "mode", "linear", false) ||
        !lbw_node_says(resize, "keep_aspect_ratio_policy", "stretch", true) ||
        lbw_node_int(resize, "antialias", 0) || lbw_node_attribute(resize, "axes"))
        return false;
    if (!lbw_node_says(resize, mode, "pytorch_half_pixel", false) &&
        (!lbw_node_says(resize, mode, "half_pixel", true) || may_leave_one(r, wanted)))
        return false;
    lbw_native_add_input(call, lbw_node_input(x, 0));
    lbw_native_add_scaling(call, x);
    lbw_native_add_input(call, wanted);
    call->op = *sizes ? "QResize" : "QResizeBy";
    return true;
}

/* Drops the second of two identical QuantizeLinear. */
static const char *unquantized(const struct lbw_native_finder *r, const char *name,
                               const Onnx__NodeProto *q)
{
    const Onnx__NodeProto *d = lbw_native_dequantizer(r, name);
    const Onnx__NodeProto *p =
        d ? lbw_native_made_by(r, lbw_node_input(d, 0), "QuantizeLinear") : NULL;
    bool same = p && lbw_native_has_byte_scaling(r, p) &&
                lbw_native_has_same_scaling(r, d, q) && lbw_native_has_same_scaling(r, p, q);
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

/* The bytes whose every other row and column, from `phase` on, is `name`: as in a function. */
static const char *bytes_of(const struct lbw_native_finder *r, const char *name,
                            const int64_t phase[2], const Onnx__NodeProto *unused)
{
    const Onnx__NodeProto *slice = lbw_native_made_by(r, name, "Slice");
    int64_t v[4][2]; /* starts, ends, axes, steps */
    (void)unused;
    for (size_t i = 0; slice && i < 4; i++)
        if (lbw_native_ints(v[i], 2, r, lbw_node_input(slice, i + 1)) != 2)
            return NULL;
    bool fits = slice && memcmp(v[0], phase, sizeof v[0]) == 0 && v[1][0] >= INT32_MAX &&
                v[1][1] >= INT32_MAX && v[2][0] == 2 && v[2][1] == 3 && v[3][0] == 2 &&
                v[3][1] == 2;
    const char *x = fits ? lbw_node_input(slice, 0) : "";
    const Onnx__NodeProto *q = lbw_native_made_by(r, x, "QuantizeLinear");
    return q && lbw_native_has_byte_scaling(r, q) ? x : NULL;
}

/* An image's four quarters as channels: of floats that are quantized next, or of bytes. */
static bool match_focus(struct lbw_native_call *call, const struct lbw_native_finder *r,
                        const Onnx__NodeProto *concat)
{
    static const int64_t phases[4][2] = {{0, 0}, {1, 0}, {0, 1}, {1, 1}};
    const Onnx__NodeProto *q = lbw_native_quantizer(r, concat);
    const char *x = NULL;
    if (concat->n_input != 4 || lbw_node_int(concat, "axis", 0) != 1)
        return false;
    for (size_t i = 0; i < 4; i++) {
        const char *source =
            (q ? quarter_of : bytes_of)(r, lbw_node_input(concat, i), phases[i], q);
        if (!source || (x && strcmp(source, x) != 0))
            return false;
        x = source;
    }
    call->op = "QFocus";
    call->last = q ? q : concat;
    call->unquantized = q ? x : NULL;
    if (!q)
        lbw_native_add_input(call, x);
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
        matches = is_planar(node) && lbw_native_match_conv(&call, finder, node);
    } else if (lbw_node_is(node, "MaxPool")) {
        matches = is_planar(node) && match_pool(&call, finder, node);
    } else if (lbw_node_is(node, "AveragePool")) {
        matches = is_planar(node) && match_average(&call, finder, node);
    } else if (lbw_node_is(node, "Resize")) {
        matches = match_resize(&call, finder, node);
    } else if (lbw_node_is(node, "QuantizeLinear")) {
        matches = !ends_focus(finder, node) && lbw_native_match_channels(&call, finder, node);
    } else if (lbw_node_is(node, "Softmax")) {
        matches = lbw_native_match_softmax(&call, finder, node);
    } else if (lbw_node_is(node, "Concat")) {
        matches = match_focus(&call, finder, node) || match_concat(&call, finder, node);
    }
    if (!matches && (lbw_node_is(node, "Concat") || lbw_node_is(node, "Reshape") ||
                     lbw_node_is(node, "Sigmoid") || lbw_node_is(node, "Transpose"))) {
        call = (struct lbw_native_call){0};
        matches = lbw_native_match_head(&call, finder, node);
    }
    if (matches)
        *out = call;
    return matches;
}
