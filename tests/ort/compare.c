/* SPDX-License-Identifier: MIT */
/* lbw_compare() on models whose differences are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>

#include <cmocka.h>

#include <lbw/runtime.h>

#include "fixture.h"
#include "runtime.h"

static void add_dims(struct text *tensor, const int64_t *dims, size_t num)
{
    struct text shape = {0};
    for (size_t i = 0; i < num; i++) {
        struct text dim = {0};
        put_int(&dim, 1, (uint64_t)dims[i]);
        put_message(&shape, 1, &dim);
    }
    put_message(tensor, 2, &shape);
}

/* Takes an image `input` of 3x8x8; `lines` are "Op inputs > output", all given out in order.
 */
static struct lbw_model *make(const char *input, const char *const *lines)
{
    struct text graph = {0}, port = {0}, type = {0}, tensor = {0};
    const int64_t dims[] = {1, 3, 8, 8};
    put_text(&graph, 2, "g");
    put_initializer(&graph, "zero", 0, 1);
    put_initializer(&graph, "two", 2, 1);
    put_initializer(&graph, "more", 2.5f, 1);
    for (; *lines; lines++) {
        char op[32], inputs[64], output[32];
        assert_int_equal(sscanf(*lines, "%31s %63[^>]> %31s", op, inputs, output), 3);
        put_node(&graph, 1, op, inputs, output, NULL);
        put_port(&graph, 12, output);
    }
    put_text(&port, 1, input);
    put_int(&tensor, 1, TYPE(FLOAT));
    add_dims(&tensor, dims, 4);
    put_message(&type, 1, &tensor);
    put_message(&port, 2, &type);
    put_message(&graph, 11, &port);
    struct text text = wrap(&graph);
    struct lbw_model *model = NULL;
    struct lbw_error err = {0};
    if (lbw_model_open_memory(&model, text.data, text.size, &err) != LBW_OK)
        fail_msg("%s", err.message);
    free(text.data);
    return model;
}

static enum lbw_status compare(struct lbw_comparison **out, const char *input_a,
                               const char *const *a, const char *input_b, const char *const *b,
                               struct lbw_error *err)
{
    const struct lbw_compare_params params = {.num_samples = 2};
    struct lbw_model *model_a = make(input_a, a), *model_b = make(input_b, b);
    enum lbw_status status = lbw_compare(out, model_a, model_b, &params, err);
    lbw_model_close(&model_a);
    lbw_model_close(&model_b);
    return status;
}

static void test_numbers(void **state)
{
    (void)state;
    const char *const a[] = {"Mul x two > y", "Shape x > s", "Log zero > l", NULL};
    const char *const b[] = {"Log zero > l", "Mul x more > y", "Shape x > s", NULL};
    struct lbw_comparison *c = NULL;
    struct lbw_error err = {0};
    if (compare(&c, "x", a, "x", b, &err) != LBW_OK)
        fail_msg("%s", err.message);
    assert_int_equal(c->num_samples, 2);
    assert_int_equal(c->num_rows, 3);
    const struct lbw_compare_row *y = lbw_comparison_row(c, 0), *s = lbw_comparison_row(c, 1),
                                 *l = lbw_comparison_row(c, 2);
    assert_string_equal(y->name, "y");
    assert_string_equal(y->type, "float32");
    assert_int_equal(y->num_dims, 4);
    assert_int_equal(y->dims[3], 8);
    assert_int_equal(y->num_values, 2 * 3 * 8 * 8);
    assert_int_equal(y->num_unlike, 0);
    assert_true(y->max_value > 0);
    assert_true(fabs(y->relative_error - 0.25) < 1e-6);
    assert_true(fabs(y->max_error - y->max_value / 4) < 1e-6 * y->max_value);
    assert_true(fabs(y->snr - 10 * log10(16)) < 1e-4);
    assert_true(fabs(y->cosine - 1) < 1e-6);
    assert_string_equal(s->type, "int64");
    assert_true(s->max_error == 0 && s->relative_error == 0 && s->max_value == 8);
    assert_true(isinf(s->snr) && s->snr > 0 && fabs(s->cosine - 1) < 1e-12);
    assert_true(l->max_error == 0 && l->relative_error == 0 && l->cosine == 1);
    lbw_comparison_free(&c);
    assert_null(c);
}

/* A sequence is named and left out; the others are compared. */
static void test_sequence(void **state)
{
    (void)state;
    const char *const a[] = {"SequenceConstruct x > q", "Mul x two > y", NULL};
    const char *const alone[] = {"SequenceConstruct x > q", NULL};
    struct lbw_comparison *c = NULL;
    struct lbw_error err = {0};
    if (compare(&c, "x", a, "x", a, &err) != LBW_OK)
        fail_msg("%s", err.message);
    assert_true(lbw_comparison_row(c, 0)->is_skipped);
    assert_string_equal(lbw_comparison_row(c, 0)->name, "q");
    assert_false(lbw_comparison_row(c, 1)->is_skipped);
    assert_true(lbw_comparison_row(c, 1)->max_error == 0);
    assert_true(lbw_comparison_row(c, 1)->num_values > 0);
    lbw_comparison_free(&c);
    assert_int_equal(compare(&c, "x", alone, "x", alone, &err), LBW_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "no output of both is a tensor of numbers"));
}

/* NaN against NaN agrees; a number against NaN or infinity does not; nor do other shapes. */
static void test_unlike(void **state)
{
    (void)state;
    const char *const a[] = {"Sub zero more > m", "Sqrt m > n", "Mul x zero > q", "Shape x > t",
                             NULL};
    const char *const b[] = {"Sub zero more > m", "Sqrt m > n", "Div x zero > q",
                             "Shape two > t", NULL};
    struct lbw_comparison *c = NULL;
    struct lbw_error err = {0};
    if (compare(&c, "x", a, "x", b, &err) != LBW_OK)
        fail_msg("%s", err.message);
    const struct lbw_compare_row *n = lbw_comparison_row(c, 1), *q = lbw_comparison_row(c, 2),
                                 *t = lbw_comparison_row(c, 3);
    assert_int_equal(n->num_values, 2);
    assert_int_equal(n->num_unlike, 0);
    assert_true(n->max_error == 0);
    assert_int_equal(q->num_unlike, q->num_values);
    assert_true(isinf(q->max_error) && isinf(q->relative_error) && q->snr == -INFINITY);
    assert_false(isnan(q->cosine));
    assert_false(t->has_same_shape);
    assert_true(t->num_dims == 1 && t->dims[0] == 4 && t->num_dims_b == 1 && t->dims_b[0] == 1);
    assert_true(isinf(t->relative_error));
    lbw_comparison_free(&c);
}

static void refuse(const char *input_b, const char *const *b, const char *word)
{
    const char *const a[] = {"Mul x two > y", NULL};
    struct lbw_comparison *c = NULL;
    struct lbw_error err = {0};
    assert_int_equal(compare(&c, "x", a, input_b, b, &err), LBW_ERR_ARGUMENT);
    assert_null(c);
    if (!strstr(err.message, word))
        fail_msg("%s", err.message);
}

/* Outputs of one model alone are named after those of A; the others are compared. */
static void test_missing(void **state)
{
    (void)state;
    const char *const a[] = {"Abs x > old", "Mul x two > y", NULL};
    const char *const b[] = {"Mul x more > y", "Abs x > new", "Abs y > more_of_it", NULL};
    struct lbw_comparison *c = NULL;
    struct lbw_error err = {0};
    if (compare(&c, "x", a, "x", b, &err) != LBW_OK)
        fail_msg("%s", err.message);
    static const struct {
        const char *name, *reason;
    } rows[] = {{"old", "only in model A"},
                {"y", ""},
                {"new", "only in model B"},
                {"more_of_it", "only in model B"}};
    assert_int_equal(c->num_rows, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(lbw_comparison_row(c, i)->name, rows[i].name);
        assert_string_equal(lbw_comparison_row(c, i)->reason, rows[i].reason);
        assert_int_equal(lbw_comparison_row(c, i)->is_skipped, *rows[i].reason != '\0');
        assert_int_equal(lbw_comparison_row(c, i)->is_missing, *rows[i].reason != '\0');
    }
    assert_true(fabs(lbw_comparison_row(c, 1)->relative_error - 0.25) < 1e-6);
    lbw_comparison_free(&c);
}

static void test_names(void **state)
{
    (void)state;
    refuse("x", (const char *const[]){"Mul x two > z", NULL}, "'y'");
    refuse("u", (const char *const[]){"Mul u two > y", NULL}, "'u'");
}

static int stop(void *user, const char *what, size_t done, size_t total)
{
    (void)what;
    assert_int_equal(total, 3);
    *(size_t *)user = done;
    return done == 1;
}

static void test_stop(void **state)
{
    (void)state;
    size_t done = 0;
    const struct lbw_compare_params params = {
        .source = "generated:3", .num_samples = 8, .progress = stop, .user = &done};
    const char *const lines[] = {"Mul x two > y", NULL};
    struct lbw_model *a = make("x", lines), *b = make("x", lines);
    struct lbw_comparison *c = NULL;
    assert_int_equal(lbw_compare(&c, a, b, &params, NULL), LBW_ERR_INTERRUPTED);
    assert_int_equal(done, 1);
    assert_null(c);
    lbw_model_close(&a);
    lbw_model_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_unlike),
        cmocka_unit_test(test_sequence), cmocka_unit_test(test_names),
        cmocka_unit_test(test_missing),  cmocka_unit_test(test_stop),
    };
    if (!has_runtime())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
