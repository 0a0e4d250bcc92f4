/* SPDX-License-Identifier: MIT */
/* A whole search, on a small model whose output is read as a map of regions. */
#include <setjmp.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../runtime.h"

#include <lbw/lbw.h>

#include "../plan.h"
#include "check.h"
#include "feed/generate.h"

#define NUM_PICTURES 4

static char folder[] = "/tmp/lbw-search-XXXXXX";
static char model_path[64], plan_path[64];
static struct lbw_dataset *dataset;

/* What a test may change. */
struct setting {
    struct lbw_plan_params plan;
    struct lbw_calibrate_params calibrate;
    struct lbw_eval_params test;
    struct lbw_search_params search;
};

static void prepare(struct setting *s)
{
    static const struct lbw_grid *grids[3];
    grids[0] = lbw_grid_by_name("2");
    grids[1] = lbw_grid_by_name("4");
    grids[2] = lbw_grid_by_name("4x2");
    *s = (struct setting){
        .calibrate = {.num_samples = 4},
        .test = {.profile = lbw_profile_by_name("ppocr"),
                 .dataset = dataset,
                 .reference_score = .05f},
        .search = {.target_bits = 5, .grids = grids, .num_grids = 3, .max_trials = 5},
    };
    s->plan.all = true;
    s->plan.grid = grids[0];
    s->search.plan = &s->plan;
    s->search.calibrate = &s->calibrate;
    s->search.test = &s->test;
}

static int write_inputs(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    char command[1200], path[64];
    if (!mkdtemp(folder))
        return -1;
    snprintf(model_path, sizeof model_path, "%s/model.onnx", folder);
    snprintf(plan_path, sizeof plan_path, "%s/plan", folder);
    snprintf(command, sizeof command, "'%s/tests/make_model' detector %s",
             getenv("LBW_BUILD_ROOT"), model_path);
    if (system(command) != 0)
        return -1;
    for (size_t i = 0; i < NUM_PICTURES; i++) {
        struct lbw_image image;
        snprintf(path, sizeof path, "%s/%zu.png", folder, i);
        check(lbw_generate_image(&image, 64, 64, 1, i, &err), &err);
        const struct lbw_panel panel = {0};
        check(lbw_draw(path, &image, &panel, 1, NULL, 0, &err), &err);
        lbw_image_release(&image);
    }
    const struct lbw_dataset_params params = {.images = folder};
    check(lbw_dataset_open(&dataset, &params, &err), &err);
    return 0;
}

static int remove_inputs(void **state)
{
    (void)state;
    char path[64];
    lbw_dataset_close(&dataset);
    for (size_t i = 0; i < NUM_PICTURES; i++) {
        snprintf(path, sizeof path, "%s/%zu.png", folder, i);
        unlink(path);
    }
    unlink(model_path);
    unlink(plan_path);
    return rmdir(folder);
}

struct log {
    size_t num, num_best;
    double best;
    double most_bits; /* of those that fit */
};

static void count(void *user, const struct lbw_search_trial *trial)
{
    struct log *log = user;
    assert_int_equal(trial->number, ++log->num);
    assert_non_null(trial->what);
    if (trial->fits && trial->bits_per_weight > log->most_bits)
        log->most_bits = trial->bits_per_weight;
    if (!trial->is_best)
        return;
    assert_true(trial->fits);
    assert_true(!log->num_best || trial->ap > log->best);
    log->best = trial->ap;
    log->num_best++;
}

/* The size of the model that the plan gives, quantized as a user would. */
static uint64_t size_by_plan(const struct setting *s, const char *text)
{
    struct lbw_error err = {0};
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    struct lbw_activations *activations = NULL;
    FILE *file = fopen(plan_path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    check(lbw_model_open(&model, model_path, &err), &err);
    check(prepare_and_plan(&plan, model, &s->plan, &err), &err);
    check(lbw_plan_apply(plan, plan_path, &err), &err);
    check(lbw_calibrate_open(&activations, model, &s->calibrate, NULL, &err), &err);
    const struct lbw_convert_params params = {.activations = activations};
    check(lbw_convert(NULL, model, plan, &params, &err), &err);
    uint64_t size = lbw_model_size(model);
    lbw_calibrate_close(&activations);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    return size;
}

static void test_search(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_search_result *result = NULL, *again = NULL;
    struct log log = {0};
    struct setting s;
    prepare(&s);
    s.search.log = count;
    s.search.log_user = &log;
    check(lbw_search(&result, model_path, &s.search, &err), &err);
    assert_int_equal(log.num, result->num_trials);
    assert_in_range(result->num_trials, 2, 5);
    assert_int_equal(result->num_weights, 5);
    assert_true(result->start.bits_per_weight < 2.5);
    assert_true(log.most_bits > 3 && log.most_bits <= 5); /* the room is made use of */
    assert_true(result->best.size <= result->target_size);
    assert_true(result->best.ap >= result->start.ap);
    assert_true(result->best.ap == log.best);
    assert_true(result->float_ap == 1);
    assert_int_equal(size_by_plan(&s, result->plan), result->best.size);

    /* on one processor no trials are made side by side: the same trials, the same plan */
    cpu_set_t before, one;
    CPU_ZERO(&one);
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    s.search.log = NULL;
    check(lbw_search(&again, model_path, &s.search, &err), &err);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_string_equal(result->plan, again->plan);
    lbw_search_result_free(&again);
    lbw_search_result_free(&result);
    assert_null(result);
}

static void find_gradients(void *user, const struct lbw_search_trial *trial)
{
    bool *was_found = user;
    *was_found = strcmp(trial->what, "bits by gradients") == 0 && trial->fits;
}

/* Whatever the target, the second trial is the plan of --bits auto for it, and fits. */
static void test_gradients_first(void **state)
{
    (void)state;
    for (uint64_t extra = 0; extra < 900; extra += 100) {
        struct lbw_error err = {0};
        struct lbw_search_result *result = NULL;
        struct setting s;
        bool was_found = false;
        prepare(&s);
        s.calibrate.num_samples = 2;
        s.search.num_grids = 0;
        s.search.grids = NULL;
        s.search.target_bits = 4.6 + (double)extra / 1000;
        s.search.max_trials = 2;
        s.search.log = find_gradients;
        s.search.log_user = &was_found;
        check(lbw_search(&result, model_path, &s.search, &err), &err);
        if (result->num_trials != 2 || !was_found)
            fail_msg("%.3f bits: not tried", s.search.target_bits);
        lbw_search_result_free(&result);
    }
}

static void test_targets(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_search_result *result = NULL;
    struct setting s;
    prepare(&s);
    s.search.target_bits = 0; /* as where it starts */
    s.search.max_trials = 1;
    check(lbw_search(&result, model_path, &s.search, &err), &err);
    assert_int_equal(result->num_trials, 1);
    assert_int_equal(result->target_size, result->start.size);
    assert_int_equal(result->best.size, result->start.size);
    lbw_search_result_free(&result);

    s.search.max_trials = 5;
    s.search.target_size = 1000;
    assert_int_equal(lbw_search(&result, model_path, &s.search, &err), LBW_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "no plan reaches 1000 bytes"));
    assert_null(result);
}

/* The smallest size of all trials that kept enough. */
struct smallest {
    double keep;
    uint64_t size;
    size_t num_fits;
};

static void find_smallest(void *user, const struct lbw_search_trial *trial)
{
    struct smallest *s = user;
    assert_int_equal(trial->fits, trial->kept >= s->keep);
    if (!trial->fits)
        return;
    assert_int_equal(trial->is_best, !s->num_fits || trial->size < s->size);
    if (trial->is_best)
        s->size = trial->size;
    s->num_fits++;
}

static void test_keep(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_search_result *result = NULL;
    struct smallest smallest = {.keep = .99};
    struct setting s;
    prepare(&s);
    s.search.target_bits = 0;
    s.search.grids = NULL;
    s.search.num_grids = 0;
    s.plan.grid = lbw_grid_by_name("4x2");
    s.search.max_trials = 7;
    s.search.keep = smallest.keep;
    s.search.log = find_smallest;
    s.search.log_user = &smallest;
    check(lbw_search(&result, model_path, &s.search, &err), &err);
    assert_true(result->best.size < result->start.size);
    assert_int_equal(result->best.size, smallest.size);
    assert_true(result->best.kept >= .99);
    assert_int_equal(size_by_plan(&s, result->plan), result->best.size);
    lbw_search_result_free(&result);

    s.search.log = NULL;
    s.search.target_size = 1000;
    assert_int_equal(lbw_search(&result, model_path, &s.search, &err), LBW_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "keep cannot be combined with a target size"));
    assert_null(result);
}

static void test_kept_weights(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_search_result *result = NULL;
    const struct lbw_plan_rule rules[] = {{"stem", NULL}};
    struct setting s;
    prepare(&s);
    s.plan.rules = rules;
    s.plan.num_rules = 1;
    check(lbw_search(&result, model_path, &s.search, &err), &err);
    assert_int_equal(result->num_weights, 4);
    const char *line = strstr(result->plan, "stem.weight"), *start = line;
    assert_non_null(line);
    while (start > result->plan && start[-1] != '\n')
        start--;
    assert_int_equal(*start, '-');
    lbw_search_result_free(&result);
}

static void test_mu(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_search_result *result = NULL;
    struct setting s;
    prepare(&s);
    s.plan.method = LBW_METHOD_THRESHOLD;
    s.plan.grid = NULL;
    s.search.target_bits = 0;
    s.search.calibrate = NULL;
    s.search.max_trials = 9;
    check(lbw_search(&result, model_path, &s.search, &err), &err);
    char line[80];
    snprintf(line, sizeof line, "# quantize with --method threshold --mu %.4g\n",
             result->best.mu);
    assert_non_null(strstr(result->plan, line));
    assert_non_null(strstr(result->plan, "µ = 0.5"));
    assert_in_range(1000 * result->best.mu, 400, 1300);
    lbw_search_result_free(&result);
}

static int stop(void *user, const char *what, size_t done, size_t total)
{
    (void)what, (void)total;
    size_t *most = user;
    return done >= *most;
}

static void test_stop(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_search_result *result = NULL;
    size_t most = 0;
    struct setting s;
    prepare(&s);
    s.search.progress = stop;
    s.search.user = &most;
    assert_int_equal(lbw_search(&result, model_path, &s.search, &err), LBW_ERR_INTERRUPTED);
    assert_null(result);

    most = 2; /* what two trials found is not lost */
    check(lbw_search(&result, model_path, &s.search, &err), &err);
    assert_true(result->is_interrupted);
    assert_int_equal(result->num_trials, 2);
    assert_non_null(strstr(result->plan, "# lbw search: "));
    assert_non_null(strstr(result->plan, "stem.weight"));
    lbw_search_result_free(&result);
}

static void test_nothing(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_search_result *result = NULL;
    const struct lbw_plan_rule rules[] = {{".*", NULL}};
    struct setting s;
    prepare(&s);
    s.plan.rules = rules;
    s.plan.num_rules = 1;
    assert_int_equal(lbw_search(&result, model_path, &s.search, &err), LBW_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "the plan converts no weight"));
}

/* Where there are no boxes, no plan is better than another. */
static void test_blind(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_search_result *result = NULL;
    struct setting s;
    prepare(&s);
    s.test.reference_score = 1e9f; /* no box has that */
    assert_int_equal(lbw_search(&result, model_path, &s.search, &err), LBW_ERR_ARGUMENT);
    assert_string_equal(err.message, "the float model detects nothing in these images");
    assert_null(result);
}

static void count_note(void *user, const char *note)
{
    assert_non_null(strstr(note, "broken.png"));
    ++*(size_t *)user;
}

/* An image that cannot be read is told once, not at every trial. */
static void test_notes(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_search_result *result = NULL;
    struct lbw_dataset *with_broken = NULL;
    size_t num_notes = 0;
    char path[64];
    struct setting s;
    snprintf(path, sizeof path, "%s/broken.png", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    const struct lbw_dataset_params params = {.images = folder};
    check(lbw_dataset_open(&with_broken, &params, &err), &err);
    prepare(&s);
    s.test.dataset = with_broken;
    s.search.max_trials = 2;
    s.search.note = count_note;
    s.search.log_user = &num_notes;
    check(lbw_search(&result, model_path, &s.search, &err), &err);
    assert_int_equal(num_notes, 1);
    lbw_search_result_free(&result);
    lbw_dataset_close(&with_broken);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search),       cmocka_unit_test(test_gradients_first),
        cmocka_unit_test(test_targets),      cmocka_unit_test(test_keep),
        cmocka_unit_test(test_kept_weights), cmocka_unit_test(test_mu),
        cmocka_unit_test(test_stop),         cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_blind),        cmocka_unit_test(test_notes),
    };
    if (!has_runtime())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, write_inputs, remove_inputs);
}
