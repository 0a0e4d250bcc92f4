/* SPDX-License-Identifier: MIT */
/* Recognising encoded weights and reading them back, bit for bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "num/pack.h"
#include "pass/encode.h"

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

/* Looks along the graph from one scope. */
struct matcher {
    const struct lbw_index *index;
    const struct lbw_scope *scope;
};

static Onnx__TensorProto *constant_input(const struct matcher *m, const Onnx__NodeProto *node,
                                         size_t i)
{
    struct lbw_value *value = node ? lbw_index_find(m->scope, lbw_node_input(node, i)) : NULL;
    return value ? lbw_index_constant(m->index, value, true) : NULL;
}

/* The node behind input i when it is that standard operator, else NULL. */
static Onnx__NodeProto *producer(const struct matcher *m, const Onnx__NodeProto *node, size_t i,
                                 const char *op)
{
    struct lbw_value *value = node ? lbw_index_find(m->scope, lbw_node_input(node, i)) : NULL;
    bool is_it = value && value->producer && lbw_node_is(value->producer, op);
    return is_it ? value->producer : NULL;
}

/* The shape tensor's values as dims in the arena, with their product. */
static enum lbw_status read_shape(struct lbw_encoded *out, struct lbw_model *model,
                                  const Onnx__TensorProto *proto, struct lbw_error *err)
{
    struct lbw_tensor shape;
    LBW_TRY(lbw_tensor_view(&shape, model, proto, err));
    int64_t *dims = lbw_arena_calloc(&model->arena, shape.count + 1, sizeof *dims);
    if (!dims)
        return lbw_fail_memory(err);
    LBW_TRY(lbw_tensor_read_int64(&shape, dims, err));
    out->count = 1;
    for (size_t i = 0; i < shape.count; i++)
        if (dims[i] < 0 || !lbw_size_mul(&out->count, out->count, (size_t)dims[i]))
            return lbw_fail(err, LBW_ERR_FORMAT, "a shape that cannot be");
    out->dims = dims;
    out->num_dims = shape.count;
    return LBW_OK;
}

/* Sets the axis along which a scale of dims [1, …, n, …, 1] runs; -1 for one value. */
static enum lbw_status read_scale_axis(struct lbw_encoded *out, const Onnx__TensorProto *scale,
                                       struct lbw_error *err)
{
    out->scale_axis = -1;
    for (size_t i = 0; i < scale->n_dims; i++)
        if (scale->dims[i] != 1) {
            if (out->scale_axis >= 0 || scale->n_dims != out->num_dims ||
                scale->dims[i] != out->dims[i])
                return lbw_fail(err, LBW_ERR_FORMAT, "a scale that does not fit its shape");
            out->scale_axis = (int64_t)i;
        }
    return LBW_OK;
}

/* ai.lbw::Decode<grid>[_<type>](words, scale, shape) */
static enum lbw_status match_function(struct lbw_encoded *out, const struct matcher *m,
                                      const Onnx__NodeProto *node, struct lbw_error *err)
{
    char name[16] = "";
    const char *op = node->op_type ? node->op_type : "";
    size_t length = strncmp(op, "Decode", 6) == 0 ? strcspn(op + 6, "_") : sizeof name;
    if (length < sizeof name)
        memcpy(name, op + 6, length);
    out->grid = lbw_grid_by_name(name);
    Onnx__TensorProto *shape = constant_input(m, node, 2);
    out->codes = constant_input(m, node, 0);
    out->scale = constant_input(m, node, 1);
    if (!out->grid || !shape || !out->codes || !out->scale)
        return lbw_fail(err, LBW_ERR_FORMAT, "'%s' is no decoding this version knows", op);
    out->kind = "packed";
    LBW_TRY(read_shape(out, m->index->model, shape, err));
    return read_scale_axis(out, out->scale, err);
}

/* The grid whose levels, up to a common power of two, are the table's. */
static const struct lbw_grid *grid_of_table(struct lbw_model *model,
                                            const Onnx__TensorProto *proto)
{
    struct lbw_tensor table;
    float values[LBW_MAX_LEVELS];
    size_t num_grids;
    const struct lbw_grid *grids = lbw_grids(&num_grids);
    if (lbw_tensor_view(&table, model, proto, NULL) != LBW_OK || table.count > LBW_MAX_LEVELS ||
        lbw_tensor_read_float(&table, values, NULL) != LBW_OK)
        return NULL;
    for (size_t i = 0; i < num_grids; i++) {
        size_t n = (size_t)grids[i].num_levels, same = 0;
        if (n != table.count)
            continue;
        float unit = values[n / 2 + 1] / (float)grids[i].levels[n / 2 + 1];
        for (size_t j = 0; j < n; j++)
            same += values[j] == unit * (float)grids[i].levels[j];
        if (same == n)
            return &grids[i];
    }
    return NULL;
}

/* The same operators as nodes of the graph, from the last Mul backwards. */
static enum lbw_status match_inline(struct lbw_encoded *out, const struct matcher *m,
                                    const Onnx__NodeProto *mul, struct lbw_error *err)
{
    Onnx__NodeProto *shaped = producer(m, mul, 0, "Reshape");
    Onnx__NodeProto *cut = producer(m, shaped, 0, "Slice");
    Onnx__NodeProto *flat = producer(m, cut, 0, "Reshape");
    Onnx__NodeProto *gather = producer(m, flat, 0, "Gather");
    Onnx__NodeProto *digits = producer(m, gather, 1, "Sub");
    Onnx__NodeProto *quotient = producer(m, digits, 0, "Div");
    Onnx__NodeProto *column = producer(m, quotient, 0, "Reshape");
    Onnx__NodeProto *wide = producer(m, column, 0, "Cast");
    Onnx__NodeProto *factor = producer(m, mul, 1, "Cast");
    Onnx__TensorProto *table = constant_input(m, gather, 0);
    Onnx__TensorProto *shape = constant_input(m, shaped, 1);
    Onnx__TensorProto *words = constant_input(m, wide, 0);
    Onnx__TensorProto *scale = constant_input(m, factor, 0);
    const struct lbw_grid *grid = table ? grid_of_table(m->index->model, table) : NULL;
    if (!shape || !words || !scale || !grid)
        return LBW_OK;
    *out = (struct lbw_encoded){.kind = "inline", .grid = grid, .codes = words, .scale = scale};
    LBW_TRY(read_shape(out, m->index->model, shape, err));
    return read_scale_axis(out, scale, err);
}

static void match_codes(struct lbw_encoded *out, Onnx__TensorProto *codes)
{
    out->kind = "dq";
    out->type = lbw_data_type_name(codes->data_type);
    out->codes = codes;
    out->dims = codes->dims;
    out->num_dims = codes->n_dims;
    out->count = 1;
    for (size_t i = 0; i < codes->n_dims; i++)
        if (codes->dims[i] < 0 ||
            !lbw_size_mul(&out->count, out->count, (size_t)codes->dims[i]))
            out->count = 0;
}

/* DequantizeLinear with constant codes and scale, without or with a zero zero-point. */
static bool match_dequantize(struct lbw_encoded *out, const struct matcher *m,
                             const Onnx__NodeProto *node)
{
    Onnx__TensorProto *codes = constant_input(m, node, 0), *scale = constant_input(m, node, 1);
    if (!codes || !scale || *lbw_node_input(node, 2) || lbw_node_int(node, "block_size", 0))
        return false;
    match_codes(out, codes);
    out->scale = scale;
    out->scale_axis = scale->n_dims == 0 ? -1 : lbw_node_int(node, "axis", 1);
    if (out->scale_axis < -1)
        out->scale_axis += (int64_t)out->num_dims;
    return true;
}

static enum lbw_status match_mul(struct lbw_encoded *out, const struct matcher *m,
                                 const Onnx__NodeProto *mul, struct lbw_error *err)
{
    Onnx__TensorProto *scale = constant_input(m, mul, 1);
    Onnx__NodeProto *cast = producer(m, mul, 0, "Cast");
    Onnx__NodeProto *dequantize = producer(m, mul, 0, "DequantizeLinear");
    Onnx__TensorProto *codes = constant_input(m, cast, 0);
    if (scale && dequantize && match_dequantize(out, m, dequantize)) {
        out->outer_scale = scale;
        int64_t inner_axis = out->scale_axis;
        LBW_TRY(read_scale_axis(out, scale, err));
        if (inner_axis >= 0)
            out->kind = NULL; /* scales along two axes: not ours */
        return LBW_OK;
    }
    if (scale && codes &&
        (codes->data_type == TYPE(INT8) || codes->data_type == TYPE(FLOAT16))) {
        match_codes(out, codes);
        out->outer_scale = scale;
        return read_scale_axis(out, scale, err);
    }
    return match_inline(out, m, mul, err);
}

/* As many codes as the shape says, before anyone makes room for their values. */
static enum lbw_status check_codes(const struct lbw_encoded *e, struct lbw_model *model,
                                   struct lbw_error *err)
{
    struct lbw_tensor codes;
    LBW_TRY(lbw_tensor_view(&codes, model, e->codes, err));
    size_t expected = e->grid ? lbw_pack_num_words(e->grid, e->count) : e->count;
    if (codes.count != expected)
        return lbw_fail(err, LBW_ERR_FORMAT, "%zu %s for %zu weights, expected %zu",
                        codes.count, e->grid ? "words" : "codes", e->count, expected);
    return LBW_OK;
}

enum lbw_status lbw_decode_match(struct lbw_encoded *out, const struct lbw_index *index,
                                 const struct lbw_value *value, struct lbw_error *err)
{
    struct matcher m = {index, value->scope};
    const Onnx__NodeProto *node = value->producer;
    struct lbw_encoded found = {.data_type = TYPE(FLOAT)};
    enum lbw_status status = LBW_OK;
    *out = (struct lbw_encoded){0};
    int32_t type = TYPE(FLOAT);
    if (node && lbw_node_is(node, "Cast")) { /* behind an encoding: the weight's own type */
        struct lbw_value *wide = lbw_index_find(m.scope, lbw_node_input(node, 0));
        type = (int32_t)lbw_node_int(node, "to", TYPE(FLOAT));
        node = wide ? wide->producer : NULL;
    }
    if (!node || !lbw_weight_can_be(type))
        return LBW_OK;
    if (node->domain && strcmp(node->domain, LBW_DOMAIN) == 0)
        status = match_function(&found, &m, node, err);
    else if (lbw_node_is(node, "DequantizeLinear"))
        match_dequantize(&found, &m, node);
    else if (lbw_node_is(node, "Mul"))
        status = match_mul(&found, &m, node, err);
    if (status == LBW_OK && found.kind)
        status = check_codes(&found, index->model, err);
    if (status != LBW_OK)
        return lbw_within(err, status, "weight '%s'", value->name);
    const char *suffix =
        found.kind && strcmp(found.kind, "packed") == 0 ? strchr(node->op_type, '_') : NULL;
    if (suffix)
        type = strcmp(suffix, "_float16") == 0    ? TYPE(FLOAT16)
               : strcmp(suffix, "_bfloat16") == 0 ? TYPE(BFLOAT16)
                                                  : TYPE(DOUBLE);
    found.data_type = type;
    if (found.kind)
        *out = found;
    return LBW_OK;
}

/* What each byte of an INT8 or FLOAT8E4M3FN code stands for. */
static void fill_bytes(float out[256], int32_t type)
{
    for (int i = 0; i < 256; i++) {
        int exponent = i >> 3 & 15, mantissa = i & 7;
        float magnitude = exponent ? ldexpf((float)(8 + mantissa), exponent - 10)
                                   : ldexpf((float)mantissa, -9);
        out[i] = type == TYPE(INT8) ? (float)(int8_t)i : i & 0x80 ? -magnitude : magnitude;
    }
}

/* Integer and float8 codes as float32 values, exactly. */
static enum lbw_status read_codes(float *out, struct lbw_model *model,
                                  const Onnx__TensorProto *proto, struct lbw_error *err)
{
    struct lbw_tensor t;
    LBW_TRY(lbw_tensor_view(&t, model, proto, err));
    if ((t.data_type == TYPE(INT8) || t.data_type == TYPE(FLOAT8E4M3FN)) && t.data) {
        float bytes[256];
        fill_bytes(bytes, t.data_type);
        for (size_t i = 0; i < t.count; i++)
            out[i] = bytes[t.data[i]];
        return LBW_OK;
    }
    if ((t.data_type == TYPE(INT4) || t.data_type == TYPE(INT2)) && t.data) {
        int8_t *values = malloc(t.count + 1);
        if (!values)
            return lbw_fail_memory(err);
        if (t.data_type == TYPE(INT4))
            lbw_unpack_int4(values, t.data, t.count);
        else
            lbw_unpack_int2(values, t.data, t.count);
        for (size_t i = 0; i < t.count; i++)
            out[i] = values[i];
        free(values);
        return LBW_OK;
    }
    if (t.data_type == TYPE(FLOAT16) || t.data_type == TYPE(FLOAT4E2M1))
        return lbw_tensor_read_float(&t, out, err);
    int64_t *values = malloc((t.count + 1) * sizeof *values);
    if (!values)
        return lbw_fail_memory(err);
    enum lbw_status status = lbw_tensor_read_int64(&t, values, err);
    for (size_t i = 0; i < t.count && status == LBW_OK; i++)
        out[i] = (float)values[i];
    free(values);
    return status;
}

static enum lbw_status unpack_words(float *out, struct lbw_model *model,
                                    const struct lbw_encoded *e, struct lbw_error *err)
{
    struct lbw_tensor words;
    LBW_TRY(lbw_tensor_view(&words, model, e->codes, err));
    if (!words.data ||
        words.size != lbw_pack_num_words(e->grid, e->count) * (size_t)e->grid->word_size)
        return lbw_fail(err, LBW_ERR_FORMAT,
                        "words of type %s where raw ones of %d bytes belong",
                        lbw_data_type_name(words.data_type), e->grid->word_size);
    uint8_t *codes = malloc(e->count + 1);
    if (!codes)
        return lbw_fail_memory(err);
    enum lbw_status status = LBW_OK;
    if (!lbw_unpack(codes, words.data, e->count, e->grid))
        status = lbw_fail(err, LBW_ERR_FORMAT, "a word out of range");
    int exponent;
    float levels[LBW_MAX_LEVELS];
    frexpf((float)e->grid->levels[e->grid->num_levels - 1], &exponent);
    for (int i = 0; i < e->grid->num_levels; i++)
        levels[i] = ldexpf((float)e->grid->levels[i], 1 - exponent);
    for (size_t i = 0; i < e->count && status == LBW_OK; i++)
        out[i] = levels[codes[i]];
    free(codes);
    return status;
}

/* out *= scale along an axis. */
static enum lbw_status multiply(float *out, struct lbw_model *model,
                                const struct lbw_encoded *e, const Onnx__TensorProto *proto,
                                int64_t axis, struct lbw_error *err)
{
    struct lbw_tensor scale;
    size_t inner = e->count, dim = 1;
    LBW_TRY(lbw_tensor_view(&scale, model, proto, err));
    if (axis >= 0 && (size_t)axis < e->num_dims) {
        dim = (size_t)e->dims[axis];
        inner = 1;
        for (size_t i = (size_t)axis + 1; i < e->num_dims; i++)
            inner *= (size_t)e->dims[i];
    }
    if (scale.count != dim)
        return lbw_fail(err, LBW_ERR_FORMAT, "%zu scales where %zu are needed", scale.count,
                        dim);
    float *factors = malloc((dim + 1) * sizeof *factors);
    if (!factors)
        return lbw_fail_memory(err);
    enum lbw_status status = lbw_tensor_read_float(&scale, factors, err);
    for (size_t i = 0; i < e->count && status == LBW_OK; i += inner)
        for (size_t j = 0; j < inner; j++)
            out[i + j] *= factors[i / inner % dim];
    free(factors);
    return status;
}

enum lbw_status lbw_decode_values(float *out, struct lbw_model *model,
                                  const struct lbw_encoded *e, struct lbw_error *err)
{
    if (e->grid)
        LBW_TRY(unpack_words(out, model, e, err));
    else
        LBW_TRY(read_codes(out, model, e->codes, err));
    if (e->scale)
        LBW_TRY(multiply(out, model, e, e->scale, e->outer_scale ? -1 : e->scale_axis, err));
    if (e->outer_scale)
        LBW_TRY(multiply(out, model, e, e->outer_scale, e->scale_axis, err));
    return LBW_OK;
}
