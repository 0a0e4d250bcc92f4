/* SPDX-License-Identifier: MIT */
/* onnx/opset: scopes, functions and versions of a lift; tests/ort/lift.py runs the results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../fixture.h"
#include "onnx/index.h"

static struct text ints(const char *name, int64_t value)
{
    struct text attribute = {0};
    put_text(&attribute, 1, name);
    put_int(&attribute, 8, (uint64_t)value);
    return attribute;
}

static void put_opset(struct text *t, unsigned field, int64_t version)
{
    struct text opset = {0};
    put_int(&opset, 2, (uint64_t)version);
    put_message(t, field, &opset);
}

static struct lbw_model *open_graph(struct text *graph, int64_t opset, struct text *function)
{
    struct text t = {0};
    struct lbw_model *model = NULL;
    put_int(&t, 1, 3);
    put_message(&t, 7, graph);
    put_opset(&t, 8, opset);
    if (function)
        put_message(&t, 25, function);
    assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, NULL), LBW_OK);
    free(t.data);
    return model;
}

static void test_scopes(void **state)
{
    (void)state;
    struct text graph = {0}, body = {0}, branch = {0}, function = {0}, axes;
    axes = ints("axes", 0);
    put_node(&body, 1, "Squeeze", "x", "r", &axes);
    put_port(&body, 12, "r");
    put_text(&branch, 1, "then_branch");
    put_message(&branch, 6, &body);
    put_node(&graph, 1, "If", "k", "y", &branch);
    put_initializer(&graph, "w", 1, 6);
    put_port(&graph, 11, "w");
    put_port(&graph, 11, "x");
    axes = ints("axes", -1);
    put_node(&function, 7, "Unsqueeze", "a", "b", &axes);
    put_opset(&function, 9, 11);
    struct lbw_model *model = open_graph(&graph, 9, &function);
    assert_int_equal(lbw_model_lift(model, 13, NULL), LBW_OK);
    assert_int_equal(lbw_model_opset(model, ""), 13);
    assert_int_equal(model->proto->functions[0]->opset_import[0]->version, 13);
    assert_int_equal(model->proto->ir_version, 7);
    const Onnx__GraphProto *main_graph = model->proto->graph;
    assert_int_equal(main_graph->n_input, 1); /* 'w' was no more than a constant below IR 4 */
    assert_string_equal(main_graph->input[0]->name, "x");
    const Onnx__GraphProto *inner = main_graph->node[0]->attribute[0]->g;
    assert_int_equal(inner->n_node, 2);
    assert_string_equal(inner->node[0]->op_type, "Constant");
    assert_string_equal(lbw_node_input(inner->node[1], 1), inner->node[0]->output[0]);
    assert_int_equal(inner->node[1]->n_attribute, 0);
    const Onnx__FunctionProto *f = model->proto->functions[0];
    assert_int_equal(f->n_node, 2);
    const Onnx__TensorProto *value = lbw_node_attribute(f->node[0], "value")->t;
    assert_memory_equal(value->raw_data.data, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    assert_int_equal(lbw_model_lift(model, 13, NULL), LBW_OK); /* nothing left to do */
    assert_int_equal(f->n_node, 2);
    lbw_model_close(&model);
}

/* A model that is as old as before keeps what it says on training, a lifted one does not. */
static void test_training_info(void **state)
{
    (void)state;
    for (int64_t opset = 12; opset <= 13; opset++) {
        struct text graph = {0}, t = {0}, none = {0};
        struct lbw_model *model = NULL;
        put_node(&graph, 1, "Relu", "x", "y", NULL);
        put_int(&t, 1, 7);
        put_message(&t, 7, &graph);
        put_opset(&t, 8, 12);
        put_message(&t, 20, &none);
        assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, NULL), LBW_OK);
        free(t.data);
        assert_int_equal(lbw_model_lift(model, opset, NULL), LBW_OK);
        assert_int_equal(model->proto->n_training_info, opset == 12);
        lbw_model_close(&model);
    }
}

static void test_softmax_keeps_its_name(void **state)
{
    (void)state;
    struct text graph = {0}, axis = {0};
    put_text(&axis, 1, "axis");
    put_int(&axis, 3, 1);
    put_node(&graph, 1, "Softmax", "x", "y", &axis);
    put_node(&graph, 1, "Relu", "y", "z", NULL);
    struct lbw_model *model = open_graph(&graph, 11, NULL);
    assert_int_equal(lbw_model_lift(model, 18, NULL), LBW_OK);
    const Onnx__GraphProto *g = model->proto->graph;
    static const char *const ops[] = {"Shape", "Flatten", "Softmax", "Reshape", "Relu"};
    assert_int_equal(g->n_node, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(g->node[i]->op_type, ops[i]);
    assert_string_equal(g->node[3]->output[0], "y");
    assert_int_equal(lbw_node_int(g->node[1], "axis", 0), 1);
    assert_int_equal(lbw_node_int(g->node[2], "axis", 0), -1);
    lbw_model_close(&model);
}

static void expect_error(struct lbw_model *model, int64_t opset, enum lbw_status status,
                         const char *message)
{
    struct lbw_error err = {0};
    assert_int_equal(lbw_model_lift(model, opset, &err), status);
    assert_string_equal(err.message, message);
    lbw_model_close(&model);
}

static void test_refused(void **state)
{
    (void)state;
    struct text graph = {0}, reference = {0}, function = {0};
    put_node(&graph, 1, "Relu", "x", "y", NULL);
    expect_error(open_graph(&graph, 6, NULL), 13, LBW_ERR_UNSUPPORTED,
                 "memory: the model is at opset 6; lifting starts at opset 7");
    put_node(&graph, 1, "Relu", "x", "y", NULL);
    expect_error(open_graph(&graph, 13, NULL), 11, LBW_ERR_ARGUMENT,
                 "memory: the model is at opset 13, which is above 11");
    put_node(&graph, 1, "Relu", "x", "y", NULL);
    expect_error(open_graph(&graph, 13, NULL), 26, LBW_ERR_ARGUMENT,
                 "memory: opset 26 is not one of 7 to 25");
    put_text(&reference, 1, "axes");
    put_text(&reference, 21, "outer");
    put_node(&function, 7, "Squeeze", "a", "b", &reference);
    put_opset(&function, 9, 11);
    put_node(&graph, 1, "Relu", "x", "y", NULL);
    expect_error(open_graph(&graph, 11, &function), 13, LBW_ERR_UNSUPPORTED,
                 "memory: node 'b': Squeeze cannot be lifted to opset 13: it takes an "
                 "attribute from its function");
    put_node(&graph, 1, "Clip", "nobody", "clip", NULL);
    put_node(&graph, 1, "Dropout", "x", "d mask", NULL);
    put_node(&graph, 1, "Not", "mask", "y", NULL);
    expect_error(open_graph(&graph, 7, NULL), 11, LBW_ERR_UNSUPPORTED,
                 "memory: node 'd mask': Dropout cannot be lifted to opset 10: its mask would "
                 "change its type");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_training_info),
        cmocka_unit_test(test_softmax_keeps_its_name),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
