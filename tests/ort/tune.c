/* SPDX-License-Identifier: MIT */
/* Training through the public API, on a small network of random weights and generated images.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <lbw/lbw.h>

#include "../plan.h"
#include "base/random.h"
#include "fixture.h"
#include "run/session.h"
#include "runtime.h"
#include "train/augment.h"

#define SIDE        24
#define NUM_SAMPLES 40

static void put_random(struct text *graph, struct lbw_random *random, const char *name,
                       const int64_t *dims, size_t num_dims)
{
    struct text tensor = {0};
    size_t count = 1;
    for (size_t i = 0; i < num_dims; i++) {
        put_int(&tensor, 1, (uint64_t)dims[i]);
        count *= (size_t)dims[i];
    }
    float *values = calloc(count, sizeof *values);
    float scale = 2 / sqrtf((float)count / (float)dims[0]);
    for (size_t i = 0; i < count; i++)
        values[i] = scale * (float)(lbw_random_unit(random) + lbw_random_unit(random) - 1);
    put_int(&tensor, 2, TYPE(FLOAT));
    put_text(&tensor, 8, name);
    put_bytes(&tensor, 9, values, count * sizeof *values);
    free(values);
    put_message(graph, 5, &tensor);
}

static void put_picture_port(struct text *graph)
{
    struct text port = {0}, type = {0}, tensor = {0}, shape = {0};
    const uint64_t dims[] = {1, 3, SIDE, SIDE};
    for (size_t i = 0; i < 4; i++) {
        struct text dim = {0};
        put_int(&dim, 1, dims[i]);
        put_message(&shape, 1, &dim);
    }
    put_text(&port, 1, "x");
    put_int(&tensor, 1, TYPE(FLOAT));
    put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_message(&port, 2, &type);
    put_message(graph, 11, &port);
}

/* Images of 0 … 255 → three convolutions → a decoding that training does not look at. */
static struct lbw_model *open_network_with(bool small)
{
    struct text graph = {0};
    struct lbw_random random = {5};
    struct lbw_model *model = NULL;
    put_text(&graph, 2, "network");
    put_random(&graph, &random, "w0", (int64_t[]){16, 3, 3, 3}, 4);
    put_random(&graph, &random, "w1", (int64_t[]){24, 16, 3, 3}, 4);
    put_random(&graph, &random, "w2", (int64_t[]){12, 24, 1, 1}, 4);
    put_random(&graph, &random, "b1", (int64_t[]){24}, 1);
    put_initializer(&graph, "scale", 1.0f / 128, 1);
    put_picture_port(&graph);
    put_initializer(&graph, "one", 1, 1);
    put_node(&graph, 1, "Mul", "x scale", "r", NULL);
    put_node(&graph, 1, "Sub", "r one", "s", NULL);
    if (small) {
        put_random(&graph, &random, "w3", (int64_t[]){3, 3, 1, 1}, 4);
        put_node(&graph, 1, "Conv", "s w3", "t", NULL);
    }
    put_node(&graph, 1, "Conv", small ? "t w0" : "s w0", "a", NULL);
    put_node(&graph, 1, "Relu", "a", "b", NULL);
    put_node(&graph, 1, "Conv", "b w1 b1", "c", NULL);
    put_node(&graph, 1, "LeakyRelu", "c", "d", NULL);
    put_node(&graph, 1, "Conv", "d w2", "e", NULL);
    put_node(&graph, 1, "Floor", "e", "y", NULL);
    put_port(&graph, 12, "y");
    put_port(&graph, 12, "e");
    struct text text = wrap(&graph);
    assert_int_equal(lbw_model_open_memory(&model, text.data, text.size, NULL), LBW_OK);
    free(text.data);
    return model;
}

static struct lbw_model *open_network(void)
{
    return open_network_with(false);
}

/* A model on its way to 2 bits. */
struct conversion {
    struct lbw_model *model;
    struct lbw_plan *plan;
    struct lbw_tuner *tuner;
    struct lbw_activations *activations;
    struct lbw_report *report;
    struct lbw_error err;
};

static const char source[] = "generated:40";

static enum lbw_status open_conversion(struct conversion *c,
                                       const struct lbw_tune_params *params)
{
    const struct lbw_plan_params plan = {.grid = lbw_grid_by_name("2"), .all = true};
    *c = (struct conversion){.model = open_network()};
    assert_int_equal(prepare_and_plan(&c->plan, c->model, &plan, &c->err), LBW_OK);
    if (!params)
        return LBW_OK;
    return lbw_tune_open(&c->tuner, c->model, c->plan, params, NULL, &c->err);
}

/* From the reconstruction, or from rounding alone. */
static enum lbw_status convert(struct conversion *c, bool is_fitted)
{
    const struct lbw_calibrate_params calibrate = {.source = source};
    const struct lbw_convert_params params = {.encode.encoding = LBW_ENCODING_FLOAT,
                                              .tuner = c->tuner};
    struct lbw_convert_params with_data = params;
    if (is_fitted)
        assert_int_equal(
            lbw_calibrate_open(&c->activations, c->model, &calibrate, NULL, &c->err), LBW_OK);
    with_data.activations = c->activations;
    return lbw_convert(&c->report, c->model, c->plan, &with_data, &c->err);
}

static void close_conversion(struct conversion *c)
{
    lbw_report_free(&c->report);
    lbw_calibrate_close(&c->activations);
    lbw_tune_close(&c->tuner);
    lbw_plan_free(&c->plan);
    lbw_model_close(&c->model);
}

/* SNR of output "e" against the float model. */
static double snr_of(struct lbw_model *model)
{
    struct lbw_model *reference = open_network();
    struct lbw_comparison *comparison = NULL;
    const struct lbw_compare_params params = {.source = source, .num_samples = NUM_SAMPLES};
    double snr = 0;
    assert_int_equal(lbw_compare(&comparison, reference, model, &params, NULL), LBW_OK);
    for (size_t i = 0; i < comparison->num_rows; i++)
        if (strcmp(lbw_comparison_row(comparison, i)->name, "e") == 0)
            snr = lbw_comparison_row(comparison, i)->snr;
    lbw_comparison_free(&comparison);
    lbw_model_close(&reference);
    return snr;
}

struct course {
    size_t num_calls;
    size_t stop_at;
    double best;
};

static int follow(void *user, const struct lbw_tune_status *status)
{
    struct course *course = user;
    assert_int_equal(status->step, course->num_calls);
    assert_true(status->best <= status->held_back);
    assert_true(course->num_calls == 0 || status->best <= course->best);
    course->best = status->best;
    course->num_calls++;
    return course->stop_at && course->num_calls > course->stop_at;
}

/* What is learned is in the model that comes out, and twice the same. */
static void test_learns(void **state)
{
    (void)state;
    struct course course = {0};
    struct lbw_tune_params params = {
        .source = source, .num_steps = 200, .rate = 0.006, .progress = follow, .user = &course};
    struct conversion plain, tuned, again;
    void *bytes[2];
    size_t sizes[2];
    assert_int_equal(open_conversion(&plain, NULL), LBW_OK);
    assert_int_equal(convert(&plain, false), LBW_OK);
    assert_int_equal(open_conversion(&tuned, &params), LBW_OK);
    if (convert(&tuned, false) != LBW_OK)
        fail_msg("%s", tuned.err.message);
    const struct lbw_tune_result *result = lbw_tune_result(tuned.tuner);
    assert_int_equal(result->num_targets, 1);
    assert_string_equal(result->targets[0], "e");
    assert_int_equal(result->num_learned, 3);
    assert_int_equal(result->num_out_of_reach, 0);
    assert_int_equal(result->num_cuts, 0);
    assert_int_equal(result->num_train, 35);
    assert_int_equal(result->num_held_back, 5);
    assert_int_equal(result->num_steps, 200);
    assert_int_equal(course.num_calls, 201);
    assert_true(result->held_back_after == course.best);
    assert_true(result->changed > 0);
    assert_true(result->held_back_after < 0.5 * result->held_back_before);

    for (size_t i = 0; i < tuned.report->num_rows; i++)
        assert_string_equal(lbw_report_row(tuned.report, i)->how, "training");
    assert_true(snr_of(tuned.model) > snr_of(plain.model) + 3);
    course = (struct course){0};
    assert_int_equal(open_conversion(&again, &params), LBW_OK);
    assert_int_equal(convert(&again, false), LBW_OK);
    assert_int_equal(lbw_model_save_memory(tuned.model, &bytes[0], &sizes[0], NULL), LBW_OK);
    assert_int_equal(lbw_model_save_memory(again.model, &bytes[1], &sizes[1], NULL), LBW_OK);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    lbw_free(bytes[0]);
    lbw_free(bytes[1]);
    close_conversion(&plain);
    close_conversion(&tuned);
    close_conversion(&again);
}

/* With a rate of next to nothing, nothing is lost: the start is the reconstruction itself. */
static void test_starts_from_reconstruction(void **state)
{
    (void)state;
    const struct lbw_tune_params params = {.source = source, .num_steps = 1, .rate = 1e-12};
    struct conversion plain, tuned;
    assert_int_equal(open_conversion(&plain, NULL), LBW_OK);
    assert_int_equal(convert(&plain, true), LBW_OK);
    assert_int_equal(open_conversion(&tuned, &params), LBW_OK);
    assert_int_equal(convert(&tuned, true), LBW_OK);
    assert_true(lbw_tune_result(tuned.tuner)->changed == 0);
    assert_float_equal((float)snr_of(tuned.model), (float)snr_of(plain.model), 1e-3f);
    close_conversion(&plain);
    close_conversion(&tuned);
}

static void test_targets_and_cuts(void **state)
{
    (void)state;
    const char *target = "y", *unknown = "nothing";
    struct lbw_tune_params params = {.source = source, .targets = &target, .num_targets = 1};
    struct conversion c;
    assert_int_equal(open_conversion(&c, &params), LBW_ERR_UNSUPPORTED);
    assert_non_null(strstr(c.err.message, "Floor 'y': no gradient rule"));
    close_conversion(&c);
    params.targets = &unknown;
    assert_int_equal(open_conversion(&c, &params), LBW_ERR_ARGUMENT);
    assert_non_null(strstr(c.err.message, "'nothing'"));
    close_conversion(&c);
    params = (struct lbw_tune_params){.source = "generated:1"};
    assert_int_equal(open_conversion(&c, &params), LBW_ERR_ARGUMENT);
    close_conversion(&c);
}

static void test_interrupted(void **state)
{
    (void)state;
    struct course course = {.stop_at = 2};
    const struct lbw_tune_params params = {
        .source = source, .num_steps = 50, .progress = follow, .user = &course};
    struct conversion c;
    assert_int_equal(open_conversion(&c, &params), LBW_OK);
    assert_int_equal(convert(&c, true), LBW_ERR_INTERRUPTED);
    assert_int_equal(course.num_calls, 3);
    close_conversion(&c);
}

static void *tuned_bytes(size_t *size, const struct lbw_tune_params *params)
{
    struct conversion c;
    void *bytes = NULL;
    assert_int_equal(open_conversion(&c, params), LBW_OK);
    if (convert(&c, false) != LBW_OK)
        fail_msg("%s", c.err.message);
    assert_int_equal(lbw_model_save_memory(c.model, &bytes, size, NULL), LBW_OK);
    close_conversion(&c);
    return bytes;
}

static enum lbw_status fails(const struct lbw_tune_params *params, const char *message)
{
    struct conversion c;
    assert_int_equal(open_conversion(&c, params), LBW_OK);
    enum lbw_status status = convert(&c, false);
    if (message && !strstr(c.err.message, message))
        fail_msg("%s", c.err.message);
    close_conversion(&c);
    return status;
}

/* Stopped while codes are learned and once more when they are frozen: the same bytes. */
static void test_resumes(void **state)
{
    (void)state;
    char path[] = "/tmp/lbw-checkpoint-XXXXXX";
    struct course course = {.stop_at = 20};
    struct lbw_tune_params params = {.source = source, .num_steps = 60, .rate = 0.006};
    size_t sizes[2];
    void *whole = tuned_bytes(&sizes[0], &params);
    close(mkstemp(path));
    unlink(path);
    params.checkpoint = path;
    params.progress = follow;
    params.user = &course;
    assert_int_equal(fails(&params, NULL), LBW_ERR_INTERRUPTED);
    course = (struct course){.num_calls = 20, .stop_at = 50, .best = INFINITY};
    assert_int_equal(fails(&params, NULL), LBW_ERR_INTERRUPTED);
    course = (struct course){.num_calls = 50, .best = INFINITY};
    void *resumed = tuned_bytes(&sizes[1], &params);
    assert_int_equal(course.num_calls, 61);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(whole, resumed, sizes[0]);
    lbw_free(whole);
    lbw_free(resumed);

    params.rate = 0.003;
    assert_int_equal(fails(&params, "belongs to another model"), LBW_ERR_ARGUMENT);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(fails(&params, "corrupt"), LBW_ERR_FORMAT);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(fails(&params, "corrupt"), LBW_ERR_FORMAT);
    unlink(path);
}

/* The values of an initializer. */
static const void *values_of(const struct lbw_model *model, const char *name)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (strcmp(graph->initializer[i]->name, name) == 0)
            return graph->initializer[i]->raw_data.data;
    fail_msg("no initializer '%s'", name);
    return NULL;
}

/* What stays float because a grid would save nothing is learned as it is. */
static void test_small_weights(void **state)
{
    (void)state;
    const struct lbw_plan_params plan = {.grid = lbw_grid_by_name("2"), .all = true};
    const struct lbw_tune_params params = {.source = source, .num_steps = 40};
    struct lbw_convert_params convert = {.encode.encoding = LBW_ENCODING_FLOAT};
    struct conversion c = {.model = open_network_with(true)};
    struct lbw_model *before = open_network_with(true);
    double moved = 0, size = 0;
    assert_int_equal(prepare_and_plan(&c.plan, c.model, &plan, &c.err), LBW_OK);
    if (lbw_tune_open(&c.tuner, c.model, c.plan, &params, NULL, &c.err) != LBW_OK)
        fail_msg("%s", c.err.message);
    const struct lbw_tune_result *result = lbw_tune_result(c.tuner);
    assert_int_equal(result->num_learned, 3);
    assert_int_equal(result->num_plain, 1);
    convert.tuner = c.tuner;
    assert_int_equal(lbw_convert(&c.report, c.model, c.plan, &convert, &c.err), LBW_OK);
    assert_true(result->held_back_after < result->held_back_before);
    const float *was = values_of(before, "w3"), *is = values_of(c.model, "w3");
    for (size_t i = 0; i < 9; i++) {
        moved += fabs((double)is[i] - was[i]);
        size += fabs((double)was[i]);
    }
    assert_true(moved > 0 && moved < 0.2 * size);
    lbw_model_close(&before);
    close_conversion(&c);
}

/*
 * Whatever the layout, the same view; without another sample's tile and other light it shows
 * nothing that the first image does not.
 */
static void test_augment(void **state)
{
    (void)state;
    enum { H = 6, W = 8, SIZE = 3 * H * W };
    float first[LBW_NUM_TILES][SIZE], last[LBW_NUM_TILES][SIZE];
    struct lbw_array a[LBW_NUM_TILES], b[LBW_NUM_TILES];
    const struct lbw_array *tiles[2][LBW_NUM_TILES];
    size_t num_same = 0, num_own = 0, num_shared = 0;
    for (size_t k = 0; k < LBW_NUM_TILES; k++) {
        a[k] = (struct lbw_array){TYPE(FLOAT), 4, {1, 3, H, W}, sizeof first[k], first[k]};
        b[k] = (struct lbw_array){TYPE(FLOAT), 4, {1, H, W, 3}, sizeof last[k], last[k]};
        tiles[0][k] = &a[k];
        tiles[1][k] = &b[k];
        for (size_t c = 0; c < 3; c++)
            for (size_t i = 0; i < H * W; i++)
                first[k][c * H * W + i] = last[k][i * 3 + c] = (float)(1000 * k + 100 * c + i);
    }
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct lbw_random one = {seed}, other = {seed};
        struct lbw_array x, y;
        float least = INFINITY, most = -INFINITY;
        assert_int_equal(lbw_augment(&x, tiles[0], &one, NULL), LBW_OK);
        assert_int_equal(lbw_augment(&y, tiles[1], &other, NULL), LBW_OK);
        assert_true(one.state == other.state);
        const float *values = x.data;
        for (size_t c = 0; c < 3; c++)
            for (size_t i = 0; i < H * W; i++)
                assert_true(values[c * H * W + i] == ((float *)y.data)[i * 3 + c]);
        for (size_t i = 0; i < H * W; i++) {
            least = fminf(least, values[i]);
            most = fmaxf(most, values[i]);
        }
        num_same += memcmp(values, first[0], sizeof first[0]) == 0;
        num_own += least >= 0 && most <= H * W - 1;
        num_shared += most > 900;
        lbw_array_release(&x);
        lbw_array_release(&y);
    }
    assert_true(num_same < 50);
    assert_true(num_own > 40 && num_shared > 40 && num_own + num_shared <= 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_starts_from_reconstruction),
        cmocka_unit_test(test_targets_and_cuts),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_resumes),
        cmocka_unit_test(test_small_weights),
        cmocka_unit_test(test_augment),
    };
    if (!has_runtime())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
