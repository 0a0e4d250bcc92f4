/* SPDX-License-Identifier: MIT */
/* Prints JSON values. */
#include "cli/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/talk.h"

int lbw_json_print(json_t *value)
{
    if (!value) {
        lbw_talk("out of memory");
        return LBW_EXIT_FAILED;
    }
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(value);
    return LBW_EXIT_DONE;
}

static char *mended(const char *text)
{
    size_t size = 3 * strlen(text) + 1;
    char *out = malloc(size);
    if (out)
        lbw_text_mend(out, size, text);
    return out;
}

json_t *lbw_json_text(const char *text)
{
    char *clean = mended(text);
    json_t *value = clean ? json_string(clean) : NULL;
    free(clean);
    return value;
}

/* A value that cannot be added makes the whole invalid. */
static void drop(json_t **to)
{
    json_decref(*to);
    *to = NULL;
}

void lbw_json_append(json_t **to, json_t *value)
{
    if (json_array_append_new(*to, value) != 0)
        drop(to);
}

void lbw_json_set(json_t **to, const char *name, json_t *value)
{
    char *clean = mended(name);
    if (json_object_set_new(*to, clean, value) != 0)
        drop(to);
    free(clean);
}

json_t *lbw_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}
