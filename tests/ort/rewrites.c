/* SPDX-License-Identifier: MIT */
/*
 * What the passes write, run by ONNX Runtime: folding changes no output, and every encoding of
 * a weight gives the outputs of the float one, wherever the weight stands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "../check.h"
#include "../graph.h"
#include "../plan.h"
#include "../runtime.h"
#include <lbw/convert.h>

#include "pass/plan.h"
#include "feed/array.h"
#include "run/session.h"

static const int64_t image[] = {1, 8, 6, 6};

/* The outputs on one image of noise, one behind the other. */
static float *run(const void *bytes, size_t size, size_t *num)
{
    struct lbw_error err = {0};
    struct lbw_session *session = NULL;
    const struct lbw_session_params params = {.optimize = 99, .decode_once = 1};
    check(lbw_session_open(&session, bytes, size, &params, &err), &err);
    size_t num_inputs = lbw_session_num_inputs(session);
    size_t num_outputs = lbw_session_num_outputs(session);
    struct lbw_array inputs[4], outputs[4];
    assert_true(num_inputs <= 4 && num_outputs <= 4);
    for (size_t i = 0; i < num_inputs; i++) {
        bool is_condition = strcmp(lbw_session_input_name(session, i), "condition") == 0;
        check(lbw_array_init(&inputs[i], is_condition ? TYPE(BOOL) : TYPE(FLOAT), image,
                             is_condition ? 0 : 4, &err),
              &err);
        float *values = draw_values("picture", inputs[i].size / 4, 0.2f, 1);
        if (!is_condition)
            memcpy(inputs[i].data, values, inputs[i].size);
        free(values);
    }
    check(lbw_session_run(session, inputs, outputs, &err), &err);
    float *all = NULL;
    *num = 0;
    for (size_t i = 0; i < num_outputs; i++) {
        assert_int_equal(outputs[i].data_type, TYPE(FLOAT));
        all = realloc(all, *num * 4 + outputs[i].size);
        memcpy(all + *num, outputs[i].data, outputs[i].size);
        *num += outputs[i].size / 4;
        lbw_array_release(&outputs[i]);
    }
    for (size_t i = 0; i < num_inputs; i++)
        lbw_array_release(&inputs[i]);
    lbw_session_close(&session);
    assert_true(*num > 0);
    return all;
}

static void same_outputs(const struct text *a, const struct text *b, double rtol)
{
    size_t num, num_b;
    float *x = run(a->data, a->size, &num), *y = run(b->data, b->size, &num_b);
    double error = 0, magnitude = 0;
    assert_int_equal(num, num_b);
    for (size_t i = 0; i < num; i++) {
        error = fmax(error, fabs((double)x[i] - (double)y[i]));
        magnitude = fmax(magnitude, fabs((double)x[i]));
    }
    assert_true(magnitude > 0);
    if (!(error <= rtol * magnitude))
        fail_msg("outputs differ by %g of %g", error, magnitude);
    free(x);
    free(y);
}

/* ---- folding ---- */

static void put_norm(struct text *graph, const char *input, const char *name,
                     const char *output, int64_t channels)
{
    static const struct {
        const char *suffix;
        float centre, spread;
    } parts[] = {{"scale", 1, 0.9f}, {"shift", 0, 1}, {"mean", 0.5f, 1}, {"var", 1, 0.9f}};
    char inputs[200], part[50];
    snprintf(inputs, sizeof inputs, "%s %s.scale %s.shift %s.mean %s.var", input, name, name,
             name, name);
    struct text attributes = {0}, epsilon = {0};
    put_text(&epsilon, 1, "epsilon");
    const float value = 0.01f;
    put_varint(&epsilon, 2 << 3 | 5);
    put(&epsilon, &value, sizeof value);
    put_int(&epsilon, 20, 1);
    put_message(&attributes, 5, &epsilon);
    put_op(graph, "BatchNormalization", inputs, output, &attributes);
    for (size_t i = 0; i < 4; i++) {
        snprintf(part, sizeof part, "%s.%s", name, parts[i].suffix);
        put_vector(graph, part, channels, parts[i].centre, parts[i].spread);
    }
}

static void put_ports(struct text *graph, const char *output)
{
    put_typed_port(graph, 11, "x", TYPE(FLOAT), image, 4);
    put_typed_port(graph, 12, output, TYPE(FLOAT), NULL, 0);
}

/* Plans the model, which folds, and nothing else. */
static void check_folding(struct text *graph, int64_t opset, size_t num_folded)
{
    struct text bytes = finish_model(graph, opset < 9 ? 3 : 8, opset), out = {0};
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    struct lbw_error err = {0};
    void *data = NULL;
    keep_fixture(bytes.data, bytes.size);
    check(lbw_model_open_memory(&model, bytes.data, bytes.size, &err), &err);
    check(prepare_and_plan(&plan, model, &(struct lbw_plan_params){0}, &err), &err);
    assert_int_equal(lbw_plan_num_folded(plan), num_folded);
    check(lbw_model_save_memory(model, &data, &out.size, &err), &err);
    out.data = data;
    same_outputs(&bytes, &out, 1e-6);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    free(bytes.data);
    free(out.data);
}

static void test_fold_conv(void **state)
{
    (void)state;
    static const int64_t groups[] = {1, 2, 8};
    for (size_t g = 0; g < 3; g++)
        for (int has_bias = 0; has_bias < 2; has_bias++) {
            struct text graph = {0}, attributes = {0};
            attribute_int(&attributes, "group", groups[g]);
            put_op(&graph, "Conv", has_bias ? "x w b" : "x w", "c", &attributes);
            put_norm(&graph, "c", "bn", "y", 8);
            put_weight(&graph, "w", 8, 8 / groups[g], 3);
            put_vector(&graph, "b", 8, 0, 1);
            put_ports(&graph, "y");
            check_folding(&graph, 17, 1);
        }
}

static void test_fold_transposed(void **state)
{
    (void)state;
    static const int64_t groups[] = {1, 2, 8};
    for (size_t g = 0; g < 3; g++)
        for (int has_bias = 0; has_bias < 2; has_bias++) {
            struct text graph = {0}, attributes = {0};
            attribute_int(&attributes, "group", groups[g]);
            put_op(&graph, "ConvTranspose", has_bias ? "x w b" : "x w", "c", &attributes);
            put_norm(&graph, "c", "bn", "y", 16);
            put_weight(&graph, "w", 8, 16 / groups[g], 2);
            put_vector(&graph, "b", 16, 0, 1);
            put_ports(&graph, "y");
            check_folding(&graph, 11, 1);
        }
}

/* One bias for two Convs with a normalization each; a third has none. */
static void test_fold_shared(void **state)
{
    (void)state;
    struct text graph = {0};
    put_op(&graph, "Conv", "x w b", "c", NULL);
    put_norm(&graph, "c", "bn1", "d", 8);
    put_op(&graph, "Conv", "d w2 b", "e", NULL);
    put_norm(&graph, "e", "bn2", "f", 8);
    put_op(&graph, "Conv", "f w3 b", "y", NULL);
    put_weight(&graph, "w", 8, 8, 1);
    put_weight(&graph, "w2", 8, 8, 1);
    put_weight(&graph, "w3", 8, 8, 1);
    put_vector(&graph, "b", 8, 0, 1);
    put_ports(&graph, "y");
    check_folding(&graph, 13, 2);
}

/* A weight that others read too stays one: no normalization of its readers is folded. */
static void test_fold_no_copies(void **state)
{
    (void)state;
    struct text graph = {0};
    put_op(&graph, "Conv", "x w", "c", NULL);
    put_norm(&graph, "c", "bn1", "d", 8);
    put_op(&graph, "Identity", "w", "v", NULL);
    put_op(&graph, "Conv", "d v", "e", NULL);
    put_norm(&graph, "e", "bn2", "y", 8);
    put_weight(&graph, "w", 8, 8, 1);
    put_ports(&graph, "y");
    check_folding(&graph, 13, 0);
}

/* The normalization's parameters serve another one, too, that must not be folded. */
static void test_fold_partly(void **state)
{
    (void)state;
    struct text graph = {0};
    put_op(&graph, "Conv", "x w", "c", NULL);
    put_norm(&graph, "c", "bn", "d", 8);
    put_op(&graph, "BatchNormalization", "d bn.scale bn.shift bn.mean bn.var", "e", NULL);
    put_op(&graph, "Conv", "e w2", "f", NULL);
    put_op(&graph, "BatchNormalization", "f bn.scale bn.shift bn.mean bn.var", "g", NULL);
    put_op(&graph, "Add", "f g", "y", NULL);
    put_weight(&graph, "w", 8, 8, 1);
    put_weight(&graph, "w2", 8, 8, 1);
    put_ports(&graph, "y");
    check_folding(&graph, 13, 1);
}

/* In a branch, with weights that the branch holds or sees. */
static void test_fold_in_body(void **state)
{
    (void)state;
    struct text graph = {0}, yes = {0}, no = {0}, attributes = {0};
    put_op(&yes, "Conv", "x inner", "c", NULL);
    put_norm(&yes, "c", "bn1", "yes", 8);
    put_weight(&yes, "inner", 8, 8, 1);
    put_op(&no, "Conv", "x outer", "d", NULL);
    put_norm(&no, "d", "bn2", "no", 8);
    put_text(&yes, 2, "yes");
    put_text(&no, 2, "no");
    put_typed_port(&yes, 12, "yes", TYPE(FLOAT), NULL, 0);
    put_typed_port(&no, 12, "no", TYPE(FLOAT), NULL, 0);
    attribute_message(&attributes, "then_branch", 6, 5, &yes);
    attribute_message(&attributes, "else_branch", 6, 5, &no);
    put_op(&graph, "If", "condition", "z", &attributes);
    put_op(&graph, "Conv", "z last", "y", NULL);
    put_weight(&graph, "last", 8, 8, 1);
    put_weight(&graph, "outer", 8, 8, 1);
    put_typed_port(&graph, 11, "condition", TYPE(BOOL), NULL, 0);
    put_ports(&graph, "y");
    check_folding(&graph, 13, 2);
}

static void test_fold_oldest(void **state)
{
    (void)state;
    static const char *const names[] = {"w", "bn.scale", "bn.shift", "bn.mean", "bn.var"};
    struct text graph = {0};
    const int64_t channels = 8, dims[] = {8, 8, 3, 3};
    put_op(&graph, "Conv", "x w", "c", NULL);
    put_norm(&graph, "c", "bn", "y", channels);
    put_weight(&graph, "w", 8, 8, 3);
    put_ports(&graph, "y");
    for (size_t i = 0; i < 5; i++) /* IR 3: initializers are inputs */
        put_typed_port(&graph, 11, names[i], TYPE(FLOAT), i ? &channels : dims, i ? 1 : 4);
    check_folding(&graph, 7, 1);
}

/* ---- weights that constants make, and fused ones ---- */

/* Prepared, the model gives the same outputs, is no larger, and all its weights are constants.
 */
static void check_made(struct text *bytes, size_t num_weights, double rtol)
{
    struct text out = {0};
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    struct lbw_error err = {0};
    void *data = NULL;
    check(lbw_model_open_memory(&model, bytes->data, bytes->size, &err), &err);
    check(prepare_and_plan(&plan, model, &(struct lbw_plan_params){.all = true}, &err), &err);
    assert_int_equal(lbw_plan_num_items(plan), num_weights);
    for (size_t i = 0; i < num_weights; i++)
        if (!plan->weights[i].tensor)
            fail_msg("'%s': %s", plan->weights[i].item.node, plan->weights[i].item.reason);
    check(lbw_model_save_memory(model, &data, &out.size, &err), &err);
    assert_true(out.size <= bytes->size + 64 * num_weights); /* biases of 8 channels */
    out.data = data;
    same_outputs(bytes, &out, rtol);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    free(bytes->data);
    free(out.data);
}

static void put_ints(struct text *graph, const char *name, const int64_t *values, int64_t num)
{
    struct text tensor = {0};
    put_int(&tensor, 1, (uint64_t)num);
    put_int(&tensor, 2, TYPE(INT64));
    put_text(&tensor, 8, name);
    put_bytes(&tensor, 9, values, (size_t)num * sizeof *values);
    put_message(graph, 5, &tensor);
}

static void test_made(void **state)
{
    (void)state;
    static const int64_t order[] = {3, 2, 0, 1}, hwio[] = {1, 1, 8, 8}, flat[] = {8, 8};
    static const int64_t shape[] = {8, 8, 1, 1}, sizes[] = {0, -1, 1, 1}, axes[] = {1, 2, 3};
    static const int64_t pads[] = {0, 0, 1, 1, 0, 0, 1, 1}, ring[] = {1, 1, 1, 1};
    static const int64_t gain[] = {8, 1, 1, 1}, half[] = {4, 8, 1, 1};
    struct text graph = {0}, a = {0};
    attribute_ints(&a, "perm", order, 4);
    put_random(&graph, "hwio", TYPE(FLOAT), hwio, 4, 0, 1);
    put_op(&graph, "Transpose", "hwio", "w1", &a);
    put_op(&graph, "Conv", "x w1", "c1", NULL);
    put_random(&graph, "flat", TYPE(FLOAT), flat, 2, 0, 1);
    put_ints(&graph, "sizes", sizes, 4);
    put_op(&graph, "Reshape", "flat sizes", "w2", NULL);
    put_op(&graph, "Conv", "c1 w2", "c2", NULL);
    put_random(&graph, "v", TYPE(FLOAT), shape, 4, 0, 1);
    put_random(&graph, "gain", TYPE(FLOAT), gain, 4, 1, 0.5f);
    attribute_ints(&a, "axes", axes, 3);
    put_op(&graph, "ReduceL2", "v", "norm", &a);
    put_op(&graph, "Div", "v norm", "unit", NULL);
    put_op(&graph, "Mul", "unit gain", "w3", NULL);
    put_op(&graph, "Conv", "c2 w3", "c3", NULL);
    put_weight(&graph, "rep1", 8, 8, 1);
    put_weight(&graph, "rep3", 8, 8, 3);
    put_ints(&graph, "pads", pads, 8);
    put_op(&graph, "Pad", "rep1 pads", "padded", NULL);
    put_op(&graph, "Add", "rep3 padded", "w4", NULL);
    attribute_ints(&a, "pads", ring, 4);
    put_op(&graph, "Conv", "c3 w4", "c4", &a);
    put_random(&graph, "upper", TYPE(FLOAT), half, 4, 0, 1);
    put_random(&graph, "lower", TYPE(FLOAT), half, 4, 0, 1);
    attribute_int(&a, "axis", 0);
    put_op(&graph, "Concat", "upper lower", "w5", &a);
    put_op(&graph, "Conv", "c4 w5", "y", NULL);
    put_ports(&graph, "y");
    struct text bytes = finish_model(&graph, 8, 13);
    check_made(&bytes, 5, 1e-5);
}

/* Parts of a constant are folded only if all of them replace it: else the file would grow. */
static void test_made_of_parts(void **state)
{
    (void)state;
    static const int64_t bank[] = {3, 8, 8, 1, 1}, thirds[] = {24, 8, 1, 1},
                         sizes[] = {8, 12, 4};
    static const int64_t zero[] = {0}, back[] = {-1}, least[] = {INT64_MIN};
    struct text graph = {0}, a = {0};
    put_random(&graph, "fused", TYPE(FLOAT), thirds, 4, 0, 1);
    put_ints(&graph, "sizes", sizes, 3);
    attribute_int(&a, "axis", 0);
    put_op(&graph, "Split", "fused sizes", "q k v", &a);
    put_op(&graph, "Conv", "x q", "c1", NULL);
    put_op(&graph, "Conv", "c1 k", "c2", NULL); /* 12 channels */
    put_op(&graph, "Conv", "x v", "c3", NULL);
    put_random(&graph, "bank", TYPE(FLOAT), bank, 5, 0, 1);
    put_ints(&graph, "zero", zero, 1);
    put_ints(&graph, "back", back, 1);
    put_ints(&graph, "least", least, 1);
    put_ints(&graph, "two", (const int64_t[]){2}, 1);
    put_op(&graph, "Gather", "bank zero", "w4", NULL);
    put_op(&graph, "Squeeze", "w4 zero", "w4s", NULL);
    put_op(&graph, "Slice", "bank back least zero back", "tail", NULL); /* 2, 1, 0 */
    put_op(&graph, "Slice", "tail zero two zero", "pair", NULL);
    put_ints(&graph, "shape16", (const int64_t[]){16, 8, 1, 1}, 4);
    put_op(&graph, "Reshape", "pair shape16", "w5", NULL);
    put_op(&graph, "Conv", "x w4s", "c4", NULL);
    put_op(&graph, "Conv", "c4 w5", "c5", NULL);
    attribute_int(&a, "axis", 1);
    put_op(&graph, "Concat", "c2 c3 c5", "y", &a);
    put_ports(&graph, "y");
    struct text bytes = finish_model(&graph, 8, 13);
    check_made(&bytes, 5, 0);
}

/* What makes a constant larger does no harm where a whole weight is among its constants. */
static void test_made_by_growing(void **state)
{
    (void)state;
    static const int64_t shape[] = {8, 8, 1, 1}, one[] = {1, 8, 1, 1}, half[] = {4, 1, 1, 1};
    static const unsigned char mask[8] = {1, 0, 1, 1, 0, 1, 1, 1};
    struct text graph = {0}, a = {0}, tensor = {0}, number = {0}, value = {0};
    put_ints(&graph, "shape", shape, 4);
    put_ints(&graph, "twice", (const int64_t[]){2, 8, 1, 1}, 4);
    put_random(&graph, "a", TYPE(FLOAT), shape, 4, 0, 1);
    put_random(&graph, "b", TYPE(FLOAT), shape, 4, 0, 1);
    put_random(&graph, "c", TYPE(FLOAT), shape, 4, 0, 1);
    put_random(&graph, "row", TYPE(FLOAT), one, 4, 1, 0.5f);
    put_random(&graph, "half", TYPE(FLOAT), half, 4, 1, 0.5f);
    put_op(&graph, "Expand", "row shape", "rows", NULL);
    put_op(&graph, "Mul", "a rows", "w1", NULL);
    put_op(&graph, "Conv", "x w1", "c1", NULL);
    put_op(&graph, "Tile", "half twice", "tiles", NULL);
    put_op(&graph, "Mul", "b tiles", "w2", NULL);
    put_op(&graph, "Conv", "c1 w2", "c2", NULL);
    put_int(&number, 1, 1);
    put_int(&number, 2, TYPE(FLOAT));
    const float quarter = 0.25f;
    put_bytes(&number, 9, &quarter, sizeof quarter);
    put_text(&value, 1, "value");
    put_message(&value, 5, &number);
    put_int(&value, 20, 4);
    put_message(&a, 5, &value);
    put_op(&graph, "ConstantOfShape", "shape", "quarters", &a);
    put_int(&tensor, 1, 8);
    put_int(&tensor, 1, 1);
    put_int(&tensor, 1, 1);
    put_int(&tensor, 1, 1);
    put_int(&tensor, 2, TYPE(BOOL));
    put_text(&tensor, 8, "mask");
    put_bytes(&tensor, 9, mask, sizeof mask);
    put_message(&graph, 5, &tensor);
    put_op(&graph, "Where", "mask c quarters", "w3", NULL);
    put_op(&graph, "Conv", "c2 w3", "y", NULL);
    put_ports(&graph, "y");
    struct text bytes = finish_model(&graph, 8, 13);
    check_made(&bytes, 3, 1e-6);
}

/* Attributes in place of inputs, as before opset 10 and 13. */
static void test_made_by_attributes(void **state)
{
    (void)state;
    static const int64_t thirds[] = {16, 8, 1, 1}, parts[] = {6, 10};
    struct text graph = {0}, a = {0};
    put_random(&graph, "fused", TYPE(FLOAT), thirds, 4, 0, 1);
    attribute_ints(&a, "split", parts, 2);
    put_op(&graph, "Split", "fused", "w1 w2", &a);
    put_op(&graph, "Conv", "x w1", "c1", NULL);
    put_op(&graph, "Conv", "x w2", "c2", NULL);
    put_random(&graph, "both", TYPE(FLOAT), thirds, 4, 0, 1);
    attribute_ints(&a, "axes", (const int64_t[]){0}, 1);
    attribute_ints(&a, "starts", (const int64_t[]){0}, 1);
    attribute_ints(&a, "ends", (const int64_t[]){-8}, 1);
    put_op(&graph, "Slice", "both", "w3", &a);
    attribute_ints(&a, "axes", (const int64_t[]){0}, 1);
    attribute_ints(&a, "starts", (const int64_t[]){8}, 1);
    attribute_ints(&a, "ends", (const int64_t[]){INT64_MAX}, 1);
    put_op(&graph, "Slice", "both", "w4", &a);
    put_op(&graph, "Conv", "x w3", "c3", NULL);
    put_op(&graph, "Conv", "c3 w4", "c4", NULL);
    attribute_int(&a, "axis", 1);
    put_op(&graph, "Concat", "c1 c2 c4", "y", &a);
    put_ports(&graph, "y");
    struct text bytes = finish_model(&graph, 8, 9);
    check_made(&bytes, 4, 0);
}

/* FusedConv of ONNX Runtime, with every activation that it may have, and with a summand. */
static void test_fused(void **state)
{
    (void)state;
    static const struct {
        const char *activation;
        float params[2];
        size_t num_params;
    } cases[] = {
        {"Relu", {0, 0}, 0},         {"Tanh", {0, 0}, 0},  {"Sigmoid", {0, 0}, 0},
        {"LeakyRelu", {0.1f, 0}, 1}, {"Clip", {-1, 2}, 2}, {"HardSigmoid", {0.3f, 0.4f}, 2},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        struct text graph = {0}, node = {0}, a = {0}, import = {0};
        put_text(&a, 1, "activation");
        put_text(&a, 4, cases[i / 2].activation);
        put_int(&a, 20, 3);
        put_names(&node, "FusedConv", i % 2 ? "x w b x" : "x w b", "y");
        put_message(&node, 5, &a);
        put_text(&a, 1, "activation_params");
        for (size_t k = 0; k < cases[i / 2].num_params; k++) {
            unsigned char bytes[5] = {7 << 3 | 5};
            lbw_store_le(bytes + 1, lbw_float_bits(cases[i / 2].params[k]), 4);
            put(&a, bytes, sizeof bytes);
        }
        put_int(&a, 20, 6);
        if (cases[i / 2].num_params)
            put_message(&node, 5, &a);
        free(a.data);
        put_text(&node, 7, "com.microsoft");
        put_message(&graph, 1, &node);
        put_weight(&graph, "w", 8, 8, 1);
        put_vector(&graph, "b", 8, 0, 1);
        put_ports(&graph, "y");
        struct text bytes = finish_model(&graph, 8, 17);
        put_text(&import, 1, "com.microsoft");
        put_int(&import, 2, 1);
        put_message(&bytes, 8, &import);
        check_made(&bytes, 1, 1e-5);
    }
}

/* ---- encodings ---- */

static struct text convert(const struct text *bytes, const struct lbw_plan_params *params,
                           enum lbw_encoding encoding, bool is_inline, size_t num_converted)
{
    struct text out = {0};
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    struct lbw_report *report = NULL;
    struct lbw_error err = {0};
    const struct lbw_convert_params how = {.encode = {encoding, is_inline}};
    void *data = NULL;
    check(lbw_model_open_memory(&model, bytes->data, bytes->size, &err), &err);
    check(prepare_and_plan(&plan, model, params, &err), &err);
    check(lbw_convert(&report, model, plan, &how, &err), &err);
    assert_int_equal(report->num_converted, num_converted);
    check(lbw_model_save_memory(model, &data, &out.size, &err), &err);
    out.data = data;
    lbw_report_free(&report);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    return out;
}

/* All encodings, scales and groups; the bytes are freed. */
static void check_encodings(struct text *bytes, const char *ops, size_t num_converted)
{
    static const char *const grids[] = {"2", "4", "6", "4x2d2"};
    for (size_t i = 0; i < 16; i++) {
        const struct lbw_plan_params params = {
            .grid = lbw_grid_by_name(grids[i / 4]),
            .scale = i & 1 ? LBW_SCALE_POW2 : LBW_SCALE_REAL,
            .group = i & 2 ? LBW_GROUP_TENSOR : LBW_GROUP_CHANNEL,
            .ops = ops,
        };
        struct text plain = convert(bytes, &params, LBW_ENCODING_FLOAT, false, num_converted);
        struct text packed = convert(bytes, &params, LBW_ENCODING_PACKED, false, num_converted);
        struct text in_graph =
            convert(bytes, &params, LBW_ENCODING_PACKED, true, num_converted);
        struct text dq = convert(bytes, &params, LBW_ENCODING_DQ, false, num_converted);
        same_outputs(&plain, &packed, 1e-6);
        same_outputs(&plain, &in_graph, 1e-6);
        same_outputs(&plain, &dq, 1e-6);
        free(plain.data);
        free(packed.data);
        free(in_graph.data);
        free(dq.data);
    }
    free(bytes->data);
    *bytes = (struct text){0};
}

/* Every opset that changed something about the operators we use. */
static void test_opsets(void **state)
{
    (void)state;
    static const int64_t opsets[] = {7, 8, 9, 10, 11, 13, 18, 19, 21, 23};
    for (size_t i = 0; i < sizeof opsets / sizeof *opsets; i++) {
        struct text graph = {0}, attributes = {0};
        attribute_int(&attributes, "group", 8);
        put_op(&graph, "Conv", "x w", "a", NULL);
        put_op(&graph, "Conv", "a depthwise b", "c", &attributes);
        put_op(&graph, "ConvTranspose", "c up", "y", NULL);
        put_weight(&graph, "w", 8, 8, 3);
        put_weight(&graph, "depthwise", 8, 1, 4);
        put_weight(&graph, "up", 8, 16, 2);
        put_vector(&graph, "b", 8, 0, 1);
        put_ports(&graph, "y");
        /* IR 4, raised where the opset asks for more */
        int64_t ir = opsets[i] < 13 ? 4 : opsets[i] < 18 ? 7 : opsets[i] < 21 ? 9 : 10;
        struct text bytes = finish_model(&graph, ir, opsets[i]);
        check_encodings(&bytes, NULL, 3);
    }
}

/* Both branches with weights of their own, a Constant's, and one from outside. */
static void test_bodies(void **state)
{
    (void)state;
    struct text graph = {0}, yes = {0}, no = {0}, attributes = {0};
    const int64_t dims[] = {8, 8, 3, 3};
    float *values = draw_values("constant", 576, 0, 1);
    struct text tensor = tensor_of("", TYPE(FLOAT), dims, 4, values);
    put_op(&yes, "Conv", "x inner", "yes", NULL);
    put_weight(&yes, "inner", 8, 8, 3);
    attribute_message(&attributes, "value", 5, 4, &tensor);
    put_op(&no, "Constant", "", "constant", &attributes);
    put_op(&no, "Conv", "x constant", "d", NULL);
    put_op(&no, "Conv", "d outer", "e", NULL);
    put_op(&no, "ConvTranspose", "e outer", "no", NULL);
    put_text(&yes, 2, "yes");
    put_text(&no, 2, "no");
    put_typed_port(&yes, 12, "yes", TYPE(FLOAT), NULL, 0);
    put_typed_port(&no, 12, "no", TYPE(FLOAT), NULL, 0);
    attribute_message(&attributes, "then_branch", 6, 5, &yes);
    attribute_message(&attributes, "else_branch", 6, 5, &no);
    put_op(&graph, "If", "condition", "z", &attributes);
    put_op(&graph, "ConvTranspose", "z other", "y", NULL);
    put_weight(&graph, "outer", 8, 8, 3);
    put_weight(&graph, "other", 8, 8, 3);
    put_typed_port(&graph, 11, "condition", TYPE(BOOL), NULL, 0);
    put_ports(&graph, "y");
    free(values);
    struct text bytes = finish_model(&graph, 8, 13);
    check_encodings(&bytes, NULL, 4);
}

/* Calls of "Block" in domain "test", one behind the other. */
static void put_calls(struct text *graph, const char *const *weights, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        struct text node = {0};
        char in[] = {(char)('x' - i), '\0'}, out[] = {(char)('x' - 1 - i), '\0'};
        put_text(&node, 1, in);
        if (weights)
            put_text(&node, 1, weights[i]);
        put_text(&node, 2, i + 1 < num ? out : "y");
        put_text(&node, 4, "Block");
        put_text(&node, 7, "test");
        put_message(graph, 1, &node);
    }
    put_ports(graph, "y");
}

/* A weight that a model-local function holds, called twice. */
static void test_function(void **state)
{
    (void)state;
    struct text graph = {0}, body = {0}, attributes = {0};
    const int64_t dims[] = {8, 8, 3, 3};
    float *values = draw_values("constant", 576, 0, 1);
    struct text tensor = tensor_of("", TYPE(FLOAT), dims, 4, values);
    attribute_message(&attributes, "value", 5, 4, &tensor);
    put_op(&body, "Constant", "", "w", &attributes);
    put_op(&body, "Conv", "in w", "out", NULL);
    put_calls(&graph, NULL, 2);
    free(values);
    struct text bytes = finish_model(&graph, 8, 17);
    put_function(&bytes, "Block", "in", &body, 17);
    check_encodings(&bytes, NULL, 1);
}

/* A function of another opset that is given its weights, with an operator of its own. */
static struct text model_of_function(const char *op, int64_t opset)
{
    static const char *const weights[] = {"w1", "w2"};
    struct text graph = {0}, body = {0};
    put_op(&body, "Conv", "in w", "c", NULL);
    put_op(&body, op, "c", "out", NULL);
    put_weight(&graph, "w1", 8, 8, 3);
    put_weight(&graph, "w2", 8, 8, 3);
    put_calls(&graph, weights, 2);
    struct text bytes = finish_model(&graph, 8, 17);
    put_function(&bytes, "Block", "in w", &body, opset);
    return bytes;
}

/* Inlined where its operators mean the same in the model, else kept and said so. */
static void test_function_of_other_opset(void **state)
{
    (void)state;
    static const struct {
        const char *op;
        int64_t opset;
        bool is_kept;
    } cases[] = {
        {"Relu", 11, false}, {"Softmax", 13, false}, {"Softmax", 12, true}, {"Relu", 18, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text bytes = model_of_function(cases[i].op, cases[i].opset);
        struct lbw_model *model = NULL;
        struct lbw_plan *plan = NULL;
        struct lbw_error err = {0};
        keep_fixture(bytes.data, bytes.size);
        check(lbw_model_open_memory(&model, bytes.data, bytes.size, &err), &err);
        check(prepare_and_plan(&plan, model, &(struct lbw_plan_params){0}, &err), &err);
        const struct lbw_plan_item *item = lbw_plan_item(plan, 0);
        assert_int_equal(lbw_plan_num_items(plan), cases[i].is_kept ? 1 : 2);
        assert_int_equal(item->grid == NULL, cases[i].is_kept);
        if (cases[i].is_kept)
            assert_non_null(strstr(item->reason, "another opset than the model"));
        lbw_plan_free(&plan);
        lbw_model_close(&model);
        if (cases[i].is_kept)
            free(bytes.data);
        else
            check_encodings(&bytes, NULL, 2);
    }
}

/* The dense operators, with weights on either side and either way up. */
static void test_dense(void **state)
{
    (void)state;
    struct text graph = {0}, turned = {0};
    const int64_t in[] = {288, 20}, back[] = {24, 20}, square[] = {24, 24}, one = 1;
    put_op(&graph, "Flatten", "x", "flat", NULL);
    put_op(&graph, "Gemm", "flat in bias", "a", NULL);
    attribute_int(&turned, "transB", 1);
    put_op(&graph, "Gemm", "a back", "b", &turned);
    put_op(&graph, "MatMul", "b square", "c", NULL);
    put_op(&graph, "Transpose", "c", "d", NULL);
    put_op(&graph, "MatMul", "left d", "y", NULL);
    put_random(&graph, "in", TYPE(FLOAT), in, 2, 0, 0.1f);
    put_random(&graph, "back", TYPE(FLOAT), back, 2, 0, 1);
    put_random(&graph, "square", TYPE(FLOAT), square, 2, 0, 1);
    put_random(&graph, "left", TYPE(FLOAT), square, 2, 0, 1);
    put_random(&graph, "bias", TYPE(FLOAT), &one, 1, 0, 1);
    put_ports(&graph, "y");
    struct text bytes = finish_model(&graph, 8, 17);
    check_encodings(&bytes, "Gemm,MatMul", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold_conv),
        cmocka_unit_test(test_fold_transposed),
        cmocka_unit_test(test_fold_shared),
        cmocka_unit_test(test_fold_no_copies),
        cmocka_unit_test(test_fold_partly),
        cmocka_unit_test(test_fold_in_body),
        cmocka_unit_test(test_fold_oldest),
        cmocka_unit_test(test_opsets),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_function),
        cmocka_unit_test(test_function_of_other_opset),
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_made_of_parts),
        cmocka_unit_test(test_made_by_growing),
        cmocka_unit_test(test_made_by_attributes),
        cmocka_unit_test(test_fused),
    };
    if (!has_runtime())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
