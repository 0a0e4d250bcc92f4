/* SPDX-License-Identifier: MIT */
/* flow: what derives from constants alone may run once per stage; what is random may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../check.h"
#include "../graph.h"
#include "calib/flow.h"

/* The kind of "y", made from constant "c" in three ways: plainly, in a body, by a function. */
static enum lbw_flow_kind kind_of(const char *op, int way)
{
    struct text graph = {0}, body = {0}, attributes = {0};
    struct lbw_flow flow;
    struct lbw_error err = {0};
    if (way == 0)
        put_op(&graph, op, "c", "y", NULL);
    if (way == 1) {
        put_op(&body, op, "c", "inner", NULL);
        put_port(&body, 12, "inner");
        attribute_message(&attributes, "then_branch", 6, 5, &body);
        put_op(&graph, "If", "c", "y", &attributes);
    }
    if (way == 2) {
        struct text node = {0};
        put_text(&node, 1, "c");
        put_text(&node, 2, "y");
        put_text(&node, 4, "f");
        put_text(&node, 7, "test");
        put_message(&graph, 1, &node);
    }
    put_vector(&graph, "c", 4, 0, 1);
    put_port(&graph, 12, "y");
    struct text bytes = finish_model(&graph, 8, 17);
    if (way == 2) {
        put_op(&body, op, "in", "out", NULL);
        put_function(&bytes, "f", "in", &body, 17);
    }
    struct lbw_model *model = open_text(&bytes);
    check(lbw_flow_init(&flow, model, &err), &err);
    enum lbw_flow_kind kind = lbw_flow_find(&flow, "y")->kind;
    lbw_flow_release(&flow);
    lbw_model_close(&model);
    return kind;
}

static void test_random(void **state)
{
    (void)state;
    static const char *const random[] = {"RandomNormalLike", "RandomUniformLike", "Multinomial",
                                         "Bernoulli"};
    for (int way = 0; way < 3; way++) {
        assert_int_equal(kind_of("Relu", way), LBW_FLOW_DERIVED);
        for (size_t i = 0; i < sizeof random / sizeof *random; i++)
            assert_int_equal(kind_of(random[i], way), LBW_FLOW_COMPUTED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
