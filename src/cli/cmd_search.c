/* SPDX-License-Identifier: MIT */
/* lbw search: chooses a plan by detection tests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lbw/lbw.h>

#include "cli/calibrate_options.h"
#include "cli/commands.h"
#include "cli/encode_options.h"
#include "cli/json.h"
#include "cli/picture_options.h"
#include "cli/plan_options.h"
#include "cli/progress.h"
#include "cli/save.h"
#include "cli/summary.h"
#include "cli/talk.h"

#define MOST_GRIDS     64
#define QUICK_PICTURES 24

struct search_values {
    const char *output, *images, *labels, *grids, *report;
    struct lbw_plan_values plan;
    struct lbw_calibrate_values calib;
    struct lbw_encode_values encode;
    uint64_t target_size;
    double target_bpw, keep, minutes;
    int64_t trials, max_images, threads;
    struct lbw_picture_values picture;
    bool json, quiet;
};

/* Everything the command opens, closed in one place. */
struct job {
    const struct search_values *v;
    const char *input;
    struct lbw_plan_wishes wishes;
    struct lbw_profile profile;
    struct lbw_picture picture; /* for calibration */
    struct lbw_dataset *dataset, *quick;
    const struct lbw_grid *grids[MOST_GRIDS];
    size_t num_grids;
    struct lbw_search_result *result;
    json_t *log;
    struct lbw_search_trial *trials; /* for --report */
    size_t num_trials;
    struct lbw_error err;
};

/* "3,4,4x2" */
static enum lbw_status read_grids(struct job *job)
{
    for (const char *p = job->v->grids; p && *p;) {
        char name[16];
        size_t length = strcspn(p, ",");
        snprintf(name, sizeof name, "%.*s", (int)length, p);
        const struct lbw_grid *grid = lbw_grid_by_name(name);
        if (!grid || job->num_grids == MOST_GRIDS) {
            job->err.status = LBW_ERR_ARGUMENT;
            snprintf(job->err.message, sizeof job->err.message,
                     "--grids: unknown grid '%s' (see 'lbw grids')", name);
            return LBW_ERR_ARGUMENT;
        }
        job->grids[job->num_grids++] = grid;
        p += length + (p[length] == ',');
    }
    return LBW_OK;
}

static enum lbw_status open_dataset(struct job *job, struct lbw_dataset **out, bool is_quick)
{
    size_t most = (size_t)job->v->max_images;
    struct lbw_dataset_params params = {
        .images = job->v->images,
        .labels = job->v->labels,
        .names = job->profile.labels,
        .num_names = job->profile.num_labels,
        .max_images = most,
    };
    if (is_quick && (!most || most > QUICK_PICTURES))
        params.max_images = QUICK_PICTURES;
    return lbw_dataset_open(out, &params, &job->err);
}

static enum lbw_status open_all(struct job *job)
{
    const struct lbw_picture_values *picture = &job->v->picture;
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL; /* each trial prepares its own; here it is checked early */
    enum lbw_status status;
    LBW_OR_OUT(lbw_plan_wishes_init(&job->wishes, &job->v->plan, &job->err));
    LBW_OR_OUT(read_grids(job));
    LBW_OR_OUT(lbw_model_open(&model, job->input, &job->err));
    LBW_OR_OUT(lbw_picture_for_detector(&job->profile, model, job->input, picture,
                                        job->v->quiet, &job->err));
    LBW_OR_OUT(lbw_picture_for_model(&job->picture, model, picture, &job->err));
    LBW_OR_OUT(open_dataset(job, &job->dataset, false));
    LBW_OR_OUT(open_dataset(job, &job->quick, true));
    LBW_OR_OUT(lbw_plan_from_options(&plan, NULL, model, &job->v->plan, job->v->calib.memory,
                                     &job->err));
out:
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    return status;
}

static const char *what_became(const struct lbw_search_trial *trial, bool by_share)
{
    if (!trial->fits)
        return by_share ? "  keeps too few" : "  too large";
    return trial->is_best ? "  best" : "";
}

/* A trial lost for lack of memory is missing in the list; save_page() notices. */
static void keep_trial(struct job *job, const struct lbw_search_trial *t)
{
    struct lbw_search_trial *more =
        realloc(job->trials, (job->num_trials + 1) * sizeof *job->trials);
    if (more) {
        job->trials = more;
        job->trials[job->num_trials++] = *t;
    }
}

static void log_trial(void *user, const struct lbw_search_trial *t)
{
    struct job *job = user;
    keep_trial(job, t);
    char size[LBW_TEXT_SIZE], seconds[LBW_TEXT_SIZE];
    lbw_progress_clear();
    lbw_json_append(&job->log,
                    json_pack("{s:I, s:s, s:f, s:f, s:f, s:f, s:I, s:f, s:o, s:f, s:b, s:b}",
                              "trial", (json_int_t)t->number, "what", t->what, "ap", t->ap,
                              "ap50", t->ap50, "ap75", t->ap75, "kept", t->kept, "size",
                              (json_int_t)t->size, "bits_per_weight", t->bits_per_weight, "snr",
                              lbw_json_real(t->snr), "mu", t->mu, "fits", t->fits, "best",
                              t->is_best));
    if (job->v->quiet)
        return;
    fprintf(stderr, "%3zu  AP %.4f  AP50 %.4f  kept %5.1f%%  %s  %.2f bits  %s%s  (%s)\n",
            t->number, t->ap, t->ap50, 100 * t->kept, lbw_text_count(size, t->size),
            t->bits_per_weight, t->what, what_became(t, job->v->keep > 0),
            lbw_text_seconds(seconds, t->seconds));
}

static void warn(void *user, const char *note)
{
    (void)user;
    lbw_progress_clear();
    lbw_talk("warning: %s", note);
}

static enum lbw_status search(struct job *job)
{
    const struct search_values *v = job->v;
    struct lbw_calibrate_params calibrate =
        lbw_calibrate_from_options(&v->calib, &job->picture);
    calibrate.profile = &job->profile; /* as quantize --plan has it */
    const struct lbw_eval_params test = {
        .profile = &job->profile,
        .dataset = job->dataset,
        .num_threads = (unsigned)v->threads,
    };
    const struct lbw_search_params params = {
        .plan = &job->wishes.params,
        .prepare = &job->wishes.prepare,
        .plan_file = v->plan.plan,
        .calibrate = strcmp(v->calib.source, "none") != 0 ? &calibrate : NULL,
        .damping = v->calib.damping,
        .encode = lbw_encode_from_options(&v->encode),
        .test = &test,
        .quick = job->quick,
        .target_size = v->target_size,
        .target_bits = v->target_bpw,
        .keep = v->keep,
        .grids = job->num_grids ? job->grids : NULL,
        .num_grids = job->num_grids,
        .max_trials = (size_t)v->trials,
        .max_seconds = 60 * v->minutes,
        .progress = lbw_progress_step,
        .log = log_trial,
        .note = warn,
        .log_user = job,
    };
    lbw_progress_begin("searching", v->quiet);
    enum lbw_status status = lbw_search(&job->result, job->input, &params, &job->err);
    lbw_progress_end();
    return status;
}

static void print_end(const struct job *job)
{
    const struct lbw_search_result *r = job->result;
    char before[LBW_TEXT_SIZE], after[LBW_TEXT_SIZE];
    if (job->v->keep > 0) {
        fprintf(stderr, "keeps %.1f%% of the float model's boxes in these images, %s bytes\n",
                100 * r->best.kept, lbw_text_count(after, r->best.size));
        return;
    }
    fprintf(stderr, "%s: AP %.4f at %s bytes at the start, %.4f at %s bytes found",
            job->v->labels ? "against the labels" : "against the float model's boxes",
            r->start.ap, lbw_text_count(before, r->start.size), r->best.ap,
            lbw_text_count(after, r->best.size));
    if (job->v->labels && r->float_ap > 0)
        fprintf(stderr, " (float %.4f)", r->float_ap);
    putc('\n', stderr);
    if (r->best.mu > 0)
        fprintf(stderr, "quantize with --method threshold --mu %.4g\n", r->best.mu);
}

static enum lbw_status save_page(struct job *job)
{
    const struct lbw_page_params page = {
        .title = lbw_report_title(job->input),
        .trials = job->trials,
        .num_trials = job->num_trials,
    };
    char *text = NULL;
    enum lbw_status status;
    if (job->num_trials < job->result->num_trials) {
        job->err = (struct lbw_error){LBW_ERR_MEMORY, "out of memory"};
        return LBW_ERR_MEMORY;
    }
    LBW_OR_OUT(lbw_page_print(&text, &page, &job->err));
    LBW_OR_OUT(lbw_save_text(job->v->report, text, &job->err));
out:
    lbw_free(text);
    return status;
}

/* The plan goes to the output, and with --json the log to standard output. */
static enum lbw_status deliver(struct job *job)
{
    const char *output = job->v->output ? job->v->output : "-";
    if (job->v->output || !job->v->json)
        LBW_TRY(lbw_save_text(output, job->result->plan, &job->err));
    if (job->v->report)
        LBW_TRY(save_page(job));
    if (!job->v->quiet)
        print_end(job);
    return LBW_OK;
}

static int print_json(struct job *job)
{
    const struct lbw_search_result *r = job->result;
    return lbw_json_print(json_pack(
        "{s:I, s:I, s:f, s:I, s:b, s:I, s:O, s:o}", "target_size", (json_int_t)r->target_size,
        "weights", (json_int_t)r->num_weights, "float_ap", r->float_ap, "best",
        (json_int_t)r->best.number, "interrupted", (int)r->is_interrupted, "num_trials",
        (json_int_t)r->num_trials, "trials", job->log, "plan", lbw_json_text(r->plan)));
}

/* An option that asks for another thing than --keep; NULL: none. */
static const char *rival_of_keep(const struct search_values *v)
{
    return v->target_size                           ? "target-size"
           : v->target_bpw > 0                      ? "target-bpw"
           : v->grids                               ? "grids"
           : v->plan.method == LBW_METHOD_THRESHOLD ? "method threshold"
                                                    : NULL;
}

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)num_arguments;
    struct job job = {.v = values, .input = arguments[0]};
    int code = LBW_EXIT_DONE;
    if (!job.v->images)
        return lbw_usage_error("search", "missing --images DIR");
    const char *other = rival_of_keep(job.v);
    if (job.v->keep > 0 && other)
        return lbw_usage_error("search", "--keep cannot be combined with --%s", other);
    if (strcmp(job.input, "-") == 0)
        return lbw_usage_error("search", "the model is read again for every trial: give a file "
                                         "instead of -");
    bool has_bytes = job.v->plan.activations != LBW_ACTIVATIONS_FLOAT;
    if (!lbw_activations_are_usable(&job.v->plan, "search") ||
        !lbw_encode_is_usable(&job.v->encode, has_bytes, "search") ||
        !lbw_picture_is_usable(&job.v->picture, NULL, "search"))
        return LBW_EXIT_USAGE;
    job.log = json_array();
    enum lbw_status status;
    LBW_OR_OUT(open_all(&job));
    LBW_OR_OUT(search(&job));
    LBW_OR_OUT(deliver(&job));
out:
    if (status != LBW_OK)
        code = lbw_explain(&job.err);
    else if (job.v->json)
        code = print_json(&job);
    if (job.result && job.result->is_interrupted && code == LBW_EXIT_DONE) {
        lbw_talk("interrupted: writing the best plan so far");
        code = LBW_EXIT_INTERRUPTED;
    }
    json_decref(job.log);
    free(job.trials);
    lbw_search_result_free(&job.result);
    lbw_dataset_close(&job.quick);
    lbw_dataset_close(&job.dataset);
    lbw_picture_release(&job.picture);
    lbw_profile_release(&job.profile);
    lbw_plan_wishes_release(&job.wishes);
    return code;
}

#define AT(member) offsetof(struct search_values, member)

/* clang-format off */
static const struct lbw_option options[] = {
    {"output", 'o', LBW_OPTION_OUTPUT, AT(output), "FILE",
     "the plan to write (default standard output)"},
    {"images", 'i', LBW_OPTION_STRING, AT(images), "DIR",
     "images to test detection on, preferably not in the calibration set"},
    {"labels", 'l', LBW_OPTION_STRING, AT(labels), "FILE|DIR",
     "labels of the images: COCO JSON, a folder of VOC XML or of YOLO text files (default: "
     "the float model's detections)"},
    {"target-size", 0, LBW_OPTION_BYTES, AT(target_size), "SIZE",
     "size of the model file (default: its size with 4 bits everywhere)"},
    {"target-bpw", 0, LBW_OPTION_FLOAT, AT(target_bpw), "X",
     "bits per weight, including scales and unconverted weights", .min = 0.5, .max = 64},
    {"keep", 0, LBW_OPTION_SHARE, AT(keep), "SHARE",
     "instead of a size: find the smallest plan that keeps this share of the float model's "
     "boxes in the images, such as 98%"},
    {"trials", 0, LBW_OPTION_INT, AT(trials), "N",
     "maximum number of conversions to test (default 16)", .min = 1, .max = 100000},
    {"minutes", 0, LBW_OPTION_FLOAT, AT(minutes), "X",
     "start no trial after this time", .min = 0.01, .max = 100000},
    {"grids", 0, LBW_OPTION_STRING, AT(grids), "A,B,…",
     "grids to choose from, names from 'lbw grids' (default: all useful ones)"},
    LBW_PLAN_OPTIONS(struct search_values, plan),
    LBW_ACTIVATIONS_OPTIONS(struct search_values, plan),
    LBW_ENCODE_OPTIONS(struct search_values, encode),
    LBW_CALIBRATE_OPTIONS(struct search_values, calib),
    {"max-images", 0, LBW_OPTION_INT, AT(max_images), "N", "use only the first N images",
     .min = 1, .max = 1e9},
    {"threads", 0, LBW_OPTION_INT, AT(threads), "N",
     "images processed in parallel (default: one per processor)", .min = 1, .max = 64},
    LBW_PICTURE_OPTIONS(struct search_values, picture),
    {"report", 0, LBW_OPTION_OUTPUT, AT(report), "FILE",
     "write an HTML page with the trials, quality against size"},
    {"json", 0, LBW_OPTION_FLAG, AT(json), NULL, "print the log and the plan as JSON"},
    {"quiet", 'q', LBW_OPTION_FLAG, AT(quiet), NULL, "print warnings and errors only"},
    {0},
};
/* clang-format on */

static const struct search_values defaults = {.calib.source = "generated"};

const struct lbw_command lbw_cmd_search = {
    .name = "search",
    .summary = "choose the bits of each weight by detection tests",
    .arguments = "MODEL",
    .description =
        "Finds the plan that keeps the most boxes at a given size; with --keep, the smallest "
        "plan that keeps that share of the boxes. Measures the error of each layer on each "
        "grid "
        "and the boxes that rounding it alone costs, spends bytes where they help most, then "
        "gives more or fewer bits to groups of layers as long as detection tests confirm it. "
        "With --method threshold, searches the paper's µ first.\n\nCtrl-C stops the search and "
        "writes the best plan so far. The plan begins with a log of all trials. Apply it with "
        "'lbw quantize --plan' and the same --calib, --method, --mu and --activations.",
    .example = "lbw search model.onnx --images photos/ --calib others/ -o model.plan",
    .options = options,
    .values_size = sizeof(struct search_values),
    .defaults = &defaults,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
