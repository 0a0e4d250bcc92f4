/* SPDX-License-Identifier: MIT */
/*
 * The part of BLAS that src/num calls, for builds without OpenBLAS: plain loops, correct and
 * slow. Row-major only; the semantics are those of netlib's cblas.h.
 */
#ifndef LBW_SRC_NUM_PLAIN_CBLAS_H
#define LBW_SRC_NUM_PLAIN_CBLAS_H

typedef int blasint;

enum CBLAS_ORDER { CblasRowMajor = 101 };
enum CBLAS_TRANSPOSE { CblasNoTrans = 111, CblasTrans = 112 };
enum CBLAS_UPLO { CblasUpper = 121, CblasLower = 122 };
enum CBLAS_DIAG { CblasNonUnit = 131 };
enum CBLAS_SIDE { CblasLeft = 141, CblasRight = 142 };

/* Other programs may bring the real ones. */
#define cblas_sgemm              lbw_plain_sgemm
#define cblas_dgemm              lbw_plain_dgemm
#define cblas_ssyrk              lbw_plain_ssyrk
#define cblas_strsm              lbw_plain_strsm
#define cblas_dtrsm              lbw_plain_dtrsm
#define cblas_saxpy              lbw_plain_saxpy
#define openblas_get_num_threads lbw_plain_get_num_threads
#define openblas_set_num_threads lbw_plain_set_num_threads

/* c = alpha op(a) op(b) + beta c; c is m × n. */
void cblas_sgemm(enum CBLAS_ORDER order, enum CBLAS_TRANSPOSE trans_a,
                 enum CBLAS_TRANSPOSE trans_b, blasint m, blasint n, blasint k, float alpha,
                 const float *a, blasint lda, const float *b, blasint ldb, float beta, float *c,
                 blasint ldc);
void cblas_dgemm(enum CBLAS_ORDER order, enum CBLAS_TRANSPOSE trans_a,
                 enum CBLAS_TRANSPOSE trans_b, blasint m, blasint n, blasint k, double alpha,
                 const double *a, blasint lda, const double *b, blasint ldb, double beta,
                 double *c, blasint ldc);

/* One triangle of c = alpha op(a) op(a)ᵀ + beta c; c is n × n, op(a) n × k. */
void cblas_ssyrk(enum CBLAS_ORDER order, enum CBLAS_UPLO uplo, enum CBLAS_TRANSPOSE trans,
                 blasint n, blasint k, float alpha, const float *a, blasint lda, float beta,
                 float *c, blasint ldc);

/* b = alpha op(a)⁻¹ b, or alpha b op(a)⁻¹; b is m × n, a triangular. */
void cblas_strsm(enum CBLAS_ORDER order, enum CBLAS_SIDE side, enum CBLAS_UPLO uplo,
                 enum CBLAS_TRANSPOSE trans, enum CBLAS_DIAG diag, blasint m, blasint n,
                 float alpha, const float *a, blasint lda, float *b, blasint ldb);
void cblas_dtrsm(enum CBLAS_ORDER order, enum CBLAS_SIDE side, enum CBLAS_UPLO uplo,
                 enum CBLAS_TRANSPOSE trans, enum CBLAS_DIAG diag, blasint m, blasint n,
                 double alpha, const double *a, blasint lda, double *b, blasint ldb);

void cblas_saxpy(blasint n, float alpha, const float *x, blasint incx, float *y, blasint incy);

/* One thread, always. */
int openblas_get_num_threads(void);
void openblas_set_num_threads(int num);

#endif
