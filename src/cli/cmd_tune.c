/* SPDX-License-Identifier: MIT */
/* lbw tune: quantizes, then trains with projection; the float model is the teacher. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lbw/lbw.h>

#include "cli/commands.h"
#include "cli/conversion.h"
#include "cli/progress.h"
#include "cli/talk.h"

struct tune_values {
    struct lbw_conversion_values all;
    struct lbw_option_list targets;
    int64_t steps, batch, views, taps;
    int optimizer;
    double minutes, rate, tap_weight;
    const char *log, *checkpoint;
};

struct job {
    const struct tune_values *v;
    struct lbw_conversion all;
    struct lbw_tuner *tuner;
    FILE *log;
    bool is_log_begun;
};

static enum lbw_status fail_log(struct job *job)
{
    job->all.err.status = LBW_ERR_IO;
    snprintf(job->all.err.message, sizeof job->all.err.message, "%s: %s", job->v->log,
             strerror(errno));
    return LBW_ERR_IO;
}

/*
 * Keeps those steps of an earlier log that training resumes after; clears a log of another run.
 */
static void begin_log(struct job *job)
{
    size_t resumed = lbw_tune_result(job->tuner)->num_resumed;
    struct stat st;
    bool is_file = fstat(fileno(job->log), &st) == 0 && S_ISREG(st.st_mode);
    FILE *before = resumed && is_file ? fopen(job->v->log, "r") : NULL;
    char line[512];
    long keep = 0;
    while (before && fgets(line, sizeof line, before) && strchr(line, '\n') &&
           strtoull(line, NULL, 10) < resumed) /* 0 for the heading */
        keep = ftell(before);
    if (before)
        fclose(before);
    (void)!ftruncate(fileno(job->log), keep); /* fails for what cannot be truncated */
    if (!keep)
        fputs("step,views,loss,held_back,relative,best,agreement,changed,rate,"
              "images_per_second\n",
              job->log);
    job->is_log_begun = true;
}

static int on_step(void *user, const struct lbw_tune_status *s)
{
    struct job *job = user;
    char what[160], agreement[32] = "";
    if (job->log) {
        if (!job->is_log_begun)
            begin_log(job);
        double start = lbw_tune_result(job->tuner)->held_back_before;
        fprintf(job->log, "%zu,%zu,%.6g,%.6g,%.4f,%.6g,%.4g,%.6g,%.6g,%.4g\n", s->step,
                s->num_views, s->loss, s->held_back, start > 0 ? s->held_back / start : 1,
                s->best, s->agreement, s->changed, s->rate, s->images_per_second);
        fflush(job->log);
    }
    if (s->agreement >= 0)
        snprintf(agreement, sizeof agreement, ", agree %.3f", s->agreement);
    /* A line of a terminal is short; the log has all numbers. */
    snprintf(what, sizeof what, "loss %.3f, validation %.3f%s, %.1f%% changed, %.0f/s", s->loss,
             s->held_back, agreement, 100 * s->changed, s->images_per_second);
    return lbw_progress_step(NULL, what, s->step, s->num_steps);
}

/* Reports what is known about the model before the long work begins. */
static void introduce(const struct job *job, const char *assumed)
{
    const struct lbw_tune_result *r = lbw_tune_result(job->tuner);
    if (job->v->all.report.quiet)
        return;
    if (assumed)
        lbw_print_line(stderr, assumed);
    size_t num_ends = r->num_targets - r->num_taps;
    fprintf(stderr, "teacher and student are compared at");
    for (size_t i = 0; i < num_ends && i < 4; i++) {
        putc(' ', stderr);
        lbw_print_clean(stderr, r->targets[i]);
    }
    fprintf(stderr, "%s%s", num_ends > 4 ? " …" : "",
            r->is_weighed ? ", weighted by their effect on the boxes" : "");
    if (r->num_taps)
        fprintf(stderr, ", and at %zu intermediate layer%s", r->num_taps,
                r->num_taps == 1 ? "" : "s");
    fprintf(stderr, "\n");
    if (r->num_plain)
        fprintf(stderr, "%zu small weight%s that stay%s float %s trained, too\n", r->num_plain,
                r->num_plain == 1 ? "" : "s", r->num_plain == 1 ? "s" : "",
                r->num_plain == 1 ? "is" : "are");
    for (size_t i = 0; i < r->num_cuts; i++)
        lbw_talk("warning: no gradient rule for %s", r->cuts[i]);
    if (r->num_out_of_reach)
        lbw_talk("warning: %zu of %zu weights cannot be trained and keep their fitted codes",
                 r->num_out_of_reach, r->num_learned + r->num_out_of_reach);
}

static enum lbw_status open_tuner(struct job *job)
{
    const struct tune_values *v = job->v;
    struct lbw_tune_params params = {
        .source = v->all.calib.source,
        .num_samples = (size_t)v->all.calib.samples,
        .preprocess = job->all.picture.preprocess,
        .width = job->all.picture.width,
        .height = job->all.picture.height,
        .seed = (uint64_t)v->all.calib.seed,
        .targets = v->targets.items,
        .num_targets = v->targets.num,
        .profile = job->all.picture.detector,
        .num_taps = (size_t)v->taps,
        .tap_weight = v->tap_weight,
        .optimizer = (enum lbw_optimizer)v->optimizer,
        .num_steps = (size_t)v->steps,
        .minutes = v->minutes,
        .batch = (size_t)v->batch,
        .num_views = (size_t)v->views,
        .rate = v->rate,
        .checkpoint = v->checkpoint,
        .progress = on_step,
        .user = job,
    };
    const char *assumed = NULL;
    lbw_progress_note("preparing");
    enum lbw_status status = lbw_tune_open(&job->tuner, job->all.model, job->all.plan, &params,
                                           &assumed, &job->all.err);
    lbw_progress_clear();
    if (status == LBW_OK)
        introduce(job, assumed);
    return status;
}

static enum lbw_status open_calibration(struct job *job)
{
    const struct lbw_tune_result *r = lbw_tune_result(job->tuner);
    struct lbw_calibrate_params params =
        lbw_calibrate_from_options(&job->v->all.calib, &job->all.picture);
    /* The same samples without the held-back ones, which must not influence the fit. */
    params.num_samples = r->num_train + r->num_held_back;
    lbw_conversion_describe(&job->all, params.num_samples, NULL);
    params.hold_back = r->num_held_back;
    params.profile = job->all.is_auto ? job->all.picture.detector : NULL;
    LBW_TRY(lbw_calibrate_open(&job->all.activations, job->all.model, &params, NULL,
                               &job->all.err));
    if (!lbw_plan_num_edges(job->all.plan))
        return LBW_OK;
    return lbw_calibrate_open(&job->all.ranges, job->all.model, &params, NULL, &job->all.err);
}

static enum lbw_status open_log(struct job *job)
{
    if (!job->v->log)
        return LBW_OK;
    job->log = fopen(job->v->log, "a");
    return job->log ? LBW_OK : fail_log(job);
}

static enum lbw_status close_log(struct job *job)
{
    if (!job->log)
        return LBW_OK;
    bool failed = ferror(job->log);
    return fclose(job->log) != 0 || failed ? fail_log(job) : LBW_OK;
}

static enum lbw_status work(struct job *job)
{
    enum lbw_status status;
    LBW_OR_OUT(lbw_conversion_open(&job->all));
    LBW_OR_OUT(open_tuner(job));
    LBW_OR_OUT(open_calibration(job));
    LBW_OR_OUT(open_log(job));
    LBW_OR_OUT(lbw_conversion_run(&job->all, job->tuner));
    return close_log(job);
out:
    if (job->log)
        fclose(job->log);
    return status;
}

static enum lbw_status print_result(struct job *job)
{
    const struct lbw_conversion_values *v = job->all.v;
    FILE *to = lbw_output_talk(&v->output);
    const struct lbw_tune_result *r = lbw_tune_result(job->tuner);
    char time[LBW_TEXT_SIZE];
    enum lbw_status status = lbw_conversion_show(&job->all);
    if (status != LBW_OK || v->report.json || v->report.quiet)
        return status;
    fprintf(to, "trained %zu steps in %s", r->num_steps, lbw_text_seconds(time, r->seconds));
    if (r->num_resumed)
        fprintf(to, ", %zu of them in earlier runs", r->num_resumed);
    fprintf(to, ": loss on %zu held-back sample%s %.4f, was %.4f", r->num_held_back,
            r->num_held_back == 1 ? "" : "s", r->held_back_after, r->held_back_before);
    if (r->agreement_after >= 0)
        fprintf(to, "; agreement there %.3f, was %.3f", r->agreement_after,
                r->agreement_before);
    fprintf(to, "; %.1f%% of the codes changed\n", 100 * r->changed);
    return LBW_OK;
}

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)num_arguments;
    const struct tune_values *v = values;
    struct job job = {.v = v, .all = {.v = &v->all, .input = arguments[0]}};
    if (!lbw_conversion_is_usable(&v->all, "tune"))
        return LBW_EXIT_USAGE;
    if (strcmp(v->all.calib.source, "none") == 0)
        return lbw_usage_error("tune", "training needs images; --calib none is for 'lbw "
                                       "quantize'");
    if (v->targets.num && (v->taps || v->tap_weight > 0))
        return lbw_usage_error("tune", "--taps and --tap-weight cannot be used with --match");
    lbw_progress_begin("tuning", v->all.report.quiet);
    enum lbw_status status = work(&job);
    lbw_progress_end();
    if (status == LBW_OK)
        status = print_result(&job);
    int code = status == LBW_OK ? LBW_EXIT_DONE : lbw_explain(&job.all.err);
    if (status == LBW_ERR_INTERRUPTED && v->checkpoint)
        lbw_talk("run the same command again to resume from %s", v->checkpoint);
    lbw_tune_close(&job.tuner);
    lbw_conversion_close(&job.all);
    return code;
}

static const char *optimizer_choice(int i)
{
    return lbw_optimizer_name((enum lbw_optimizer)i);
}

#define AT(member) offsetof(struct tune_values, member)

/* clang-format off */
static const struct lbw_option options[] = {
    LBW_OUTPUT_OPTIONS(struct tune_values, all.output),
    LBW_PLAN_OPTIONS(struct tune_values, all.plan),
    LBW_BUDGET_OPTIONS(struct tune_values, all.plan),
    LBW_ACTIVATIONS_OPTIONS(struct tune_values, all.plan),
    LBW_ENCODE_OPTIONS(struct tune_values, all.encode),
    {"calib", 'c', LBW_OPTION_STRING, AT(all.calib.source), "generated[:N]|DIR|FILE",
     "the training set: a folder of images, an .npz or .npy file, or generated images "
     "(default generated); labels are not needed"},
    {"samples", 'n', LBW_OPTION_INT, AT(all.calib.samples), "N",
     "use at most N samples (default 64), all kept in memory; one in eight is held back "
     "for validation", .min = 2, .max = 1000000},
    {"seed", 0, LBW_OPTION_INT, AT(all.calib.seed), "N",
     "seed of generated images, order, flips and crops (default 0)", .min = 0,
     .max = 9007199254740992.0},
    LBW_PICTURE_OPTIONS(struct tune_values, all.picture),
    {"match", 0, LBW_OPTION_LIST, AT(targets), "TENSOR",
     "compare teacher and student at this tensor; may be repeated (default: the outputs, "
     "weighted by their effect on the boxes, if a profile fits; else the outputs of the last "
     "convolutions)"},
    {"taps", 0, LBW_OPTION_INT, AT(taps), "N",
     "also compare them at N layers along the trunk (default 0)", .min = 0,
     .max = 1000},
    {"tap-weight", 0, LBW_OPTION_FLOAT, AT(tap_weight), "X",
     "weight of all these layers together, relative to the outputs (default 3)",
     .min = 1e-6,
     .max = 1e6},
    {"optimizer", 0, LBW_OPTION_CHOICE, AT(optimizer), NULL,
     "adam (default), or sgd with momentum 0.9",
     .choice = optimizer_choice},
    {"steps", 0, LBW_OPTION_INT, AT(steps), "N",
     "training steps (default 400, or what --minutes allows)", .min = 1,
     .max = 1e8},
    {"minutes", 0, LBW_OPTION_FLOAT, AT(minutes), "M", "training time in minutes", .min = 0.01,
     .max = 1e5},
    {"batch", 0, LBW_OPTION_INT, AT(batch), "N", "views of images per step (default 8)",
     .min = 1, .max = 1024},
    {"views", 0, LBW_OPTION_INT, AT(views), "N",
     "number of different augmented views, which are reused (default 1024); the float model's "
     "outputs on them are kept up to 1 GiB, those on the other views computed each time",
     .min = 1, .max = 1e8},
    {"rate", 0, LBW_OPTION_FLOAT, AT(rate), "X",
     "learning rate: a weight's step as a share of the largest weight of its channel; adapted to "
     "the held-back loss (default 0.0001)", .min = 1e-7,
     .max = 1},
    {"log", 0, LBW_OPTION_OUTPUT, AT(log), "FILE",
     "write one line of CSV per step, with the views so far and the held-back loss relative "
     "to the start; resuming from --checkpoint appends to it",
     .is_in_place = true},
    {"checkpoint", 0, LBW_OPTION_OUTPUT, AT(checkpoint), "FILE",
     "save progress here; resume from it if interrupted"},
    {"state", 0, LBW_OPTION_OUTPUT, AT(all.state), "FILE",
     "save the fitted weights here before training; start from them if the file exists",
     .is_in_place = true},
    LBW_REPORT_OPTIONS(struct tune_values, all.report),
    {0},
};
/* clang-format on */

static const struct tune_values defaults = {.all.calib.source = "generated"};

const struct lbw_command lbw_cmd_tune = {
    .name = "tune",
    .summary = "convert the weights of a model and train them",
    .arguments = "MODEL",
    .description =
        "Converts like 'lbw quantize', then trains: the converted model learns to reproduce "
        "the float model's outputs, with the weights projected to their grid after every step. "
        "Training needs neither labels nor a framework; the gradient is a graph that ONNX "
        "Runtime executes.\n\nUse images from the detector's domain; a few hundred are good, "
        "more are better. lbw writes the state that is best on held-back images, so on these "
        "the result is never worse than that of 'lbw quantize'. With --activations int8, "
        "training uses float activations, which are rounded after it.",
    .example = "lbw tune model.onnx -o small.onnx --bits 3 --calib photos/ --minutes 20",
    .options = options,
    .values_size = sizeof(struct tune_values),
    .defaults = &defaults,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
