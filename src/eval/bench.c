/* SPDX-License-Identifier: MIT */
/* Times several models in ONNX Runtime, which take turns. */
#include <lbw/bench.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "detect/assume.h"
#include "run/session.h"

#define DEFAULT_SECONDS 2.
#define WARM_UP_ROUNDS  3
#define MIN_ROUNDS      11
#define MAX_ROUNDS      100000

/* One model with its session and inputs. */
struct lane {
    const char *model; /* its name */
    struct lbw_session *session;
    struct lbw_feed *feed;
    struct lbw_array *inputs; /* in the session's order */
    struct lbw_array *outputs;
    double *times; /* one per round */
};

struct race {
    struct lane *lanes;
    size_t num_lanes;
    size_t num_rounds, capacity;
    double *ratios; /* scratch, `capacity` items */
};

/* The first sample of the feed, in the session's order. */
static enum lbw_status fill_inputs(struct lane *lane, struct lbw_error *err)
{
    size_t num = lbw_session_num_inputs(lane->session);
    size_t num_fed = lbw_feed_num_inputs(lane->feed);
    if (num != num_fed)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "%zu inputs in the model, %zu in the runtime",
                        num_fed, num);
    struct lbw_array *fed = calloc(num + 1, sizeof *fed);
    lane->inputs = calloc(num + 1, sizeof *lane->inputs);
    lane->outputs = calloc(lbw_session_num_outputs(lane->session) + 1, sizeof *lane->outputs);
    enum lbw_status status = fed && lane->inputs && lane->outputs
                                 ? lbw_feed_get(lane->feed, 0, fed, err)
                                 : lbw_fail_memory(err);
    for (size_t i = 0; status == LBW_OK && i < num; i++)
        lane->inputs[lbw_session_find_input(lane->session,
                                            lbw_feed_input(lane->feed, i)->name)] = fed[i];
    free(fed);
    return status;
}

/* Whether a side of an input is open, so that a size may be given. */
static bool has_open_side(const struct lbw_model_info *info)
{
    for (size_t i = 0; i < info->num_inputs; i++)
        for (int k = 1; k < info->inputs[i].num_dims; k++)
            if (info->inputs[i].dims[k] < 0)
                return true;
    return false;
}

static enum lbw_status lane_open(struct lane *lane, struct lbw_bench_model *result,
                                 struct lbw_model *model, const struct lbw_bench_params *params,
                                 struct lbw_error *err)
{
    struct lbw_model_info info;
    LBW_TRY(lbw_model_describe(&info, model, err));
    bool is_open = has_open_side(&info);
    lane->model = model->name;
    const struct lbw_feed_params feed = {
        .max_samples = 1,
        .width = is_open ? params->width : 0,
        .height = is_open ? params->height : 0,
    };
    const struct lbw_session_params session = {
        .num_threads = params->num_threads,
        .optimize = 99,
        .decode_once = lbw_session_decodes(model),
        .native = !params->no_native,
        .spin = 1,
        .numbers_only = 1,
    };
    static const struct lbw_part whole;
    void *data = NULL;
    size_t size = 0;
    LBW_TRY(lbw_assumed_feed_open(&lane->feed, model, &feed, NULL, err));
    LBW_TRY(lbw_extract(&data, &size, model, &whole, err));
    double start = lbw_now();
    enum lbw_status status = lbw_session_open(&lane->session, data, size, &session, err);
    result->load_seconds = lbw_now() - start;
    free(data);
    LBW_TRY(status);
    return fill_inputs(lane, err);
}

static void lane_release(struct lane *lane)
{
    if (lane->inputs) /* then there is a session */
        lbw_arrays_release(lane->inputs, lbw_session_num_inputs(lane->session));
    lbw_session_close(&lane->session);
    lbw_feed_close(&lane->feed);
    free(lane->inputs);
    free(lane->outputs);
    free(lane->times);
}

/* One run; outputs are dropped. */
static enum lbw_status lane_run(double *seconds, struct lane *lane, struct lbw_error *err)
{
    double start = lbw_now();
    LBW_TRY(lbw_within(err, lbw_session_run(lane->session, lane->inputs, lane->outputs, err),
                       "%s", lane->model));
    *seconds = lbw_now() - start;
    lbw_arrays_release(lane->outputs, lbw_session_num_outputs(lane->session));
    return LBW_OK;
}

/* Runs every model a few times; *round receives the time of the last round. */
static enum lbw_status warm_up(double *round, struct race *race, struct lbw_bench *bench,
                               struct lbw_error *err)
{
    for (int i = 0; i < WARM_UP_ROUNDS; i++) {
        *round = 0;
        for (size_t k = 0; k < race->num_lanes; k++) {
            double seconds = 0;
            LBW_TRY(lane_run(&seconds, &race->lanes[k], err));
            *round += seconds;
            if (i == 0)
                bench->models[k].first_seconds = seconds;
        }
    }
    return LBW_OK;
}

static enum lbw_status reserve(struct race *race, double round,
                               const struct lbw_bench_params *params, struct lbw_error *err)
{
    double total =
        (params->seconds > 0 ? params->seconds : DEFAULT_SECONDS) * (double)race->num_lanes;
    double rounds = params->num_runs ? (double)params->num_runs : total / (round + 1e-9);
    if (!params->num_runs && rounds < MIN_ROUNDS)
        rounds = MIN_ROUNDS;
    race->capacity = rounds > MAX_ROUNDS ? MAX_ROUNDS : (size_t)rounds;
    race->ratios = calloc(race->capacity + 1, sizeof *race->ratios);
    for (size_t k = 0; k < race->num_lanes; k++) {
        race->lanes[k].times = calloc(race->capacity + 1, sizeof *race->lanes[k].times);
        if (!race->lanes[k].times)
            return lbw_fail_memory(err);
    }
    return race->ratios ? LBW_OK : lbw_fail_memory(err);
}

/* Every model once per round; each round starts with another one. */
static enum lbw_status measure(struct race *race, const struct lbw_bench_params *params,
                               struct lbw_error *err)
{
    for (size_t i = 0; i < race->capacity; i++) {
        if (params->progress && params->progress(params->user, NULL, i, race->capacity))
            return lbw_fail(err, LBW_ERR_INTERRUPTED, "interrupted");
        for (size_t k = 0; k < race->num_lanes; k++) {
            struct lane *lane = &race->lanes[(i + k) % race->num_lanes];
            LBW_TRY(lane_run(&lane->times[i], lane, err));
        }
        race->num_rounds++;
    }
    if (params->progress)
        params->progress(params->user, NULL, race->capacity, race->capacity);
    return LBW_OK;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts `values`. */
static struct lbw_spread spread_of(double *values, size_t num)
{
    qsort(values, num, sizeof *values, compare_doubles);
    size_t last = num - 1;
    return (struct lbw_spread){
        .median = .5 * (values[last / 2] + values[num / 2]),
        .low = values[last / 4],
        .high = values[last - last / 4],
    };
}

static void summarize(struct lbw_bench *bench, struct race *race)
{
    bench->num_runs = race->num_rounds;
    for (size_t k = race->num_lanes; k-- > 0;) { /* the first one gets sorted last */
        for (size_t i = 0; i < race->num_rounds; i++)
            race->ratios[i] = race->lanes[0].times[i] / race->lanes[k].times[i];
        bench->models[k].speed = spread_of(race->ratios, race->num_rounds);
        bench->models[k].seconds = spread_of(race->lanes[k].times, race->num_rounds);
    }
}

static enum lbw_status check_params(const struct lbw_bench_params *params,
                                    struct lbw_model *const *models, size_t num_models,
                                    struct lbw_error *err)
{
    if (!num_models || !models)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "models: missing");
    for (size_t i = 0; i < num_models; i++)
        LBW_TRY(lbw_model_check(models[i], err));
    if (!(params->seconds >= 0 && params->seconds <= 1e6))
        return lbw_fail(err, LBW_ERR_ARGUMENT, "seconds %g: expected 0 … 1e6", params->seconds);
    if (params->width < 0 || params->height < 0)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "size %dx%d", params->width, params->height);
    return LBW_OK;
}

static enum lbw_status bench_models(struct lbw_bench *bench, struct race *race,
                                    struct lbw_model *const *models,
                                    const struct lbw_bench_params *params,
                                    struct lbw_error *err)
{
    double round = 0;
    size_t num = bench->num_models;
    bench->models = calloc(num, sizeof *bench->models);
    race->lanes = calloc(num, sizeof *race->lanes);
    if (!bench->models || !race->lanes)
        return lbw_fail_memory(err);
    race->num_lanes = num;
    for (size_t k = 0; k < num; k++) {
        enum lbw_status status =
            lane_open(&race->lanes[k], &bench->models[k], models[k], params, err);
        if (status != LBW_OK)
            return lbw_within(err, status, "%s", models[k]->name);
    }
    LBW_TRY(warm_up(&round, race, bench, err));
    LBW_TRY(reserve(race, round, params, err));
    LBW_TRY(measure(race, params, err));
    summarize(bench, race);
    return LBW_OK;
}

enum lbw_status lbw_bench(struct lbw_bench **out, struct lbw_model *const *models,
                          size_t num_models, const struct lbw_bench_params *params,
                          struct lbw_error *err)
{
    static const struct lbw_bench_params defaults;
    struct race race = {0};
    params = params ? params : &defaults;
    LBW_TRY(check_params(params, models, num_models, err));
    struct lbw_bench *bench = calloc(1, sizeof *bench);
    if (!bench)
        return lbw_fail_memory(err);
    bench->num_models = num_models;
    enum lbw_status status = bench_models(bench, &race, models, params, err);
    for (size_t k = 0; race.lanes && k < race.num_lanes; k++)
        lane_release(&race.lanes[k]);
    free(race.lanes);
    free(race.ratios);
    if (status != LBW_OK)
        lbw_bench_free(&bench);
    else
        *out = bench;
    return status;
}

void lbw_bench_free(struct lbw_bench **bench)
{
    if (!*bench)
        return;
    free((*bench)->models);
    free(*bench);
    *bench = NULL;
}
