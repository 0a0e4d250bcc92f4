/* SPDX-License-Identifier: MIT */
/*
 * Real detectors, walked as calibration walks them: every Conv weight is changed a little on
 * the way, and what stages show at the end is what the changed model gives as a whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>

#include <cmocka.h>

#include <lbw/convert.h>

#include "check.h"
#include "fixture.h"
#include "onnx/index.h"
#include "onnx/tensor.h"
#include "pass/activations.h"
#include "detect/assume.h"
#include "run/session.h"
#include "runtime.h"

#define NUM_SAMPLES 2
#define MAX_OUTPUTS 16

static char folder[1000];

/* One detector in two states: as it is, and with its weights changed; run as a whole. */
struct whole {
    struct lbw_session *session;
    struct lbw_array outputs[NUM_SAMPLES][MAX_OUTPUTS];
};

struct input {
    struct lbw_feed *feed;
    struct lbw_array arrays[NUM_SAMPLES];
};

static struct lbw_model *open_model(const char *name)
{
    struct lbw_model *model = NULL;
    struct lbw_error err = {0};
    char path[1100];
    snprintf(path, sizeof path, "%s/%s.onnx", folder, name);
    check(lbw_model_open(&model, path, &err), &err);
    return model;
}

static void run_whole(struct whole *out, struct lbw_model *model, const struct input *input)
{
    const struct lbw_session_params params = {.optimize = 1};
    struct lbw_error err = {0};
    void *data;
    size_t size;
    check(lbw_model_save_memory(model, &data, &size, &err), &err);
    check(lbw_session_open(&out->session, data, size, &params, &err), &err);
    assert_true(lbw_session_num_outputs(out->session) <= MAX_OUTPUTS);
    for (size_t i = 0; i < NUM_SAMPLES; i++)
        check(lbw_session_run(out->session, &input->arrays[i], out->outputs[i], &err), &err);
    lbw_free(data);
}

static void release_whole(struct whole *whole)
{
    for (size_t i = 0; i < NUM_SAMPLES; i++)
        for (size_t k = 0; k < lbw_session_num_outputs(whole->session); k++)
            lbw_array_release(&whole->outputs[i][k]);
    lbw_session_close(&whole->session);
}

/* The weight of a Conv or ConvTranspose where it is a float constant. */
static Onnx__TensorProto *weight_of(const struct lbw_index *index, const Onnx__NodeProto *node)
{
    if (!lbw_node_is(node, "Conv") && !lbw_node_is(node, "ConvTranspose"))
        return NULL;
    struct lbw_value *value = lbw_index_find(index->scopes, lbw_node_input(node, 1));
    return value ? lbw_index_constant(index, value, true) : NULL;
}

/* Multiplies each weight by 0.97, 1 or 1.03 in turn. */
static float *changed_values(size_t *count, struct lbw_model *model,
                             const Onnx__TensorProto *proto)
{
    struct lbw_tensor tensor;
    struct lbw_error err = {0};
    check(lbw_tensor_view(&tensor, model, proto, &err), &err);
    float *values = malloc((tensor.count + 1) * sizeof *values);
    check(lbw_tensor_read_float(&tensor, values, &err), &err);
    for (size_t i = 0; i < tensor.count; i++)
        values[i] *= 1 + 0.03f * (float)((int)(i % 3) - 1);
    *count = tensor.count;
    return values;
}

/* The same change in the model itself. */
static void change_model(struct lbw_model *model)
{
    struct lbw_index index;
    struct lbw_error err = {0};
    check(lbw_index_init(&index, model, &err), &err);
    size_t num_nodes, count;
    Onnx__NodeProto **nodes = lbw_scope_nodes(index.scopes, &num_nodes);
    for (size_t i = 0; i < num_nodes; i++) {
        Onnx__TensorProto *proto = weight_of(&index, nodes[i]);
        if (!proto)
            continue;
        float *values = changed_values(&count, model, proto);
        proto->data_type = TYPE(FLOAT);
        proto->n_float_data = 0;
        proto->has_raw_data = true;
        proto->raw_data.len = count * sizeof *values;
        proto->raw_data.data = lbw_arena_memdup(&model->arena, values, count * sizeof *values);
        free(values);
    }
    lbw_index_release(&index);
}

/* Makes the last Conv's input an output too: the outputs proper may be saturated. */
static void give_last_out(struct lbw_model *model)
{
    Onnx__GraphProto *graph = model->proto->graph;
    size_t last = graph->n_node - 1;
    while (!lbw_node_is(graph->node[last], "Conv") &&
           !lbw_node_is(graph->node[last], "ConvTranspose"))
        last--;
    Onnx__ValueInfoProto *port = lbw_arena_alloc(&model->arena, sizeof *port);
    Onnx__ValueInfoProto **ports =
        lbw_arena_alloc(&model->arena, (graph->n_output + 1) * sizeof *ports);
    memcpy(ports, graph->output, graph->n_output * sizeof *ports);
    onnx__value_info_proto__init(port);
    port->name = graph->node[last]->input[0];
    ports[graph->n_output++] = port;
    graph->output = ports;
}

/* What a show of an output has to give. */
struct expectation {
    const struct whole *before;
    const struct whole *after;
    size_t output;
    double error;  /* Σ (shown - expected)², both models */
    double change; /* Σ (reference - converted)² */
};

static enum lbw_status see(void *user, const struct lbw_activation *values,
                           struct lbw_error *err)
{
    struct expectation *e = user;
    const struct lbw_array *before = &e->before->outputs[values->sample][e->output];
    const struct lbw_array *after = &e->after->outputs[values->sample][e->output];
    const float *a = before->data, *b = after->data;
    (void)err;
    assert_int_equal(values->num_dims, before->num_dims);
    assert_memory_equal(values->dims, before->dims, before->num_dims * sizeof *before->dims);
    for (size_t i = 0; i < before->size / sizeof *a; i++) {
        double x = (double)values->reference[i] - (double)a[i];
        double y = (double)values->converted[i] - (double)b[i];
        double z = (double)a[i] - (double)b[i];
        e->error += x * x + y * y;
        e->change += z * z;
    }
    return LBW_OK;
}

static enum lbw_status look(void *user, const struct lbw_activation *values,
                            struct lbw_error *err)
{
    (void)err;
    assert_int_equal(values->sample, (*(size_t *)user)++);
    return LBW_OK;
}

/* Shows every Conv's input, changes its weight, and settles behind it. */
static void walk(struct lbw_activations *stages, struct lbw_model *model)
{
    struct lbw_index index;
    struct lbw_error err = {0};
    check(lbw_index_init(&index, model, &err), &err);
    size_t num_nodes, count;
    Onnx__NodeProto **nodes = lbw_scope_nodes(index.scopes, &num_nodes);
    for (size_t i = 0; i < num_nodes; i++) {
        Onnx__TensorProto *proto = weight_of(&index, nodes[i]);
        size_t num_seen = 0;
        if (!proto)
            continue;
        check(stages->settle(stages, i, &err), &err);
        check(stages->show(stages, nodes[i]->input[0], look, &num_seen, &err), &err);
        assert_int_equal(num_seen, NUM_SAMPLES);
        float *values = changed_values(&count, model, proto);
        check(stages->replace(stages, nodes[i]->input[1], values, count, &err), &err);
        free(values);
    }
    check(stages->settle(stages, num_nodes, &err), &err);
    lbw_index_release(&index);
}

static void make_input(struct input *input, struct lbw_model *model, int side)
{
    const struct lbw_feed_params params = {
        .max_samples = NUM_SAMPLES, .width = side, .height = side};
    struct lbw_error err = {0};
    check(lbw_assumed_feed_open(&input->feed, model, &params, NULL, &err), &err);
    assert_int_equal(lbw_feed_num_inputs(input->feed), 1);
    for (size_t i = 0; i < NUM_SAMPLES; i++)
        check(lbw_feed_get(input->feed, i, &input->arrays[i], &err), &err);
}

/* `side` serves dynamic inputs; `memory` makes most tensors go through the file. */
static void try_model(const char *name, int side, uint64_t memory)
{
    struct lbw_model *model = open_model(name), *changed = open_model(name);
    const struct lbw_calibrate_params params = {
        .num_samples = NUM_SAMPLES, .width = side, .height = side, .memory = memory};
    struct input input;
    struct whole before = {0}, after = {0};
    struct lbw_activations *stages;
    struct lbw_error err = {0};
    size_t num_changed = 0;
    give_last_out(model);
    give_last_out(changed);
    make_input(&input, model, side); /* after that: it looks at the outputs */
    change_model(changed);
    run_whole(&before, model, &input);
    run_whole(&after, changed, &input);
    check(lbw_calibrate_open(&stages, model, &params, NULL, &err), &err);
    walk(stages, model);
    for (size_t i = 0; i < lbw_session_num_outputs(before.session); i++) {
        struct expectation e = {.before = &before, .after = &after, .output = i};
        check(stages->show(stages, lbw_session_output_name(before.session, i), see, &e, &err),
              &err);
        assert_true(e.change > 0 || e.error == 0);
        num_changed += e.change > 0;
        if (!(e.error <= 1e-4 * e.change))
            fail_msg("%s: off by %g where the change is %g", name, e.error, e.change);
    }
    assert_true(num_changed > 0);
    lbw_calibrate_close(&stages);
    release_whole(&before);
    release_whole(&after);
    for (size_t i = 0; i < NUM_SAMPLES; i++)
        lbw_array_release(&input.arrays[i]);
    lbw_feed_close(&input.feed);
    lbw_model_close(&model);
    lbw_model_close(&changed);
}

static void test_yolox(void **state)
{
    (void)state;
    try_model("yolox_nano", 0, 1 << 20);
}

static void test_six_outputs(void **state)
{
    (void)state;
    try_model("nanodet_m_416", 0, 0);
}

/* Weights are Constant nodes, the input is dynamic. */
static void test_constant_nodes(void **state)
{
    (void)state;
    try_model("ppocr_mobile_v2_det", 160, 1 << 16);
}

/* Opset 9: every initializer is an input too, BatchNormalization stands apart. */
static void test_old(void **state)
{
    (void)state;
    try_model("ultraface_rfb_320", 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yolox),
        cmocka_unit_test(test_six_outputs),
        cmocka_unit_test(test_constant_nodes),
        cmocka_unit_test(test_old),
    };
    const char *named = getenv("LBW_ASSETS"), *root = getenv("LBW_SOURCE_ROOT");
    if (!has_runtime())
        return EXIT_SKIPPED;
    if (named)
        snprintf(folder, sizeof folder, "%s/models", named);
    else
        snprintf(folder, sizeof folder, "%s/../shared/assets/models", root ? root : ".");
    if (access(folder, R_OK) != 0) {
        fprintf(stderr, "skipped: no models in %s\n", folder);
        return EXIT_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
