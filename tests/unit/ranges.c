/* SPDX-License-Identifier: MIT */
/* pass/convert, ranges: which power of errors fits ranges, with activations made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "../activations.h"
#include "../graph.h"
#include "../plan.h"
#include <lbw/convert.h>

#include "pass/edge.h"

#define NUM_LAYERS 3
#define CHANNELS   8
#define SIDE       24

/* One value of the first channel is large: ranges by squares clip it. */
static enum lbw_status show(struct lbw_activations *self, const char *name,
                            lbw_activation_fn fn, void *user, struct lbw_error *err)
{
    static const int64_t dims[] = {1, CHANNELS, SIDE, SIDE};
    static float values[CHANNELS * SIDE * SIDE];
    for (size_t s = 0; s < self->num_samples; s++) {
        struct lbw_random random = {(uint64_t)name[1] + 100 * s};
        for (size_t i = 0; i < sizeof values / sizeof *values; i++)
            values[i] = (float)lbw_random_unit(&random);
        if (!s)
            values[100] = 20;
        const struct lbw_activation activation = {s, 4, dims, values, values};
        LBW_TRY(fn(user, &activation, err));
    }
    return LBW_OK;
}

static enum lbw_status ignore_ranges(struct lbw_activations *self, const char *name,
                                     const struct lbw_ranges *ranges, struct lbw_error *err)
{
    (void)self, (void)name, (void)ranges, (void)err;
    return LBW_OK;
}

/* What judge() answers in turn, and how often it and restart() are called. */
static struct {
    double agreements[2]; /* < 0: cannot be measured */
    size_t num_judged, num_restarts;
} script;

static enum lbw_status judge(double *out, struct lbw_activations *self, struct lbw_error *err)
{
    (void)self;
    assert_true(script.num_judged < 2);
    double agreement = script.agreements[script.num_judged++];
    if (agreement < 0)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "no boxes");
    *out = agreement;
    return LBW_OK;
}

static enum lbw_status restart(struct lbw_activations *self, struct lbw_error *err)
{
    (void)self, (void)err;
    script.num_restarts++;
    return LBW_OK;
}

static const struct lbw_activations activations = {
    .show = show,
    .replace = ignore_values,
    .settle = ignore_position,
    .num_samples = 16,
    .round = ignore_ranges,
    .judge = judge,
    .restart = restart,
};

static struct text make_model(void)
{
    struct text graph = {0};
    static const char *const inputs[NUM_LAYERS] = {"x w0 b0", "r0 w1 b1", "r1 w2 b2"};
    static const char *const outputs[NUM_LAYERS] = {"y0", "y1", "y2"};
    static const char *const results[NUM_LAYERS] = {"r0", "r1", "r2"};
    static const char *const weights[NUM_LAYERS] = {"w0", "w1", "w2"};
    static const char *const biases[NUM_LAYERS] = {"b0", "b1", "b2"};
    for (int i = 0; i < NUM_LAYERS; i++) {
        put_op(&graph, "Conv", inputs[i], outputs[i], NULL);
        put_op(&graph, "Relu", outputs[i], results[i], NULL);
        put_weight(&graph, weights[i], CHANNELS, CHANNELS, 1);
        put_vector(&graph, biases[i], CHANNELS, 0, 0.5f);
    }
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "r2");
    return finish_model(&graph, 8, 17);
}

/* How far one conversion has got, and after how many weights it is to stop; 0: never. */
struct steps {
    size_t done, total, stop;
};

static int count(void *user, const char *what, size_t done, size_t total)
{
    struct steps *steps = user;
    (void)what;
    assert_true(done >= steps->done && done <= total);
    steps->done = done;
    steps->total = total;
    return steps->stop && done == steps->stop;
}

/* Empty if it was stopped. */
static struct text convert_with(struct lbw_report **report, double power, const char *path,
                                size_t stop)
{
    const struct lbw_plan_params wishes = {
        .all = true, .activations = LBW_ACTIVATIONS_INT8, .range_power = power};
    struct lbw_activations source = activations;
    struct steps steps = {.stop = stop};
    const struct lbw_convert_params params = {
        .activations = &source, .state = path, .progress = count, .user = &steps};
    struct text bytes = make_model(), out = {0};
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    struct lbw_error err = {0};
    void *data = NULL;
    script.num_judged = script.num_restarts = 0;
    assert_int_equal(lbw_model_open_memory(&model, bytes.data, bytes.size, NULL), LBW_OK);
    assert_int_equal(prepare_and_plan(&plan, model, &wishes, NULL), LBW_OK);
    enum lbw_status status = lbw_convert(report, model, plan, &params, &err);
    if (status != (stop ? LBW_ERR_INTERRUPTED : LBW_OK))
        fail_msg("%s", err.message);
    if (!stop) {
        assert_int_equal(steps.done, steps.total);
        assert_int_equal(steps.done, NUM_LAYERS * (1 + script.num_restarts));
        assert_int_equal(lbw_model_save_memory(model, &data, &out.size, NULL), LBW_OK);
    }
    out.data = data;
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    free(bytes.data);
    return out;
}

static struct text convert(struct lbw_report **report, double power)
{
    return convert_with(report, power, NULL, 0);
}

static bool are_same(const struct text *a, const struct text *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

/* The better of both powers stays, to the same bytes as if it had been given. */
static void test_the_better_power_stays(void **state)
{
    (void)state;
    static const struct {
        double fourths, squares, power;
    } cases[] = {{.5, .6, 2}, {.6, .5, 4}, {.5, .501, 2}, {.5, .5, 4}, {-1, 0, 4}};
    struct lbw_report *report = NULL;
    struct text by[2] = {convert(&report, 4), {0}};
    assert_true(report->range_power == 4 && isnan(report->fourths_agreement));
    assert_int_equal(script.num_judged, 0);
    lbw_report_free(&report);
    by[1] = convert(NULL, 2);
    assert_false(are_same(&by[0], &by[1]));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool is_known = cases[i].fourths >= 0;
        script.agreements[0] = cases[i].fourths;
        script.agreements[1] = cases[i].squares;
        struct text chosen = convert(&report, 0);
        assert_true(are_same(&chosen, &by[cases[i].power == 2]));
        assert_true(report->range_power == cases[i].power);
        assert_true(is_known ? report->fourths_agreement == cases[i].fourths &&
                                   report->squares_agreement == cases[i].squares
                             : isnan(report->squares_agreement));
        assert_int_equal(script.num_restarts, is_known);
        lbw_report_free(&report);
        lbw_free((void *)chosen.data);
    }
    lbw_free((void *)by[0].data);
    lbw_free((void *)by[1].data);
}

/* A state file holds both fits, one after the other. */
static void test_goes_on_in_the_second_fit(void **state)
{
    (void)state;
    char path[300];
    snprintf(path, sizeof path, "%s", temporary_path("ranges.state"));
    script.agreements[0] = .5;
    script.agreements[1] = .6;
    struct text whole = convert(NULL, 0);
    for (size_t stop = 1; stop < 2 * NUM_LAYERS; stop++) {
        unlink(path);
        convert_with(NULL, 0, path, stop);
        assert_int_equal(script.num_restarts, stop >= NUM_LAYERS);
        struct text resumed = convert_with(NULL, 0, path, 0);
        assert_true(are_same(&whole, &resumed));
        lbw_free((void *)resumed.data);
    }
    unlink(path);
    lbw_free((void *)whole.data);
}

/*
 * The ranges of all edges by this power. Noise of variance 1 costs `slope` in each channel but
 * the first, where it costs nothing.
 */
static void fit_edges(struct lbw_plan **plan, struct lbw_model **model, double power,
                      double slope)
{
    static double slopes[CHANNELS];
    const struct lbw_plan_params wishes = {.all = true, .activations = LBW_ACTIVATIONS_INT8};
    const struct lbw_edge_rules rules = {.kind = LBW_RANGE_UNSIGNED, .power = power};
    struct lbw_activations source = activations;
    struct text bytes = make_model();
    for (size_t c = 0; c < CHANNELS; c++)
        slopes[c] = c ? slope : 0;
    assert_int_equal(lbw_model_open_memory(model, bytes.data, bytes.size, NULL), LBW_OK);
    assert_int_equal(prepare_and_plan(plan, *model, &wishes, NULL), LBW_OK);
    assert_true((*plan)->num_edges > 0);
    for (size_t i = 0; i < (*plan)->num_edges; i++) {
        (*plan)->edges[i].slopes = slopes;
        (*plan)->edges[i].num_slopes = CHANNELS;
        (*plan)->edges[i].may_differ = false; /* one scale or none */
    }
    assert_int_equal(lbw_edges_fit(*plan, &source, &rules, SIZE_MAX, NULL), LBW_OK);
    free(bytes.data);
}

/* The first edge, by value: only numbers of it outlive the plan. */
static struct lbw_plan_edge fit_one(double power, double slope)
{
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    fit_edges(&plan, &model, power, slope);
    struct lbw_plan_edge edge = plan->edges[0].item;
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    return edge;
}

/* Where 8 bits cost too much by fourth powers, but not by squares, the range is by squares. */
static void test_squares_before_float(void **state)
{
    (void)state;
    const double most = 0.1, little = 1e-9;
    struct lbw_plan_edge fourths = fit_one(4, little), squares = fit_one(2, little);
    assert_int_equal(fourths.type, LBW_ACTIVATIONS_INT8);
    assert_true(fourths.high > squares.high && fourths.cost > 1.2 * squares.cost);
    /* the cost grows with the slope: between the limits of both, below both, above both */
    const double dear = most * little / fourths.cost, cheap = most * little / squares.cost;
    struct lbw_plan_edge edge = fit_one(4, sqrt(dear * cheap));
    assert_int_equal(edge.type, LBW_ACTIVATIONS_INT8);
    assert_true(edge.high == squares.high && edge.low == squares.low);
    assert_true(edge.cost < most);
    edge = fit_one(4, .9 * dear);
    assert_int_equal(edge.type, LBW_ACTIVATIONS_INT8);
    assert_true(edge.high == fourths.high);
    edge = fit_one(4, 1.1 * cheap);
    assert_int_equal(edge.type, LBW_ACTIVATIONS_FLOAT);
    assert_string_equal(edge.reason, "8 bits cost too much at the outputs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_better_power_stays),
        cmocka_unit_test(test_goes_on_in_the_second_fit),
        cmocka_unit_test(test_squares_before_float),
    };
    return cmocka_run_group_tests_name("pass/ranges", tests, NULL, NULL);
}
