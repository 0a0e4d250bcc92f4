/* SPDX-License-Identifier: MIT */
/* Every allocation of opening, indexing, viewing, editing, lifting and saving fails once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "../fixture.h"
#include "oom.h"
#include "onnx/build.h"
#include "onnx/index.h"
#include "onnx/tensor.h"

static char path[300], packed_path[310], saved_path[310], data_path[310], out_data_path[310],
    old_path[310];

/* 40 nodes of which one has a body, a function, an external tensor, a large one, a port. */
static void write_model(void)
{
    struct text graph = {0}, body = {0}, attribute = {0}, function = {0}, tensor = {0},
                entry = {0};
    char name[20], previous[20] = "x";
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "y%d", i);
        put_node(&graph, 1, "Relu", previous, name, NULL);
        memcpy(previous, name, sizeof name);
    }
    put_node(&body, 1, "Conv", "x w", "r", NULL);
    put_port(&body, 12, "r");
    put_text(&attribute, 1, "then_branch");
    put_message(&attribute, 6, &body);
    put_node(&graph, 1, "If", "x", "z", &attribute);
    put_initializer(&graph, "w", 1, 30000);
    put_int(&tensor, 1, 3);
    put_int(&tensor, 2, TYPE(FLOAT));
    put_text(&tensor, 8, "e");
    put_text(&entry, 1, "location");
    put_text(&entry, 2, strrchr(data_path, '/') + 1);
    put_message(&tensor, 13, &entry);
    put_int(&tensor, 14, 1);
    put_message(&graph, 5, &tensor);
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "z");
    put_node(&function, 7, "Relu", "a", "b", NULL);
    put_text(&function, 1, "Block");
    struct text t = wrap(&graph);
    put_message(&t, 25, &function);
    write_file(path, t.data, t.size);
    write_file(data_path, "abcdefghijkl", 12);
    free(t.data);
}

static enum lbw_status edit(struct lbw_model *model, struct lbw_error *err)
{
    struct lbw_names *names = NULL;
    LBW_TRY(lbw_names_new(&names, model, err));
    const char *name = lbw_names_make(names, model, "w");
    lbw_names_free(names);
    const char *inputs[] = {"x", NULL}, *outputs[] = {name, NULL};
    Onnx__NodeProto *node =
        name ? lbw_build_node(model, "ai.lbw", "Op", name, inputs, outputs) : NULL;
    Onnx__TensorProto *tensor =
        name ? lbw_tensor_new(model, name, TYPE(INT8), NULL, 0, "a", 1) : NULL;
    if (!lbw_build_int(model, node, "axis", 0) || !lbw_build_tensor(model, node, "t", tensor) ||
        !lbw_build_string(model, node, "s", "text") ||
        !lbw_graph_add_initializer(model, model->proto->graph, tensor) ||
        !lbw_graph_set_nodes(model, model->proto->graph, &node, 1))
        return lbw_fail_memory(err);
    return lbw_model_import(model, "ai.lbw", 1, err);
}

static enum lbw_status use(struct lbw_model *model, struct lbw_error *err)
{
    struct lbw_model_info info;
    struct lbw_index index;
    struct lbw_tensor tensor;
    LBW_TRY(lbw_model_describe(&info, model, err));
    LBW_TRY(lbw_index_init(&index, model, err));
    enum lbw_status status =
        lbw_tensor_view(&tensor, model, model->proto->graph->initializer[1], err);
    lbw_index_release(&index);
    LBW_TRY(status);
    LBW_TRY(edit(model, err));
    void *data = NULL;
    size_t size;
    LBW_TRY(lbw_model_save_memory(model, &data, &size, err));
    lbw_free(data);
    return lbw_model_save(model, saved_path, err);
}

static enum lbw_status whole(struct lbw_error *err)
{
    struct lbw_model *model = NULL;
    LBW_TRY(lbw_model_open(&model, path, err));
    enum lbw_status status = use(model, err);
    lbw_model_close(&model);
    return status;
}

static enum lbw_status zipped(struct lbw_error *err)
{
    struct lbw_model *model = NULL;
    LBW_TRY(lbw_model_open(&model, packed_path, err));
    enum lbw_status status = lbw_model_save(model, packed_path, err);
    lbw_model_close(&model);
    return status;
}

static enum lbw_status external(struct lbw_error *err)
{
    struct lbw_model *model = NULL;
    struct lbw_external_params params = {strrchr(out_data_path, '/') + 1, 4, 0};
    LBW_TRY(lbw_model_open(&model, path, err));
    enum lbw_status status = lbw_model_save_external(model, saved_path, &params, err);
    lbw_model_close(&model);
    return status;
}

static enum lbw_status lifted(struct lbw_error *err)
{
    struct lbw_model *model = NULL;
    LBW_TRY(lbw_model_open(&model, old_path, err));
    enum lbw_status status = lbw_model_lift(model, 25, err);
    lbw_model_close(&model);
    return status;
}

/* Operators whose rules make constants, nodes behind, names and attributes. */
static void test_lift(void **state)
{
    (void)state;
    struct text graph = {0}, scales = {0}, axes = {0}, bounds = {0}, opset = {0}, t = {0};
    put_text(&scales, 1, "scales");
    for (int i = 0; i < 4; i++)
        put(&scales, "\x3d\0\0\x80\x3f", 5); /* floats: 1 */
    put_text(&axes, 1, "axes");
    put_int(&axes, 8, 0);
    put_text(&bounds, 1, "min");
    put(&bounds, "\x15\0\0\x80\x3f", 5); /* f: 1 */
    put_node(&graph, 1, "Upsample", "w", "u", &scales);
    put_node(&graph, 1, "Unsqueeze", "u", "s", &axes);
    put_node(&graph, 1, "Clip", "w", "c", &bounds);
    put_node(&graph, 1, "Softmax", "c", "y", NULL);
    put_initializer(&graph, "w", 1, 6);
    put_port(&graph, 11, "w");
    put_port(&graph, 12, "y");
    put_int(&opset, 2, 7);
    put_int(&t, 1, 3);
    put_message(&t, 7, &graph);
    put_message(&t, 8, &opset);
    write_file(old_path, t.data, t.size);
    free(t.data);
    assert_true(oom_run("lift", lifted));
}

static void test_external(void **state)
{
    (void)state;
    assert_true(oom_run("external data", external));
}

static void test_whole(void **state)
{
    (void)state;
    assert_true(oom_run("open, index, edit, save", whole));
}

static void test_zipped(void **state)
{
    (void)state;
    struct lbw_model *model = NULL;
    assert_int_equal(lbw_model_open(&model, path, NULL), LBW_OK);
    assert_int_equal(lbw_model_save(model, packed_path, NULL), LBW_OK);
    lbw_model_close(&model);
    assert_true(oom_run("gzip", zipped));
}

int main(void)
{
    snprintf(path, sizeof path, "%s", temporary_path("oom.onnx"));
    snprintf(packed_path, sizeof packed_path, "%s.gz", path);
    snprintf(saved_path, sizeof saved_path, "%s.saved", path);
    snprintf(data_path, sizeof data_path, "%s.data", path);
    snprintf(out_data_path, sizeof out_data_path, "%s.out", path);
    snprintf(old_path, sizeof old_path, "%s.old", path);
    write_model();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_zipped),
        cmocka_unit_test(test_external),
        cmocka_unit_test(test_lift),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    unlink(packed_path);
    unlink(saved_path);
    unlink(data_path);
    unlink(out_data_path);
    unlink(old_path);
    return failed;
}
