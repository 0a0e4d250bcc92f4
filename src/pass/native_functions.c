/* SPDX-License-Identifier: MIT */
/* The functions of the native operators: standard nodes, one table row each. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "onnx/tensor.h"
#include "pass/encode.h"
#include "pass/native.h"
#include "pass/native_find.h"

#define MAX_NODES 64
#define MAX_WORDS 20

/*
 * A body: nodes separated by ';', each "Op in… > out @attribute… name=number…". An attribute
 * with '@' is that of the call, and '-' an input that is left out. Inputs are in the order of
 * the operator's.
 */
struct body {
    const char *name;
    const char *inputs;
    const char *attributes; /* of the call, as the body names them */
    const char *nodes;
};

#define ATTRIBUTES "strides pads dilations group"
#define CONV_NODE  "> conv @strides @pads @dilations @group;"
#define C_NODES                                                                                \
    "QuantizeLinear conv c_scale c_zero > c;"                                                  \
    "DequantizeLinear c c_scale c_zero > c_real;"
#define GATE_NODES                                                                             \
    "QuantizeLinear gate_exact g_scale g_zero > gate;"                                         \
    "DequantizeLinear gate g_scale g_zero > gate_real;"
/* Where scales may differ from channel to channel they are factors: see src/pass/qdq.c. */
#define ONE "Constant > one value=1.0;"
#define C_CHANNEL_NODES                                                                        \
    "Div conv c_scale > c_steps;"                                                              \
    "QuantizeLinear c_steps one c_zero > c;"                                                   \
    "DequantizeLinear c one c_zero > c_codes;"                                                 \
    "Mul c_codes c_scale > c_real;"
#define GATED             GATE_NODES "Mul c_real gate_real > result;"
#define ROUND(x)          "QuantizeLinear " x " y_scale y_zero > y"
#define ROUND_CHANNELS(x) "Div " x " y_scale > y_steps;QuantizeLinear y_steps one y_zero > y"
#define RESULT            ROUND("result")

/* On bytes and int8, and on floats. */
#define Q_INPUTS "x x_scale x_zero w w_scale bias y_scale y_zero"
#define Q_NODES                                                                                \
    "Mul x_scale w_scale > bias_scale;"                                                        \
    "DequantizeLinear x x_scale x_zero > x_real;"                                              \
    "DequantizeLinear w w_scale > w_real axis=0;"                                              \
    "DequantizeLinear bias bias_scale > bias_real axis=0;"                                     \
    "Conv x_real w_real bias_real " CONV_NODE
#define F_INPUTS  "x w bias y_scale y_zero"
#define F_NODES   "Conv x w bias " CONV_NODE
#define QC_INPUTS "x x_scale x_zero w w_scale bias bias_scale y_scale y_zero"
#define QC_NODES                                                                               \
    ONE "DequantizeLinear x one x_zero > x_codes;"                                             \
        "Mul x_codes x_scale > x_real;"                                                        \
        "DequantizeLinear w w_scale > w_real axis=0;"                                          \
        "DequantizeLinear bias bias_scale > bias_real axis=0;"                                 \
        "Conv x_real w_real bias_real " CONV_NODE

/* The result, in 8 bits, and r added up. */
#define SUM_INPUTS " r r_scale r_zero s_scale s_zero"
#define SUM(x)                                                                                 \
    "QuantizeLinear " x " y_scale y_zero > a;"                                                 \
    "DequantizeLinear a y_scale y_zero > a_real;"                                              \
    "DequantizeLinear r r_scale r_zero > r_real;"                                              \
    "Add a_real r_real > sum;"
#define ROUND_SUM(x)      SUM(x) "QuantizeLinear sum s_scale s_zero > y"
#define ROUND_SUM_RELU(x) SUM(x) "Relu sum > above;QuantizeLinear above s_scale s_zero > y"

/* Convolutions whose result has 8 bits; ENDING and MORE are of their names and inputs. */
#define FAMILY(P, ENDING, IN, MORE, NODES, C, ROUND)                                           \
    {P ENDING, IN MORE, ATTRIBUTES, NODES ROUND("conv")},                                      \
        {P "Relu" ENDING, IN MORE, ATTRIBUTES, NODES "Relu conv > result;" ROUND("result")},   \
        {P "Clip" ENDING, IN MORE, ATTRIBUTES " min max",                                      \
         NODES "Constant > low value_float@min;Constant > high value_float@max;"               \
               "Clip conv low high > result;" ROUND("result")},                                \
        {P "LeakyRelu" ENDING, IN " c_scale c_zero" MORE, ATTRIBUTES " alpha",                 \
         NODES C "LeakyRelu c_real > result @alpha;" ROUND("result")},                         \
        {P "Sigmoid" ENDING, IN " c_scale c_zero" MORE, ATTRIBUTES,                            \
         NODES C "Sigmoid c_real > result;" ROUND("result")},                                  \
        {P "HardSigmoid" ENDING, IN " c_scale c_zero" MORE, ATTRIBUTES " alpha beta",          \
         NODES C "HardSigmoid c_real > result @alpha @beta;" ROUND("result")},                 \
        {P "HardSwish" ENDING, IN " c_scale c_zero" MORE, ATTRIBUTES,                          \
         NODES C "HardSwish c_real > result;" ROUND("result")},                                \
        {P "Silu" ENDING, IN " c_scale c_zero g_scale g_zero" MORE, ATTRIBUTES,                \
         NODES C "Sigmoid c_real > gate_exact;" GATED ROUND("result")},                        \
    {                                                                                          \
        P "HardSilu" ENDING, IN " c_scale c_zero g_scale g_zero" MORE,                         \
            ATTRIBUTES " alpha beta",                                                          \
            NODES C "HardSigmoid c_real > gate_exact @alpha @beta;" GATED ROUND("result")      \
    }

/* Their result is float. */
#define FLOAT_FAMILY(P, IN, NODES)                                                             \
    {P "ReluF", IN, ATTRIBUTES, NODES "Relu conv > y"},                                        \
    {                                                                                          \
        P "SiluF", IN " g_scale g_zero", ATTRIBUTES,                                           \
            NODES "Sigmoid conv > gate_exact;" GATE_NODES "Mul conv gate_real > y"             \
    }
#define QF_INPUTS "x x_scale x_zero w bias"
#define QF_NODES                                                                               \
    "DequantizeLinear x x_scale x_zero > x_real;"                                              \
    "Conv x_real w bias " CONV_NODE

#define HALF_PIXEL "mode=linear coordinate_transformation_mode=pytorch_half_pixel"

static const struct body bodies[] = {
    FAMILY("QConv", "", Q_INPUTS, "", Q_NODES, C_NODES, ROUND),
    FAMILY("QConv", "Add", Q_INPUTS, SUM_INPUTS, Q_NODES, C_NODES, ROUND_SUM),
    FAMILY("QConv", "AddRelu", Q_INPUTS, SUM_INPUTS, Q_NODES, C_NODES, ROUND_SUM_RELU),
    FAMILY("FConv", "", F_INPUTS, "", F_NODES, C_NODES, ROUND),
    FAMILY("QCConv", "", QC_INPUTS, "", QC_NODES, C_CHANNEL_NODES, ROUND_CHANNELS),
    FAMILY("FCConv", "", F_INPUTS, "", ONE F_NODES, C_CHANNEL_NODES, ROUND_CHANNELS),
    FLOAT_FAMILY("QConv", QF_INPUTS, QF_NODES),
    FLOAT_FAMILY("FConv", "x w bias", F_NODES),
    {"QConvF", QF_INPUTS, ATTRIBUTES,
     "DequantizeLinear x x_scale x_zero > x_real;"
     "Conv x_real w bias > y @strides @pads @dilations @group"},
    {"QMaxPool", "x scale zero", "kernel_shape strides pads dilations ceil_mode",
     "DequantizeLinear x scale zero > x_real;"
     "MaxPool x_real > pooled @kernel_shape @strides @pads @dilations @ceil_mode;"
     "QuantizeLinear pooled scale zero > y"},
    {"QAveragePool", "x x_scale x_zero y_scale y_zero",
     "kernel_shape strides pads count_include_pad",
     "DequantizeLinear x x_scale x_zero > x_real;"
     "AveragePool x_real > result @kernel_shape @strides @pads @count_include_pad;" RESULT},
    {"FSoftmax", "x", "axis", "Softmax x > y @axis"},
    {"QResize", "x scale zero sizes", "",
     "DequantizeLinear x scale zero > x_real;"
     "Resize x_real - - sizes > resized " HALF_PIXEL ";"
     "QuantizeLinear resized scale zero > y"},
    {"QResizeBy", "x scale zero scales", "",
     "DequantizeLinear x scale zero > x_real;"
     "Resize x_real - scales > resized " HALF_PIXEL ";"
     "QuantizeLinear resized scale zero > y"},
    {"QFocus", "x", "",
     "Constant > axes value=2,3;Constant > ends value=2147483647,2147483647;"
     "Constant > steps value=2,2;"
     "Constant > s00 value=0,0;Slice x s00 ends axes steps > x00;"
     "Constant > s10 value=1,0;Slice x s10 ends axes steps > x10;"
     "Constant > s01 value=0,1;Slice x s01 ends axes steps > x01;"
     "Constant > s11 value=1,1;Slice x s11 ends axes steps > x11;"
     "Concat x00 x10 x01 x11 > y axis=1"},
};

#define HEAD(letters, min, max)                                                                \
    {                                                                                          \
        "QHead" letters, min, max, "", "shape", "", "axis=1", letters                          \
    }
#define SLICE                                                                                  \
    "Constant > axes value_ints=1,;Constant > begin value_ints@begin;"                         \
    "Constant > end value_ints@end;"

/* Operators of several parts have their number at the end of their names. */
static const struct join {
    const char *name;
    int min_parts, max_parts;
    const char *inputs, *attributes; /* after the parts */
    const char *nodes;               /* of the parts side by side; "Concat …" comes before */
    const char *axis;                /* of the Concat */
    const char *letters; /* of a head's parts: S for Sigmoid, L for none; NULL: no head */
} joins[] = {
    {"QConcat", 2, 8, "", "axis", "", "@axis", NULL},
    {"QChannels", 1, LBW_NATIVE_MAX_CHANNEL_PARTS, "channels ", "",
     "Gather joined channels > result axis=1;", "axis=1", NULL},
    HEAD("L", 1, 6),
    HEAD("S", 1, 6),
    HEAD("LS", 2, 4),
    HEAD("LSS", 2, 4),
    {"QHeadSliceL", 1, 1, "", "shape begin end", SLICE, "axis=1", "L"},
    {"QHeadSliceS", 1, 1, "", "shape begin end", SLICE, "axis=1", "S"},
};

static const struct body *find_body(const char *name)
{
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        if (strcmp(bodies[i].name, name) == 0)
            return &bodies[i];
    return NULL;
}

/* The number of parts by an operator's name, or 0. */
static int join_parts(const struct join **out, const char *name)
{
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        size_t length = strlen(joins[i].name);
        char *end = NULL;
        if (strncmp(name, joins[i].name, length) != 0 || name[length] < '1' ||
            name[length] > '9')
            continue;
        long parts = strtol(name + length, &end, 10);
        *out = &joins[i];
        return !*end && parts >= joins[i].min_parts && parts <= joins[i].max_parts ? (int)parts
                                                                                   : 0;
    }
    return 0;
}

bool lbw_native_has_function(const char *name)
{
    const struct join *join;
    return find_body(name) || join_parts(&join, name);
}

bool lbw_is_native(const Onnx__FunctionProto *f)
{
    return f->domain && strcmp(f->domain, LBW_DOMAIN) == 0 && f->name &&
           lbw_native_has_function(f->name);
}

bool lbw_has_native(const struct lbw_model *model)
{
    for (size_t i = 0; i < model->proto->n_functions; i++)
        if (lbw_is_native(model->proto->functions[i]))
            return true;
    return false;
}

/* Splits at blanks, in place; the list ends with NULL. Returns the number of words. */
static size_t split(char *text, char *words[MAX_WORDS])
{
    size_t num = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word && num < MAX_WORDS - 1;
         word = strtok_r(NULL, " ", &rest))
        words[num++] = word;
    words[num] = NULL;
    return num;
}

/* Two int64 as the tensor of a Constant: "A,B". */
static bool add_pair(struct lbw_model *model, Onnx__NodeProto *node, const char *text)
{
    static const int64_t two = 2;
    unsigned char *data = lbw_arena_alloc(&model->arena, 16);
    if (!data)
        return false;
    lbw_store_le(data, strtoull(text, NULL, 10), 8);
    lbw_store_le(data + 8, strtoull(strchr(text, ',') + 1, NULL, 10), 8);
    Onnx__TensorProto *tensor = lbw_tensor_new(
        model, node->output[0], ONNX__TENSOR_PROTO__DATA_TYPE__INT64, &two, 1, data, 16);
    return tensor && lbw_build_tensor(model, node, "value", tensor);
}

/* A float32 as the tensor of a Constant. */
static bool add_float(struct lbw_model *model, Onnx__NodeProto *node, const char *text)
{
    unsigned char *data = lbw_arena_alloc(&model->arena, 4);
    if (!data)
        return false;
    lbw_store_le(data, lbw_float_bits(strtof(text, NULL)), 4);
    Onnx__TensorProto *tensor = lbw_tensor_new(
        model, node->output[0], ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, NULL, 0, data, 4);
    return tensor && lbw_build_tensor(model, node, "value", tensor);
}

/* "name=A,B,…". */
static bool add_ints(struct lbw_model *model, Onnx__NodeProto *node, char *word, char *equals)
{
    int64_t values[8];
    size_t num = 0;
    *equals = '\0';
    for (char *p = equals + 1; *p && num < 8; p += *p == ',')
        values[num++] = strtoll(p, &p, 10);
    return lbw_build_ints(model, node, word, values, num);
}

/*
 * "@name", "other@name", "name=number", "name=A,B", "value=A,B" of a tensor or "value=1.0";
 * a comma at the end tells one of a list from a number, a small letter at the start a string.
 */
static bool add_attribute(struct lbw_model *model, Onnx__NodeProto *node, char *word)
{
    char *at = strchr(word, '@'), *equals = strchr(word, '=');
    if (equals && strchr(equals, ','))
        return strncmp(word, "value=", 6) == 0 ? add_pair(model, node, equals + 1)
                                               : add_ints(model, node, word, equals);
    if (equals && strchr(equals, '.'))
        return add_float(model, node, equals + 1);
    if (equals) {
        *equals = '\0';
        if (equals[1] >= 'a' && equals[1] <= 'z')
            return lbw_build_string(model, node, word, equals + 1);
        return lbw_build_int(model, node, word, strtoll(equals + 1, NULL, 10));
    }
    *at = '\0';
    const char *name = *word ? word : at + 1;
    Onnx__AttributeProto__AttributeType type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    static const char *const floats[] = {"min", "max", "alpha", "beta"};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (strcmp(at + 1, floats[i]) == 0)
            type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    if (strcmp(at + 1, "group") == 0 || strcmp(at + 1, "ceil_mode") == 0 ||
        strcmp(at + 1, "count_include_pad") == 0 || strcmp(at + 1, "axis") == 0)
        type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    if (!lbw_build_int(model, node, name, 0))
        return false;
    Onnx__AttributeProto *attribute = node->attribute[node->n_attribute - 1];
    attribute->has_i = 0;
    attribute->type = type;
    attribute->ref_attr_name = lbw_arena_strdup(&model->arena, at + 1);
    return attribute->ref_attr_name != NULL;
}

/* Adds one node of a body; modifies its text. */
static Onnx__NodeProto *parse_node(struct lbw_model *model, char *text)
{
    char *words[MAX_WORDS] = {NULL};
    const char *inputs[MAX_WORDS] = {NULL};
    size_t num = split(text, words), i = 1;
    for (; i < num && strcmp(words[i], ">") != 0; i++)
        inputs[i - 1] = strcmp(words[i], "-") == 0 ? "" : words[i];
    const char *const outputs[] = {words[i + 1], NULL};
    Onnx__NodeProto *node = lbw_build_node(model, "", words[0], words[i + 1], inputs, outputs);
    for (i += 2; node && i < num; i++)
        if (!add_attribute(model, node, words[i]))
            return NULL;
    return node;
}

static char **copy_words(size_t *num, struct lbw_model *model, const char *text)
{
    char *copy = lbw_arena_strdup(&model->arena, text), *rest = NULL;
    size_t capacity = 1;
    for (const char *p = text; *p; p++)
        capacity += *p == ' ';
    char **words = lbw_arena_calloc(&model->arena, capacity, sizeof *words);
    *num = 0;
    if (!copy || !words)
        return NULL;
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        words[(*num)++] = word;
    return words;
}

static Onnx__FunctionProto *new_function(struct lbw_model *model, const struct body *body)
{
    struct lbw_arena *arena = &model->arena;
    Onnx__FunctionProto *f = lbw_arena_alloc(arena, sizeof *f);
    Onnx__OperatorSetIdProto *opset = lbw_arena_alloc(arena, sizeof *opset);
    Onnx__OperatorSetIdProto **opsets = lbw_arena_calloc(arena, 1, sizeof *opsets);
    if (!f || !opset || !opsets)
        return NULL;
    onnx__function_proto__init(f);
    onnx__operator_set_id_proto__init(opset);
    opset->domain = lbw_arena_strdup(arena, "");
    opset->has_version = 1;
    opset->version = lbw_model_opset(model, "");
    opsets[0] = opset;
    f->name = lbw_arena_strdup(arena, body->name);
    f->domain = lbw_arena_strdup(arena, LBW_DOMAIN);
    f->input = copy_words(&f->n_input, model, body->inputs);
    f->output = copy_words(&f->n_output, model, "y");
    f->attribute = copy_words(&f->n_attribute, model, body->attributes);
    f->n_opset_import = 1;
    f->opset_import = opsets;
    return opset->domain && f->name && f->domain && f->input && f->output && f->attribute
               ? f
               : NULL;
}

static enum lbw_status add_function(struct lbw_model *model, const struct body *body,
                                    struct lbw_error *err)
{
    Onnx__NodeProto *nodes[MAX_NODES];
    size_t num = 0;
    char *text = lbw_arena_strdup(&model->arena, body->nodes), *rest = NULL;
    Onnx__FunctionProto *f = new_function(model, body);
    bool done = text && f;
    for (char *node = done ? strtok_r(text, ";", &rest) : NULL; node && done;
         node = strtok_r(NULL, ";", &rest)) {
        nodes[num] = parse_node(model, node);
        done = nodes[num++] != NULL && num < MAX_NODES;
    }
    if (!done || !lbw_function_set_nodes(model, f, nodes, num) ||
        !lbw_model_add_function(model, f))
        return lbw_fail_memory(err);
    return LBW_OK;
}

/* The body of an operator of several parts. */
static enum lbw_status add_join(struct lbw_model *model, const char *name,
                                const struct join *join, int parts, struct lbw_error *err)
{
    char inputs[512] = "", nodes[1536] = "", list[256] = "";
    const char *joined = *join->nodes ? "joined" : "result";
    for (int i = 0; i < parts; i++) {
        size_t a = strlen(inputs), b = strlen(nodes), c = strlen(list);
        snprintf(inputs + a, sizeof inputs - a, "x%d x%d_scale x%d_zero ", i, i, i);
        snprintf(nodes + b, sizeof nodes - b,
                 "DequantizeLinear x%d x%d_scale x%d_zero > x%d_real;", i, i, i, i);
        snprintf(list + c, sizeof list - c, "x%d_real ", i);
    }
    size_t a = strlen(inputs), b = strlen(nodes);
    snprintf(inputs + a, sizeof inputs - a, "%sy_scale y_zero", join->inputs);
    snprintf(nodes + b, sizeof nodes - b, "Concat %s> %s %s;%s" RESULT, list, joined,
             join->axis, join->nodes);
    return add_function(model, &(const struct body){name, inputs, join->attributes, nodes},
                        err);
}

/* Adds to a text of that capacity. */
LBW_PRINTF(3, 4)
static void append(char *text, size_t capacity, const char *format, ...)
{
    size_t length = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + length, capacity - length, format, arguments);
    va_end(arguments);
}

/* The body of a head: levels one behind the other, each of parts side by side. */
static enum lbw_status add_head(struct lbw_model *model, const char *name,
                                const struct join *join, int levels, struct lbw_error *err)
{
    char inputs[512] = "", nodes[4096] = "Constant > shape_of_rows value_ints@shape;";
    char list[128] = "";
    const char *letters = join->letters;
    int num = (int)strlen(letters);
    append(nodes, sizeof nodes, "%s", join->nodes);
    for (int l = 0; l < levels; l++) {
        char parts[128] = "";
        for (int i = l * num; i < (l + 1) * num; i++) {
            append(inputs, sizeof inputs, "%sx%d x%d_scale x%d_zero", i ? " " : "", i, i, i);
            append(nodes, sizeof nodes, "DequantizeLinear x%d x%d_scale x%d_zero > x%d_real;",
                   i, i, i, i);
            const char *part = *join->nodes ? "part" : "real";
            if (*join->nodes)
                append(nodes, sizeof nodes, "Slice x%d_real begin end axes > x%d_part;", i, i);
            if (letters[i % num] == 'S')
                append(nodes, sizeof nodes, "Sigmoid x%d_%s > x%d_score;", i, part, i);
            append(parts, sizeof parts, "x%d_%s ", i, letters[i % num] == 'S' ? "score" : part);
        }
        if (num > 1) {
            append(nodes, sizeof nodes, "Concat %s> level%d axis=1;", parts, l);
            snprintf(parts, sizeof parts, "level%d", l);
        }
        append(nodes, sizeof nodes,
               "Transpose %s > turned%d perm=0,2,3,1;Reshape turned%d shape_of_rows > ", parts,
               l, l);
        append(nodes, sizeof nodes, levels > 1 ? "rows%d;" : "y", l);
        append(list, sizeof list, "rows%d ", l);
    }
    if (levels > 1)
        append(nodes, sizeof nodes, "Concat %s> y axis=1", list);
    return add_function(model, &(const struct body){name, inputs, join->attributes, nodes},
                        err);
}

enum lbw_status lbw_native_function(struct lbw_model *model, const char *name,
                                    struct lbw_error *err)
{
    const struct body *body = find_body(name);
    const struct join *join = NULL;
    int parts = join_parts(&join, name);
    for (size_t i = 0; i < model->proto->n_functions; i++) {
        const Onnx__FunctionProto *f = model->proto->functions[i];
        if (lbw_is_native(f) && strcmp(f->name, name) == 0)
            return LBW_OK;
    }
    if (!body && !parts)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "no native operator '%s'", name);
    LBW_TRY(body            ? add_function(model, body, err)
            : join->letters ? add_head(model, name, join, parts, err)
                            : add_join(model, name, join, parts, err));
    if (model->proto->ir_version < 8) { /* the first with functions */
        model->proto->ir_version = 8;
        model->proto->has_ir_version = 1;
    }
    return lbw_model_import(model, LBW_DOMAIN, LBW_DOMAIN_VERSION, err);
}
