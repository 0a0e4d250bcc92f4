/* SPDX-License-Identifier: MIT */
/*
 * Forms of graphs that become native operators: layers beside float tensors, pyramids, shuffled
 * channels, quarters of an image.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../native_layers.h"
#include <lbw/convert.h>

/* Bytes a and b shuffled by Reshape and Transpose, and every other channel of that: `s`. */
static void put_shuffle(struct text *graph)
{
    static const int64_t together[] = {2, 1, 8, 6, 10}, three = 3, five = 5;
    const int64_t second = 1;
    struct text attributes = {0};
    put_dequantize(graph, "a", "_part");
    put_dequantize(graph, "b", "_part");
    put_typed_port(graph, 13, "a_part", TYPE(FLOAT), small, 4);
    put_typed_port(graph, 13, "b_part", TYPE(FLOAT), small, 4);
    attribute_int(&attributes, "axis", 1);
    put_op(graph, "Concat", "a_part b_part", "both", &attributes);
    put_tensor(graph, "apart", TYPE(INT64), &three, 1, (const int64_t[]){8, 2, 60}, 24);
    put_tensor(graph, "together", TYPE(INT64), &five, 1, together, sizeof together);
    put_tensor(graph, "second", TYPE(INT64), NULL, 0, &second, 8);
    put_op(graph, "Reshape", "both apart", "pairs", NULL);
    attribute_ints(&attributes, "perm", (const int64_t[]){1, 0, 2}, 3);
    put_op(graph, "Transpose", "pairs", "turned", &attributes);
    put_op(graph, "Reshape", "turned together", "halves", NULL);
    attribute_int(&attributes, "axis", 0);
    put_op(graph, "Gather", "halves second", "half", &attributes);
    put_scaling(graph, "s", .05F, 128);
    put_quantize(graph, "half", "s", "s");
}

/* t_w, 1x1, with t_w_scale and t_bias. */
static void put_integer_weight(struct text *graph)
{
    const int64_t dims[] = {8, 8, 1, 1};
    int8_t codes[64];
    float scales[8], bias[8] = {.1F, .2F, -.3F};
    for (int i = 0; i < 64; i++)
        codes[i] = (int8_t)(i * 7 % 17 - 8);
    for (int i = 0; i < 8; i++)
        scales[i] = .02F + .001F * (float)i;
    put_tensor(graph, "t_w", TYPE(INT8), dims, 4, codes, sizeof codes);
    put_tensor(graph, "t_w_scale", TYPE(FLOAT), dims, 1, scales, sizeof scales);
    put_tensor(graph, "t_bias", TYPE(FLOAT), dims, 1, bias, sizeof bias);
}

static struct text make_mixed(void)
{
    const struct layer bytes = {"a", "b", "Silu", 8, 8, 1, 1, 1, SCALE, false};
    struct text graph = {0}, axis = {0};
    put_float_conv(&graph, "x", "a", 1); /* float to bytes */
    put_op(&graph, "Relu", "a_conv", "a_exact", NULL);
    put_scaling(&graph, "a", SCALE, 0);
    put_quantize(&graph, "a_exact", "a", "a");
    put_layer(&graph, &bytes);
    put_shuffle(&graph);
    put_dequantize(&graph, "s", "_real");
    put_integer_weight(&graph);
    attribute_int(&axis, "axis", 0);
    put_op(&graph, "DequantizeLinear", "t_w t_w_scale", "t_real", &axis);
    put_op(&graph, "Conv", "s_real t_real t_bias", "t", NULL);
    put_op(&graph, "Sigmoid", "t", "t_gate", NULL);
    put_scaling(&graph, "g", 1.F / 256, 0);
    put_quantize(&graph, "t_gate", "g", "g");
    put_dequantize(&graph, "g", "_real");
    put_op(&graph, "Mul", "t g_real", "u", NULL);
    put_typed_port(&graph, 13, "u", TYPE(FLOAT), small, 4);
    attribute_int(&axis, "axis", 1);
    put_op(&graph, "Softmax", "u", "y", &axis);
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), small, 4);
    put_typed_port(&graph, 12, "y", TYPE(FLOAT), NULL, 0);
    return finish_model(&graph, 8, 14);
}

static void layers_beside_floats_give_the_same(void **unused)
{
    (void)unused;
    static const char *const ops[] = {"FConvRelu", "QConvSilu", "QChannels2", "QConvSiluF",
                                      "FSoftmax"};
    struct lbw_error err = {0};
    struct text bytes = make_mixed();
    struct lbw_native_count count;
    size_t size = 0;
    void *data = NULL;
    struct lbw_model *model = open_native(&count, &bytes);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!calls(model, ops[i]))
            fail_msg("no call of %s", ops[i]);
    check(lbw_model_save_memory(model, &data, &size, &err), &err);
    image = small;
    struct lbw_array qdq = run(bytes.data, bytes.size, false);
    struct lbw_array functions = run(data, size, false), native = run(data, size, true);
    assert_true(steps_apart(&qdq, &functions) < 1e-5);
    assert_true(steps_apart(&qdq, &native) < .2);
    image = large;
    lbw_array_release(&qdq);
    lbw_array_release(&functions);
    lbw_array_release(&native);
    lbw_free(data);
    free(bytes.data);
    lbw_model_close(&model);
}

/*
 * A pyramid: a, what is half its size made twice as large, and an average over zeros that a Pad
 * adds, come together and are quantized; a convolution reads them.
 */
static struct text make_pyramid(void)
{
    const struct layer half = {"a", "b", "Silu", 8, 8, 1, 3, 2, SCALE, false};
    const struct layer last = {"s", "out", "Relu", 8, 24, 1, 1, 1, SCALE, false};
    static const int64_t halves[] = {1, 8, 3, 5}, none = 0, four = 4, eight = 8;
    static const int64_t around[] = {0, 0, 1, 1, 0, 0, 1, 1};
    static const float twice[] = {1, 1, 2, 2};
    struct text graph = {0}, attributes = {0};
    put_float_conv(&graph, "x", "a", 1);
    put_op(&graph, "Relu", "a_conv", "a_exact", NULL);
    put_scaling(&graph, "a", SCALE, 0);
    put_quantize(&graph, "a_exact", "a", "a");
    put_layer(&graph, &half);
    put_dequantize(&graph, "a", "_part");
    put_dequantize(&graph, "b", "_part");
    put_typed_port(&graph, 13, "a_part", TYPE(FLOAT), small, 4);
    put_typed_port(&graph, 13, "b_part", TYPE(FLOAT), halves, 4);
    put_tensor(&graph, "roi", TYPE(FLOAT), &none, 1, twice, 0);
    put_tensor(&graph, "twice", TYPE(FLOAT), &four, 1, twice, sizeof twice);
    put_op(&graph, "Resize", "b_part roi twice", "large", NULL);
    put_tensor(&graph, "around", TYPE(INT64), &eight, 1, around, sizeof around);
    put_op(&graph, "Pad", "a_part around", "padded", NULL);
    attribute_ints(&attributes, "kernel_shape", (const int64_t[]){3, 3}, 2);
    put_op(&graph, "AveragePool", "padded", "pooled", &attributes);
    attribute_int(&attributes, "axis", 1);
    put_op(&graph, "Concat", "large a_part pooled", "all", &attributes);
    put_scaling(&graph, "s", .04F, 7);
    put_quantize(&graph, "all", "s", "s");
    put_layer(&graph, &last);
    put_dequantize(&graph, "out", "_y");
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), small, 4);
    put_typed_port(&graph, 12, "out_y", TYPE(FLOAT), NULL, 0);
    return finish_model(&graph, 8, 14);
}

/* Bytes are moved, and no float is in between. */
static void pyramids_move_bytes(void **unused)
{
    (void)unused;
    static const char *const ops[] = {"QChannels1", "QAveragePool"};
    struct text bytes = make_pyramid();
    struct lbw_native_count count;
    size_t num_dequantized = 0;
    struct lbw_model *model = open_native(&count, &bytes);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!calls(model, ops[i]))
            fail_msg("no call of %s", ops[i]);
    for (size_t i = 0; i < model->proto->graph->n_node; i++)
        num_dequantized += lbw_node_is(model->proto->graph->node[i], "DequantizeLinear");
    assert_int_equal(num_dequantized, 1 + 3); /* the output, and the first layer's weights */
    image = small;
    compare_all(&bytes, model, 1);
    image = large;
    free(bytes.data);
    lbw_model_close(&model);
}

static void quarters_are_one_operator(void **unused)
{
    (void)unused;
    static const int64_t picture[] = {1, CHANNELS / 4, 40, 44};
    const struct layer layer = {"q", "a", "Clip", 16, CHANNELS, 1, 3, 1, .02F, false};
    struct lbw_native_count count;
    struct text graph = {0};
    put_quarters(&graph, 1);
    put_layer(&graph, &layer);
    put_dequantize(&graph, "a", "_real");
    put_op(&graph, "Relu", "a_real", "y", NULL);
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), picture, 4);
    put_typed_port(&graph, 12, "y", TYPE(FLOAT), NULL, 0);
    struct text bytes = finish_model(&graph, 8, 14);
    struct lbw_model *model = open_native(&count, &bytes);
    assert_true(calls(model, "QFocus"));
    free(bytes.data);
    lbw_model_close(&model);
}

/* From NAME to NAME_real by way of bytes with the scaling of s. */
static void put_pair(struct text *graph, const char *name)
{
    char inputs[200];
    put_quantize(graph, name, "s", name_of(name, "_bytes"));
    snprintf(inputs, sizeof inputs, "%s_bytes s_scale s_zero", name);
    put_op(graph, "DequantizeLinear", inputs, name_of(name, "_real"), NULL);
}

/* Channels a and b shuffled and split in two, every step of it between bytes. */
static void shuffles_between_bytes_are_one_operator(void **unused)
{
    (void)unused;
    static const int64_t pairs[] = {1, 2, 8, 6, 10}, joined[] = {1, 16, 6, 10},
                         sizes[] = {5, 11};
    const int64_t two = 2, four = 4, five = 5;
    const struct layer layers[] = {{"q", "a", "Relu", 8, 8, 1, 1, 1, .02F, false},
                                   {"q", "b", "Relu", 8, 8, 1, 3, 1, .02F, false}};
    struct lbw_error err = {0};
    struct lbw_native_count count;
    char digest[LBW_DIGEST_SIZE];
    struct text graph = {0}, attributes = {0};
    put_scaling(&graph, "q", .02F, 100);
    put_quantize(&graph, "x", "q", "q");
    put_layer(&graph, &layers[0]);
    put_layer(&graph, &layers[1]);
    put_dequantize(&graph, "a", "_part");
    put_dequantize(&graph, "b", "_part");
    put_typed_port(&graph, 13, "a_part", TYPE(FLOAT), small, 4);
    put_typed_port(&graph, 13, "b_part", TYPE(FLOAT), small, 4);
    put_scaling(&graph, "s", .07F, 110);
    put_tensor(&graph, "pairs", TYPE(INT64), &five, 1, pairs, sizeof pairs);
    put_tensor(&graph, "joined", TYPE(INT64), &four, 1, joined, sizeof joined);
    put_tensor(&graph, "sizes", TYPE(INT64), &two, 1, sizes, sizeof sizes);
    attribute_int(&attributes, "axis", 1);
    put_op(&graph, "Concat", "a_part b_part", "c", &attributes);
    put_pair(&graph, "c");
    put_op(&graph, "Reshape", "c_real pairs", "d", NULL);
    put_pair(&graph, "d");
    attribute_ints(&attributes, "perm", (const int64_t[]){0, 2, 1, 3, 4}, 5);
    put_op(&graph, "Transpose", "d_real", "e", &attributes);
    put_pair(&graph, "e");
    put_op(&graph, "Reshape", "e_real joined", "f", NULL);
    put_pair(&graph, "f");
    attribute_int(&attributes, "axis", 1);
    put_op(&graph, "Split", "f_real sizes", "g h", &attributes);
    put_pair(&graph, "g");
    put_pair(&graph, "h");
    attribute_int(&attributes, "axis", 1);
    put_op(&graph, "Concat", "g_real h_real", "y", &attributes);
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), small, 4);
    put_typed_port(&graph, 12, "y", TYPE(FLOAT), NULL, 0);
    struct text bytes = finish_model(&graph, 8, 14);
    struct lbw_model *model = open_native(&count, &bytes);
    assert_int_equal(count.num_others, 2); /* QChannels2 twice */
    assert_false(calls(model, "Transpose") || calls(model, "Split") ||
                 calls(model, "QConcat2"));
    image = small;
    compare_all(&bytes, model, 0);
    image = large;
    check(lbw_digest(digest, model, &err), &err); /* opens the functions */
    check(lbw_nativize(&count, model, &err), &err);
    assert_int_equal(count.num_others, 2);
    free(bytes.data);
    lbw_model_close(&model);
}

#define DOUBLINGS 31 /* more ways to the first value than can be tried */

/* A value joined with itself again and again: between floats, and between bytes with one more.
 */
static void doublings_are_left_alone(void **unused)
{
    (void)unused;
    static const int64_t one[] = {1, 1, 1, 1}; /* of each, as the model states */
    const struct layer layer = {"q", "a", "Relu", 8, 8, 1, 1, 1, .02F, false};
    struct lbw_native_count count;
    struct text graph = {0}, axis = {0};
    char inputs[64], output[16];
    put_scaling(&graph, "q", .02F, 100);
    put_quantize(&graph, "x", "q", "q");
    put_layer(&graph, &layer);
    put_dequantize(&graph, "a", "_part");
    put_scaling(&graph, "s", .07F, 110);
    attribute_int(&axis, "axis", 1);
    put_op(&graph, "Concat", "a_part x", "f0", &axis);
    put_op(&graph, "Identity", "a_part", "p0", NULL);
    put_pair(&graph, "p0");
    for (int i = 0; i < DOUBLINGS; i++) {
        snprintf(inputs, sizeof inputs, "f%d f%d", i, i);
        snprintf(output, sizeof output, "f%d", i + 1);
        attribute_int(&axis, "axis", 1);
        put_op(&graph, "Concat", inputs, output, &axis);
        snprintf(inputs, sizeof inputs, "p%d_real p%d_real a_part", i, i);
        snprintf(output, sizeof output, "p%d", i + 1);
        attribute_int(&axis, "axis", 1);
        put_op(&graph, "Concat", inputs, output, &axis);
        put_pair(&graph, output);
        put_typed_port(&graph, 13, name_of(output, "_real"), TYPE(FLOAT), one, 4);
    }
    put_quantize(&graph, output, "s", "y");
    snprintf(output, sizeof output, "f%d", DOUBLINGS);
    put_quantize(&graph, output, "s", "z");
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), small, 4);
    put_typed_port(&graph, 12, "y", TYPE(UINT8), NULL, 0);
    put_typed_port(&graph, 12, "z", TYPE(UINT8), NULL, 0);
    struct text bytes = finish_model(&graph, 8, 14);
    struct lbw_model *model = open_native(&count, &bytes);
    assert_int_equal(count.num_convs, 1);
    assert_true(calls(model, "Concat"));
    free(bytes.data);
    lbw_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_beside_floats_give_the_same),
        cmocka_unit_test(pyramids_move_bytes),
        cmocka_unit_test(quarters_are_one_operator),
        cmocka_unit_test(shuffles_between_bytes_are_one_operator),
        cmocka_unit_test(doublings_are_left_alone),
    };
    int missing = miss_kernels();
    return missing ? missing : cmocka_run_group_tests(tests, NULL, NULL);
}
