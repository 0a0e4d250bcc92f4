/* SPDX-License-Identifier: MIT */
/* Every allocation of reading arrays and profiles and of feeding a model fails once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <lbw/profile.h>

#include "../npy.h"
#include "oom.h"
#include "detect/assume.h"
#include "feed/npz.h"

static struct text arrays, model_bytes;
static char arrays_path[300], picture_path[300];

/* x of unknown rank -Conv-BatchNormalization-> y: every way of assuming is walked. */
static void make_model(void)
{
    struct text graph = {0};
    put_node(&graph, 1, "Conv", "x w", "c", NULL);
    put_node(&graph, 1, "BatchNormalization", "c s s m v", "y", NULL);
    struct text tensor = {0};
    float weight[3] = {1, 1, 1}, one = 1;
    static const uint64_t dims[] = {1, 3, 1, 1};
    for (int i = 0; i < 4; i++)
        put_int(&tensor, 1, dims[i]);
    put_int(&tensor, 2, TYPE(FLOAT));
    put_text(&tensor, 8, "w");
    put_bytes(&tensor, 9, weight, sizeof weight);
    put_message(&graph, 5, &tensor);
    static const char *const names[] = {"s", "m", "v"};
    for (int i = 0; i < 3; i++)
        put_initializer(&graph, names[i], one, 1);
    struct text type = {0}, holder = {0}, value = {0};
    put_int(&type, 1, TYPE(FLOAT));
    put_message(&holder, 1, &type);
    put_text(&value, 1, "x");
    put_message(&value, 2, &holder);
    put_message(&graph, 11, &value);
    put_port(&graph, 12, "y");
    model_bytes = wrap(&graph);
}

static void make_arrays(void)
{
    struct zip_text zip = {0};
    float values[2 * 3 * 4 * 4] = {0};
    struct text a = npy("<f4", "(2, 3, 4, 4)", values, sizeof values);
    zip_add(&zip, "x.npy", &a, true);
    a = npy("<f4", "(1,)", values, 4);
    zip_add(&zip, "other.npy", &a, false);
    arrays = zip_finish(&zip);
    write_file(arrays_path, arrays.data, arrays.size);
    write_file(picture_path, "no image", 8);
}

static enum lbw_status parse_arrays(struct lbw_error *err)
{
    struct lbw_npz npz = {0};
    enum lbw_status status = lbw_npz_parse(&npz, arrays.data, arrays.size, "f", err);
    lbw_npz_release(&npz);
    return status;
}

static enum lbw_status parse_profile(struct lbw_error *err)
{
    static const char text[] = "{\"name\":\"a\",\"family\":\"yolox\",\"labels\":[\"b\",\"c\"]}";
    struct lbw_profile profile = {0};
    enum lbw_status status = lbw_profile_parse(&profile, text, strlen(text), "f", err);
    lbw_profile_release(&profile);
    return status;
}

static enum lbw_status feed(const char *source, struct lbw_error *err)
{
    struct lbw_model *model = NULL;
    struct lbw_feed *opened = NULL;
    const struct lbw_feed_params params = {
        .source = source, .max_samples = 1, .width = 16, .height = 16};
    enum lbw_status status =
        lbw_model_open_memory(&model, model_bytes.data, model_bytes.size, err);
    if (status == LBW_OK)
        status = lbw_assumed_feed_open(&opened, model, &params, NULL, err);
    struct lbw_array array = {0};
    if (status == LBW_OK)
        status = lbw_feed_get(opened, 0, &array, err);
    lbw_array_release(&array);
    lbw_feed_close(&opened);
    lbw_model_close(&model);
    return status;
}

static enum lbw_status feed_generated(struct lbw_error *err)
{
    return feed("generated:1", err);
}

static enum lbw_status feed_arrays(struct lbw_error *err)
{
    return feed(arrays_path, err);
}

/* A file that is not an image fails with its own error, unless memory runs out first. */
static enum lbw_status feed_picture(struct lbw_error *err)
{
    enum lbw_status status = feed(picture_path, err);
    return status == LBW_ERR_FORMAT && strstr(err->message, "none of 1 images") ? LBW_OK
                                                                                : status;
}

static void test_arrays(void **state)
{
    (void)state;
    assert_true(oom_run("arrays", parse_arrays));
}

static void test_profile(void **state)
{
    (void)state;
    assert_true(oom_run("profile", parse_profile));
}

static void test_feed(void **state)
{
    (void)state;
    assert_true(oom_run("generated", feed_generated));
    assert_true(oom_run("arrays as samples", feed_arrays));
    assert_true(oom_run("picture", feed_picture));
}

int main(void)
{
    strcpy(arrays_path, temporary_path("oom.npz"));
    strcpy(picture_path, temporary_path("oom.jpg"));
    make_arrays();
    make_model();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_feed),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(arrays_path);
    unlink(picture_path);
    free(arrays.data);
    free(model_bytes.data);
    return failed;
}
