/* SPDX-License-Identifier: MIT */
/* lbw detect: draws what a model detects in images. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <lbw/draw.h>
#include <lbw/lbw.h>

#include "cli/commands.h"
#include "cli/drawings.h"
#include "cli/json.h"
#include "cli/picture_options.h"
#include "cli/save.h"
#include "cli/table.h"
#include "cli/talk.h"

#define PAIR_IOU .5f

struct detect_values {
    const char *output, *reference;
    struct lbw_option_list titles;
    struct lbw_picture_values picture;
    double score, nms;
    bool no_native, json;
};

/* A model and its boxes in the current image. */
struct side {
    const char *path;
    struct lbw_model *model;
    struct lbw_detector *detector;
    struct lbw_box *boxes;
    size_t num_boxes;
};

struct job {
    const struct detect_values *v;
    struct side model, reference;
    struct lbw_profile profile;
    struct lbw_box *compared; /* boxes of both, if there is a reference */
    enum lbw_mark *marks;
    size_t num_compared;
    struct lbw_drawings drawings;
    size_t num_boxes; /* reported */
    json_t *list;     /* results for --json */
    struct lbw_table table;
    struct lbw_error err;
};

static enum lbw_status choose_profile(struct job *job)
{
    enum lbw_status status = lbw_picture_for_detector(
        &job->profile, job->model.model, job->model.path, &job->v->picture, false, &job->err);
    job->profile.score = (float)job->v->score;
    if (job->v->nms >= 0)
        job->profile.nms = (float)job->v->nms;
    return status;
}

static enum lbw_status open_side(struct job *job, struct side *side)
{
    const struct lbw_detector_params params = {.no_native = job->v->no_native};
    LBW_TRY(lbw_model_open(&side->model, side->path, &job->err));
    if (side == &job->model)
        LBW_TRY(choose_profile(job));
    return lbw_detector_open(&side->detector, side->model, &job->profile, &params, &job->err);
}

static void close_side(struct side *side)
{
    lbw_free(side->boxes);
    lbw_detector_close(&side->detector);
    lbw_model_close(&side->model);
}

static enum lbw_status run_side(struct job *job, struct side *side,
                                const struct lbw_image *image)
{
    lbw_free(side->boxes);
    side->boxes = NULL;
    side->num_boxes = 0;
    return lbw_detector_run(side->detector, image, &side->boxes, &side->num_boxes, &job->err);
}

static size_t num_marked(const struct job *job, enum lbw_mark mark)
{
    size_t num = 0;
    for (size_t i = 0; i < job->num_compared; i++)
        num += job->marks[i] == mark;
    return num;
}

/* "yolox_nano" of "models/yolox_nano.onnx", or what --title says. */
static void title_of(const struct job *job, const struct side *side, char *out, size_t size)
{
    size_t which = side == &job->model && job->v->reference ? 1 : 0;
    if (which < job->v->titles.num) {
        snprintf(out, size, "%s", job->v->titles.items[which]);
        return;
    }
    const char *slash = strrchr(side->path, '/');
    snprintf(out, size, "%s", slash ? slash + 1 : side->path);
    char *dot = strrchr(out, '.');
    if (dot && dot != out)
        *dot = '\0';
}

static void subtitle_of(const struct job *job, const struct side *side, char *out, size_t size)
{
    char bytes[LBW_TEXT_SIZE];
    int used = snprintf(out, size, "%s · %zu box%s",
                        lbw_text_bytes(bytes, lbw_model_size(side->model)), side->num_boxes,
                        side->num_boxes == 1 ? "" : "es");
    if (side == &job->model && job->v->reference)
        snprintf(out + used, size - (size_t)used, ", %zu lost, %zu invented",
                 num_marked(job, LBW_MARK_LOST), num_marked(job, LBW_MARK_INVENTED));
}

static enum lbw_status draw(struct job *job, const struct lbw_image *image, const char *path)
{
    char titles[2][128], subtitles[2][128];
    const struct side *sides[2] = {&job->model, NULL};
    size_t num = 1;
    if (job->v->reference) {
        sides[0] = &job->reference;
        sides[1] = &job->model;
        num = 2;
    }
    struct lbw_panel panels[2];
    for (size_t i = 0; i < num; i++) {
        title_of(job, sides[i], titles[i], sizeof titles[i]);
        subtitle_of(job, sides[i], subtitles[i], sizeof subtitles[i]);
        panels[i] = (struct lbw_panel){titles[i], subtitles[i], sides[i]->boxes, NULL,
                                       sides[i]->num_boxes};
    }
    if (job->v->reference) {
        panels[1].boxes = job->compared;
        panels[1].marks = job->marks;
        panels[1].num_boxes = job->num_compared;
    }
    return lbw_draw(path, image, panels, num, job->profile.labels, job->profile.num_labels,
                    &job->err);
}

static const char *mark_name(enum lbw_mark mark)
{
    static const char *const names[] = {"", "lost", "invented"};
    return names[mark];
}

static void report_box(struct job *job, const char *path, const struct lbw_box *box,
                       enum lbw_mark mark)
{
    char number[24];
    const char *name = number;
    job->num_boxes++;
    snprintf(number, sizeof number, "%d", box->class_index);
    if ((size_t)box->class_index < job->profile.num_labels)
        name = job->profile.labels[box->class_index];
    if (job->v->json) {
        lbw_json_append(&job->list,
                        json_pack("{s:o, s:o, s:f, s:[f,f,f,f], s:s}", "image",
                                  lbw_json_text(path), "class", lbw_json_text(name), "score",
                                  (double)box->score, "box", (double)box->x, (double)box->y,
                                  (double)box->width, (double)box->height, "mark",
                                  mark_name(mark)));
        return;
    }
    lbw_table_cell(&job->table, "%s", path);
    lbw_table_cell(&job->table, "%s", name);
    lbw_table_cell(&job->table, "%.2f", (double)box->score);
    lbw_table_cell(&job->table, "%.0f", (double)box->x);
    lbw_table_cell(&job->table, "%.0f", (double)box->y);
    lbw_table_cell(&job->table, "%.0f", (double)box->width);
    lbw_table_cell(&job->table, "%.0f", (double)box->height);
    lbw_table_cell(&job->table, "%s", mark_name(mark));
}

static void report(struct job *job, const char *path)
{
    if (job->v->reference)
        for (size_t i = 0; i < job->num_compared; i++)
            report_box(job, path, &job->compared[i], job->marks[i]);
    else
        for (size_t i = 0; i < job->model.num_boxes; i++)
            report_box(job, path, &job->model.boxes[i], LBW_MARK_NONE);
}

static enum lbw_status detect(struct job *job, const struct lbw_drawing *drawing,
                              const struct lbw_image *image)
{
    LBW_TRY(run_side(job, &job->model, image));
    if (job->v->reference) {
        LBW_TRY(run_side(job, &job->reference, image));
        lbw_free(job->compared);
        lbw_free(job->marks);
        job->compared = NULL;
        job->marks = NULL;
        LBW_TRY(lbw_compare_boxes(&job->compared, &job->marks, &job->num_compared,
                                  job->reference.boxes, job->reference.num_boxes,
                                  job->model.boxes, job->model.num_boxes, PAIR_IOU, &job->err));
    }
    if (drawing->path)
        LBW_TRY(draw(job, image, drawing->path));
    report(job, drawing->picture);
    return LBW_OK;
}

static const struct lbw_column columns[] = {
    {"image", LBW_ALIGN_PATH},   {"class", LBW_ALIGN_LEFT}, {"score", LBW_ALIGN_RIGHT},
    {"x", LBW_ALIGN_RIGHT},      {"y", LBW_ALIGN_RIGHT},    {"width", LBW_ALIGN_RIGHT},
    {"height", LBW_ALIGN_RIGHT}, {"", LBW_ALIGN_LEFT},
};

static int print(const struct job *job)
{
    if (job->v->json)
        return lbw_json_print(json_incref(job->list));
    if (job->v->output && !strcmp(job->v->output, "-"))
        return LBW_EXIT_DONE;
    if (job->num_boxes)
        lbw_table_print(&job->table, stdout, 0);
    else
        printf("no boxes with a score of at least %g\n", job->v->score);
    return LBW_EXIT_DONE;
}

/* Images that cannot be read are reported; the command fails only if none can. */
static int detect_all(struct job *job)
{
    size_t num_bad = 0;
    for (size_t i = 0; i < job->drawings.num; i++) {
        const struct lbw_drawing *drawing = &job->drawings.items[i];
        struct lbw_image image = {0};
        enum lbw_status status = lbw_image_read(&image, drawing->picture, &job->err);
        if (status != LBW_OK) {
            int code = lbw_explain(&job->err);
            if (status == LBW_ERR_MEMORY || ++num_bad == job->drawings.num)
                return code;
            continue;
        }
        status = detect(job, drawing, &image);
        lbw_image_release(&image);
        if (status != LBW_OK)
            return lbw_explain(&job->err);
    }
    return print(job);
}

static enum lbw_status open_sides(struct job *job)
{
    LBW_TRY(open_side(job, &job->model));
    return job->v->reference ? open_side(job, &job->reference) : LBW_OK;
}

static int open_and_detect(struct job *job)
{
    return open_sides(job) == LBW_OK ? detect_all(job) : lbw_explain(&job->err);
}

static int run(const void *values, int num_arguments, char **arguments)
{
    struct job job = {.v = values};
    job.model.path = arguments[0];
    job.reference.path = job.v->reference;
    if (job.v->json && job.v->output && !strcmp(job.v->output, "-"))
        return lbw_usage_error("detect", "both --json and --output - go to standard output");
    if (!lbw_picture_is_usable(&job.v->picture, NULL, "detect"))
        return LBW_EXIT_USAGE;
    const char *const models[] = {arguments[0], job.v->reference, NULL};
    int code = lbw_drawings_init(&job.drawings, arguments + 1, (size_t)num_arguments - 1,
                                 models, job.v->output);
    for (size_t i = 0; code == LBW_EXIT_DONE && i < job.drawings.num; i++)
        if (job.drawings.items[i].path &&
            !lbw_output_is_possible(job.drawings.items[i].path, false))
            code = LBW_EXIT_FAILED;
    if (code != LBW_EXIT_DONE) {
        lbw_drawings_release(&job.drawings);
        return code;
    }
    job.list = json_array();
    lbw_table_init(&job.table, columns, sizeof columns / sizeof *columns);
    code = open_and_detect(&job);
    close_side(&job.model);
    close_side(&job.reference);
    lbw_free(job.compared);
    lbw_free(job.marks);
    lbw_profile_release(&job.profile);
    lbw_table_release(&job.table);
    lbw_drawings_release(&job.drawings);
    json_decref(job.list);
    return code;
}

#define AT(member) offsetof(struct detect_values, member)

/* clang-format off */
static const struct lbw_option options[] = {
    {"output", 'o', LBW_OPTION_STRING, AT(output), "OUT.png|DIR",
     "draw the boxes to this file, or for several images into this folder", .is_written = true},
    {"reference", 'r', LBW_OPTION_STRING, AT(reference), "FLOAT.onnx",
     "compare with this model: draw both side by side and mark lost and invented boxes"},
    LBW_PICTURE_OPTIONS(struct detect_values, picture),
    {"score", 0, LBW_OPTION_FLOAT, AT(score), "X", "hide boxes with lower scores (default 0.5)",
     .min = 0, .max = 1},
    {"nms", 0, LBW_OPTION_FLOAT, AT(nms), "X",
     "IoU above which the box with the lower score is suppressed (default: the profile's)",
     .min = 0, .max = 1},
    {"title", 0, LBW_OPTION_LIST, AT(titles), "TEXT",
     "title of the drawing instead of the file name; with --reference, give the reference's "
     "title first"},
    LBW_NATIVE_OPTION(AT(no_native)),
    {"json", 0, LBW_OPTION_FLAG, AT(json), NULL, "print JSON"},
    {0},
};
/* clang-format on */

static const struct detect_values defaults = {.score = .5, .nms = -1};

const struct lbw_command lbw_cmd_detect = {
    .name = "detect",
    .summary = "detect objects in images and draw the boxes",
    .arguments = "MODEL IMAGE|DIR…",
    .description =
        "Prints the boxes that MODEL finds in each image, or in the images of each folder, "
        "and draws them if --output is given. With --reference, draws the boxes of both "
        "models: lost boxes are dashed, invented boxes have a double outline.",
    .example = "lbw detect 4bit.onnx street.jpg -p yolox --reference float.onnx -o street.png",
    .options = options,
    .values_size = sizeof(struct detect_values),
    .defaults = &defaults,
    .min_arguments = 2,
    .max_arguments = INT_MAX,
    .run = run,
};
