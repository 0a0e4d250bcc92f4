/* SPDX-License-Identifier: MIT */
/* What tests of kernels share; include it after cmocka.h. */
#ifndef LBW_TESTS_KERNELS_H
#define LBW_TESTS_KERNELS_H

#include "base/error.h"
#include "base/random.h"

static struct lbw_random random_numbers;

static inline void check(enum lbw_status status, const struct lbw_error *err)
{
    if (status != LBW_OK)
        fail_msg("%s", err->message);
}

static inline uint32_t draw(uint32_t bound)
{
    return lbw_random_below(&random_numbers, bound);
}

#endif
