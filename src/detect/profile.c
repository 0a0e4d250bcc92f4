/* SPDX-License-Identifier: MIT */
/* Profiles by index and by name. */
#include <lbw/profile.h>

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "detect/family.h"

const struct lbw_profile *lbw_profile_at(size_t i)
{
    const struct lbw_profile_row *row = lbw_profile_row_at(i);
    return row ? &row->profile : NULL;
}

const struct lbw_profile *lbw_profile_by_name(const char *name)
{
    const struct lbw_profile *profile;
    for (size_t i = 0; name && (profile = lbw_profile_at(i)); i++)
        if (!strcmp(profile->name, name))
            return profile;
    return NULL;
}

static bool names_a_file(const char *name)
{
    size_t length = strlen(name);
    return strchr(name, '/') || (length > 5 && !strcmp(name + length - 5, ".json"));
}

enum lbw_status lbw_profile_find(struct lbw_profile *out, const char *name,
                                 struct lbw_error *err)
{
    LBW_TRY(lbw_check_given("profile", name, err));
    const struct lbw_profile *known = lbw_profile_by_name(name);
    if (known) {
        *out = *known;
        return LBW_OK;
    }
    if (names_a_file(name))
        return lbw_profile_read(out, name, err);
    char list[sizeof err->message] = "";
    const struct lbw_profile *row;
    for (size_t i = 0, used = 0; (row = lbw_profile_at(i)) && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, " %s", row->name);
    return lbw_fail(err, LBW_ERR_ARGUMENT, "unknown profile '%s': use one of%s, or FILE.json",
                    name, list);
}
