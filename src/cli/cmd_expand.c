/* SPDX-License-Identifier: MIT */
/* lbw expand: encoded weights back to plain float32, without loss. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <lbw/lbw.h>

#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/save.h"
#include "cli/talk.h"

struct expand_values {
    const char *output;
    bool quiet;
};

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)num_arguments;
    const struct expand_values *v = values;
    if (!v->output)
        return lbw_usage_error("expand", "where to? Say --output FILE");
    struct lbw_error err = {0};
    struct lbw_model *model = NULL;
    size_t num = 0;
    int code = LBW_EXIT_DONE;
    lbw_progress_begin("expanding", true);
    enum lbw_status status = lbw_model_open(&model, arguments[0], &err);
    uint64_t before = status == LBW_OK ? lbw_model_size(model) : 0, after = 0;
    if (status == LBW_OK)
        status = lbw_expand(model, &num, &err);
    if (status == LBW_OK) {
        after = lbw_model_size(model);
        status = lbw_save_model(model, v->output, &err);
    }
    lbw_progress_end();
    if (status != LBW_OK) {
        code = lbw_explain(&err);
    } else if (!v->quiet) {
        char a[LBW_TEXT_SIZE], b[LBW_TEXT_SIZE];
        FILE *to = strcmp(v->output, "-") == 0 ? stderr : stdout;
        fprintf(to, "%s: %zu weight%s expanded, %s to %s\n",
                to == stderr ? "standard output" : v->output, num, num == 1 ? "" : "s",
                lbw_text_bytes(a, before), lbw_text_bytes(b, after));
    }
    lbw_model_close(&model);
    return code;
}

static const struct lbw_option options[] = {
    {"output", 'o', LBW_OPTION_STRING, offsetof(struct expand_values, output), "FILE",
     "the model to write; - is standard output, *.gz is compressed"},
    {"quiet", 'q', LBW_OPTION_FLAG, offsetof(struct expand_values, quiet), NULL,
     "say nothing but errors"},
    {0},
};

const struct lbw_command lbw_cmd_expand = {
    .name = "expand",
    .summary = "turn encoded weights back into plain float32",
    .arguments = "MODEL",
    .description =
        "Replaces every weight that lbw encoded (packed, inline or dq) by exactly the "
        "float32 numbers it decodes to.",
    .example = "lbw expand small.onnx -o plain.onnx",
    .options = options,
    .values_size = sizeof(struct expand_values),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
