/* SPDX-License-Identifier: MIT */
/* lbw convert: changes the encoding of weights without quantizing again. */
#include <stdio.h>

#include <lbw/lbw.h>

#include "cli/commands.h"
#include "cli/encode_options.h"
#include "cli/progress.h"
#include "cli/save.h"
#include "cli/talk.h"

struct convert_values {
    struct lbw_output_values output;
    struct lbw_encode_values encode;
    bool quiet;
};

/* The results to report. */
struct outcome {
    size_t num, num_plain;
    const char *note;
    uint64_t before; /* size of the model */
};

static enum lbw_status convert(struct lbw_model **model, struct outcome *outcome,
                               const char *path, const struct convert_values *v,
                               struct lbw_error *err)
{
    const struct lbw_encode_params params = lbw_encode_from_options(&v->encode);
    LBW_TRY(lbw_model_open(model, path, err));
    LBW_TRY(lbw_output_check(&v->output, *model, err));
    outcome->before = lbw_model_size(*model);
    LBW_TRY(
        lbw_reencode(&outcome->num, &outcome->num_plain, &outcome->note, *model, &params, err));
    return lbw_output_save(&v->output, *model, err);
}

static void tell(const struct lbw_model *model, const struct outcome *outcome,
                 const struct convert_values *v)
{
    char a[LBW_TEXT_SIZE], b[LBW_TEXT_SIZE];
    fprintf(lbw_output_talk(&v->output), "%s: %zu weight%s in encoding %s, %s to %s\n",
            lbw_output_name(&v->output), outcome->num, outcome->num == 1 ? "" : "s",
            lbw_encoding_name((enum lbw_encoding)v->encode.encoding),
            lbw_text_bytes(a, outcome->before), lbw_text_bytes(b, lbw_model_size(model)));
    if (!outcome->num && !outcome->num_plain)
        lbw_talk(v->encode.encoding == LBW_ENCODING_FLOAT
                     ? "warning: no weight was encoded; 'lbw quantize' does that"
                     : "warning: no weight is on a grid; 'lbw quantize' puts them there");
    if (outcome->num_plain)
        lbw_talk("warning: %zu weight%s plain: %s", outcome->num_plain,
                 outcome->num_plain == 1 ? " stays" : "s stay", outcome->note);
}

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)num_arguments;
    const struct convert_values *v = values;
    if (!lbw_output_is_usable(&v->output, "convert") ||
        !lbw_encode_is_usable(&v->encode, false, "convert"))
        return LBW_EXIT_USAGE;
    struct lbw_error err = {0};
    struct lbw_model *model = NULL;
    struct outcome outcome = {0};
    int code = LBW_EXIT_DONE;
    lbw_progress_begin("converting", true);
    enum lbw_status status = convert(&model, &outcome, arguments[0], v, &err);
    lbw_progress_end();
    if (status != LBW_OK)
        code = lbw_explain(&err);
    else if (!v->quiet)
        tell(model, &outcome, v);
    lbw_model_close(&model);
    return code;
}

/* clang-format off */
static const struct lbw_option options[] = {
    LBW_OUTPUT_OPTIONS(struct convert_values, output),
    LBW_ENCODE_OPTIONS(struct convert_values, encode),
    {"quiet", 'q', LBW_OPTION_FLAG, offsetof(struct convert_values, quiet), NULL,
     "print errors only"},
    {0},
};
/* clang-format on */

const struct lbw_command lbw_cmd_convert = {
    .name = "convert",
    .summary = "convert between encodings without loss",
    .arguments = "MODEL",
    .description = "Rewrites weights that are already on a grid, in any encoding, in another "
                   "encoding. Nothing is quantized: every weight keeps its exact value, which "
                   "'lbw inspect --digest' verifies. Plain float weights are included if a "
                   "grid represents them exactly.",
    .example = "lbw convert small.onnx -o dq.onnx --encoding dq --opset 21",
    .options = options,
    .values_size = sizeof(struct convert_values),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
