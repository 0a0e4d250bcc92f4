/* SPDX-License-Identifier: MIT */
/* Checks of the arguments that callers pass to the public API. */
#include "base/check.h"

enum lbw_status lbw_check_choice(const char *what, int64_t value, size_t num,
                                 struct lbw_error *err)
{
    if (value >= 0 && (uint64_t)value < num)
        return LBW_OK;
    return lbw_fail(err, LBW_ERR_ARGUMENT, "%s %lld: expected 0 … %zu", what, (long long)value,
                    num - 1);
}

enum lbw_status lbw_check_given(const char *what, const void *pointer, struct lbw_error *err)
{
    return pointer ? LBW_OK : lbw_fail(err, LBW_ERR_ARGUMENT, "%s: missing", what);
}

enum lbw_status lbw_check_list(const char *what, const void *items, size_t num,
                               struct lbw_error *err)
{
    return num ? lbw_check_given(what, items, err) : LBW_OK;
}

enum lbw_status lbw_check_range(const char *what, double value, double least, double most,
                                struct lbw_error *err)
{
    if (value >= least && value <= most)
        return LBW_OK;
    return lbw_fail(err, LBW_ERR_ARGUMENT, "%s %g: expected %g … %g", what, value, least, most);
}

const char *lbw_name_of(const char *const *names, size_t num, int64_t value)
{
    return value >= 0 && (uint64_t)value < num && names[value] ? names[value] : NULL;
}
