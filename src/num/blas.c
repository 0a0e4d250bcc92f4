/* SPDX-License-Identifier: MIT */
/* Counts computations, so that the last one restores the caller's number of threads. */
#include "num/blas.h"

#include <cblas.h>
#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned num_users;
static int num_threads; /* of the caller */

void lbw_blas_begin(void)
{
    pthread_mutex_lock(&lock);
    if (num_users++ == 0) {
        num_threads = openblas_get_num_threads();
        openblas_set_num_threads(1);
    }
    pthread_mutex_unlock(&lock);
}

void lbw_blas_end(void)
{
    pthread_mutex_lock(&lock);
    if (--num_users == 0)
        openblas_set_num_threads(num_threads);
    pthread_mutex_unlock(&lock);
}
