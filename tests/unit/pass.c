/* SPDX-License-Identifier: MIT */
/* Planning, converting and expanding on models made for one question each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <malloc.h>
#include <math.h>
#include <cmocka.h>

#include "../check.h"
#include "../graph.h"
#include "../plan.h"
#include <lbw/convert.h>

#include "pass/plan.h"

/* ---- helpers ---- */

static struct lbw_plan *plan_of(struct lbw_model *model, const struct lbw_plan_params *params)
{
    struct lbw_plan *plan = NULL;
    struct lbw_error err = {0};
    check(prepare_and_plan(&plan, model, params, &err), &err);
    return plan;
}

static struct lbw_plan *look_of(struct lbw_model *model)
{
    struct lbw_plan *plan = NULL;
    struct lbw_error err = {0};
    check(look_at(&plan, model, NULL, &err), &err);
    return plan;
}

static const struct lbw_plan_params by_default;

static const struct lbw_plan_item *item_of(const struct lbw_plan *plan, const char *tensor)
{
    for (size_t i = 0; i < lbw_plan_num_items(plan); i++)
        if (strcmp(lbw_plan_item(plan, i)->tensor, tensor) == 0)
            return lbw_plan_item(plan, i);
    fail_msg("no weight '%s' in the plan", tensor);
    return NULL;
}

static const char *grid_of(const struct lbw_plan *plan, const char *tensor)
{
    const struct lbw_grid *grid = item_of(plan, tensor)->grid;
    return grid ? grid->name : "-";
}

static struct text saved(struct lbw_model *model)
{
    struct text out = {0};
    struct lbw_error err = {0};
    void *data = NULL;
    check(lbw_model_save_memory(model, &data, &out.size, &err), &err);
    out.data = data;
    return out;
}

/* Prepares, plans, converts and saves; the model's bytes are left alone. */
static struct text convert_prepared(const struct text *bytes,
                                    const struct lbw_prepare_params *prepare,
                                    const struct lbw_plan_params *params,
                                    enum lbw_encoding encoding, bool is_inline)
{
    struct text copy = {0};
    struct lbw_error err = {0};
    struct lbw_plan *plan = NULL;
    put(&copy, bytes->data, bytes->size);
    struct lbw_model *model = open_text(&copy);
    check(lbw_model_prepare(model, prepare, &err), &err);
    check(lbw_plan_new(&plan, model, params, &err), &err);
    const struct lbw_convert_params how = {.encode = {encoding, is_inline}};
    check(lbw_convert(NULL, model, plan, &how, &err), &err);
    struct text out = saved(model);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    return out;
}

static struct text convert(const struct text *bytes, const struct lbw_plan_params *params,
                           enum lbw_encoding encoding, bool is_inline)
{
    return convert_prepared(bytes, &(struct lbw_prepare_params){.ops = params->ops}, params,
                            encoding, is_inline);
}

static bool contains(const struct text *bytes, const char *text)
{
    return memmem(bytes->data, bytes->size, text, strlen(text)) != NULL;
}

static Onnx__TensorProto *find_initializer(const struct lbw_model *model, const char *name)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (strcmp(graph->initializer[i]->name, name) == 0)
            return graph->initializer[i];
    return NULL;
}

static bool has_input(const struct lbw_model *model, const char *name)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_input; i++)
        if (strcmp(graph->input[i]->name, name) == 0)
            return true;
    return false;
}

static Onnx__NodeProto *find_node(const struct lbw_model *model, const char *output)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_node; i++)
        if (strcmp(graph->node[i]->output[0], output) == 0)
            return graph->node[i];
    return NULL;
}

/* ---- plans ---- */

/* backbone.c1 (16→16, 3x3), backbone.c2 shared by two nodes, head (16→16, 1x1), a Gemm. */
static struct text network(void)
{
    struct text graph = {0};
    put_op(&graph, "Conv", "x backbone.c1.w b", "backbone.c1", NULL);
    put_op(&graph, "Conv", "backbone.c1 shared.w", "backbone.c2", NULL);
    put_op(&graph, "Conv", "backbone.c2 shared.w", "backbone.c3", NULL);
    put_op(&graph, "Conv", "backbone.c3 head.w", "head", NULL);
    put_op(&graph, "Flatten", "head", "flat", NULL);
    put_op(&graph, "Gemm", "flat fc.w", "fc", NULL);
    put_op(&graph, "MatMul", "fc fc.w", "mm", NULL);
    put_weight(&graph, "backbone.c1.w", 16, 16, 3);
    put_weight(&graph, "shared.w", 16, 16, 3);
    put_weight(&graph, "head.w", 16, 16, 3);
    put_random(&graph, "fc.w", TYPE(FLOAT), (const int64_t[]){64, 64}, 2, 0, 1);
    put_vector(&graph, "b", 16, 0, 1);
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "mm");
    return finish_model(&graph, 8, 17);
}

static void test_rules(void **state)
{
    (void)state;
    struct text bytes = network();
    struct lbw_model *model = open_text(&bytes);
    const struct lbw_plan_rule rules[] = {
        {"^backbone", lbw_grid_by_name("6")},
        {"shared\\.w$", lbw_grid_by_name("2")},
        {"backbone.c3", lbw_grid_by_name("5")}, /* no first consumer: names nothing */
        {"^head", NULL},
    };
    struct lbw_plan *plan =
        plan_of(model, &(struct lbw_plan_params){.grid = lbw_grid_by_name("3"),
                                                 .rules = rules,
                                                 .num_rules = 4,
                                                 .ops = "Conv,Gemm,MatMul"});
    assert_int_equal(lbw_plan_num_items(plan), 4);
    assert_string_equal(grid_of(plan, "backbone.c1.w"), "6");
    assert_string_equal(grid_of(plan, "shared.w"), "2");
    assert_int_equal(item_of(plan, "shared.w")->num_uses, 2);
    assert_string_equal(item_of(plan, "shared.w")->node, "backbone.c2");
    assert_string_equal(grid_of(plan, "head.w"), "-");
    assert_string_equal(item_of(plan, "head.w")->reason, "skipped on request");
    assert_string_equal(grid_of(plan, "fc.w"), "3");
    assert_int_equal(item_of(plan, "fc.w")->num_uses, 2);
    lbw_plan_free(&plan);
    plan = plan_of(model, &by_default);
    assert_int_equal(lbw_plan_num_items(plan), 4); /* Gemm and MatMul hold a third */
    lbw_plan_free(&plan);
    plan = plan_of(model, &(struct lbw_plan_params){.ops = "Conv,ConvTranspose"});
    assert_int_equal(lbw_plan_num_items(plan), 3);
    assert_string_equal(grid_of(plan, "head.w"), "4");
    lbw_plan_free(&plan);
    lbw_model_close(&model);
}

static void refuse_params(const struct lbw_plan_params *params, const char *word)
{
    struct text bytes = network();
    struct lbw_model *model = open_text(&bytes);
    struct lbw_plan *plan = NULL;
    struct lbw_error err = {0};
    assert_int_equal(prepare_and_plan(&plan, model, params, &err), LBW_ERR_ARGUMENT);
    assert_null(plan);
    if (!strstr(err.message, word))
        fail_msg("%s", err.message);
    lbw_model_close(&model);
}

static void test_wrong_params(void **state)
{
    (void)state;
    const struct lbw_plan_rule rule = {"a(b", lbw_grid_by_name("2")};
    refuse_params(&(struct lbw_plan_params){.rules = &rule, .num_rules = 1}, "'a(b'");
    refuse_params(&(struct lbw_plan_params){.ops = "Conv,Relu"}, "'Relu'");
    refuse_params(&(struct lbw_plan_params){.ops = "Con"}, "'Con'");
}

/* One Conv whose weight takes the values that are asked for. */
static struct text conv_with(const float *values, int64_t channels, int32_t type)
{
    struct text graph = {0};
    const int64_t dims[] = {channels, 16, 1, 1};
    put_op(&graph, "Conv", "x w", "y", NULL);
    struct text tensor = tensor_of("w", type, dims, 4, values);
    put_message(&graph, 5, &tensor);
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "y");
    return finish_model(&graph, 8, 17);
}

static void expect_reason(const float *values, int32_t type, const char *reason, bool all)
{
    struct text bytes = conv_with(values, 64, type);
    struct lbw_model *model = open_text(&bytes);
    struct lbw_plan *plan = plan_of(model, &(struct lbw_plan_params){.all = all});
    const struct lbw_plan_item *item = item_of(plan, "w");
    assert_string_equal(item->reason, reason);
    assert_int_equal(item->grid == NULL, *reason != '\0');
    lbw_plan_free(&plan);
    lbw_model_close(&model);
}

static void test_reasons(void **state)
{
    (void)state;
    float integers[1024], constant[1024], one_hot[1024] = {0}, zeros[1024] = {0};
    float *usual = draw_values("usual", 1024, 0, 1);
    for (int i = 0; i < 1024; i++) {
        integers[i] = (float)(i % 16);
        constant[i] = 0.3f;
        one_hot[i] = i % 5 ? 0 : 0.7f;
    }
    expect_reason(integers, TYPE(FLOAT), "structural: exact integers", false);
    expect_reason(constant, TYPE(FLOAT), "structural: one constant", false);
    expect_reason(one_hot, TYPE(FLOAT), "structural: one value and zeros", false);
    expect_reason(zeros, TYPE(FLOAT), "all zero", false);
    expect_reason(usual, TYPE(FLOAT), "", false);
    expect_reason(usual, TYPE(FLOAT16), "", false);
    expect_reason(usual, TYPE(BFLOAT16), "", false);
    expect_reason(usual, TYPE(DOUBLE), "", false);
    expect_reason(integers, TYPE(FLOAT), "", true);
    expect_reason(constant, TYPE(FLOAT), "", true);
    expect_reason(zeros, TYPE(FLOAT), "", true);
    usual[17] = NAN;
    expect_reason(usual, TYPE(FLOAT), "holds NaN or infinity", false);
    expect_reason(usual, TYPE(FLOAT), "holds NaN or infinity", true);
    free(usual);
}

/* A few weights beside many: not worth it, unless asked for. */
static void test_small(void **state)
{
    (void)state;
    for (int all = 0; all < 2; all++) {
        struct text graph = {0};
        put_op(&graph, "Conv", "x tiny.w", "a", NULL);
        put_op(&graph, "Conv", "a mid.w", "b", NULL);
        put_op(&graph, "Conv", "b large.w", "y", NULL);
        put_weight(&graph, "tiny.w", 4, 4, 1);
        put_weight(&graph, "mid.w", 16, 16, 1);
        put_weight(&graph, "large.w", 256, 256, 3);
        struct text bytes = finish_model(&graph, 8, 17);
        struct lbw_model *model = open_text(&bytes);
        struct lbw_plan *plan = plan_of(model, &(struct lbw_plan_params){.all = all});
        assert_string_equal(grid_of(plan, "tiny.w"), "-");
        assert_string_equal(item_of(plan, "tiny.w")->reason, "would not get smaller");
        assert_string_equal(grid_of(plan, "mid.w"), all ? "4" : "-");
        assert_int_equal(strncmp(item_of(plan, "mid.w")->reason, "small: would save ", 18) == 0,
                         !all);
        assert_string_equal(grid_of(plan, "large.w"), "4");
        lbw_plan_free(&plan);
        lbw_model_close(&model);
    }
}

/* Weights that are no constant, no float, or of a shape that the operator cannot take. */
static void test_out_of_reach(void **state)
{
    (void)state;
    struct text graph = {0}, two_groups = {0};
    const int64_t deep[] = {32, 32, 2, 2, 1, 1, 1, 1, 1, 1}, flat[] = {64, 64};
    attribute_int(&two_groups, "group", 3);
    put_op(&graph, "Relu", "given", "dynamic", NULL);
    put_op(&graph, "Conv", "x dynamic", "a", NULL);
    put_op(&graph, "Conv", "a flat", "b", NULL);
    put_op(&graph, "Conv", "b uneven", "c", &two_groups);
    put_op(&graph, "Conv", "c deep", "d", NULL);
    put_op(&graph, "Conv", "d given", "e", NULL);
    put_op(&graph, "Conv", "e", "f", NULL);
    put_random(&graph, "flat", TYPE(FLOAT), flat, 2, 0, 1);
    put_random(&graph, "deep", TYPE(FLOAT), deep, 10, 0, 1);
    put_weight(&graph, "uneven", 64, 64, 1);
    put_port(&graph, 11, "given");
    struct text bytes = finish_model(&graph, 8, 17);
    struct lbw_model *model = open_text(&bytes);
    struct lbw_plan *plan = plan_of(model, &by_default);
    assert_int_equal(lbw_plan_num_items(plan), 5);
    assert_string_equal(item_of(plan, "dynamic")->reason, "computed at run time from an input");
    assert_string_equal(item_of(plan, "given")->reason, "an input of the model");
    assert_string_equal(item_of(plan, "flat")->reason, "shape does not fit its operator");
    assert_string_equal(item_of(plan, "uneven")->reason, "shape does not fit its operator");
    assert_string_equal(item_of(plan, "deep")->reason, "shape does not fit its operator");
    lbw_plan_free(&plan);
    lbw_model_close(&model);
}

/* Memory grows with the number of readers, not with its square. */
static void test_many_readers(void **state)
{
    (void)state;
    struct text graph = {0};
    for (int i = 0; i < 8000; i++) {
        char output[20];
        snprintf(output, sizeof output, "y%d", i);
        put_op(&graph, "Conv", "x w", output, NULL);
    }
    put_weight(&graph, "w", 64, 16, 1);
    struct text bytes = finish_model(&graph, 8, 17);
    struct lbw_model *model = open_text(&bytes);
    const struct mallinfo2 before =
        mallinfo2(); /* all 0 where an allocator is put in between */
    struct lbw_plan *plan = plan_of(model, &by_default);
    const struct mallinfo2 after = mallinfo2();
    assert_int_equal(item_of(plan, "w")->num_uses, 8000);
    assert_true(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd < 64 << 20);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
}

/* ---- plan files ---- */

static char *print(const struct lbw_plan *plan, bool json)
{
    char *text = NULL;
    struct lbw_error err = {0};
    check(lbw_plan_print(&text, plan, json, &err), &err);
    return text;
}

static enum lbw_status apply(struct lbw_plan *plan, const char *text, struct lbw_error *err)
{
    const char *path = temporary_path("pass.plan");
    write_file(path, text, strlen(text));
    enum lbw_status status = lbw_plan_apply(plan, path, err);
    unlink(path);
    return status;
}

/* What one plan says, another takes over; names as odd as they come. */
static void test_plan_round_trip(void **state)
{
    (void)state;
    static const char *const names[] = {"plain",     "back\\slash", "quo\"te", "ha#sh",
                                        "tab\there", "line\nbreak", "ünïcode", "-"};
    for (int json = 0; json < 2; json++) {
        struct text graph = {0};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            struct text node = {0};
            put_text(&node, 1, "x");
            put_text(&node, 1, names[i]);
            put_text(&node, 2, "y");
            put_text(&node, 4, "Conv");
            if (i > 0)
                node.data[node.size - 7] = (unsigned char)('a' + i); /* output b, c, … */
            put_message(&graph, 1, &node);
            put_weight(&graph, names[i], 32, 32, 1);
        }
        struct text bytes = finish_model(&graph, 8, 17);
        struct lbw_model *model = open_text(&bytes);
        const struct lbw_plan_rule rule = {"back|quo|line", lbw_grid_by_name("2")};
        struct lbw_plan *plan =
            plan_of(model, &(struct lbw_plan_params){.rules = &rule,
                                                     .num_rules = 1,
                                                     .scale = LBW_SCALE_POW2,
                                                     .group = LBW_GROUP_TENSOR});
        char *text = print(plan, json);
        lbw_plan_free(&plan);
        plan = plan_of(model, &by_default);
        struct lbw_error err = {0};
        check(apply(plan, text, &err), &err);
        char *again = print(plan, json);
        assert_string_equal(text, again);
        assert_string_equal(grid_of(plan, "line\nbreak"), "2");
        assert_int_equal(item_of(plan, "-")->group, LBW_GROUP_TENSOR);
        lbw_free(text);
        lbw_free(again);
        lbw_plan_free(&plan);
        lbw_model_close(&model);
    }
}

static void test_plan_edits(void **state)
{
    (void)state;
    struct text bytes = network();
    struct lbw_model *model = open_text(&bytes);
    struct lbw_plan *plan = plan_of(model, &by_default);
    struct lbw_error err = {0};
    check(apply(plan,
                "# nothing\n\n  2 pow2 tensor shared.w # two bits\r\n- real channel head.w",
                &err),
          &err);
    assert_string_equal(grid_of(plan, "shared.w"), "2");
    assert_int_equal(item_of(plan, "shared.w")->scale, LBW_SCALE_POW2);
    assert_int_equal(item_of(plan, "shared.w")->group, LBW_GROUP_TENSOR);
    assert_string_equal(grid_of(plan, "head.w"), "-");
    assert_string_equal(item_of(plan, "head.w")->reason, "kept by the plan file");
    assert_string_equal(grid_of(plan, "backbone.c1.w"), "4");
    check(apply(plan,
                "{\"weights\": [{\"grid\": \"3\", \"tensor\": \"head.w\"},"
                " {\"grid\": null, \"tensor\": \"shared.w\", \"scale\": \"real\"}]}",
                &err),
          &err);
    assert_string_equal(grid_of(plan, "head.w"), "3");
    assert_string_equal(item_of(plan, "head.w")->reason, "");
    assert_string_equal(grid_of(plan, "shared.w"), "-");
    lbw_plan_free(&plan);
    lbw_model_close(&model);
}

static void test_wrong_plans(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum lbw_status status;
        const char *word;
    } cases[] = {
        {"4 real channel\n", LBW_ERR_FORMAT, "line 1: "},
        {"\n4 real channel nobody\n", LBW_ERR_ARGUMENT,
         "line 2: the model has no weight 'nobody'"},
        {"7 real channel head.w", LBW_ERR_ARGUMENT, "unknown grid '7'"},
        {"4 reel channel head.w", LBW_ERR_ARGUMENT, "'reel'"},
        {"4 real chanel head.w", LBW_ERR_ARGUMENT, "'chanel'"},
        {"4 real channel given", LBW_ERR_ARGUMENT, "cannot be converted: an input"},
        {"{\"weights\": 1}", LBW_ERR_FORMAT, "'weights'"},
        {"{\"weights\": [{}]}", LBW_ERR_FORMAT, "weights[0]: "},
        {"{\"weights\": [{\"tensor\": \"head.w\", \"grid\": 4}]}", LBW_ERR_FORMAT,
         "weights[0]"},
        {"{\n\"weights\": [", LBW_ERR_FORMAT, "line 2: "},
        {"{}", LBW_ERR_FORMAT, "'weights'"},
    };
    struct text graph = {0};
    put_op(&graph, "Conv", "x head.w", "y", NULL);
    put_op(&graph, "Conv", "y given", "z", NULL);
    put_weight(&graph, "head.w", 64, 16, 1);
    put_port(&graph, 11, "given");
    struct text bytes = finish_model(&graph, 8, 17);
    struct lbw_model *model = open_text(&bytes);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_plan *plan = plan_of(model, &by_default);
        struct lbw_error err = {0};
        enum lbw_status status = apply(plan, cases[i].text, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].word) ||
            strchr(err.message, '\n'))
            fail_msg("%s: %d, %s", cases[i].text, (int)status, err.message);
        assert_string_equal(grid_of(plan, "head.w"), "4");
        lbw_plan_free(&plan);
    }
    lbw_model_close(&model);
}

/* ---- conversion ---- */

static const struct {
    enum lbw_encoding encoding;
    bool is_inline;
    const char *kind;
} ways[] = {
    {LBW_ENCODING_PACKED, false, "packed 4"},
    {LBW_ENCODING_PACKED, true, "inline 4"},
    {LBW_ENCODING_DQ, false, "dq "},
};

/* Encoded weights are seen, refused, and taken again on request; expanding gives them back. */
static void test_encoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct text bytes = network(), once, twice;
        struct lbw_plan *plan = NULL;
        struct lbw_error err = {0};
        once = convert(&bytes, &by_default, ways[i].encoding, ways[i].is_inline);
        twice = convert(&bytes, &by_default, ways[i].encoding, ways[i].is_inline);
        assert_int_equal(once.size, twice.size);
        assert_memory_equal(once.data, twice.data, once.size);
        free(twice.data);
        twice = convert_prepared(&once, &(struct lbw_prepare_params){.requantize = true},
                                 &by_default, ways[i].encoding, ways[i].is_inline);
        /* a weight on its grid stays where it is: the codes are the same */
        assert_int_equal(once.size, twice.size);
        struct lbw_model *model = open_text(&once);
        assert_int_equal(prepare_and_plan(&plan, model, &by_default, &err),
                         LBW_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.message, "--requantize"));
        assert_null(plan);
        plan = look_of(model);
        assert_memory_equal(item_of(plan, "head.w")->encoded, ways[i].kind,
                            strlen(ways[i].kind));
        assert_int_equal(item_of(plan, "head.w")->count, 16 * 16 * 9);
        lbw_plan_free(&plan);
        lbw_model_close(&model);
        free(twice.data);
        free(bytes.data);
    }
}

static float *read_values(struct lbw_model *model, const char *name, size_t count)
{
    struct lbw_tensor tensor;
    struct lbw_error err = {0};
    Onnx__TensorProto *proto = find_initializer(model, name);
    assert_non_null(proto);
    check(lbw_tensor_view(&tensor, model, proto, &err), &err);
    assert_int_equal(tensor.count, count);
    float *values = malloc(count * sizeof *values);
    check(lbw_tensor_read_float(&tensor, values, &err), &err);
    return values;
}

/* Every type of weight, every way: expanding gives the float encoding's values and type. */
static void test_types(void **state)
{
    (void)state;
    static const int32_t types[] = {TYPE(FLOAT), TYPE(FLOAT16), TYPE(BFLOAT16), TYPE(DOUBLE)};
    static const char *const grids[] = {"2", "3", "4", "5", "6", "4x2", "4x2d2"};
    float *values = draw_values("w", 1024, 0.1f, 0.3f);
    for (size_t t = 0; t < 4; t++)
        for (size_t g = 0; g < sizeof grids / sizeof *grids; g++)
            for (size_t i = 0; i < 3; i++) {
                const struct lbw_plan_params params = {.grid = lbw_grid_by_name(grids[g])};
                struct text bytes = conv_with(values, 64, types[t]);
                struct text plain = convert(&bytes, &params, LBW_ENCODING_FLOAT, false);
                struct text coded =
                    convert(&bytes, &params, ways[i].encoding, ways[i].is_inline);
                size_t num = 0;
                struct lbw_error err = {0};
                struct lbw_model *a = open_text(&plain), *b = open_text(&coded);
                check(lbw_expand(b, &num, &err), &err);
                assert_int_equal(find_initializer(b, "w")->data_type, types[t]);
                float *x = read_values(a, "w", 1024), *y = read_values(b, "w", 1024);
                assert_memory_equal(x, y, 1024 * sizeof *x);
                for (size_t k = 0; k < 1024; k++)
                    assert_true(fabsf(x[k] - values[k]) < 0.4f);
                free(x);
                free(y);
                lbw_model_close(&a);
                lbw_model_close(&b);
                free(bytes.data);
            }
    free(values);
}

static void expect_names(Onnx__NodeProto *const *nodes, size_t num, const char *domain)
{
    size_t num_seen = 0;
    for (size_t i = 0; i < num; i++) {
        if (strcmp(nodes[i]->domain ? nodes[i]->domain : "", domain) != 0)
            continue;
        assert_true(nodes[i]->name && nodes[i]->name[0]);
        for (size_t j = 0; j < i; j++)
            assert_true(!nodes[j]->name || strcmp(nodes[j]->name, nodes[i]->name) != 0);
        num_seen++;
    }
    assert_true(num_seen > 0);
}

/*
 * Calls and the nodes of functions have names of their own, and a reference to an attribute has
 * the attribute's name: runtimes that inline functions stumble over anything else.
 */
static void test_function_names(void **state)
{
    (void)state;
    for (int64_t opset = 9; opset <= 17; opset += 8) {
        struct text graph = {0};
        put_op(&graph, "Conv", "x w", "a", NULL);
        put_op(&graph, "Conv", "a lbw_1", "y", NULL);
        put_weight(&graph, "w", 16, 16, 3);
        put_weight(&graph, "lbw_1", 16, 16, 3);
        put_port(&graph, 11, "x");
        put_port(&graph, 12, "y");
        struct text bytes = finish_model(&graph, 8, opset);
        struct text out = convert(&bytes, &by_default, LBW_ENCODING_PACKED, false);
        struct lbw_model *model = open_text(&out);
        assert_int_equal(model->proto->n_functions, 1);
        const Onnx__FunctionProto *f = model->proto->functions[0];
        expect_names(f->node, f->n_node, "");
        expect_names(model->proto->graph->node, model->proto->graph->n_node, "ai.lbw");
        for (size_t i = 0; i < f->n_node; i++)
            for (size_t j = 0; j < f->node[i]->n_attribute; j++) {
                const Onnx__AttributeProto *a = f->node[i]->attribute[j];
                if (a->ref_attr_name && a->ref_attr_name[0])
                    assert_string_equal(a->ref_attr_name, a->name);
            }
        assert_int_equal(f->n_attribute, opset < 10);
        lbw_model_close(&model);
        free(bytes.data);
    }
}

/* An expanded model has the nodes, inputs, imports and functions of the original. */
static void test_expand_leaves_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct text bytes = network();
        struct text coded = convert(&bytes, &by_default, ways[i].encoding, ways[i].is_inline);
        struct lbw_model *a = open_text(&bytes), *b = open_text(&coded);
        struct lbw_error err = {0};
        size_t num = 0;
        check(lbw_expand(b, &num, &err), &err);
        assert_int_equal(num, 4);
        assert_int_equal(b->proto->n_functions, 0);
        assert_int_equal(b->proto->n_opset_import, a->proto->n_opset_import);
        assert_int_equal(b->proto->graph->n_node, a->proto->graph->n_node);
        for (size_t n = 0; n < a->proto->graph->n_node; n++) {
            const Onnx__NodeProto *x = a->proto->graph->node[n], *y = b->proto->graph->node[n];
            assert_string_equal(x->output[0], y->output[0]);
            assert_int_equal(x->n_input, y->n_input);
        }
        assert_int_equal(b->proto->graph->n_initializer, a->proto->graph->n_initializer);
        lbw_model_close(&a);
        lbw_model_close(&b);
    }
}

/* Initializers that are inputs too: a converted weight leaves them, at any IR version. */
static void test_graph_inputs(void **state)
{
    (void)state;
    for (int64_t ir = 3; ir <= 8; ir += 5)
        for (int encoding = 0; encoding < 3; encoding++) {
            struct text graph = {0};
            put_op(&graph, "Conv", "x w b", "a", NULL);
            put_op(&graph, "Conv", "a kept kb", "y", NULL);
            put_weight(&graph, "w", 64, 16, 1);
            put_weight(&graph, "kept", 4, 64, 1);
            put_vector(&graph, "b", 64, 0, 1);
            put_vector(&graph, "kb", 4, 0, 1);
            static const char *const inputs[] = {"x", "w", "kept", "b", "kb"};
            for (size_t i = 0; i < 5; i++)
                put_port(&graph, 11, inputs[i]);
            const struct lbw_plan_rule rule = {"kept", NULL};
            struct text bytes = finish_model(&graph, ir, 7);
            struct text out =
                convert(&bytes, &(struct lbw_plan_params){.rules = &rule, .num_rules = 1},
                        (enum lbw_encoding)encoding, false);
            struct lbw_model *model = open_text(&out);
            assert_true(has_input(model, "x"));
            assert_false(has_input(model, "w"));
            /* below IR 4 no initializer could be overridden; from then on it can */
            assert_int_equal(has_input(model, "kept"), ir >= 4);
            assert_int_equal(has_input(model, "b"), ir >= 4);
            assert_true(model->proto->ir_version >= 4);
            for (size_t i = 0; i < model->proto->graph->n_initializer; i++)
                assert_true(ir >= 4 ||
                            !has_input(model, model->proto->graph->initializer[i]->name));
            lbw_model_close(&model);
            free(bytes.data);
        }
}

/* Below IR 4 re-encoding makes constants of initializers, as quantizing does. */
static void test_graph_inputs_of_reencoded(void **state)
{
    (void)state;
    float values[1024];
    for (int i = 0; i < 1024; i++)
        values[i] = (float)((i * 7 + i / 5) % 3 - 1) * 0.25f;
    for (int way = 0; way < 3; way++) {
        struct text graph = {0};
        const int64_t dims[] = {64, 16, 1, 1};
        struct text tensor = tensor_of("w", TYPE(FLOAT), dims, 4, values);
        put_op(&graph, "Conv", "x w b", "y", NULL);
        put_message(&graph, 5, &tensor);
        put_vector(&graph, "b", 64, 0, 1);
        put_port(&graph, 11, "x");
        put_port(&graph, 11, "w");
        put_port(&graph, 11, "b");
        put_port(&graph, 12, "y");
        struct text bytes = finish_model(&graph, 3, 12);
        struct lbw_model *model = open_text(&bytes);
        const struct lbw_encode_params params = {.encoding = ways[way].encoding,
                                                 .inline_nodes = ways[way].is_inline};
        struct lbw_error err = {0};
        size_t num = 0;
        check(lbw_reencode(&num, NULL, NULL, model, &params, &err), &err);
        assert_int_equal(num, 1);
        assert_true(model->proto->ir_version >= 4);
        assert_int_equal(model->proto->graph->n_input, 1);
        lbw_model_close(&model);
    }
}

/* Constant nodes, in the main graph and in the bodies of an If, and weights read by bodies. */
static void test_places(void **state)
{
    (void)state;
    float *values = draw_values("c", 1024, 0, 1);
    for (size_t i = 0; i < 3; i++) {
        struct text graph = {0}, attributes = {0}, yes = {0}, no = {0};
        const int64_t dims[] = {64, 16, 1, 1}, back[] = {16, 64, 1, 1};
        struct text tensor = tensor_of("", TYPE(FLOAT), dims, 4, values);
        attribute_message(&attributes, "value", 5, 4, &tensor);
        put_op(&graph, "Constant", "", "outer.w", &attributes);
        put_op(&graph, "Conv", "x outer.w", "a", NULL);
        tensor = tensor_of("", TYPE(FLOAT), back, 4, values);
        attribute_message(&attributes, "value", 5, 4, &tensor);
        put_op(&yes, "Constant", "", "yes.w", &attributes);
        put_op(&yes, "Conv", "a yes.w", "yes", NULL);
        put_text(&yes, 2, "yes");
        put_port(&yes, 12, "yes");
        put_op(&no, "Conv", "a no.w", "b", NULL);
        put_op(&no, "Conv", "b captured.w", "no", NULL);
        put_weight(&no, "no.w", 16, 64, 1);
        put_text(&no, 2, "no");
        put_port(&no, 12, "no");
        attribute_message(&attributes, "then_branch", 6, 5, &yes);
        attribute_message(&attributes, "else_branch", 6, 5, &no);
        put_op(&graph, "If", "condition", "y", &attributes);
        put_weight(&graph, "captured.w", 16, 16, 2);
        put_port(&graph, 11, "x");
        put_port(&graph, 11, "condition");
        put_port(&graph, 12, "y");
        struct text bytes = finish_model(&graph, 8, 13);
        struct text coded = convert(&bytes, &by_default, ways[i].encoding, ways[i].is_inline);
        struct text plain = convert(&bytes, &by_default, LBW_ENCODING_FLOAT, false);
        assert_true(coded.size < bytes.size / 2);
        struct lbw_model *models[] = {open_text(&coded), open_text(&plain)};
        struct lbw_error err = {0};
        check(lbw_expand(models[0], NULL, &err), &err);
        struct lbw_plan *a = look_of(models[0]);
        struct lbw_plan *b = look_of(models[1]);
        static const char *const names[] = {"outer.w", "yes.w", "no.w", "captured.w"};
        for (size_t k = 0; k < 4; k++) {
            assert_true(item_of(a, names[k])->max_magnitude > 0);
            assert_true(item_of(a, names[k])->max_magnitude ==
                        item_of(b, names[k])->max_magnitude);
            assert_int_equal(item_of(a, names[k])->num_zeros, item_of(b, names[k])->num_zeros);
        }
        assert_string_equal(item_of(a, "no.w")->scope, "body of 'y'");
        lbw_plan_free(&a);
        lbw_plan_free(&b);
        lbw_model_close(&models[0]);
        lbw_model_close(&models[1]);
        free(bytes.data);
    }
    free(values);
}

/* Bodies may have weights of one name: each line of a plan file is about its own. */
static void test_plan_of_twins(void **state)
{
    (void)state;
    struct text graph = {0}, attributes = {0}, bodies[2] = {{0}, {0}};
    for (size_t i = 0; i < 2; i++) {
        put_op(&bodies[i], "Conv", "x w", "b", NULL);
        put_weight(&bodies[i], "w", 32, 32, 1);
        put_text(&bodies[i], 2, "body");
        put_port(&bodies[i], 12, "b");
        attribute_message(&attributes, i ? "else_branch" : "then_branch", 6, 5, &bodies[i]);
    }
    put_op(&graph, "If", "condition", "y", &attributes);
    put_port(&graph, 11, "x");
    put_port(&graph, 11, "condition");
    put_port(&graph, 12, "y");
    struct text bytes = finish_model(&graph, 8, 13);
    struct lbw_model *model = open_text(&bytes);
    static const struct {
        const char *file, *first, *second;
    } cases[] = {
        {"4 real channel w\n- real channel w\n", "4", NULL},
        {"- real channel w\n2 real channel w\n", NULL, "2"},
        {"- real channel w\n", NULL, "4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_plan *plan = plan_of(model, &by_default);
        struct lbw_error err = {0};
        assert_int_equal(lbw_plan_num_items(plan), 2);
        check(apply(plan, cases[i].file, &err), &err);
        for (size_t k = 0; k < 2; k++) {
            const struct lbw_grid *grid = lbw_plan_item(plan, k)->grid;
            const char *want = k ? cases[i].second : cases[i].first;
            assert_string_equal(grid ? grid->name : "-", want ? want : "-");
        }
        lbw_plan_free(&plan);
    }
    lbw_model_close(&model);
    free(bytes.data);
}

/* What the program does not know, and what others read, comes out again. */
static void test_nothing_is_lost(void **state)
{
    (void)state;
    for (int encoding = 0; encoding < 3; encoding++) {
        struct text graph = {0}, node = {0}, entry = {0}, import = {0};
        put_op(&graph, "Conv", "x w", "a", NULL);
        put_text(&node, 1, "a");
        put_text(&node, 2, "y");
        put_text(&node, 4, "Mystery");
        put_text(&node, 7, "com.unknown");
        put_text(&node, 6, "node-doc");
        put_text(&node, 777, "node-field");
        put_message(&graph, 1, &node);
        put_weight(&graph, "w", 64, 16, 1);
        put_text(&graph, 10, "graph-doc");
        put_text(&graph, 888, "graph-field");
        struct text bytes = finish_model(&graph, 8, 17);
        put_text(&bytes, 2, "producer");
        put_text(&bytes, 999, "model-field");
        put_text(&entry, 1, "stride");
        put_text(&entry, 2, "metadata-32");
        put_message(&bytes, 14, &entry);
        put_text(&import, 1, "com.unknown");
        put_int(&import, 2, 3);
        put_message(&bytes, 8, &import);
        struct text out = convert(&bytes, &by_default, (enum lbw_encoding)encoding, false);
        static const char *const words[] = {
            "Mystery",     "com.unknown", "node-doc",    "node-field", "graph-doc",
            "graph-field", "producer",    "model-field", "stride",     "metadata-32"};
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (!contains(&out, words[i]))
                fail_msg("'%s' is lost", words[i]);
        free(bytes.data);
        free(out.data);
    }
}

/* A Conv without bias has none afterwards either; a shared bias stays one tensor. */
static void test_biases(void **state)
{
    (void)state;
    struct text graph = {0};
    put_op(&graph, "Conv", "x w1", "a", NULL);
    put_op(&graph, "Conv", "a w2 b", "c", NULL);
    put_op(&graph, "Conv", "c w3 b", "y", NULL);
    put_weight(&graph, "w1", 32, 32, 1);
    put_weight(&graph, "w2", 32, 32, 1);
    put_weight(&graph, "w3", 32, 32, 1);
    put_vector(&graph, "b", 32, 0, 1);
    struct text bytes = finish_model(&graph, 8, 17);
    struct text out = convert(&bytes, &by_default, LBW_ENCODING_FLOAT, false);
    struct lbw_model *model = open_text(&out);
    assert_int_equal(find_node(model, "a")->n_input, 2);
    assert_string_equal(find_node(model, "c")->input[2], "b");
    assert_string_equal(find_node(model, "y")->input[2], "b");
    assert_int_equal(model->proto->graph->n_initializer, 4);
    lbw_model_close(&model);
    free(bytes.data);
}

/* ---- folding; that outputs stay what they were is for tests/ort/fold.c ---- */

static size_t folded(struct text *graph, int64_t opset, bool keep)
{
    struct text bytes = finish_model(graph, 8, opset);
    struct lbw_model *model = open_text(&bytes);
    struct lbw_plan *plan = NULL;
    struct lbw_error err = {0};
    check(lbw_model_prepare(model, &(struct lbw_prepare_params){.keep_batchnorm = keep}, &err),
          &err);
    check(lbw_plan_new(&plan, model, &(struct lbw_plan_params){0}, &err), &err);
    size_t num = lbw_plan_num_folded(plan);
    size_t num_norms = 0;
    for (size_t i = 0; i < model->proto->graph->n_node; i++)
        num_norms += strcmp(model->proto->graph->node[i]->op_type, "BatchNormalization") == 0;
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    assert_int_equal(num + num_norms, 1);
    return num;
}

static void test_what_folds(void **state)
{
    (void)state;
    struct text attributes = {0};
    struct text graph = conv_and_norm("y", NULL);
    put_port(&graph, 12, "y");
    assert_int_equal(folded(&graph, 17, false), 1);
    graph = conv_and_norm("y", NULL);
    put_port(&graph, 12, "y");
    assert_int_equal(folded(&graph, 17, true), 0);
    graph = conv_and_norm("y", NULL); /* another reader of what the Conv gives */
    put_op(&graph, "Add", "c y", "z", NULL);
    put_port(&graph, 12, "z");
    assert_int_equal(folded(&graph, 17, false), 0);
    graph = conv_and_norm("y", NULL); /* which is an output, too */
    put_port(&graph, 12, "y");
    put_port(&graph, 12, "c");
    assert_int_equal(folded(&graph, 17, false), 0);
    attribute_int(&attributes, "training_mode", 1);
    graph = conv_and_norm("y", &attributes);
    put_port(&graph, 12, "y");
    assert_int_equal(folded(&graph, 17, false), 0);
    graph = conv_and_norm("y running_mean running_var", NULL);
    put_port(&graph, 12, "y");
    assert_int_equal(folded(&graph, 13, false), 0);
    /* below opset 7 the default is to train */
    graph = conv_and_norm("y", NULL);
    put_port(&graph, 12, "y");
    assert_int_equal(folded(&graph, 6, false), 0);
    attribute_int(&attributes, "is_test", 1);
    graph = conv_and_norm("y", &attributes);
    put_port(&graph, 12, "y");
    assert_int_equal(folded(&graph, 6, false), 1);
}

/* How to train it, and what is said of names that are gone, go; the rest stays. */
static void test_what_is_said_of_names(void **state)
{
    (void)state;
    struct text graph = conv_and_norm("y", NULL), training = {0}, inner = {0};
    static const char *const names[] = {"c", "y", "nobody's"};
    for (size_t i = 0; i < 3; i++) {
        struct text annotation = {0};
        put_port(&graph, 13, names[i]);
        put_text(&annotation, 1, names[i]);
        put_message(&graph, 14, &annotation);
    }
    put_port(&graph, 12, "y");
    struct text bytes = finish_model(&graph, 8, 17);
    put_op(&inner, "Neg", "scale", "s", NULL);
    put_message(&training, 2, &inner);
    put_message(&bytes, 20, &training);
    struct lbw_model *model = open_text(&bytes);
    assert_int_equal(model->proto->n_training_info, 1);
    struct lbw_plan *plan = plan_of(model, &by_default);
    assert_int_equal(lbw_plan_num_folded(plan), 1);
    const Onnx__GraphProto *g = model->proto->graph;
    assert_int_equal(g->n_value_info, 2);
    assert_string_equal(g->value_info[0]->name, "y");
    assert_int_equal(g->n_quantization_annotation, 2);
    assert_string_equal(g->quantization_annotation[1]->tensor_name, "nobody's");
    assert_int_equal(model->proto->n_training_info, 0);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_wrong_params),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_out_of_reach),
        cmocka_unit_test(test_many_readers),
        cmocka_unit_test(test_plan_round_trip),
        cmocka_unit_test(test_plan_edits),
        cmocka_unit_test(test_plan_of_twins),
        cmocka_unit_test(test_wrong_plans),
        cmocka_unit_test(test_encoded),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_function_names),
        cmocka_unit_test(test_expand_leaves_nothing),
        cmocka_unit_test(test_graph_inputs),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_graph_inputs_of_reencoded),
        cmocka_unit_test(test_nothing_is_lost),
        cmocka_unit_test(test_biases),
        cmocka_unit_test(test_what_folds),
        cmocka_unit_test(test_what_is_said_of_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
