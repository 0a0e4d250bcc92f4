/* SPDX-License-Identifier: MIT */
/* The part of LAPACK that src/num calls, as cblas.h. Column-major, lower triangle. */
#ifndef LBW_SRC_NUM_PLAIN_LAPACKE_H
#define LBW_SRC_NUM_PLAIN_LAPACKE_H

typedef int lapack_int;

#define LAPACK_COL_MAJOR 102

#define LAPACKE_spotrf_work lbw_plain_spotrf
#define LAPACKE_dpotrf_work lbw_plain_dpotrf
#define LAPACKE_dpotrs_work lbw_plain_dpotrs

/* a = l lᵀ in place; not 0 where a is not positive definite. */
lapack_int LAPACKE_spotrf_work(int order, char uplo, lapack_int n, float *a, lapack_int lda);
lapack_int LAPACKE_dpotrf_work(int order, char uplo, lapack_int n, double *a, lapack_int lda);

/* Solves a x = b for num_rhs columns of b, given the factor. */
lapack_int LAPACKE_dpotrs_work(int order, char uplo, lapack_int n, lapack_int num_rhs,
                               const double *a, lapack_int lda, double *b, lapack_int ldb);

#endif
