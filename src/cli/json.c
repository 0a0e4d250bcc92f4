/* SPDX-License-Identifier: MIT */
/* Prints JSON values for machines. */
#include "cli/json.h"

#include <math.h>
#include <stdio.h>

#include "cli/talk.h"

int lbw_json_print(json_t *value)
{
    if (!value) {
        lbw_talk("out of memory");
        return LBW_EXIT_FAILED;
    }
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(value);
    return LBW_EXIT_DONE;
}

json_t *lbw_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}
