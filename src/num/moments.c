/* SPDX-License-Identifier: MIT */
/* Second-order statistics of input columns, accumulated batch by batch. */
#include "num/reconstruct.h"

#include <cblas.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/thread.h"
#include "num/blas.h"

enum lbw_status lbw_moments_init(struct lbw_moments *out, size_t k, struct lbw_error *err)
{
    size_t area;
    if (!lbw_size_mul(&area, k, k) || k > INT32_MAX)
        return lbw_fail_memory(err);
    struct lbw_moments moments = {
        .k = k,
        .shift_x = calloc(k, sizeof(double)),
        .shift_y = calloc(k, sizeof(double)),
        .sum_x = calloc(k, sizeof(double)),
        .sum_y = calloc(k, sizeof(double)),
        .xx = calloc(area, sizeof(float)),
        .yx = calloc(area, sizeof(float)),
        .yy = calloc(area, sizeof(float)),
    };
    if (!moments.shift_x || !moments.shift_y || !moments.sum_x || !moments.sum_y ||
        !moments.xx || !moments.yx || !moments.yy) {
        lbw_moments_release(&moments);
        return lbw_fail_memory(err);
    }
    *out = moments;
    return LBW_OK;
}

void lbw_moments_release(struct lbw_moments *moments)
{
    free(moments->shift_x);
    free(moments->shift_y);
    free(moments->sum_x);
    free(moments->sum_y);
    free(moments->xx);
    free(moments->yx);
    free(moments->yy);
    *moments = (struct lbw_moments){0};
}

static void column_means(double *mean, const float *x, size_t num, size_t k)
{
    for (size_t p = 0; p < num; p++)
        for (size_t i = 0; i < k; i++)
            mean[i] += x[p * k + i];
    for (size_t i = 0; i < k; i++)
        mean[i] /= (double)num;
}

/* Subtracts the shift and adds what is left to the sums. */
static void centre(float *x, double *sum, const double *shift, size_t num, size_t k)
{
    for (size_t p = 0; p < num; p++)
        for (size_t i = 0; i < k; i++) {
            double value = x[p * k + i] - shift[i];
            x[p * k + i] = (float)value;
            sum[i] += value;
        }
}

/* The three products of one batch, each a task of its own. */
struct products {
    struct lbw_moments *moments;
    const float *x, *y;
    blasint num;
};

static void add_product(void *user, size_t task)
{
    const struct products *p = user;
    struct lbw_moments *m = p->moments;
    blasint k = (blasint)m->k;
    if (task == 0) /* twice the work of the others, so it comes first */
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, k, k, p->num, 1, p->y, k, p->x, k,
                    1, m->yx, k);
    else
        cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, k, p->num, 1,
                    task == 1 ? p->x : p->y, k, 1, task == 1 ? m->xx : m->yy, k);
}

void lbw_moments_add(struct lbw_moments *moments, float *x, float *y, size_t num,
                     unsigned num_threads)
{
    size_t k = moments->k;
    if (num == 0)
        return;
    if (moments->count == 0) {
        column_means(moments->shift_x, x, num, k);
        column_means(moments->shift_y, y, num, k);
    }
    moments->count += (double)num;
    centre(x, moments->sum_x, moments->shift_x, num, k);
    centre(y, moments->sum_y, moments->shift_y, num, k);
    struct products products = {moments, x, y, (blasint)num};
    lbw_blas_begin();
    lbw_parallel_for(3, num_threads, add_product, &products);
    lbw_blas_end();
}
