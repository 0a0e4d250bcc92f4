/* SPDX-License-Identifier: MIT */
/*
 * search/probe: rounding weights that no gradient reaches is measured by runs of the model, and
 * bits follow what it costs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "../check.h"
#include "../graph.h"
#include "../plan.h"
#include "../runtime.h"
#include <lbw/budget.h>

#include "pass/plan.h"
#include "search/probe.h"

static const int64_t picture[] = {1, 3, 16, 16};

static void put_conv(struct text *graph, const char *input, const char *output, int64_t from,
                     int64_t to)
{
    static const int64_t pads[] = {1, 1, 1, 1};
    struct text attributes = {0};
    char inputs[100], weight[50];
    snprintf(weight, sizeof weight, "%s.w", output);
    snprintf(inputs, sizeof inputs, "%s %s", input, weight);
    attribute_ints(&attributes, "pads", pads, 4);
    put_op(graph, "Conv", inputs, output, &attributes);
    put_weight(graph, weight, to, from, 3);
}

/* Three layers; behind the first one an operator without a gradient rule. */
static struct lbw_model *open_chain(void)
{
    struct text graph = {0};
    put_conv(&graph, "x", "a", 3, 16);
    put_op(&graph, "Sin", "a", "s", NULL);
    put_conv(&graph, "s", "b", 16, 16);
    put_conv(&graph, "b", "y", 16, 16);
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), picture, 4);
    put_typed_port(&graph, 12, "y", TYPE(FLOAT), NULL, 0);
    struct text bytes = finish_model(&graph, 8, 13);
    return open_text(&bytes);
}

static const struct lbw_plan_params all = {.all = true};

static void test_chain_is_known(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_model *model = open_chain();
    struct lbw_plan *plan = NULL;
    struct lbw_budget budget;
    void *before = NULL, *after = NULL;
    size_t size_before, size_after;
    check(prepare_and_plan(&plan, model, &all, &err), &err);
    const struct lbw_budget_params params = {.bits = 4.5};
    check(lbw_model_save_memory(model, &before, &size_before, &err), &err);
    check(lbw_plan_choose_bits(&budget, plan, &params, &err), &err);
    check(lbw_model_save_memory(model, &after, &size_after, &err), &err);
    assert_int_equal(budget.num_unknown, 0);
    assert_true(budget.loss > 0 && isfinite(budget.loss));
    for (size_t i = 0; i < lbw_plan_num_items(plan); i++)
        assert_true(lbw_plan_item(plan, i)->predicted_loss > 0);
    /* the model is as it was */
    assert_int_equal(size_before, size_after);
    assert_memory_equal(before, after, size_before);
    free(before);
    free(after);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
}

/* A loss that no grid reaches leaves weights in float, and one that 4x2 reaches does not. */
static void test_float_for_little_loss(void **state)
{
    (void)state;
    static const double losses[] = {1, .4};
    for (size_t k = 0; k < 2; k++) {
        struct lbw_error err = {0};
        struct lbw_model *model = open_chain();
        struct lbw_plan *plan = NULL;
        struct lbw_budget budget;
        size_t num_float = 0;
        check(prepare_and_plan(&plan, model, &all, &err), &err);
        const struct lbw_budget_params params = {.loss = losses[k]};
        check(lbw_plan_choose_bits(&budget, plan, &params, &err), &err);
        assert_true(budget.loss <= losses[k]);
        for (size_t i = 0; i < lbw_plan_num_items(plan); i++)
            num_float += !lbw_plan_item(plan, i)->grid;
        assert_int_equal(num_float > 0, k == 1);
        assert_true(num_float < lbw_plan_num_items(plan));
        lbw_plan_free(&plan);
        lbw_model_close(&model);
    }
}

/* Finer grids cost less. */
static void test_finer_grids(void **state)
{
    (void)state;
    struct lbw_error err = {0};
    struct lbw_model *model = open_chain();
    struct lbw_plan *plan = NULL;
    static const char *const grids[] = {"3", "4", "4x2"};
    static const size_t weights[] = {0, 1, 2};
    double losses[3][3];
    check(prepare_and_plan(&plan, model, &all, &err), &err);
    for (size_t g = 0; g < 3; g++) {
        const struct lbw_probe_params params = {.grid = lbw_grid_by_name(grids[g])};
        check(lbw_probe_weights(losses[g], plan, weights, 3, &params, &err), &err);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_true(losses[0][i] > 4 * losses[2][i]);
        assert_true(losses[1][i] > 4 * losses[2][i]);
        assert_true(losses[2][i] > 0);
    }
    lbw_plan_free(&plan);
    lbw_model_close(&model);
}

int main(void)
{
    if (!has_runtime())
        return EXIT_SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain_is_known),
        cmocka_unit_test(test_float_for_little_loss),
        cmocka_unit_test(test_finer_grids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
