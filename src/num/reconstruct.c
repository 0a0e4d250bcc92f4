/* SPDX-License-Identifier: MIT */
/* Data-aware rounding of one layer: from its least-squares problem to codes. */
#include "num/reconstruct.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "num/blas.h"
#include "num/fit.h"
#include "num/bundle.h"
#include "num/project.h"

/*
 * On grids with few levels a least-squares fit to noisy inputs shrinks its output, layer after
 * layer, until no score passes its threshold. Giving back half of the lost amplitude measured
 * better at 2 and 3 bits (ultraface agreement .44 → .54 and .77 → .80, YOLOX-nano AP at 3 bits
 * .077 → .117; the shapes sample lost .03 at 2 bits) and no better above.
 */
#define AMPLITUDE_SHARE      0.5
#define AMPLITUDE_MAX_LEVELS 5

struct problem {
    const struct lbw_fit *fit;
    const struct lbw_grid *grid;
    const struct lbw_reconstruct_params *params;
    struct lbw_search search;
    size_t num_at_once; /* rows of a bundle */
    /* results, M each */
    uint8_t *codes; /* M × K, in the weights' order */
    float *steps;
    double *correction;
    double *before, *after;
    atomic_bool is_out_of_memory;
};

/* Steps to try around the data-free optimum: powers of two, or fractions of an octave. */
static void choose_offsets(struct lbw_search *search,
                           const struct lbw_reconstruct_params *params)
{
    search->scale = params->scale;
    search->step = params->step;
    if (params->step > 0) {
        search->offsets[search->num_offsets++] = 1;
    } else if (params->scale == LBW_SCALE_POW2) {
        for (int octave = -2; octave <= 1; octave++)
            search->offsets[search->num_offsets++] = ldexpf(1, octave);
    } else {
        const int per_octave = 16;
        for (int i = -per_octave; i <= per_octave / 2; i++)
            search->offsets[search->num_offsets++] =
                lbw_round_step(exp2f((float)i / (float)per_octave));
    }
}

struct measured {
    double qq, qw; /* q Λ qᵀ, q Λ wᵀ */
    double mean;   /* E[q y] */
};

/* The row's codes are in the order of the weights. */
static struct measured measure(const struct problem *p, size_t row, const uint8_t *codes,
                               float step)
{
    const struct lbw_fit *fit = p->fit;
    struct measured m = {0};
    for (size_t a = 0; a < fit->k; a++) {
        size_t i = fit->order[a];
        double q = (double)(step * (float)p->grid->levels[codes[i]]);
        m.qq += fit->lambdas[a] * q * q;
        m.qw += fit->lambdas[a] * q * fit->w[row * fit->k + i];
        m.mean += q * fit->mean_y[i];
    }
    return m;
}

/* E‖w x - q y‖² around the means: energy - 2 q cov(y, z) + q cov(y, y) qᵀ. */
static double error_of(const struct lbw_fit *fit, size_t row, const struct lbw_row *result,
                       const struct measured *m)
{
    double error = fit->energy[row] - result->tht + result->cost + 2 * m->qw - m->qq;
    return error > 0 ? error : 0;
}

/* The gain that restores some of the amplitude that rounding took from the row's output. */
static double restore_amplitude(const struct problem *p, size_t row, struct lbw_row *result,
                                const struct measured *m)
{
    if (p->grid->num_levels > AMPLITUDE_MAX_LEVELS || p->params->step > 0 ||
        p->params->scale != LBW_SCALE_REAL)
        return 1;
    double kept = result->qhq - m->qq;
    double gain = kept > 0 ? pow(p->fit->energy[row] / kept, 0.5 * AMPLITUDE_SHARE) : 1;
    if (!(gain > 0.5 && gain < 2))
        return 1;
    float step = lbw_round_step((float)(result->step * gain));
    gain = (double)step / (double)result->step;
    result->cost += (gain * gain - 1) * result->qhq - 2 * (gain - 1) * result->qht;
    result->step = step;
    return gain;
}

static void finish_row(struct problem *p, size_t row, struct lbw_row *result)
{
    const struct lbw_fit *fit = p->fit;
    size_t k = fit->k;
    uint8_t *codes = p->codes + row * k;
    for (size_t i = 0; i < k; i++)
        codes[fit->order[i]] = result->codes[i];
    struct measured m = measure(p, row, codes, result->step);
    if (restore_amplitude(p, row, result, &m) != 1)
        m = measure(p, row, codes, result->step);
    double mean = 0;
    for (size_t i = 0; i < k; i++)
        mean += fit->w[row * k + i] * fit->mean_x[i];
    p->steps[row] = result->step;
    p->after[row] = error_of(fit, row, result, &m);
    p->correction[row] = mean - m.mean;
}

/* The projection alone, for comparison. */
static void measure_projection(struct problem *p, struct lbw_bundle *bundle)
{
    const struct lbw_fit *fit = p->fit;
    const struct lbw_quantize_params plain = {.method = LBW_METHOD_OPTIMAL,
                                              .scale = p->params->scale};
    size_t k = fit->k;
    for (size_t i = 0; i < bundle->num; i++) {
        struct lbw_row *row = &bundle->rows[i];
        uint8_t *codes = p->codes + (bundle->first + i) * k; /* not in use yet */
        row->step = 1;
        if (lbw_quantize(codes, &row->step, fit->w + (bundle->first + i) * k, k, p->grid,
                         &plain, NULL) != LBW_OK)
            memset(codes, 0, k);
        for (size_t j = 0; j < k; j++)
            row->codes[j] = codes[fit->order[j]];
    }
    lbw_bundle_enter(bundle);
    for (size_t i = 0; i < bundle->num; i++) {
        size_t row = bundle->first + i;
        struct measured m = measure(p, row, p->codes + row * k, bundle->rows[i].step);
        p->before[row] = error_of(fit, row, &bundle->rows[i], &m);
    }
}

static void round_bundle(void *user, size_t i)
{
    struct problem *p = user;
    struct lbw_bundle bundle;
    size_t first = i * p->num_at_once, rest = p->fit->m - first;
    if (!lbw_bundle_init(&bundle, p->fit, &p->search, first,
                         rest < p->num_at_once ? rest : p->num_at_once)) {
        p->is_out_of_memory = true;
        return;
    }
    measure_projection(p, &bundle);
    lbw_bundle_round(&bundle);
    for (size_t r = 0; r < bundle.num; r++)
        finish_row(p, first + r, &bundle.rows[r]);
    lbw_bundle_release(&bundle);
}

static enum lbw_status reconstruct(struct problem *p, struct lbw_reconstruct_stats *stats,
                                   struct lbw_error *err)
{
    size_t m = p->fit->m;
    LBW_TRY(lbw_fit_parallel((m + p->num_at_once - 1) / p->num_at_once, p->params->num_threads,
                             round_bundle, p, p->params->watch, err));
    if (p->is_out_of_memory)
        return lbw_fail_memory(err);
    struct lbw_reconstruct_stats sum = {0};
    for (size_t r = 0; r < m; r++) {
        sum.energy += p->fit->energy[r];
        sum.error_before += p->before[r];
        sum.error_after += p->after[r];
    }
    *stats = sum;
    return LBW_OK;
}

enum lbw_status lbw_reconstruct(uint8_t *codes, float *steps, double *correction,
                                struct lbw_fit *fit, const struct lbw_grid *grid,
                                const struct lbw_reconstruct_params *params,
                                struct lbw_reconstruct_stats *stats, struct lbw_error *err)
{
    struct problem p = {.fit = fit,
                        .grid = grid,
                        .params = params,
                        .search = {.grid = grid, .watch = params->watch},
                        .codes = codes,
                        .steps = steps,
                        .correction = correction,
                        .before = calloc(fit->m, sizeof(double)),
                        .after = calloc(fit->m, sizeof(double))};
    enum lbw_status status = p.before && p.after ? LBW_OK : lbw_fail_memory(err);
    if (status == LBW_OK) {
        choose_offsets(&p.search, params);
        p.num_at_once = lbw_bundle_size(fit, &p.search);
        lbw_levels_of(&p.search.levels, grid);
        lbw_blas_begin();
        status = reconstruct(&p, stats, err);
        lbw_blas_end();
    }
    free(p.before);
    free(p.after);
    return status;
}
