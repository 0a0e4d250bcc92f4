/* SPDX-License-Identifier: MIT */
/* OpenBLAS on one thread while this library computes: its sums depend on the number. */
#ifndef LBW_SRC_NUM_BLAS_H
#define LBW_SRC_NUM_BLAS_H

/*
 * In pairs, from any thread. The number of threads is one for the whole process: it is 1 from
 * the first begin on, and what the caller had set after the last end.
 */
void lbw_blas_begin(void);
void lbw_blas_end(void);

#endif
