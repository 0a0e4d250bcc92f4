/* SPDX-License-Identifier: MIT */
/* Activations by stages against whole sessions that give every tensor out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "fixture.h"
#include "calib/stages.h"
#include "runtime.h"

#define NUM_SAMPLES 5

/* The constants that get replaced; a set of them is a mask. */
enum {
    W0 = 1,  /* of the first Conv */
    WD = 2,  /* of a depthwise Conv */
    WC = 4,  /* a Constant node's, read by two Conv */
    WI = 8,  /* an initializer read only inside an If */
    WID = 16 /* behind an Identity */
};

/* ---- a feed of random tensors, the last sample of another size ---- */

struct lbw_feed {
    struct lbw_feed_input input;
};

static uint64_t last_seed = NUM_SAMPLES - 1;
static struct lbw_feed noise = {{"x", TYPE(FLOAT), 4, {1, 4, 8, 8}}};

size_t lbw_feed_num_samples(const struct lbw_feed *feed)
{
    (void)feed;
    return NUM_SAMPLES;
}

size_t lbw_feed_num_inputs(const struct lbw_feed *feed)
{
    (void)feed;
    return 1;
}

const struct lbw_feed_input *lbw_feed_input(const struct lbw_feed *feed, size_t i)
{
    return &feed[i].input;
}

enum lbw_status lbw_feed_get(struct lbw_feed *feed, size_t i, struct lbw_array *arrays,
                             struct lbw_error *err)
{
    struct lbw_random random = {i == NUM_SAMPLES - 1 ? last_seed : i};
    struct lbw_array array = {
        TYPE(FLOAT), 4, {1, 4, 8, i == NUM_SAMPLES - 1 ? 10 : 8}, 0, NULL};
    (void)feed;
    (void)err;
    array.size = (size_t)(4 * 8 * array.dims[3]) * sizeof(float);
    float *values = array.data = malloc(array.size);
    for (size_t k = 0; k < array.size / sizeof *values; k++)
        values[k] = (float)(lbw_random_unit(&random) - (i % 2 ? 0.7 : 0.3));
    arrays[0] = array;
    return LBW_OK;
}

/* ---- the model ---- */

static void add_node(struct text *graph, const char *op, const char *inputs,
                     const char *outputs, struct text *attributes)
{
    struct text node = {0};
    const char *lists[] = {inputs, outputs};
    for (unsigned k = 0; k < 2; k++) {
        char *copy = strdup(lists[k]), *save = NULL;
        for (char *name = strtok_r(copy, " ", &save); name; name = strtok_r(NULL, " ", &save))
            put_text(&node, k + 1, name);
        free(copy);
    }
    put_text(&node, 4, op);
    if (attributes) {
        put(&node, attributes->data, attributes->size);
        free(attributes->data);
        *attributes = (struct text){0};
    }
    put_message(graph, 1, &node);
}

static void add_int(struct text *attributes, const char *name, int64_t value)
{
    struct text attribute = {0};
    put_text(&attribute, 1, name);
    put_int(&attribute, 3, (uint64_t)value);
    put_int(&attribute, 20, 2);
    put_message(attributes, 5, &attribute);
}

static void add_pads(struct text *attributes)
{
    struct text attribute = {0};
    put_text(&attribute, 1, "pads");
    for (int i = 0; i < 4; i++)
        put_int(&attribute, 8, 1);
    put_int(&attribute, 20, 7);
    put_message(attributes, 5, &attribute);
}

static void add_message(struct text *attributes, const char *name, unsigned field, int type,
                        struct text *message)
{
    struct text attribute = {0};
    put_text(&attribute, 1, name);
    put_message(&attribute, field, message);
    put_int(&attribute, 20, (uint64_t)type);
    put_message(attributes, 5, &attribute);
}

static float weight(const char *name, size_t i, bool is_changed)
{
    struct lbw_random random = {(uint64_t)name[0] * 7 + (uint64_t)name[1] * 131 + i * 65537};
    float value = (float)(lbw_random_unit(&random) - 0.5);
    return is_changed ? value * 0.75f + 0.01f : value;
}

static struct text make_tensor(const char *name, int64_t out, int64_t in, int64_t k,
                               bool is_changed)
{
    struct text tensor = {0};
    size_t count = (size_t)(out * in * k * k);
    const int64_t dims[] = {out, in, k, k};
    float *values = calloc(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = weight(name, i, is_changed);
    for (int i = 0; i < 4; i++)
        put_int(&tensor, 1, (uint64_t)dims[i]);
    put_int(&tensor, 2, TYPE(FLOAT));
    put_text(&tensor, 8, name);
    put_bytes(&tensor, 9, values, count * sizeof *values);
    free(values);
    return tensor;
}

static void add_weight(struct text *graph, const char *name, int64_t out, int64_t in, int64_t k,
                       bool is_changed)
{
    struct text tensor = make_tensor(name, out, in, k, is_changed);
    put_message(graph, 5, &tensor);
}

static void add_if(struct text *graph)
{
    struct text attributes = {0}, yes = {0}, no = {0};
    add_node(&yes, "Conv", "g w5", "t", NULL);
    add_node(&yes, "Add", "t ar", "yes", NULL);
    put_text(&yes, 2, "yes");
    put_port(&yes, 12, "yes");
    add_node(&no, "Add", "g g", "no", NULL);
    put_text(&no, 2, "no");
    put_port(&no, 12, "no");
    add_message(&attributes, "then_branch", 6, 5, &yes);
    add_message(&attributes, "else_branch", 6, 5, &no);
    add_node(graph, "If", "c", "h", &attributes);
}

static const char *const tensors[] = {"x", "ar", "d", "g", "h", "y", "wf"};

#define NUM_TENSORS (sizeof tensors / sizeof *tensors)

/* With the constants in `mask` changed, and every tensor above given out if `gives_all`. */
static struct text make_model(unsigned mask, bool gives_all)
{
    struct text graph = {0}, attributes = {0}, port = {0}, type = {0}, tensor = {0};
    add_pads(&attributes);
    add_node(&graph, "Conv", "x w0", "a", &attributes); /* 0 */
    add_node(&graph, "Relu", "a", "ar", NULL);          /* 1 */
    add_pads(&attributes);
    add_int(&attributes, "group", 8);
    add_node(&graph, "Conv", "ar w1", "d", &attributes); /* 2 */
    tensor = make_tensor("w2", 8, 8, 1, mask & WC);
    add_message(&attributes, "value", 5, 4, &tensor);
    add_node(&graph, "Constant", "", "w2", &attributes); /* 3 */
    add_node(&graph, "Conv", "d w2", "e", NULL);         /* 4 */
    add_node(&graph, "Conv", "ar w2", "f", NULL);        /* 5 */
    add_node(&graph, "Add", "e f", "g", NULL);           /* 6 */
    add_int(&attributes, "keepdims", 0);
    add_node(&graph, "ReduceMean", "x", "m", &attributes);   /* 7 */
    add_node(&graph, "Greater", "m zero", "c", NULL);        /* 8 */
    add_if(&graph);                                          /* 9 */
    add_node(&graph, "Identity", "w6", "wf", NULL);          /* 10 */
    add_node(&graph, "SequenceConstruct", "h g", "q", NULL); /* 11 */
    add_node(&graph, "Conv", "h wf", "o", NULL);             /* 12 */
    add_node(&graph, "SequenceAt", "q first", "s", NULL);    /* 13 */
    add_node(&graph, "Add", "o s", "y", NULL);               /* 14 */
    put_text(&graph, 2, "g");
    add_weight(&graph, "w0", 8, 4, 3, mask & W0);
    add_weight(&graph, "w1", 8, 1, 3, mask & WD);
    add_weight(&graph, "w5", 8, 8, 1, mask & WI);
    add_weight(&graph, "w6", 8, 8, 1, mask & WID);
    put_initializer(&graph, "zero", 0, 1);
    put_int(&tensor, 2, TYPE(INT64));
    put_int(&tensor, 7, 0);
    put_text(&tensor, 8, "first");
    put_message(&graph, 5, &tensor);
    put_text(&port, 1, "x");
    put_int(&tensor, 1, TYPE(FLOAT));
    put_message(&type, 1, &tensor);
    put_message(&port, 2, &type);
    put_message(&graph, 11, &port);
    put_port(&graph, 12, "y");
    for (size_t i = 0; i < NUM_TENSORS && gives_all; i++)
        if (strcmp(tensors[i], "y") != 0 && strcmp(tensors[i], "x") != 0)
            put_port(&graph, 12, tensors[i]);
    return wrap(&graph);
}

/* ---- what must come out ---- */

static struct lbw_array expected(const char *name, unsigned mask, size_t sample)
{
    const struct lbw_session_params params = {.num_threads = 1, .optimize = 0};
    struct text model = make_model(mask, true);
    struct lbw_session *session;
    struct lbw_error err = {0};
    struct lbw_array input, outputs[8], result = {0};
    lbw_feed_get(&noise, sample, &input, NULL);
    if (strcmp(name, "x") == 0) {
        free(model.data);
        return input;
    }
    if (lbw_session_open(&session, model.data, model.size, &params, &err) != LBW_OK ||
        lbw_session_run(session, &input, outputs, &err) != LBW_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < lbw_session_num_outputs(session); i++)
        if (strcmp(lbw_session_output_name(session, i), name) == 0)
            result = outputs[i];
        else
            lbw_array_release(&outputs[i]);
    lbw_session_close(&session);
    lbw_array_release(&input);
    free(model.data);
    return result;
}

/* One show(): what it must give, and where everything that was shown is collected. */
struct check {
    const char *name;
    unsigned mask;
    size_t num;
    bool is_sequential;
    struct text *seen;
};

static void compare(const char *name, const struct lbw_activation *values, const float *shown,
                    unsigned mask)
{
    struct lbw_array array = expected(name, mask, values->sample);
    const float *want = array.data;
    assert_int_equal(values->num_dims, array.num_dims);
    assert_memory_equal(values->dims, array.dims, array.num_dims * sizeof *array.dims);
    for (size_t i = 0; i < array.size / sizeof *want; i++)
        if (!(fabsf(shown[i] - want[i]) <= 1e-5f * (1 + fabsf(want[i]))))
            fail_msg("%s, sample %zu, %zu: %g, not %g", name, values->sample, i,
                     (double)shown[i], (double)want[i]);
    lbw_array_release(&array);
}

static enum lbw_status check_sample(void *user, const struct lbw_activation *values,
                                    struct lbw_error *err)
{
    struct check *check = user;
    size_t count = 1;
    (void)err;
    assert_int_equal(values->sample, check->num++);
    for (size_t i = 0; i < values->num_dims; i++)
        count *= (size_t)values->dims[i];
    put(check->seen, values->reference, count * sizeof(float));
    put(check->seen, values->converted, count * sizeof(float));
    compare(check->name, values, values->reference, 0);
    compare(check->name, values, values->converted, check->is_sequential ? check->mask : 0);
    if (!check->is_sequential)
        assert_ptr_equal(values->reference, values->converted);
    return LBW_OK;
}

static enum lbw_status check_outputs(void *user, const struct lbw_array *reference,
                                     const struct lbw_array *converted, struct lbw_error *err)
{
    const struct check *check = user;
    const struct lbw_activation values = {.sample = check->num,
                                          .num_dims = reference->num_dims,
                                          .dims = reference->dims,
                                          .reference = reference->data,
                                          .converted = converted->data};
    assert_int_equal(reference->size, converted->size);
    return check_sample(user, &values, err);
}

struct walk {
    struct lbw_activations *stages;
    bool is_sequential;
    struct text seen;
};

static void show(struct walk *walk, const char *name, unsigned mask)
{
    struct check check = {name, mask, 0, walk->is_sequential, &walk->seen};
    struct lbw_error err = {0};
    if (walk->stages->show(walk->stages, name, check_sample, &check, &err) != LBW_OK)
        fail_msg("%s: %s", name, err.message);
    assert_int_equal(check.num, NUM_SAMPLES);
}

static void refuse(struct walk *walk, const char *name)
{
    struct check check = {.name = name};
    struct lbw_error err = {0};
    assert_int_equal(walk->stages->show(walk->stages, name, check_sample, &check, &err),
                     LBW_ERR_UNSUPPORTED);
    assert_int_equal(check.num, 0);
    assert_non_null(strstr(err.message, name));
}

static void replace(struct walk *walk, const char *name, size_t count)
{
    float *values = calloc(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = weight(name, i, true);
    assert_int_equal(walk->stages->replace(walk->stages, name, values, count, NULL), LBW_OK);
    assert_int_equal(walk->stages->replace(walk->stages, name, values, count - 1, NULL),
                     LBW_ERR_ARGUMENT);
    free(values);
}

static void settle(struct walk *walk, size_t node)
{
    assert_int_equal(walk->stages->settle(walk->stages, node, NULL), LBW_OK);
}

/* As a converter would go: see a layer's input, replace its weight, settle, go on. */
static void go(struct walk *walk)
{
    show(walk, "x", 0);
    show(walk, "y", 0);
    replace(walk, "w0", 8 * 4 * 9);
    show(walk, "ar", W0);
    settle(walk, 2);
    show(walk, "ar", W0);
    replace(walk, "w1", 8 * 9);
    settle(walk, 4);
    show(walk, "d", W0 | WD);
    show(walk, "ar", W0 | WD);
    show(walk, "g", W0 | WD);
    replace(walk, "w2", 64);
    show(walk, "g", W0 | WD | WC);
    settle(walk, 9);
    refuse(walk, "d");
    replace(walk, "w5", 64);
    show(walk, "h", W0 | WD | WC | WI);
    settle(walk, 12); /* the sequence q reaches over this cut */
    show(walk, "h", W0 | WD | WC | WI);
    refuse(walk, "q");
    replace(walk, "w6", 64);
    show(walk, "wf", WID);
    show(walk, "y", W0 | WD | WC | WI | WID);
    settle(walk, 15);
    show(walk, "y", W0 | WD | WC | WI | WID);
    refuse(walk, "h");
    refuse(walk, "w0");
    refuse(walk, "nothing");
}

static struct text walk_with(uint64_t memory, unsigned num_threads, bool is_sequential)
{
    const struct lbw_stages_params params = {memory, num_threads, is_sequential};
    struct text text = make_model(0, false);
    struct lbw_model *model;
    struct walk walk = {.is_sequential = is_sequential};
    struct lbw_error err = {0};
    if (lbw_model_open_memory(&model, text.data, text.size, &err) != LBW_OK ||
        lbw_stages_open(&walk.stages, model, &noise, &params, &err) != LBW_OK)
        fail_msg("%s", err.message);
    assert_int_equal(walk.stages->num_samples, NUM_SAMPLES);
    go(&walk);
    lbw_stages_close(&walk.stages);
    assert_null(walk.stages);
    lbw_model_close(&model);
    free(text.data);
    return walk.seen;
}

static void test_walk(void **state)
{
    (void)state;
    struct text seen = walk_with(UINT64_MAX, 1, true);
    free(seen.data);
}

/* Neither the number of threads nor the memory changes a bit. */
static void test_same(void **state)
{
    (void)state;
    struct text plain = walk_with(UINT64_MAX, 1, true);
    struct text threads = walk_with(UINT64_MAX, 3, true);
    struct text filed = walk_with(0, 2, true);
    struct text mixed = walk_with(9000, 1, true);
    assert_int_equal(plain.size, threads.size);
    assert_memory_equal(plain.data, threads.data, plain.size);
    assert_int_equal(plain.size, filed.size);
    assert_memory_equal(plain.data, filed.data, plain.size);
    assert_int_equal(plain.size, mixed.size);
    assert_memory_equal(plain.data, mixed.data, plain.size);
    free(plain.data);
    free(threads.data);
    free(filed.data);
    free(mixed.data);
}

static void test_independent(void **state)
{
    (void)state;
    struct text seen = walk_with(UINT64_MAX, 2, false);
    free(seen.data);
}

static enum lbw_status stop(void *user, const struct lbw_activation *values,
                            struct lbw_error *err)
{
    (void)user;
    (void)values;
    (void)err;
    return LBW_ERR_INTERRUPTED;
}

/* A viewer's refusal comes back as it is, and does no harm. */
static void test_stop(void **state)
{
    (void)state;
    const struct lbw_stages_params params = {UINT64_MAX, 2, 1};
    struct text text = make_model(0, false);
    struct lbw_model *model;
    struct walk walk = {.is_sequential = true};
    assert_int_equal(lbw_model_open_memory(&model, text.data, text.size, NULL), LBW_OK);
    assert_int_equal(lbw_stages_open(&walk.stages, model, &noise, &params, NULL), LBW_OK);
    assert_int_equal(walk.stages->show(walk.stages, "x", stop, NULL, NULL),
                     LBW_ERR_INTERRUPTED);
    assert_int_equal(walk.stages->show(walk.stages, "g", stop, NULL, NULL),
                     LBW_ERR_INTERRUPTED);
    show(&walk, "g", 0);
    lbw_stages_close(&walk.stages);
    lbw_model_close(&model);
    free(walk.seen.data);
    free(text.data);
}

/* x -Conv-> a, a -Magic-> b, a -Conv-> c, b + c -> y: nobody knows what Magic does. */
static struct text make_magic(void)
{
    struct text graph = {0}, attributes = {0}, port = {0}, type = {0}, tensor = {0};
    add_node(&graph, "Conv", "x w0", "a", NULL);
    put_text(&attributes, 7, "com.example");
    add_node(&graph, "Magic", "a", "b", &attributes);
    add_node(&graph, "Conv", "a w1", "c", NULL);
    add_node(&graph, "Add", "b c", "y", NULL);
    put_text(&graph, 2, "g");
    add_weight(&graph, "w0", 8, 4, 3, false);
    add_weight(&graph, "w1", 8, 8, 1, false);
    put_text(&port, 1, "x");
    put_int(&tensor, 1, TYPE(FLOAT));
    put_message(&type, 1, &tensor);
    put_message(&port, 2, &type);
    put_message(&graph, 11, &port);
    put_port(&graph, 12, "y");
    return wrap(&graph);
}

static enum lbw_status count(void *user, const struct lbw_activation *values,
                             struct lbw_error *err)
{
    (void)err;
    assert_int_equal(values->sample, (*(size_t *)user)++);
    assert_int_equal(values->dims[1], 8);
    return LBW_OK;
}

/* What does not depend on a node the runtime refuses is shown all the same. */
static void test_magic(void **state)
{
    (void)state;
    const struct lbw_stages_params params = {UINT64_MAX, 2, 1};
    struct text text = make_magic();
    struct lbw_model *model;
    struct walk walk = {0};
    struct lbw_error err = {0};
    size_t num_seen = 0;
    assert_int_equal(lbw_model_open_memory(&model, text.data, text.size, NULL), LBW_OK);
    assert_int_equal(lbw_stages_open(&walk.stages, model, &noise, &params, NULL), LBW_OK);
    settle(&walk, 2);
    assert_int_equal(walk.stages->show(walk.stages, "a", count, &num_seen, NULL), LBW_OK);
    assert_int_equal(num_seen, NUM_SAMPLES);
    settle(&walk, 3);
    num_seen = 0;
    assert_int_equal(walk.stages->show(walk.stages, "c", count, &num_seen, NULL), LBW_OK);
    assert_int_equal(num_seen, NUM_SAMPLES);
    num_seen = 0;
    assert_int_equal(walk.stages->show(walk.stages, "y", count, &num_seen, &err),
                     LBW_ERR_UNSUPPORTED);
    assert_int_equal(num_seen, 0);
    assert_non_null(strstr(err.message, "Magic"));
    const char *const output = "y"; /* nor are there outputs to judge by */
    assert_int_equal(lbw_stages_finish(walk.stages, &output, 1, check_outputs, NULL, &err),
                     LBW_ERR_UNSUPPORTED);
    lbw_stages_close(&walk.stages);
    lbw_model_close(&model);
    free(text.data);
}

/* Both models run to their ends, across a sequence, whatever was settled before. */
static void finish(uint64_t memory, bool is_sequential)
{
    const struct lbw_stages_params params = {memory, 2, is_sequential};
    static const char *const names[] = {"y", "nothing"};
    struct text text = make_model(0, false);
    struct lbw_model *model;
    struct walk walk = {.is_sequential = is_sequential};
    struct lbw_error err = {0};
    struct check check = {"y", W0 | WI, 0, is_sequential, &walk.seen};
    assert_int_equal(lbw_model_open_memory(&model, text.data, text.size, NULL), LBW_OK);
    assert_int_equal(lbw_stages_open(&walk.stages, model, &noise, &params, NULL), LBW_OK);
    replace(&walk, "w0", 8 * 4 * 9);
    settle(&walk, 2);
    show(&walk, "ar", W0);
    replace(&walk, "w5", 64);
    if (lbw_stages_finish(walk.stages, names, 1, check_outputs, &check, &err) != LBW_OK)
        fail_msg("%s", err.message);
    assert_int_equal(check.num, NUM_SAMPLES);
    assert_int_equal(lbw_stages_finish(walk.stages, names, 2, check_outputs, &check, &err),
                     LBW_ERR_UNSUPPORTED);
    assert_int_equal(check.num, NUM_SAMPLES);
    lbw_stages_close(&walk.stages);
    lbw_model_close(&model);
    free(walk.seen.data);
    free(text.data);
}

static void test_finish(void **state)
{
    (void)state;
    finish(UINT64_MAX, true);
    finish(0, true);
    finish(UINT64_MAX, false);
}

static uint64_t identity(struct lbw_model *model, int sequential)
{
    const struct lbw_stages_params params = {UINT64_MAX, 2, sequential};
    struct lbw_activations *stages;
    assert_int_equal(lbw_stages_open(&stages, model, &noise, &params, NULL), LBW_OK);
    uint64_t result = stages->identity;
    lbw_stages_close(&stages);
    return result;
}

/* What a state file goes by: every sample, not the first alone, and the mode. */
static void test_identity(void **state)
{
    (void)state;
    struct text text = make_magic();
    struct lbw_model *model;
    assert_int_equal(lbw_model_open_memory(&model, text.data, text.size, NULL), LBW_OK);
    uint64_t first = identity(model, 1);
    assert_true(identity(model, 1) == first);
    assert_true(identity(model, 0) != first);
    last_seed = 77;
    assert_true(identity(model, 1) != first);
    last_seed = NUM_SAMPLES - 1;
    lbw_model_close(&model);
    free(text.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk),        cmocka_unit_test(test_same),
        cmocka_unit_test(test_independent), cmocka_unit_test(test_stop),
        cmocka_unit_test(test_magic),       cmocka_unit_test(test_identity),
        cmocka_unit_test(test_finish),
    };
    if (!has_runtime())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
