/* SPDX-License-Identifier: MIT */
/* lbw expand: encoded weights back to plain floats, without loss. */
#include <stdio.h>

#include <lbw/lbw.h>

#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/save.h"
#include "cli/talk.h"

struct expand_values {
    struct lbw_output_values output;
    bool quiet;
};

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)num_arguments;
    const struct expand_values *v = values;
    if (!lbw_output_is_usable(&v->output, "expand"))
        return LBW_EXIT_USAGE;
    struct lbw_error err = {0};
    struct lbw_model *model = NULL;
    size_t num = 0;
    int code = LBW_EXIT_DONE;
    lbw_progress_begin("expanding", true);
    enum lbw_status status = lbw_model_open(&model, arguments[0], &err);
    uint64_t before = status == LBW_OK ? lbw_model_size(model) : 0, after = 0;
    size_t num_rounded = status == LBW_OK ? lbw_model_num_rounded(model) : 0;
    if (status == LBW_OK)
        status = lbw_output_check(&v->output, model, &err);
    if (status == LBW_OK)
        status = lbw_expand(model, &num, &err);
    if (status == LBW_OK) {
        after = lbw_model_size(model);
        num_rounded -= lbw_model_num_rounded(model);
        status = lbw_output_save(&v->output, model, &err);
    }
    lbw_progress_end();
    if (status != LBW_OK) {
        code = lbw_explain(&err);
    } else if (!v->quiet) {
        char a[LBW_TEXT_SIZE], b[LBW_TEXT_SIZE];
        fprintf(lbw_output_talk(&v->output), "%s: %zu weight%s expanded, %s to %s\n",
                lbw_output_name(&v->output), num, num == 1 ? "" : "s",
                lbw_text_bytes(a, before), lbw_text_bytes(b, after));
        if (num_rounded)
            lbw_talk("8-bit activations are float again: outputs differ from those of the "
                     "input by their rounding");
        if (!num)
            lbw_talk("warning: no weight was encoded; 'lbw quantize' does that");
    }
    lbw_model_close(&model);
    return code;
}

static const struct lbw_option options[] = {
    LBW_OUTPUT_OPTIONS(struct expand_values, output),
    {"quiet", 'q', LBW_OPTION_FLAG, offsetof(struct expand_values, quiet), NULL,
     "print errors only"},
    {0},
};

const struct lbw_command lbw_cmd_expand = {
    .name = "expand",
    .summary = "turn encoded weights back into plain float32",
    .arguments = "MODEL",
    .description = "Replaces every weight that lbw encoded, in any encoding, with the float32 "
                   "values it decodes to. 8-bit activations become float again: "
                   "the outputs then differ from those of MODEL by their rounding.",
    .example = "lbw expand small.onnx -o plain.onnx",
    .options = options,
    .values_size = sizeof(struct expand_values),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
