/* SPDX-License-Identifier: MIT */
/* open → prepare → plan → convert → save → show: every conversion by command. */
#include "cli/conversion.h"

#include <string.h>

#include "cli/progress.h"
#include "cli/talk.h"

bool lbw_conversion_is_usable(const struct lbw_conversion_values *v, const char *command)
{
    if (v->state && strcmp(v->calib.source, "none") == 0) {
        lbw_usage_error(command, "--state needs calibration, not --calib none");
        return false;
    }
    bool has_bytes = v->plan.activations != LBW_ACTIVATIONS_FLOAT;
    if (has_bytes && strcmp(v->calib.source, "none") == 0) {
        lbw_usage_error(command, "--activations int8 needs calibration, not --calib none");
        return false;
    }
    if (has_bytes && v->encode.encoding == LBW_ENCODING_FLOAT) {
        lbw_usage_error(command, "--activations int8 cannot be combined with --encoding float");
        return false;
    }
    return lbw_output_is_usable(&v->output, command) &&
           lbw_activations_are_usable(&v->plan, command) &&
           lbw_encode_is_usable(&v->encode, has_bytes, command) &&
           lbw_picture_is_usable(&v->picture, v->calib.source, command);
}

/* The plan's notes, each once, however often --keep plans again. */
static void warn(struct lbw_conversion *c)
{
    c->num_noted = lbw_plan_warn(c->plan, c->num_noted);
}

static bool plans_any(const struct lbw_plan *plan)
{
    for (size_t i = 0; i < lbw_plan_num_items(plan); i++)
        if (lbw_plan_item(plan, i)->grid)
            return true;
    return false;
}

/* Runs the float model on the samples that the conversion will not see. */
static enum lbw_status open_check(struct lbw_conversion *c)
{
    if (!c->wants_check || c->check || strcmp(c->v->calib.source, "none") == 0 ||
        !plans_any(c->plan))
        return LBW_OK;
    const struct lbw_calibrate_params calibrate =
        lbw_calibrate_from_options(&c->v->calib, &c->picture);
    const struct lbw_check_params params = {
        .calibrate = &calibrate, .profile = c->picture.detector, .num_samples = c->num_held};
    lbw_progress_note("running the float model");
    struct lbw_error err = {0};
    enum lbw_status status = lbw_check_open(&c->check, c->model, &params, &err);
    lbw_progress_clear();
    if (status == LBW_ERR_RUNTIME && !c->num_held) {
        c->unchecked = err; /* layers may be calibrated all the same */
        return LBW_OK;
    }
    if (status != LBW_OK)
        c->err = err;
    return status;
}

/* --bits auto: chooses grids by what they cost at the outputs. */
static enum lbw_status choose_bits(struct lbw_conversion *c)
{
    const struct lbw_conversion_values *v = c->v;
    struct lbw_calibrate_params calibrate = lbw_calibrate_from_options(&v->calib, &c->picture);
    calibrate.hold_back = lbw_check_hold_back(c->check);
    const struct lbw_budget_params params = {
        .bits = v->plan.bpw,
        .size = v->plan.target_size,
        .loss = c->loss,
        .calibrate = &calibrate,
        .profile = c->picture.detector,
        .progress = lbw_progress_phase,
    };
    enum lbw_status status = lbw_plan_choose_bits(&c->budget, c->plan, &params, &c->err);
    lbw_progress_clear();
    if (status == LBW_OK)
        warn(c);
    return status;
}

/* --activations int8: weighs roundings, so that those that cost too much stay float. */
static enum lbw_status weigh_edges(struct lbw_conversion *c)
{
    if (!c->activations || !lbw_plan_num_edges(c->plan))
        return LBW_OK;
    struct lbw_calibrate_params calibrate =
        lbw_calibrate_from_options(&c->v->calib, &c->picture);
    calibrate.hold_back = lbw_check_hold_back(c->check);
    const struct lbw_budget_params params = {.calibrate = &calibrate,
                                             .profile = c->picture.detector,
                                             .progress = lbw_progress_phase};
    enum lbw_status status = lbw_plan_weigh_edges(c->plan, &params, &c->err);
    lbw_progress_clear();
    return status;
}

enum lbw_status lbw_conversion_open(struct lbw_conversion *c)
{
    const struct lbw_conversion_values *v = c->v;
    LBW_TRY(lbw_model_open(&c->model, c->input, &c->err));
    if (v->output.path)
        LBW_TRY(lbw_output_check(&v->output, c->model, &c->err));
    LBW_TRY(lbw_picture_for_model(&c->picture, c->model, &v->picture, &c->err));
    LBW_TRY(lbw_encode_lift(c->model, &v->encode, v->plan.requantize, &c->err));
    LBW_TRY(lbw_plan_from_options(&c->plan, &c->is_auto, c->model, &v->plan, v->calib.memory,
                                  &c->err));
    warn(c);
    c->is_auto = c->is_auto && strcmp(v->calib.source, "none") != 0;
    if (c->is_auto || !c->only_plans)
        LBW_TRY(open_check(c));
    return c->is_auto ? choose_bits(c) : LBW_OK;
}

void lbw_conversion_describe(struct lbw_conversion *c, size_t num, const char *assumed)
{
    const char *calib = c->v->calib.source, *plural = num == 1 ? "" : "s";
    if (lbw_source_is_generated(calib) && assumed)
        snprintf(c->data, sizeof c->data, "%.*s", (int)strcspn(assumed, ","), assumed);
    else if (lbw_source_is_generated(calib))
        snprintf(c->data, sizeof c->data, "%zu generated image%s", num, plural);
    else
        snprintf(c->data, sizeof c->data, "%zu sample%s of %s", num, plural, calib);
}

enum lbw_status lbw_conversion_convert(struct lbw_conversion *c, struct lbw_tuner *tuner)
{
    const struct lbw_conversion_values *v = c->v;
    struct lbw_convert_params params = {
        .encode = lbw_encode_from_options(&v->encode),
        .activations = c->activations,
        .tuner = tuner,
        .ranges = c->ranges,
        .state = c->activations ? v->state : NULL, /* only calibration keeps state */
        .damping = v->calib.damping,
        .progress = lbw_progress_step,
    };
    LBW_TRY(weigh_edges(c));
    enum lbw_status status = lbw_convert(&c->report, c->model, c->plan, &params, &c->err);
    lbw_progress_clear();
    LBW_TRY(status);
    return c->check ? lbw_check_run(&c->kept, c->check, c->model, &c->err) : LBW_OK;
}

enum lbw_status lbw_conversion_save(struct lbw_conversion *c)
{
    const struct lbw_page_params page = {
        .title = lbw_report_title(c->input),
        .data = c->data,
        .report = c->report,
        .budget = c->is_auto ? &c->budget : NULL,
        .kept = &c->kept,
        .check = c->check,
    };
    enum lbw_status status = lbw_output_save(&c->v->output, c->model, &c->err);
    return status == LBW_OK ? lbw_report_save(&c->v->report, &page, &c->err) : status;
}

enum lbw_status lbw_conversion_run(struct lbw_conversion *c, struct lbw_tuner *tuner)
{
    enum lbw_status status = lbw_conversion_convert(c, tuner);
    return status == LBW_OK ? lbw_conversion_save(c) : status;
}

/* Closes what belongs to one conversion; the float model's outputs are kept. */
static void close_one(struct lbw_conversion *c)
{
    lbw_report_free(&c->report);
    lbw_calibrate_close(&c->activations);
    lbw_calibrate_close(&c->ranges);
    lbw_picture_release(&c->picture);
    lbw_plan_free(&c->plan);
    lbw_model_close(&c->model);
}

enum lbw_status lbw_conversion_again(struct lbw_conversion *c)
{
    close_one(c);
    c->picture = (struct lbw_picture){0};
    return lbw_conversion_open(c);
}

enum lbw_status lbw_conversion_show(struct lbw_conversion *c)
{
    const struct lbw_conversion_values *v = c->v;
    struct lbw_summary summary = {
        .input = c->input,
        .output = lbw_output_name(&v->output),
        .data = c->data,
        .plan = c->plan,
        .encoding = (enum lbw_encoding)v->encode.encoding,
        .seconds = lbw_progress_seconds(),
        .kept = &c->kept,
    };
    enum lbw_status status =
        lbw_report_show(lbw_output_talk(&v->output), &v->report, c->report, &summary, &c->err);
    if (status == LBW_OK && *c->unchecked.message)
        lbw_talk("warning: what the result keeps was not measured: %s", c->unchecked.message);
    if (status == LBW_OK && c->kept.is_of_layers)
        lbw_talk("warning: what the result keeps was %s: %s",
                 c->kept.num_samples ? "measured at its last layers only" : "not measured",
                 c->kept.reason);
    if (status == LBW_OK)
        warn(c);
    return status;
}

void lbw_conversion_close(struct lbw_conversion *c)
{
    close_one(c);
    lbw_check_close(&c->check);
}
