/* SPDX-License-Identifier: MIT */
/* Recognising encoded weights and reading them back, bit for bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "num/pack.h"
#include "num/project.h"
#include "pass/encode.h"
#include "pass/recover.h"

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

/* For looking around in the graph from one scope. */
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

/* The node that produces input i if it is that standard operator, else NULL. */
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
            return lbw_fail(err, LBW_ERR_FORMAT, "invalid shape");
    out->dims = dims;
    out->num_dims = shape.count;
    return LBW_OK;
}

/* Accepts a scale of dims [1, …, n, …, 1], or of one value (axis -1). */
static bool take_scale(struct lbw_encoded *out, Onnx__TensorProto *scale)
{
    int64_t axis = -1;
    if (scale->n_dims > out->num_dims)
        return false;
    for (size_t i = 0; i < scale->n_dims; i++)
        if (scale->dims[i] != 1) {
            if (axis >= 0 || scale->n_dims != out->num_dims || scale->dims[i] != out->dims[i])
                return false;
            axis = (int64_t)i;
        }
    out->scale = scale;
    out->scale_axis = axis;
    return true;
}

/* The type in the name of an ai.lbw function; UNDEFINED if there is none. */
static int32_t type_of_function(const char *op)
{
    static const int32_t types[] = {TYPE(FLOAT16), TYPE(BFLOAT16), TYPE(DOUBLE)};
    const char *suffix = strchr(op, '_');
    for (size_t i = 0; suffix && i < sizeof types / sizeof *types; i++)
        if (strcmp(suffix + 1, lbw_data_type_name(types[i])) == 0)
            return types[i];
    return suffix ? TYPE(UNDEFINED) : TYPE(FLOAT);
}

/* The grid in the name of an ai.lbw function, or NULL. */
static const struct lbw_grid *grid_of_function(const char *op)
{
    char name[16] = "";
    size_t length = strncmp(op, "Decode", 6) == 0 ? strcspn(op + 6, "_") : sizeof name;
    if (length < sizeof name)
        memcpy(name, op + 6, length);
    return lbw_grid_by_name(name);
}

/* ai.lbw::Decode<grid>[_<type>](words, scale, shape) */
static enum lbw_status match_function(struct lbw_encoded *out, const struct matcher *m,
                                      const Onnx__NodeProto *node, struct lbw_error *err)
{
    const char *op = node->op_type ? node->op_type : "";
    out->grid = grid_of_function(op);
    Onnx__TensorProto *shape = constant_input(m, node, 2), *scale = constant_input(m, node, 1);
    out->codes = constant_input(m, node, 0);
    out->data_type = type_of_function(op);
    if (!out->grid || !out->data_type || !shape || !out->codes || !scale)
        return lbw_fail(err, LBW_ERR_FORMAT, "'%s' is a decoder unknown to this version", op);
    out->kind = "packed";
    LBW_TRY(read_shape(out, m->index->model, shape, err));
    return take_scale(out, scale)
               ? LBW_OK
               : lbw_fail(err, LBW_ERR_FORMAT, "the scale does not match the shape");
}

/* Integers and small floats as float32 values, exactly. */
static enum lbw_status read_numbers(float *out, const struct lbw_tensor *t,
                                    struct lbw_error *err)
{
    if (lbw_tensor_read_float(t, out, NULL) == LBW_OK)
        return LBW_OK;
    int64_t *values = malloc((t->count + 1) * sizeof *values);
    if (!values)
        return lbw_fail_memory(err);
    enum lbw_status status = lbw_tensor_read_int64(t, values, err);
    for (size_t i = 0; i < t->count && status == LBW_OK; i++)
        out[i] = (float)values[i];
    free(values);
    return status;
}

/* The grid whose levels equal those of the table up to a power of two. */
static const struct lbw_grid *grid_of_table(struct lbw_model *model,
                                            const Onnx__TensorProto *proto)
{
    struct lbw_tensor table;
    float values[LBW_MAX_LEVELS];
    size_t num_grids;
    const struct lbw_grid *grids = lbw_grid_table(&num_grids);
    if (lbw_tensor_view(&table, model, proto, NULL) != LBW_OK || table.count > LBW_MAX_LEVELS ||
        read_numbers(values, &table, NULL) != LBW_OK)
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

/* The digits that a Reshape at the end shapes: words, shape and grid, or nothing. */
static enum lbw_status match_digits(struct lbw_encoded *out, const struct matcher *m,
                                    const Onnx__NodeProto *shaped, struct lbw_error *err)
{
    Onnx__NodeProto *cut = producer(m, shaped, 0, "Slice");
    Onnx__NodeProto *flat = producer(m, cut, 0, "Reshape");
    Onnx__NodeProto *gather = producer(m, flat, 0, "Gather");
    Onnx__NodeProto *digits = producer(m, gather, 1, "Sub");
    Onnx__NodeProto *quotient = producer(m, digits, 0, "Div");
    Onnx__NodeProto *column = producer(m, quotient, 0, "Reshape");
    Onnx__NodeProto *wide = producer(m, column, 0, "Cast");
    Onnx__TensorProto *table = constant_input(m, gather, 0);
    Onnx__TensorProto *shape = constant_input(m, shaped, 1);
    Onnx__TensorProto *words = constant_input(m, wide, 0);
    const struct lbw_grid *grid = table ? grid_of_table(m->index->model, table) : NULL;
    if (!shape || !words || !grid)
        return LBW_OK;
    enum lbw_status status = read_shape(out, m->index->model, shape, err);
    if (status != LBW_OK) /* a Reshape may read other things than a shape */
        return status == LBW_ERR_FORMAT ? LBW_OK : status;
    out->grid = grid;
    out->codes = words;
    out->is_integer = table->data_type == TYPE(INT8);
    return LBW_OK;
}

/* The same operators as nodes of the graph, from the last Mul backwards. */
static enum lbw_status match_inline(struct lbw_encoded *out, const struct matcher *m,
                                    const Onnx__NodeProto *mul, struct lbw_error *err)
{
    Onnx__NodeProto *factor = producer(m, mul, 1, "Cast");
    Onnx__TensorProto *scale = constant_input(m, factor, 0);
    if (!scale || lbw_node_int(factor, "to", 0) != TYPE(FLOAT))
        return LBW_OK;
    LBW_TRY(match_digits(out, m, producer(m, mul, 0, "Reshape"), err));
    if (out->codes && !out->is_integer && take_scale(out, scale))
        out->kind = "inline";
    return LBW_OK;
}

/* The codes of a DequantizeLinear, of types that float32 holds exactly. */
static bool take_codes(struct lbw_encoded *out, Onnx__TensorProto *codes)
{
    unsigned bits = lbw_data_type_bits(codes->data_type);
    out->type = lbw_data_type_name(codes->data_type);
    out->codes = codes;
    out->dims = codes->dims;
    out->num_dims = codes->n_dims;
    out->count = 1;
    for (size_t i = 0; i < codes->n_dims; i++)
        if (codes->dims[i] < 0 ||
            !lbw_size_mul(&out->count, out->count, (size_t)codes->dims[i]))
            out->count = 0;
    return bits > 0 && bits <= 16;
}

/* ai.lbw::Decode<grid>_int8(words, shape), or the same nodes: codes not yet scaled. */
static enum lbw_status match_integers(struct lbw_encoded *out, const struct matcher *m,
                                      const Onnx__NodeProto *dequantize, struct lbw_error *err)
{
    const struct lbw_value *value = lbw_index_find(m->scope, lbw_node_input(dequantize, 0));
    const Onnx__NodeProto *node = value ? value->producer : NULL;
    const char *op = node && node->op_type ? node->op_type : "";
    bool is_call = node && node->domain && strcmp(node->domain, LBW_DOMAIN) == 0;
    if (!node || (!is_call && !lbw_node_is(node, "Reshape")))
        return LBW_OK;
    if (!is_call)
        return match_digits(out, m, node, err);
    Onnx__TensorProto *shape = constant_input(m, node, 1);
    const char *suffix = strchr(op, '_');
    out->grid = grid_of_function(op);
    out->codes = constant_input(m, node, 0);
    out->is_integer = suffix && strcmp(suffix, "_int8") == 0;
    if (!out->grid || !shape || !out->codes || !out->is_integer)
        return lbw_fail(err, LBW_ERR_FORMAT, "'%s' is a decoder unknown to this version", op);
    return read_shape(out, m->index->model, shape, err);
}

/* Whether a DequantizeLinear has no zero point but zero. */
static bool is_centred(const struct matcher *m, const Onnx__NodeProto *node)
{
    Onnx__TensorProto *zero = constant_input(m, node, 2);
    struct lbw_tensor tensor;
    if (!*lbw_node_input(node, 2))
        return true;
    if (!zero || zero->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__INT8 ||
        lbw_tensor_view(&tensor, m->index->model, zero, NULL) != LBW_OK)
        return false;
    int64_t *values = malloc((tensor.count + 1) * sizeof *values);
    bool is_zero = values && lbw_tensor_read_int64(&tensor, values, NULL) == LBW_OK;
    for (size_t i = 0; is_zero && i < tensor.count; i++)
        is_zero = values[i] == 0;
    free(values);
    return is_zero;
}

/* Their DequantizeLinear: scales along an axis, after a Cast if they are stored as halves. */
static enum lbw_status match_scaled(struct lbw_encoded *out, const struct matcher *m,
                                    const Onnx__NodeProto *node, struct lbw_error *err)
{
    const Onnx__NodeProto *cast = producer(m, node, 1, "Cast");
    Onnx__TensorProto *scale = constant_input(m, cast ? cast : node, cast ? 0 : 1);
    bool is_call = false;
    if (!scale || scale->n_dims > 1 || !is_centred(m, node) ||
        lbw_node_int(node, "block_size", 0) ||
        (cast && lbw_node_int(cast, "to", 0) != TYPE(FLOAT)) ||
        (scale->data_type != TYPE(FLOAT) && !(cast && scale->data_type == TYPE(FLOAT16))))
        return LBW_OK;
    struct lbw_encoded found = *out;
    LBW_TRY(match_integers(&found, m, node, err));
    if (!found.codes || !found.is_integer)
        return LBW_OK;
    const struct lbw_value *value = lbw_index_find(m->scope, lbw_node_input(node, 0));
    is_call = !lbw_node_is(value->producer, "Reshape");
    int64_t axis = lbw_node_int(node, "axis", 1), rank = (int64_t)found.num_dims;
    axis += axis < 0 ? rank : 0;
    bool is_one = scale->n_dims == 0;
    if (!is_one && (axis < 0 || axis >= rank || found.dims[axis] != scale->dims[0]))
        return LBW_OK;
    found.scale = scale;
    found.scale_axis = is_one ? -1 : axis;
    found.kind = is_call ? "packed" : "inline";
    *out = found;
    return LBW_OK;
}

/* DequantizeLinear to float32 with constant codes and scales, without blocks. */
static void match_dequantize(struct lbw_encoded *out, const struct matcher *m,
                             const Onnx__NodeProto *node)
{
    Onnx__TensorProto *codes = constant_input(m, node, 0), *scale = constant_input(m, node, 1);
    int64_t type = lbw_node_int(node, "output_dtype", 0);
    if (lbw_node_has_reference(node))
        return; /* every call of the function has a different one */
    if (!codes || !scale || scale->data_type != TYPE(FLOAT) || scale->n_dims > 1 ||
        !is_centred(m, node) || lbw_node_int(node, "block_size", 0) ||
        (type && type != TYPE(FLOAT)) || !take_codes(out, codes))
        return;
    int64_t axis = lbw_node_int(node, "axis", 1), rank = (int64_t)codes->n_dims;
    axis += axis < 0 ? rank : 0;
    bool is_one = scale->n_dims == 0 || scale->dims[0] == 1;
    if (!is_one && (axis < 0 || axis >= rank || codes->dims[axis] != scale->dims[0]))
        return;
    out->scale = scale;
    out->scale_axis = is_one ? -1 : axis;
    out->kind = "dq";
}

/* Whether the scale has no effect: one value, which is 1. */
static bool is_unit(struct lbw_model *model, const Onnx__TensorProto *scale)
{
    struct lbw_tensor tensor;
    float value;
    return lbw_tensor_view(&tensor, model, scale, NULL) == LBW_OK && tensor.count == 1 &&
           lbw_tensor_read_float(&tensor, &value, NULL) == LBW_OK && value == 1;
}

/* The dq encoding of earlier opsets: a Mul of the scales and codes converted to float32. */
static enum lbw_status match_mul(struct lbw_encoded *out, const struct matcher *m,
                                 const Onnx__NodeProto *mul, struct lbw_error *err)
{
    Onnx__TensorProto *scale = constant_input(m, mul, 1);
    Onnx__NodeProto *cast = producer(m, mul, 0, "Cast");
    Onnx__NodeProto *dequantize = producer(m, mul, 0, "DequantizeLinear");
    Onnx__TensorProto *codes = constant_input(m, cast, 0);
    if (!scale)
        return match_inline(out, m, mul, err);
    bool is_ours = false;
    if (dequantize) {
        match_dequantize(out, m, dequantize);
        is_ours = out->kind && is_unit(m->index->model, out->scale);
    } else if (codes && lbw_node_int(cast, "to", 0) == TYPE(FLOAT)) {
        is_ours = (codes->data_type == TYPE(INT8) || codes->data_type == TYPE(FLOAT16)) &&
                  take_codes(out, codes);
    }
    is_ours = is_ours && scale->data_type == TYPE(FLOAT) && take_scale(out, scale);
    out->kind = is_ours ? "dq" : NULL;
    return LBW_OK;
}

/*
 * Checks that there are as many codes as the shape says, before memory for them is allocated.
 */
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

/* The different values of the codes if they have few bits, else all. */
static enum lbw_status distinct_numbers(float **out, size_t *num, const struct lbw_tensor *t,
                                        struct lbw_error *err)
{
    size_t bits = lbw_data_type_bits(t->data_type), used = 0;
    unsigned char bytes[256];
    bool seen[256] = {false};
    struct lbw_tensor few = *t;
    if (bits <= 8 && t->data) {
        for (size_t i = 0; i < t->size; i++)
            seen[t->data[i]] = true;
        for (size_t i = 0; i < sizeof bytes; i++)
            if (seen[i])
                bytes[used++] = (unsigned char)i;
        few.data = bytes;
        few.size = used;
        few.count = used * (8 / bits);
    }
    float *numbers = malloc((few.count + 1) * sizeof *numbers);
    if (!numbers)
        return lbw_fail_memory(err);
    enum lbw_status status = read_numbers(numbers, &few, err);
    if (status == LBW_OK) {
        *out = numbers;
        *num = few.count;
    } else {
        free(numbers);
    }
    return status;
}

/* A DequantizeLinear is ours if a grid has all its values; other tools write it too. */
static enum lbw_status check_grid(bool *is_ours, struct lbw_model *model,
                                  const struct lbw_encoded *e, struct lbw_error *err)
{
    struct lbw_tensor codes;
    float *numbers = NULL;
    size_t num = 0;
    LBW_TRY(lbw_tensor_view(&codes, model, e->codes, err));
    LBW_TRY(distinct_numbers(&numbers, &num, &codes, err));
    *is_ours = lbw_recover_has_grid(numbers, num, e);
    free(numbers);
    return LBW_OK;
}

static enum lbw_status match_node(struct lbw_encoded *out, const struct matcher *m,
                                  const Onnx__NodeProto *node, struct lbw_error *err)
{
    struct lbw_encoded found = {.data_type = TYPE(FLOAT)};
    if (node->domain && strcmp(node->domain, LBW_DOMAIN) == 0)
        LBW_TRY(match_function(&found, m, node, err));
    else if (lbw_node_is(node, "DequantizeLinear") && !constant_input(m, node, 0))
        LBW_TRY(match_scaled(&found, m, node, err));
    else if (lbw_node_is(node, "DequantizeLinear"))
        match_dequantize(&found, m, node);
    else if (lbw_node_is(node, "Mul"))
        LBW_TRY(match_mul(&found, m, node, err));
    if (!found.kind)
        return LBW_OK;
    LBW_TRY(check_codes(&found, m->index->model, err));
    bool is_ours = true;
    if (!found.grid)
        LBW_TRY(check_grid(&is_ours, m->index->model, &found, err));
    if (is_ours)
        *out = found;
    return LBW_OK;
}

/* Casts the weight: if it was a half before, its values are those of a half. */
static void cast(struct lbw_encoded *e, int32_t type)
{
    if (!lbw_weight_can_cast(e->data_type, type))
        e->kind = NULL;
    if (lbw_data_type_bits(e->data_type) == 16)
        e->rounded[e->num_rounded++] = e->data_type;
    e->data_type = type;
}

static enum lbw_status match_value(struct lbw_encoded *out, const struct lbw_index *index,
                                   const struct lbw_value *value, size_t num_casts,
                                   struct lbw_error *err)
{
    const Onnx__NodeProto *node = value->producer;
    if (!node)
        return LBW_OK;
    if (!lbw_node_is(node, "Cast"))
        return match_node(out, &(struct matcher){index, value->scope}, node, err);
    struct lbw_value *before =
        lbw_weight_origin(lbw_index_find(value->scope, lbw_node_input(node, 0)));
    if (!before || num_casts > LBW_MAX_CASTS)
        return LBW_OK;
    LBW_TRY(match_value(out, index, before, num_casts + 1, err));
    if (out->kind)
        cast(out, (int32_t)lbw_node_int(node, "to", 0));
    return LBW_OK;
}

enum lbw_status lbw_decode_match(struct lbw_encoded *out, const struct lbw_index *index,
                                 const struct lbw_value *value, struct lbw_error *err)
{
    struct lbw_encoded found = {0};
    LBW_TRY(
        lbw_within(err, match_value(&found, index, value, 0, err), "weight '%s'", value->name));
    *out = found;
    return LBW_OK;
}

/* By a table of the values of each byte, if codes are bytes: several times faster. */
static enum lbw_status read_codes(float *out, struct lbw_model *model,
                                  const Onnx__TensorProto *proto, struct lbw_error *err)
{
    struct lbw_tensor t;
    LBW_TRY(lbw_tensor_view(&t, model, proto, err));
    size_t bits = lbw_data_type_bits(t.data_type);
    if (bits > 8 || !t.data)
        return read_numbers(out, &t, err);
    size_t per_byte = 8 / bits;
    unsigned char bytes[256];
    float numbers[256 * 8];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)i;
    struct lbw_tensor all = {.data_type = t.data_type,
                             .count = sizeof bytes * per_byte,
                             .data = bytes,
                             .size = sizeof bytes,
                             .name = t.name};
    LBW_TRY(read_numbers(numbers, &all, err));
    for (size_t i = 0; i < t.count; i += per_byte)
        for (size_t k = 0; k < per_byte && i + k < t.count; k++)
            out[i + k] = numbers[t.data[i / per_byte] * per_byte + k];
    return LBW_OK;
}

static enum lbw_status unpack_words(float *out, struct lbw_model *model,
                                    const struct lbw_encoded *e, struct lbw_error *err)
{
    struct lbw_tensor words;
    LBW_TRY(lbw_tensor_view(&words, model, e->codes, err));
    if (!words.data ||
        words.size != lbw_pack_num_words(e->grid, e->count) * (size_t)e->grid->word_size)
        return lbw_fail(err, LBW_ERR_FORMAT, "words of type %s, expected raw words of %d bytes",
                        lbw_data_type_name(words.data_type), e->grid->word_size);
    uint8_t *codes = malloc(e->count + 1);
    if (!codes)
        return lbw_fail_memory(err);
    enum lbw_status status = LBW_OK;
    if (!lbw_unpack(codes, words.data, e->count, e->grid))
        status = lbw_fail(err, LBW_ERR_FORMAT, "a word is out of range");
    int exponent;
    float levels[LBW_MAX_LEVELS];
    frexpf((float)e->grid->levels[e->grid->num_levels - 1], &exponent);
    for (int i = 0; i < e->grid->num_levels; i++)
        levels[i] = ldexpf((float)e->grid->levels[i], e->is_integer ? 0 : 1 - exponent);
    for (size_t i = 0; i < e->count && status == LBW_OK; i++)
        out[i] = levels[codes[i]];
    free(codes);
    return status;
}

/* out *= scale along its axis. */
static enum lbw_status multiply(float *out, struct lbw_model *model,
                                const struct lbw_encoded *e, struct lbw_error *err)
{
    struct lbw_tensor scale;
    size_t inner = e->count, dim = 1;
    LBW_TRY(lbw_tensor_view(&scale, model, e->scale, err));
    if (e->scale_axis >= 0) {
        dim = (size_t)e->dims[e->scale_axis];
        inner = 1;
        for (size_t i = (size_t)e->scale_axis + 1; i < e->num_dims; i++)
            inner *= (size_t)e->dims[i];
    }
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
    if (!e->scale)
        return LBW_OK;
    LBW_TRY(multiply(out, model, e, err));
    for (size_t i = 0; i < e->num_rounded; i++)
        for (size_t k = 0; k < e->count; k++)
            out[k] = lbw_encode_round(out[k], e->rounded[i]);
    return LBW_OK;
}

bool lbw_weight_reads_codes(const struct lbw_index *index, const struct lbw_value *value)
{
    bool any = false;
    for (const struct lbw_use *use = value->uses; use; use = use->next) {
        const struct matcher m = {index, use->scope};
        const Onnx__NodeProto *dequantize = producer(&m, use->node, 0, "DequantizeLinear");
        bool has_kernel = lbw_node_is(use->node, "Conv") || lbw_layout_is_linear(use->node);
        if (use->input != 1 || !has_kernel || !dequantize || constant_input(&m, dequantize, 0))
            return false;
        any = true;
    }
    return any;
}
