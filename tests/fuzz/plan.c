/* SPDX-License-Identifier: MIT */
/* Fuzz target: whatever a plan file holds, it is refused, or printed and read again the same.
 */
#include <string.h>

#include "../fixture.h"
#include "../plan.h"
#include "fuzz.h"
#include "pass/plan.h"

static struct text bytes;
static struct lbw_model *model; /* anew for each input: what plans take stays in its arena */

/* x -Conv(w)-> a -Conv("a b")-> b -Conv("q\"\\\n#")-> c -Conv(computed)-> y */
static void prepare(void)
{
    static const char *const names[] = {"w", "a b", "q\"\\\n#"};
    static const int64_t dims[] = {4, 4, 1, 1};
    struct text graph = {0};
    put_text(&graph, 2, "g");
    for (size_t k = 0; k < 4; k++) {
        struct text node = {0}, tensor = {0};
        char in[2] = {(char)('a' + k), '\0'}, out[2] = {(char)('b' + k), '\0'};
        float values[16];
        put_text(&node, 1, in);
        put_text(&node, 1, k < 3 ? names[k] : "computed");
        put_text(&node, 2, out);
        put_text(&node, 4, "Conv");
        put_message(&graph, 1, &node);
        if (k == 3)
            continue;
        for (size_t i = 0; i < 16; i++) {
            values[i] = (float)(i * i) + 0.1f;
            if (i < 4)
                put_int(&tensor, 1, (uint64_t)dims[i]);
        }
        put_int(&tensor, 2, TYPE(FLOAT));
        put_text(&tensor, 8, names[k]);
        put_bytes(&tensor, 9, values, sizeof values);
        put_message(&graph, 5, &tensor);
    }
    put_node(&graph, 1, "Relu", "w", "computed", NULL);
    put_port(&graph, 11, "a");
    put_port(&graph, 12, "e");
    bytes = wrap(&graph);
}

static struct lbw_plan *new_plan(void)
{
    struct lbw_plan *plan = NULL;
    if (prepare_and_plan(&plan, model, &(struct lbw_plan_params){.all = true}, NULL) != LBW_OK)
        abort();
    return plan;
}

static char *print(const struct lbw_plan *plan, bool json)
{
    char *text = NULL;
    if (lbw_plan_print(&text, plan, json, NULL) != LBW_OK)
        abort();
    return text;
}

/* What was printed says the same when it is read; reasons may differ. */
static void read_back(const struct lbw_plan *plan, bool json)
{
    struct lbw_plan *again = new_plan();
    char *text = print(plan, json);
    if (lbw_plan_apply(again, fuzz_file(text, strlen(text)), NULL) != LBW_OK)
        abort();
    for (size_t i = 0; i < plan->num_weights; i++) {
        const struct lbw_plan_item *a = &plan->weights[i].item, *b = &again->weights[i].item;
        if (a->grid != b->grid || a->scale != b->scale || a->group != b->group)
            abort();
    }
    lbw_free(text);
    lbw_plan_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lbw_error err = {0};
    if (!bytes.data)
        prepare();
    if (lbw_model_open_memory(&model, bytes.data, bytes.size, NULL) != LBW_OK)
        abort();
    struct lbw_plan *plan = new_plan();
    if (lbw_plan_apply(plan, fuzz_file(data, size), &err) == LBW_OK) {
        read_back(plan, false);
        read_back(plan, true);
    } else if (!*err.message) {
        abort();
    }
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    return 0;
}
