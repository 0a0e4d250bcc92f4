/* SPDX-License-Identifier: MIT */
/* The runtime's function table and sessions, on models written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/thread.h"
#include "fixture.h"
#include "run/session.h"
#include "runtime.h"

static const struct lbw_session_params plain = {.num_threads = 1, .optimize = 99};

/* c = a + b, d = Cast(a to float16), s = Shape(c); the inputs are declared as float vectors. */
static struct text adder(void)
{
    struct text graph = {0}, attribute = {0};
    put_text(&attribute, 1, "to");
    put_int(&attribute, 3, TYPE(FLOAT16));
    put_int(&attribute, 20, 2);
    put_node(&graph, 1, "Add", "a b", "c", NULL);
    put_node(&graph, 1, "Cast", "a", "d", &attribute);
    put_node(&graph, 1, "Shape", "c", "s", NULL);
    put_text(&graph, 2, "adder");
    for (const char *name = "ab"; *name; name++) {
        struct text port = {0}, type = {0}, tensor = {0};
        put_text(&port, 1, (char[]){*name, '\0'});
        put_int(&tensor, 1, TYPE(FLOAT));
        put_message(&type, 1, &tensor);
        put_message(&port, 2, &type);
        put_message(&graph, 11, &port);
    }
    put_port(&graph, 12, "c");
    put_port(&graph, 12, "d");
    put_port(&graph, 12, "s");
    return wrap(&graph);
}

static struct lbw_session *open_text(struct text *model)
{
    struct lbw_session *session = NULL;
    struct lbw_error err = {0};
    if (lbw_session_open(&session, model->data, model->size, &plain, &err) != LBW_OK)
        fail_msg("%s", err.message);
    free(model->data);
    return session;
}

static struct lbw_array vector(float *values, int64_t num)
{
    return (struct lbw_array){
        TYPE(FLOAT), 1, {num}, (size_t)num * sizeof *values, (void *)values};
}

static void test_run(void **state)
{
    (void)state;
    struct text model = adder();
    struct lbw_session *session = open_text(&model);
    float a[3] = {1, 2.5f, -3}, b[3] = {10, 20, 30};
    struct lbw_array inputs[2] = {vector(a, 3), vector(b, 3)}, outputs[3];
    int64_t shape;
    assert_int_equal(lbw_session_num_inputs(session), 2);
    assert_int_equal(lbw_session_num_outputs(session), 3);
    assert_string_equal(lbw_session_input_name(session, 1), "b");
    assert_string_equal(lbw_session_output_name(session, 2), "s");
    assert_int_equal(lbw_session_find_input(session, "b"), 1);
    assert_int_equal(lbw_session_find_input(session, "c"), 2);
    assert_int_equal(lbw_session_output_type(session, 1), TYPE(FLOAT16));
    assert_int_equal(lbw_session_output_type(session, 2), TYPE(INT64));
    assert_int_equal(lbw_session_run(session, inputs, outputs, NULL), LBW_OK);
    assert_int_equal(outputs[0].data_type, TYPE(FLOAT));
    assert_int_equal(outputs[0].num_dims, 1);
    assert_int_equal(outputs[0].dims[0], 3);
    const float sum[3] = {11, 22.5f, 27};
    assert_int_equal(outputs[0].size, sizeof sum);
    assert_memory_equal(outputs[0].data, sum, sizeof sum);
    const uint16_t half[3] = {0x3c00, 0x4100, 0xc200};
    assert_int_equal(outputs[1].size, sizeof half);
    assert_memory_equal(outputs[1].data, half, sizeof half);
    memcpy(&shape, outputs[2].data, sizeof shape);
    assert_int_equal(shape, 3);
    for (size_t i = 0; i < 3; i++)
        lbw_array_release(&outputs[i]);
    lbw_session_close(&session);
    assert_null(session);
}

static void test_empty(void **state)
{
    (void)state;
    struct text model = adder();
    struct lbw_session *session = open_text(&model);
    struct lbw_array inputs[2] = {vector(NULL, 0), vector(NULL, 0)}, outputs[3];
    assert_int_equal(lbw_session_run(session, inputs, outputs, NULL), LBW_OK);
    assert_int_equal(outputs[0].size, 0);
    assert_int_equal(outputs[0].dims[0], 0);
    for (size_t i = 0; i < 3; i++)
        lbw_array_release(&outputs[i]);
    lbw_session_close(&session);
}

/* Errors carry the runtime's words on one line and leave the outputs alone. */
static void test_errors(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_session *session = NULL;
    assert_int_equal(lbw_session_open(&session, "nonsense", 8, &plain, &err), LBW_ERR_RUNTIME);
    assert_null(session);
    assert_non_null(strstr(err.message, "ONNX Runtime: "));
    struct text model = adder();
    session = open_text(&model);
    float values[3] = {0};
    struct lbw_array inputs[2] = {vector(values, 3), vector(values, 2)};
    struct lbw_array outputs[3] = {{.size = 77}, {.size = 77}, {.size = 77}};
    assert_int_equal(lbw_session_run(session, inputs, outputs, &err), LBW_ERR_RUNTIME);
    assert_null(strchr(err.message, '\n'));
    assert_int_equal(outputs[0].size, 77);
    lbw_session_close(&session);
}

/* A sequence is no array. */
static void test_sequence(void **state)
{
    (void)state;
    struct text graph = {0};
    struct lbw_error err = {0};
    put_node(&graph, 1, "Identity", "w", "v", NULL);
    put_node(&graph, 1, "SequenceConstruct", "w v", "q", NULL);
    put_text(&graph, 2, "g");
    put_initializer(&graph, "w", 1, 6);
    put_port(&graph, 12, "v");
    put_port(&graph, 12, "q");
    struct text model = wrap(&graph);
    struct lbw_session *session = open_text(&model);
    struct lbw_array outputs[2];
    assert_int_equal(lbw_session_output_type(session, 0), TYPE(FLOAT));
    assert_int_equal(lbw_session_output_type(session, 1), 0);
    assert_int_equal(lbw_session_run(session, NULL, outputs, &err), LBW_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "'q'"));
    lbw_session_close(&session);
}

struct shared {
    struct lbw_session *session;
    float sums[64];
};

static void run_shared(void *user, size_t i)
{
    struct shared *shared = user;
    float a = (float)i, b = 1;
    struct lbw_array inputs[2] = {vector(&a, 1), vector(&b, 1)}, outputs[3];
    if (lbw_session_run(shared->session, inputs, outputs, NULL) != LBW_OK)
        return;
    memcpy(&shared->sums[i], outputs[0].data, sizeof(float));
    for (size_t k = 0; k < 3; k++)
        lbw_array_release(&outputs[k]);
}

static void test_threads(void **state)
{
    (void)state;
    struct text model = adder();
    struct shared shared = {.session = open_text(&model)};
    lbw_parallel_for(64, 4, run_shared, &shared);
    for (size_t i = 0; i < 64; i++)
        assert_true(shared.sums[i] == (float)i + 1);
    lbw_session_close(&shared.session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),     cmocka_unit_test(test_empty),
        cmocka_unit_test(test_errors),  cmocka_unit_test(test_sequence),
        cmocka_unit_test(test_threads),
    };
    if (!has_runtime())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
