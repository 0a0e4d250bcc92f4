/* SPDX-License-Identifier: MIT */
/* Measuring layers: the candidates of each, their sizes and errors, and the boxes they cost. */
#include "search/layers.h"

#include <math.h>
#include <stdlib.h>

#include "pass/edge.h"

#define BATCH       8   /* layers tested in one pass over the images */
#define LEAST_DROP  0.5 /* share of the mean drop that every layer gets at least */
#define LEAST_ERROR 1e-9

/* The ternary and threshold projections support some grids only. */
static bool can_use(const struct lbw_grid *grid, enum lbw_method method)
{
    if (method == LBW_METHOD_TERNARY)
        return grid->bits == 2 && grid->terms == 1;
    return method == LBW_METHOD_OPTIMAL || (grid->bits > 2 && grid->terms == 1);
}

static void add_candidate(struct lbw_layers *layers, const struct lbw_grid *grid,
                          enum lbw_method method)
{
    for (size_t i = 0; i < layers->num_candidates; i++)
        if (layers->candidates[i] == grid)
            return;
    if (can_use(grid, method) && layers->num_candidates < LBW_MOST_CANDIDATES)
        layers->candidates[layers->num_candidates++] = grid;
}

/* Those with the least error for their bytes, as measured on detectors. */
static const char *const worthwhile[] = {"2", "3", "4", "3x2", "4x2", "4x2d2"};

/*
 * The named grids, or those worthwhile that the method supports and activations allow, and
 * those at the start.
 */
static void choose_candidates(struct lbw_layers *layers, const struct lbw_search_params *params)
{
    enum lbw_method method = params->plan->method;
    bool has_bytes = params->plan->activations == LBW_ACTIVATIONS_INT8;
    const struct lbw_grid *grid;
    for (size_t i = 0; i < params->num_grids; i++)
        add_candidate(layers, params->grids[i], method);
    for (size_t i = 0; !params->num_grids && i < sizeof worthwhile / sizeof *worthwhile; i++)
        if (method == LBW_METHOD_OPTIMAL)
            add_candidate(layers, lbw_grid_by_name(worthwhile[i]), method);
    for (size_t i = 0; !params->num_grids && (grid = lbw_grid_at(i)); i++)
        if (method != LBW_METHOD_OPTIMAL && (!has_bytes || lbw_grid_fits_int8(grid)))
            add_candidate(layers, grid, method);
    for (size_t i = 0; i < layers->num; i++)
        add_candidate(layers, layers->base[i], method);
    layers->num_choices = layers->num_candidates + 1;
}

enum lbw_status lbw_layers_take(struct lbw_layers *layers, const struct lbw_plan *plan,
                                const struct lbw_search_params *params, struct lbw_error *err)
{
    size_t num = lbw_plan_num_items(plan);
    layers->items = calloc(num + 1, sizeof *layers->items);
    layers->about = calloc(num + 1, sizeof *layers->about);
    layers->is_depthwise = calloc(num + 1, sizeof *layers->is_depthwise);
    layers->base = calloc(num + 1, sizeof *layers->base);
    layers->rounding = calloc(num + 1, sizeof *layers->rounding);
    layers->drops = calloc(num + 1, sizeof *layers->drops);
    if (!layers->items || !layers->about || !layers->is_depthwise || !layers->base ||
        !layers->rounding || !layers->drops)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < num; i++) {
        const struct lbw_plan_item *item = lbw_plan_item(plan, i);
        size_t n = layers->num;
        if (!item->grid)
            continue;
        layers->items[n] = i;
        layers->about[n] = *item;
        layers->is_depthwise[n] = item->num_dims > 2 && item->dims[1] == 1 && item->dims[0] > 1;
        layers->base[n] = item->grid;
        layers->num++;
    }
    choose_candidates(layers, params);
    layers->choices = calloc((num + 1) * layers->num_choices, sizeof *layers->choices);
    if (!layers->choices)
        return lbw_fail_memory(err);
    return layers->num ? LBW_OK
                       : lbw_fail(err, LBW_ERR_ARGUMENT,
                                  "nothing to search: the plan converts no weight");
}

void lbw_layers_release(struct lbw_layers *layers)
{
    free(layers->items);
    free(layers->about);
    free(layers->is_depthwise);
    free(layers->base);
    free(layers->choices);
    free(layers->rounding);
    free(layers->drops);
}

double lbw_layers_bits(const struct lbw_layers *layers, double bytes)
{
    double count = 0;
    for (size_t i = 0; i < layers->num; i++)
        count += (double)layers->about[i].count;
    return 8 * bytes / count;
}

static enum lbw_status measure_grid(struct lbw_layers *layers, size_t c,
                                    const struct lbw_bench *bench, double mu,
                                    struct lbw_error *err)
{
    const struct lbw_grid *grid = layers->candidates[c];
    const struct lbw_grid **grids = calloc(layers->num, sizeof *grids);
    struct lbw_trial trial = {0};
    if (!grids)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < layers->num; i++)
        grids[i] = grid;
    enum lbw_status status;
    LBW_OR_OUT(lbw_trial_open(&trial, bench, LBW_EFFORT_INDEPENDENT, grids, mu, err));
    status =
        lbw_trial_convert(&trial, bench, LBW_EFFORT_INDEPENDENT, &bench->params->encode, err);
out:
    for (size_t i = 0; status == LBW_OK && i < layers->num; i++) {
        const struct lbw_report_row *row = lbw_report_row(trial.report, layers->items[i]);
        layers->choices[i * layers->num_choices + c] =
            (struct lbw_choice){row->bytes_after, pow(10, -row->snr / 10)};
        if (grid == layers->base[i])
            layers->rounding[i] = pow(10, -row->snr_projection / 10);
    }
    lbw_trial_close(&trial);
    free(grids);
    return status;
}

enum lbw_status lbw_layers_measure_grids(struct lbw_layers *layers,
                                         const struct lbw_bench *bench, double mu,
                                         struct lbw_error *err)
{
    for (size_t c = 0; c < layers->num_candidates; c++)
        LBW_TRY(measure_grid(layers, c, bench, mu, err));
    for (size_t i = 0; i < layers->num; i++)
        layers->choices[i * layers->num_choices + layers->num_candidates] =
            (struct lbw_choice){layers->about[i].bytes, 0};
    return LBW_OK;
}

/* Rounds layer `i` only. */
static enum lbw_status round_one(struct lbw_trial *trial, const struct lbw_layers *layers,
                                 size_t i, const struct lbw_bench *bench, double mu,
                                 struct lbw_error *err)
{
    const struct lbw_encode_params plain = {.encoding = LBW_ENCODING_FLOAT};
    const struct lbw_grid **grids = calloc(layers->num, sizeof *grids);
    if (!grids)
        return lbw_fail_memory(err);
    grids[i] = layers->base[i];
    enum lbw_status status;
    LBW_OR_OUT(lbw_trial_open(trial, bench, LBW_EFFORT_PROJECT, grids, mu, err));
    LBW_OR_OUT(lbw_trial_convert(trial, bench, LBW_EFFORT_PROJECT, &plain, err));
out:
    free(grids);
    return status;
}

static enum lbw_status measure_batch(struct lbw_layers *layers, size_t first, size_t num,
                                     const struct lbw_bench *bench, double mu,
                                     struct lbw_error *err)
{
    struct lbw_trial trials[BATCH] = {0};
    struct lbw_model *models[BATCH];
    struct lbw_verdict verdicts[BATCH];
    enum lbw_status status = LBW_OK;
    for (size_t i = 0; i < num; i++) {
        LBW_OR_OUT(round_one(&trials[i], layers, first + i, bench, mu, err));
        models[i] = trials[i].model;
    }
    LBW_OR_OUT(lbw_trial_judge(verdicts, models, num, bench, LBW_JUDGE_QUICK, err));
    for (size_t i = 0; i < num; i++)
        layers->drops[first + i] = fmax(0, 1 - verdicts[i].ap.ap);
out:
    for (size_t i = 0; i < num; i++)
        lbw_trial_close(&trials[i]);
    return status;
}

enum lbw_status lbw_layers_measure_drops(struct lbw_layers *layers,
                                         const struct lbw_bench *bench, double mu,
                                         struct lbw_error *err)
{
    for (size_t first = 0; first < layers->num; first += BATCH) {
        size_t left = layers->num - first;
        LBW_TRY(measure_batch(layers, first, left < BATCH ? left : BATCH, bench, mu, err));
    }
    return LBW_OK;
}

/*
 * Bytes go where error falls most per byte, and on every grid a bit takes away about the same
 * share of the error: so layers get equal bits when importance is in proportion to values by
 * error.
 */
static double even_importance(const struct lbw_layers *layers, size_t i)
{
    size_t c = 0;
    while (c + 1 < layers->num_candidates && layers->candidates[c] != layers->base[i])
        c++;
    double error = layers->choices[i * layers->num_choices + c].error;
    return (double)layers->about[i].count / fmax(error, LEAST_ERROR);
}

void lbw_layers_weigh(const struct lbw_layers *layers, double *importance, bool by_drop,
                      double strength)
{
    double mean = 0;
    for (size_t i = 0; i < layers->num; i++)
        mean += layers->drops[i] / (double)layers->num;
    for (size_t i = 0; i < layers->num; i++) {
        double drop = fmax(layers->drops[i], LEAST_DROP * mean), own = 1;
        if (by_drop && drop > 0)
            own = drop * drop / fmax(layers->rounding[i], LEAST_ERROR);
        importance[i] = pow(even_importance(layers, i), 1 - strength) * pow(own, strength);
    }
}

static bool is_first(const struct lbw_layers *layers, size_t i)
{
    (void)layers;
    return i == 0;
}

static bool is_last(const struct lbw_layers *layers, size_t i)
{
    return 8 * i >= 7 * layers->num;
}

static bool is_early(const struct lbw_layers *layers, size_t i)
{
    return 2 * i < layers->num;
}

static bool is_depthwise(const struct lbw_layers *layers, size_t i)
{
    return layers->is_depthwise[i];
}

/* Whether it is in the eighth that costs most boxes when rounded alone. */
static bool is_telling(const struct lbw_layers *layers, size_t i)
{
    size_t rank = 0;
    for (size_t j = 0; j < layers->num; j++)
        rank += layers->drops[j] > layers->drops[i];
    return 8 * rank < layers->num;
}

static bool is_large(const struct lbw_layers *layers, size_t i)
{
    size_t rank = 0;
    for (size_t j = 0; j < layers->num; j++)
        rank += layers->about[j].count > layers->about[i].count;
    return 8 * rank < layers->num;
}

const struct lbw_layer_group *lbw_layer_groups(size_t *num)
{
    static const struct lbw_layer_group groups[] = {
        {"last layers finer", "last layers coarser", is_last},
        {"depthwise layers finer", "depthwise layers coarser", is_depthwise},
        {"early half finer", "early half coarser", is_early},
        {"layers that cost most boxes finer", "layers that cost most boxes coarser",
         is_telling},
        {"largest layers finer", "largest layers coarser", is_large},
        {"first layer finer", "first layer coarser", is_first},
    };
    *num = sizeof groups / sizeof *groups;
    return groups;
}
