/* SPDX-License-Identifier: MIT */
/* lbw compare: compares the outputs of two models. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <lbw/lbw.h>

#include "cli/commands.h"
#include "cli/json.h"
#include "cli/picture_options.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/talk.h"

struct compare_values {
    const char *data;
    int64_t samples, seed;
    double rtol; /* below 0: not given */
    struct lbw_picture_values picture;
    bool no_native, json;
};

static const struct compare_values defaults = {.data = "generated", .samples = 4, .rtol = -1};

static enum lbw_status compare(struct lbw_comparison **out, char **paths,
                               const struct compare_values *v, struct lbw_error *err)
{
    struct lbw_picture picture = {0};
    struct lbw_model *a = NULL, *b = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_model_open(&a, paths[0], err));
    LBW_OR_OUT(lbw_picture_for_model(&picture, a, &v->picture, err));
    const struct lbw_compare_params params = {
        .source = v->data,
        .num_samples = (size_t)v->samples,
        .preprocess = picture.preprocess,
        .width = picture.width,
        .height = picture.height,
        .seed = (uint64_t)v->seed,
        .no_native = v->no_native,
        .progress = lbw_progress_step,
    };
    LBW_OR_OUT(lbw_model_open(&b, paths[1], err));
    LBW_OR_OUT(lbw_compare(out, a, b, &params, err));
out:
    lbw_model_close(&a);
    lbw_model_close(&b);
    lbw_picture_release(&picture);
    return status;
}

/* The cells of an output that has no numbers; a shape of NULL is there already. */
static void print_dashes(struct lbw_table *table, const char *shape, const char *reason)
{
    if (shape)
        lbw_table_cell(table, "%s", shape);
    lbw_table_cell(table, "%s", reason);
    for (int i = 0; i < 3; i++)
        lbw_table_cell(table, "-");
}

static void print_table(const struct lbw_comparison *comparison)
{
    static const struct lbw_column columns[] = {
        {"output", LBW_ALIGN_SHRINK},  {"type", LBW_ALIGN_LEFT},
        {"shape", LBW_ALIGN_LEFT},     {"max error", LBW_ALIGN_RIGHT},
        {"relative", LBW_ALIGN_RIGHT}, {"SNR", LBW_ALIGN_RIGHT},
        {"cosine", LBW_ALIGN_RIGHT},
    };
    struct lbw_table table;
    lbw_table_init(&table, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < comparison->num_rows; i++) {
        const struct lbw_compare_row *row = lbw_comparison_row(comparison, i);
        char shape[96], shape_b[96];
        lbw_table_cell(&table, "%s", row->name);
        lbw_table_cell(&table, "%s", row->type);
        lbw_text_shape(shape, (size_t)row->num_dims, row->dims);
        lbw_text_shape(shape_b, (size_t)row->num_dims_b, row->dims_b);
        if (row->is_skipped)
            print_dashes(&table, "?", row->reason);
        else if (!row->has_same_shape) {
            lbw_table_cell(&table, "%s, B: %s", shape, shape_b);
            print_dashes(&table, NULL, "other shape");
        } else if (!row->num_values)
            print_dashes(&table, shape, "no values");
        else {
            lbw_table_cell(&table, "%s", shape);
            lbw_table_cell(&table, "%.3g", row->max_error);
            lbw_table_cell(&table, "%.3g", row->relative_error);
            lbw_table_cell(&table, row->max_error > 0 ? "%.1f dB" : "equal", row->snr);
            lbw_table_cell(&table, "%.6f", row->cosine);
        }
    }
    lbw_table_print(&table, stdout, 0);
    lbw_table_release(&table);
    putchar('\n');
    lbw_print_line(stdout, comparison->assumed);
}

static json_t *json_row(const struct lbw_compare_row *row)
{
    json_t *dims = json_array();
    for (int i = 0; i < row->num_dims; i++)
        lbw_json_append(&dims, json_integer(row->dims[i]));
    return json_pack("{s:o, s:s, s:b, s:s, s:o, s:b, s:I, s:I, s:o, s:o, s:o, s:o, s:o}",
                     "output", lbw_json_text(row->name), "type", row->type, "compared",
                     (int)!row->is_skipped, "reason", row->reason, "shape", dims, "same_shape",
                     (int)row->has_same_shape, "values", (json_int_t)row->num_values, "unlike",
                     (json_int_t)row->num_unlike, "max_error", lbw_json_real(row->max_error),
                     "max_value", lbw_json_real(row->max_value), "relative_error",
                     lbw_json_real(row->relative_error), "snr", lbw_json_real(row->snr),
                     "cosine", lbw_json_real(row->cosine));
}

static int print_json(const struct lbw_comparison *comparison, bool is_met)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < comparison->num_rows; i++)
        lbw_json_append(&rows, json_row(lbw_comparison_row(comparison, i)));
    return lbw_json_print(
        json_pack("{s:I, s:o, s:o, s:b, s:o}", "samples", (json_int_t)comparison->num_samples,
                  "input", lbw_json_text(comparison->assumed), "of_layers",
                  lbw_json_text(comparison->of_layers), "met", (int)is_met, "outputs", rows));
}

/* Whether both models have the same outputs; warns of those that were not compared. */
static bool warn_of_skipped(const struct lbw_comparison *comparison)
{
    bool are_same = true;
    for (size_t i = 0; i < comparison->num_rows; i++) {
        const struct lbw_compare_row *row = lbw_comparison_row(comparison, i);
        if (!row->is_skipped)
            continue;
        lbw_talk("warning: output '%s' was not compared: %s", row->name, row->reason);
        are_same = are_same && !row->is_missing;
    }
    return are_same;
}

/* The output that differs most. */
static const struct lbw_compare_row *worst_row(const struct lbw_comparison *comparison)
{
    const struct lbw_compare_row *worst = NULL;
    for (size_t i = 0; i < comparison->num_rows; i++)
        if (!worst || lbw_comparison_row(comparison, i)->relative_error > worst->relative_error)
            worst = lbw_comparison_row(comparison, i);
    return worst;
}

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)num_arguments;
    const struct compare_values *v = values;
    struct lbw_comparison *comparison = NULL;
    struct lbw_error err = {0};
    if (!lbw_picture_is_usable(&v->picture, v->data, "compare"))
        return LBW_EXIT_USAGE;
    lbw_progress_begin("comparing", v->json);
    enum lbw_status status = compare(&comparison, arguments, v, &err);
    lbw_progress_end();
    if (status != LBW_OK)
        return lbw_explain(&err);
    const struct lbw_compare_row *worst = worst_row(comparison);
    bool are_same = warn_of_skipped(comparison);
    if (*comparison->of_layers)
        lbw_talk("warning: compared at the last layers only: %s", comparison->of_layers);
    bool is_met = v->rtol < 0 || (are_same && (!worst || worst->relative_error <= v->rtol));
    int code = LBW_EXIT_DONE;
    if (v->json)
        code = print_json(comparison, is_met);
    else
        print_table(comparison);
    if (!is_met && code == LBW_EXIT_DONE) {
        if (worst && worst->relative_error > v->rtol)
            lbw_talk("output '%s' is off by %.3g of its largest magnitude, more than %g",
                     worst->name, worst->relative_error, v->rtol);
        else
            lbw_talk("the models have different outputs");
        code = LBW_EXIT_UNMET;
    }
    lbw_comparison_free(&comparison);
    return code;
}

#define AT(member) offsetof(struct compare_values, member)

static const struct lbw_option options[] = {
    {"data", 'd', LBW_OPTION_STRING, AT(data), "generated[:N]|DIR|FILE",
     "input data: generated images (default), a folder of JPEG and PNG files, or arrays in an "
     ".npz or .npy file"},
    {"samples", 'n', LBW_OPTION_INT, AT(samples), "N", "use at most N samples (default 4)",
     .min = 1, .max = 1000000},
    {"seed", 0, LBW_OPTION_INT, AT(seed), "N", "seed of generated images (default 0)", .min = 0,
     .max = 9e15},
    {"rtol", 0, LBW_OPTION_FLOAT, AT(rtol), "X",
     "exit with status 3 if an output's largest error exceeds X times its largest magnitude",
     .min = 0, .max = 1e300},
    LBW_PICTURE_OPTIONS(struct compare_values, picture),
    LBW_NATIVE_OPTION(AT(no_native)),
    {"json", 0, LBW_OPTION_FLAG, AT(json), NULL, "print JSON; infinite numbers are null"},
    {0},
};

const struct lbw_command lbw_cmd_compare = {
    .name = "compare",
    .summary = "run two models on the same inputs and compare their outputs",
    .arguments = "A B",
    .description = "Runs both models in ONNX Runtime and prints for each output the largest "
                   "error, absolute and relative to the largest magnitude in A, the "
                   "signal-to-noise ratio and the cosine similarity.",
    .example = "lbw compare yolox.onnx yolox-5.onnx --data photos --samples 16",
    .options = options,
    .values_size = sizeof(struct compare_values),
    .defaults = &defaults,
    .min_arguments = 2,
    .max_arguments = 2,
    .run = run,
};
