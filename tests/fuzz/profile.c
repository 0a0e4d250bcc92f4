/* SPDX-License-Identifier: MIT */
/* Fuzz target: whatever the JSON, a profile is read whole or refused. */
#include <stdlib.h>

#include <lbw/profile.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lbw_profile profile;
    char line[256];
    if (lbw_profile_parse(&profile, data, size, "fuzz", NULL) != LBW_OK)
        return 0;
    lbw_preprocess_describe(line, sizeof line, &profile.preprocess);
    for (size_t i = 0; i < profile.num_labels; i++)
        if (!profile.labels[i])
            abort();
    if (!profile.name || !profile.description || profile.num_strides > LBW_MAX_STRIDES)
        abort();
    lbw_profile_release(&profile);
    return 0;
}
