/* SPDX-License-Identifier: MIT */
/* lbw plan: what would be done to each weight, or why not. */
#include <stdio.h>

#include <lbw/lbw.h>

#include "cli/commands.h"
#include "cli/plan_options.h"
#include "cli/talk.h"

struct plan_values {
    struct lbw_plan_values plan;
    bool json;
};

static void talk_summary(const struct lbw_plan *plan)
{
    size_t num = lbw_plan_num_items(plan), converted = 0;
    uint64_t count = 0;
    for (size_t i = 0; i < num; i++) {
        const struct lbw_plan_item *item = lbw_plan_item(plan, i);
        if (!item->grid)
            continue;
        converted++;
        count += item->count;
    }
    char text[LBW_TEXT_SIZE];
    fprintf(stderr, "%zu of %zu weight%s would be converted, %s parameters", converted, num,
            num == 1 ? "" : "s", lbw_text_count(text, count));
    size_t folded = lbw_plan_num_folded(plan);
    if (folded)
        fprintf(stderr, "; %zu BatchNormalization%s folded", folded, folded == 1 ? "" : "s");
    putc('\n', stderr);
}

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)num_arguments;
    const struct plan_values *v = values;
    struct lbw_error err = {0};
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    char *text = NULL;
    int code = LBW_EXIT_DONE;
    enum lbw_status status = lbw_model_open(&model, arguments[0], &err);
    if (status == LBW_OK)
        status = lbw_plan_from_options(&plan, model, &v->plan, &err);
    if (status == LBW_OK)
        status = lbw_plan_print(&text, plan, v->json, &err);
    if (status == LBW_OK) {
        fputs(text, stdout);
        fflush(stdout);
        talk_summary(plan);
    } else {
        code = lbw_explain(&err);
    }
    lbw_free(text);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    return code;
}

/* clang-format off */
static const struct lbw_option options[] = {
    LBW_PLAN_OPTIONS(struct plan_values, plan),
    {"json", 0, LBW_OPTION_FLAG, offsetof(struct plan_values, json), NULL,
     "print JSON instead of text"},
    {0},
};
/* clang-format on */

const struct lbw_command lbw_cmd_plan = {
    .name = "plan",
    .summary = "show what would be done to each weight, and why",
    .arguments = "MODEL",
    .description = "Prints one line per weight: what 'lbw quantize' with the same options "
                   "would do with it, or why it would not be converted. The output can be "
                   "edited and passed back with --plan.",
    .example = "lbw plan model.onnx --bits 4 --bits 'head=6' > model.plan",
    .options = options,
    .values_size = sizeof(struct plan_values),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
