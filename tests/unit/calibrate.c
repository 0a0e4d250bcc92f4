/* SPDX-License-Identifier: MIT */
/* pass/reconstruct, closing: what becomes of a layer's bias, with activations made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "../activations.h"
#include "../graph.h"
#include "../plan.h"
#include "onnx/tensor.h"
#include <lbw/convert.h>

#include "pass/closing.h"
#include "pass/columns.h"
#include "pass/plan.h"

#define SIZE 16 /* inputs and outputs */

/* Outputs "y" of the converted model are made too small, all else is the same in both. */
static enum lbw_status show(struct lbw_activations *self, const char *name,
                            lbw_activation_fn fn, void *user, struct lbw_error *err)
{
    enum { ROWS = 64 };
    static const int64_t dims[] = {ROWS, SIZE};
    float values[ROWS * SIZE], converted[ROWS * SIZE];
    struct lbw_random random = {1};
    bool is_output = strcmp(name, "y") == 0;
    for (size_t i = 0; i < ROWS * SIZE; i++) {
        values[i] = 1 + (float)lbw_random_unit(&random);
        converted[i] = is_output ? 0.8f * values[i] : values[i];
    }
    for (size_t s = 0; s < self->num_samples; s++) {
        const struct lbw_activation activation = {s, 2, dims, values, converted};
        LBW_TRY(fn(user, &activation, err));
    }
    return LBW_OK;
}

/* y = alpha · x·Wᵀ + beta · b, and what reads it: operators one after the other. */
static struct text make_gemm(float alpha, float beta, bool shows_bias, const char *const *tail)
{
    struct text graph = {0}, attributes = {0};
    const int64_t dims[] = {SIZE, SIZE};
    float *values = draw_values("w", SIZE * SIZE, 0, 1);
    struct text tensor = tensor_of("w", TYPE(FLOAT), dims, 2, values);
    attribute_float(&attributes, "alpha", alpha);
    attribute_float(&attributes, "beta", beta);
    attribute_int(&attributes, "transB", 1);
    put_op(&graph, "Gemm", "x w b", "y", &attributes);
    put_message(&graph, 5, &tensor);
    put_vector(&graph, "b", SIZE, 1, 0.5f);
    put_vector(&graph, "v", SIZE, 1, 0.5f);
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "y");
    for (char in[] = "y", out[] = "z"; tail && *tail; tail++, in[0] = out[0], out[0]++) {
        char inputs[] = "y v";
        inputs[0] = in[0];
        put_op(&graph, *tail, strcmp(*tail, "MatMul") == 0 ? inputs : in, out, NULL);
    }
    if (shows_bias)
        put_port(&graph, 12, "b");
    free(values);
    return finish_model(&graph, 8, 13);
}

static void read_bias(float out[SIZE], struct lbw_model *model)
{
    Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_initializer; i++) {
        struct lbw_tensor tensor;
        if (strcmp(graph->initializer[i]->name, "b") != 0)
            continue;
        assert_int_equal(lbw_tensor_view(&tensor, model, graph->initializer[i], NULL), LBW_OK);
        assert_int_equal(tensor.count, SIZE);
        assert_int_equal(lbw_tensor_read_float(&tensor, out, NULL), LBW_OK);
        return;
    }
    fail_msg("the bias is gone");
}

/* What calibration adds to the bias. */
static void correction(float out[SIZE], float alpha, float beta, bool shows_bias,
                       const char *const *tail)
{
    struct lbw_activations activations = {show, ignore_values, ignore_position, 2, 0};
    const struct lbw_plan_params wishes = {
        .all = true, .ops = "Gemm", .grid = lbw_grid_by_name("2")};
    const struct lbw_convert_params params = {.activations = &activations};
    struct text bytes = make_gemm(alpha, beta, shows_bias, tail);
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    float before[SIZE];
    assert_int_equal(lbw_model_open_memory(&model, bytes.data, bytes.size, NULL), LBW_OK);
    read_bias(before, model);
    assert_int_equal(prepare_and_plan(&plan, model, &wishes, NULL), LBW_OK);
    assert_int_equal(lbw_convert(NULL, model, plan, &params, NULL), LBW_OK);
    read_bias(out, model);
    for (size_t i = 0; i < SIZE; i++)
        out[i] -= before[i];
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    free(bytes.data);
}

static void test_gemm(void **state)
{
    (void)state;
    static const float pairs[][2] = {{2, 1}, {1, 4}, {0.5f, -0.25f}, {1, 0}};
    float plain[SIZE], other[SIZE], most = 0;
    correction(plain, 1, 1, false, NULL);
    for (size_t i = 0; i < SIZE; i++)
        most = fmaxf(most, fabsf(plain[i]));
    assert_true(most > 0.1f);
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        float unit = pairs[k][1] != 0 ? pairs[k][0] / pairs[k][1] : 0;
        correction(other, pairs[k][0], pairs[k][1], false, NULL);
        for (size_t i = 0; i < SIZE; i++)
            assert_true(fabsf(other[i] - unit * plain[i]) <= 1e-5f * fabsf(unit) * most);
    }
}

/* Others see it as it was. */
static void test_bias_that_is_an_output(void **state)
{
    (void)state;
    float values[SIZE];
    correction(values, 1, 1, true, NULL);
    for (size_t i = 0; i < SIZE; i++)
        assert_true(values[i] == 0);
}

/* What share of the columns comes from where x is 1: a quarter of the places. */
static double share_of_quarter(const float *emphasis)
{
    enum { SIDE = 8 };
    static const int64_t dims[] = {1, SIZE, SIDE, SIDE}, shape[] = {SIZE, SIZE, 1, 1};
    const struct lbw_plan_params wishes = {.all = true, .grid = lbw_grid_by_name("4")};
    struct text graph = {0};
    float *values = draw_values("w", SIZE * SIZE, 0, 1), x[SIZE * SIDE * SIDE];
    struct text tensor = tensor_of("w", TYPE(FLOAT), shape, 4, values);
    put_op(&graph, "Conv", "x w", "y", NULL);
    put_message(&graph, 5, &tensor);
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "y");
    struct text bytes = finish_model(&graph, 8, 13);
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    assert_int_equal(lbw_model_open_memory(&model, bytes.data, bytes.size, NULL), LBW_OK);
    assert_int_equal(prepare_and_plan(&plan, model, &wishes, NULL), LBW_OK);
    for (size_t i = 0; i < SIZE * SIDE * SIDE; i++)
        x[i] = i % SIDE < SIDE / 2 && i / SIDE % SIDE < SIDE / 2 ? 1 : 0;
    const struct lbw_activation activation = {0, 4, dims, x, x, emphasis};
    struct lbw_columns columns = {0};
    assert_int_equal(
        lbw_columns_init(&columns, &plan->weights[0], values, 1, UINT64_MAX, 1, NULL), LBW_OK);
    assert_true(lbw_columns_begin(&columns, &plan->weights[0].consumers[0]));
    assert_int_equal(lbw_columns_add(&columns, &activation, NULL), LBW_OK);
    double share = columns.own_x[0] / columns.own_count;
    lbw_columns_release(&columns);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    free(values);
    free(bytes.data);
    return share;
}

/* Places within boxes count for more, in proportion. */
static void test_emphasis(void **state)
{
    (void)state;
    float emphasis[LBW_EMPHASIS_CELLS] = {0};
    assert_true(share_of_quarter(NULL) == 0.25);
    assert_true(fabs(share_of_quarter(emphasis) - 0.25) < 0.01);
    for (size_t i = 0; i < LBW_EMPHASIS_CELLS; i++)
        if (i % LBW_EMPHASIS_SIDE < LBW_EMPHASIS_SIDE / 2 && i < LBW_EMPHASIS_CELLS / 2)
            emphasis[i] = 9;
    assert_true(fabs(share_of_quarter(emphasis) - 10.0 / 13) < 0.01);
}

/* Another model's outputs of a layer: factor · y + offset. */
struct shrunk {
    struct lbw_activations activations; /* first */
    float factor, offset;
};

static enum lbw_status show_shrunk(struct lbw_activations *self, const char *name,
                                   lbw_activation_fn fn, void *user, struct lbw_error *err)
{
    enum { ROWS = 40 };
    static const int64_t dims[] = {ROWS, SIZE};
    const struct shrunk *shrunk = (const struct shrunk *)self;
    float values[ROWS * SIZE], converted[ROWS * SIZE];
    struct lbw_random random = {7};
    assert_string_equal(name, "y");
    for (size_t i = 0; i < ROWS * SIZE; i++) {
        values[i] = (float)(4 * lbw_random_unit(&random) - 3);
        converted[i] = shrunk->factor * values[i] + shrunk->offset;
    }
    const struct lbw_activation activation = {0, 2, dims, values, converted};
    return fn(user, &activation, err);
}

/* What closing does to a step of 1 and biases of 2. */
static void close_shrunk(float *steps, float biases[SIZE], const char *reader, float factor,
                         float offset)
{
    struct shrunk shrunk = {
        {show_shrunk, ignore_values, ignore_position, 1, 0}, factor, offset};
    const struct lbw_plan_params wishes = {
        .all = true, .ops = "Gemm", .grid = lbw_grid_by_name("4")};
    const char *const tail[] = {reader, NULL};
    struct text bytes = make_gemm(1, 1, false, tail);
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    assert_int_equal(lbw_model_open_memory(&model, bytes.data, bytes.size, NULL), LBW_OK);
    assert_int_equal(prepare_and_plan(&plan, model, &wishes, NULL), LBW_OK);
    uint8_t integers[SIZE * SIZE] = {0};
    float *all_biases[] = {biases};
    struct lbw_codes codes = {.codes = integers,
                              .steps = steps,
                              .num_steps = SIZE,
                              .axis = -1,
                              .biases = all_biases,
                              .num_biases = 1};
    struct lbw_calibrator calibrator = {.activations = &shrunk.activations, .plan = plan};
    for (size_t i = 0; i < SIZE; i++) {
        steps[i] = 1;
        biases[i] = 2;
    }
    assert_int_equal(lbw_close_weight(&codes, &calibrator, &plan->weights[0], NULL), LBW_OK);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    free(bytes.data);
}

/* Where one model's outputs are a line of the other's, gain and shift are known exactly. */
static void test_closing_is_exact(void **state)
{
    (void)state;
    static const struct {
        const char *reader;
        float factor, offset, step, bias;
    } cases[] = {
        {"Softmax", 1, 0, 1, 2},
        {"Softmax", .8f, 0, 1.25f, 2.5f},
        {"Sigmoid", .8f, 0, 1.25f, 2.5f},
        {"Softmax", .8f, .1f, 1.25f, 2.375f}, /* 1.25 · .1 less */
        {"Sigmoid", .8f, .1f, 1.25f, 2.375f},
        {"Sigmoid", 1.25f, -.4f, .8f, 1.92f},
        {"Sigmoid", 1, .5f, 1, 1.5f},
        {"Relu", .8f, .1f, 1, 2}, /* no scores */
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        float steps[SIZE], biases[SIZE];
        close_shrunk(steps, biases, cases[k].reader, cases[k].factor, cases[k].offset);
        for (size_t i = 0; i < SIZE; i++)
            assert_true(fabsf(steps[i] - cases[k].step) < 1e-3f);
        for (size_t i = 0; i < SIZE; i++)
            assert_true(fabsf(biases[i] - cases[k].bias) < 1e-3f);
    }
    float steps[SIZE],
        biases[SIZE]; /* half the amplitude is something broken: the step stays */
    close_shrunk(steps, biases, "Sigmoid", .5f, 0);
    assert_true(steps[0] == 1);
}

/* Scores get the amplitude back that they lost, boxes and what has other readers do not. */
static void test_closing(void **state)
{
    (void)state;
    static const struct {
        const char *tail[4];
        bool closes;
    } cases[] = {
        {{"Sigmoid"}, true},
        {{"HardSigmoid"}, true},
        {{"Identity", "Sigmoid"}, true},
        {{"Softmax"}, true},
        {{"Identity", "Softmax", "Identity"}, true},
        {{"Relu"}, false},
        {{"Relu", "Sigmoid"}, false},
        {{"Softmax", "MatMul"}, false},
        {{"Softmax", "Identity", "MatMul"}, false},
        {{"Tanh"}, false},
    };
    float plain[SIZE], other[SIZE];
    correction(plain, 1, 1, false, NULL);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        correction(other, 1, 1, false, cases[k].tail);
        for (size_t i = 0; i < SIZE; i++)
            if ((other[i] != plain[i]) != cases[k].closes)
                fail_msg("%s: channel %zu %g, without readers %g", cases[k].tail[0], i,
                         (double)other[i], (double)plain[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_bias_that_is_an_output),
        cmocka_unit_test(test_emphasis),
        cmocka_unit_test(test_closing),
        cmocka_unit_test(test_closing_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
