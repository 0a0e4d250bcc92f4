/* SPDX-License-Identifier: MIT */
/* From sensitivities to grids: the cost of each weight on each grid, and the allocation. */
#include <lbw/budget.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/thread.h"
#include "pass/encode.h"
#include "run/session.h"
#include "search/allocate.h"
#include "search/loss.h"
#include "search/probe.h"
#include "search/size.h"

/* The grids to choose from, the smallest first (docs/search.md), and float. */
static const char *const candidates[] = {"3", "4", "3x2", "4x2", "4x2d2", NULL};
#define NUM_CANDIDATES (sizeof candidates / sizeof *candidates)

/* What a weight of unknown effect gets (LBW_LOSS_GRID); its loss, everywhere, is the unit. */
#define CAUTIOUS 3

/* What weights out of reach of gradients are rounded to, to see what that costs. */
#define PROBED 1

#define MOST_ROUNDS 8 /* of correcting the size of a file */

/* Relative to CAUTIOUS everywhere: where detectors keep their boxes (docs/search.md). */
#define LOSSLESS 1.0

struct chooser {
    struct lbw_plan *plan;
    const struct lbw_budget_params *params;
    struct lbw_sensitivity sensitivity;
    const struct lbw_grid *grids[NUM_CANDIDATES];
    struct lbw_choice *choices; /* per plan weight × NUM_CANDIDATES */
    double *squares;            /* the same: of what rounding changes in the weight itself */
    size_t *items;              /* the plan weights that may change */
    size_t num_items;
    struct lbw_choice *rows; /* of those: choices side by side */
    size_t *picks;
    double *ones;
    double unit;             /* losses are divided by it */
    double count;            /* values of all planned weights */
    size_t num_unknown;      /* weights of unknown effect */
    uint64_t fixed;          /* bytes of planned weights whose grid is fixed */
    enum lbw_status *status; /* of measuring, per item */
};

static bool is_open(const struct lbw_weight *weight)
{
    return weight->item.grid && !weight->is_wished && !weight->is_ruled;
}

/* Codes and scales, as the packed encoding stores them. */
static uint64_t bytes_on(const struct lbw_weight *weight, const struct lbw_grid *grid)
{
    size_t digits = (size_t)grid->digits_per_word;
    uint64_t words = (weight->item.count + digits - 1) / digits * (uint64_t)grid->word_size;
    return words + 2 * lbw_weight_num_steps(weight);
}

/* Where less may be lost than by 4x2 everywhere, weights may stay float; else as the last grid.
 */
static void add_float(struct lbw_choice *choice, double *square, const struct chooser *c,
                      const struct lbw_weight *weight)
{
    const struct lbw_budget_params *p = c->params;
    bool is_open = !(p->bits > 0) && !p->size && p->loss > 0 && p->loss < LOSSLESS;
    *choice = is_open ? (struct lbw_choice){.size = weight->bytes} : choice[-1];
    *square = is_open ? 0 : square[-1];
}

static enum lbw_status measure_weight(struct chooser *c, size_t i, struct lbw_error *err)
{
    const struct lbw_weight *weight = &c->plan->weights[i];
    struct lbw_tensor tensor;
    LBW_TRY(lbw_tensor_view(&tensor, c->plan->model, weight->tensor, err));
    float *values = malloc((tensor.count + 1) * sizeof *values);
    float *converted = malloc((tensor.count + 1) * sizeof *converted);
    enum lbw_status status = values && converted ? lbw_tensor_read_float(&tensor, values, err)
                                                 : lbw_fail_memory(err);
    for (size_t k = 0; k < NUM_CANDIDATES && status == LBW_OK; k++) {
        struct lbw_choice *choice = &c->choices[i * NUM_CANDIDATES + k];
        double *square = &c->squares[i * NUM_CANDIDATES + k];
        if (!c->grids[k]) {
            add_float(choice, square, c, weight);
            continue;
        }
        choice->size = bytes_on(weight, c->grids[k]);
        status = lbw_loss_measure(&choice->error, square, &c->sensitivity, c->plan, i,
                                  c->grids[k], values, converted, err);
    }
    free(values);
    free(converted);
    return status;
}

static void run_weight(void *user, size_t k)
{
    struct chooser *c = user;
    c->status[k] = measure_weight(c, c->items[k], NULL);
}

/* The weights that may change, and the bytes of the others. */
static void list_items(struct chooser *c)
{
    const struct lbw_plan *plan = c->plan;
    for (size_t i = 0; i < plan->num_weights; i++) {
        const struct lbw_weight *weight = &plan->weights[i];
        if (!weight->item.grid)
            continue;
        c->count += (double)weight->item.count;
        if (is_open(weight))
            c->items[c->num_items++] = i;
        else
            c->fixed += bytes_on(weight, weight->item.grid);
    }
}

/* Fills in what gradients did not reach, by rounding these weights one at a time. */
static enum lbw_status probe_unknown(struct chooser *c, struct lbw_error *err)
{
    const struct lbw_budget_params *p = c->params;
    size_t num = 0, *weights = calloc(c->num_items + 1, sizeof *weights);
    double *losses = calloc(c->num_items + 1, sizeof *losses);
    enum lbw_status status = weights && losses ? LBW_OK : lbw_fail_memory(err);
    for (size_t k = 0; k < c->num_items && status == LBW_OK; k++)
        if (c->status[k] == LBW_OK && isnan(c->choices[c->items[k] * NUM_CANDIDATES].error))
            weights[num++] = c->items[k];
    if (num == c->num_items) /* then boxes need not agree with other losses */
        c->sensitivity.by_boxes = p->profile != NULL;
    const struct lbw_probe_params params = {
        .calibrate = p->calibrate,
        .profile = c->sensitivity.by_boxes ? p->profile : NULL,
        .grid = c->grids[PROBED],
        .progress = p->progress,
        .user = p->user,
    };
    if (num && status == LBW_OK)
        status = lbw_probe_weights(losses, c->plan, weights, num, &params, err);
    for (size_t i = 0; i < num && status == LBW_OK; i++) {
        const double *squares = &c->squares[weights[i] * NUM_CANDIDATES];
        if (isnan(losses[i]) || !(squares[PROBED] > 0))
            continue;
        for (size_t k = 0; k < NUM_CANDIDATES; k++)
            c->choices[weights[i] * NUM_CANDIDATES + k].error =
                losses[i] * squares[k] / squares[PROBED];
        c->sensitivity.num_unknown--;
    }
    free(weights);
    free(losses);
    return status;
}

/* Whether anything known reaches the outputs: not where they are empty, or hold NaN. */
static bool is_measured(const struct chooser *c)
{
    double sum = 0;
    for (size_t k = 0; k < c->num_items; k++) {
        double error = c->choices[c->items[k] * NUM_CANDIDATES + CAUTIOUS].error;
        sum += isfinite(error) ? error : 0;
    }
    return sum > 0;
}

/* Measures each weight on every grid. */
static enum lbw_status measure_weights(struct chooser *c, struct lbw_error *err)
{
    const struct lbw_plan *plan = c->plan;
    size_t num_known = 0;
    double unit = 0;
    lbw_parallel_for(c->num_items, 0, run_weight, c);
    if (c->sensitivity.num_unknown)
        LBW_TRY(probe_unknown(c, err));
    bool is_known = is_measured(c);
    for (size_t k = 0; k < c->num_items; k++) {
        size_t i = c->items[k];
        const struct lbw_choice *row = &c->choices[i * NUM_CANDIDATES];
        if (c->status[k] != LBW_OK)
            return measure_weight(c, i, err); /* again, for its message */
        if (!is_known || !isfinite(row[CAUTIOUS].error)) {
            c->num_unknown++;
            c->fixed += bytes_on(&plan->weights[i], c->grids[CAUTIOUS]);
            continue;
        }
        unit += row[CAUTIOUS].error;
        memcpy(&c->rows[num_known * NUM_CANDIDATES], row, NUM_CANDIDATES * sizeof *row);
        c->items[num_known++] = i;
    }
    c->num_items = num_known;
    for (size_t k = 0; k < num_known * NUM_CANDIDATES && unit > 0; k++)
        c->rows[k].error /= unit;
    return LBW_OK;
}

static void sum_up(double *loss, uint64_t *size, const struct chooser *c, const size_t *picks)
{
    *loss = 0;
    *size = c->fixed;
    for (size_t k = 0; k < c->num_items; k++) {
        const struct lbw_choice *choice = &c->rows[k * NUM_CANDIDATES + picks[k]];
        *loss += choice->error;
        *size += choice->size;
    }
}

/* The bytes that the budget leaves for codes and scales; about, where it is a file's size. */
static double room(const struct chooser *c)
{
    if (c->params->bits > 0)
        return c->params->bits * c->count / 8;
    double left = (double)c->params->size - (double)lbw_model_size(c->plan->model);
    for (size_t i = 0; i < c->plan->num_weights; i++) {
        const struct lbw_weight *weight = &c->plan->weights[i];
        if (weight->item.grid) /* without the tensor, with names and nodes */
            left += (double)weight->bytes - (double)lbw_encode_estimate(weight) +
                    (double)bytes_on(weight, weight->item.grid);
    }
    return left;
}

static enum lbw_status allocate_bytes(struct chooser *c, double bytes, struct lbw_error *err)
{
    uint64_t least;
    double left = bytes - (double)c->fixed;
    if (lbw_allocate(c->picks, &least, c->rows, c->num_items, NUM_CANDIDATES, c->ones,
                     left > 0 ? (uint64_t)left : 0))
        return LBW_OK;
    double over = (double)(least + c->fixed) - bytes;
    if (c->params->bits > 0)
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "no plan has %.2f bits per weight; the least is %.2f", c->params->bits,
                        8 * (double)(least + c->fixed) / c->count);
    return lbw_fail(err, LBW_ERR_ARGUMENT, "no plan fits into %llu bytes; the least is %.0f",
                    (unsigned long long)c->params->size, (double)c->params->size + over);
}

/* The size of the file with the grids picked. */
static enum lbw_status measure_file(uint64_t *out, const struct lbw_sizer *sizer,
                                    const struct chooser *c, struct lbw_error *err)
{
    const struct lbw_plan *plan = c->plan;
    const struct lbw_grid **grids = calloc(plan->num_weights + 1, sizeof *grids);
    if (!grids)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < plan->num_weights; i++)
        grids[i] = is_open(&plan->weights[i]) ? c->grids[CAUTIOUS] : plan->weights[i].item.grid;
    for (size_t k = 0; k < c->num_items; k++)
        grids[c->items[k]] = c->grids[c->picks[k]];
    enum lbw_status status = lbw_sizer_measure(out, sizer, plan, grids, err);
    free(grids);
    return status;
}

/*
 * Picks grids for the largest file within the size: first by an estimate of what surrounds the
 * codes, then corrected by files encoded without calibration, in growing steps, as a little
 * less room may change nothing. Where no file can be encoded the estimate stands.
 */
static enum lbw_status allocate_file(struct chooser *c, struct lbw_error *err)
{
    const double target = (double)c->params->size;
    struct lbw_sizer sizer = {0};
    uint64_t size;
    double bytes = room(c), step = target / 2048;
    bool fits = false;
    enum lbw_status status = allocate_bytes(c, bytes, err);
    bool is_open = status == LBW_OK && lbw_sizer_init(&sizer, c->plan, NULL) == LBW_OK;
    for (int round = 0; status == LBW_OK && is_open && round < MOST_ROUNDS && !fits; round++) {
        if (measure_file(&size, &sizer, c, NULL) != LBW_OK)
            break;
        fits = (double)size <= target && (round || (double)size > target - step);
        if (fits)
            break;
        bytes += target - (double)size;
        if (round) {
            bytes -= step;
            step *= 2;
        }
        status = allocate_bytes(c, bytes, err);
    }
    lbw_sizer_release(&sizer);
    return status;
}

/* The fewest bytes whose plan loses at most `most`; all bytes if none does. */
static enum lbw_status allocate_loss(struct chooser *c, double most, struct lbw_error *err)
{
    uint64_t low = 0, high = 0;
    double loss;
    uint64_t size;
    for (size_t k = 0; k < c->num_items; k++) {
        uint64_t largest = 0, smallest = UINT64_MAX;
        for (size_t i = 0; i < NUM_CANDIDATES; i++) {
            uint64_t one = c->rows[k * NUM_CANDIDATES + i].size;
            largest = one > largest ? one : largest;
            smallest = one < smallest ? one : smallest;
        }
        high += largest;
        low += smallest;
    }
    uint64_t precision = (high - low) / 1000 + 1;
    while (high - low > precision) {
        uint64_t middle = low + (high - low) / 2;
        LBW_TRY(allocate_bytes(c, (double)(middle + c->fixed), err));
        sum_up(&loss, &size, c, c->picks);
        *(loss <= most ? &high : &low) = middle;
    }
    return allocate_bytes(c, (double)(high + c->fixed), err);
}

/* Why the effect of some weights is unknown, or "". */
static const char *reason_of(const struct chooser *c)
{
    if (*c->sensitivity.reason)
        return c->sensitivity.reason;
    return c->num_unknown ? "the outputs hold no finite values, or none that a weight changes"
                          : "";
}

static void carry_out(struct chooser *c, struct lbw_budget *out)
{
    double loss;
    uint64_t size;
    for (size_t i = 0; i < c->plan->num_weights; i++)
        if (is_open(&c->plan->weights[i])) {
            struct lbw_plan_item *item = &c->plan->weights[i].item;
            item->grid = c->grids[CAUTIOUS];
            item->is_chosen = true;
            item->predicted_loss = NAN;
            item->packed_bytes = bytes_on(&c->plan->weights[i], item->grid);
        }
    for (size_t k = 0; k < c->num_items; k++) {
        struct lbw_plan_item *item = &c->plan->weights[c->items[k]].item;
        item->grid = c->grids[c->picks[k]];
        item->predicted_loss = c->rows[k * NUM_CANDIDATES + c->picks[k]].error;
        item->packed_bytes = c->rows[k * NUM_CANDIDATES + c->picks[k]].size;
        if (!item->grid)
            item->reason = "rounding would cost too many boxes";
    }
    sum_up(&loss, &size, c, c->picks);
    if (!out)
        return;
    *out = (struct lbw_budget){.loss = c->num_items ? loss : NAN,
                               .bits = c->count > 0 ? 8 * (double)size / c->count : 0,
                               .by_boxes = c->sensitivity.by_boxes,
                               .num_unknown = c->num_unknown};
    lbw_text_excerpt(out->reason, sizeof out->reason, reason_of(c));
}

/* If nothing can be measured, the effect of every weight is unknown. */
static enum lbw_status measure_sensitivity(struct chooser *c, struct lbw_error *err)
{
    const struct lbw_budget_params *p = c->params;
    const struct lbw_sensitivity_params measure = {.calibrate = p->calibrate,
                                                   .profile = p->profile,
                                                   .num_samples = p->num_samples,
                                                   .progress = p->progress,
                                                   .user = p->user};
    struct lbw_error own = {0};
    enum lbw_status status = lbw_sensitivity_measure(&c->sensitivity, c->plan, &measure, &own);
    struct lbw_runtime *runtime;
    bool is_model =
        status == LBW_ERR_RUNTIME && lbw_runtime_load(&runtime, NULL, NULL) == LBW_OK;
    if (status == LBW_ERR_UNSUPPORTED || is_model) {
        const char *name = c->plan->model->name, *reason = own.message;
        if (strncmp(reason, name, strlen(name)) == 0 &&
            strncmp(reason + strlen(name), ": ", 2) == 0)
            reason += strlen(name) + 2; /* the caller knows which model */
        lbw_sensitivity_forget(&c->sensitivity, c->plan, reason);
        return LBW_OK;
    }
    return status == LBW_OK ? LBW_OK : lbw_fail(err, status, "%s", own.message);
}

static enum lbw_status choose(struct chooser *c, struct lbw_budget *out, struct lbw_error *err)
{
    const struct lbw_budget_params *p = c->params;
    size_t num = c->plan->num_weights;
    c->choices = calloc(num * NUM_CANDIDATES + 1, sizeof *c->choices);
    c->squares = calloc(num * NUM_CANDIDATES + 1, sizeof *c->squares);
    c->rows = calloc(num * NUM_CANDIDATES + 1, sizeof *c->rows);
    c->items = calloc(num + 1, sizeof *c->items);
    c->picks = calloc(num + 1, sizeof *c->picks);
    c->ones = calloc(num + 1, sizeof *c->ones);
    c->status = calloc(num + 1, sizeof *c->status);
    if (!c->choices || !c->squares || !c->rows || !c->items || !c->picks || !c->ones ||
        !c->status)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < num; i++)
        c->ones[i] = 1;
    for (size_t k = 0; k < NUM_CANDIDATES; k++)
        c->grids[k] = candidates[k] ? lbw_grid_by_name(candidates[k]) : NULL;
    list_items(c);
    if (c->num_items)
        LBW_TRY(measure_sensitivity(c, err));
    LBW_TRY(measure_weights(c, err));
    if (p->bits > 0)
        LBW_TRY(allocate_bytes(c, room(c), err));
    else if (p->size)
        LBW_TRY(allocate_file(c, err));
    else
        LBW_TRY(allocate_loss(c, p->loss > 0 ? p->loss : LOSSLESS, err));
    LBW_TRY(lbw_loss_of_edges(c->plan, &c->sensitivity, err));
    carry_out(c, out);
    return c->num_unknown
               ? lbw_plan_add_note(c->plan, err,
                                   "the effect of %zu weight%s is unknown (%s): grid %s",
                                   c->num_unknown, c->num_unknown == 1 ? "" : "s", reason_of(c),
                                   c->grids[CAUTIOUS]->name)
               : LBW_OK;
}

enum lbw_status lbw_plan_choose_bits(struct lbw_budget *out, struct lbw_plan *plan,
                                     const struct lbw_budget_params *params,
                                     struct lbw_error *err)
{
    struct chooser c = {.plan = plan, .params = params};
    enum lbw_status status = choose(&c, out, err);
    lbw_sensitivity_release(&c.sensitivity);
    free(c.choices);
    free(c.squares);
    free(c.rows);
    free(c.items);
    free(c.picks);
    free(c.ones);
    free(c.status);
    return lbw_within(err, status, "%s", plan->model->name);
}
