/* SPDX-License-Identifier: MIT */
/* Input columns of a layer, kept or turned into second-order statistics batch by batch. */
#include "num/reconstruct.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/thread.h"
#include "num/blas.h"
#include "num/fit.h"

/* Below this length of a row a K × K matrix is smaller than any number of columns. */
#define LEAST_KEPT_K ((size_t)256)
/* Lanes that a thread of lbw_reconstruct() rounds side by side. */
#define LANES ((uint64_t)256)

uint64_t lbw_moments_bytes(size_t k, size_t m, size_t num, size_t groups)
{
    uint64_t side = num ? num : k, rows = m;
    /* statistics, H and U, or columns, Y, P and R */
    uint64_t data = num ? 4 * side * (3 * (uint64_t)k + rows + LANES) + 8 * side * side
                        : 8 * side * side + 4 * rows * k;
    /* of a thread's bundle: what there is one of for each lane, and for each of 64 rows */
    uint64_t workspace = lbw_num_processors() * LANES * (6 * side + 4 * (uint64_t)k);
    return groups * (data + 6 * rows * k) + workspace;
}

enum lbw_status lbw_moments_init(struct lbw_moments *out, const float *w, size_t m, size_t k,
                                 size_t num, bool is_final, struct lbw_error *err)
{
    size_t area, rows;
    if (!lbw_size_mul(&area, k, k) || !lbw_size_mul(&rows, m, k) || k > INT32_MAX ||
        m > INT32_MAX || num > INT32_MAX)
        return lbw_fail_memory(err);
    size_t worth = k < LEAST_KEPT_K ? 0 : k / 4;
    struct lbw_moments moments = {
        .k = k,
        .m = m,
        .w = w,
        .shift_x = calloc(k, sizeof(double)),
        .shift_y = calloc(k, sizeof(double)),
        .sum_x = calloc(k, sizeof(double)),
        .sum_y = calloc(k, sizeof(double)),
        .zz = calloc(m, sizeof(double)),
        .most = is_final || num < worth ? num : worth,
        .is_final = is_final,
    };
    if (!moments.shift_x || !moments.shift_y || !moments.sum_x || !moments.sum_y ||
        !moments.zz) {
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
    free(moments->zz);
    free(moments->y);
    free(moments->z);
    free(moments->yy);
    free(moments->zy);
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

/* Subtracts the shift and adds the result to the sums. */
static void centre(float *x, double *sum, const double *shift, size_t num, size_t k)
{
    for (size_t p = 0; p < num; p++)
        for (size_t i = 0; i < k; i++) {
            double value = x[p * k + i] - shift[i];
            x[p * k + i] = (float)value;
            sum[i] += value;
        }
}

/* One batch being added to the moments. */
struct batch {
    struct lbw_moments *moments;
    const float *x, *y;
    float *z; /* num × M */
    size_t num;
};

/* z = x Wᵀ, some columns of the batch. */
static void make_outputs(void *user, size_t task)
{
    const struct batch *b = user;
    size_t first = task * LBW_TILE, num = lbw_tile_end(first, b->num) - first;
    blasint k = (blasint)b->moments->k, m = (blasint)b->moments->m;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)num, m, k, 1,
                b->x + first * b->moments->k, k, b->moments->w, k, 0,
                b->z + first * b->moments->m, m);
}

/* Some rows of yy up to the diagonal, or of zy. */
static void add_products(void *user, size_t task)
{
    const struct batch *b = user;
    struct lbw_moments *m = b->moments;
    blasint k = (blasint)m->k, num_z = (blasint)m->m, num = (blasint)b->num;
    size_t of_yy = lbw_num_tiles(m->k);
    if (task < of_yy) {
        size_t first = (of_yy - 1 - task) * LBW_TILE; /* the longest come first */
        size_t end = lbw_tile_end(first, m->k);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)(end - first),
                    (blasint)end, num, 1, b->y + first, k, b->y, k, 1, m->yy + first * m->k, k);
    } else {
        size_t first = (task - of_yy) * LBW_TILE, end = lbw_tile_end(first, m->m);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)(end - first), k, num, 1,
                    b->z + first, num_z, b->y, k, 1, m->zy + first * m->k, k);
    }
}

static void add_batch(struct batch *b, unsigned num_threads)
{
    lbw_parallel_for(lbw_num_tiles(b->moments->k) + lbw_num_tiles(b->moments->m), num_threads,
                     add_products, b);
}

/* Statistics in place of the kept columns. */
static enum lbw_status spill(struct lbw_moments *m, size_t num_kept, unsigned num_threads,
                             struct lbw_error *err)
{
    m->yy = calloc(m->k * m->k, sizeof *m->yy);
    m->zy = calloc(m->m * m->k, sizeof *m->zy);
    if (!m->yy || !m->zy)
        return lbw_fail_memory(err);
    struct batch kept = {.moments = m, .y = m->y, .z = m->z, .num = num_kept};
    if (num_kept)
        add_batch(&kept, num_threads);
    free(m->y);
    free(m->z);
    m->y = m->z = NULL;
    return LBW_OK;
}

/* Buffers for the batch's outputs and columns; z is NULL if they need one of their own. */
static enum lbw_status make_room(struct lbw_moments *m, size_t num, unsigned num_threads,
                                 struct lbw_error *err)
{
    size_t count = (size_t)m->count;
    if (m->yy)
        return LBW_OK;
    if (count + num > m->most) {
        if (m->is_final)
            return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                            "its input has more positions than announced");
        return spill(m, count, num_threads, err);
    }
    if (!m->y) {
        m->y = malloc(m->most * m->k * sizeof *m->y);
        m->z = malloc(m->most * m->m * sizeof *m->z);
    }
    return m->y && m->z ? LBW_OK : lbw_fail_memory(err);
}

static enum lbw_status add_centred(struct lbw_moments *m, struct batch *b, unsigned num_threads,
                                   struct lbw_error *err)
{
    size_t count = (size_t)m->count;
    LBW_TRY(make_room(m, b->num, num_threads, err));
    float *made = m->yy ? malloc(b->num * m->m * sizeof *made) : NULL;
    b->z = m->yy ? made : m->z + count * m->m;
    if (!b->z)
        return lbw_fail_memory(err);
    lbw_parallel_for(lbw_num_tiles(b->num), num_threads, make_outputs, b);
    for (size_t p = 0; p < b->num; p++)
        for (size_t r = 0; r < m->m; r++)
            m->zz[r] += (double)b->z[p * m->m + r] * b->z[p * m->m + r];
    if (m->yy)
        add_batch(b, num_threads);
    else
        memcpy(m->y + count * m->k, b->y, b->num * m->k * sizeof *b->y);
    free(made);
    m->count += (double)b->num;
    return LBW_OK;
}

enum lbw_status lbw_moments_add(struct lbw_moments *moments, float *x, float *y, size_t num,
                                unsigned num_threads, struct lbw_error *err)
{
    size_t k = moments->k;
    if (num == 0)
        return LBW_OK;
    if (moments->count == 0) {
        column_means(moments->shift_x, x, num, k);
        column_means(moments->shift_y, y, num, k);
    }
    centre(x, moments->sum_x, moments->shift_x, num, k);
    centre(y, moments->sum_y, moments->shift_y, num, k);
    struct batch batch = {.moments = moments, .x = x, .y = y, .num = num};
    lbw_blas_begin();
    enum lbw_status status = add_centred(moments, &batch, num_threads, err);
    lbw_blas_end();
    return status;
}
