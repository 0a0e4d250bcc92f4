/* SPDX-License-Identifier: MIT */
/* What is read as an encoded weight, and what only looks like one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "../graph.h"
#include "pass/encode.h"

static void check(enum lbw_status status, const struct lbw_error *err)
{
    if (status != LBW_OK)
        fail_msg("%s", err->message);
}

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
    check(lbw_plan_new(&plan, model,
                       &(struct lbw_plan_params){.ops = LBW_ALL_OPS, .as_is = true}, &err),
          &err);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cast_to_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
