/* SPDX-License-Identifier: MIT */
/* BLAS and LAPACK in plain C, as far as src/num calls them. */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "num/plain/cblas.h"
#include "num/plain/lapacke.h"

#define T       float
#define NAME(x) s##x
#include "num/plain/template.h"
#undef T
#undef NAME

#define T       double
#define NAME(x) d##x
#include "num/plain/template.h"
#undef T
#undef NAME

void cblas_sgemm(enum CBLAS_ORDER order, enum CBLAS_TRANSPOSE trans_a,
                 enum CBLAS_TRANSPOSE trans_b, blasint m, blasint n, blasint k, float alpha,
                 const float *a, blasint lda, const float *b, blasint ldb, float beta, float *c,
                 blasint ldc)
{
    (void)order;
    sgemm(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void cblas_dgemm(enum CBLAS_ORDER order, enum CBLAS_TRANSPOSE trans_a,
                 enum CBLAS_TRANSPOSE trans_b, blasint m, blasint n, blasint k, double alpha,
                 const double *a, blasint lda, const double *b, blasint ldb, double beta,
                 double *c, blasint ldc)
{
    (void)order;
    dgemm(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void cblas_ssyrk(enum CBLAS_ORDER order, enum CBLAS_UPLO uplo, enum CBLAS_TRANSPOSE trans,
                 blasint n, blasint k, float alpha, const float *a, blasint lda, float beta,
                 float *c, blasint ldc)
{
    (void)order;
    for (blasint i = 0; i < n; i++) {
        blasint first = uplo == CblasLower ? 0 : i, end = uplo == CblasLower ? i + 1 : n;
        float *row = c + (size_t)i * (size_t)ldc;
        sscale(row + first, end - first, beta);
        for (blasint p = 0; p < k; p++) {
            float factor = alpha * sat(a, lda, trans, i, p);
            for (blasint j = first; j < end; j++)
                row[j] += factor * sat(a, lda, trans, j, p);
        }
    }
}

void cblas_strsm(enum CBLAS_ORDER order, enum CBLAS_SIDE side, enum CBLAS_UPLO uplo,
                 enum CBLAS_TRANSPOSE trans, enum CBLAS_DIAG diag, blasint m, blasint n,
                 float alpha, const float *a, blasint lda, float *b, blasint ldb)
{
    (void)order, (void)diag;
    strsm(side, uplo, trans, m, n, alpha, a, lda, b, ldb);
}

void cblas_dtrsm(enum CBLAS_ORDER order, enum CBLAS_SIDE side, enum CBLAS_UPLO uplo,
                 enum CBLAS_TRANSPOSE trans, enum CBLAS_DIAG diag, blasint m, blasint n,
                 double alpha, const double *a, blasint lda, double *b, blasint ldb)
{
    (void)order, (void)diag;
    dtrsm(side, uplo, trans, m, n, alpha, a, lda, b, ldb);
}

void cblas_saxpy(blasint n, float alpha, const float *x, blasint incx, float *y, blasint incy)
{
    for (blasint i = 0; i < n; i++)
        y[(size_t)i * (size_t)incy] += alpha * x[(size_t)i * (size_t)incx];
}

int openblas_get_num_threads(void)
{
    return 1;
}

void openblas_set_num_threads(int num)
{
    (void)num;
}

lapack_int LAPACKE_spotrf_work(int order, char uplo, lapack_int n, float *a, lapack_int lda)
{
    (void)order, (void)uplo;
    return spotrf(n, a, lda);
}

lapack_int LAPACKE_dpotrf_work(int order, char uplo, lapack_int n, double *a, lapack_int lda)
{
    (void)order, (void)uplo;
    return dpotrf(n, a, lda);
}

lapack_int LAPACKE_dpotrs_work(int order, char uplo, lapack_int n, lapack_int num_rhs,
                               const double *a, lapack_int lda, double *b, lapack_int ldb)
{
    (void)order, (void)uplo;
    for (lapack_int r = 0; r < num_rhs; r++) {
        double *column = b + (size_t)r * (size_t)ldb;
        dsolve(a, lda, CblasTrans, false, n, column, 1); /* l, of columns: aᵀ by rows */
        dsolve(a, lda, CblasNoTrans, true, n, column, 1);
    }
    return 0;
}
