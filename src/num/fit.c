/* SPDX-License-Identifier: MIT */
/* Opening a fit: what both forms share. */
#include "num/fit.h"

#include <math.h>
#include <stdlib.h>

#include "base/thread.h"
#include "num/blas.h"

void lbw_fit_damp(struct lbw_fit *fit, const double *variance,
                  const struct lbw_damping *damping)
{
    double trace = 0;
    for (size_t i = 0; i < fit->k; i++)
        trace += variance[i];
    double alike = damping->share * trace / (double)fit->k;
    for (size_t i = 0; i < fit->k; i++) {
        double own = damping->share * variance[fit->order[i]];
        fit->lambdas[i] = trace > 0 ? (1 - damping->own) * alike + damping->own * own : 1;
    }
}

struct ranked {
    double variance;
    size_t column;
};

static int by_variance(const void *a, const void *b)
{
    const struct ranked *p = a, *q = b;
    if (p->variance != q->variance)
        return p->variance > q->variance ? 1 : -1;
    return (p->column < q->column) - (p->column > q->column);
}

enum lbw_status lbw_fit_rank(struct lbw_fit *fit, const double *variance, struct lbw_error *err)
{
    struct ranked *ranked = malloc(fit->k * sizeof *ranked);
    if (!ranked)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < fit->k; i++)
        ranked[i] = (struct ranked){variance[i], i};
    qsort(ranked, fit->k, sizeof *ranked, by_variance);
    for (size_t i = 0; i < fit->k; i++)
        fit->order[i] = ranked[i].column;
    free(ranked);
    return LBW_OK;
}

struct watched {
    void (*fn)(void *user, size_t i);
    void *user;
    struct lbw_watch *watch;
};

static void run_watched(void *user, size_t i)
{
    const struct watched *w = user;
    if (lbw_watch_goes_on(w->watch))
        w->fn(w->user, i);
}

enum lbw_status lbw_fit_parallel(size_t num, unsigned num_threads,
                                 void (*fn)(void *user, size_t i), void *user,
                                 struct lbw_watch *watch, struct lbw_error *err)
{
    struct watched watched = {fn, user, watch};
    lbw_parallel_for(num, num_threads, run_watched, &watched);
    return lbw_watch_goes_on(watch) ? LBW_OK
                                    : lbw_fail(err, LBW_ERR_INTERRUPTED, "interrupted");
}

static bool fit_alloc(struct lbw_fit *fit)
{
    size_t area = fit->k * LBW_BLOCK;
    fit->order = malloc(fit->k * sizeof *fit->order);
    fit->lambdas = malloc(fit->k * sizeof(double));
    fit->energy = malloc(fit->m * sizeof(double));
    fit->mean_x = malloc(fit->k * sizeof(double));
    fit->mean_y = malloc(fit->k * sizeof(double));
    fit->from_shift_x = malloc(fit->k * sizeof(double));
    fit->from_shift_y = malloc(fit->k * sizeof(double));
    fit->diagonal = malloc(fit->k * sizeof(float));
    fit->blocks = calloc(area, sizeof(float));
    fit->triangles = calloc(area, sizeof(float));
    return fit->order && fit->lambdas && fit->energy && fit->mean_x && fit->mean_y &&
           fit->from_shift_x && fit->from_shift_y && fit->diagonal && fit->blocks &&
           fit->triangles;
}

double lbw_fit_mean(const struct lbw_fit *fit, size_t r)
{
    double mean = 0;
    for (size_t i = 0; i < fit->k; i++)
        mean += fit->w[r * fit->k + i] * fit->from_shift_x[i];
    return mean;
}

/* Means, and the energy of each row's output around its mean; false where not finite. */
static bool take_means(struct lbw_fit *fit, const struct lbw_moments *s)
{
    bool is_finite = true;
    for (size_t i = 0; i < fit->k; i++) {
        fit->from_shift_x[i] = s->sum_x[i] / s->count;
        fit->from_shift_y[i] = s->sum_y[i] / s->count;
        fit->mean_x[i] = s->shift_x[i] + fit->from_shift_x[i];
        fit->mean_y[i] = s->shift_y[i] + fit->from_shift_y[i];
        is_finite = is_finite && isfinite(fit->mean_x[i]) && isfinite(fit->mean_y[i]);
    }
    for (size_t r = 0; r < fit->m; r++) {
        double mean = lbw_fit_mean(fit, r);
        fit->energy[r] = s->zz[r] / s->count - mean * mean;
        is_finite = is_finite && isfinite(fit->energy[r]);
        fit->energy[r] = fmax(fit->energy[r], 0);
    }
    return is_finite;
}

static enum lbw_status open(struct lbw_fit *fit, struct lbw_moments *moments,
                            struct lbw_damping damping, unsigned num_threads,
                            struct lbw_watch *watch, struct lbw_error *err)
{
    if (!fit_alloc(fit))
        return lbw_fail_memory(err);
    if (moments->count == 0 || !take_means(fit, moments))
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "its input holds NaN or infinity");
    return moments->yy ? lbw_fit_by_covariance(fit, moments, damping, num_threads, watch, err)
                       : lbw_fit_by_samples(fit, moments, damping, num_threads, watch, err);
}

enum lbw_status lbw_fit_open(struct lbw_fit **out, struct lbw_moments *moments,
                             struct lbw_damping damping, unsigned num_threads,
                             struct lbw_watch *watch, struct lbw_error *err)
{
    struct lbw_fit *fit = malloc(sizeof *fit);
    if (!fit)
        return lbw_fail_memory(err);
    size_t num_samples = moments->yy ? 0 : (size_t)moments->count;
    *fit = (struct lbw_fit){
        .form = moments->yy ? &lbw_fit_covariance : &lbw_fit_samples,
        .m = moments->m,
        .k = moments->k,
        .num_samples = num_samples,
        .size = moments->yy ? moments->k : num_samples,
        .w = moments->w,
        .count = moments->count,
    };
    lbw_blas_begin();
    enum lbw_status status = open(fit, moments, damping, num_threads, watch, err);
    lbw_blas_end();
    if (status == LBW_OK)
        *out = fit;
    else
        lbw_fit_close(&fit);
    return status;
}

void lbw_fit_close(struct lbw_fit **out)
{
    struct lbw_fit *fit = *out;
    if (!fit)
        return;
    free(fit->order);
    free(fit->lambdas);
    free(fit->energy);
    free(fit->mean_x);
    free(fit->mean_y);
    free(fit->from_shift_x);
    free(fit->from_shift_y);
    free(fit->diagonal);
    free(fit->blocks);
    free(fit->triangles);
    free(fit->h);
    free(fit->u);
    free(fit->zy);
    free(fit->y);
    free(fit->p);
    free(fit->z);
    free(fit->r);
    free(fit);
    *out = NULL;
}
