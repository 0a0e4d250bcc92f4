/* SPDX-License-Identifier: MIT */
/*
 * The packed encoding: codes as base-L digits in words, decoded by standard operators, either
 * in a model-local function of domain ai.lbw or as nodes in the graph itself (docs/format.md).
 */
#include <math.h>
#include <stdlib.h>

#include "base/bits.h"
#include "num/pack.h"
#include "pass/encode.h"

#define INT64   ONNX__TENSOR_PROTO__DATA_TYPE__INT64
#define INT8    ONNX__TENSOR_PROTO__DATA_TYPE__INT8
#define INT32   ONNX__TENSOR_PROTO__DATA_TYPE__INT32
#define FLOAT32 ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define FLOAT16 ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16

/*
 * The level table is stored relative to the largest level's power of two, so that a scale is
 * about the largest weight of its group: well inside the range of a half.
 */
static float level_unit(const struct lbw_grid *grid)
{
    int exponent;
    frexpf((float)grid->levels[grid->num_levels - 1], &exponent);
    return ldexpf(1, exponent - 1);
}

/* Builds decoding nodes, in a function body or in a graph. */
struct emitter {
    struct lbw_encoder *encoder;
    const struct lbw_scope *scope; /* of the graph, NULL in an ai.lbw function */
    struct lbw_decoding *out;
    const char *prefix; /* of every name made, "" in an ai.lbw function */
    const struct lbw_grid *grid;
    int32_t work_type; /* of the digit arithmetic */
    int64_t opset;
    bool is_integer; /* levels come out as int8, to be scaled by a DequantizeLinear */
    bool failed;
};

static const char *emit_name(struct emitter *e, const char *name)
{
    struct lbw_model *model = e->encoder->model;
    const char *full = lbw_arena_printf(&model->arena, "%s%s", e->prefix, name);
    if (full && e->scope) /* the names in an ai.lbw function are unique anyway */
        full = lbw_names_make(e->encoder->names, model, full);
    e->failed = e->failed || !full;
    return full ? full : "";
}

/* A node of one output; returns the output's name. */
static Onnx__NodeProto *emit(struct emitter *e, const char *op, const char *output,
                             const char *a, const char *b, const char *c)
{
    const char *const inputs[] = {a, b, c, NULL};
    const char *const outputs[] = {output, NULL};
    struct lbw_model *model = e->encoder->model;
    /* the weight's own name, which the last output keeps, may already be that of a node */
    const char *name = *e->prefix ? lbw_names_make_node(e->encoder->names, model, output) : "";
    Onnx__NodeProto *node = name ? lbw_build_node(model, "", op, name, inputs, outputs) : NULL;
    e->failed = e->failed || !node;
    e->out->nodes[e->out->num_nodes++] = node;
    return node;
}

/*
 * A constant that all weights of one graph share: *name receives its name. False if it is new
 * and has to be made under that name, which is NULL when memory is out.
 */
static bool find_shared(const char **name, struct lbw_encoder *encoder,
                        const struct lbw_scope *scope, const char *stem)
{
    struct lbw_model *model = encoder->model;
    char *key = lbw_arena_printf(&model->arena, "%p %s", (void *)scope->graph, stem);
    *name = key ? lbw_strmap_get(&encoder->shared, key) : NULL;
    if (*name)
        return true;
    *name = key ? lbw_names_make(encoder->names, model, stem) : NULL;
    if (*name && !lbw_strmap_put(&encoder->shared, key, (void *)(uintptr_t)*name))
        *name = NULL;
    return false;
}

/* A constant: in a graph one per grid, shared by all weights; in a function a node. */
static const char *emit_tensor(struct emitter *e, const char *name, int32_t type,
                               unsigned char *data, size_t num, bool is_scalar)
{
    static const struct lbw_scope in_function = {0};
    struct lbw_model *model = e->encoder->model;
    const struct lbw_scope *scope = e->scope ? e->scope : &in_function;
    const char *full = NULL;
    if (scope->graph) {
        char *stem = lbw_arena_printf(&model->arena, "lbw.%s.%s", e->grid->name, name);
        if (stem && find_shared(&full, e->encoder, scope, stem))
            return full;
    } else {
        full = emit_name(e, name);
    }
    int64_t dim = (int64_t)num;
    size_t size = num * lbw_data_type_bits(type) / 8;
    Onnx__TensorProto *tensor =
        data && full ? lbw_tensor_new(model, full, type, &dim, is_scalar ? 0 : 1, data, size)
                     : NULL;
    e->failed = !lbw_encode_constant(e->out, e->encoder, scope, tensor) || e->failed;
    return full ? full : "";
}

static const char *emit_floats(struct emitter *e, const char *name, const float *values,
                               size_t num)
{
    unsigned char *data = lbw_arena_alloc(&e->encoder->model->arena, num * 4);
    for (size_t i = 0; data && i < num; i++)
        lbw_store_le(data + 4 * i, lbw_float_bits(values[i]), 4);
    return emit_tensor(e, name, FLOAT32, data, num, false);
}

static const char *emit_ints(struct emitter *e, const char *name, int32_t type,
                             const int64_t *values, size_t num, bool is_scalar)
{
    size_t item = lbw_data_type_bits(type) / 8;
    unsigned char *data = lbw_arena_alloc(&e->encoder->model->arena, num * item);
    for (size_t i = 0; data && i < num; i++)
        lbw_store_le(data + item * i, (uint64_t)values[i], item);
    return emit_tensor(e, name, type, data, num, is_scalar);
}

/* The levels as they are, in int8. */
static const char *emit_levels(struct emitter *e)
{
    int64_t levels[LBW_MAX_LEVELS];
    for (int i = 0; i < e->grid->num_levels; i++)
        levels[i] = e->grid->levels[i];
    return emit_ints(e, "integers", INT8, levels, (size_t)e->grid->num_levels, false);
}

static void emit_cast(struct emitter *e, const char *output, const char *input, int32_t type)
{
    Onnx__NodeProto *node = emit(e, "Cast", output, input, NULL, NULL);
    e->failed = !lbw_build_int(e->encoder->model, node, "to", type) || e->failed;
}

/*
 * All digits of all words at once, Div(words, P) - L·Div(Div(words, P), L), then their levels.
 */
static const char *emit_digits(struct emitter *e, const char *words)
{
    const struct lbw_grid *grid = e->grid;
    float levels[LBW_MAX_LEVELS], unit = level_unit(grid);
    int64_t powers_of_base[64], base = grid->num_levels, power = 1;
    for (int i = 0; i < grid->num_levels; i++)
        levels[i] = (float)grid->levels[i] / unit;
    for (int i = 0; i < grid->digits_per_word; i++, power *= base)
        powers_of_base[i] = power;
    const char *column_shape =
        emit_ints(e, "column", INT64, (const int64_t[]){-1, 1}, 2, false);
    const char *powers = emit_ints(e, "powers", e->work_type, powers_of_base,
                                   (size_t)grid->digits_per_word, false);
    const char *radix = emit_ints(e, "radix", e->work_type, &base, 1, true);
    const char *table = e->is_integer
                            ? emit_levels(e)
                            : emit_floats(e, "levels", levels, (size_t)grid->num_levels);
    const char *wide = emit_name(e, "wide"), *column = emit_name(e, "word");
    const char *quotient = emit_name(e, "quotient"), *next = emit_name(e, "next");
    const char *carried = emit_name(e, "carried"), *digits = emit_name(e, "digits");
    const char *values = emit_name(e, "values");
    emit_cast(e, wide, words, e->work_type);
    emit(e, "Reshape", column, wide, column_shape, NULL);
    emit(e, "Div", quotient, column, powers, NULL);
    emit(e, "Div", next, quotient, radix, NULL);
    emit(e, "Mul", carried, next, radix, NULL);
    emit(e, "Sub", digits, quotient, carried, NULL);
    emit(e, "Gather", values, table, digits, NULL);
    return values;
}

/* Cuts the padding off the flat values. Below opset 10 Slice has attributes. */
static const char *emit_cut(struct emitter *e, const char *values, const char *shape,
                            int64_t count)
{
    struct lbw_model *model = e->encoder->model;
    const char *flat_shape = emit_ints(e, "flat", INT64, (const int64_t[]){-1}, 1, false);
    const char *flat = emit_name(e, "line"), *cut = emit_name(e, "cut");
    emit(e, "Reshape", flat, values, flat_shape, NULL);
    if (e->opset >= 10) {
        const char *start = emit_ints(e, "start", INT64, (const int64_t[]){0}, 1, false);
        const char *end = emit_name(e, "count");
        Onnx__NodeProto *product = emit(e, "ReduceProd", end, shape, NULL, NULL);
        e->failed = !lbw_build_int(model, product, "keepdims", 1) || e->failed;
        emit(e, "Slice", cut, flat, start, end);
        return cut;
    }
    Onnx__NodeProto *slice = emit(e, "Slice", cut, flat, NULL, NULL);
    const int64_t zero = 0;
    e->failed = !lbw_build_ints(model, slice, "starts", &zero, 1) || e->failed;
    e->failed = !lbw_build_ints(model, slice, "ends", &count, 1) || e->failed;
    /* in a function: the call's attribute; ONNX Runtime 1.12 needs it to have the same name */
    if (!e->failed && !e->scope) {
        Onnx__AttributeProto *ends = slice->attribute[slice->n_attribute - 1];
        ends->n_ints = 0;
        ends->ref_attr_name = lbw_arena_strdup(&model->arena, "ends");
        e->failed = !ends->ref_attr_name;
    }
    return cut;
}

static void emit_decoding(struct emitter *e, const char *words, const char *scale,
                          const char *shape, const char *output, int32_t type, int64_t count)
{
    const char *cut = emit_cut(e, emit_digits(e, words), shape, count);
    if (e->is_integer) {
        emit(e, "Reshape", output, cut, shape, NULL);
        return;
    }
    const char *shaped = emit_name(e, "shaped"), *factor = emit_name(e, "factor");
    const char *product = type == FLOAT32 ? output : emit_name(e, "product");
    emit(e, "Reshape", shaped, cut, shape, NULL);
    emit_cast(e, factor, scale, FLOAT32);
    emit(e, "Mul", product, shaped, factor, NULL);
    if (type != FLOAT32)
        emit_cast(e, output, product, type);
}

static char **copy_names(struct lbw_model *model, const char *const *names, size_t num)
{
    char **copy = lbw_arena_calloc(&model->arena, num, sizeof *copy);
    for (size_t i = 0; copy && i < num; i++)
        if (!(copy[i] = lbw_arena_strdup(&model->arena, names[i])))
            return NULL;
    return copy;
}

static Onnx__FunctionProto *find_function(const struct lbw_model *model, const char *name)
{
    for (size_t i = 0; i < model->proto->n_functions; i++) {
        Onnx__FunctionProto *f = model->proto->functions[i];
        if (f->domain && f->name && strcmp(f->domain, LBW_DOMAIN) == 0 &&
            strcmp(f->name, name) == 0)
            return f;
    }
    return NULL;
}

static Onnx__FunctionProto *new_function(struct lbw_encoder *encoder, const char *name,
                                         bool is_integer)
{
    static const char *const inputs[] = {"words", "scale", "shape"};
    static const char *const integer_inputs[] = {"words", "shape"};
    struct lbw_model *model = encoder->model;
    Onnx__FunctionProto *f = lbw_arena_alloc(&model->arena, sizeof *f);
    Onnx__OperatorSetIdProto *opset = lbw_arena_alloc(&model->arena, sizeof *opset);
    Onnx__OperatorSetIdProto **opsets = lbw_arena_calloc(&model->arena, 1, sizeof *opsets);
    if (!f || !opset || !opsets)
        return NULL;
    onnx__function_proto__init(f);
    onnx__operator_set_id_proto__init(opset);
    opset->domain = lbw_arena_strdup(&model->arena, "");
    opset->has_version = 1;
    opset->version = encoder->opset;
    opsets[0] = opset;
    f->name = lbw_arena_strdup(&model->arena, name);
    f->domain = lbw_arena_strdup(&model->arena, LBW_DOMAIN);
    f->n_input = is_integer ? 2 : 3;
    f->input = copy_names(model, is_integer ? integer_inputs : inputs, f->n_input);
    f->n_output = 1;
    f->output = copy_names(model, (const char *const[]){is_integer ? "codes" : "weight"}, 1);
    f->n_opset_import = 1;
    f->opset_import = opsets;
    if (encoder->opset < 10) {
        f->n_attribute = 1;
        f->attribute = copy_names(model, (const char *const[]){"ends"}, 1);
    }
    bool is_whole = opset->domain && f->name && f->domain && f->input && f->output &&
                    (f->attribute || !f->n_attribute);
    return is_whole ? f : NULL;
}

/* Each after its output: ONNX Runtime before 1.12 takes two nameless nodes for the same one. */
static bool name_nodes(struct lbw_model *model, struct lbw_decoding *body)
{
    for (size_t i = 0; i < body->num_nodes; i++) {
        body->nodes[i]->name = lbw_arena_strdup(&model->arena, body->nodes[i]->output[0]);
        if (!body->nodes[i]->name)
            return false;
    }
    return true;
}

/* The function of that name, added at its first use. */
static enum lbw_status ensure_function(struct lbw_encoder *encoder, const char *name,
                                       const struct lbw_grid *grid, int32_t type,
                                       struct lbw_error *err)
{
    if (find_function(encoder->model, name))
        return LBW_OK;
    bool is_integer = type == INT8;
    Onnx__FunctionProto *function = new_function(encoder, name, is_integer);
    struct lbw_decoding body = {0};
    struct emitter e = {.encoder = encoder,
                        .out = &body,
                        .prefix = "",
                        .grid = grid,
                        .work_type = grid->word_size == 8 ? INT64 : INT32,
                        .opset = encoder->opset,
                        .is_integer = is_integer};
    emit_decoding(&e, "words", "scale", "shape", is_integer ? "codes" : "weight", type, 0);
    if (!function || e.failed || !name_nodes(encoder->model, &body) ||
        !lbw_function_set_nodes(encoder->model, function, body.nodes, body.num_nodes) ||
        !lbw_model_add_function(encoder->model, function))
        return lbw_fail_memory(err);
    if (encoder->model->proto->ir_version < 8) { /* the first with functions */
        encoder->model->proto->ir_version = 8;
        encoder->model->proto->has_ir_version = 1;
    }
    return lbw_model_import(encoder->model, LBW_DOMAIN, LBW_DOMAIN_VERSION, err);
}

/* A call inside a function needs its own import of our domain. */
static bool import_in_function(struct lbw_encoder *encoder, const struct lbw_scope *scope)
{
    while (scope->parent)
        scope = scope->parent;
    Onnx__FunctionProto *f = scope->function;
    if (!f)
        return true;
    for (size_t i = 0; i < f->n_opset_import; i++)
        if (f->opset_import[i]->domain && strcmp(f->opset_import[i]->domain, LBW_DOMAIN) == 0)
            return true;
    struct lbw_arena *arena = &encoder->model->arena;
    Onnx__OperatorSetIdProto *opset = lbw_arena_alloc(arena, sizeof *opset);
    Onnx__OperatorSetIdProto **list =
        lbw_arena_calloc(arena, f->n_opset_import + 1, sizeof *list);
    if (!opset || !list)
        return false;
    onnx__operator_set_id_proto__init(opset);
    opset->domain = lbw_arena_strdup(arena, LBW_DOMAIN);
    opset->has_version = 1;
    opset->version = LBW_DOMAIN_VERSION;
    if (f->n_opset_import)
        memcpy(list, f->opset_import, f->n_opset_import * sizeof *list);
    list[f->n_opset_import++] = opset;
    f->opset_import = list;
    return opset->domain != NULL;
}

static Onnx__TensorProto *words_tensor(struct lbw_encoder *encoder, const char *name,
                                       const struct lbw_weight *weight,
                                       const struct lbw_codes *codes, size_t *size)
{
    const struct lbw_grid *grid = weight->item.grid;
    size_t num = lbw_pack_num_words(grid, weight->item.count);
    *size = num * (size_t)grid->word_size;
    void *words = lbw_mapped_alloc(encoder->model, *size);
    int64_t dim = (int64_t)num;
    if (!words)
        return NULL;
    lbw_pack(words, codes->codes, weight->item.count, grid);
    int32_t type = grid->word_size == 2 ? ONNX__TENSOR_PROTO__DATA_TYPE__UINT16 : INT64;
    return lbw_tensor_new(encoder->model, name, type, &dim, 1, words, *size);
}

/* Scales along their axis, as halves if every one of them is exact in a half. */
static Onnx__TensorProto *scale_tensor(struct lbw_encoder *encoder, const char *name,
                                       const struct lbw_weight *weight,
                                       const struct lbw_codes *codes, size_t *size)
{
    float unit = codes->is_integer ? 1 : level_unit(weight->item.grid);
    bool fits_half = true;
    for (size_t i = 0; i < codes->num_steps; i++) {
        float scale = codes->steps[i] * unit;
        fits_half = fits_half && lbw_half_to_float(lbw_half_from_float(scale)) == scale;
    }
    size_t item = fits_half ? 2 : 4;
    *size = codes->num_steps * item;
    unsigned char *data = lbw_arena_alloc(&encoder->model->arena, *size);
    for (size_t i = 0; data && i < codes->num_steps; i++) {
        float scale = codes->steps[i] * unit;
        lbw_store_le(data + i * item,
                     fits_half ? lbw_half_from_float(scale) : lbw_float_bits(scale), item);
    }
    int64_t dims[LBW_MAX_DIMS] = {1, 1, 1, 1, 1, 1, 1, 1};
    size_t num_dims = codes->axis < 0 ? 0 : codes->is_integer ? 1 : weight->item.num_dims;
    if (codes->axis >= 0)
        dims[codes->is_integer ? 0 : codes->axis] = (int64_t)codes->num_steps;
    return data ? lbw_tensor_new(encoder->model, name, fits_half ? FLOAT16 : FLOAT32, dims,
                                 num_dims, data, *size)
                : NULL;
}

/* The shape as a tensor, shared by all weights of one scope that have it. */
static const char *shape_constant(struct lbw_decoding *out, struct lbw_encoder *encoder,
                                  const struct lbw_weight *weight)
{
    struct lbw_model *model = encoder->model;
    const struct lbw_scope *scope = weight->value->scope;
    size_t num = weight->item.num_dims;
    unsigned char *data = lbw_arena_alloc(&model->arena, num * 8);
    char *stem = lbw_arena_strdup(&model->arena, "lbw.shape");
    for (size_t i = 0; data && stem && i < num; i++) {
        lbw_store_le(data + 8 * i, (uint64_t)weight->item.dims[i], 8);
        stem = lbw_arena_printf(&model->arena, "%s%c%lld", stem, i ? 'x' : '.',
                                (long long)weight->item.dims[i]);
    }
    if (!data || !stem)
        return NULL;
    const char *name = NULL;
    if (scope->graph) {
        if (find_shared(&name, encoder, scope, stem))
            return name;
    } else { /* each weight of a function has constants of its own */
        stem = lbw_arena_printf(&model->arena, "%s.shape", weight->item.tensor);
        name = stem ? lbw_names_make(encoder->names, model, stem) : NULL;
    }
    int64_t dim = (int64_t)num;
    Onnx__TensorProto *tensor =
        name ? lbw_tensor_new(model, name, INT64, &dim, 1, data, num * 8) : NULL;
    return lbw_encode_constant(out, encoder, scope, tensor) ? name : NULL;
}

/* Named, as some inliners (pnnx) derive the names of the inlined nodes from it. */
static bool call_function(struct lbw_decoding *out, struct lbw_encoder *encoder,
                          const struct lbw_weight *weight, const char *function,
                          const char *const *inputs, const char *output)
{
    const char *const outputs[] = {output, NULL};
    struct lbw_model *model = encoder->model;
    char *stem = lbw_arena_printf(&model->arena, "lbw_%zu", ++encoder->num_calls);
    const char *name = stem ? lbw_names_make_node(encoder->names, model, stem) : NULL;
    Onnx__NodeProto *node =
        name ? lbw_build_node(model, LBW_DOMAIN, function, name, inputs, outputs) : NULL;
    int64_t count = (int64_t)weight->item.count;
    out->nodes[out->num_nodes++] = node;
    if (encoder->opset < 10 && !lbw_build_ints(model, node, "ends", &count, 1))
        return false;
    return node != NULL;
}

static enum lbw_status encode_inline(struct lbw_decoding *out, struct lbw_encoder *encoder,
                                     const struct lbw_weight *weight, const char *const *inputs,
                                     const char *output, bool is_integer, struct lbw_error *err)
{
    char *prefix = lbw_arena_printf(&encoder->model->arena, "%s.lbw.", weight->item.tensor);
    struct emitter e = {.encoder = encoder,
                        .scope = weight->value->scope,
                        .out = out,
                        .prefix = prefix ? prefix : "",
                        .grid = weight->item.grid,
                        .work_type = weight->item.grid->word_size == 8 ? INT64 : INT32,
                        .opset = encoder->at_opset,
                        .is_integer = is_integer,
                        .failed = !prefix};
    emit_decoding(&e, inputs[0], inputs[1], inputs[2], output, weight->tensor->data_type,
                  (int64_t)weight->item.count);
    return e.failed ? lbw_fail_memory(err) : LBW_OK;
}

/* Why the values stay plain: possible only in functions of another opset, or an old one. */
static bool explain_plain(const char **note, const struct lbw_encoder *encoder)
{
    static const char *const ops[] = {"Cast",   "Reshape",    "Div",   "Mul", "Sub",
                                      "Gather", "ReduceProd", "Slice", NULL};
    struct lbw_arena *arena = &encoder->model->arena;
    const char *op = encoder->is_inline ? lbw_encode_obstacle(encoder, ops) : NULL;
    if (!encoder->has_integers)
        *note = lbw_arena_printf(
            arena, "functions of opset %lld hold no integers; those of 9 do (--opset)",
            (long long)encoder->at_opset);
    else if (op)
        *note = lbw_arena_printf(arena,
                                 "its function is at opset %lld, the model at %lld, and %s "
                                 "differs (--opset lifts both)",
                                 (long long)encoder->at_opset, (long long)encoder->opset, op);
    return *note || (encoder->has_integers && !op);
}

/* A short name, as a model with 8-bit activations has many. */
static const char *short_name(struct lbw_encoder *encoder, const char *letter, size_t number)
{
    struct lbw_model *model = encoder->model;
    char *stem = lbw_arena_printf(&model->arena, "%s%zu", letter, number);
    return stem ? lbw_names_make(encoder->names, model, stem) : NULL;
}

/*
 * Decodes to int8 and leaves scaling to a DequantizeLinear, which runtimes fuse into the layer.
 */
static enum lbw_status encode_integer(struct lbw_decoding *out, struct lbw_encoder *encoder,
                                      const struct lbw_weight *weight,
                                      const struct lbw_codes *codes, const char *words,
                                      const Onnx__TensorProto *scale, const char *shape,
                                      struct lbw_error *err)
{
    struct lbw_model *model = encoder->model;
    const char *output = short_name(encoder, "c", encoder->num_integers);
    const char *factor = scale->name;
    bool is_half = scale->data_type == FLOAT16;
    if (is_half)
        factor = short_name(encoder, "s", encoder->num_integers);
    encoder->num_integers++;
    if (!output || !factor)
        return lbw_fail_memory(err);
    if (encoder->is_inline) {
        const char *const inputs[] = {words, "", shape};
        LBW_TRY(encode_inline(out, encoder, weight, inputs, output, true, err));
    } else {
        char *function =
            lbw_arena_printf(&model->arena, "Decode%s_int8", weight->item.grid->name);
        if (!function)
            return lbw_fail_memory(err);
        LBW_TRY(ensure_function(encoder, function, weight->item.grid, INT8, err));
        const char *const inputs[] = {words, shape, NULL};
        if (!call_function(out, encoder, weight, function, inputs, output))
            return lbw_fail_memory(err);
    }
    bool done = true;
    if (is_half) {
        const char *const from[] = {scale->name, NULL}, *const to[] = {factor, NULL};
        Onnx__NodeProto *cast = lbw_build_node(model, "", "Cast", "", from, to);
        done = lbw_build_int(model, cast, "to", FLOAT32);
        out->nodes[out->num_nodes++] = cast;
    }
    const char *zero = lbw_encode_zero_point(out, encoder, weight, codes);
    if (!zero)
        return lbw_fail_memory(err);
    const char *const from[] = {output, factor, *zero ? zero : NULL, NULL};
    const char *const to[] = {weight->item.tensor, NULL};
    Onnx__NodeProto *node = lbw_build_node(model, "", "DequantizeLinear", "", from, to);
    if (codes->axis >= 0)
        done = lbw_build_int(model, node, "axis", codes->axis) && done;
    out->nodes[out->num_nodes++] = node;
    return done && node ? LBW_OK : lbw_fail_memory(err);
}

enum lbw_status lbw_encode_packed(struct lbw_decoding *out, struct lbw_encoder *encoder,
                                  const struct lbw_weight *weight,
                                  const struct lbw_codes *codes, struct lbw_error *err)
{
    struct lbw_model *model = encoder->model;
    const struct lbw_scope *scope = weight->value->scope;
    int32_t type = weight->tensor->data_type;
    size_t words_size = 0, scale_size = 0;
    if (!explain_plain(&out->note, encoder))
        return lbw_fail_memory(err);
    if (out->note)
        return lbw_encode_float(out, encoder, weight, codes, err);
    char *words_stem = lbw_arena_printf(&model->arena, "%s.words", weight->item.tensor);
    char *scale_stem = lbw_arena_printf(&model->arena, "%s.scale", weight->item.tensor);
    const char *words = words_stem ? lbw_names_make(encoder->names, model, words_stem) : NULL;
    const char *scale = scale_stem ? lbw_names_make(encoder->names, model, scale_stem) : NULL;
    const char *shape = shape_constant(out, encoder, weight);
    if (!words || !scale || !shape)
        return lbw_fail_memory(err);
    Onnx__TensorProto *factors = scale_tensor(encoder, scale, weight, codes, &scale_size);
    if (!lbw_encode_constant(out, encoder, scope,
                             words_tensor(encoder, words, weight, codes, &words_size)) ||
        !lbw_encode_constant(out, encoder, scope, factors))
        return lbw_fail_memory(err);
    out->size = words_size + scale_size;
    if (codes->is_integer)
        return encode_integer(out, encoder, weight, codes, words, factors, shape, err);
    const char *const inputs[] = {words, scale, shape, NULL};
    if (encoder->is_inline)
        return encode_inline(out, encoder, weight, inputs, weight->item.tensor, false, err);
    bool is_float = type == FLOAT32;
    char *function =
        lbw_arena_printf(&model->arena, "Decode%s%s%s", weight->item.grid->name,
                         is_float ? "" : "_", is_float ? "" : lbw_data_type_name(type));
    if (!function)
        return lbw_fail_memory(err);
    LBW_TRY(ensure_function(encoder, function, weight->item.grid, type, err));
    if (!import_in_function(encoder, scope) ||
        !call_function(out, encoder, weight, function, inputs, weight->item.tensor))
        return lbw_fail_memory(err);
    return LBW_OK;
}
