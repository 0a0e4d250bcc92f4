/* SPDX-License-Identifier: MIT */
/* Compares the outputs of two models in ONNX Runtime. */
#include <lbw/runtime.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/last_layers.h"
#include "onnx/model.h"
#include "onnx/tensor.h"
#include "detect/assume.h"
#include "feed/array.h"
#include "run/session.h"

#define NUM_SAMPLES 4

/* Sums over all values of one output that are finite on both sides. */
struct sums {
    double aa;
    double ab;
    double bb;
    double dd; /* of squared differences */
};

struct result {
    struct lbw_comparison base;   /* names and the line about the input are owned */
    struct lbw_compare_row *rows; /* owned */
    struct sums *sums;            /* as rows */
};

struct pair {
    struct lbw_session *a;
    struct lbw_session *b;
    struct lbw_feed *feed;
    size_t *inputs_a; /* input i of the session is input inputs_a[i] of the feed */
    size_t *inputs_b;
    size_t num_a, num_b;      /* outputs */
    size_t *outputs_b;        /* output i of A is output outputs_b[i] of B; num_b: of A only */
    struct lbw_array *arrays; /* scratch: of the feed, ordered, of A, of B */
    size_t num_arrays;
    struct lbw_error unloaded; /* why the last layers are compared; "" */
};

enum lbw_status lbw_runtime_version(const char **version, struct lbw_error *err)
{
    struct lbw_runtime *runtime;
    return lbw_runtime_load(&runtime, version, err);
}

/* The model as a whole, or up to `part`, the last layers of A. */
static enum lbw_status open_session(struct lbw_session **out, struct lbw_model *model,
                                    const struct lbw_compare_params *wanted,
                                    const struct lbw_part *part, const char *which,
                                    struct lbw_error *err)
{
    const struct lbw_session_params params = {
        .num_threads = wanted->num_threads,
        .optimize = 99,
        .native = !wanted->no_native,
        .numbers_only = 1,
    };
    if (!part)
        return lbw_within(err, lbw_session_open_model(out, model, &params, err), "model %s",
                          which);
    return lbw_within(err, lbw_session_open_part(out, model, part, &params, err), "%s",
                      model->name);
}

/* Both models up to the last layers of A. */
static enum lbw_status open_layers(struct pair *pair, struct lbw_model *a, struct lbw_model *b,
                                   const struct lbw_compare_params *params)
{
    struct lbw_index index;
    struct lbw_part part = {0};
    const char **ends;
    lbw_session_close(&pair->a);
    lbw_session_close(&pair->b);
    LBW_TRY(lbw_index_init(&index, a, NULL));
    enum lbw_status status = lbw_index_ends(&ends, &part.num_outputs, &index, NULL);
    lbw_index_release(&index);
    LBW_TRY(status);
    part.outputs = ends;
    LBW_TRY(open_session(&pair->a, a, params, &part, "A", NULL));
    return open_session(&pair->b, b, params, &part, "B", NULL);
}

static enum lbw_status open_whole(struct pair *pair, struct lbw_model *a, struct lbw_model *b,
                                  const struct lbw_compare_params *params,
                                  struct lbw_error *err)
{
    LBW_TRY(open_session(&pair->a, a, params, NULL, "A", err));
    return open_session(&pair->b, b, params, NULL, "B", err);
}

/* Of what the runtime does not load as a whole, the last layers are compared. */
static enum lbw_status open_sessions(struct pair *pair, struct lbw_model *a,
                                     struct lbw_model *b,
                                     const struct lbw_compare_params *params,
                                     struct lbw_error *err)
{
    enum lbw_status status = open_whole(pair, a, b, params, &pair->unloaded);
    if (status == LBW_OK ||
        (status == LBW_ERR_RUNTIME && open_layers(pair, a, b, params) == LBW_OK))
        return LBW_OK;
    return lbw_fail(err, status, "%s", pair->unloaded.message);
}

/* Where the session's inputs are in the feed. */
static enum lbw_status match_inputs(size_t **out, const struct lbw_session *session,
                                    const struct lbw_feed *feed, const char *which,
                                    struct lbw_error *err)
{
    size_t num_inputs = lbw_session_num_inputs(session);
    size_t num_fed = lbw_feed_num_inputs(feed);
    size_t *map = calloc(num_inputs + 1, sizeof *map);
    if (!map)
        return lbw_fail_memory(err);
    *out = map;
    for (size_t i = 0; i < num_inputs; i++) {
        const char *name = lbw_session_input_name(session, i);
        while (map[i] < num_fed && strcmp(lbw_feed_input(feed, map[i])->name, name) != 0)
            map[i]++;
        if (map[i] == num_fed)
            return lbw_fail(err, LBW_ERR_ARGUMENT,
                            "model %s has an input '%s' that the other lacks", which, name);
    }
    if (num_inputs < num_fed)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "model A has %zu inputs, model %s %zu", num_fed,
                        which, num_inputs);
    return LBW_OK;
}

static enum lbw_status match_outputs(struct pair *pair, struct lbw_error *err)
{
    size_t num_found = 0;
    pair->num_a = lbw_session_num_outputs(pair->a);
    pair->num_b = lbw_session_num_outputs(pair->b);
    pair->outputs_b = calloc(pair->num_a + 1, sizeof *pair->outputs_b);
    if (!pair->outputs_b)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < pair->num_a; i++) {
        pair->outputs_b[i] =
            lbw_session_find_output(pair->b, lbw_session_output_name(pair->a, i));
        num_found += pair->outputs_b[i] < pair->num_b;
    }
    if (!num_found && pair->num_a)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "model B has no output '%s', nor any other of model A",
                        lbw_session_output_name(pair->a, 0));
    return LBW_OK;
}

static enum lbw_status pair_open(struct pair *pair, const char **assumed, struct lbw_model *a,
                                 struct lbw_model *b, const struct lbw_compare_params *params,
                                 struct lbw_error *err)
{
    const struct lbw_feed_params feed = {
        .source = params->source,
        .samples = params->samples,
        .max_samples = params->num_samples ? params->num_samples : NUM_SAMPLES,
        .preprocess = params->preprocess,
        .width = params->width,
        .height = params->height,
        .seed = params->seed,
    };
    LBW_TRY(open_sessions(pair, a, b, params, err));
    struct lbw_model *const models[] = {a, b};
    LBW_TRY(lbw_assumed_feed_open_of(&pair->feed, models, 2, &feed, assumed, err));
    LBW_TRY(match_inputs(&pair->inputs_a, pair->a, pair->feed, "A", err));
    LBW_TRY(match_inputs(&pair->inputs_b, pair->b, pair->feed, "B", err));
    LBW_TRY(match_outputs(pair, err));
    pair->num_arrays = 2 * lbw_feed_num_inputs(pair->feed) + pair->num_a + pair->num_b;
    pair->arrays = calloc(pair->num_arrays + 1, sizeof *pair->arrays);
    return pair->arrays ? LBW_OK : lbw_fail_memory(err);
}

static void pair_release(struct pair *pair)
{
    lbw_session_close(&pair->a);
    lbw_session_close(&pair->b);
    lbw_feed_close(&pair->feed);
    free(pair->inputs_a);
    free(pair->inputs_b);
    free(pair->outputs_b);
    free(pair->arrays);
}

/* As the model declares it: "float32", "string", "sequence". */
static const char *type_of(const struct lbw_model_info *info, const char *name)
{
    for (size_t i = 0; i < info->num_outputs; i++)
        if (strcmp(info->outputs[i].name, name) == 0)
            return info->outputs[i].type;
    return "?";
}

static void skip(struct lbw_compare_row *row, const char *reason)
{
    row->is_skipped = true;
    row->reason = reason;
}

/* Adds the row of output i of one of the models; `missing`: in which alone it is, or "". */
static enum lbw_status add_row(struct result *result, const struct lbw_session *session,
                               size_t i, const struct lbw_model_info *info, const char *missing,
                               struct lbw_error *err)
{
    struct lbw_compare_row *row = &result->rows[result->base.num_rows];
    row->has_same_shape = true;
    row->type = type_of(info, lbw_session_output_name(session, i));
    row->is_skipped = row->is_missing = *missing != '\0';
    row->reason = missing;
    row->name = strdup(lbw_session_output_name(session, i));
    if (!row->name)
        return lbw_fail_memory(err);
    result->base.num_rows++;
    return LBW_OK;
}

static enum lbw_status result_init(struct result *result, const struct pair *pair,
                                   struct lbw_model *a, struct lbw_model *b,
                                   const char *assumed, struct lbw_error *err)
{
    struct lbw_comparison *base = &result->base;
    struct lbw_model_info info;
    size_t num_rows = pair->num_a + pair->num_b;
    result->rows = calloc(num_rows + 1, sizeof *result->rows);
    result->sums = calloc(num_rows + 1, sizeof *result->sums);
    base->assumed = strdup(assumed ? assumed : "");
    base->of_layers = strdup(pair->unloaded.message);
    if (!result->rows || !result->sums || !base->assumed || !base->of_layers)
        return lbw_fail_memory(err);
    LBW_TRY(lbw_model_describe(&info, a, err));
    for (size_t i = 0; i < pair->num_a; i++)
        LBW_TRY(add_row(result, pair->a, i, &info,
                        pair->outputs_b[i] < pair->num_b ? "" : "only in model A", err));
    LBW_TRY(lbw_model_describe(&info, b, err));
    for (size_t k = 0; k < pair->num_b; k++)
        if (lbw_session_find_output(pair->a, lbw_session_output_name(pair->b, k)) ==
            pair->num_a)
            LBW_TRY(add_row(result, pair->b, k, &info, "only in model B", err));
    return LBW_OK;
}

static void add_value(struct lbw_compare_row *row, struct sums *sums, double a, double b)
{
    row->num_values++;
    if (isfinite(a) && fabs(a) > row->max_value)
        row->max_value = fabs(a);
    if (isfinite(a) && isfinite(b)) {
        double error = fabs(a - b);
        if (error > row->max_error)
            row->max_error = error;
        sums->aa += a * a;
        sums->ab += a * b;
        sums->bb += b * b;
        sums->dd += (a - b) * (a - b);
    } else if (a != b && !(isnan(a) && isnan(b))) {
        row->num_unlike++;
        row->max_error = INFINITY;
    }
}

/* Adds one sample of one output. */
static void add_sample(struct lbw_compare_row *row, struct sums *sums,
                       const struct lbw_array *a, const struct lbw_array *b)
{
    size_t width_a = lbw_data_type_bits(a->data_type) / 8;
    size_t width_b = lbw_data_type_bits(b->data_type) / 8;
    if (!lbw_array_has_numbers(a->data_type) || !lbw_array_has_numbers(b->data_type)) {
        skip(row, "not a tensor of numbers");
        return;
    }
    bool is_same = a->num_dims == b->num_dims &&
                   memcmp(a->dims, b->dims, a->num_dims * sizeof *a->dims) == 0;
    if (row->has_same_shape && (!row->num_values || !is_same)) {
        row->type = lbw_data_type_name(a->data_type);
        row->num_dims = (int)a->num_dims;
        row->num_dims_b = (int)b->num_dims;
        memcpy(row->dims, a->dims, sizeof row->dims);
        memcpy(row->dims_b, b->dims, sizeof row->dims_b);
    }
    if (!is_same) {
        row->has_same_shape = false;
        row->max_error = INFINITY;
        return;
    }
    for (size_t i = 0; i < a->size / width_a; i++) {
        double value_a = 0, value_b = 0;
        lbw_number_load(&value_a, (const char *)a->data + i * width_a, a->data_type);
        lbw_number_load(&value_b, (const char *)b->data + i * width_b, b->data_type);
        add_value(row, sums, value_a, value_b);
    }
}

static enum lbw_status run_one(struct lbw_array *outputs, struct lbw_session *session,
                               const size_t *map, const struct lbw_array *fed,
                               struct lbw_array *ordered, const char *which,
                               struct lbw_error *err)
{
    for (size_t i = 0; i < lbw_session_num_inputs(session); i++)
        ordered[i] = fed[map[i]];
    enum lbw_status status = lbw_session_run(session, ordered, outputs, err);
    return status == LBW_OK ? status : lbw_within(err, status, "model %s", which);
}

static enum lbw_status compare_sample(struct result *result, struct pair *pair, size_t sample,
                                      struct lbw_error *err)
{
    size_t num_inputs = lbw_feed_num_inputs(pair->feed);
    struct lbw_array *fed = pair->arrays, *ordered = fed + num_inputs;
    struct lbw_array *a = ordered + num_inputs, *b = a + pair->num_a;
    memset(pair->arrays, 0, pair->num_arrays * sizeof *pair->arrays);
    enum lbw_status status;
    LBW_OR_OUT(lbw_feed_get(pair->feed, sample, fed, err));
    LBW_OR_OUT(run_one(a, pair->a, pair->inputs_a, fed, ordered, "A", err));
    LBW_OR_OUT(run_one(b, pair->b, pair->inputs_b, fed, ordered, "B", err));
out:
    for (size_t i = 0; i < pair->num_a && status == LBW_OK; i++)
        if (!result->rows[i].is_skipped)
            add_sample(&result->rows[i], &result->sums[i], &a[i], &b[pair->outputs_b[i]]);
    lbw_arrays_release(fed, num_inputs);
    lbw_arrays_release(a, pair->num_a + pair->num_b);
    return status;
}

static void finish_row(struct lbw_compare_row *row, const struct sums *sums)
{
    double norms = sqrt(sums->aa) * sqrt(sums->bb);
    row->relative_error = row->max_error > 0 ? row->max_error / row->max_value : 0;
    row->snr = row->max_error > 0 ? 10 * log10(sums->aa / sums->dd) : INFINITY;
    row->cosine = norms > 0 ? sums->ab / norms : sums->aa == sums->bb ? 1 : 0;
    if (isinf(row->max_error)) {
        row->relative_error = INFINITY;
        if (sums->dd == 0)
            row->snr = -INFINITY;
    }
}

static enum lbw_status compare(struct result *result, struct pair *pair, struct lbw_model *a,
                               struct lbw_model *b, const struct lbw_compare_params *params,
                               struct lbw_error *err)
{
    const char *assumed = NULL;
    LBW_TRY(pair_open(pair, &assumed, a, b, params, err));
    LBW_TRY(result_init(result, pair, a, b, assumed, err));
    size_t num_samples = lbw_feed_num_samples(pair->feed);
    for (size_t i = 0; i < num_samples; i++) {
        if (params->progress && params->progress(params->user, NULL, i, num_samples))
            return lbw_fail(err, LBW_ERR_INTERRUPTED, "interrupted");
        LBW_TRY(compare_sample(result, pair, i, err));
    }
    size_t num_skipped = 0;
    for (size_t i = 0; i < result->base.num_rows; i++) {
        finish_row(&result->rows[i], &result->sums[i]);
        num_skipped += result->rows[i].is_skipped;
    }
    if (num_skipped && num_skipped == result->base.num_rows)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "no output of both is a tensor of numbers");
    result->base.num_samples = num_samples;
    if (params->progress)
        params->progress(params->user, NULL, num_samples, num_samples);
    return LBW_OK;
}

enum lbw_status lbw_compare(struct lbw_comparison **out, struct lbw_model *a,
                            struct lbw_model *b, const struct lbw_compare_params *params,
                            struct lbw_error *err)
{
    const struct lbw_compare_params defaults = {0};
    struct pair pair = {0};
    LBW_TRY(lbw_within(err, lbw_model_check(a, err), "A"));
    LBW_TRY(lbw_within(err, lbw_model_check(b, err), "B"));
    params = params ? params : &defaults;
    struct result *result = calloc(1, sizeof *result);
    if (!result)
        return lbw_fail_memory(err);
    struct lbw_comparison *base = &result->base;
    enum lbw_status status = compare(result, &pair, a, b, params, err);
    pair_release(&pair);
    if (status != LBW_OK)
        lbw_comparison_free(&base);
    else
        *out = base;
    return status;
}

const struct lbw_compare_row *lbw_comparison_row(const struct lbw_comparison *comparison,
                                                 size_t i)
{
    return i < comparison->num_rows ? &((const struct result *)comparison)->rows[i] : NULL;
}

void lbw_comparison_free(struct lbw_comparison **comparison)
{
    if (!*comparison)
        return;
    struct result *result = (struct result *)(void *)*comparison;
    for (size_t i = 0; i < result->base.num_rows; i++)
        free((char *)result->rows[i].name);
    free((char *)result->base.assumed);
    free((char *)result->base.of_layers);
    free(result->rows);
    free(result->sums);
    free(result);
    *comparison = NULL;
}
