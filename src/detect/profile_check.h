/* SPDX-License-Identifier: MIT */
/* Profiles as callers hand them in: every field is looked at before a decoder believes it. */
#ifndef LBW_SRC_DETECT_PROFILE_CHECK_H
#define LBW_SRC_DETECT_PROFILE_CHECK_H

#include <lbw/profile.h>

#include "base/arena.h"

/* LBW_ERR_ARGUMENT names the profile and the field. NULL is refused. */
enum lbw_status lbw_profile_check(const struct lbw_profile *profile, struct lbw_error *err);

/*
 * The arena for what the profile points to, made when it has none of its own: a copy by
 * assignment gets one, and leaves that of its original alone. NULL when memory is out.
 */
struct lbw_arena *lbw_profile_storage(struct lbw_profile *profile);

#endif
