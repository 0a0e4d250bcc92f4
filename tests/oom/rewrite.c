/* SPDX-License-Identifier: MIT */
/*
 * Every allocation of inlining functions and branches, of encoding anew, of lifting through
 * every rule, of saving over what is there, and of reading plans and profiles fails once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <lbw/lbw.h>

#include "../graph.h"
#include "../plan.h"
#include "oom.h"

#define UNTOUCHED ((size_t)-77)

static char model_path[300], data_path[310], plan_path[300], profile_path[300];
static struct text bytes;               /* of the model that a scenario opens */
static struct text old_model, old_data; /* what is saved over */
static struct lbw_encode_params wanted; /* of a scenario that encodes */

static struct text saved_bytes(struct lbw_model *model)
{
    void *data = NULL;
    struct text copy = {0};
    assert_int_equal(lbw_model_save_memory(model, &data, &copy.size, NULL), LBW_OK);
    copy.data = data;
    return copy;
}

static enum lbw_status with_model(enum lbw_status (*step)(struct lbw_model *,
                                                          struct lbw_error *),
                                  struct lbw_error *err)
{
    struct lbw_model *model = NULL;
    enum lbw_status status = lbw_model_open_memory(&model, bytes.data, bytes.size, err);
    if (status == LBW_OK)
        status = step(model, err);
    else if (model)
        return LBW_ERR_RUNTIME; /* touched */
    lbw_model_close(&model);
    return status;
}

/* ---- inlining ---- */

/* f(x, w) calls a Conv; g holds weights in an If of its own, and calls f. */
static void put_functions(struct text *model)
{
    struct text f = {0}, g = {0}, body = {0}, attributes = {0}, import = {0};
    put_text(&import, 1, "");
    put_int(&import, 2, 17);
    put_text(&f, 1, "F");
    put_text(&f, 4, "a");
    put_text(&f, 4, "v");
    put_text(&f, 5, "b");
    put_node(&f, 7, "Conv", "a v", "c", NULL);
    put_node(&f, 7, "Relu", "c", "b", NULL);
    put_bytes(&f, 9, import.data, import.size);
    put_text(&f, 10, "test");
    put_message(model, 25, &f);
    put_text(&g, 1, "G");
    put_text(&g, 4, "a");
    put_text(&g, 5, "b");
    struct text tensor = tensor_of("", TYPE(FLOAT), (const int64_t[]){16, 16, 1, 1}, 4,
                                   (float[256]){1, 2, 3, 4, 5});
    attribute_message(&attributes, "value", 5, 4, &tensor);
    struct text constant = {0};
    put_text(&constant, 2, "k");
    put_text(&constant, 4, "Constant");
    put(&constant, attributes.data, attributes.size);
    free(attributes.data);
    put_message(&g, 7, &constant);
    put_node(&g, 7, "Conv", "a k", "c", NULL);
    put_node(&body, 1, "Relu", "c", "r", NULL);
    put_port(&body, 12, "r");
    struct text branch = {0};
    put_text(&branch, 1, "then_branch");
    put_message(&branch, 6, &body);
    put_node(&g, 7, "If", "a", "b", &branch);
    put_message(&g, 9, &import);
    put_text(&g, 10, "test");
    put_message(model, 25, &g);
}

static void put_call(struct text *graph, const char *name, const char *inputs,
                     const char *outputs)
{
    struct text node = {0};
    char *copy = strdup(inputs), *save = NULL;
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        put_text(&node, 1, word);
    free(copy);
    put_text(&node, 2, outputs);
    put_text(&node, 4, name);
    put_text(&node, 7, "test");
    put_message(graph, 1, &node);
}

/* x -F(w1)-> a -F(w2)-> b -G-> c -If(always: Conv w3)-> y */
static void make_nested_model(void)
{
    struct text graph = {0}, attributes = {0}, import = {0};
    const char *const names[] = {"then_branch", "else_branch"};
    put_call(&graph, "F", "x w1", "a");
    put_call(&graph, "F", "a w2", "b");
    put_call(&graph, "G", "b", "c");
    for (size_t i = 0; i < 2; i++) {
        struct text body = {0};
        put_node(&body, 1, "Conv", i ? "c w1" : "c inner", i ? "e" : "t", NULL);
        if (!i)
            put_weight(&body, "inner", 16, 16, 1);
        put_port(&body, 12, i ? "e" : "t");
        attribute_message(&attributes, names[i], 6, 5, &body);
    }
    put_op(&graph, "If", "always", "y", &attributes);
    struct text always = {0};
    put_int(&always, 2, TYPE(BOOL));
    put_text(&always, 8, "always");
    put_bytes(&always, 9, "\1", 1);
    put_message(&graph, 5, &always);
    put_weight(&graph, "w1", 16, 16, 1);
    put_weight(&graph, "w2", 16, 16, 1);
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "y");
    bytes = finish_model(&graph, 8, 17);
    put_text(&import, 1, "test");
    put_int(&import, 2, 1);
    put_message(&bytes, 8, &import);
    put_functions(&bytes);
}

static enum lbw_status plan_all(struct lbw_model *model, struct lbw_error *err)
{
    const struct lbw_plan_params params = {.all = true};
    struct lbw_plan *plan = NULL;
    enum lbw_status status = prepare_and_plan(&plan, model, &params, err);
    if (status != LBW_OK)
        return plan ? LBW_ERR_RUNTIME : status;
    if (lbw_plan_num_items(plan) < 4)
        status = lbw_fail(err, LBW_ERR_FORMAT, "%zu weights", lbw_plan_num_items(plan));
    lbw_plan_free(&plan);
    return status;
}

static enum lbw_status inlined(struct lbw_error *err)
{
    return with_model(plan_all, err);
}

static void test_inlining(void **state)
{
    (void)state;
    make_nested_model();
    assert_true(oom_run("functions and branches inlined", inlined));
    free(bytes.data);
}

/* ---- another encoding ---- */

static enum lbw_status reencode(struct lbw_model *model, struct lbw_error *err)
{
    size_t num = UNTOUCHED, num_plain = UNTOUCHED;
    const char *note = "untouched";
    enum lbw_status status = lbw_reencode(&num, &num_plain, &note, model, &wanted, err);
    if (status == LBW_OK)
        return num == 3 ? LBW_OK : lbw_fail(err, LBW_ERR_FORMAT, "%zu weights", num);
    bool is_untouched =
        num == UNTOUCHED && num_plain == UNTOUCHED && note && strcmp(note, "untouched") == 0;
    return is_untouched ? status : LBW_ERR_RUNTIME;
}

static enum lbw_status encoded_anew(struct lbw_error *err)
{
    return with_model(reencode, err);
}

/* A model of three weights that are quantized, in this encoding. */
static struct text make_encoded(enum lbw_encoding encoding)
{
    struct text graph = {0};
    put_op(&graph, "Conv", "x w1", "c", NULL);
    put_op(&graph, "ConvTranspose", "c w2", "d", NULL);
    put_op(&graph, "Conv", "d w3", "y", NULL);
    put_weight(&graph, "w1", 16, 16, 1);
    put_weight(&graph, "w2", 16, 16, 1);
    put_weight(&graph, "w3", 16, 16, 1);
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "y");
    struct text plain = finish_model(&graph, 8, 13);
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    const struct lbw_plan_params params = {.all = true, .grid = lbw_grid_by_name("3")};
    const struct lbw_convert_params how = {.encode.encoding = encoding};
    assert_int_equal(lbw_model_open_memory(&model, plain.data, plain.size, NULL), LBW_OK);
    assert_int_equal(prepare_and_plan(&plan, model, &params, NULL), LBW_OK);
    assert_int_equal(lbw_convert(NULL, model, plan, &how, NULL), LBW_OK);
    struct text made = saved_bytes(model);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    free(plain.data);
    return made;
}

static void test_encoding(void **state)
{
    static const struct {
        const char *name;
        enum lbw_encoding from;
        struct lbw_encode_params to;
    } cases[] = {
        {"packed to dq, lifted", LBW_ENCODING_PACKED, {LBW_ENCODING_DQ, .opset = 21}},
        {"dq to inline", LBW_ENCODING_DQ, {LBW_ENCODING_PACKED, .inline_nodes = true}},
        {"floats to packed", LBW_ENCODING_FLOAT, {LBW_ENCODING_PACKED}},
        {"packed to floats", LBW_ENCODING_PACKED, {LBW_ENCODING_FLOAT}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes = make_encoded(cases[i].from);
        wanted = cases[i].to;
        assert_true(oom_run(cases[i].name, encoded_anew));
        lbw_free(bytes.data);
    }
}

/* ---- lifting ---- */

static void put_floats_attribute(struct text *attributes, const char *name, size_t num)
{
    struct text a = {0};
    put_text(&a, 1, name);
    for (size_t i = 0; i < num; i++)
        put(&a, "\x3d\0\0\x80\x3f", 5); /* floats: 1 */
    put_int(&a, 20, 6);
    put_message(attributes, 5, &a);
}

/* At opset 7, operators that change on the way to 25, in the main graph and in a body. */
static void put_old_operators(struct text *graph)
{
    static const int64_t zeros[8], ones[4] = {1, 1, 1, 1};
    struct text a = {0};
    put_floats_attribute(&a, "scales", 4);
    put_op(graph, "Upsample", "x", "u", &a);
    attribute_ints(&a, "starts", zeros, 2);
    attribute_ints(&a, "ends", ones, 2);
    put_op(graph, "Slice", "u", "s", &a);
    put_op(graph, "Dropout", "s", "dr", NULL);
    attribute_ints(&a, "pads", zeros, 8);
    put_op(graph, "Pad", "dr", "p", &a);
    attribute_int(&a, "k", 1);
    put_op(graph, "TopK", "p", "tk ti", &a);
    attribute_ints(&a, "axes", zeros, 1);
    put_op(graph, "Unsqueeze", "p", "un", &a);
    attribute_ints(&a, "axes", zeros, 1);
    put_op(graph, "Squeeze", "un", "sq", &a);
    attribute_ints(&a, "axes", ones, 1);
    put_op(graph, "ReduceSum", "sq", "rs", &a);
    attribute_ints(&a, "axes", ones, 1);
    put_op(graph, "ReduceMean", "sq", "rm", &a);
    put_floats_attribute(&a, "min", 1);
    put_op(graph, "Clip", "sq", "cl", &a);
    put_op(graph, "Softmax", "cl", "so", NULL);
    put_op(graph, "Hardmax", "so", "ha", NULL);
    attribute_ints(&a, "split", ones, 2);
    put_op(graph, "Split", "ha", "sp1 sp2", &a);
}

static enum lbw_status lift(struct lbw_model *model, struct lbw_error *err)
{
    return lbw_model_lift(model, 25, err);
}

static enum lbw_status lifted(struct lbw_error *err)
{
    return with_model(lift, err);
}

static void test_lifting(void **state)
{
    struct text graph = {0}, body = {0}, attributes = {0};
    (void)state;
    put_old_operators(&graph);
    put_old_operators(&body);
    put_port(&body, 12, "sp1");
    attribute_message(&attributes, "then_branch", 6, 5, &body);
    put_op(&graph, "If", "x", "z", &attributes);
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), (const int64_t[]){1, 4, 4, 4}, 4);
    put_port(&graph, 12, "z");
    bytes = finish_model(&graph, 3, 7);
    assert_true(oom_run("lifted by every kind of rule", lifted));
    free(bytes.data);
}

/* ---- saving over what is there ---- */

static bool holds(const char *path, const struct text *content)
{
    char buffer[8192];
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(buffer, 1, sizeof buffer, file) : 0;
    if (file)
        fclose(file);
    return size == content->size && memcmp(buffer, content->data, size) == 0;
}

static enum lbw_status save_over(struct lbw_error *err)
{
    struct lbw_external_params params = {strrchr(data_path, '/') + 1, 16, 64};
    struct lbw_model *model = NULL;
    write_file(model_path, old_model.data, old_model.size);
    write_file(data_path, old_data.data, old_data.size);
    LBW_TRY(lbw_model_open(&model, model_path, err));
    enum lbw_status status = lbw_model_save_external(model, model_path, &params, err);
    if (status != LBW_OK && (!holds(model_path, &old_model) || !holds(data_path, &old_data)))
        status = LBW_ERR_RUNTIME;
    lbw_model_close(&model);
    return status;
}

static struct text read_text(const char *path)
{
    char buffer[8192];
    struct text read = {0};
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    put(&read, buffer, fread(buffer, 1, sizeof buffer, file));
    fclose(file);
    return read;
}

static void test_saving(void **state)
{
    struct lbw_external_params params = {strrchr(data_path, '/') + 1, 64, 256};
    struct lbw_model *model = NULL;
    (void)state;
    bytes = make_encoded(LBW_ENCODING_FLOAT);
    assert_int_equal(lbw_model_open_memory(&model, bytes.data, bytes.size, NULL), LBW_OK);
    assert_int_equal(lbw_model_save_external(model, model_path, &params, NULL), LBW_OK);
    lbw_model_close(&model);
    old_model = read_text(model_path);
    old_data = read_text(data_path);
    assert_true(oom_run("two files saved over themselves", save_over));
    lbw_free(bytes.data);
    free(old_model.data);
    free(old_data.data);
}

/* ---- texts ---- */

static enum lbw_status apply(struct lbw_model *model, struct lbw_error *err)
{
    const struct lbw_plan_rule rules[] = {{"^w1$", NULL}, {"w[23]", lbw_grid_by_name("2")}};
    const struct lbw_plan_params params = {.rules = rules, .num_rules = 2, .all = true};
    struct lbw_plan *plan = NULL;
    char *text = NULL;
    LBW_TRY(prepare_and_plan(&plan, model, &params, err));
    enum lbw_status status = lbw_plan_apply(plan, plan_path, err);
    for (int json = 0; json < 2 && status == LBW_OK; json++) {
        status = lbw_plan_print(&text, plan, json, err);
        __real_free(text); /* the C library's or jansson's own, not counted */
        text = NULL;
    }
    lbw_plan_free(&plan);
    return status;
}

static enum lbw_status planned(struct lbw_error *err)
{
    return with_model(apply, err);
}

static void test_plans(void **state)
{
    static const char *const texts[] = {
        "# a plan\n5 pow2 tensor w1\n\"-\" real channel \"w2\"  # none\n4x2 real channel w3\n",
        "{\"lbw_plan\": 1, \"weights\": [{\"grid\": \"5\", \"scale\": \"pow2\","
        " \"group\": \"tensor\", \"tensor\": \"w1\"}, {\"grid\": null, \"tensor\": \"w2\"}]}"};
    struct text graph = {0};
    (void)state;
    put_op(&graph, "Conv", "x w1", "c", NULL);
    put_op(&graph, "Conv", "c w2", "d", NULL);
    put_op(&graph, "Conv", "d w3", "y", NULL);
    put_weight(&graph, "w1", 4, 4, 1);
    put_weight(&graph, "w2", 4, 4, 1);
    put_weight(&graph, "w3", 4, 4, 1);
    put_port(&graph, 12, "y");
    bytes = finish_model(&graph, 8, 13);
    for (size_t i = 0; i < 2; i++) {
        write_file(plan_path, texts[i], strlen(texts[i]));
        assert_true(oom_run(i ? "plan in JSON" : "plan in text", planned));
    }
    free(bytes.data);
}

static enum lbw_status read_profile(struct lbw_error *err)
{
    struct lbw_profile profile = {.num_classes = 77};
    enum lbw_status status = lbw_profile_read(&profile, profile_path, err);
    if (status != LBW_OK)
        return profile.num_classes == 77 && !profile.storage ? status : LBW_ERR_RUNTIME;
    lbw_profile_release(&profile);
    return LBW_OK;
}

static void test_profiles(void **state)
{
    static const char text[] =
        "{\"name\": \"a\", \"description\": \"b\", \"extends\": \"yolox\", \"size\": \"32x32\","
        " \"resize\": \"stretch\", \"color\": \"bgr\", \"mean\": [1, 2, 3], \"std\": 2,"
        " \"pad\": 114, \"strides\": [8, 16, 32], \"labels\": [\"cat\", \"dog\"],"
        " \"score\": 0.1, \"nms\": 0.5, \"class_agnostic\": true, \"max_boxes\": 10}";
    (void)state;
    write_file(profile_path, text, sizeof text - 1);
    assert_true(oom_run("profile in a file", read_profile));
}

int main(void)
{
    snprintf(model_path, sizeof model_path, "%s", temporary_path("oom.onnx"));
    snprintf(data_path, sizeof data_path, "%s.data", model_path);
    snprintf(plan_path, sizeof plan_path, "%s", temporary_path("oom.plan"));
    snprintf(profile_path, sizeof profile_path, "%s", temporary_path("oom.json"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inlining), cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_lifting),  cmocka_unit_test(test_saving),
        cmocka_unit_test(test_plans),    cmocka_unit_test(test_profiles),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(model_path);
    unlink(data_path);
    unlink(plan_path);
    unlink(profile_path);
    return failed;
}
