/* SPDX-License-Identifier: MIT */
/* Computing constants: lists of any length, and results that few bytes ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "../graph.h"
#include "onnx/constant.h"

/* The number of values of "y" as it is computed from the nodes put so far; -1: it is not. */
static int64_t count_made(struct text *graph, int64_t opset)
{
    struct lbw_model *model = NULL;
    struct lbw_index index;
    struct lbw_error err = {0};
    Onnx__TensorProto *tensor = NULL;
    int64_t count = 1;
    put_typed_port(graph, 12, "y", TYPE(FLOAT), NULL, 0);
    struct text bytes = finish_model(graph, 8, opset);
    assert_int_equal(lbw_model_open_memory(&model, bytes.data, bytes.size, NULL), LBW_OK);
    assert_int_equal(lbw_index_init(&index, model, NULL), LBW_OK);
    const struct lbw_value *value = lbw_index_find(index.scopes, "y");
    assert_non_null(value);
    if (lbw_constant_make(&tensor, NULL, &index, value, &err) != LBW_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; tensor && i < tensor->n_dims; i++)
        count *= tensor->dims[i];
    count = tensor ? count : -1;
    lbw_index_release(&index);
    lbw_model_close(&model);
    free(bytes.data);
    return count;
}

/* y = OP(w of 2x3) with `num` times `value` as attribute `name`. */
static int64_t count_with(const char *op, const char *name, size_t num, int64_t value)
{
    static const int64_t dims[] = {2, 3};
    struct text graph = {0}, attributes = {0};
    int64_t *values = calloc(num + 1, sizeof *values);
    for (size_t i = 0; i < num; i++)
        values[i] = value;
    attribute_ints(&attributes, name, values, num);
    if (strcmp(op, "Slice") == 0) {
        attribute_ints(&attributes, "starts", (int64_t[]){0}, 1);
        attribute_ints(&attributes, "ends", (int64_t[]){2}, 1);
    }
    put_op(&graph, op, "w", "y", &attributes);
    put_random(&graph, "w", TYPE(FLOAT), dims, 2, 0, 1);
    free(values);
    return count_made(&graph, 13);
}

static void test_long_lists(void **state)
{
    (void)state;
    static const struct {
        const char *op, *name;
        size_t num;
        int64_t value, count;
    } cases[] = {
        {"ReduceSum", "axes", 1, -1, 2},       {"ReduceSum", "axes", 16, -1, 2},
        {"ReduceSum", "axes", 1000, -1, -1},   {"Squeeze", "axes", 1000, -1, -1},
        {"Unsqueeze", "axes", 1, -1, 6},       {"Unsqueeze", "axes", 1000, -1, -1},
        {"Slice", "axes", 1, -1, 4},           {"Slice", "axes", 1000, -1, -1},
        {"Slice", "steps", 1, INT64_MAX, 3},   {"Slice", "steps", 1, INT64_MIN, -1},
        {"Slice", "steps", 1000, 1, -1},       {"Split", "split", 1, 2, 6},
        {"Split", "split", 1000, 2, -1},       {"Reshape", "shape", 1000, 1, -1},
        {"Tile", "repeats", 2, 2, 24},         {"Tile", "repeats", 2, INT64_MAX, -1},
        {"Tile", "repeats", 2, 1 << 30, -1},   {"Expand", "shape", 3, 1, 6},
        {"Expand", "shape", 3, INT64_MAX, -1}, {"Pad", "pads", 4, 1, 20},
        {"Pad", "pads", 4, INT64_MAX, -1},     {"Pad", "pads", 4, 1 << 13, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t count = count_with(cases[i].op, cases[i].name, cases[i].num, cases[i].value);
        if (count != cases[i].count)
            fail_msg("%s of %zu %s %lld: %lld values, expected %lld", cases[i].op, cases[i].num,
                     cases[i].name, (long long)cases[i].value, (long long)count,
                     (long long)cases[i].count);
    }
}

/* Two vectors make one large table, and a list of doublings more than memory. */
static void test_few_bytes(void **state)
{
    (void)state;
    static const int64_t column[] = {1 << 14, 1}, row[] = {1, 1 << 14};
    static const char *const ops[] = {"Add", "MatMul"};
    struct text graph = {0};
    struct rusage usage;
    for (size_t i = 0; i < 2; i++) {
        put_op(&graph, ops[i], "a b", "y", NULL);
        put_random(&graph, "a", TYPE(FLOAT), column, 2, 0, 1);
        put_random(&graph, "b", TYPE(FLOAT), row, 2, 0, 1);
        assert_int_equal(count_made(&graph, 13), -1);
    }
    /* forty times doubled; eight values, each used twice, are computed 255 times */
    for (int num = 7; num <= 40; num += 33) {
        struct text attributes = {0};
        char from[20] = "w w", to[10];
        for (int i = 0; i < num; i++) {
            snprintf(to, sizeof to, i < num - 1 ? "v%d" : "y", i);
            attribute_int(&attributes, "axis", 0);
            put_op(&graph, "Concat", from, to, &attributes);
            snprintf(from, sizeof from, "v%d v%d", i, i);
        }
        put_vector(&graph, "w", 2, 0, 1);
        assert_int_equal(count_made(&graph, 13), num == 7 ? 256 : -1);
    }
    getrusage(RUSAGE_SELF, &usage);
    assert_in_range(usage.ru_maxrss, 0, 1 << 20); /* kB */
}

/* Positions are whole numbers within the axis, whatever their type can hold. */
static void test_positions(void **state)
{
    (void)state;
    static const float positions[] = {0, -3, 3, -4, 1e30f, -1e30f};
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        static const int64_t one = 1, three = 3;
        struct text graph = {0}, attributes = {0}, tensor;
        attribute_int(&attributes, "axis", 0);
        put_op(&graph, "Gather", "w at", "y", &attributes);
        put_random(&graph, "w", TYPE(FLOAT), &three, 1, 0, 1);
        tensor = tensor_of("at", TYPE(FLOAT), &one, 1, &positions[i]);
        put_message(&graph, 5, &tensor);
        assert_int_equal(count_made(&graph, 13), i < 2 ? 1 : -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_lists),
        cmocka_unit_test(test_few_bytes),
        cmocka_unit_test(test_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
