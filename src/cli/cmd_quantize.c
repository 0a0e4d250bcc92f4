/* SPDX-License-Identifier: MIT */
/* lbw quantize: the main command, from a float model to one with low bit-width weights. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lbw/lbw.h>

#include "cli/commands.h"
#include "cli/conversion.h"
#include "cli/progress.h"
#include "cli/talk.h"

struct quantize_values {
    struct lbw_conversion_values all;
    bool no_sequential;
    double keep;
};

static bool wants_calibration(const struct lbw_conversion *c)
{
    return strcmp(c->v->calib.source, "none") != 0;
}

static size_t num_planned(const struct lbw_plan *plan)
{
    size_t num = 0;
    for (size_t i = 0; i < lbw_plan_num_items(plan); i++)
        num += lbw_plan_item(plan, i)->grid != NULL;
    return num;
}

/* Opens the calibration source, and reports what was assumed about the input. */
static enum lbw_status open_calibration(struct lbw_conversion *c,
                                        const struct quantize_values *v)
{
    struct lbw_calibrate_params params = lbw_calibrate_from_options(&v->all.calib, &c->picture);
    params.independent = v->no_sequential;
    params.hold_back = lbw_check_hold_back(c->check);
    params.profile = c->is_auto ? c->picture.detector : NULL;
    params.detector = c->picture.detector;
    const char *assumed = NULL;
    lbw_progress_note("reading calibration data");
    enum lbw_status status =
        lbw_calibrate_open(&c->activations, c->model, &params, &assumed, &c->err);
    lbw_progress_clear();
    if (status != LBW_OK)
        return status;
    lbw_conversion_describe(c, lbw_calibrate_num_samples(c->activations), assumed);
    if (assumed && !v->all.report.quiet && !c->is_described)
        lbw_print_line(stderr, assumed);
    c->is_described = true;
    return LBW_OK;
}

static int explain(const struct lbw_conversion *c)
{
    int code = lbw_explain(&c->err);
    if (c->err.status == LBW_ERR_RUNTIME)
        fputs("Calibration runs the model. To round without calibration, which costs "
              "a\ndetector many or all of its boxes, use --calib none.\n",
              stderr);
    return code;
}

/* Explains what --keep cannot be combined with. */
static bool is_keep_usable(const struct quantize_values *v, const char *input)
{
    if (v->all.plan.bpw > 0 || v->all.plan.target_size || v->all.state)
        lbw_usage_error("quantize", "--keep cannot be combined with --%s",
                        v->all.plan.bpw > 0       ? "bpw"
                        : v->all.plan.target_size ? "target-size"
                                                  : "state");
    else if (strcmp(input, "-") == 0 || strcmp(v->all.calib.source, "none") == 0)
        lbw_usage_error("quantize", "--keep needs a model in a file and a calibration set");
    else
        return true;
    return false;
}

/* How sure it is that enough is kept, and whether it is. */
static bool report_keep(const struct lbw_conversion *c, double share)
{
    double least = 100 * lbw_check_at_least(&c->kept);
    if (least >= 100 * share) {
        lbw_talk("--keep %.4g%%: %.1f%% or more are kept (confidence 84%%)", 100 * share,
                 least);
        return true;
    }
    if (!c->kept.num_lost) {
        lbw_talk("--keep %.4g%%: all boxes are kept, but %zu boxes only prove %.1f%% or more "
                 "(confidence 84%%)",
                 100 * share, c->kept.num_boxes, least);
        return true;
    }
    lbw_talk("--keep %.4g%% was not reached: %.1f%% or more are kept (confidence 84%%); 'lbw "
             "tune' may keep more",
             100 * share, least);
    return false;
}

/* A budget is met by the packed encoding; others take more. */
static bool is_within_size(const struct lbw_conversion *c, const struct quantize_values *v)
{
    uint64_t target = v->all.plan.target_size, size = lbw_model_size(c->model);
    if (!target || !c->is_auto || size <= target)
        return true;
    lbw_talk("--target-size %llu was not reached: the model has %llu bytes",
             (unsigned long long)target, (unsigned long long)size);
    return false;
}

static enum lbw_status convert_once(struct lbw_conversion *c, const struct quantize_values *v)
{
    enum lbw_status status = LBW_OK;
    if (wants_calibration(c) && num_planned(c->plan))
        status = open_calibration(c, v);
    return status == LBW_OK ? lbw_conversion_convert(c, NULL) : status;
}

/* Starts with the smallest file, until enough of the boxes are kept or all have been tried. */
static enum lbw_status convert(struct lbw_conversion *c, const struct quantize_values *v,
                               double share)
{
    enum lbw_status status = convert_once(c, v);
    while (status == LBW_OK && share > 0) {
        if (!c->is_auto || !c->kept.is_of_boxes) {
            c->err.status = LBW_ERR_ARGUMENT;
            snprintf(c->err.message, sizeof c->err.message, "--keep: %s",
                     c->is_auto
                         ? "no boxes to keep: it needs a recognised detector, and images "
                           "in which the detector finds boxes"
                         : "needs --bits auto");
            return LBW_ERR_ARGUMENT;
        }
        if (!lbw_keep_next(&c->loss, &c->kept, share))
            break;
        status = lbw_conversion_again(c);
        if (status == LBW_OK)
            status = convert_once(c, v);
    }
    return status == LBW_OK ? lbw_conversion_save(c) : status;
}

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)num_arguments;
    const struct quantize_values *v = values;
    struct lbw_conversion c = {.v = &v->all, .input = arguments[0], .wants_check = true};
    int code = LBW_EXIT_DONE;
    const double share = v->keep;
    if (!lbw_conversion_is_usable(&v->all, "quantize"))
        return LBW_EXIT_USAGE;
    if (share > 0 && !is_keep_usable(v, arguments[0]))
        return LBW_EXIT_USAGE;
    if (share > 0) {
        c.loss = LBW_KEEP_LOSS;
        c.num_held = LBW_KEEP_SAMPLES;
    }
    lbw_progress_begin("converting", v->all.report.quiet);
    enum lbw_status status = lbw_conversion_open(&c);
    if (status == LBW_OK)
        status = convert(&c, v, share);
    lbw_progress_end();
    if (status == LBW_OK)
        status = lbw_conversion_show(&c);
    if (status != LBW_OK)
        code = explain(&c);
    if (status == LBW_OK && share > 0 && !report_keep(&c, share))
        code = LBW_EXIT_UNMET;
    if (status == LBW_OK && !is_within_size(&c, v))
        code = LBW_EXIT_UNMET;
    lbw_conversion_close(&c);
    return code;
}

#define AT(member) offsetof(struct quantize_values, member)

/* clang-format off */
static const struct lbw_option options[] = {
    LBW_OUTPUT_OPTIONS(struct quantize_values, all.output),
    LBW_PLAN_OPTIONS(struct quantize_values, all.plan),
    LBW_BUDGET_OPTIONS(struct quantize_values, all.plan),
    {"keep", 0, LBW_OPTION_SHARE, AT(keep), "SHARE",
     "with --bits auto: find the smallest file that keeps this share of the float model's "
     "boxes, such as 98%, on 16 held-back samples"},
    LBW_ACTIVATIONS_OPTIONS(struct quantize_values, all.plan),
    LBW_ENCODE_OPTIONS(struct quantize_values, all.encode),
    LBW_CALIBRATE_OPTIONS(struct quantize_values, all.calib),
    LBW_PICTURE_OPTIONS(struct quantize_values, all.picture),
    {"no-sequential", 0, LBW_OPTION_FLAG, AT(no_sequential), NULL,
     "fit each layer to the float model's activations, not to those of the model as "
     "converted so far"},
    {"state", 0, LBW_OPTION_OUTPUT, AT(all.state), "FILE",
     "resume from this file if it exists; update it after each layer", .is_in_place = true},
    LBW_REPORT_OPTIONS(struct quantize_values, all.report),
    {0},
};
/* clang-format on */

static const struct quantize_values defaults = {.all.calib.source = "generated"};

const struct lbw_command lbw_cmd_quantize = {
    .name = "quantize",
    .summary = "convert the weights of a model",
    .arguments = "MODEL",
    .description =
        "Converts the convolution weights of MODEL to zero or a power of two times a scale, "
        "and writes a model that stock runtimes load.\n\nRounding alone would ruin a detector, "
        "so each layer is fitted on a calibration set: images run through the float model and "
        "the model as converted so far, and the layer absorbs the difference. A few dozen "
        "images from the detector's domain work best; without any, lbw generates some.",
    .example = "lbw quantize model.onnx -o small.onnx --bits 4 --calib photos/",
    .options = options,
    .values_size = sizeof(struct quantize_values),
    .defaults = &defaults,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
