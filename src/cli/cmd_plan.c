/* SPDX-License-Identifier: MIT */
/* lbw plan: prints what would be done to each weight, and why. */
#include <math.h>
#include <stdio.h>

#include <lbw/lbw.h>

#include "cli/commands.h"
#include "cli/conversion.h"
#include "cli/progress.h"
#include "cli/talk.h"

struct plan_values {
    struct lbw_conversion_values all;
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
    struct lbw_conversion c = {
        .v = &v->all, .input = arguments[0], .wants_check = true, .only_plans = true};
    char *text = NULL;
    int code = LBW_EXIT_DONE;
    if (!lbw_activations_are_usable(&v->all.plan, "plan") ||
        !lbw_picture_is_usable(&v->all.picture, v->all.calib.source, "plan"))
        return LBW_EXIT_USAGE;
    lbw_progress_begin("planning", false);
    enum lbw_status status = lbw_conversion_open(&c);
    lbw_progress_end();
    if (status == LBW_OK)
        status = lbw_plan_print(&text, c.plan, v->json, &c.err);
    if (status == LBW_OK) {
        fputs(text, stdout);
        fflush(stdout);
        talk_summary(c.plan);
        if (c.is_auto && isnan(c.budget.loss) && c.budget.bits > 0)
            fprintf(stderr, "%.2f bits per weight\n", c.budget.bits);
        else if (c.is_auto && !isnan(c.budget.loss))
            fprintf(stderr,
                    "%.2f bits per weight; predicted loss %.2f of that of 4x2 everywhere\n",
                    c.budget.bits, c.budget.loss);
    } else {
        code = lbw_explain(&c.err);
    }
    lbw_free(text);
    lbw_conversion_close(&c);
    return code;
}

/* clang-format off */
static const struct lbw_option options[] = {
    LBW_PLAN_OPTIONS(struct plan_values, all.plan),
    LBW_BUDGET_OPTIONS(struct plan_values, all.plan),
    LBW_CALIBRATE_OPTIONS(struct plan_values, all.calib),
    LBW_PICTURE_OPTIONS(struct plan_values, all.picture),
    LBW_ACTIVATIONS_OPTIONS(struct plan_values, all.plan),
    {"json", 0, LBW_OPTION_FLAG, offsetof(struct plan_values, json), NULL,
     "print JSON instead of text"},
    {0},
};
/* clang-format on */

static const struct plan_values defaults = {.all.calib.source = "generated"};

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
    .defaults = &defaults,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
