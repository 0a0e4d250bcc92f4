/* SPDX-License-Identifier: MIT */
/* One convolution and one list of borrowed memory, used by many threads and sizes at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../together.h"
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
        job->differs = lbw_conv_run(conv, job->y, picture, 1, job->sides, &lbw_sequential,
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
            lbw_conv_reference(job->expected, picture, 1, job->sides, &params, &err), LBW_OK);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_threads_get_the_definition)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
