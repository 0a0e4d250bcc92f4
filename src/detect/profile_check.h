/* SPDX-License-Identifier: MIT */
/* Checks of profiles that callers pass: every field, before a decoder uses it. */
#ifndef LBW_SRC_DETECT_PROFILE_CHECK_H
#define LBW_SRC_DETECT_PROFILE_CHECK_H

#include <lbw/profile.h>

#include "base/arena.h"

/* LBW_ERR_ARGUMENT names the profile and the field. NULL is refused. */
enum lbw_status lbw_profile_check(const struct lbw_profile *profile, struct lbw_error *err);

/*
 * The arena for what the profile points to, created if it has none: a copy by assignment gets
 * its own and leaves that of the original alone. NULL when memory is out.
 */
struct lbw_arena *lbw_profile_storage(struct lbw_profile *profile);

#endif
