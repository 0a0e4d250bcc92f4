/* SPDX-License-Identifier: MIT */
/*
 * 64 threads take 64 models through the public API at the same time, each its own, and leave
 * the bytes that one thread leaves. Under -Db_sanitize=thread it also shows that nothing is
 * shared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include <lbw/lbw.h>

#include "../graph.h"
#include "../plan.h"
#include "../threads.h"

#define NUM_JOBS 64

/* How a model is converted, saved, and encoded anew. */
static const struct way {
    const char *grid;
    enum lbw_encoding encoding;
    bool is_inline;
    enum lbw_method method;
    enum lbw_scale scale;
    enum lbw_group group;
    bool is_external; /* saved in two files, else gzip */
    struct lbw_encode_params next;
} ways[] = {
    {"4", LBW_ENCODING_PACKED, .next = {LBW_ENCODING_DQ, .opset = 21}},
    {"3", LBW_ENCODING_PACKED, .is_inline = true, .next = {LBW_ENCODING_PACKED}},
    {"6", LBW_ENCODING_DQ, .group = LBW_GROUP_TENSOR, .next = {LBW_ENCODING_PACKED}},
    {"2", LBW_ENCODING_FLOAT, .is_external = true, .next = {LBW_ENCODING_DQ}},
    {"4x2", LBW_ENCODING_PACKED, .is_external = true, .next = {LBW_ENCODING_FLOAT}},
    {"5", LBW_ENCODING_DQ, .method = LBW_METHOD_THRESHOLD, .next = {LBW_ENCODING_FLOAT}},
    {"4", LBW_ENCODING_DQ, .scale = LBW_SCALE_POW2, .next = {LBW_ENCODING_PACKED, true}},
};

struct job {
    size_t number;
    char input[300], output[300], data[40];
    struct text alone, together; /* everything that comes out, one after the other */
    struct text *out;            /* one of these */
    struct lbw_error err;
    enum lbw_status status;
};

static struct job jobs[NUM_JOBS];
static char folder[300], plan_path[300];

/* A folded, a shared, a transposed, a depthwise, a half weight; every 16th has a large one. */
static struct text make_model(size_t number)
{
    struct text graph = {0}, attributes = {0};
    char names[5][20];
    for (size_t i = 0; i < 5; i++)
        snprintf(names[i], sizeof names[i], "w%zu", i);
    attribute_int(&attributes, "group", 16);
    put_op(&graph, "Conv", "x w0", "c", NULL);
    put_op(&graph, "BatchNormalization", "c scale shift mean var", "d", NULL);
    put_op(&graph, "Conv", "d w1 shift", "e", NULL);
    put_op(&graph, "Conv", "e w1", "f", NULL);
    put_op(&graph, "ConvTranspose", "f w2", "g", NULL);
    put_op(&graph, "Conv", "g w3", "y", &attributes);
    put_op(&graph, "Conv", "half w4", "z", NULL);
    const int64_t rows = number % 16 ? 16 : 256;
    const int64_t dims[5][4] = {
        {16, 16, 3, 3}, {16, 16, 1, 1}, {16, 16, 2, 2}, {16, 1, 5, 5}, {rows, 64, 2, 2}};
    for (size_t i = 0; i < 5; i++) {
        char seed[40];
        snprintf(seed, sizeof seed, "%zu of %zu", i, number);
        size_t count = dims_count(dims[i], 4);
        float *values = draw_values(seed, count, 0, 1);
        struct text tensor =
            tensor_of(names[i], i == 4 ? TYPE(FLOAT16) : TYPE(FLOAT), dims[i], 4, values);
        put_message(&graph, 5, &tensor);
        free(values);
    }
    static const char *const vectors[] = {"scale", "shift", "mean", "var"};
    for (size_t i = 0; i < 4; i++)
        put_vector(&graph, vectors[i], 16, 2, 1);
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "y");
    put_port(&graph, 12, "z");
    return finish_model(&graph, 8, 13);
}

/* ---- one job ---- */

static void keep(struct job *job, void *data, size_t size)
{
    put(job->out, data, size);
    lbw_free(data);
}

static enum lbw_status keep_model(struct job *job, struct lbw_model *model)
{
    void *data = NULL;
    size_t size;
    LBW_TRY(lbw_model_save_memory(model, &data, &size, &job->err));
    keep(job, data, size);
    return LBW_OK;
}

static enum lbw_status plan(struct lbw_plan **out, struct job *job, struct lbw_model *model)
{
    const struct way *way = &ways[job->number % (sizeof ways / sizeof *ways)];
    const struct lbw_plan_rule rule = {"^w[12]$", lbw_grid_by_name("3")};
    const struct lbw_plan_params params = {.grid = lbw_grid_by_name(way->grid),
                                           .rules = &rule,
                                           .num_rules = 1,
                                           .method = way->method,
                                           .scale = way->scale,
                                           .group = way->group,
                                           .all = true};
    char *text = NULL;
    LBW_TRY(prepare_and_plan(out, model, &params, &job->err));
    if (way->method == LBW_METHOD_OPTIMAL)
        LBW_TRY(lbw_plan_apply(*out, plan_path, &job->err));
    LBW_TRY(lbw_plan_print(&text, *out, job->number % 2, &job->err));
    keep(job, text, strlen(text));
    return LBW_OK;
}

static enum lbw_status convert(struct job *job, struct lbw_model *model)
{
    const struct way *way = &ways[job->number % (sizeof ways / sizeof *ways)];
    const struct lbw_convert_params params = {.encode = {way->encoding, way->is_inline}};
    const struct lbw_external_params external = {job->data, 64, 64};
    struct lbw_plan *planned = NULL;
    struct lbw_report *report = NULL;
    enum lbw_status status = plan(&planned, job, model);
    if (status == LBW_OK)
        status = lbw_convert(&report, model, planned, &params, &job->err);
    if (status == LBW_OK && report->num_converted < 4)
        status = LBW_ERR_ARGUMENT;
    if (status == LBW_OK)
        status = way->is_external
                     ? lbw_model_save_external(model, job->output, &external, &job->err)
                     : lbw_model_save(model, job->output, &job->err);
    lbw_report_free(&report);
    lbw_plan_free(&planned);
    return status;
}

/* What was saved, in another encoding, and back to floats. */
static enum lbw_status encode_anew(struct job *job, struct lbw_model *model)
{
    const struct way *way = &ways[job->number % (sizeof ways / sizeof *ways)];
    struct lbw_model_info info;
    char digest[LBW_DIGEST_SIZE];
    LBW_TRY(lbw_model_describe(&info, model, &job->err));
    LBW_TRY(keep_model(job, model));
    LBW_TRY(lbw_digest(digest, model, &job->err));
    put(job->out, digest, sizeof digest);
    LBW_TRY(lbw_reencode(NULL, NULL, NULL, model, &way->next, &job->err));
    LBW_TRY(keep_model(job, model));
    LBW_TRY(lbw_expand(model, NULL, &job->err));
    LBW_TRY(lbw_model_lift(model, 25, &job->err));
    return keep_model(job, model);
}

static enum lbw_status with_model(struct job *job, const char *path,
                                  enum lbw_status (*step)(struct job *, struct lbw_model *))
{
    struct lbw_model *model = NULL;
    enum lbw_status status = lbw_model_open(&model, path, &job->err);
    if (status == LBW_OK)
        status = step(job, model);
    lbw_model_close(&model);
    return status;
}

static enum lbw_status run(struct job *job)
{
    LBW_TRY(with_model(job, job->input, convert));
    return with_model(job, job->output, encode_anew);
}

/* ---- all of them ---- */

static void work(void *user)
{
    struct job *job = user;
    job->out = &job->together;
    job->status = run(job);
}

static void test_together(void **state)
{
    (void)state;
    size_t size = 0;
    run_together(work, jobs, sizeof *jobs, NUM_JOBS);
    for (size_t i = 0; i < NUM_JOBS; i++) {
        struct job *job = &jobs[i];
        if (job->status != LBW_OK)
            fail_msg("job %zu: %s", i, job->err.message);
        job->out = &job->alone;
        assert_int_equal(run(job), LBW_OK);
        assert_int_equal(job->alone.size, job->together.size);
        assert_memory_equal(job->alone.data, job->together.data, job->alone.size);
        size += job->alone.size;
    }
    printf("# %d threads, %zu bytes of models, plans and digests\n", NUM_JOBS, size);
}

static int setup(void **state)
{
    static const char text[] = "3 real channel w0\n- real channel w2\n";
    (void)state;
    snprintf(folder, sizeof folder, "%s", temporary_path("threads"));
    snprintf(plan_path, sizeof plan_path, "%.250s/plan", folder);
    if (mkdir(folder, 0777) != 0)
        return -1;
    write_file(plan_path, text, sizeof text - 1);
    for (size_t i = 0; i < NUM_JOBS; i++) {
        struct job *job = &jobs[i];
        bool is_external = ways[i % (sizeof ways / sizeof *ways)].is_external;
        job->number = i;
        snprintf(job->input, sizeof job->input, "%.250s/in%zu", folder, i);
        snprintf(job->output, sizeof job->output, "%.250s/out%zu%s", folder, i,
                 is_external ? "" : ".gz");
        snprintf(job->data, sizeof job->data, "data%zu", i);
        struct text model = make_model(i);
        write_file(job->input, model.data, model.size);
        free(model.data);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < NUM_JOBS; i++) {
        free(jobs[i].alone.data);
        free(jobs[i].together.data);
    }
    char command[400];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_together)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
