/* SPDX-License-Identifier: MIT */
/*
 * The dq encoding: DequantizeLinear over the smallest standard type that holds the grid exactly
 * and that the model's opset has; Cast and Mul below opset 10.
 */
#include <math.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"
#include "num/pack.h"
#include "onnx/opset.h"
#include "pass/encode.h"

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

#define TAKES(target) (1u << LBW_TARGET_##target)
#define EVERYWHERE    (TAKES(ORT) | TAKES(TENSORRT) | TAKES(OPENVINO) | TAKES(ANY))

/* A standard type that codes may be stored in. */
struct carrier {
    int32_t type;
    int32_t max;    /* largest level magnitude held, as an integer times 2^-shift */
    int shift;      /* levels are stored times 2^-shift */
    bool is_pow2;   /* holds powers of two only, not the sums of two-term grids */
    int64_t opset;  /* least opset of DequantizeLinear (of Cast where uses_cast) */
    int64_t ir;     /* least IR version */
    bool uses_cast; /* DequantizeLinear does not support it: Cast and Mul */
    unsigned takers;
};

/*
 * Smallest first; the first that fits is taken. Who takes what as input of DequantizeLinear:
 * - ONNX Runtime: measured with 1.30 and 1.32 on x86-64; FLOAT4E2M1 is refused.
 * - TensorRT: the operator table of its ONNX parser (onnx-tensorrt, docs/operators.md of
 *   10.1: INT8, FP8 and INT4; its Cast does not take INT8).
 * - OpenVINO: measured with 2026.4 (docs/compatibility.md), which refuses INT2. It takes
 *   FLOAT4E2M1, but the ONNX frontend of 2025 does not know it (get_ov_element_type in
 *   src/frontends/onnx/frontend/src/utils/common.cpp).
 */
static const struct carrier carriers[] = {
    {TYPE(INT2), 1, 0, false, 25, 13, false, TAKES(ORT) | TAKES(ANY)},
    {TYPE(INT4), 7, 0, false, 21, 10, false, EVERYWHERE},
    {TYPE(FLOAT4E2M1), 8, 1, true, 23, 11, false, TAKES(ANY)},
    {TYPE(INT8), 127, 0, false, 10, 4, false, EVERYWHERE},
    {TYPE(INT8), 127, 0, false, 6, 4, true, EVERYWHERE & ~TAKES(TENSORRT)},
    {TYPE(FLOAT8E4M3FN), 32768, 9, true, 19, 9, false, EVERYWHERE},
    {TYPE(FLOAT16), 32768, 0, false, 6, 4, true, EVERYWHERE},
};

static const char *const target_names[] = {"ort", "tensorrt", "openvino", "any"};

const char *lbw_target_name(enum lbw_target target)
{
    return lbw_name_of(target_names, LBW_NUM(target_names), target);
}

enum lbw_status lbw_target_check(enum lbw_target target, struct lbw_error *err)
{
    return lbw_check_choice("target", target, LBW_NUM(target_names), err);
}

/* Whether the scope of the weight has constants of the type, and the nodes that read it. */
static bool is_at_hand(const struct carrier *c, const struct lbw_encoder *encoder,
                       const struct lbw_weight *weight)
{
    const char *ops[4] = {c->uses_cast ? "Cast" : "DequantizeLinear"};
    size_t num = 1;
    if (c->uses_cast || encoder->at_opset < 13)
        ops[num++] = "Mul";
    if (weight->tensor->data_type != TYPE(FLOAT))
        ops[num++] = "Cast";
    return encoder->at_opset >= c->opset && !lbw_encode_obstacle(encoder, ops) &&
           (encoder->has_integers || c->type == TYPE(FLOAT16));
}

static const struct carrier *choose_carrier(const struct lbw_weight *weight,
                                            const struct lbw_encoder *encoder, bool is_integer)
{
    const struct lbw_grid *grid = weight->item.grid;
    for (size_t i = 0; i < sizeof carriers / sizeof *carriers; i++) {
        const struct carrier *c = &carriers[i];
        if (grid->levels[grid->num_levels - 1] <= c->max && is_at_hand(c, encoder, weight) &&
            (c->takers & 1u << encoder->target) && (grid->terms == 1 || !c->is_pow2) &&
            (!is_integer || c->type == TYPE(INT8))) /* the input of layers on integers */
            return c;
    }
    return NULL;
}

/* ± 2^exponent (or 0) as FLOAT8E4M3FN: exponent bias 7, subnormals in steps of 2^-9. */
static unsigned char float8_of(int32_t level, int shift)
{
    if (level == 0)
        return 0;
    int exponent = ilogb(fabs((double)level)) - shift;
    unsigned sign = level < 0 ? 0x80 : 0;
    unsigned bits = exponent >= -6 ? (unsigned)(exponent + 7) << 3 : 1u << (exponent + 9);
    return (unsigned char)(sign | bits);
}

/* ± 2^exponent (or 0) as FLOAT4E2M1: 2 exponent bits of bias 1, the only subnormal is 0.5. */
static int8_t float4_of(int32_t level, int shift)
{
    if (level == 0)
        return 0;
    int exponent = ilogb(fabs((double)level)) - shift;
    int bits = exponent >= 0 ? (exponent + 1) << 1 : 1;
    return (int8_t)(level < 0 ? bits | 8 : bits);
}

/* One byte per weight, also for types that are packed afterwards. */
static void *carry(struct lbw_model *model, const struct lbw_weight *weight,
                   const uint8_t *codes, const struct carrier *carrier, size_t *size)
{
    const int32_t *levels = weight->item.grid->levels;
    size_t n = weight->item.count, bits = lbw_data_type_bits(carrier->type);
    *size = (n * bits + 7) / 8;
    unsigned char *data = lbw_mapped_alloc(model, *size);
    int8_t *narrow = bits < 8 ? malloc(n) : NULL;
    if (!data || (bits < 8 && !narrow)) {
        free(narrow);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        int32_t level = levels[codes[i]];
        if (carrier->type == TYPE(FLOAT16))
            lbw_store_le(data + 2 * i, lbw_half_from_float((float)level), 2);
        else if (carrier->type == TYPE(FLOAT8E4M3FN))
            data[i] = float8_of(level, carrier->shift);
        else if (carrier->type == TYPE(FLOAT4E2M1))
            narrow[i] = float4_of(level, carrier->shift);
        else if (bits == 8)
            data[i] = (unsigned char)level;
        else
            narrow[i] = (int8_t)level;
    }
    if (bits == 4)
        lbw_pack_int4(data, narrow, n);
    else if (bits == 2)
        lbw_pack_int2(data, narrow, n);
    free(narrow);
    return data;
}

/* float32 scales; along an axis of the weight for Mul, else a vector, or a scalar. */
static Onnx__TensorProto *scale_tensor(struct lbw_model *model, const char *name,
                                       const struct lbw_weight *weight, const float *steps,
                                       size_t num, int axis, int shift, bool for_mul)
{
    unsigned char *data = lbw_arena_alloc(&model->arena, 4 * num);
    for (size_t i = 0; data && i < num; i++)
        lbw_store_le(data + 4 * i, lbw_float_bits(ldexpf(steps[i], shift)), 4);
    int64_t dims[LBW_MAX_DIMS] = {1, 1, 1, 1, 1, 1, 1, 1};
    size_t num_dims = axis < 0 ? 0 : for_mul ? weight->item.num_dims : 1;
    if (axis >= 0)
        dims[for_mul ? axis : 0] = (int64_t)num;
    return data ? lbw_tensor_new(model, name, TYPE(FLOAT), dims, num_dims, data, 4 * num)
                : NULL;
}

/* Names and nodes of one weight, from codes to values. */
struct chain {
    struct lbw_encoder *encoder;
    struct lbw_decoding *out;
    const struct lbw_weight *weight;
    const struct lbw_codes *codes;
    const struct carrier *carrier;
    bool failed;
};

static const char *make_name(struct chain *c, const char *suffix)
{
    struct lbw_model *model = c->encoder->model;
    char *stem = lbw_arena_printf(&model->arena, "%s.%s", c->weight->item.tensor, suffix);
    const char *name = stem ? lbw_names_make(c->encoder->names, model, stem) : NULL;
    c->failed = c->failed || !name;
    return name ? name : "";
}

static Onnx__NodeProto *add_node_of(struct chain *c, const char *op, const char *const *inputs,
                                    const char *output)
{
    const char *const outputs[] = {output, NULL};
    Onnx__NodeProto *node = lbw_build_node(c->encoder->model, "", op, "", inputs, outputs);
    c->failed = c->failed || !node;
    c->out->nodes[c->out->num_nodes++] = node;
    return node;
}

static Onnx__NodeProto *add_node(struct chain *c, const char *op, const char *a, const char *b,
                                 const char *output)
{
    const char *const inputs[] = {a, b, NULL};
    return add_node_of(c, op, inputs, output);
}

static const char *add_scale(struct chain *c, const float *steps, size_t num, int axis,
                             bool for_mul)
{
    const char *name = make_name(c, "scale");
    Onnx__TensorProto *tensor =
        scale_tensor(c->encoder->model, name, c->weight, steps, num, axis,
                     steps == c->codes->steps ? c->carrier->shift : 0, for_mul);
    c->failed =
        !lbw_encode_constant(c->out, c->encoder, c->weight->value->scope, tensor) || c->failed;
    c->out->size += 4 * num;
    return name;
}

/* DequantizeLinear alone if it supports the scales, else with one scale of 1 before a Mul. */
static void add_dequantize(struct chain *c, const char *codes, const char *output)
{
    static const float one = 1;
    const struct lbw_codes *q = c->codes;
    if (q->axis < 0 || c->encoder->at_opset >= 13) {
        const char *scale = add_scale(c, q->steps, q->num_steps, q->axis, false);
        const char *zero = lbw_encode_zero_point(c->out, c->encoder, c->weight, q);
        c->failed = c->failed || !zero;
        const char *const inputs[] = {codes, scale, zero && *zero ? zero : NULL, NULL};
        Onnx__NodeProto *node = add_node_of(c, "DequantizeLinear", inputs, output);
        if (q->axis >= 0 && !lbw_build_int(c->encoder->model, node, "axis", q->axis))
            c->failed = true;
        return;
    }
    const char *plain = make_name(c, "plain");
    const char *unit = add_scale(c, &one, 1, -1, false);
    add_node(c, "DequantizeLinear", codes, unit, plain);
    add_node(c, "Mul", plain, add_scale(c, q->steps, q->num_steps, q->axis, true), output);
}

static void add_cast(struct chain *c, const char *input, const char *output, int32_t type)
{
    Onnx__NodeProto *node = add_node(c, "Cast", input, NULL, output);
    c->failed = !lbw_build_int(c->encoder->model, node, "to", type) || c->failed;
}

static void add_decoding(struct chain *c, const char *codes, const char *output)
{
    const struct lbw_codes *q = c->codes;
    if (!c->carrier->uses_cast) {
        add_dequantize(c, codes, output);
        return;
    }
    const char *plain = make_name(c, "plain");
    add_cast(c, codes, plain, TYPE(FLOAT));
    add_node(c, "Mul", plain, add_scale(c, q->steps, q->num_steps, q->axis, true), output);
}

static bool is_smaller(const struct carrier *carrier, int32_t type)
{
    return carrier && lbw_data_type_bits(carrier->type) < lbw_data_type_bits(type);
}

/* Why values stay plain, and the opset from which they need not; NULL when memory is out. */
static const char *explain_plain(const struct lbw_encoder *encoder,
                                 const struct lbw_weight *weight)
{
    struct lbw_arena *arena = &encoder->model->arena;
    int32_t type = weight->tensor->data_type;
    struct lbw_encoder later = *encoder;
    later.has_integers = true;
    /* a model may claim any opset, even INT64_MAX */
    for (int64_t opset = LBW_MIN_OPSET; opset <= LBW_MAX_OPSET; opset++) {
        later.opset = later.at_opset = opset;
        const struct carrier *carrier = choose_carrier(weight, &later, false);
        if (opset > encoder->at_opset && opset >= encoder->opset && is_smaller(carrier, type))
            return lbw_arena_printf(
                arena,
                "opset %lld has no type below %s that holds grid %s; %s does with --opset %lld",
                (long long)encoder->at_opset, lbw_data_type_name(type), weight->item.grid->name,
                lbw_data_type_name(carrier->type), (long long)opset);
    }
    return lbw_arena_printf(arena, "no type below %s holds grid %s", lbw_data_type_name(type),
                            weight->item.grid->name);
}

enum lbw_status lbw_encode_dq(struct lbw_decoding *out, struct lbw_encoder *encoder,
                              const struct lbw_weight *weight, const struct lbw_codes *codes,
                              struct lbw_error *err)
{
    struct lbw_model *model = encoder->model;
    const struct lbw_scope *scope = weight->value->scope;
    int32_t type = weight->tensor->data_type;
    const struct carrier *carrier = choose_carrier(weight, encoder, codes->is_integer);
    if (!is_smaller(carrier, type)) {
        out->note = explain_plain(encoder, weight);
        return out->note ? lbw_encode_float(out, encoder, weight, codes, err)
                         : lbw_fail_memory(err);
    }
    struct chain c = {encoder, out, weight, codes, carrier, false};
    size_t size;
    void *data = carry(model, weight, codes->codes, carrier, &size);
    const char *name = make_name(&c, "codes");
    Onnx__TensorProto *tensor =
        data ? lbw_tensor_new(model, name, carrier->type, weight->item.dims,
                              weight->item.num_dims, data, size)
             : NULL;
    c.failed = !lbw_encode_constant(out, encoder, scope, tensor) || c.failed;
    out->size = size;
    if (type == TYPE(FLOAT)) {
        add_decoding(&c, name, weight->item.tensor);
    } else {
        const char *wide = make_name(&c, "float32");
        add_decoding(&c, name, wide);
        add_cast(&c, wide, weight->item.tensor, type);
    }
    if (model->proto->ir_version < carrier->ir)
        model->proto->ir_version = carrier->ir;
    return c.failed ? lbw_fail_memory(err) : LBW_OK;
}
