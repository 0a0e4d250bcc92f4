/* SPDX-License-Identifier: MIT */
/*
 * The least-squares problem by its K × K covariance, for layers that see more positions than
 * their rows are long. Single precision throughout: with a damping of d times the mean variance
 * the error of W* costs at most (ε K/2)²/d of the output's energy, less than -60 dB for the
 * default damping and K up to 5,000, where rounding itself costs -15 to -40 dB.
 */
#include "num/fit.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DAMPING 1e3

struct work {
    struct lbw_fit *fit;
    struct lbw_moments *moments;
    size_t from, to; /* rows of U that are done */
    atomic_bool is_infinite;
};

/* The upper triangle of some rows of yy from the lower one. */
static void mirror_rows(void *user, size_t tile)
{
    struct work *work = user;
    size_t k = work->fit->k, first = tile * LBW_TILE, end = lbw_tile_end(first, k);
    float *yy = work->moments->yy;
    const size_t step = 16; /* columns of a cache line */
    for (size_t j0 = first; j0 < k; j0 += step)
        for (size_t i = first; i < end; i++)
            for (size_t j = j0 > i ? j0 : i + 1; j < j0 + step && j < k; j++)
                yy[i * k + j] = yy[j * k + i];
}

/* Some rows of H, in rounding order and not yet damped. */
static void gather_rows(void *user, size_t tile)
{
    struct work *work = user;
    const struct lbw_fit *fit = work->fit;
    const struct lbw_moments *s = work->moments;
    size_t k = fit->k, first = tile * LBW_TILE, end = lbw_tile_end(first, k);
    bool is_finite = true;
    for (size_t a = first; a < end; a++) {
        size_t i = fit->order[a];
        const float *row = s->yy + i * k;
        double mean = s->sum_y[i] / s->count;
        for (size_t b = 0; b < k; b++) {
            size_t j = fit->order[b];
            double value = row[j] / s->count - mean * (s->sum_y[j] / s->count);
            fit->h[a * k + b] = (float)value;
            is_finite = is_finite && isfinite(fit->h[a * k + b]);
        }
    }
    if (!is_finite)
        work->is_infinite = true;
}

/* U of the diagonal tile is done: its rows further right. */
static void solve_right(void *user, size_t tile)
{
    const struct work *work = user;
    size_t k = work->fit->k, first = work->to + tile * LBW_TILE, end = lbw_tile_end(first, k);
    float *u = work->fit->u;
    cblas_strsm(CblasRowMajor, CblasLeft, CblasUpper, CblasTrans, CblasNonUnit,
                (blasint)(work->to - work->from), (blasint)(end - first), 1,
                u + work->from * k + work->from, (blasint)k, u + work->from * k + first,
                (blasint)k);
}

/* What these rows take from those below. */
static void update_below(void *user, size_t tile)
{
    const struct work *work = user;
    size_t k = work->fit->k, first = work->to + tile * LBW_TILE, end = lbw_tile_end(first, k);
    float *u = work->fit->u;
    const float *rows = u + work->from * k + first;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)(end - first),
                (blasint)(k - first), (blasint)(work->to - work->from), -1, rows, (blasint)k,
                rows, (blasint)k, 1, u + first * k + first, (blasint)k);
}

/* H + Λ = Uᵀ U; *done is false where it is not positive definite in single precision. */
static enum lbw_status factorise(bool *done, struct work *work, unsigned num_threads,
                                 struct lbw_watch *watch, struct lbw_error *err)
{
    struct lbw_fit *fit = work->fit;
    size_t k = fit->k;
    memcpy(fit->u, fit->h, k * k * sizeof *fit->u);
    for (size_t i = 0; i < k; i++)
        fit->u[i * k + i] += (float)fit->lambdas[i];
    *done = true;
    for (work->from = 0; work->from < k && *done; work->from = work->to) {
        work->to = lbw_tile_end(work->from, k);
        blasint size = (blasint)(work->to - work->from);
        float *diagonal = fit->u + work->from * k + work->from;
        *done = LAPACKE_spotrf_work(LAPACK_COL_MAJOR, 'L', size, diagonal, (blasint)k) == 0;
        size_t rest = *done ? lbw_num_tiles(k - work->to) : 0;
        LBW_TRY(lbw_fit_parallel(rest, num_threads, solve_right, work, watch, err));
        LBW_TRY(lbw_fit_parallel(rest, num_threads, update_below, work, watch, err));
    }
    return LBW_OK;
}

static enum lbw_status damp_and_factorise(struct work *work, const double *variance,
                                          struct lbw_damping damping, unsigned num_threads,
                                          struct lbw_watch *watch, struct lbw_error *err)
{
    struct lbw_fit *fit = work->fit;
    bool done = false;
    damping.share = fmax(damping.share, LBW_LEAST_DAMPING * (double)fit->k);
    for (; !done && damping.share < MOST_DAMPING; damping.share *= 10) {
        lbw_fit_damp(fit, variance, &damping);
        LBW_TRY(factorise(&done, work, num_threads, watch, err));
    }
    if (!done)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "its input moments cannot be factored");
    for (size_t i = 0; i < fit->k; i++)
        fit->h[i * fit->k + i] += (float)fit->lambdas[i];
    return LBW_OK;
}

/* Blocks on the diagonals of H and U, where they are close together. */
static void copy_blocks(struct lbw_fit *fit)
{
    size_t k = fit->k;
    for (size_t i = 0; i < k; i++) {
        size_t first = i / LBW_BLOCK * LBW_BLOCK, end = lbw_fit_end(fit, i / LBW_BLOCK);
        fit->diagonal[i] = fit->h[i * k + i];
        for (size_t j = first; j < end; j++) {
            fit->blocks[i * LBW_BLOCK + j - first] = fit->h[i * k + j];
            fit->triangles[i * LBW_BLOCK + j - first] = j < i ? 0 : fit->u[i * k + j];
        }
    }
}

static enum lbw_status gather(struct work *work, double *variance, unsigned num_threads,
                              struct lbw_watch *watch, struct lbw_error *err)
{
    struct lbw_fit *fit = work->fit;
    struct lbw_moments *s = work->moments;
    size_t k = fit->k;
    fit->h = malloc(k * k * sizeof *fit->h);
    if (!fit->h)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < k; i++) {
        double mean = s->sum_y[i] / s->count;
        variance[i] = s->yy[i * k + i] / s->count - mean * mean;
    }
    LBW_TRY(lbw_fit_rank(fit, variance, err));
    LBW_TRY(lbw_fit_parallel(lbw_num_tiles(k), num_threads, mirror_rows, work, watch, err));
    LBW_TRY(lbw_fit_parallel(lbw_num_tiles(k), num_threads, gather_rows, work, watch, err));
    free(s->yy);
    s->yy = NULL;
    if (work->is_infinite)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "its input holds NaN or infinity");
    fit->u = malloc(k * k * sizeof *fit->u);
    return fit->u ? LBW_OK : lbw_fail_memory(err);
}

enum lbw_status lbw_fit_by_covariance(struct lbw_fit *fit, struct lbw_moments *moments,
                                      struct lbw_damping damping, unsigned num_threads,
                                      struct lbw_watch *watch, struct lbw_error *err)
{
    struct work work = {.fit = fit, .moments = moments};
    double *variance = malloc(fit->k * sizeof *variance);
    enum lbw_status status;
    if (!variance)
        LBW_OR_OUT(lbw_fail_memory(err));
    LBW_OR_OUT(gather(&work, variance, num_threads, watch, err));
    LBW_OR_OUT(damp_and_factorise(&work, variance, damping, num_threads, watch, err));
    copy_blocks(fit);
    fit->zy = moments->zy;
    moments->zy = NULL;
out:
    free(variance);
    return status;
}

/* t H = cov(z, y) + w Λ, and t from it. */
static bool solve(float *target, float *base, const struct lbw_fit *fit, size_t first,
                  size_t num)
{
    size_t k = fit->k;
    for (size_t r = 0; r < num; r++) {
        const float *w = fit->w + (first + r) * k, *zy = fit->zy + (first + r) * k;
        double mean = lbw_fit_mean(fit, first + r);
        for (size_t a = 0; a < k; a++) {
            size_t i = fit->order[a];
            double value = zy[i] / fit->count - mean * fit->from_shift_y[i];
            base[r * k + a] = (float)(value + fit->lambdas[a] * w[i]);
        }
    }
    memcpy(target, base, num * k * sizeof *target);
    for (int i = 0; i < 2; i++)
        cblas_strsm(CblasRowMajor, CblasRight, CblasUpper, i ? CblasTrans : CblasNoTrans,
                    CblasNonUnit, (blasint)num, (blasint)k, 1, fit->u, (blasint)k, target,
                    (blasint)k);
    return true;
}

static void pull(float *out, const struct lbw_fit *fit, size_t b, const float *trail,
                 size_t num)
{
    size_t k = fit->k, first = b * LBW_BLOCK, end = lbw_fit_end(fit, b);
    if (end == k)
        memset(out, 0, (end - first) * num * sizeof *out);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)(end - first),
                    (blasint)num, (blasint)(k - end), 1, fit->u + first * k + end, (blasint)k,
                    trail + end * num, (blasint)num, 0, out, (blasint)num);
}

static void push(float *trail, const struct lbw_fit *fit, size_t b, const float *d, size_t num)
{
    size_t first = b * LBW_BLOCK;
    memcpy(trail + first * num, d, (lbw_fit_end(fit, b) - first) * num * sizeof *trail);
}

static void gradient(float *out, const struct lbw_fit *fit, size_t b, const float *states,
                     const float *d, size_t num)
{
    size_t first = b * LBW_BLOCK, size = lbw_fit_end(fit, b) - first;
    (void)d;
    for (size_t r = 0; r < num; r++)
        memcpy(out + r * LBW_BLOCK, states + r * fit->k + first, size * sizeof *out);
}

static void move(float *states, const struct lbw_fit *fit, size_t b, const float *delta,
                 size_t num)
{
    size_t k = fit->k, first = b * LBW_BLOCK;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)num, (blasint)k,
                (blasint)(lbw_fit_end(fit, b) - first), 1, delta, (blasint)LBW_BLOCK,
                fit->h + first * k, (blasint)k, 1, states, (blasint)k);
}

static void nudge(float *state, const struct lbw_fit *fit, size_t i, float delta)
{
    cblas_saxpy((blasint)fit->k, delta, fit->h + i * fit->k, 1, state, 1);
}

static double cost(const struct lbw_fit *fit, const float *state, const float *d)
{
    double sum = 0;
    for (size_t i = 0; i < fit->k; i++)
        sum += (double)d[i] * state[i];
    return sum;
}

static void products(double *qht, double *qhq, const struct lbw_fit *fit, const float *target,
                     const float *base, const float *state, const float *d)
{
    *qht = *qhq = 0;
    for (size_t i = 0; i < fit->k; i++) {
        double q = (double)d[i] + target[i];
        *qht += q * base[i];
        *qhq += q * ((double)state[i] + base[i]);
    }
}

const struct lbw_fit_form lbw_fit_covariance = {
    "covariance", solve, pull, push, gradient, move, nudge, cost, products,
};
