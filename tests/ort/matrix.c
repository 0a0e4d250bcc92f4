/* SPDX-License-Identifier: MIT */
/*
 * Every model of the assets × every grid × every way to write it down: each result loads in
 * ONNX Runtime, gives the outputs of the float encoding, and expands to its very bits. Prints
 * the table of docs/conversion.md; with names of models as arguments, only those.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../plan.h"
#include "check.h"
#include <lbw/convert.h>

#include "pass/plan.h"
#include "feed/array.h"
#include "detect/assume.h"
#include "run/session.h"
#include "runtime.h"

#define RTOL 1e-5

static const char *const grids[] = {"2", "3", "4", "5", "6"};
static const char *const two_term_grids[] = {"3x2", "4x2", "4x2d2"};

/* Sides for dynamic inputs; 0: the model's own. */
static const struct subject {
    const char *name;
    int side;
    bool has_two_terms;
} subjects[] = {
    {"blazeface_back", 0, false},    {"fastestdet", 0, false},
    {"nanodet_m_416", 0, false},     {"ppocr_mobile_v2_det", 320, false},
    {"squeezenet_fp16", 0, false},   {"style_candy", 720, false},
    {"ultraface_rfb_320", 0, false}, {"yolox_nano", 0, true},
    {"yunet_n_dynamic", 320, false},
};

#define NUM_SUBJECTS (sizeof subjects / sizeof *subjects)

/* float comes first: the others are compared with it. */
static const struct way {
    const char *name;
    enum lbw_encoding encoding;
    bool is_inline;
} ways[] = {
    {"float", LBW_ENCODING_FLOAT, false},
    {"packed", LBW_ENCODING_PACKED, false},
    {"inline", LBW_ENCODING_PACKED, true},
    {"dq", LBW_ENCODING_DQ, false},
};

#define NUM_WAYS (sizeof ways / sizeof *ways)

/* One model, converted. */
struct outcome {
    void *bytes;
    size_t size;
    struct lbw_array *outputs;
    size_t num_outputs;
    size_t num_converted;
};

static void outcome_release(struct outcome *o)
{
    for (size_t i = 0; i < o->num_outputs; i++)
        lbw_array_release(&o->outputs[i]);
    free(o->outputs);
    lbw_free(o->bytes);
    *o = (struct outcome){0};
}

static const char *asset(const char *name)
{
    static char path[4096];
    const char *folder = getenv("LBW_ASSETS"), *root = getenv("LBW_SOURCE_ROOT");
    if (folder)
        snprintf(path, sizeof path, "%s/models/%s.onnx", folder, name);
    else
        snprintf(path, sizeof path, "%s/../shared/assets/models/%s.onnx", root ? root : ".",
                 name);
    return path;
}

static void convert(struct outcome *out, const char *path, const struct lbw_grid *grid,
                    const struct way *way)
{
    struct lbw_error err = {0};
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    struct lbw_report *report = NULL;
    check(lbw_model_open(&model, path, &err), &err);
    check(prepare_and_plan(&plan, model, &(struct lbw_plan_params){.grid = grid}, &err), &err);
    check(lbw_convert(&report, model, plan,
                      &(struct lbw_convert_params){.encode = {way->encoding, way->is_inline}},
                      &err),
          &err);
    out->num_converted = report->num_converted;
    check(lbw_model_save_memory(model, &out->bytes, &out->size, &err), &err);
    lbw_report_free(&report);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
}

/* The first generated image, as the original model's input. */
static void make_input(struct lbw_array *out, const struct subject *subject)
{
    struct lbw_error err = {0};
    struct lbw_model *model = NULL;
    struct lbw_feed *feed = NULL;
    const struct lbw_feed_params params = {
        .max_samples = 1, .width = subject->side, .height = subject->side};
    check(lbw_model_open(&model, asset(subject->name), &err), &err);
    check(lbw_assumed_feed_open(&feed, model, &params, NULL, &err), &err);
    assert_int_equal(lbw_feed_num_inputs(feed), 1);
    check(lbw_feed_get(feed, 0, out, &err), &err);
    lbw_feed_close(&feed);
    lbw_model_close(&model);
}

static void run(struct outcome *o, const struct lbw_array *input)
{
    struct lbw_error err = {0};
    struct lbw_session *session = NULL;
    const struct lbw_session_params params = {.optimize = 99, .decode_once = 1};
    check(lbw_session_open(&session, o->bytes, o->size, &params, &err), &err);
    assert_int_equal(lbw_session_num_inputs(session), 1);
    o->num_outputs = lbw_session_num_outputs(session);
    o->outputs = calloc(o->num_outputs, sizeof *o->outputs);
    assert_non_null(o->outputs);
    check(lbw_session_run(session, input, o->outputs, &err), &err);
    lbw_session_close(&session);
}

/* max |a - b| / max |a| over all outputs. */
static double largest_error(const struct outcome *a, const struct outcome *b)
{
    double worst = 0;
    assert_int_equal(a->num_outputs, b->num_outputs);
    for (size_t o = 0; o < a->num_outputs; o++) {
        const struct lbw_array *p = &a->outputs[o], *q = &b->outputs[o];
        double error = 0, magnitude = 0;
        assert_int_equal(p->data_type, q->data_type);
        assert_int_equal(p->size, q->size);
        size_t bytes = lbw_data_type_bits(p->data_type) / 8;
        for (size_t i = 0; i < p->size; i += bytes) {
            double x, y;
            assert_true(lbw_number_load(&x, (char *)p->data + i, p->data_type));
            assert_true(lbw_number_load(&y, (char *)q->data + i, q->data_type));
            assert_false(isnan(x) != isnan(y));
            if (isnan(x) || x == y)
                continue;
            error = fmax(error, fabs(x - y));
            magnitude = fmax(magnitude, fabs(x));
        }
        for (size_t i = 0; i < p->size && error > 0; i += bytes) {
            double x = 0;
            lbw_number_load(&x, (char *)p->data + i, p->data_type);
            magnitude = isfinite(x) ? fmax(magnitude, fabs(x)) : magnitude;
        }
        worst = fmax(worst, error > 0 ? error / magnitude : 0);
    }
    return worst;
}

/* Weights as they are in the model, in node order. */
static void look(struct lbw_model **model, struct lbw_plan **plan, const struct outcome *o,
                 bool expand)
{
    struct lbw_error err = {0};
    size_t num = 0;
    check(lbw_model_open_memory(model, o->bytes, o->size, &err), &err);
    if (expand) {
        check(lbw_expand(*model, &num, &err), &err);
        assert_true(num <= o->num_converted);
    }
    check(look_at(plan, *model, NULL, &err), &err);
}

static void same_weights(const struct outcome *reference, const struct outcome *other)
{
    struct lbw_model *models[2] = {NULL, NULL};
    struct lbw_plan *plans[2] = {NULL, NULL};
    look(&models[0], &plans[0], reference, false);
    look(&models[1], &plans[1], other, true);
    assert_true(plans[0]->num_weights > 0);
    assert_int_equal(plans[0]->num_weights, plans[1]->num_weights);
    for (size_t i = 0; i < plans[0]->num_weights; i++) {
        float *values[2];
        const struct lbw_weight *w[2] = {&plans[0]->weights[i], &plans[1]->weights[i]};
        assert_string_equal(w[0]->item.tensor, w[1]->item.tensor);
        assert_string_equal(w[0]->item.type, w[1]->item.type);
        assert_int_equal(w[0]->item.count, w[1]->item.count);
        if (!w[0]->tensor && !w[1]->tensor)
            continue; /* computed at run time */
        for (size_t k = 0; k < 2; k++) {
            struct lbw_tensor tensor;
            struct lbw_error err = {0};
            assert_non_null(w[k]->tensor);
            check(lbw_tensor_view(&tensor, models[k], w[k]->tensor, &err), &err);
            values[k] = malloc(tensor.count * sizeof(float));
            assert_non_null(values[k]);
            check(lbw_tensor_read_float(&tensor, values[k], &err), &err);
        }
        assert_memory_equal(values[0], values[1], w[0]->item.count * sizeof(float));
        free(values[0]);
        free(values[1]);
    }
    for (size_t k = 0; k < 2; k++) {
        lbw_plan_free(&plans[k]);
        lbw_model_close(&models[k]);
    }
}

/* How small a packed file has to be, as a share of the float file. */
static const struct {
    const char *model, *grid;
    double share;
} promises[] = {{"yolox_nano", "4", 0.14}, {"yolox_nano", "2", 0.09}};

static void check_size(const char *model, const char *grid, size_t size)
{
    struct stat st;
    assert_int_equal(stat(asset(model), &st), 0);
    for (size_t i = 0; i < sizeof promises / sizeof *promises; i++)
        if (strcmp(promises[i].model, model) == 0 && strcmp(promises[i].grid, grid) == 0)
            assert_true((double)size <= promises[i].share * (double)st.st_size);
}

static void test_grid(const struct subject *subject, const struct lbw_array *input,
                      const char *grid_name)
{
    const struct lbw_grid *grid = lbw_grid_by_name(grid_name);
    struct outcome outcomes[NUM_WAYS] = {0};
    double worst = 0;
    assert_non_null(grid);
    for (size_t i = 0; i < NUM_WAYS; i++) {
        struct outcome *o = &outcomes[i];
        convert(o, asset(subject->name), grid, &ways[i]);
        assert_true(o->num_converted > 0);
        assert_int_equal(o->num_converted, outcomes[0].num_converted);
        run(o, input);
        double error = largest_error(&outcomes[0], o);
        if (!(error <= RTOL))
            fail_msg("%s, grid %s, %s: %.2e off", subject->name, grid_name, ways[i].name,
                     error);
        worst = fmax(worst, error);
        if (i > 0)
            same_weights(&outcomes[0], o);
    }
    check_size(subject->name, grid_name, outcomes[1].size);
    printf("# %-20s %-5s %3zu  %8zu %8zu %8zu %8zu  %.1e\n", subject->name, grid_name,
           outcomes[0].num_converted, outcomes[0].size, outcomes[1].size, outcomes[2].size,
           outcomes[3].size, worst);
    for (size_t i = 0; i < NUM_WAYS; i++)
        outcome_release(&outcomes[i]);
}

static void test_model(void **state)
{
    const struct subject *subject = *state;
    struct lbw_array input = {0};
    make_input(&input, subject);
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++)
        test_grid(subject, &input, grids[i]);
    for (size_t i = 0; i < sizeof two_term_grids / sizeof *two_term_grids; i++)
        if (subject->has_two_terms)
            test_grid(subject, &input, two_term_grids[i]);
    lbw_array_release(&input);
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc <= 1;
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[NUM_SUBJECTS];
    size_t num = 0;
    if (!has_runtime())
        return EXIT_SKIPPED;
    for (size_t i = 0; i < NUM_SUBJECTS; i++)
        if (is_wanted(subjects[i].name, argc, argv) &&
            access(asset(subjects[i].name), R_OK) == 0)
            tests[num++] = (struct CMUnitTest){.name = subjects[i].name,
                                               .test_func = test_model,
                                               .initial_state = (void *)&subjects[i]};
    if (num == 0) {
        fprintf(stderr, "skipped: no models at %s\n", asset("*"));
        return EXIT_SKIPPED;
    }
    printf("# %-20s %-5s %3s  %8s %8s %8s %8s  %s\n", "model", "grid", "num", "float", "packed",
           "inline", "dq", "max relative error");
    return _cmocka_run_group_tests("matrix", tests, num, NULL, NULL);
}
