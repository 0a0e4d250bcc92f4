/* SPDX-License-Identifier: MIT */
/* lbw quantize: the main job, from a float model to one with low bit-width weights. */
#include <stdio.h>
#include <string.h>

#include <lbw/lbw.h>

#include "cli/calibrate_options.h"
#include "cli/commands.h"
#include "cli/encode_options.h"
#include "cli/picture.h"
#include "cli/plan_options.h"
#include "cli/progress.h"
#include "cli/save.h"
#include "cli/summary.h"
#include "cli/talk.h"

struct quantize_values {
    struct lbw_output_values output;
    struct lbw_plan_values plan;
    struct lbw_encode_values encode;
    struct lbw_calibrate_values calib;
    struct lbw_picture_values picture;
    uint64_t memory;
    bool no_sequential;
    const char *state;
    struct lbw_report_values report;
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
    return strcmp(v->calib.source, "none") != 0;
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
    const char *calib = job->v->calib.source;
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
    struct lbw_calibrate_params params = lbw_calibrate_from_options(&v->calib, &job->picture);
    params.memory = v->memory;
    params.independent = v->no_sequential;
    const char *assumed = NULL;
    lbw_progress_note("reading calibration data");
    enum lbw_status status =
        lbw_calibrate_open(&job->activations, job->model, &params, &assumed, &job->err);
    lbw_progress_clear();
    if (status != LBW_OK)
        return status;
    describe_data(job);
    if (assumed && !v->report.quiet)
        fprintf(stderr, "%s\n", assumed);
    return LBW_OK;
}

static enum lbw_status convert(struct job *job)
{
    const struct quantize_values *v = job->v;
    enum lbw_status status = lbw_model_open(&job->model, job->input, &job->err);
    if (status == LBW_OK)
        status = lbw_output_check(&v->output, job->model, &job->err);
    if (status == LBW_OK)
        status = lbw_picture_for_model(&job->picture, job->model, &v->picture, &job->err);
    if (status == LBW_OK)
        status = lbw_encode_lift(job->model, &v->encode, v->plan.requantize, &job->err);
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
        .damping = v->calib.damping,
        .progress = lbw_progress_step,
    };
    status = lbw_convert(&job->report, job->model, job->plan, &params, &job->err);
    lbw_progress_clear();
    if (status == LBW_OK)
        status = lbw_output_save(&v->output, job->model, &job->err);
    return status == LBW_OK ? lbw_report_save(&v->report, job->report, &job->err) : status;
}

static enum lbw_status print_result(struct job *job)
{
    const struct quantize_values *v = job->v;
    struct lbw_summary summary = {
        .input = job->input,
        .output = lbw_output_name(&v->output),
        .data = job->data,
        .encoding = (enum lbw_encoding)v->encode.encoding,
        .seconds = lbw_progress_seconds(),
    };
    return lbw_report_show(lbw_output_talk(&v->output), &v->report, job->report, &summary,
                           &job->err);
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

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)num_arguments;
    struct job job = {.v = values, .input = arguments[0]};
    if (!lbw_output_is_usable(&job.v->output, "quantize"))
        return LBW_EXIT_USAGE;
    lbw_progress_begin("converting", job.v->report.quiet);
    enum lbw_status status = convert(&job);
    lbw_progress_end();
    if (status == LBW_OK)
        status = print_result(&job);
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
    LBW_OUTPUT_OPTIONS(struct quantize_values, output),
    LBW_PLAN_OPTIONS(struct quantize_values, plan),
    LBW_ENCODE_OPTIONS(struct quantize_values, encode),
    LBW_CALIBRATE_OPTIONS(struct quantize_values, calib),
    LBW_PICTURE_OPTIONS(struct quantize_values, picture),
    {"no-sequential", 0, LBW_OPTION_FLAG, AT(no_sequential), NULL,
     "let layers see the float model only, not what was converted before them"},
    {"memory", 0, LBW_OPTION_BYTES, AT(memory), "SIZE",
     "for tensors kept during calibration; beyond it a temporary file serves (default 1G)"},
    {"state", 0, LBW_OPTION_STRING, AT(state), "FILE",
     "go on from this file, and write it after each layer"},
    LBW_REPORT_OPTIONS(struct quantize_values, report),
    {0},
};
/* clang-format on */

static const struct quantize_values defaults = {.calib.source = "generated"};

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
