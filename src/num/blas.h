/* SPDX-License-Identifier: MIT */
/* OpenBLAS on one thread while this library computes: its sums depend on the number. */
#ifndef LBW_SRC_NUM_BLAS_H
#define LBW_SRC_NUM_BLAS_H

/*
 * Call them in pairs, from any thread. OpenBLAS has one number of threads per process: it is 1
 * from the first begin on, and the caller's again after the last end.
 */
void lbw_blas_begin(void);
void lbw_blas_end(void);

#endif
