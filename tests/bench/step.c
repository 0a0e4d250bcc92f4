/* SPDX-License-Identifier: MIT */
/*
 * What a step of training costs: each part for one image on one thread, in processor time and
 * as a multiple of the float model's forward pass in the same run; then the runtime's own times
 * by operator. Arguments: model, profile, images.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include <lbw/lbw.h>

#include "../plan.h"
#include "base/file.h"
#include "train/tuning.h"
#include "../runtime.h"

#define NUM_PICTURES  24
#define NUM_PROFILED  8
#define MAX_OPERATORS 64
#define NUM_SHOWN     16

enum part { FORWARD, VIEW, TEACH, RECALL, GRADIENTS, UPDATE, NUM_PARTS };

static const char *const part_names[] = {
    "forward pass, float model", "a view of the image",     "teacher, once per view",
    "what the teacher said",     "student, forth and back", "update and projection",
};

struct bench {
    struct lbw_tuner face; /* first: stands in for the tuner that it looks into */
    struct lbw_tuning *tuning;
    struct lbw_session *forward;
    double seconds[NUM_PARTS];
};

static void die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void lap(struct bench *b, enum part part, double *start)
{
    double at = now();
    b->seconds[part] += at - *start;
    *start = at;
}

static void release(struct lbw_array *arrays, size_t num)
{
    for (size_t i = 0; i < num; i++)
        lbw_array_release(&arrays[i]);
}

static enum lbw_status run_forward(struct bench *b, size_t sample, struct lbw_error *err)
{
    struct lbw_array outputs[64] = {{0}};
    size_t num = lbw_session_num_outputs(b->forward);
    if (num > 64)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "more than 64 outputs");
    LBW_TRY(lbw_session_run(b->forward, b->tuning->samples[sample], outputs, err));
    release(outputs, num);
    return LBW_OK;
}

static enum lbw_status look(struct bench *b, size_t i, struct lbw_error *err)
{
    struct lbw_tuning *t = b->tuning;
    struct lbw_pass *pass = &t->passes[0];
    double start = now();
    LBW_TRY(run_forward(b, i % t->num_samples, err));
    lap(b, FORWARD, &start);
    LBW_TRY(lbw_views_draw(&t->views, i, pass->images, err));
    lap(b, VIEW, &start);
    LBW_TRY(lbw_views_teach(&t->views, i, pass->images, &pass->lesson, err));
    lap(b, TEACH, &start);
    lbw_lesson_clear(&pass->lesson, &t->sessions);
    LBW_TRY(lbw_views_teach(&t->views, i, pass->images, &pass->lesson, err));
    lap(b, RECALL, &start);
    LBW_TRY(lbw_sessions_run(&t->sessions, true, pass->images, &pass->lesson, t->student.arrays,
                             pass->outputs, err));
    lap(b, GRADIENTS, &start);
    const struct lbw_student_rate rate = {.rate = 0.001};
    float **gradients = calloc(t->student.num_params + 1, sizeof *gradients);
    for (size_t p = 0; gradients && p < t->student.num_params; p++)
        if (t->sessions.gradient_slots[p] != SIZE_MAX)
            gradients[p] = pass->outputs[t->sessions.gradient_slots[p]].data;
    enum lbw_status status = gradients
                                 ? lbw_student_update(&t->student, gradients, 1, &rate, err)
                                 : lbw_fail_memory(err);
    free(gradients);
    /* One update serves all images of a step. */
    start += (now() - start) * (double)(t->params.batch - 1) / (double)t->params.batch;
    lap(b, UPDATE, &start);
    lbw_pass_clear(t, pass);
    return status;
}

struct operator
{
    const char *name;
    double microseconds;
};

static int by_time(const void *a, const void *b)
{
    const struct operator* x = a, *y = b;
    return (x->microseconds < y->microseconds) - (x->microseconds > y->microseconds);
}

static void print_operators(const json_t *events)
{
    struct operator operators[MAX_OPERATORS] = {{0}};
    size_t num = 0, i;
    double all = 0;
    const json_t *event;
    json_array_foreach(events, i, event)
    {
        const char *what = json_string_value(json_object_get(event, "name")), *name = NULL;
        double time = json_number_value(json_object_get(event, "dur"));
        size_t k = 0;
        if (!what || !strstr(what, "_kernel_time") ||
            json_unpack((json_t *)event, "{s:{s:s}}", "args", "op_name", &name) != 0)
            continue;
        while (k < num && strcmp(operators[k].name, name) != 0)
            k++;
        if (k == num && num++ == MAX_OPERATORS)
            die("more operators than expected");
        operators[k].name = name;
        operators[k].microseconds += time;
        all += time;
    }
    qsort(operators, num, sizeof *operators, by_time);
    printf("\n%-26s %8s %7s\n", "student, by operator", "ms", "share");
    for (i = 0; i < num && i < NUM_SHOWN; i++)
        printf("%-26s %8.2f %6.1f%%\n", operators[i].name,
               operators[i].microseconds / 1e3 / NUM_PROFILED,
               100 * operators[i].microseconds / all);
}

/* The same graph once more, in a session that takes the time of each node. */
static enum lbw_status profile(struct bench *b, struct lbw_error *err)
{
    struct lbw_tuning *t = b->tuning;
    struct lbw_session *plain = t->sessions.training;
    struct lbw_pass *pass = &t->passes[0];
    const struct lbw_session_params params = {
        .num_threads = 1, .optimize = 99, .native = 1, .profile = "bench-step"};
    LBW_TRY(lbw_session_open(&t->sessions.training, t->sessions.grad.data,
                             t->sessions.grad.size, &params, err));
    for (size_t i = 0; i < NUM_PROFILED; i++) {
        LBW_TRY(lbw_sessions_teach(&t->sessions, t->samples[i % t->num_samples],
                                   pass->lesson.wanted, err));
        LBW_TRY(lbw_weighing_apply(&t->weighing, &pass->lesson, err));
        LBW_TRY(lbw_sessions_run(&t->sessions, true, t->samples[i % t->num_samples],
                                 &pass->lesson, t->student.arrays, pass->outputs, err));
        lbw_pass_clear(t, pass);
    }
    lbw_session_close(&t->sessions.training);
    t->sessions.training = plain;
    glob_t found;
    if (glob("bench-step_*.json", 0, NULL, &found) != 0)
        return lbw_fail(err, LBW_ERR_RUNTIME, "the runtime wrote no times");
    json_t *events = json_load_file(found.gl_pathv[0], 0, NULL);
    for (size_t i = 0; i < found.gl_pathc; i++)
        unlink(found.gl_pathv[i]);
    globfree(&found);
    print_operators(events);
    json_decref(events);
    return LBW_OK;
}

static void print_parts(const struct bench *b)
{
    double step = 0;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%-26s %8s %7s\n", "processor time an image", "ms", "ratio");
    for (int i = 0; i < NUM_PARTS; i++) {
        step += i == FORWARD || i == TEACH ? 0 : b->seconds[i];
        printf("%-26s %8.2f %7.2f\n", part_names[i], 1e3 * b->seconds[i] / NUM_PICTURES,
               b->seconds[i] / b->seconds[FORWARD]);
    }
    printf("%-26s %8.2f %7.2f\n", "a known view in all", 1e3 * step / NUM_PICTURES,
           step / b->seconds[FORWARD]);
    printf("peak memory %ld MB with %zu samples in memory and %zu images a step\n",
           usage.ru_maxrss / 1024, b->tuning->num_samples, b->tuning->params.batch);
}

static enum lbw_status measure(struct lbw_tuner *self, struct lbw_codes *codes, bool *is_tuned,
                               struct lbw_error *err)
{
    struct bench *b = (struct bench *)self;
    (void)is_tuned;
    LBW_TRY(lbw_student_start(&b->tuning->student, b->tuning->plan, codes, err));
    for (size_t i = 0; i < 2; i++) /* warm */
        LBW_TRY(look(b, i, err));
    memset(b->seconds, 0, sizeof b->seconds);
    for (size_t i = 0; i < NUM_PICTURES; i++)
        LBW_TRY(look(b, 2 + i, err));
    print_parts(b);
    return profile(b, err);
}

static enum lbw_status run(char **arguments, struct lbw_error *err)
{
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    struct lbw_profile profile_of;
    struct lbw_tuner *tuner = NULL;
    struct bench b = {.face.tune = measure};
    struct lbw_bytes bytes;
    const struct lbw_session_params fast = {.num_threads = 1, .optimize = 99};
    const struct lbw_plan_params plan_params = {.grid = lbw_grid_by_name("4")};
    LBW_TRY(lbw_bytes_read(&bytes, arguments[1], err));
    LBW_TRY(lbw_session_open(&b.forward, bytes.data, bytes.size, &fast, err));
    lbw_bytes_release(&bytes);
    LBW_TRY(lbw_model_open(&model, arguments[1], err));
    LBW_TRY(lbw_profile_find(&profile_of, arguments[2], err));
    LBW_TRY(prepare_and_plan(&plan, model, &plan_params, err));
    const struct lbw_tune_params params = {.source = arguments[3],
                                           .preprocess = &profile_of.preprocess,
                                           .num_samples = 16,
                                           .profile = &profile_of};
    LBW_TRY(lbw_tune_open(&tuner, model, plan, &params, NULL, err));
    b.tuning = (struct lbw_tuning *)tuner;
    b.face.plan = plan;
    const struct lbw_convert_params convert = {.encode.encoding = LBW_ENCODING_FLOAT,
                                               .tuner = &b.face};
    LBW_TRY(lbw_convert(NULL, model, plan, &convert, err));
    lbw_tune_close(&tuner);
    lbw_session_close(&b.forward);
    lbw_plan_free(&plan);
    lbw_profile_release(&profile_of);
    lbw_model_close(&model);
    return LBW_OK;
}

int main(int num_arguments, char **arguments)
{
    struct lbw_error err = {0};
    if (num_arguments != 4)
        die("usage: bench_step MODEL PROFILE PICTURES");
    use_runtime_of_build();
    if (run(arguments, &err) != LBW_OK)
        die(err.message);
    return 0;
}
