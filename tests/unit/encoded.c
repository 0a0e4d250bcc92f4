/* SPDX-License-Identifier: MIT */
/* What is read as an encoded weight, and what only looks like one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "../check.h"
#include "../graph.h"
#include "../plan.h"
#include "pass/encode.h"

/* Opens and frees a graph that reads x and makes y. */
static struct lbw_model *open_graph(struct text *graph, int64_t opset)
{
    struct lbw_model *model = NULL;
    struct lbw_error err = {0};
    put_port(graph, 11, "x");
    put_port(graph, 12, "y");
    struct text bytes = finish_model(graph, 10, opset);
    check(lbw_model_open_memory(&model, bytes.data, bytes.size, &err), &err);
    free(bytes.data);
    return model;
}

/* An initializer of any type; a scalar has no dims. */
static void put_raw(struct text *graph, const char *name, int32_t type, const int64_t *dims,
                    size_t num_dims, const void *data, size_t size)
{
    struct text tensor = {0};
    for (size_t i = 0; i < num_dims; i++)
        put_int(&tensor, 1, (uint64_t)dims[i]);
    put_int(&tensor, 2, (uint64_t)type);
    put_text(&tensor, 8, name);
    put_bytes(&tensor, 9, data, size);
    put_message(graph, 5, &tensor);
}

static void put_cast(struct text *graph, const char *input, const char *output, int32_t type)
{
    struct text attributes = {0};
    attribute_int(&attributes, "to", type);
    put_op(graph, "Cast", input, output, &attributes);
}

#define ROWS  4
#define COUNT 24
static const int64_t shape[] = {ROWS, 6, 1, 1};
static const int8_t levels[COUNT] = {1, -2, 4,  8,  0, 0, 2,  2, -8, 4, 1, 0,
                                     0, -1, -4, -8, 8, 2, -2, 1, 1,  0, 4, 8};

static Onnx__TensorProto *initializer(const struct lbw_model *model, const char *name)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (strcmp(graph->initializer[i]->name, name) == 0)
            return graph->initializer[i];
    return NULL;
}

/* Digest, inspection and expansion; how many weights were expanded. */
static size_t expand(struct lbw_model *model)
{
    struct lbw_error err = {0};
    struct lbw_plan *plan = NULL;
    char before[LBW_DIGEST_SIZE], after[LBW_DIGEST_SIZE];
    size_t num = SIZE_MAX;
    check(look_at(&plan, model, LBW_ALL_OPS, &err), &err);
    lbw_plan_free(&plan);
    check(lbw_digest(before, model, &err), &err);
    check(lbw_expand(model, &num, &err), &err);
    check(lbw_digest(after, model, &err), &err);
    assert_string_equal(before, after);
    return num;
}

/* A Cast to what is no float type makes no weight: its values have other sizes. */
static void test_cast_to_integers(void **state)
{
    (void)state;
    static const int32_t types[] = {TYPE(INT8),       TYPE(INT32), TYPE(STRING),
                                    TYPE(FLOAT8E5M2), 0,           1000};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct text graph = {0};
        put_op(&graph, "DequantizeLinear", "q s", "w", NULL);
        put_cast(&graph, "w", "W", types[i]);
        put_op(&graph, "Conv", "x W", "y", NULL);
        put_raw(&graph, "q", TYPE(INT8), shape, 4, levels, COUNT);
        put_raw(&graph, "s", TYPE(FLOAT), NULL, 0, &(float){0.25f}, 4);
        struct lbw_model *model = open_graph(&graph, 21);
        assert_int_equal(expand(model), 0);
        assert_null(initializer(model, "W"));
        assert_null(lbw_encode_plain(model, "W", types[i], shape, 4, (float[COUNT]){0}, COUNT));
        lbw_model_close(&model);
    }
}

static void expect_values_of(struct lbw_model *model, const char *name, int32_t type,
                             const float *expected)
{
    struct lbw_tensor tensor;
    float values[COUNT];
    const Onnx__TensorProto *proto = initializer(model, name);
    assert_non_null(proto);
    check(lbw_tensor_view(&tensor, model, proto, NULL), &(struct lbw_error){0});
    assert_int_equal(tensor.count, COUNT);
    assert_int_equal(tensor.data_type, type);
    check(lbw_tensor_read_float(&tensor, values, NULL), &(struct lbw_error){0});
    for (size_t i = 0; i < COUNT; i++)
        if (values[i] != expected[i] && !(isnan(values[i]) && isnan(expected[i])))
            fail_msg("value %zu: %g, expected %g", i, (double)values[i], (double)expected[i]);
}

static void expect_values(struct lbw_model *model, const float *expected)
{
    expect_values_of(model, "W", TYPE(FLOAT), expected);
}

static void put_scale(struct text *graph, const char *name, int32_t type, const int64_t *dims,
                      size_t num_dims, size_t count)
{
    struct text raw = {0};
    const float values[COUNT] = {0.25f, 3, 0.125f, 5, 7, 0.1f};
    put_values(&raw, type, values, count);
    put_raw(graph, name, type, dims, num_dims, raw.data, raw.size);
    free(raw.data);
}

#define NO_AXIS INT64_MAX
#define OF_CALL (INT64_MAX - 1) /* an attribute of the function around it */

/* DequantizeLinear that we did not write: read where ONNX says what it means, else let be. */
static const struct foreign {
    int32_t codes, scale; /* types */
    size_t num_dims;
    int64_t dims[2]; /* of the scale */
    int64_t axis, block_size, output_dtype;
    int along; /* the axis that the scales run along, -1 for one scale, -2: not ours */
} foreigners[] = {
    {TYPE(INT8), TYPE(FLOAT), 0, {0}, NO_AXIS, 0, 0, -1},
    {TYPE(INT8), TYPE(FLOAT), 0, {0}, 9, 0, TYPE(FLOAT), -1},
    {TYPE(INT8), TYPE(FLOAT), 1, {1}, NO_AXIS, 0, 0, -1},
    {TYPE(INT8), TYPE(FLOAT), 1, {6}, NO_AXIS, 0, 0, 1},
    {TYPE(INT8), TYPE(FLOAT), 1, {4}, 0, 0, 0, 0},
    {TYPE(INT8), TYPE(FLOAT), 1, {4}, -4, 0, 0, 0},
    {TYPE(INT8), TYPE(FLOAT), 1, {6}, -3, 0, 0, 1},
    {TYPE(INT8), TYPE(FLOAT), 1, {6}, OF_CALL, 0, 0, -2},
    {TYPE(INT8), TYPE(FLOAT), 1, {4}, NO_AXIS, 0, 0, -2},
    {TYPE(INT8), TYPE(FLOAT), 1, {4}, 4, 0, 0, -2},
    {TYPE(INT8), TYPE(FLOAT), 1, {4}, -5, 0, 0, -2},
    {TYPE(INT8), TYPE(FLOAT), 2, {4, 1}, 0, 0, 0, -2},
    {TYPE(INT8), TYPE(FLOAT), 0, {0}, NO_AXIS, 2, 0, -2},
    {TYPE(INT8), TYPE(FLOAT), 0, {0}, NO_AXIS, 0, TYPE(FLOAT16), -2},
    {TYPE(INT8), TYPE(FLOAT16), 0, {0}, NO_AXIS, 0, 0, -2},
    {TYPE(INT8), TYPE(BFLOAT16), 0, {0}, NO_AXIS, 0, 0, -2},
    {TYPE(INT32), TYPE(FLOAT), 0, {0}, NO_AXIS, 0, 0, -2},
};

static void test_foreign_dequantize(void **state)
{
    (void)state;
    static const float scales[] = {0.25f, 3, 0.125f, 5, 7, 0.1f};
    for (size_t f = 0; f < sizeof foreigners / sizeof *foreigners; f++) {
        const struct foreign *c = &foreigners[f];
        struct text graph = {0}, attributes = {0}, reference = {0};
        float expected[COUNT];
        if (c->axis == OF_CALL) {
            put_text(&reference, 1, "axis");
            put_int(&reference, 20, 2);
            put_text(&reference, 21, "axis");
            put_message(&attributes, 5, &reference);
        } else if (c->axis != NO_AXIS) {
            attribute_int(&attributes, "axis", c->axis);
        }
        attribute_int(&attributes, "block_size", c->block_size);
        attribute_int(&attributes, "output_dtype", c->output_dtype);
        put_op(&graph, "DequantizeLinear", "q s", "W", &attributes);
        put_op(&graph, "Conv", "x W", "y", NULL);
        put_raw(&graph, "q", c->codes, c->codes == TYPE(INT8) ? shape : shape + 1,
                c->codes == TYPE(INT8) ? 4 : 1, levels, COUNT); /* else [6] of four bytes */
        put_scale(&graph, "s", c->scale, c->dims, c->num_dims,
                  c->num_dims ? (size_t)c->dims[0] : 1);
        struct lbw_model *model = open_graph(&graph, 23);
        size_t num = expand(model);
        if (num != (c->along >= -1))
            fail_msg("case %zu: %zu weights", f, num);
        for (size_t i = 0; i < COUNT; i++)
            expected[i] = (float)levels[i] * scales[c->along < 0    ? 0
                                                    : c->along == 0 ? i / 6
                                                                    : i % 6];
        if (num)
            expect_values(model, expected);
        lbw_model_close(&model);
    }
}

/*
 * Floats of eight bits, infinity and NaN included, raw and in the typed field. On no grid, they
 * are another tool's weights, which stay as they are.
 */
static void test_float8(void **state)
{
    (void)state;
    static const struct {
        int32_t type;
        unsigned char codes[4];
        float values[4];
    } cases[] = {
        {TYPE(FLOAT8E4M3FN), {0x38, 0xb9, 0x7f, 0x01}, {1, -1.125f, NAN, 0x1p-9f}},
        {TYPE(FLOAT8E4M3FNUZ), {0x40, 0xc1, 0x80, 0x01}, {1, -1.125f, NAN, 0x1p-10f}},
        {TYPE(FLOAT8E5M2), {0x3c, 0xbd, 0x7c, 0x01}, {1, -1.25f, INFINITY, 0x1p-16f}},
        {TYPE(FLOAT8E5M2FNUZ), {0x40, 0xc1, 0x80, 0x01}, {1, -1.25f, NAN, 0x1p-17f}},
    };
    for (size_t i = 0; i < 8; i++) {
        struct text graph = {0}, tensor = {0};
        float expected[COUNT];
        unsigned char codes[COUNT];
        for (size_t k = 0; k < COUNT; k++) {
            codes[k] = cases[i / 2].codes[k % 4];
            expected[k] = cases[i / 2].values[k % 4];
        }
        put_op(&graph, "DequantizeLinear", "q s", "W", NULL);
        put_op(&graph, "Conv", "x W", "y", NULL);
        put_scale(&graph, "s", TYPE(FLOAT), NULL, 0, 1);
        if (i % 2) {
            put_raw(&graph, "q", cases[i / 2].type, shape, 4, codes, COUNT);
        } else {
            for (size_t k = 0; k < 4; k++)
                put_int(&tensor, 1, (uint64_t)shape[k]);
            put_int(&tensor, 2, (uint64_t)cases[i / 2].type);
            put_text(&tensor, 8, "q");
            for (size_t k = 0; k < COUNT; k++)
                put_int(&tensor, 5, codes[k]);
            put_message(&graph, 5, &tensor);
        }
        struct lbw_model *model = open_graph(&graph, 19);
        assert_int_equal(expand(model), 0);
        expect_values_of(model, "q", cases[i / 2].type, expected);
        lbw_model_close(&model);
    }
}

/* A Mul behind a Cast or DequantizeLinear: ours when it is as the dq encoding writes it. */
static void test_foreign_mul(void **state)
{
    (void)state;
    static const int64_t per_row[] = {ROWS, 1, 1, 1}, more[] = {1, ROWS, 1, 1, 1};
    static const struct {
        int32_t codes, to; /* 0: DequantizeLinear */
        int32_t scale;
        const int64_t *dims;
        size_t num_dims, count;
        bool is_unit; /* the scale of the DequantizeLinear */
        bool is_ours;
    } cases[] = {
        {TYPE(INT8), TYPE(FLOAT), TYPE(FLOAT), per_row, 4, ROWS, false, true},
        {TYPE(INT8), TYPE(FLOAT), TYPE(FLOAT), NULL, 0, 1, false, true},
        {TYPE(FLOAT16), TYPE(FLOAT), TYPE(FLOAT), per_row, 4, ROWS, false, true},
        {TYPE(INT8), 0, TYPE(FLOAT), per_row, 4, ROWS, true, true},
        {TYPE(INT8), 0, TYPE(FLOAT), per_row, 4, ROWS, false, false},
        {TYPE(INT8), TYPE(FLOAT16), TYPE(FLOAT16), per_row, 4, ROWS, false, false},
        {TYPE(INT8), TYPE(INT32), TYPE(INT32), NULL, 0, 1, false, false},
        {TYPE(FLOAT16), TYPE(FLOAT), TYPE(FLOAT), shape, 4, COUNT, false, false}, /* a mask */
        {TYPE(INT8), TYPE(FLOAT), TYPE(FLOAT), shape + 1, 3, 6, false, false},
        {TYPE(INT8), TYPE(FLOAT), TYPE(FLOAT), more, 5, ROWS, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text graph = {0}, raw = {0};
        float values[COUNT];
        for (size_t k = 0; k < COUNT; k++)
            values[k] = levels[k];
        put_values(&raw, TYPE(FLOAT16), values, COUNT);
        if (cases[i].to)
            put_cast(&graph, "q", "plain", cases[i].to);
        else
            put_op(&graph, "DequantizeLinear", "q unit", "plain", NULL);
        put_op(&graph, "Mul", "plain s", "W", NULL);
        put_op(&graph, "Conv", "x W", "y", NULL);
        put_raw(&graph, "q", cases[i].codes, shape, 4,
                cases[i].codes == TYPE(INT8) ? (const void *)levels : raw.data,
                cases[i].codes == TYPE(INT8) ? COUNT : raw.size);
        put_raw(&graph, "unit", TYPE(FLOAT), NULL, 0, &(float){cases[i].is_unit ? 1 : 2}, 4);
        if (cases[i].scale == TYPE(INT32))
            put_raw(&graph, "s", TYPE(INT32), NULL, 0, levels, 4);
        else
            put_scale(&graph, "s", cases[i].scale, cases[i].dims, cases[i].num_dims,
                      cases[i].count);
        struct lbw_model *model = open_graph(&graph, 12);
        size_t num = expand(model);
        if (num != cases[i].is_ours)
            fail_msg("case %zu: %zu weights", i, num);
        lbw_model_close(&model);
        free(raw.data);
    }
}

static struct lbw_model *reopen(struct lbw_model *model)
{
    struct lbw_error err = {0};
    void *data = NULL;
    size_t size = 0;
    check(lbw_model_save_memory(model, &data, &size, &err), &err);
    lbw_model_close(&model);
    check(lbw_model_open_memory(&model, data, size, &err), &err);
    lbw_free(data);
    return model;
}

/* W is read by a Conv of its own type, and by another one through a Cast, which stays. */
static struct lbw_model *open_cast(int32_t from, int32_t to)
{
    struct text graph = {0};
    put_op(&graph, "Conv", "x W", "a", NULL);
    put_cast(&graph, "W", "c", to);
    put_op(&graph, "Conv", "x c", "y", NULL);
    put_random(&graph, "W", from, (const int64_t[]){16, 16, 3, 3}, 4, 0, 1);
    return open_graph(&graph, 17);
}

static const char *type_of(struct lbw_model *model, const char *tensor)
{
    struct lbw_error err = {0};
    struct lbw_plan *plan = NULL;
    const char *type = "";
    check(look_at(&plan, model, NULL, &err), &err);
    for (size_t i = 0; i < lbw_plan_num_items(plan); i++)
        if (strcmp(lbw_plan_item(plan, i)->tensor, tensor) == 0)
            type = lbw_plan_item(plan, i)->type;
    lbw_plan_free(&plan);
    return type;
}

static void expect_cast(struct lbw_model *model, int32_t from, int32_t to)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    assert_int_equal(initializer(model, "W")->data_type, from);
    assert_null(initializer(model, "c"));
    for (size_t i = 0; i < graph->n_node; i++)
        if (strcmp(graph->node[i]->output[0], "c") == 0) {
            assert_string_equal(graph->node[i]->op_type, "Cast");
            assert_int_equal(lbw_node_int(graph->node[i], "to", 0), to);
            return;
        }
    fail_msg("nothing makes 'c'");
}

/* Behind an encoded weight a Cast rounds what the weight's own type has rounded before. */
static void test_cast_behind(void **state)
{
    (void)state;
    static const int32_t types[][2] = {{TYPE(FLOAT16), TYPE(FLOAT)},
                                       {TYPE(BFLOAT16), TYPE(FLOAT)},
                                       {TYPE(FLOAT16), TYPE(BFLOAT16)},
                                       {TYPE(FLOAT), TYPE(FLOAT16)},
                                       {TYPE(DOUBLE), TYPE(FLOAT)}};
    static const struct lbw_encode_params ways[] = {{.encoding = LBW_ENCODING_PACKED},
                                                    {.inline_nodes = true},
                                                    {.encoding = LBW_ENCODING_DQ},
                                                    {.encoding = LBW_ENCODING_FLOAT}};
    const struct lbw_plan_rule skip = {"^c$", NULL};
    const struct lbw_plan_params params = {.rules = &skip, .num_rules = 1, .all = true};
    struct lbw_error err = {0};
    char digest[LBW_DIGEST_SIZE], other[LBW_DIGEST_SIZE];
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        struct lbw_model *model = open_cast(types[t][0], types[t][1]);
        struct lbw_plan *plan = NULL;
        check(prepare_and_plan(&plan, model, &params, &err), &err);
        check(lbw_convert(NULL, model, plan, &(struct lbw_convert_params){0}, &err), &err);
        lbw_plan_free(&plan);
        model = reopen(model);
        check(lbw_digest(digest, model, &err), &err);
        for (size_t i = 0; i < 32; i++) { /* from every way, every way */
            const struct lbw_encode_params *way = &ways[i % 2 ? i / 2 % 4 : i / 8];
            check(lbw_reencode(NULL, NULL, NULL, model, way, &err), &err);
            model = reopen(model);
            check(lbw_digest(other, model, &err), &err);
            assert_string_equal(other, digest);
            assert_string_equal(type_of(model, "W"), lbw_data_type_name(types[t][0]));
            assert_string_equal(type_of(model, "c"), lbw_data_type_name(types[t][1]));
        }
        check(lbw_reencode(NULL, NULL, NULL, model, &ways[0], &err), &err);
        assert_int_equal(expand(model), 1);
        expect_cast(model, types[t][0], types[t][1]);
        lbw_model_close(&model);
    }
}

/* A function of our domain is ours: one that we do not know is refused, not guessed. */
static void test_unknown_functions(void **state)
{
    (void)state;
    static const char *const names[] = {"Decode4_int8", "Decode4_", "Decode4_float16_",
                                        "Decode9", "Encode4"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct text graph = {0}, node = {0};
        struct lbw_error err = {0};
        char digest[LBW_DIGEST_SIZE];
        put_text(&node, 7, LBW_DOMAIN);
        put_names(&node, names[i], "words s dims", "W");
        put_message(&graph, 1, &node);
        put_op(&graph, "Conv", "x W", "y", NULL);
        put_raw(&graph, "words", TYPE(UINT16), (const int64_t[]){5}, 1, levels, 10);
        put_scale(&graph, "s", TYPE(FLOAT), NULL, 0, 1);
        put_raw(&graph, "dims", TYPE(INT64), (const int64_t[]){4}, 1, shape, sizeof shape);
        struct lbw_model *model = open_graph(&graph, 17);
        assert_int_equal(lbw_digest(digest, model, &err), LBW_ERR_FORMAT);
        assert_non_null(strstr(err.message, "is a decoder unknown to this version"));
        lbw_model_close(&model);
    }
}

/* The weights of MatMul, on either side: seen, refused, digested and converted in every
 * encoding. */
static void test_matmul(void **state)
{
    (void)state;
    static const int64_t dims[] = {64, 64};
    const struct lbw_plan_params params = {.ops = "MatMul", .all = true};
    struct lbw_error err = {0};
    struct text graph = {0};
    char digest[LBW_DIGEST_SIZE], other[LBW_DIGEST_SIZE], empty[LBW_DIGEST_SIZE];
    put_op(&graph, "MatMul", "x W", "a", NULL);
    put_op(&graph, "MatMul", "V a", "b", NULL);
    put_op(&graph, "MatMul", "a b", "c", NULL); /* no weight */
    put_cast(&graph, "H", "F", TYPE(FLOAT));
    put_op(&graph, "MatMul", "c F", "y", NULL);
    put_random(&graph, "W", TYPE(FLOAT), dims, 2, 0, 1);
    put_random(&graph, "V", TYPE(FLOAT), dims, 2, 0, 1);
    put_random(&graph, "H", TYPE(FLOAT16), dims, 2, 0, 1);
    struct lbw_model *model = open_graph(&graph, 17), *none = NULL;
    struct lbw_plan *plan = NULL;
    check(prepare_and_plan(&plan, model, &params, &err), &err);
    assert_int_equal(lbw_plan_num_items(plan), 3);
    check(lbw_convert(NULL, model, plan, &(struct lbw_convert_params){0}, &err), &err);
    lbw_plan_free(&plan);
    model = reopen(model);
    assert_int_equal(prepare_and_plan(&plan, model, &params, &err), LBW_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "is already encoded"));
    put_op(&graph, "Relu", "x", "y", NULL);
    none = open_graph(&graph, 17);
    check(lbw_digest(empty, none, &err), &err);
    lbw_model_close(&none);
    check(lbw_digest(digest, model, &err), &err);
    assert_string_not_equal(digest, empty);
    for (size_t i = 0; i < 12; i++) {
        const struct lbw_encode_params way = {
            .encoding = (enum lbw_encoding)(i % 2 ? i / 2 % 3 : i / 6)};
        size_t num = 0;
        check(lbw_reencode(&num, NULL, NULL, model, &way, &err), &err);
        model = reopen(model);
        check(lbw_digest(other, model, &err), &err);
        assert_string_equal(other, digest);
    }
    lbw_model_close(&model);
}

/* Doubles are encoded where they are the floats of a grid, and stay where more is in them. */
static void test_doubles(void **state)
{
    (void)state;
    static const double digits[] = {0.1, 0.2, 0.4, -0.1, -0.4, -0.8};
    static const int64_t dims[] = {16, 16, 3, 3};
    const struct lbw_encode_params packed = {.encoding = LBW_ENCODING_PACKED};
    struct lbw_error err = {0};
    for (int i = 0; i < 4; i++) {
        struct text graph = {0}, tensor = {0};
        double values[16 * 16 * 9];
        size_t count = sizeof values / sizeof *values, num = SIZE_MAX;
        for (size_t k = 0; k < count; k++)
            values[k] = i % 2 ? digits[k * k % 6] : (double)(float)digits[k * k % 6];
        put_op(&graph, "Conv", "x W", "y", NULL);
        for (size_t k = 0; k < 4; k++)
            put_int(&tensor, 1, (uint64_t)dims[k]);
        put_int(&tensor, 2, TYPE(DOUBLE));
        put_text(&tensor, 8, "W");
        put_bytes(&tensor, i < 2 ? 9 : 10, values, sizeof values); /* raw, or packed doubles */
        put_message(&graph, 5, &tensor);
        struct lbw_model *model = open_graph(&graph, 17);
        check(lbw_reencode(&num, NULL, NULL, model, &packed, &err), &err);
        assert_int_equal(num, i % 2 ? 0 : 1);
        lbw_model_close(&model);
    }
}

/* Integers that a MatMul reads count as raw_data holds them, wherever they are. */
static void test_digest_of_integers(void **state)
{
    (void)state;
    static const int64_t values[] = {1, -2, 3, INT32_MIN};
    static const int32_t types[] = {TYPE(INT32), TYPE(INT64)};
    for (size_t t = 0; t < 2; t++) {
        char digests[2][LBW_DIGEST_SIZE];
        for (size_t i = 0; i < 2; i++) {
            struct text graph = {0}, tensor = {0}, raw = {0};
            struct lbw_error err = {0};
            put_op(&graph, "MatMul", "x W", "y", NULL);
            put_int(&tensor, 1, 2);
            put_int(&tensor, 1, 2);
            put_int(&tensor, 2, (uint64_t)types[t]);
            put_text(&tensor, 8, "W");
            for (size_t k = 0; k < 4; k++) {
                unsigned char bytes[8];
                lbw_store_le(bytes, (uint64_t)values[k], sizeof bytes);
                put(&raw, bytes, t ? 8 : 4);
                if (i)
                    put_int(&tensor, t ? 7 : 5, (uint64_t)values[k]);
            }
            if (!i)
                put_bytes(&tensor, 9, raw.data, raw.size);
            free(raw.data);
            put_message(&graph, 5, &tensor);
            struct lbw_model *model = open_graph(&graph, 17);
            check(lbw_digest(digests[i], model, &err), &err);
            lbw_model_close(&model);
        }
        assert_string_equal(digests[0], digests[1]);
    }
}

static void put_call(struct text *graph, const char *input, const char *output)
{
    struct text node = {0};
    put_text(&node, 7, "test");
    put_names(&node, "F", input, output);
    put_message(graph, 1, &node);
}

/* Convs with A, function F with B (none when it is not called) and D, in this order. */
static void digest_of(char digest[LBW_DIGEST_SIZE], const char *const *order, int num_calls)
{
    static const int64_t dims[] = {16, 16, 3, 3};
    struct text graph = {0}, function = {0}, import = {0}, attribute = {0};
    struct lbw_error err = {0};
    struct lbw_model *model = NULL;
    float *values = draw_values("B", 2304, 0, 1);
    struct text tensor = tensor_of("", TYPE(FLOAT), dims, 4, values);
    put_text(&attribute, 1, "value");
    put_message(&attribute, 5, &tensor);
    put_int(&attribute, 20, 4);
    put_text(&function, 1, "F");
    put_text(&function, 4, "in");
    put_text(&function, 5, "out");
    put_node(&function, 7, "Constant", "", "w", &attribute);
    put_node(&function, 7, "Conv", "in w", "out", NULL);
    put_text(&import, 1, "");
    put_int(&import, 2, 17);
    put_message(&function, 9, &import);
    put_text(&function, 10, "test");
    for (size_t i = 0; i < 3; i++) {
        const char *const names[] = {"x", "1", "2", "3", "y"};
        char inputs[10];
        snprintf(inputs, sizeof inputs, "%s %s", names[i], order[i]);
        if (num_calls && strcmp(order[i], "B") == 0)
            put_call(&graph, names[i], names[i + 1]);
        else
            put_op(&graph, "Conv", inputs, names[i + 1], NULL);
        put_random(&graph, order[i], TYPE(FLOAT), dims, 4, 0, 1);
    }
    if (num_calls > 1)
        put_call(&graph, "3", "y");
    put_port(&graph, 11, "x");
    put_port(&graph, 12, num_calls > 1 ? "y" : "3");
    struct text bytes = finish_model(&graph, 8, 17);
    put_text(&import, 1, "test");
    put_int(&import, 2, 1);
    put_message(&bytes, 8, &import);
    if (num_calls)
        put_message(&bytes, 25, &function);
    free(function.data);
    check(lbw_model_open_memory(&model, bytes.data, bytes.size, &err), &err);
    check(lbw_digest(digest, model, &err), &err);
    lbw_model_close(&model);
    free(bytes.data);
    free(values);
}

/* Functions come last, but for those that hide weights: they are opened first. */
static void test_digest_order(void **state)
{
    (void)state;
    static const char *const in_place[] = {"A", "B", "D"}, *const at_end[] = {"A", "D", "B"};
    char digest[LBW_DIGEST_SIZE], expected[LBW_DIGEST_SIZE];
    digest_of(expected, in_place, 0);
    digest_of(digest, in_place, 1);
    assert_string_equal(digest, expected);
    digest_of(expected, at_end, 0);
    digest_of(digest, in_place, 2);
    assert_string_equal(digest, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cast_to_integers), cmocka_unit_test(test_foreign_dequantize),
        cmocka_unit_test(test_float8),           cmocka_unit_test(test_foreign_mul),
        cmocka_unit_test(test_cast_behind),      cmocka_unit_test(test_unknown_functions),
        cmocka_unit_test(test_matmul),           cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_digest_order),     cmocka_unit_test(test_digest_of_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
