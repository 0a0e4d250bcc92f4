/* SPDX-License-Identifier: MIT */
/* Weights and nodes in model-local functions; tests/ort/places.py runs what becomes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../check.h"
#include "../graph.h"
#include "../plan.h"
#include <lbw/convert.h>

#include "pass/plan.h"

static struct lbw_plan *plan_of(struct lbw_model *model)
{
    struct lbw_plan *plan = NULL;
    struct lbw_error err = {0};
    check(prepare_and_plan(&plan, model, &(struct lbw_plan_params){0}, &err), &err);
    return plan;
}

/* What a function takes from its call is none of the defaults. */
static struct text reference(const char *name, uint64_t type)
{
    struct text attributes = {0}, a = {0};
    put_text(&a, 1, name);
    put_int(&a, 20, type);
    put_text(&a, 21, "given");
    put_message(&attributes, 5, &a);
    return attributes;
}

/* In a branch inside a function of this opset, in a model of opset 17. */
static size_t folded_in_function(struct text *branch, int64_t opset)
{
    struct text graph = {0}, body = {0}, attributes = {0};
    put_text(branch, 2, "branch");
    put_port(branch, 12, "y");
    attribute_message(&attributes, "then_branch", 6, 5, branch);
    put_op(&body, "If", "condition", "out", &attributes);
    struct text bytes = finish_model(&graph, 8, 17);
    put_function(&bytes, "Block", "x condition", &body, opset);
    struct lbw_model *model = open_text(&bytes);
    struct lbw_plan *plan = plan_of(model);
    size_t num = lbw_plan_num_folded(plan);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    return num;
}

static void test_what_folds(void **state)
{
    (void)state;
    struct text attributes = {0}, graph = conv_and_norm("y", NULL);
    assert_int_equal(folded_in_function(&graph, 17), 1);
    graph = conv_and_norm("y", NULL); /* its own opset counts */
    assert_int_equal(folded_in_function(&graph, 6), 0);
    attributes = reference("epsilon", 1);
    graph = conv_and_norm("y", &attributes);
    assert_int_equal(folded_in_function(&graph, 17), 0);
    attributes = reference("group", 2);
    graph = (struct text){0};
    put_op(&graph, "Conv", "x w", "c", &attributes);
    put_op(&graph, "BatchNormalization", "c w w w w", "y", NULL);
    put_random(&graph, "w", TYPE(FLOAT), (const int64_t[]){1, 1, 1, 1}, 4, 1, 0.5f);
    assert_int_equal(folded_in_function(&graph, 17), 0);
}

/* A Cast to what the call says is not one to float32. */
static void test_reference_behind_codes(void **state)
{
    (void)state;
    for (int is_given = 0; is_given < 2; is_given++) {
        struct text graph = {0}, body = {0}, attributes = {0}, codes = {0}, values = {0}, scale;
        const float one = 0.5f;
        put_int(&codes, 1, 64);
        put_int(&codes, 2, TYPE(INT8));
        for (signed char code = 8; code > 0;
             code /= 2) /* on a grid: another's stay as they are */
            for (size_t i = 0; i < 16; i++)
                put(&values, &code, 1);
        put_message(&codes, 9, &values);
        scale = tensor_of("", TYPE(FLOAT), NULL, 0, &one);
        attribute_message(&attributes, "value", 5, 4, &codes);
        put_op(&body, "Constant", "", "codes", &attributes);
        attribute_message(&attributes, "value", 5, 4, &scale);
        put_op(&body, "Constant", "", "scale", &attributes);
        put_op(&body, "DequantizeLinear", "codes scale", "wide", NULL);
        if (is_given)
            attributes = reference("to", 2);
        else
            attribute_int(&attributes, "to", TYPE(FLOAT16));
        put_op(&body, "Cast", "wide", "w", &attributes);
        put_op(&body, "Conv", "in w", "out", NULL);
        struct text bytes = finish_model(&graph, 8, 17);
        put_function(&bytes, "Block", "in", &body, 17);
        struct lbw_model *model = open_text(&bytes);
        struct lbw_error err = {0};
        size_t num = 0;
        check(lbw_expand(model, &num, &err), &err);
        assert_int_equal(num, !is_given);
        lbw_model_close(&model);
    }
}

static void put_call(struct text *nodes, const char *function, const char *in, const char *out)
{
    struct text node = {0};
    put_text(&node, 1, in);
    put_text(&node, 2, out);
    put_text(&node, 4, function);
    put_text(&node, 7, "test");
    put_message(nodes, 1, &node);
}

/* Each calls the next one twice, and the last holds the weight: no time for looking again and
 * again (what is quadratic takes minutes). */
static void test_chain(void **state)
{
    (void)state;
    struct text graph = {0}, body = {0}, attributes = {0};
    char name[] = "f0000";
    put_call(&graph, name, "x", "y");
    struct text bytes = finish_model(&graph, 8, 17);
    for (int i = 1; i <= 3000; i++) {
        char caller[sizeof name];
        memcpy(caller, name, sizeof name);
        snprintf(name + 1, sizeof name - 1, "%04d", i);
        put_call(&body, name, "x", "a");
        put_call(&body, name, "a", "out");
        put_function(&bytes, caller, "x", &body, 17);
    }
    const int64_t dims[] = {16, 16, 1, 1};
    float *values = draw_values("w", 256, 0, 1);
    struct text tensor = tensor_of("", TYPE(FLOAT), dims, 4, values);
    attribute_message(&attributes, "value", 5, 4, &tensor);
    put_op(&body, "Constant", "", "w", &attributes);
    put_op(&body, "Conv", "x w", "out", NULL);
    put_function(&bytes, name, "x", &body, 17);
    struct lbw_model *model = open_text(&bytes);
    struct lbw_plan *plan = plan_of(model);
    assert_int_equal(lbw_plan_num_items(plan), 1);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_folds),
        cmocka_unit_test(test_reference_behind_codes),
        cmocka_unit_test(test_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
