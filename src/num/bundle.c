/* SPDX-License-Identifier: MIT */
/* Steps by error feedback, codes by coordinate descent, for some rows at once. */
#include "num/bundle.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "num/project.h"

#define LANES     ((size_t)LBW_LANES)
#define SWEEPS    16
#define REFITS    3
#define MAX_ROWS  ((size_t)64)
#define MAX_LANES ((size_t)256)
/*
 * Rows longer than this go through error feedback with the best FEW_STEPS of all steps only, by
 * the error that rounding to nearest leaves when each column counts with its pivot. Trying all
 * of them gains less than .01 dB there.
 */
#define LONG_ROW  ((size_t)320)
#define FEW_STEPS ((size_t)8)

static size_t steps_per_row(const struct lbw_fit *fit, const struct lbw_search *search)
{
    if (fit->k <= LBW_BEAM_MAX_K || search->num_offsets == 1)
        return 1;
    if (fit->k > LONG_ROW && search->num_offsets > FEW_STEPS)
        return FEW_STEPS;
    return search->num_offsets;
}

size_t lbw_bundle_size(const struct lbw_fit *fit, const struct lbw_search *search)
{
    size_t size = MAX_LANES / steps_per_row(fit, search);
    size_t part = (fit->m + 3) / 4; /* work for several threads */
    size = size < MAX_ROWS ? size : MAX_ROWS;
    part = part > 8 ? part : 8;
    return size < part ? size : part;
}

bool lbw_bundle_init(struct lbw_bundle *out, const struct lbw_fit *fit,
                     const struct lbw_search *search, size_t first, size_t num)
{
    size_t k = fit->k, per_row = steps_per_row(fit, search);
    size_t lanes = (num * per_row + LANES - 1) / LANES * LANES, area = LBW_BLOCK * lanes;
    struct lbw_bundle p = {
        .fit = fit,
        .search = search,
        .first = first,
        .num = num,
        .per_row = per_row,
        .num_lanes = lanes,
        .rows = calloc(num, sizeof *p.rows),
        .slots = malloc(num * sizeof *p.slots),
        .target = malloc(num * k * sizeof(float)),
        .base = malloc(num * fit->size * sizeof(float)),
        .d = malloc(num * k * sizeof(float)),
        .states = malloc(num * fit->size * sizeof(float)),
        .gradients = malloc(num * LBW_BLOCK * sizeof(float)),
        .deltas = malloc(num * LBW_BLOCK * sizeof(float)),
        .steps = malloc(lanes * sizeof(float)),
        .costs = calloc(lanes, sizeof(float)),
        .targets = malloc(area * sizeof(float)),
        .pulled = malloc(area * sizeof(float)),
        .errors = malloc(area * sizeof(float)),
        .trail = calloc(lanes * fit->size, sizeof(float)),
        .slot_codes = malloc(2 * num * k),
        .lane_codes = malloc(lanes * k),
    };
    if (!p.rows || !p.slots || !p.target || !p.base || !p.d || !p.states || !p.gradients ||
        !p.deltas || !p.steps || !p.costs || !p.targets || !p.pulled || !p.errors || !p.trail ||
        !p.slot_codes || !p.lane_codes ||
        !fit->form->solve(p.target, p.base, fit, first, num)) {
        lbw_bundle_release(&p);
        return false;
    }
    for (size_t i = 0; i < num; i++) {
        p.rows[i].codes = p.slot_codes + (num + i) * k;
        p.rows[i].tht = fit->form->cost(fit, p.base + i * fit->size, p.target + i * k);
    }
    *out = p;
    return true;
}

void lbw_bundle_release(struct lbw_bundle *bundle)
{
    free(bundle->rows);
    free(bundle->slots);
    free(bundle->target);
    free(bundle->base);
    free(bundle->d);
    free(bundle->states);
    free(bundle->gradients);
    free(bundle->deltas);
    free(bundle->steps);
    free(bundle->costs);
    free(bundle->targets);
    free(bundle->pulled);
    free(bundle->errors);
    free(bundle->trail);
    free(bundle->slot_codes);
    free(bundle->lane_codes);
}

static const float *target_of(const struct lbw_bundle *p, size_t row)
{
    return p->target + row * p->fit->k;
}

/* Loads a row's codes and step: computes their effect on its output from scratch. */
static void take_slot(struct lbw_bundle *p, size_t slot, size_t row)
{
    size_t k = p->fit->k;
    const float *target = target_of(p, row);
    float step = p->rows[row].step;
    p->slots[slot] = row;
    memcpy(p->slot_codes + slot * k, p->rows[row].codes, k);
    for (size_t i = 0; i < k; i++)
        p->d[slot * k + i] = step * p->search->levels.values[p->rows[row].codes[i]] - target[i];
}

/* The states of all slots, from their errors. */
static void make_states(struct lbw_bundle *p)
{
    const struct lbw_fit *fit = p->fit;
    memset(p->states, 0, p->num * fit->size * sizeof *p->states);
    for (size_t b = 0; b < lbw_fit_num_blocks(fit); b++) {
        size_t first = b * LBW_BLOCK, size = lbw_fit_end(fit, b) - first;
        for (size_t i = 0; i < p->num; i++)
            memcpy(p->deltas + i * LBW_BLOCK, p->d + i * fit->k + first,
                   size * sizeof *p->deltas);
        fit->form->move(p->states, fit, b, p->deltas, p->num);
    }
}

/* The cost of the slot's codes, from its state. */
static void read_slot(const struct lbw_bundle *p, size_t slot, struct lbw_row *out)
{
    const struct lbw_fit *fit = p->fit;
    const float *state = p->states + slot * fit->size, *d = p->d + slot * fit->k;
    size_t row = p->slots[slot];
    out->cost = fit->form->cost(fit, state, d);
    fit->form->products(&out->qht, &out->qhq, fit, target_of(p, row), p->base + row * fit->size,
                        state, d);
}

void lbw_bundle_enter(struct lbw_bundle *bundle)
{
    for (size_t i = 0; i < bundle->num; i++)
        take_slot(bundle, i, i);
    make_states(bundle);
    for (size_t i = 0; i < bundle->num; i++)
        read_slot(bundle, i, &bundle->rows[i]);
}

static float base_step(const struct lbw_bundle *p, size_t row)
{
    const struct lbw_search *search = p->search;
    const struct lbw_quantize_params params = {.method = LBW_METHOD_OPTIMAL,
                                               .scale = search->scale};
    float step = 1;
    if (search->step > 0)
        return search->step;
    if (lbw_quantize(p->rows[row].codes, &step, target_of(p, row), p->fit->k, search->grid,
                     &params, NULL) != LBW_OK)
        return 1;
    return step;
}

static float try_step(const struct lbw_search *search, float base, size_t i)
{
    float step = base * search->offsets[i];
    if (!(step * search->levels.values[search->levels.num - 1] < INFINITY) || !(step > 0))
        return base;
    return search->scale == LBW_SCALE_REAL && search->step <= 0 ? lbw_round_step(step) : step;
}

/* The steps of one row, its first lane at `steps`. */
static void choose_steps(struct lbw_bundle *p, size_t row, float *steps, float *pivots)
{
    const struct lbw_search *search = p->search;
    float base = base_step(p, row), all[LANES], costs[LANES] = {0};
    if (p->per_row == search->num_offsets) {
        for (size_t i = 0; i < p->per_row; i++)
            steps[i] = try_step(search, base, i);
        return;
    }
    for (size_t i = 0; i < LANES; i++)
        all[i] = try_step(search, base, i < search->num_offsets ? i : search->num_offsets - 1);
    lbw_round_nearest_cost(costs, &search->levels, target_of(p, row), pivots, p->fit->k, all);
    for (size_t i = 0; i < p->per_row; i++) {
        size_t best = 0;
        for (size_t j = 1; j < search->num_offsets; j++)
            if (costs[j] < costs[best])
                best = j;
        steps[i] = all[best];
        costs[best] = INFINITY;
    }
}

/* The lanes through one block. */
static void feed_block(struct lbw_bundle *p, size_t b)
{
    const struct lbw_fit *fit = p->fit;
    size_t first = b * LBW_BLOCK, size = lbw_fit_end(fit, b) - first, num = p->num_lanes;
    const struct lbw_triangle triangle = {size, LBW_BLOCK, fit->triangles + first * LBW_BLOCK,
                                          &p->search->levels};
    for (size_t i = 0; i < size; i++)
        for (size_t r = 0; r < num; r++) {
            size_t row = r / p->per_row < p->num ? r / p->per_row : p->num - 1;
            p->targets[i * num + r] = target_of(p, row)[first + i];
        }
    fit->form->pull(p->pulled, fit, b, p->trail, num);
    for (size_t r = 0; r < num; r += LANES)
        lbw_round_feedback(p->lane_codes + first * num + r, p->errors + r, p->costs + r,
                           &triangle, p->pulled + r, p->targets + r, p->steps + r, num);
    fit->form->push(p->trail, fit, b, p->errors, num);
}

/* Many columns: error feedback for every step of every row, and the best of each. */
static void round_by_feedback(struct lbw_bundle *p)
{
    const struct lbw_fit *fit = p->fit;
    for (size_t r = p->num * p->per_row; r < p->num_lanes; r++)
        p->steps[r] = p->steps[r - 1];
    for (size_t b = lbw_fit_num_blocks(fit); b-- > 0;) {
        if (!lbw_watch_goes_on(p->search->watch))
            return;
        feed_block(p, b);
    }
    for (size_t row = 0; row < p->num; row++) {
        size_t best = row * p->per_row;
        for (size_t i = 1; i < p->per_row; i++)
            if (p->costs[row * p->per_row + i] < p->costs[best])
                best = row * p->per_row + i;
        p->rows[row].step = p->steps[best];
        for (size_t i = 0; i < fit->k; i++)
            p->rows[row].codes[i] = p->lane_codes[i * p->num_lanes + best];
    }
}

/* Few columns: a beam search for every step. */
static void round_by_beam(struct lbw_bundle *p, size_t row)
{
    const struct lbw_fit *fit = p->fit;
    const struct lbw_triangle triangle = {fit->k, LBW_BLOCK, fit->triangles,
                                          &p->search->levels};
    float scratch[2 * LBW_BEAM_MAX_K * LBW_LANES], best = INFINITY;
    uint8_t codes[LBW_BEAM_MAX_K];
    float base = base_step(p, row);
    p->rows[row].step = base;
    for (size_t i = 0; i < p->search->num_offsets; i++) {
        float step = try_step(p->search, base, i);
        float cost = lbw_round_beam(codes, &triangle, target_of(p, row), step, best, scratch);
        if (cost < best) {
            best = cost;
            p->rows[row].step = step;
            memcpy(p->rows[row].codes, codes, fit->k);
        }
    }
}

static void swap_bytes(void *a, void *b, size_t size)
{
    unsigned char *p = a, *q = b;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = p[i];
        p[i] = q[i];
        q[i] = byte;
    }
}

static void swap_slots(struct lbw_bundle *p, size_t a, size_t b)
{
    size_t k = p->fit->k, size = p->fit->size;
    if (a == b)
        return;
    swap_bytes(&p->slots[a], &p->slots[b], sizeof *p->slots);
    swap_bytes(p->slot_codes + a * k, p->slot_codes + b * k, k);
    swap_bytes(p->d + a * k, p->d + b * k, k * sizeof *p->d);
    swap_bytes(p->states + a * size, p->states + b * size, size * sizeof *p->states);
}

/* One block of the first `num` slots; changed[slot] counts. */
static void descend_block(struct lbw_bundle *p, size_t b, size_t num, size_t *changed)
{
    const struct lbw_fit *fit = p->fit;
    size_t first = b * LBW_BLOCK, size = lbw_fit_end(fit, b) - first, k = fit->k, total = 0;
    fit->form->gradient(p->gradients, fit, b, p->states, p->d, num);
    for (size_t i = 0; i < num; i++) {
        size_t row = p->slots[i];
        size_t count = lbw_round_descend(
            p->slot_codes + i * k + first, p->d + i * k + first, p->gradients + i * LBW_BLOCK,
            p->deltas + i * LBW_BLOCK, &p->search->levels, fit->blocks + first * LBW_BLOCK,
            size, LBW_BLOCK, target_of(p, row) + first, p->rows[row].step);
        changed[i] += count;
        total += count;
    }
    if (total * 16 >= num * size) { /* one product costs less than many vectors */
        fit->form->move(p->states, fit, b, p->deltas, num);
        return;
    }
    for (size_t i = 0; i < num && total; i++)
        for (size_t j = 0; j < size; j++)
            if (p->deltas[i * LBW_BLOCK + j] != 0)
                fit->form->nudge(p->states + i * fit->size, fit, first + j,
                                 p->deltas[i * LBW_BLOCK + j]);
}

/* Descends in the first `num` slots, each until no code changes; permutes them. */
static void descend(struct lbw_bundle *p, size_t num)
{
    for (int sweep = 0; sweep < SWEEPS && num; sweep++) {
        size_t changed[MAX_ROWS] = {0}, still = 0;
        for (size_t b = lbw_fit_num_blocks(p->fit); b-- > 0;)
            if (lbw_watch_goes_on(p->search->watch))
                descend_block(p, b, num, changed);
        for (size_t i = 0; i < num; i++)
            if (changed[i])
                swap_slots(p, i, still++);
        num = still;
    }
}

/* Another step for a slot, its codes unchanged. */
static void rescale(struct lbw_bundle *p, size_t slot, float step)
{
    const struct lbw_fit *fit = p->fit;
    size_t row = p->slots[slot];
    float ratio = step / p->rows[row].step, *state = p->states + slot * fit->size;
    const float *base = p->base + row * fit->size;
    for (size_t i = 0; i < fit->size; i++)
        state[i] = ratio * (state[i] + base[i]) - base[i];
    for (size_t i = 0; i < fit->k; i++)
        p->d[slot * fit->k + i] =
            step * p->search->levels.values[p->slot_codes[slot * fit->k + i]] -
            target_of(p, row)[i];
    p->rows[row].step = step;
}

/* The step that is best for the row's codes, or its own when that is not finite. */
static float refit_step(const struct lbw_row *row)
{
    double best = row->qhq > 0 ? row->step * row->qht / row->qhq : 0;
    return best > FLT_MIN && best < FLT_MAX ? lbw_round_step((float)best) : row->step;
}

/* Refits the first `num` slots; returns how many got better, which are then the first. */
static size_t refit(struct lbw_bundle *p, size_t num)
{
    float before[MAX_ROWS];
    size_t moved = 0, better = 0, k = p->fit->k;
    for (size_t i = 0; i < num; i++) {
        struct lbw_row *row = &p->rows[p->slots[i]];
        float step = refit_step(row);
        if (step == row->step)
            continue;
        before[p->slots[i]] = row->step;
        rescale(p, i, step);
        swap_slots(p, i, moved++);
    }
    descend(p, moved);
    for (size_t i = 0; i < moved; i++) {
        struct lbw_row *row = &p->rows[p->slots[i]], now = *row;
        read_slot(p, i, &now);
        if (now.cost < row->cost) {
            memcpy(now.codes, p->slot_codes + i * k, k);
            *row = now;
            swap_slots(p, i, better++);
        } else {
            row->step = before[p->slots[i]];
        }
    }
    return better;
}

/* Descends from the rows' codes; with a real scale, alternates steps and codes. */
static void polish(struct lbw_bundle *p)
{
    size_t k = p->fit->k, num = p->num;
    for (size_t i = 0; i < num; i++)
        take_slot(p, i, i);
    make_states(p);
    descend(p, num);
    for (size_t i = 0; i < num; i++) {
        struct lbw_row *row = &p->rows[p->slots[i]];
        memcpy(row->codes, p->slot_codes + i * k, k);
        read_slot(p, i, row);
    }
    if (p->search->scale != LBW_SCALE_REAL || p->search->step > 0)
        return;
    for (int i = 0; i < REFITS && num; i++)
        num = refit(p, num);
}

void lbw_bundle_round(struct lbw_bundle *bundle)
{
    const struct lbw_fit *fit = bundle->fit;
    if (fit->k <= LBW_BEAM_MAX_K) {
        for (size_t row = 0; row < bundle->num; row++)
            round_by_beam(bundle, row);
    } else {
        float *pivots = bundle->d; /* U_ii²; the array is free at this point */
        for (size_t i = 0; i < fit->k; i++) {
            float pivot = fit->triangles[i * LBW_BLOCK + i % LBW_BLOCK];
            pivots[i] = pivot * pivot;
        }
        for (size_t row = 0; row < bundle->num; row++)
            choose_steps(bundle, row, bundle->steps + row * bundle->per_row, pivots);
        round_by_feedback(bundle);
    }
    polish(bundle);
}
