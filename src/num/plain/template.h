/* SPDX-License-Identifier: MIT */
/* The loops of plain.c for one type: T, and NAME(x) for its functions. No guard: included
 * twice. */

/* Element (i, p) of op(a). */
static T NAME(at)(const T *a, blasint lda, enum CBLAS_TRANSPOSE trans, blasint i, blasint p)
{
    return trans == CblasNoTrans ? a[(size_t)i * (size_t)lda + (size_t)p]
                                 : a[(size_t)p * (size_t)lda + (size_t)i];
}

static void NAME(scale)(T *row, blasint n, T by)
{
    for (blasint j = 0; j < n; j++)
        row[j] = by == 0 ? 0 : by * row[j]; /* what is overwritten may be NaN */
}

static void NAME(gemm)(enum CBLAS_TRANSPOSE trans_a, enum CBLAS_TRANSPOSE trans_b, blasint m,
                       blasint n, blasint k, T alpha, const T *a, blasint lda, const T *b,
                       blasint ldb, T beta, T *c, blasint ldc)
{
    for (blasint i = 0; i < m; i++) {
        T *row = c + (size_t)i * (size_t)ldc;
        NAME(scale)(row, n, beta);
        for (blasint p = 0; p < k; p++) {
            T factor = alpha * NAME(at)(a, lda, trans_a, i, p);
            for (blasint j = 0; j < n; j++)
                row[j] += factor * NAME(at)(b, ldb, trans_b, p, j);
        }
    }
}

/* Solves op(a) x = b for a column of b, `step` apart, n unknowns; op(a) is upper or lower. */
static void NAME(solve)(const T *a, blasint lda, enum CBLAS_TRANSPOSE trans, bool is_upper,
                        blasint n, T *b, size_t step)
{
    for (blasint t = 0; t < n; t++) {
        blasint i = is_upper ? n - 1 - t : t;
        T sum = b[(size_t)i * step];
        for (blasint s = 0; s < t; s++) {
            blasint p = is_upper ? n - 1 - s : s;
            sum -= NAME(at)(a, lda, trans, i, p) * b[(size_t)p * step];
        }
        b[(size_t)i * step] = sum / NAME(at)(a, lda, trans, i, i);
    }
}

/* From the right it is the transpose from the left: x op(a) = b is op(a)ᵀ xᵀ = bᵀ. */
static void NAME(trsm)(enum CBLAS_SIDE side, enum CBLAS_UPLO uplo, enum CBLAS_TRANSPOSE trans,
                       blasint m, blasint n, T alpha, const T *a, blasint lda, T *b,
                       blasint ldb)
{
    bool is_left = side == CblasLeft;
    if (!is_left)
        trans = trans == CblasTrans ? CblasNoTrans : CblasTrans;
    bool is_upper = (uplo == CblasUpper) == (trans == CblasNoTrans);
    for (blasint i = 0; i < m; i++)
        NAME(scale)(b + (size_t)i * (size_t)ldb, n, alpha);
    for (blasint r = 0; r < (is_left ? n : m); r++)
        NAME(solve)
    (a, lda, trans, is_upper, is_left ? m : n, b + (size_t)r * (is_left ? 1 : (size_t)ldb),
     is_left ? (size_t)ldb : 1);
}

/* Cholesky by columns; a(i, j) is a[i + j lda]. */
static int NAME(potrf)(blasint n, T *a, blasint lda)
{
    for (blasint j = 0; j < n; j++) {
        T *column = a + (size_t)j * (size_t)lda;
        for (blasint p = 0; p < j; p++) {
            const T *before = a + (size_t)p * (size_t)lda;
            for (blasint i = j; i < n; i++)
                column[i] -= before[j] * before[i];
        }
        if (!(column[j] > 0))
            return j + 1;
        T root = (T)sqrt((double)column[j]);
        for (blasint i = j; i < n; i++)
            column[i] /= root;
    }
    return 0;
}
