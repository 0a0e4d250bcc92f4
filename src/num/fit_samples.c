/* SPDX-License-Identifier: MIT */
/*
 * The same problem in the n dimensions of its samples, for rows longer than samples are many:
 * nothing is K × K. With F the columns that are still to be rounded and free to make up for
 * what the others did, an output error e is left with e R eᵀ of cost. R = (I + Y_F Λ_F⁻¹
 * Y_Fᵀ)⁻¹ begins as I with no column free, and for each further block J
 *
 *     U_Jᵀ U_J = Y_Jᵀ R Y_J + Λ_J,   P_J = U_J⁻ᵀ Y_Jᵀ R,   R ← R - P_Jᵀ P_J
 *
 * gives the blocks of U on the diagonal, and in P_J those to the right of it: rows J of U d are
 * U_J d_J + P_J e. With all columns free R also solves for W*: t = w + (z - Y w) R Y Λ⁻¹.
 */
#include "num/fit.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct work {
    struct lbw_fit *fit;
    struct lbw_moments *moments;
    double *columns; /* LBW_BLOCK × n: Y_Jᵀ */
    double *product; /* LBW_BLOCK × n: Y_Jᵀ R, then P_J */
    size_t block, size;
};

/* Yᵀ in rounding order, centred and divided by √n; some columns of Y. */
static void gather_columns(void *user, size_t tile)
{
    struct work *work = user;
    const struct lbw_fit *fit = work->fit;
    const struct lbw_moments *s = work->moments;
    size_t n = fit->num_samples, first = tile * LBW_BLOCK;
    size_t end = lbw_fit_end(fit, tile);
    double scale = 1 / sqrt(s->count);
    for (size_t a = first; a < end; a++) {
        size_t i = fit->order[a];
        double mean = s->sum_y[i] / s->count;
        for (size_t p = 0; p < n; p++)
            fit->y[a * n + p] = (float)((s->y[p * fit->k + i] - mean) * scale);
    }
}

static void multiply_by_r(void *user, size_t tile)
{
    const struct work *work = user;
    size_t n = work->fit->num_samples, first = tile * LBW_TILE, end = lbw_tile_end(first, n);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)work->size,
                (blasint)(end - first), (blasint)n, 1, work->columns, (blasint)n,
                work->fit->r + first, (blasint)n, 0, work->product + first, (blasint)n);
}

/* R ← R - Pᵀ P, some of its rows. */
static void take_from_r(void *user, size_t tile)
{
    const struct work *work = user;
    size_t n = work->fit->num_samples, first = tile * LBW_TILE, end = lbw_tile_end(first, n);
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)(end - first), (blasint)n,
                (blasint)work->size, -1, work->product + first, (blasint)n, work->product,
                (blasint)n, 1, work->fit->r + first * n, (blasint)n);
}

/* One block on the diagonal, from the columns before it that are free. */
static enum lbw_status factor_block(struct work *work, struct lbw_error *err)
{
    struct lbw_fit *fit = work->fit;
    size_t n = fit->num_samples, size = work->size, first = work->block * LBW_BLOCK;
    double schur[LBW_BLOCK * LBW_BLOCK];
    blasint b = (blasint)size;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, b, b, (blasint)n, 1, work->product,
                (blasint)n, work->columns, (blasint)n, 0, schur, LBW_BLOCK);
    for (size_t i = 0; i < size; i++)
        schur[i * LBW_BLOCK + i] += fit->lambdas[first + i];
    if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'L', b, schur, LBW_BLOCK) != 0)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "its input moments cannot be factored");
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasUpper, CblasTrans, CblasNonUnit, b, (blasint)n,
                1, schur, LBW_BLOCK, work->product, (blasint)n);
    for (size_t i = 0; i < size; i++) {
        for (size_t j = i; j < size; j++)
            fit->triangles[(first + i) * LBW_BLOCK + j] = (float)schur[i * LBW_BLOCK + j];
        for (size_t p = 0; p < n; p++)
            fit->p[(first + i) * n + p] = (float)work->product[i * n + p];
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, b, b, (blasint)n, 1,
                fit->y + first * n, (blasint)n, fit->y + first * n, (blasint)n, 0,
                fit->blocks + first * LBW_BLOCK, LBW_BLOCK);
    for (size_t i = 0; i < size; i++) {
        fit->blocks[(first + i) * LBW_BLOCK + i] += (float)fit->lambdas[first + i];
        fit->diagonal[first + i] = fit->blocks[(first + i) * LBW_BLOCK + i];
    }
    return LBW_OK;
}

static enum lbw_status factorise(struct work *work, unsigned num_threads,
                                 struct lbw_watch *watch, struct lbw_error *err)
{
    struct lbw_fit *fit = work->fit;
    size_t n = fit->num_samples;
    for (size_t i = 0; i < n; i++)
        fit->r[i * n + i] = 1;
    for (work->block = 0; work->block < lbw_fit_num_blocks(fit); work->block++) {
        size_t first = work->block * LBW_BLOCK;
        work->size = lbw_fit_end(fit, work->block) - first;
        for (size_t i = 0; i < work->size * n; i++)
            work->columns[i] = fit->y[first * n + i];
        LBW_TRY(
            lbw_fit_parallel(lbw_num_tiles(n), num_threads, multiply_by_r, work, watch, err));
        LBW_TRY(factor_block(work, err));
        LBW_TRY(lbw_fit_parallel(lbw_num_tiles(n), num_threads, take_from_r, work, watch, err));
    }
    return LBW_OK;
}

static enum lbw_status gather(struct work *work, struct lbw_damping damping,
                              unsigned num_threads, struct lbw_watch *watch,
                              struct lbw_error *err)
{
    struct lbw_fit *fit = work->fit;
    const struct lbw_moments *s = work->moments;
    double *variance = calloc(fit->k, sizeof *variance);
    if (!variance)
        return lbw_fail_memory(err);
    for (size_t p = 0; p < fit->num_samples; p++)
        for (size_t i = 0; i < fit->k; i++) {
            double value = s->y[p * fit->k + i] - s->sum_y[i] / s->count;
            variance[i] += value * value / s->count;
        }
    damping.share = fmax(damping.share, LBW_LEAST_DAMPING * (double)fit->k);
    enum lbw_status status = lbw_fit_rank(fit, variance, err);
    if (status == LBW_OK)
        lbw_fit_damp(fit, variance, &damping);
    free(variance);
    LBW_TRY(status);
    return lbw_fit_parallel(lbw_fit_num_blocks(fit), num_threads, gather_columns, work, watch,
                            err);
}

static bool work_alloc(struct work *work)
{
    struct lbw_fit *fit = work->fit;
    size_t n = fit->num_samples;
    fit->y = malloc(fit->k * n * sizeof *fit->y);
    fit->p = malloc(fit->k * n * sizeof *fit->p);
    fit->r = calloc(n * n, sizeof *fit->r);
    work->columns = malloc(LBW_BLOCK * n * sizeof *work->columns);
    work->product = malloc(LBW_BLOCK * n * sizeof *work->product);
    return fit->y && fit->p && fit->r && work->columns && work->product;
}

enum lbw_status lbw_fit_by_samples(struct lbw_fit *fit, struct lbw_moments *moments,
                                   struct lbw_damping damping, unsigned num_threads,
                                   struct lbw_watch *watch, struct lbw_error *err)
{
    struct work work = {.fit = fit, .moments = moments};
    enum lbw_status status;
    if (!work_alloc(&work))
        LBW_OR_OUT(lbw_fail_memory(err));
    LBW_OR_OUT(gather(&work, damping, num_threads, watch, err));
    free(moments->y);
    moments->y = NULL;
    LBW_OR_OUT(factorise(&work, num_threads, watch, err));
    fit->z = moments->z;
    moments->z = NULL;
out:
    free(work.columns);
    free(work.product);
    return status;
}

/* t = w + (z - w Yᵀ) R Y Λ⁻¹, and t Yᵀ. */
static bool solve(float *target, float *base, const struct lbw_fit *fit, size_t first,
                  size_t num)
{
    size_t k = fit->k, n = fit->num_samples;
    blasint num_rows = (blasint)num, num_k = (blasint)k, num_n = (blasint)n;
    double *rest = malloc(2 * num * n * sizeof *rest), *solved = rest ? rest + num * n : NULL;
    if (!rest)
        return false;
    for (size_t r = 0; r < num; r++)
        for (size_t a = 0; a < k; a++)
            target[r * k + a] = fit->w[(first + r) * k + fit->order[a]];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, num_rows, num_n, num_k, 1, target,
                num_k, fit->y, num_n, 0, base, num_n);
    for (size_t r = 0; r < num; r++) {
        double mean = lbw_fit_mean(fit, first + r);
        for (size_t p = 0; p < n; p++)
            rest[r * n + p] =
                (fit->z[p * fit->m + first + r] - mean) / sqrt(fit->count) - base[r * n + p];
    }
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, num_rows, num_n, num_n, 1, rest,
                num_n, fit->r, num_n, 0, solved, num_n);
    for (size_t i = 0; i < num * n; i++)
        base[i] = (float)solved[i];
    free(rest);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, num_rows, num_k, num_n, 1, base, num_n,
                fit->y, num_n, 0, target, num_k);
    for (size_t r = 0; r < num; r++)
        for (size_t a = 0; a < k; a++)
            target[r * k + a] = (float)((double)fit->w[(first + r) * k + fit->order[a]] +
                                        (double)target[r * k + a] / fit->lambdas[a]);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, num_rows, num_n, num_k, 1, target,
                num_k, fit->y, num_n, 0, base, num_n);
    return true;
}

static void pull(float *out, const struct lbw_fit *fit, size_t b, const float *trail,
                 size_t num)
{
    size_t n = fit->num_samples, first = b * LBW_BLOCK;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans,
                (blasint)(lbw_fit_end(fit, b) - first), (blasint)num, (blasint)n, 1,
                fit->p + first * n, (blasint)n, trail, (blasint)num, 0, out, (blasint)num);
}

static void push(float *trail, const struct lbw_fit *fit, size_t b, const float *d, size_t num)
{
    size_t n = fit->num_samples, first = b * LBW_BLOCK;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)n, (blasint)num,
                (blasint)(lbw_fit_end(fit, b) - first), 1, fit->y + first * n, (blasint)n, d,
                (blasint)num, 1, trail, (blasint)num);
}

static void gradient(float *out, const struct lbw_fit *fit, size_t b, const float *states,
                     const float *d, size_t num)
{
    size_t n = fit->num_samples, first = b * LBW_BLOCK, size = lbw_fit_end(fit, b) - first;
    for (size_t r = 0; r < num; r++)
        for (size_t i = 0; i < size; i++)
            out[r * LBW_BLOCK + i] = (float)fit->lambdas[first + i] * d[r * fit->k + first + i];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)num, (blasint)size,
                (blasint)n, 1, states, (blasint)n, fit->y + first * n, (blasint)n, 1, out,
                (blasint)LBW_BLOCK);
}

static void move(float *states, const struct lbw_fit *fit, size_t b, const float *delta,
                 size_t num)
{
    size_t n = fit->num_samples, first = b * LBW_BLOCK;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)num, (blasint)n,
                (blasint)(lbw_fit_end(fit, b) - first), 1, delta, (blasint)LBW_BLOCK,
                fit->y + first * n, (blasint)n, 1, states, (blasint)n);
}

static void nudge(float *state, const struct lbw_fit *fit, size_t i, float delta)
{
    size_t n = fit->num_samples;
    cblas_saxpy((blasint)n, delta, fit->y + i * n, 1, state, 1);
}

static double cost(const struct lbw_fit *fit, const float *state, const float *d)
{
    double outputs = 0, ridge = 0;
    for (size_t p = 0; p < fit->num_samples; p++)
        outputs += (double)state[p] * state[p];
    for (size_t i = 0; i < fit->k; i++)
        ridge += fit->lambdas[i] * (double)d[i] * (double)d[i];
    return outputs + ridge;
}

static void products(double *qht, double *qhq, const struct lbw_fit *fit, const float *target,
                     const float *base, const float *state, const float *d)
{
    size_t n = fit->num_samples;
    double qt = 0, qq = 0;
    *qht = *qhq = 0;
    for (size_t p = 0; p < n; p++) {
        double output = (double)state[p] + base[p];
        *qht += output * base[p];
        *qhq += output * output;
    }
    for (size_t i = 0; i < fit->k; i++) {
        double q = (double)d[i] + target[i];
        qt += fit->lambdas[i] * q * target[i];
        qq += fit->lambdas[i] * q * q;
    }
    *qht += qt;
    *qhq += qq;
}

const struct lbw_fit_form lbw_fit_samples = {
    "samples", solve, pull, push, gradient, move, nudge, cost, products,
};
