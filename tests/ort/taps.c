/* SPDX-License-Identifier: MIT */
/* Taps: compared in the training graph, but not counted in the loss that it reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "fixture.h"
#include "grad/grad.h"
#include "run/session.h"
#include "runtime.h"

#define CHANNELS 3
#define AREA     4
#define COUNT    (CHANNELS * AREA)

static float x[COUNT], w0[COUNT], w1[COUNT], wanted_y[COUNT], wanted_a[COUNT], factor_y[COUNT];
static float factor_a[CHANNELS] = {.75f, 0, 2};

static struct lbw_grad_shape shape = {TYPE(FLOAT), 4, {1, CHANNELS, 2, 2}, NULL};

static int fill_all(void **state)
{
    float *const arrays[] = {x, w0, w1, wanted_y, wanted_a, factor_y};
    struct lbw_random random = {3};
    (void)state;
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++)
        for (size_t i = 0; i < COUNT; i++)
            arrays[k][i] = (float)lbw_random_unit(&random) - (arrays[k] == factor_y ? 0 : .5f);
    return 0;
}

static void put_zeros(struct text *graph, const char *name)
{
    static const float zeros[COUNT];
    struct text tensor = {0};
    for (size_t i = 0; i < shape.num_dims; i++)
        put_int(&tensor, 1, (uint64_t)shape.dims[i]);
    put_int(&tensor, 2, TYPE(FLOAT));
    put_text(&tensor, 8, name);
    put_bytes(&tensor, 9, zeros, sizeof zeros);
    put_message(graph, 5, &tensor);
}

/* a = x·w0, y = a·w1 */
static struct lbw_model *open_model(struct lbw_index *index)
{
    struct text graph = {0};
    struct lbw_model *model = NULL;
    put_node(&graph, 1, "Mul", "x w0", "a", NULL);
    put_node(&graph, 1, "Mul", "a w1", "y", NULL);
    put_text(&graph, 2, "g");
    put_zeros(&graph, "w0"); /* inputs of the training graph */
    put_zeros(&graph, "w1");
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "y");
    struct text text = wrap(&graph);
    assert_int_equal(lbw_model_open_memory(&model, text.data, text.size, NULL), LBW_OK);
    assert_int_equal(lbw_index_init(index, model, NULL), LBW_OK);
    free(text.data);
    return model;
}

static void set(struct lbw_array *inputs, const struct lbw_session *session, const char *name,
                float *values, bool is_by_channel)
{
    struct lbw_array *array = &inputs[lbw_session_find_input(session, name)];
    *array = (struct lbw_array){.data_type = TYPE(FLOAT), .num_dims = 4, .data = values};
    memcpy(array->dims, shape.dims, 4 * sizeof *array->dims);
    if (is_by_channel)
        lbw_grad_by_channel(array->dims, 4);
    array->size = (is_by_channel ? CHANNELS : COUNT) * sizeof *values;
}

/* Runs the graph of loss and gradients, or that of the loss alone. */
static void run(struct lbw_array *outputs, size_t num_outputs, bool no_gradients)
{
    static const struct lbw_session_params plain;
    struct lbw_index index;
    struct lbw_model *model = open_model(&index);
    struct lbw_strmap shapes = {0};
    struct lbw_grad grad;
    struct lbw_session *session = NULL;
    struct lbw_error err = {0};
    const char *const names[] = {"x", "a", "y"};
    for (size_t i = 0; i < 3; i++)
        assert_true(lbw_strmap_put(&shapes, names[i], &shape));
    const struct lbw_grad_params params = {.targets = (const char *[]){"y", "a"},
                                           .num_targets = 2,
                                           .num_taps = 1,
                                           .weights = (const char *[]){"w0", "w1"},
                                           .num_weights = 2,
                                           .shapes = &shapes,
                                           .no_gradients = no_gradients};
    if (lbw_grad_build(&grad, &index, &params, &err) != LBW_OK ||
        lbw_session_open(&session, grad.data, grad.size, &plain, &err) != LBW_OK)
        fail_msg("%s", err.message);
    struct lbw_array inputs[7] = {0};
    assert_int_equal(lbw_session_num_inputs(session), 7);
    assert_int_equal(lbw_session_num_outputs(session), num_outputs);
    set(inputs, session, "x", x, false);
    set(inputs, session, "w0", w0, false);
    set(inputs, session, "w1", w1, false);
    set(inputs, session, grad.wanted[0], wanted_y, false);
    set(inputs, session, grad.wanted[1], wanted_a, false);
    set(inputs, session, grad.factors[0], factor_y, false);
    set(inputs, session, grad.factors[1], factor_a, true);
    if (lbw_session_run(session, inputs, outputs, &err) != LBW_OK)
        fail_msg("%s", err.message);
    lbw_session_close(&session);
    lbw_grad_release(&grad);
    lbw_strmap_release(&shapes);
    lbw_index_release(&index);
    lbw_model_close(&model);
}

static float loss(void)
{
    float sum = 0;
    for (size_t i = 0; i < COUNT; i++) {
        float error = x[i] * w0[i] * w1[i] - wanted_y[i];
        sum += factor_y[i] * error * error;
    }
    return sum;
}

static void test_gradients(void **state)
{
    struct lbw_array outputs[3] = {0};
    (void)state;
    run(outputs, 3, false);
    assert_float_equal(*(const float *)outputs[0].data, loss(), 1e-5);
    for (size_t i = 0; i < COUNT; i++) {
        float a = x[i] * w0[i];
        float of_y = 2 * factor_y[i] * (a * w1[i] - wanted_y[i]);
        float of_a = of_y * w1[i] + 2 * factor_a[i / AREA] * (a - wanted_a[i]);
        assert_float_equal(((const float *)outputs[1].data)[i], of_a * x[i], 1e-5);
        assert_float_equal(((const float *)outputs[2].data)[i], of_y * a, 1e-5);
    }
    lbw_arrays_release(outputs, 3);
}

/* The judge's graph returns the targets that count. */
static void test_judge(void **state)
{
    struct lbw_array outputs[2] = {0};
    (void)state;
    run(outputs, 2, true);
    assert_float_equal(*(const float *)outputs[0].data, loss(), 1e-5);
    for (size_t i = 0; i < COUNT; i++)
        assert_float_equal(((const float *)outputs[1].data)[i], x[i] * w0[i] * w1[i], 1e-5);
    lbw_arrays_release(outputs, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradients),
                                       cmocka_unit_test(test_judge)};
    if (!has_runtime())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, fill_all, NULL);
}
