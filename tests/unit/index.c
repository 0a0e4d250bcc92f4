/* SPDX-License-Identifier: MIT */
/* onnx/index and build: who makes and reads a name in which scope, and edits of the tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../fixture.h"
#include "onnx/build.h"
#include "onnx/index.h"
#include "onnx/tensor.h"

static struct lbw_model *open_text(struct text *t)
{
    struct lbw_model *model = NULL;
    struct lbw_error err = {0};
    enum lbw_status status = lbw_model_open_memory(&model, t->data, t->size, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(status, LBW_OK);
    free(t->data);
    *t = (struct text){0};
    return model;
}

static size_t num_uses(const struct lbw_value *value)
{
    size_t num = 0;
    for (const struct lbw_use *use = value->uses; use; use = use->next)
        num++;
    return num;
}

/* An If whose body reads the outer 'w' and has a 'w2' of its own. */
static struct text if_model(void)
{
    struct text graph = {0}, body = {0}, attribute = {0};
    put_node(&body, 1, "Conv", "x w", "c", NULL);
    put_node(&body, 1, "Add", "c w2", "r", NULL);
    put_initializer(&body, "w2", 5, 1);
    put_port(&body, 12, "r");
    put_text(&attribute, 1, "then_branch");
    put_message(&attribute, 6, &body);
    put_node(&graph, 1, "Conv", "x w", "first", NULL);
    put_node(&graph, 1, "If", "cond", "y", &attribute);
    put_node(&graph, 1, "Conv", "first w - w", "last", NULL);
    put_initializer(&graph, "w", 1, 6);
    put_port(&graph, 11, "x");
    put_port(&graph, 11, "cond");
    put_port(&graph, 12, "last");
    return wrap(&graph);
}

static void test_captures(void **state)
{
    (void)state;
    struct text t = if_model();
    struct lbw_model *model = open_text(&t);
    struct lbw_index index;
    assert_int_equal(lbw_index_init(&index, model, NULL), LBW_OK);
    struct lbw_scope *outer = index.scopes, *body = outer->next;
    assert_null(body->next);
    assert_ptr_equal(body->parent, outer);
    assert_string_equal(body->owner->op_type, "If");
    struct lbw_value *w = lbw_index_find(body, "w");
    assert_ptr_equal(w, lbw_index_find(outer, "w"));
    assert_int_equal(num_uses(w), 4);
    assert_ptr_equal(w->uses->scope, outer);
    assert_ptr_equal(w->uses->next->scope, body); /* where its If stands */
    assert_int_equal(w->uses->next->next->input, 1);
    assert_int_equal(w->uses->next->next->next->input, 3);
    assert_ptr_equal(lbw_index_constant(&index, w, false), model->proto->graph->initializer[0]);
    assert_null(lbw_index_find(outer, "w2"));
    assert_null(lbw_index_find(outer, ""));
    struct lbw_value *r = lbw_index_find(body, "r");
    assert_true(r->is_output && !r->is_input);
    assert_string_equal(r->producer->op_type, "Add");
    assert_true(lbw_index_find(outer, "x")->is_input);
    assert_null(lbw_index_constant(&index, r, false));
    lbw_index_release(&index);
    lbw_model_close(&model);
}

static void test_functions_and_constants(void **state)
{
    (void)state;
    struct text graph = {0}, function = {0}, attribute = {0}, tensor = {0};
    put_int(&tensor, 1, 1);
    put_int(&tensor, 2, TYPE(INT8));
    put_bytes(&tensor, 9, "a", 1);
    put_text(&attribute, 1, "value");
    put_message(&attribute, 5, &tensor);
    put_text(&function, 1, "Block");
    put_text(&function, 4, "x");
    put_text(&function, 5, "y");
    put_node(&function, 7, "Constant", "", "w", &attribute);
    put_node(&function, 7, "Conv", "x w", "y", NULL);
    put_node(&graph, 1, "Late", "b", "c", NULL); /* reads before it is made, and a ring */
    put_node(&graph, 1, "Ring", "c nobody", "b", NULL);
    put_initializer(&graph, "w", 1, 6);
    put_port(&graph, 11, "w");
    struct text t = wrap(&graph);
    put_message(&t, 25, &function);
    struct lbw_model *model = open_text(&t);
    struct lbw_index index;
    assert_int_equal(lbw_index_init(&index, model, NULL), LBW_OK);
    struct lbw_value *outer = lbw_index_find(index.scopes, "w");
    struct lbw_scope *body = index.scopes->next;
    assert_ptr_equal(body->function, model->proto->functions[0]);
    struct lbw_value *inner = lbw_index_find(body, "w");
    assert_ptr_not_equal(outer, inner);
    assert_null(lbw_index_constant(&index, outer, false)); /* an input may override it */
    assert_non_null(lbw_index_constant(&index, outer, true));
    assert_int_equal(lbw_index_constant(&index, inner, false)->raw_data.len, 1);
    assert_true(lbw_index_find(body, "x")->is_input && lbw_index_find(body, "y")->is_output);
    assert_int_equal(num_uses(lbw_index_find(index.scopes, "c")), 1);
    struct lbw_value *nobody = lbw_index_find(index.scopes, "nobody");
    assert_null(nobody->producer);
    lbw_index_release(&index);
    model->proto->ir_version = 3;
    assert_int_equal(lbw_index_init(&index, model, NULL), LBW_OK);
    outer = lbw_index_find(index.scopes, "w");
    assert_non_null(lbw_index_constant(&index, outer, false));
    lbw_index_release(&index);
    lbw_model_close(&model);
}

static void expect_duplicate(struct text *graph, const char *message)
{
    struct text t = wrap(graph);
    struct lbw_model *model = open_text(&t);
    struct lbw_index index;
    struct lbw_error err = {0};
    assert_int_equal(lbw_index_init(&index, model, &err), LBW_ERR_FORMAT);
    assert_string_equal(err.message, message);
    lbw_model_close(&model);
}

static void test_duplicates(void **state)
{
    (void)state;
    struct text graph = {0};
    put_node(&graph, 1, "Relu", "x", "y", NULL);
    put_node(&graph, 1, "Relu", "x", "y", NULL);
    expect_duplicate(&graph, "memory: node 'y': its output 'y' is made twice");
    put_initializer(&graph, "w", 1, 1);
    put_initializer(&graph, "w", 1, 1);
    expect_duplicate(&graph, "memory: two initializers are called 'w'");
    put_port(&graph, 11, "x");
    put_port(&graph, 11, "x");
    expect_duplicate(&graph, "memory: two inputs are called 'x'");
    put_port(&graph, 11, "x");
    put_node(&graph, 1, "Relu", "y", "x", NULL);
    expect_duplicate(&graph, "memory: node 'x': its output 'x' is made twice");
}

/* Names and fields that are not there at all. */
static void test_missing_fields(void **state)
{
    (void)state;
    struct text graph = {0}, none = {0};
    for (unsigned field = 1; field < 17; field++)
        if (field == 1 || field == 5 || (field > 10 && field < 16))
            put_message(&graph, field, &none);
    put_node(&graph, 1, "Relu", "- -", "-", &none);
    struct text t = wrap(&graph);
    put_message(&t, 25, &none);
    struct lbw_model *model = open_text(&t);
    struct lbw_index index;
    struct lbw_names *names = NULL;
    struct lbw_model_info info;
    assert_int_equal(lbw_index_init(&index, model, NULL), LBW_OK);
    assert_int_equal(lbw_model_describe(&info, model, NULL), LBW_OK);
    assert_int_equal(info.num_inputs, 1);
    assert_string_equal(info.inputs[0].name, "");
    const Onnx__NodeProto *empty = model->proto->graph->node[0];
    assert_false(lbw_node_is(empty, "Conv"));
    assert_string_equal(lbw_node_input(empty, 0), "");
    assert_null(lbw_node_attribute(model->proto->graph->node[1], "axis"));
    lbw_index_release(&index);
    assert_int_equal(lbw_names_new(&names, model, NULL), LBW_OK);
    lbw_names_free(names);
    lbw_model_close(&model);
}

static void test_names(void **state)
{
    (void)state;
    struct text t = if_model();
    struct lbw_model *model = open_text(&t);
    struct lbw_names *names = NULL;
    assert_int_equal(lbw_names_new(&names, model, NULL), LBW_OK);
    assert_string_equal(lbw_names_make(names, model, "new"), "new");
    assert_string_equal(lbw_names_make(names, model, "new"), "new_2");
    assert_string_equal(lbw_names_make(names, model, "new"), "new_3");
    assert_string_equal(lbw_names_make(names, model, "w"), "w_2");   /* from the outer graph */
    assert_string_equal(lbw_names_make(names, model, "w2"), "w2_2"); /* from the body */
    assert_string_equal(lbw_names_make(names, model, "cond"), "cond_2");
    lbw_names_free(names);
    lbw_model_close(&model);
}

static void test_edits(void **state)
{
    (void)state;
    struct text t = small_model();
    struct lbw_model *model = open_text(&t);
    Onnx__GraphProto *graph = model->proto->graph;
    static char data[4], names[100][4];
    for (int i = 0; i < 100; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        Onnx__TensorProto *tensor =
            lbw_tensor_new(model, names[i], TYPE(INT8), (int64_t[]){4}, 1, data, sizeof data);
        tensor->dims[0] = i;
        assert_true(lbw_graph_add_initializer(model, graph, tensor));
    }
    assert_false(lbw_graph_add_initializer(model, graph, NULL));
    assert_int_equal(graph->n_initializer, 101);
    struct lbw_strmap gone = {0};
    const size_t at[] = {50, 0, 100};
    for (size_t i = 0; i < 3; i++)
        assert_true(
            lbw_strmap_put(&gone, graph->initializer[at[i]]->name, graph->initializer[at[i]]));
    assert_true(lbw_strmap_put(&gone, names[3], names)); /* as an input only */
    lbw_graph_remove(graph, &gone);
    lbw_strmap_release(&gone);
    assert_int_equal(graph->n_initializer, 98);
    assert_int_equal(graph->n_input, 1);
    for (int i = 0; i < 98; i++)
        assert_int_equal(graph->initializer[i]->dims[0], i < 49 ? i : i + 1);
    lbw_graph_remove_input(graph, "absent");
    lbw_graph_remove_input(graph, "x");
    assert_int_equal(graph->n_input, 0);
    const char *inputs[] = {"a", "", NULL}, *outputs[] = {"b", NULL};
    Onnx__NodeProto *node = lbw_build_node(model, "ai.lbw", "Decode", "n", inputs, outputs);
    assert_true(lbw_build_int(model, node, "axis", 0));
    assert_true(lbw_build_ints(model, node, "dims", (int64_t[]){1, 2}, 2));
    assert_true(lbw_build_float(model, node, "scale", 0.5f));
    assert_true(lbw_build_string(model, node, "mode", "x"));
    assert_true(lbw_build_tensor(model, node, "value", graph->initializer[0]));
    assert_false(lbw_build_int(model, NULL, "axis", 0));
    assert_false(lbw_build_tensor(model, node, "value", NULL));
    Onnx__NodeProto *nodes[] = {node, graph->node[0]};
    assert_true(lbw_graph_set_nodes(model, graph, nodes, 2));
    void *saved = NULL;
    size_t size = 0;
    assert_int_equal(lbw_model_save_memory(model, &saved, &size, NULL), LBW_OK);
    lbw_model_close(&model);
    t = (struct text){saved, size};
    model = open_text(&t);
    node = model->proto->graph->node[0];
    assert_string_equal(node->domain, "ai.lbw");
    assert_false(lbw_node_is(node, "Decode"));
    assert_int_equal(node->n_input, 2);
    assert_string_equal(lbw_node_input(node, 1), "");
    assert_string_equal(lbw_node_input(node, 2), "");
    assert_true(lbw_node_attribute(node, "axis")->has_i); /* an explicit zero */
    assert_int_equal(lbw_node_int(node, "axis", 7), 0);
    assert_int_equal(lbw_node_int(node, "group", 7), 7);
    assert_true(lbw_node_float(node, "scale", 1) == 0.5f);
    assert_int_equal(lbw_node_attribute(node, "dims")->ints[1], 2);
    assert_int_equal(lbw_node_attribute(node, "value")->t->raw_data.len, 4);
    assert_true(lbw_node_is(model->proto->graph->node[1], "Conv"));
    lbw_model_close(&model);
}

/* One node costs as little as another, however many there are; the square would take minutes.
 */
static void test_many_nodes(void **state)
{
    (void)state;
    struct text t = small_model();
    struct lbw_model *model = open_text(&t);
    const char *none[] = {NULL};
    for (int i = 0; i < 100000; i++) {
        Onnx__NodeProto *node = lbw_build_node(model, "", "Op", "", none, none);
        assert_true(lbw_build_int(model, node, "a", i) && lbw_build_int(model, node, "b", -i));
        assert_int_equal(lbw_node_int(node, "a", 0), i);
        assert_int_equal(lbw_node_int(node, "b", 0), -i);
    }
    lbw_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_captures),   cmocka_unit_test(test_functions_and_constants),
        cmocka_unit_test(test_duplicates), cmocka_unit_test(test_missing_fields),
        cmocka_unit_test(test_names),      cmocka_unit_test(test_edits),
        cmocka_unit_test(test_many_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
