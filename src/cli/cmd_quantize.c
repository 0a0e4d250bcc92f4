/* SPDX-License-Identifier: MIT */
/* lbw quantize: the main job, from a float model to one with low bit-width weights. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <lbw/lbw.h>

#include "cli/commands.h"
#include "cli/encode_options.h"
#include "cli/picture.h"
#include "cli/plan_options.h"
#include "cli/progress.h"
#include "cli/save.h"
#include "cli/summary.h"
#include "cli/talk.h"

struct quantize_values {
    const char *output;
    struct lbw_plan_values plan;
    struct lbw_encode_values encode;
    const char *calib;
    int64_t samples, seed;
    uint64_t memory;
    struct lbw_picture_values picture;
    bool no_sequential;
    double damping;
    const char *state, *report;
    bool layers, json, quiet;
};

/* Everything the command opens, closed in one place. */
struct job {
    const struct quantize_values *v;
    const char *input;
    struct lbw_model *model;
    struct lbw_plan *plan;
    struct lbw_picture picture;
    struct lbw_activations *activations;
    struct lbw_report *report;
    char data[320]; /* what calibration used */
    struct lbw_error err;
};

static bool wants_calibration(const struct quantize_values *v)
{
    return strcmp(v->calib, "none") != 0;
}

static size_t num_planned(const struct lbw_plan *plan)
{
    size_t num = 0;
    for (size_t i = 0; i < lbw_plan_num_items(plan); i++)
        num += lbw_plan_item(plan, i)->grid != NULL;
    return num;
}

static void describe_data(struct job *job)
{
    const char *calib = job->v->calib;
    size_t num = lbw_calibrate_num_samples(job->activations);
    if (strncmp(calib, "generated", strlen("generated")) == 0)
        snprintf(job->data, sizeof job->data, "%zu generated pictures", num);
    else
        snprintf(job->data, sizeof job->data, "%zu samples of %s", num, calib);
}

/* Opens the calibration source, and says what was assumed about the input. */
static enum lbw_status open_calibration(struct job *job)
{
    const struct quantize_values *v = job->v;
    struct lbw_calibrate_params params = {
        .source = v->calib,
        .num_samples = (size_t)v->samples,
        .memory = v->memory,
        .seed = (uint64_t)v->seed,
        .independent = v->no_sequential,
    };
    const char *assumed = NULL;
    params.preprocess = job->picture.preprocess;
    params.width = job->picture.width;
    params.height = job->picture.height;
    lbw_progress_note("reading calibration data");
    enum lbw_status status =
        lbw_calibrate_open(&job->activations, job->model, &params, &assumed, &job->err);
    lbw_progress_clear();
    if (status != LBW_OK)
        return status;
    describe_data(job);
    if (assumed && !v->quiet)
        fprintf(stderr, "%s\n", assumed);
    return LBW_OK;
}

static enum lbw_status write_report(struct job *job)
{
    char *text = NULL;
    enum lbw_status status = lbw_report_print(&text, job->report, &job->err);
    if (status == LBW_OK)
        status = lbw_save_text(job->v->report, text, &job->err);
    lbw_free(text);
    return status;
}

static enum lbw_status convert(struct job *job)
{
    const struct quantize_values *v = job->v;
    enum lbw_status status = lbw_model_open(&job->model, job->input, &job->err);
    if (status == LBW_OK)
        status = lbw_picture_for_model(&job->picture, job->model, &v->picture, &job->err);
    if (status == LBW_OK && v->encode.opset)
        status = lbw_model_lift(job->model, v->encode.opset, &job->err);
    if (status == LBW_OK)
        status = lbw_plan_from_options(&job->plan, job->model, &v->plan, &job->err);
    if (status == LBW_OK && wants_calibration(v) && num_planned(job->plan))
        status = open_calibration(job);
    if (status != LBW_OK)
        return status;
    struct lbw_convert_params params = {
        .encoding = (enum lbw_encoding)v->encode.encoding,
        .inline_nodes = v->encode.inline_nodes,
        .target = (enum lbw_target)v->encode.target,
        .activations = job->activations,
        .state = v->state,
        .damping = v->damping,
        .progress = lbw_progress_step,
    };
    status = lbw_convert(&job->report, job->model, job->plan, &params, &job->err);
    lbw_progress_clear();
    if (status == LBW_OK)
        status = lbw_save_model(job->model, v->output, &job->err);
    if (status == LBW_OK && v->report)
        status = write_report(job);
    return status;
}

static enum lbw_status print_result(struct job *job, double seconds)
{
    const struct quantize_values *v = job->v;
    FILE *to = strcmp(v->output, "-") == 0 ? stderr : stdout;
    if (v->json) {
        char *text = NULL;
        enum lbw_status status = lbw_report_print(&text, job->report, &job->err);
        if (status == LBW_OK)
            fputs(text, to);
        lbw_free(text);
        return status;
    }
    struct lbw_summary summary = {
        .input = job->input,
        .output = strcmp(v->output, "-") == 0 ? "standard output" : v->output,
        .data = job->data,
        .encoding = (enum lbw_encoding)v->encode.encoding,
        .all_layers = v->layers,
        .seconds = seconds,
    };
    if (!v->quiet)
        lbw_summary_print(to, job->report, &summary);
    return LBW_OK;
}

static void warn(const struct job *job)
{
    if (!job->report->num_converted)
        lbw_talk("warning: no weight was converted");
    else if (!wants_calibration(job->v))
        lbw_talk("warning: --calib none only rounds; detectors lose many, often all, of their "
                 "boxes that way");
}

static int explain(const struct job *job)
{
    int code = lbw_explain(&job->err);
    if (job->err.status == LBW_ERR_RUNTIME)
        fputs("Calibration runs the model. To round without it, which costs a detector many or "
              "all "
              "of its\nboxes: --calib none.\n",
              stderr);
    return code;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)num_arguments;
    struct job job = {.v = values, .input = arguments[0]};
    if (!job.v->output)
        return lbw_usage_error("quantize", "where to? Say --output FILE");
    double started = now();
    lbw_progress_begin("converting", job.v->quiet);
    enum lbw_status status = convert(&job);
    lbw_progress_end();
    if (status == LBW_OK)
        status = print_result(&job, now() - started);
    int code = LBW_EXIT_DONE;
    if (status == LBW_OK)
        warn(&job);
    else
        code = explain(&job);
    lbw_report_free(&job.report);
    lbw_calibrate_close(&job.activations);
    lbw_profile_release(&job.picture.profile);
    lbw_plan_free(&job.plan);
    lbw_model_close(&job.model);
    return code;
}

#define AT(member) offsetof(struct quantize_values, member)

/* clang-format off */
static const struct lbw_option options[] = {
    {"output", 'o', LBW_OPTION_STRING, AT(output), "FILE",
     "the model to write; - is standard output, *.gz is compressed"},
    LBW_PLAN_OPTIONS(struct quantize_values, plan),
    LBW_ENCODE_OPTIONS(struct quantize_values, encode),
    {"calib", 'c', LBW_OPTION_STRING, AT(calib), "generated[:N]|DIR|FILE|none",
     "what calibration looks at: generated pictures, a folder of pictures, an .npz or .npy "
     "file; none only rounds (default generated)"},
    {"samples", 'n', LBW_OPTION_INT, AT(samples), "N",
     "at most so many of them (default 32 generated, 64 of a folder)", .min = 1,
     .max = 1000000},
    {"seed", 0, LBW_OPTION_INT, AT(seed), "N", "of generated pictures (default 0)", .min = 0,
     .max = 9007199254740992.0},
    LBW_PICTURE_OPTIONS(struct quantize_values, picture),
    {"no-sequential", 0, LBW_OPTION_FLAG, AT(no_sequential), NULL,
     "let layers see the float model only, not what was converted before them"},
    {"damping", 0, LBW_OPTION_FLOAT, AT(damping), "X",
     "added to the moments of a layer, as a share of their mean (default 0.1)", .min = 1e-9,
     .max = 10},
    {"memory", 0, LBW_OPTION_BYTES, AT(memory), "SIZE",
     "for tensors kept during calibration; beyond it a temporary file serves (default 1G)"},
    {"state", 0, LBW_OPTION_STRING, AT(state), "FILE",
     "go on from this file, and write it after each layer"},
    {"report", 0, LBW_OPTION_STRING, AT(report), "FILE", "write a report as JSON"},
    {"layers", 0, LBW_OPTION_FLAG, AT(layers), NULL, "list every layer, not only the worst"},
    {"json", 0, LBW_OPTION_FLAG, AT(json), NULL, "print the report instead of the summary"},
    {"quiet", 'q', LBW_OPTION_FLAG, AT(quiet), NULL, "say nothing but warnings and errors"},
    {0},
};
/* clang-format on */

static const struct quantize_values defaults = {.calib = "generated"};

const struct lbw_command lbw_cmd_quantize = {
    .name = "quantize",
    .summary = "convert the weights of a model",
    .arguments = "MODEL",
    .description =
        "Converts the convolution weights of MODEL to zero or a power of two times a scale, "
        "and "
        "writes a model that stock runtimes load.\n\n"
        "Rounding alone would ruin a detector, so each layer is fitted to what it computes: "
        "pictures run through the float model and the model as converted so far, and the layer "
        "takes up the difference. Without pictures of yours, generated ones serve; some dozen "
        "real ones are better.",
    .example = "lbw quantize model.onnx -o small.onnx --bits 4 --calib pictures/",
    .options = options,
    .values_size = sizeof(struct quantize_values),
    .defaults = &defaults,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
