/* SPDX-License-Identifier: MIT */
/* lbw bench: times models, interleaved, as ratios to the first. */
#include <stdio.h>
#include <stdlib.h>

#include <lbw/lbw.h>

#include "cli/commands.h"
#include "cli/json.h"
#include "cli/picture_options.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/talk.h"

#define MAX_SETTINGS 2 /* one thread, and all processors */

struct bench_values {
    struct lbw_option_size size;
    double seconds;
    int64_t runs, threads;
    bool no_native, json;
};

/* All models, measured with one number of threads. */
struct setting {
    unsigned num_threads; /* 0: all */
    struct lbw_bench *bench;
};

static enum lbw_status open_models(struct lbw_model **models, char **paths, int num,
                                   struct lbw_error *err)
{
    for (int i = 0; i < num; i++) {
        enum lbw_status status = lbw_model_open(&models[i], paths[i], err);
        if (status != LBW_OK)
            return status;
    }
    return LBW_OK;
}

static enum lbw_status measure(struct setting *settings, int num_settings,
                               struct lbw_model *const *models, int num,
                               const struct bench_values *v, struct lbw_error *err)
{
    for (int i = 0; i < num_settings; i++) {
        const struct lbw_bench_params params = {
            .seconds = v->seconds,
            .num_runs = (size_t)v->runs,
            .num_threads = settings[i].num_threads,
            .width = v->size.width,
            .height = v->size.height,
            .no_native = v->no_native,
            .progress = lbw_progress_step,
        };
        enum lbw_status status =
            lbw_bench(&settings[i].bench, models, (size_t)num, &params, err);
        if (status != LBW_OK)
            return status;
    }
    return LBW_OK;
}

static const char *thread_text(char out[LBW_TEXT_SIZE], unsigned num_threads)
{
    if (!num_threads)
        return "all";
    snprintf(out, LBW_TEXT_SIZE, "%u", num_threads);
    return out;
}

static void print_table(const struct setting *settings, int num_settings, char **paths)
{
    static const struct lbw_column columns[] = {
        {"model", LBW_ALIGN_PATH},      {"threads", LBW_ALIGN_RIGHT},
        {"load", LBW_ALIGN_RIGHT},      {"median", LBW_ALIGN_RIGHT},
        {"quartiles", LBW_ALIGN_RIGHT}, {"speed", LBW_ALIGN_RIGHT},
        {"quartiles", LBW_ALIGN_RIGHT},
    };
    struct lbw_table table;
    lbw_table_init(&table, columns, sizeof columns / sizeof *columns);
    for (int i = 0; i < num_settings; i++)
        for (size_t k = 0; k < settings[i].bench->num_models; k++) {
            const struct lbw_bench_model *m = &settings[i].bench->models[k];
            char text[LBW_TEXT_SIZE];
            lbw_table_cell(&table, "%s", paths[k]);
            lbw_table_cell(&table, "%s", thread_text(text, settings[i].num_threads));
            lbw_table_cell(&table, "%.0f ms", 1e3 * m->load_seconds);
            lbw_table_cell(&table, "%.2f ms", 1e3 * m->seconds.median);
            lbw_table_cell(&table, "%.2f … %.2f", 1e3 * m->seconds.low, 1e3 * m->seconds.high);
            lbw_table_cell(&table, "%.2f×", m->speed.median);
            lbw_table_cell(&table, "%.2f … %.2f", m->speed.low, m->speed.high);
        }
    lbw_table_print(&table, stdout, 0);
    lbw_table_release(&table);
    for (int i = 0; i < num_settings; i++) {
        char text[LBW_TEXT_SIZE];
        printf("%s%zu runs of each with %s%s", i ? ", " : "\n", settings[i].bench->num_runs,
               thread_text(text, settings[i].num_threads),
               settings[i].num_threads == 1 ? " thread" : " threads");
    }
    printf(", interleaved\n");
}

static json_t *json_spread(const struct lbw_spread *spread)
{
    return json_pack("{s:o, s:o, s:o}", "median", lbw_json_real(spread->median), "low",
                     lbw_json_real(spread->low), "high", lbw_json_real(spread->high));
}

static json_t *json_setting(const struct setting *setting, char **paths)
{
    json_t *models = json_array();
    for (size_t k = 0; k < setting->bench->num_models; k++) {
        const struct lbw_bench_model *m = &setting->bench->models[k];
        lbw_json_append(&models,
                        json_pack("{s:o, s:o, s:o, s:o, s:o}", "model", lbw_json_text(paths[k]),
                                  "load_seconds", lbw_json_real(m->load_seconds),
                                  "first_seconds", lbw_json_real(m->first_seconds), "seconds",
                                  json_spread(&m->seconds), "speed", json_spread(&m->speed)));
    }
    return json_pack("{s:o, s:I, s:o}", "threads",
                     setting->num_threads ? json_integer(setting->num_threads) : json_null(),
                     "runs", (json_int_t)setting->bench->num_runs, "models", models);
}

static int print(const struct setting *settings, int num_settings, char **paths,
                 const struct bench_values *v)
{
    const char *runtime = NULL, *library = NULL;
    if (lbw_runtime_version(&runtime, NULL) != LBW_OK)
        runtime = "?"; /* it has just run */
    if (!v->no_native && lbw_native_library(&library, NULL) != LBW_OK)
        library = NULL;
    if (!v->json) {
        print_table(settings, num_settings, paths);
        printf("ONNX Runtime %s, %s\n", runtime,
               library ? "operator library loaded" : "no operator library");
        return LBW_EXIT_DONE;
    }
    json_t *list = json_array();
    for (int i = 0; i < num_settings; i++)
        lbw_json_append(&list, json_setting(&settings[i], paths));
    return lbw_json_print(json_pack("{s:s, s:o, s:o}", "onnxruntime", runtime, "library",
                                    library ? lbw_json_text(library) : json_null(), "settings",
                                    list));
}

static int run(const void *values, int num_arguments, char **arguments)
{
    const struct bench_values *v = values;
    struct setting settings[MAX_SETTINGS] = {{1, NULL}, {0, NULL}};
    int num_settings = v->threads >= 0 ? 1 : MAX_SETTINGS;
    struct lbw_error err = {0};
    struct lbw_model **models = calloc((size_t)num_arguments, sizeof *models);
    if (!models) {
        lbw_talk("out of memory");
        return LBW_EXIT_FAILED;
    }
    if (v->threads >= 0)
        settings[0].num_threads = (unsigned)v->threads;
    lbw_progress_begin("measuring", v->json);
    enum lbw_status status;
    LBW_OR_OUT(open_models(models, arguments, num_arguments, &err));
    LBW_OR_OUT(measure(settings, num_settings, models, num_arguments, v, &err));
out:
    lbw_progress_end();
    int code =
        status == LBW_OK ? print(settings, num_settings, arguments, v) : lbw_explain(&err);
    for (int i = 0; i < num_arguments; i++)
        lbw_model_close(&models[i]);
    for (int i = 0; i < num_settings; i++)
        lbw_bench_free(&settings[i].bench);
    free(models);
    return code;
}

#define AT(member) offsetof(struct bench_values, member)

static const struct bench_values defaults = {.threads = -1};

static const struct lbw_option options[] = {
    {"threads", 't', LBW_OPTION_INT, AT(threads), "N",
     "runtime threads; 0: one per processor (default: 1, then 0)", .min = 0, .max = 64},
    {"seconds", 's', LBW_OPTION_FLOAT, AT(seconds), "X",
     "seconds to spend on each model (default 2)", .min = 0.01, .max = 3600},
    {"runs", 'n', LBW_OPTION_INT, AT(runs), "N",
     "number of runs of each model, instead of --seconds", .min = 1, .max = 100000},
    {"size", 0, LBW_OPTION_SIZE, AT(size), "WxH", "input size of a model with a dynamic input"},
    LBW_NATIVE_OPTION(AT(no_native)),
    {"json", 0, LBW_OPTION_FLAG, AT(json), NULL, "print JSON; times in seconds"},
    {0},
};

const struct lbw_command lbw_cmd_bench = {
    .name = "bench",
    .summary = "time models in ONNX Runtime",
    .arguments = "MODEL…",
    .description = "Runs the models in turn on a generated image and prints the median time of "
                   "each and its speedup over the first. Because runs are interleaved, other "
                   "load on the machine affects all models alike.",
    .example = "lbw bench yolox.onnx yolox-int8.onnx --threads 1",
    .options = options,
    .values_size = sizeof(struct bench_values),
    .defaults = &defaults,
    .min_arguments = 1,
    .max_arguments = 64,
    .run = run,
};
