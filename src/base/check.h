/* SPDX-License-Identifier: MIT */
/* Checks of arguments of the public API, and the names of enumerators. */
#ifndef LBW_SRC_BASE_CHECK_H
#define LBW_SRC_BASE_CHECK_H

#include "base/error.h"

#define LBW_NUM(array) (sizeof(array) / sizeof *(array))

/* LBW_ERR_ARGUMENT "encoding 7: expected 0 … 2" unless 0 <= value < num. */
enum lbw_status lbw_check_choice(const char *what, int64_t value, size_t num,
                                 struct lbw_error *err);

/* LBW_ERR_ARGUMENT "WHAT: missing" for NULL. */
enum lbw_status lbw_check_given(const char *what, const void *pointer, struct lbw_error *err);

/* The same for a list, which may be NULL if it is empty. */
enum lbw_status lbw_check_list(const char *what, const void *items, size_t num,
                               struct lbw_error *err);

/* LBW_ERR_ARGUMENT "mu -1: expected 0 … 1"; NaN is refused. */
enum lbw_status lbw_check_range(const char *what, double value, double least, double most,
                                struct lbw_error *err);

/* names[value], or NULL beyond the last. */
const char *lbw_name_of(const char *const *names, size_t num, int64_t value);

#endif
