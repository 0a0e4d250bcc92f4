/* SPDX-License-Identifier: MIT */
/* Convolutions and one list of borrowed memory, used by many threads and sizes at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../threads.h"
#include "base/random.h"
#include "kernels/conv.h"
#include "kernels/pool.h"

#define NUM_THREADS 8
#define NUM_RUNS    30
#define CHANNELS    20
#define MAX_SIDE    40
#define MAX_SIZE    ((size_t)CHANNELS * MAX_SIDE * MAX_SIDE)

static struct lbw_conv *conv;
static const struct lbw_isa *isa;
static uint8_t picture[MAX_SIZE];
static const struct lbw_pool_params pool = {{3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, false};

struct job {
    int64_t sides[2]; /* every thread has its own: the first gets the plan that is kept */
    uint8_t *expected, *expected_pool, *y;
    bool differs;
};

static void work(void *user)
{
    struct job *job = user;
    size_t size = CHANNELS * (size_t)(job->sides[0] * job->sides[1]);
    for (int i = 0; i < NUM_RUNS && !job->differs; i++) {
        job->differs = lbw_conv_run(conv, job->y, picture, NULL, 1, job->sides, &lbw_sequential,
                                    NULL) != LBW_OK ||
                       memcmp(job->y, job->expected, size) != 0 ||
                       lbw_pool_run(job->y, picture, CHANNELS, job->sides, &pool, isa,
                                    &lbw_sequential, NULL) != LBW_OK ||
                       memcmp(job->y, job->expected_pool, size) != 0;
    }
}

static void all_threads_get_the_definition(void **unused)
{
    (void)unused;
    static int8_t weights[CHANNELS * CHANNELS * 9];
    static float scale[CHANNELS];
    struct lbw_random random = {7};
    struct lbw_error err = {0};
    struct job jobs[NUM_THREADS] = {{{0}}};
    for (size_t i = 0; i < sizeof weights; i++)
        weights[i] = (int8_t)((int)lbw_random_below(&random, 17) - 8);
    for (size_t i = 0; i < MAX_SIZE; i++)
        picture[i] = (uint8_t)lbw_random_below(&random, 256);
    for (size_t i = 0; i < CHANNELS; i++)
        scale[i] = .01F;
    const struct lbw_conv_params params = {CHANNELS,    CHANNELS,     1,       {3, 3}, {1, 1},
                                           {1, 1},      {1, 1, 1, 1}, weights, NULL,   scale,
                                           .x_zero = 3, .y_zero = 100};
    isa = lbw_isa_best();
    assert_int_equal(lbw_conv_new(&conv, &params, isa, &err), LBW_OK);
    for (size_t i = 0; i < NUM_THREADS; i++) {
        struct job *job = &jobs[i];
        job->sides[0] = MAX_SIDE - (int64_t)(i % 3);
        job->sides[1] = MAX_SIDE - (int64_t)(i % 2);
        job->y = malloc(MAX_SIZE);
        job->expected = malloc(MAX_SIZE);
        job->expected_pool = malloc(MAX_SIZE);
        assert_true(job->y && job->expected && job->expected_pool);
        assert_int_equal(
            lbw_conv_reference(job->expected, picture, NULL, 1, job->sides, &params, &err),
            LBW_OK);
        assert_int_equal(
            lbw_pool_reference(job->expected_pool, picture, CHANNELS, job->sides, &pool, &err),
            LBW_OK);
    }
    run_together(work, jobs, sizeof *jobs, NUM_THREADS);
    for (size_t i = 0; i < NUM_THREADS; i++) {
        assert_false(jobs[i].differs);
        free(jobs[i].y);
        free(jobs[i].expected);
        free(jobs[i].expected_pool);
    }
    lbw_conv_free(&conv);
    lbw_scratch_clear();
}

/* ---- one convolution's tasks on several threads ---- */

#define NUM_HANDS 3

struct crew {
    void (*task)(void *argument, size_t i);
    void *argument;
    size_t num;
    atomic_size_t next;
};

static void *claim(void *user)
{
    struct crew *crew = user;
    for (size_t i; (i = atomic_fetch_add(&crew->next, 1)) < crew->num;)
        crew->task(crew->argument, i);
    return NULL;
}

/* *user counts the tasks. */
static void run_on_crew(void *user, size_t num, void (*task)(void *argument, size_t i),
                        void *argument)
{
    struct crew crew = {task, argument, num, 0};
    pthread_t threads[NUM_HANDS];
    *(size_t *)user += num;
    for (size_t i = 0; i < NUM_HANDS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, claim, &crew), 0);
    for (size_t i = 0; i < NUM_HANDS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* Shapes whose tasks are tiles, groups, or blocks of weights; with copies and without. */
static const struct layer {
    int64_t inputs, outputs, groups, kernel, stride, side;
    size_t least_tasks;
} layers[] = {
    {32, 40, 1, 1, 1, 40, 2},   {24, 32, 1, 3, 1, 40, 2},  {16, 24, 1, 3, 2, 60, 4},
    {128, 128, 1, 3, 1, 24, 2}, {96, 96, 1, 3, 1, 7, 2},   {96, 96, 1, 3, 2, 14, 2},
    {128, 128, 2, 3, 1, 8, 2},  {64, 64, 64, 3, 1, 52, 2}, {64, 64, 64, 3, 2, 60, 2},
    {48, 48, 4, 5, 1, 30, 2},   {8, 8, 1, 1, 1, 8, 1},
};

static void check_layer(const struct layer *l, struct lbw_random *random)
{
    size_t products = (size_t)(l->inputs / l->groups * l->kernel * l->kernel), tasks = 0;
    size_t num_weights = (size_t)l->outputs * products;
    int64_t pad = l->kernel / 2, sides[2] = {l->side, l->side}, out[2];
    int8_t *weights = malloc(num_weights);
    uint8_t *x = malloc((size_t)(l->inputs * l->side * l->side));
    float *scale = malloc((size_t)l->outputs * sizeof *scale);
    struct lbw_error err = {0};
    assert_true(weights && x && scale);
    for (size_t i = 0; i < num_weights; i++)
        weights[i] = (int8_t)((int)lbw_random_below(random, 17) - 8);
    for (size_t i = 0; i < (size_t)(l->inputs * l->side * l->side); i++)
        x[i] = (uint8_t)lbw_random_below(random, 256);
    for (size_t i = 0; i < (size_t)l->outputs; i++)
        scale[i] = .01F;
    const struct lbw_conv_params params = {l->outputs,
                                           l->inputs,
                                           l->groups,
                                           {l->kernel, l->kernel},
                                           {l->stride, l->stride},
                                           {1, 1},
                                           {pad, pad, pad, pad},
                                           weights,
                                           NULL,
                                           scale,
                                           .x_zero = 3,
                                           .y_zero = 100};
    const struct lbw_parallel crew = {run_on_crew, &tasks};
    assert_int_equal(lbw_conv_output(out, &params, sides, &err), LBW_OK);
    size_t size = (size_t)(l->outputs * out[0] * out[1]);
    uint8_t *y = calloc(size, 1), *expected = malloc(size);
    assert_true(y && expected);
    assert_int_equal(lbw_conv_new(&conv, &params, lbw_isa_best(), &err), LBW_OK);
    assert_int_equal(lbw_conv_run(conv, expected, x, NULL, 1, sides, &lbw_sequential, &err),
                     LBW_OK);
    assert_int_equal(lbw_conv_run(conv, y, x, NULL, 1, sides, &crew, &err), LBW_OK);
    assert_memory_equal(y, expected, size);
    if (lbw_isa_best() && tasks < l->least_tasks)
        fail_msg("%d to %d channels of side %d: %zu tasks", (int)l->inputs, (int)l->outputs,
                 (int)l->side, tasks);
    lbw_conv_free(&conv);
    free(weights);
    free(x);
    free(scale);
    free(y);
    free(expected);
}

static void tasks_run_on_any_threads(void **unused)
{
    (void)unused;
    struct lbw_random random = {8};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        check_layer(&layers[i], &random);
    lbw_scratch_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_threads_get_the_definition),
                                       cmocka_unit_test(tasks_run_on_any_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
