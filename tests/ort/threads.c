/* SPDX-License-Identifier: MIT */
/*
 * Threads that calibrate models through ONNX Runtime at the same time, each its own, leave the
 * bytes that one thread leaves. The runtime and the linear algebra are shared by all of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <lbw/lbw.h>

#include "../graph.h"
#include "../plan.h"
#include "../threads.h"
#include "../runtime.h"

#define NUM_JOBS 6

struct job {
    size_t number;
    struct text input, together, alone;
    enum lbw_status status;
    struct lbw_error err;
};

static struct job jobs[NUM_JOBS];

/* x -Conv-> c -Relu-> d -Conv, two groups-> y, other weights for each number */
static struct text make_model(size_t number)
{
    struct text graph = {0}, attributes = {0};
    const int64_t dims[2][4] = {{16, 3, 3, 3}, {8, 8, 1, 1}}, ports[] = {1, 3, 24, 24};
    attribute_int(&attributes, "group", 2);
    put_op(&graph, "Conv", "x w0", "c", NULL);
    put_op(&graph, "Relu", "c", "d", NULL);
    put_op(&graph, "Conv", "d w1", "y", &attributes);
    for (size_t i = 0; i < 2; i++) {
        char seed[40], name[] = {'w', (char)('0' + i), '\0'};
        snprintf(seed, sizeof seed, "%zu of %zu", i, number);
        float *values = draw_values(seed, dims_count(dims[i], 4), 0, 1);
        struct text tensor = tensor_of(name, TYPE(FLOAT), dims[i], 4, values);
        put_message(&graph, 5, &tensor);
        free(values);
    }
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), ports, 4);
    put_typed_port(&graph, 12, "y", TYPE(FLOAT), NULL, 0);
    return finish_model(&graph, 8, 17);
}

static enum lbw_status convert(struct lbw_model *model, const struct lbw_plan *plan,
                               struct lbw_error *err)
{
    const struct lbw_calibrate_params calibrate = {.source = "generated:3"};
    struct lbw_convert_params params = {0};
    LBW_TRY(lbw_calibrate_open(&params.activations, model, &calibrate, NULL, err));
    enum lbw_status status = lbw_convert(NULL, model, plan, &params, err);
    lbw_calibrate_close(&params.activations);
    return status;
}

static enum lbw_status run(struct text *out, struct job *job)
{
    const struct lbw_plan_params params = {.all = true};
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    void *data = NULL;
    size_t size;
    enum lbw_status status =
        lbw_model_open_memory(&model, job->input.data, job->input.size, &job->err);
    if (status == LBW_OK)
        status = prepare_and_plan(&plan, model, &params, &job->err);
    if (status == LBW_OK)
        status = convert(model, plan, &job->err);
    if (status == LBW_OK)
        status = lbw_model_save_memory(model, &data, &size, &job->err);
    if (status == LBW_OK)
        put(out, data, size);
    lbw_free(data);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    return status;
}

static void work(void *user)
{
    struct job *job = user;
    job->status = run(&job->together, job);
}

static void test_together(void **state)
{
    (void)state;
    for (size_t i = 0; i < NUM_JOBS; i++)
        jobs[i].input = make_model(i);
    run_together(work, jobs, sizeof *jobs, NUM_JOBS);
    for (size_t i = 0; i < NUM_JOBS; i++) {
        struct job *job = &jobs[i];
        if (job->status != LBW_OK)
            fail_msg("job %zu: %s", i, job->err.message);
        assert_int_equal(run(&job->alone, job), LBW_OK);
        assert_int_equal(job->alone.size, job->together.size);
        assert_memory_equal(job->alone.data, job->together.data, job->alone.size);
        free(job->input.data);
        free(job->alone.data);
        free(job->together.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_together)};
    if (!has_runtime())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
