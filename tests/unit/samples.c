/* SPDX-License-Identifier: MIT */
/* Samples from the caller's memory: whole arrays, one at a time, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <lbw/lbw.h>

#include "../fixture.h"
#include "detect/assume.h"

#define SIDE  2
#define VALUE (3 * SIDE * SIDE) /* values in one sample */

/* A model with an input "x" of this batch (-1: dynamic) × 3 × 2 × 2 floats. */
static struct lbw_model *make_model(int64_t batch)
{
    struct text graph = {0}, shape = {0}, tensor = {0}, holder = {0}, value = {0};
    const int64_t dims[] = {batch, 3, SIDE, SIDE};
    for (size_t i = 0; i < 4; i++) {
        struct text dim = {0};
        if (dims[i] < 0)
            put_text(&dim, 2, "n");
        else
            put_int(&dim, 1, (uint64_t)dims[i]);
        put_message(&shape, 1, &dim);
    }
    put_int(&tensor, 1, TYPE(FLOAT));
    put_message(&tensor, 2, &shape);
    put_message(&holder, 1, &tensor);
    put_text(&value, 1, "x");
    put_message(&value, 2, &holder);
    put_node(&graph, 1, "Identity", "x", "y", NULL);
    put_message(&graph, 11, &value);
    put_port(&graph, 12, "y");
    struct text t = wrap(&graph);
    struct lbw_model *model = NULL;
    assert_int_equal(lbw_model_open_memory(&model, t.data, t.size, NULL), LBW_OK);
    free(t.data);
    return model;
}

/* Opens a feed of at most `most` samples; the message when that fails, else "". */
static const char *open_feed(struct lbw_feed **out, struct lbw_model *model,
                             const struct lbw_samples *samples, size_t most)
{
    static struct lbw_error err;
    const struct lbw_feed_params params = {.samples = samples, .max_samples = most};
    err = (struct lbw_error){0};
    *out = NULL;
    enum lbw_status status = lbw_assumed_feed_open(out, model, &params, NULL, &err);
    assert_int_equal(status, err.status);
    assert_true((*out == NULL) == (err.status != LBW_OK));
    return err.message;
}

/* The first value of sample i. */
static float first_of(struct lbw_feed *feed, size_t i)
{
    struct lbw_array array = {0};
    struct lbw_error err = {0};
    assert_int_equal(lbw_feed_get(feed, i, &array, &err), LBW_OK);
    assert_int_equal(array.num_dims, 4);
    assert_int_equal(array.dims[0], 1);
    assert_int_equal(array.size, VALUE * sizeof(float));
    float value = *(float *)array.data;
    lbw_array_release(&array);
    return value;
}

static void test_whole_arrays(void **state)
{
    (void)state;
    uint8_t bytes[4 * VALUE];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    static const int64_t batches[] = {1, -1};
    static const struct lbw_array_view shapes[] = {
        {.num_dims = 4, .dims = {4, 3, SIDE, SIDE}},
        {.num_dims = 5, .dims = {4, 1, 3, SIDE, SIDE}},
    };
    for (size_t b = 0; b < 2; b++)
        for (size_t s = 0; s < 2; s++) {
            struct lbw_model *model = make_model(batches[b]);
            struct lbw_array_view view = shapes[s];
            view.type = "uint8";
            view.data = bytes;
            view.size = sizeof bytes;
            const struct lbw_samples samples = {.num_arrays = 1, .arrays = &view};
            struct lbw_feed *feed;
            if (batches[b] < 0 && s == 1)
                view.name = "x";
            assert_string_equal(open_feed(&feed, model, &samples, 0), "");
            assert_int_equal(lbw_feed_num_samples(feed), 4);
            assert_true(first_of(feed, 3) == 3 * VALUE);
            assert_true(first_of(feed, 0) == 0);
            lbw_feed_close(&feed);
            assert_string_equal(open_feed(&feed, model, &samples, 2), "");
            assert_true(first_of(feed, 0) == VALUE); /* of four, the second and the last */
            assert_true(first_of(feed, 1) == 3 * VALUE);
            lbw_feed_close(&feed);
            lbw_model_close(&model);
        }
}

/* A caller that makes samples of value 10 + i, and fails as it is told. */
struct maker {
    float values[2 * VALUE];
    struct lbw_array_view view;
    size_t fails_at, other_shape_at, num_calls;
    const char *message;
};

static enum lbw_status make_sample(void *user, size_t i, const struct lbw_array_view **arrays,
                                   size_t *num_arrays, struct lbw_error *err)
{
    struct maker *maker = user;
    maker->num_calls++;
    if (i == maker->fails_at) {
        if (maker->message)
            strcpy(err->message, maker->message);
        return LBW_ERR_IO;
    }
    maker->values[0] = (float)(10 + i);
    maker->view.num_dims = 3; /* without the batch axis */
    maker->view.dims[0] = 3;
    maker->view.dims[1] = SIDE;
    maker->view.dims[2] = i == maker->other_shape_at ? 1 : SIDE;
    maker->view.size = (size_t)(3 * SIDE * maker->view.dims[2]) * sizeof(float);
    maker->view.type = "float32";
    maker->view.data = maker->values;
    *arrays = &maker->view;
    *num_arrays = 1;
    return LBW_OK;
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    struct maker maker = {.fails_at = SIZE_MAX, .other_shape_at = SIZE_MAX};
    const struct lbw_samples samples = {.num_samples = 5, .get = make_sample, .user = &maker};
    struct lbw_model *model = make_model(-1);
    struct lbw_feed *feed;
    assert_string_equal(open_feed(&feed, model, &samples, 0), "");
    assert_int_equal(lbw_feed_num_samples(feed), 5);
    assert_int_equal(maker.num_calls, 1); /* the shape of the first is what all have */
    for (size_t i = 0; i < 5; i++)
        assert_true(first_of(feed, i) == (float)(10 + i));
    assert_int_equal(maker.num_calls, 6);
    lbw_feed_close(&feed);
    assert_string_equal(open_feed(&feed, model, &samples, 1), "");
    assert_true(first_of(feed, 0) == 12); /* the middle one */
    lbw_feed_close(&feed);
    lbw_model_close(&model);
}

static void test_failing_samples(void **state)
{
    (void)state;
    static const struct {
        size_t fails_at, other_shape_at;
        const char *says, *message;
    } cases[] = {
        {2, SIZE_MAX, "the disk is gone", "sample 2: the disk is gone"},
        {2, SIZE_MAX, NULL, "sample 2: interrupted"},
        {SIZE_MAX, 1, NULL, "sample 1: input 'x': the array is 3x2x1, the input 1x3x2x2"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct maker maker = {.fails_at = cases[c].fails_at,
                              .other_shape_at = cases[c].other_shape_at,
                              .message = cases[c].says};
        const struct lbw_samples samples = {
            .num_samples = 3, .get = make_sample, .user = &maker};
        struct lbw_model *model = make_model(1);
        struct lbw_feed *feed;
        struct lbw_error err = {0};
        struct lbw_array array = {0};
        assert_string_equal(open_feed(&feed, model, &samples, 0), "");
        enum lbw_status status = LBW_OK;
        for (size_t i = 0; i < 3 && status == LBW_OK; i++) {
            status = lbw_feed_get(feed, i, &array, &err);
            lbw_array_release(&array);
        }
        assert_int_equal(status, c < 2 ? LBW_ERR_IO : LBW_ERR_ARGUMENT);
        assert_string_equal(err.message, cases[c].message);
        lbw_feed_close(&feed);
        maker.fails_at = 0;
        assert_non_null(strstr(open_feed(&feed, model, &samples, 0), "sample 0: "));
        lbw_model_close(&model);
    }
}

/* Everything a caller can hand in that is no array. */
static void test_refused(void **state)
{
    (void)state;
    static const float values[2 * VALUE];
    static const struct {
        struct lbw_array_view view;
        const char *message;
    } cases[] = {
        {{NULL, "float33", 4, {1, 3, 2, 2}, values, 48}, "array '': unknown type 'float33'"},
        {{NULL, NULL, 4, {1, 3, 2, 2}, values, 48}, "array '': unknown type ''"},
        {{NULL, "string", 4, {1, 3, 2, 2}, values, 48}, "array '': unknown type 'string'"},
        {{"x", "float32", -1, {0}, values, 48}, "array 'x': -1 axes, at most 9 are possible"},
        {{"x", "float32", 10, {0}, values, 48}, "array 'x': 10 axes, at most 9 are possible"},
        {{"x", "float32", 4, {1, 3, 2, 2}, values, 47},
         "array 'x': 47 bytes do not fit its shape"},
        {{"x", "float32", 4, {1, 3, 2, 2}, NULL, 48},
         "array 'x': 48 bytes do not fit its shape"},
        {{"x", "float32", 4, {1, -3, 2, -2}, values, 48},
         "array 'x': 48 bytes do not fit its shape"},
        {{"x", "float32", 4, {1, INT64_MAX, INT64_MAX, 2}, values, 48},
         "array 'x': 48 bytes do not fit its shape"},
        {{"x", "float32", 4, {1, 3, 2, 1}, values, 24},
         "input 'x': the array is 1x3x2x1, the input 1x3x2x2"},
        {{"x", "float32", 4, {0, 3, 2, 2}, NULL, 0},
         "input 'x': the array holds less than one sample"},
    };
    struct lbw_model *model = make_model(1);
    struct lbw_feed *feed;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct lbw_samples samples = {.num_arrays = 1, .arrays = &cases[i].view};
        assert_string_equal(open_feed(&feed, model, &samples, 0), cases[i].message);
    }
    static const struct lbw_samples nothing[] = {
        {0}, {.num_arrays = 1}, {.num_samples = 3}, {.get = make_sample}};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(open_feed(&feed, model, &nothing[i], 0),
                            nothing[i].num_arrays ? "no arrays" : "no samples");
    lbw_model_close(&model);
}

static void test_runtime_by_path(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    const char *version;
    enum lbw_status status = lbw_runtime_open("/nowhere/at/all", &err);
    assert_int_equal(status, LBW_ERR_RUNTIME);
    assert_non_null(strstr(err.message, "not ONNX Runtime: /nowhere/at/all: "));
    if (lbw_runtime_version(&version, NULL) == LBW_OK) /* what is loaded stays */
        assert_int_equal(lbw_runtime_open("/nowhere/at/all", &err), LBW_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_arrays),    cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_failing_samples), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_runtime_by_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
