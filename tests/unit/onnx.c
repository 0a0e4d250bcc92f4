/* SPDX-License-Identifier: MIT */
/* onnx: opening and describing models, bad input, saving. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../fixture.h"
#include "base/file.h"

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

static void expect_bad(const void *data, size_t size, enum lbw_status status,
                       const char *message)
{
    struct lbw_model *model = NULL;
    struct lbw_error err = {0};
    assert_int_equal(lbw_model_open_memory(&model, data, size, &err), status);
    assert_string_equal(err.message, message);
    assert_null(model);
}

static void test_other_files(void **state)
{
    (void)state;
    static const struct {
        const char *content, *message;
    } cases[] = {
        {"", "memory: empty"},
        {"\xff\xd8\xff\xe0 JFIF", "memory: not an ONNX model but a JPEG image"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
         "memory: not an ONNX model but a Git LFS pointer, not the file it points to (try git "
         "lfs pull)"},
        {"<!DOCTYPE html><html>", "memory: not an ONNX model but an HTML page"},
        {"PK\3\4", "memory: not an ONNX model but a ZIP archive (a PyTorch checkpoint?)"},
        {"\x1c\0\0\0TFL3", "memory: not an ONNX model (malformed at byte 0)"},
        {"{\"a\": 1}", "memory: not an ONNX model (malformed at byte 0)"},
        {"\x08\x08", "memory: not an ONNX model (it holds no graph)"},
        {"\x0a\x01x", "memory: not an ONNX model (malformed at byte 0)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_bad(cases[i].content, strlen(cases[i].content), LBW_ERR_FORMAT,
                   cases[i].message);
    expect_bad("\x1c\0\0\0TFL3", 8, LBW_ERR_FORMAT,
               "memory: not an ONNX model but a TensorFlow Lite model");
    struct text graph = {0}, t = {0};
    put_text(&graph, 2, "g");
    put_int(&t, 1, 8);
    put_text(&t, 4, "TFL3"); /* a domain that looks like another file's magic */
    put_message(&t, 7, &graph);
    struct lbw_model *model = open_text(&t);
    lbw_model_close(&model);
    struct lbw_error err = {0};
    assert_int_equal(lbw_model_open(&model, "/nonexistent/m.onnx", &err), LBW_ERR_IO);
    assert_string_equal(err.message,
                        "/nonexistent/m.onnx: cannot open: No such file or directory");
    char *path = temporary_path("empty.onnx");
    char expected[300];
    write_file(path, "", 0);
    assert_int_equal(lbw_model_open(&model, path, &err), LBW_ERR_FORMAT);
    snprintf(expected, sizeof expected, "%s: empty", path);
    assert_string_equal(err.message, expected);
    unlink(path);
    assert_null(model);
}

/* Cut anywhere, a model is called truncated or is still a whole one (cut between fields). */
static void test_truncated(void **state)
{
    (void)state;
    struct text t = small_model();
    size_t num_truncated = 0;
    for (size_t size = 1; size < t.size; size++) {
        struct lbw_model *model = NULL;
        struct lbw_error err = {0};
        unsigned char *copy = malloc(size); /* so that a sanitizer sees the end */
        memcpy(copy, t.data, size);
        enum lbw_status status = lbw_model_open_memory(&model, copy, size, &err);
        num_truncated += strstr(err.message, "memory: truncated: ") != NULL;
        assert_true(status == LBW_OK || status == LBW_ERR_FORMAT);
        lbw_model_close(&model);
        free(copy);
    }
    assert_int_equal(num_truncated, t.size - 3); /* two cuts are between fields */
    free(t.data);
}

static void test_wrong_lengths(void **state)
{
    (void)state;
    struct text t = small_model();
    assert_int_equal(t.data[2], 7 << 3 | 2);
    t.data[5] = 0x7f; /* the first node claims more than the graph holds */
    struct lbw_model *model = NULL;
    struct lbw_error err = {0};
    assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, &err), LBW_ERR_FORMAT);
    assert_string_equal(err.message, "memory: not an ONNX model (malformed at byte 4)");
    free(t.data);
    struct text graph = {0};
    put_bytes(&graph, 2, "a\0b", 3);
    t = wrap(&graph);
    expect_bad(t.data, t.size, LBW_ERR_FORMAT, "memory: a zero byte in the string 'name' at 4");
    free(t.data);
}

/* Graphs in attributes in nodes in graphs …, `depth` bodies. */
static struct text nested_model(unsigned depth)
{
    struct text graph = {0};
    put_text(&graph, 2, "leaf");
    for (unsigned i = 0; i < depth; i++) {
        struct text attribute = {0}, outer = {0};
        put_text(&attribute, 1, "body");
        put_message(&attribute, 6, &graph);
        put_node(&outer, 1, "If", "", "", &attribute);
        graph = outer;
    }
    return wrap(&graph);
}

static void test_nesting(void **state)
{
    (void)state;
    struct text t = nested_model(60);
    struct lbw_model *model = open_text(&t);
    lbw_model_close(&model);
    t = nested_model(3400); /* more than 10,000 levels of messages */
    expect_bad(t.data, t.size, LBW_ERR_FORMAT, "memory: nested more than 200 levels deep");
    free(t.data);
}

static void test_unknown_fields_and_gzip(void **state)
{
    (void)state;
    struct text t = small_model();
    put_text(&t, 1234, "from the future");
    struct lbw_model *model = NULL;
    struct lbw_error err = {0};
    char *path = temporary_path("copy.onnx.gz");
    assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, &err), LBW_OK);
    assert_int_equal(lbw_model_size(model), t.size);
    assert_int_equal(lbw_model_save(model, path, &err), LBW_OK);
    lbw_model_close(&model);
    assert_int_equal(lbw_model_open(&model, path, &err), LBW_OK);
    void *data = NULL;
    size_t size = 0;
    assert_int_equal(lbw_model_save_memory(model, &data, &size, &err), LBW_OK);
    assert_int_equal(size, t.size);
    assert_memory_equal(data, t.data, size);
    lbw_free(data);
    lbw_model_close(&model);
    struct lbw_bytes bytes = {0};
    assert_int_equal(lbw_bytes_read(&bytes, path, &err), LBW_OK);
    assert_memory_equal(bytes.data, t.data, t.size);
    lbw_bytes_release(&bytes);
    unlink(path);
    assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, &err), LBW_OK);
    assert_int_equal(lbw_model_save(model, "/dev/full", &err), LBW_ERR_IO);
    assert_string_equal(err.message, "/dev/full: cannot write: No space left on device");
    lbw_model_close(&model);
    free(t.data);
}

static void test_describe(void **state)
{
    (void)state;
    struct text graph = {0}, value = {0}, type = {0}, tensor = {0}, shape = {0}, dim = {0};
    put_int(&dim, 1, 3);
    put_message(&shape, 1, &dim);
    put_text(&dim, 2, "height");
    put_message(&shape, 1, &dim);
    put_message(&shape, 1, &dim);
    put_int(&tensor, 1, TYPE(FLOAT16));
    put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_text(&value, 1, "x");
    put_message(&value, 2, &type);
    put_text(&graph, 2, "g");
    put_initializer(&graph, "w", 1, 6);
    put_message(&graph, 11, &value);
    put_port(&graph, 11, "w");
    put_port(&graph, 12, "y");
    struct text t = wrap(&graph);
    put_text(&t, 2, "pytorch");
    put_text(&t, 3, "1.13");
    struct lbw_model *model = open_text(&t);
    struct lbw_model_info info;
    struct lbw_error err = {0};
    assert_int_equal(lbw_model_describe(&info, model, &err), LBW_OK);
    assert_string_equal(info.producer, "pytorch 1.13");
    assert_string_equal(info.graph_name, "g");
    assert_int_equal(info.opset, 17);
    assert_int_equal(info.ir_version, 8);
    assert_int_equal(info.num_inputs, 1);
    assert_string_equal(info.inputs[0].type, "float16");
    assert_int_equal(info.inputs[0].num_dims, 3);
    assert_int_equal(info.inputs[0].dims[0], 3);
    assert_string_equal(info.inputs[0].symbols[1], "height");
    assert_int_equal(info.inputs[0].dims[2], -1);
    assert_string_equal(info.inputs[0].symbols[2], "");
    assert_int_equal(info.num_outputs, 1);
    assert_string_equal(info.outputs[0].type, "?");
    assert_int_equal(info.outputs[0].num_dims, -1);
    assert_int_equal(info.num_metadata, 0);
    lbw_model_close(&model);
}

static void test_import(void **state)
{
    (void)state;
    struct text t = small_model();
    struct lbw_model *model = open_text(&t);
    struct lbw_error err = {0};
    assert_int_equal(lbw_model_opset(model, "ai.onnx"), 17);
    assert_int_equal(lbw_model_opset(model, "ai.lbw"), 0);
    assert_int_equal(lbw_model_import(model, "ai.lbw", 1, &err), LBW_OK);
    assert_int_equal(lbw_model_import(model, "", 21, &err), LBW_OK);
    assert_int_equal(lbw_model_import(model, "", 19, &err), LBW_OK);
    assert_int_equal(lbw_model_opset(model, "ai.lbw"), 1);
    assert_int_equal(lbw_model_opset(model, ""), 21);
    assert_int_equal(model->proto->n_opset_import, 2);
    lbw_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_wrong_lengths),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_unknown_fields_and_gzip),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_import),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
