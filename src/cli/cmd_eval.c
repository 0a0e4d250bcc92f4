/* SPDX-License-Identifier: MIT */
/* lbw eval: measures the boxes of one or several models. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lbw/lbw.h>
#include <lbw/profile.h>

#include "cli/commands.h"
#include "cli/json.h"
#include "cli/picture_options.h"
#include "cli/progress.h"
#include "cli/save.h"
#include "cli/table.h"
#include "cli/talk.h"

struct eval_values {
    const char *images, *labels, *reference, *save;
    struct lbw_picture_values picture;
    double score, nms, reference_score, reference_nms;
    int64_t max_images, threads;
    bool per_class, voc, no_native, json, quiet;
};

/* Everything the command opens, closed in one place. */
struct job {
    const struct eval_values *v;
    char **paths;
    size_t num_models;
    struct lbw_model **models;
    struct lbw_model *reference;
    struct lbw_profile profile;
    struct lbw_dataset *dataset;
    struct lbw_evaluation *evaluation;
    struct lbw_error err;
};

static enum lbw_status open_models(struct job *job)
{
    enum lbw_status status = LBW_OK;
    if (job->v->reference)
        status = lbw_model_open(&job->reference, job->v->reference, &job->err);
    for (size_t i = 0; status == LBW_OK && i < job->num_models; i++)
        status = lbw_model_open(&job->models[i], job->paths[i], &job->err);
    return status;
}

static enum lbw_status open_dataset(struct job *job)
{
    const struct lbw_dataset_params params = {
        .images = job->v->images,
        .labels = job->v->labels,
        .names = job->profile.labels,
        .num_names = job->profile.num_labels,
        .max_images = (size_t)job->v->max_images,
    };
    return lbw_dataset_open(&job->dataset, &params, &job->err);
}

static enum lbw_status open_all(struct job *job)
{
    LBW_TRY(open_models(job));
    LBW_TRY(lbw_picture_for_detector(&job->profile, job->models[0], job->paths[0],
                                     &job->v->picture, false, &job->err));
    if (job->v->score >= 0)
        job->profile.score = (float)job->v->score;
    if (job->v->nms >= 0)
        job->profile.nms = (float)job->v->nms;
    return open_dataset(job);
}

static enum lbw_status evaluate(struct job *job)
{
    const struct eval_values *v = job->v;
    struct lbw_eval_params params = {
        .profile = &job->profile,
        .dataset = job->dataset,
        .reference = job->reference,
        .reference_score = (float)v->reference_score,
        .reference_nms = (float)v->reference_nms,
        .num_threads = (unsigned)v->threads,
        .no_native = v->no_native,
        .progress = lbw_progress_step,
    };
    lbw_progress_begin("testing", v->quiet);
    enum lbw_status status =
        lbw_eval(&job->evaluation, job->models, job->num_models, &params, &job->err);
    lbw_progress_end();
    for (size_t i = 0; status == LBW_OK && i < job->evaluation->num_notes; i++)
        lbw_talk("warning: %s", job->evaluation->notes[i]);
    return status;
}

static const char *class_name(const struct job *job, size_t c, char out[24])
{
    if (job->evaluation->names)
        return job->evaluation->names[c];
    snprintf(out, 24, "%zu", c);
    return out;
}

/* A share for people; "-" if nothing was labelled. */
static void share_cell(struct lbw_table *table, double value)
{
    if (value < 0)
        lbw_table_cell(table, "-");
    else
        lbw_table_cell(table, "%.4f", value);
}

/* What a column shows for a model. */
struct measure {
    struct lbw_column column;
    size_t offset; /* of a double in struct lbw_eval_model, or of a size_t */
    bool is_count;
    bool is_agreement; /* shown with a reference, else with labels */
    bool is_voc;       /* only with --voc */
};

#define OF(member) offsetof(struct lbw_eval_model, member)

static const struct measure measures[] = {
    {{"AP", LBW_ALIGN_RIGHT}, OF(ap.ap), false, false, false},
    {{"AP50", LBW_ALIGN_RIGHT}, OF(ap.ap50), false, false, false},
    {{"AP75", LBW_ALIGN_RIGHT}, OF(ap.ap75), false, false, false},
    {{"VOC 11-point", LBW_ALIGN_RIGHT}, OF(ap.voc_11), false, false, true},
    {{"VOC area", LBW_ALIGN_RIGHT}, OF(ap.voc_all), false, false, true},
    {{"agree AP50", LBW_ALIGN_RIGHT}, OF(agreement.ap50), false, true, false},
    {{"agree AP75", LBW_ALIGN_RIGHT}, OF(agreement.ap75), false, true, false},
    {{"boxes", LBW_ALIGN_RIGHT}, OF(num_found), true, true, false},
    {{"lost", LBW_ALIGN_RIGHT}, OF(num_lost), true, true, false},
    {{"invented", LBW_ALIGN_RIGHT}, OF(num_invented), true, true, false},
};

#define NUM_MEASURES (sizeof measures / sizeof *measures)

static bool is_shown(const struct job *job, const struct measure *measure)
{
    if (measure->is_agreement)
        return job->reference != NULL;
    return job->v->labels && (!measure->is_voc || job->v->voc);
}

static double value_of(const struct lbw_eval_model *model, size_t offset)
{
    double value;
    memcpy(&value, (const char *)model + offset, sizeof value);
    return value;
}

static size_t count_of(const struct lbw_eval_model *model, size_t offset)
{
    size_t count;
    memcpy(&count, (const char *)model + offset, sizeof count);
    return count;
}

static void print_models(const struct job *job)
{
    const struct lbw_evaluation *e = job->evaluation;
    struct lbw_column columns[NUM_MEASURES + 3] = {{"model", LBW_ALIGN_PATH},
                                                   {"size", LBW_ALIGN_RIGHT}};
    size_t num = 2;
    for (size_t m = 0; m < NUM_MEASURES; m++)
        if (is_shown(job, &measures[m]))
            columns[num++] = measures[m].column;
    columns[num++] = (struct lbw_column){"ms/image", LBW_ALIGN_RIGHT};
    struct lbw_table table;
    lbw_table_init(&table, columns, num);
    for (size_t i = 0; i < e->num_models; i++) {
        const struct lbw_eval_model *model = lbw_evaluation_model(e, i);
        char size[LBW_TEXT_SIZE];
        lbw_table_cell(&table, "%s", job->paths[i]);
        lbw_table_cell(&table, "%s", lbw_text_bytes(size, lbw_model_size(job->models[i])));
        for (size_t m = 0; m < NUM_MEASURES; m++) {
            if (!is_shown(job, &measures[m]))
                continue;
            if (measures[m].is_count)
                lbw_table_cell(&table, "%zu", count_of(model, measures[m].offset));
            else
                share_cell(&table, value_of(model, measures[m].offset));
        }
        lbw_table_cell(&table, "%.1f", 1e3 * model->runtime_seconds / (double)e->num_images);
    }
    lbw_table_print(&table, stdout, 0);
    lbw_table_release(&table);
}

static void print_classes(const struct job *job)
{
    const struct lbw_evaluation *e = job->evaluation;
    struct lbw_column *columns = calloc(e->num_models + 2, sizeof *columns);
    if (!columns)
        return;
    columns[0] = (struct lbw_column){"class", LBW_ALIGN_LEFT};
    columns[1] = (struct lbw_column){"labelled", LBW_ALIGN_RIGHT};
    for (size_t i = 0; i < e->num_models; i++) {
        const char *slash = strrchr(job->paths[i], '/');
        columns[2 + i].title = slash ? slash + 1 : job->paths[i];
        columns[2 + i].align = LBW_ALIGN_RIGHT;
    }
    struct lbw_table table;
    lbw_table_init(&table, columns, e->num_models + 2);
    for (size_t c = 0; c < e->num_classes; c++) {
        char name[24];
        if (!lbw_evaluation_class(e, 0, c)->num_truths &&
            !lbw_evaluation_class(e, 0, c)->num_boxes)
            continue;
        lbw_table_cell(&table, "%s", class_name(job, c, name));
        lbw_table_cell(&table, "%zu", lbw_evaluation_class(e, 0, c)->num_truths);
        for (size_t i = 0; i < e->num_models; i++)
            share_cell(&table, lbw_evaluation_class(e, i, c)->ap);
    }
    printf("\nAP of each class:\n");
    lbw_table_print(&table, stdout, 0);
    lbw_table_release(&table);
    free(columns);
}

static void print_text(const struct job *job)
{
    const struct lbw_evaluation *e = job->evaluation;
    print_models(job);
    if (job->v->per_class && job->v->labels)
        print_classes(job);
    double num = (double)e->num_images;
    char wall[LBW_TEXT_SIZE];
    printf("\n%zu image%s", e->num_images, e->num_images == 1 ? "" : "s");
    if (job->v->labels)
        printf(", %zu labelled box%s", lbw_evaluation_model(e, 0)->ap.num_truths,
               lbw_evaluation_model(e, 0)->ap.num_truths == 1 ? "" : "es");
    if (job->reference)
        printf(", %zu reference box%s", lbw_evaluation_model(e, 0)->num_wanted,
               lbw_evaluation_model(e, 0)->num_wanted == 1 ? "" : "es");
    printf("\n%s; %.1f ms each to read", lbw_text_seconds(wall, e->wall_seconds),
           1e3 * e->read_seconds / num);
    if (e->num_models == 1) /* for several models, the table has the sum of both */
        printf(", %.1f ms in ONNX Runtime, %.1f ms to decode boxes",
               1e3 * lbw_evaluation_model(e, 0)->runtime_seconds / num,
               1e3 * lbw_evaluation_model(e, 0)->decode_seconds / num);
    putchar('\n');
}

static json_t *json_share(double value)
{
    return value < 0 ? json_null() : json_real(value);
}

static json_t *json_ap(const struct lbw_ap *ap)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "ap",
                     json_share(ap->ap), "ap50", json_share(ap->ap50), "ap75",
                     json_share(ap->ap75), "ap_small", json_share(ap->ap_small), "ap_medium",
                     json_share(ap->ap_medium), "ap_large", json_share(ap->ap_large), "voc_11",
                     json_share(ap->voc_11), "voc_all", json_share(ap->voc_all), "labelled",
                     (json_int_t)ap->num_truths, "boxes", (json_int_t)ap->num_boxes);
}

static json_t *json_model(const struct job *job, size_t i)
{
    const struct lbw_evaluation *e = job->evaluation;
    const struct lbw_eval_model *model = lbw_evaluation_model(e, i);
    json_t *object =
        json_pack("{s:o, s:I, s:f, s:f}", "model", lbw_json_text(job->paths[i]), "size",
                  (json_int_t)lbw_model_size(job->models[i]), "runtime_seconds",
                  model->runtime_seconds, "decode_seconds", model->decode_seconds);
    if (job->v->labels)
        lbw_json_set(&object, "labels", json_ap(&model->ap));
    if (job->reference) {
        json_t *agreement = json_ap(&model->agreement);
        lbw_json_set(&agreement, "wanted", json_integer((json_int_t)model->num_wanted));
        lbw_json_set(&agreement, "found", json_integer((json_int_t)model->num_found));
        lbw_json_set(&agreement, "lost", json_integer((json_int_t)model->num_lost));
        lbw_json_set(&agreement, "invented", json_integer((json_int_t)model->num_invented));
        lbw_json_set(&object, "agreement", agreement);
    }
    if (job->v->labels && job->v->per_class) {
        json_t *classes = json_object();
        for (size_t c = 0; c < e->num_classes; c++) {
            char name[24];
            lbw_json_set(&classes, class_name(job, c, name),
                         json_ap(lbw_evaluation_class(e, i, c)));
        }
        lbw_json_set(&object, "classes", classes);
    }
    return object;
}

static int print_json(const struct job *job)
{
    const struct lbw_evaluation *e = job->evaluation;
    json_t *models = json_array();
    for (size_t i = 0; i < e->num_models; i++)
        lbw_json_append(&models, json_model(job, i));
    return lbw_json_print(
        json_pack("{s:I, s:I, s:f, s:f, s:o}", "images", (json_int_t)e->num_images,
                  "unreadable", (json_int_t)e->num_unreadable, "read_seconds", e->read_seconds,
                  "wall_seconds", e->wall_seconds, "models", models));
}

/* COCO's result format; floats are printed so that they are read back exactly. */
static enum lbw_status save_boxes(struct job *job)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    const char *between = "[\n";
    for (size_t i = 0; to && i < job->evaluation->num_images; i++) {
        struct lbw_eval_picture picture = lbw_evaluation_picture(job->evaluation, 0, i);
        for (size_t k = 0; k < picture.num_boxes; k++) {
            const struct lbw_box *box = &picture.boxes[k];
            fprintf(to,
                    "%s{\"image_id\": %lld, \"category_id\": %lld, \"bbox\": "
                    "[%.9g, %.9g, %.9g, %.9g], \"score\": %.9g}",
                    between, (long long)picture.id,
                    (long long)lbw_dataset_category(job->dataset, box->class_index),
                    (double)box->x, (double)box->y, (double)box->width, (double)box->height,
                    (double)box->score);
            between = ",\n";
        }
    }
    enum lbw_status status = LBW_ERR_MEMORY;
    if (to) {
        fprintf(to, "%s]\n", *between == '[' ? "[" : "\n");
        if (fclose(to) == 0)
            status = lbw_save_text(job->v->save, text, &job->err);
    }
    free(text);
    if (status == LBW_ERR_MEMORY)
        job->err = (struct lbw_error){LBW_ERR_MEMORY, "out of memory"};
    return status;
}

static void close_all(struct job *job)
{
    lbw_evaluation_free(&job->evaluation);
    lbw_dataset_close(&job->dataset);
    for (size_t i = 0; i < job->num_models; i++)
        lbw_model_close(&job->models[i]);
    free(job->models);
    lbw_model_close(&job->reference);
    lbw_profile_release(&job->profile);
}

static int run(const void *values, int num_arguments, char **arguments)
{
    struct job job = {.v = values, .paths = arguments};
    if (!job.v->images)
        return lbw_usage_error("eval", "missing --images DIR");
    if (!job.v->labels && !job.v->reference)
        return lbw_usage_error("eval", "missing --labels or --reference");
    if (!job.v->labels && (job.v->per_class || job.v->voc))
        return lbw_usage_error("eval", "--%s needs --labels", job.v->voc ? "voc" : "per-class");
    if (!lbw_picture_is_usable(&job.v->picture, NULL, "eval"))
        return LBW_EXIT_USAGE;
    job.models = calloc((size_t)num_arguments, sizeof(struct lbw_model *));
    if (!job.models) {
        lbw_talk("out of memory");
        return LBW_EXIT_FAILED;
    }
    job.num_models = (size_t)num_arguments;
    enum lbw_status status = open_all(&job);
    if (status == LBW_OK)
        status = evaluate(&job);
    if (status == LBW_OK && job.v->save)
        status = save_boxes(&job);
    int code = LBW_EXIT_DONE;
    if (status != LBW_OK)
        code = lbw_explain(&job.err);
    else if (job.v->json)
        code = print_json(&job);
    else
        print_text(&job);
    close_all(&job);
    return code;
}

#define AT(member) offsetof(struct eval_values, member)

/* clang-format off */
static const struct lbw_option options[] = {
    {"images", 'i', LBW_OPTION_STRING, AT(images), "DIR", "folder of JPEG and PNG images"},
    {"labels", 'l', LBW_OPTION_STRING, AT(labels), "FILE|DIR",
     "labels of the images: COCO JSON, a folder of VOC XML or of YOLO text files"},
    {"reference", 'r', LBW_OPTION_STRING, AT(reference), "FLOAT.onnx",
     "use this model's boxes as the ground truth"},
    LBW_PICTURE_OPTIONS(struct eval_values, picture),
    {"score", 0, LBW_OPTION_FLOAT, AT(score), "X",
     "ignore boxes with lower scores in AP against labels (default: the profile's)",
     .min = 0, .max = 1},
    {"nms", 0, LBW_OPTION_FLOAT, AT(nms), "X",
     "IoU above which the box with the lower score is suppressed (default: the profile's)",
     .min = 0, .max = 1},
    {"reference-score", 0, LBW_OPTION_FLOAT, AT(reference_score), "X",
     "minimum score of the boxes to compare, in both models (default 0.6)",
     .min = 0.05, .max = 1},
    {"reference-nms", 0, LBW_OPTION_FLOAT, AT(reference_nms), "X",
     "like --nms, when comparing with the reference (default 0.3)", .min = 0.01, .max = 1},
    {"max-images", 'n', LBW_OPTION_INT, AT(max_images), "N", "use only the first N images",
     .min = 1, .max = 1e9},
    {"threads", 0, LBW_OPTION_INT, AT(threads), "N",
     "images processed in parallel (default: one per processor)", .min = 1, .max = 64},
    {"per-class", 0, LBW_OPTION_FLAG, AT(per_class), NULL, "also print the AP of each class"},
    {"voc", 0, LBW_OPTION_FLAG, AT(voc), NULL, "also print Pascal VOC's AP at IoU .5"},
    {"save", 0, LBW_OPTION_OUTPUT, AT(save), "FILE.json",
     "write the first model's boxes in COCO result format"},
    LBW_NATIVE_OPTION(AT(no_native)),
    {"json", 0, LBW_OPTION_FLAG, AT(json), NULL, "print JSON"},
    {"quiet", 'q', LBW_OPTION_FLAG, AT(quiet), NULL, "do not show progress"},
    {0},
};
/* clang-format on */

static const struct eval_values defaults = {.score = -1, .nms = -1};

const struct lbw_command lbw_cmd_eval = {
    .name = "eval",
    .summary = "measure detectors against labels or a reference model",
    .arguments = "MODEL…",
    .description =
        "Runs each MODEL on the images. With --labels, prints COCO's average precision (AP: "
        "mean "
        "over overlaps .50 … .95; AP50, AP75). With --reference, takes the boxes of that model "
        "as the truth and prints agreement, lost boxes and invented boxes.\n\nSkips images "
        "without labels and unreadable images, and names them.",
    .example = "lbw eval float.onnx 4bit.onnx -p yolox --images val/ --labels instances.json",
    .options = options,
    .values_size = sizeof(struct eval_values),
    .defaults = &defaults,
    .min_arguments = 1,
    .max_arguments = 64,
    .run = run,
};
