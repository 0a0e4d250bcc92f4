/* SPDX-License-Identifier: MIT */
/* Escapes names, and formats numbers for people. */
#include "page/markup.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <lbw/base.h>

static const char *entity(char c)
{
    switch (c) {
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '&':
        return "&amp;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

enum lbw_status lbw_markup_text(FILE *to, const char *text, struct lbw_error *err)
{
    size_t size = 3 * strlen(text) + 1;
    char *clean = malloc(size);
    if (!clean)
        return lbw_fail_memory(err);
    lbw_text_clean(clean, size, text);
    for (const char *p = clean; *p; p++) {
        if (strncmp(p, "\xef\xbf\xbe", 3) == 0 || strncmp(p, "\xef\xbf\xbf", 3) == 0) {
            putc('?', to);
            p += 2;
        } else if (entity(*p)) {
            fputs(entity(*p), to);
        } else {
            putc(*p, to);
        }
    }
    free(clean);
    return LBW_OK;
}

const char *lbw_markup_bytes(char out[LBW_MARKUP_SIZE], uint64_t bytes)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    double value = (double)bytes / 1e3;
    size_t unit = 0;
    for (; value >= 999.5 && unit < 3; unit++)
        value /= 1e3;
    if (bytes < 1000)
        snprintf(out, LBW_MARKUP_SIZE, "%d bytes", (int)bytes);
    else
        snprintf(out, LBW_MARKUP_SIZE, "%.*f %s",
                 value < 9.995   ? 2
                 : value < 99.95 ? 1
                                 : 0,
                 value, units[unit]);
    return out;
}

const char *lbw_markup_snr(char out[LBW_MARKUP_SIZE], double snr)
{
    if (isnan(snr))
        snprintf(out, LBW_MARKUP_SIZE, "–");
    else if (isinf(snr))
        snprintf(out, LBW_MARKUP_SIZE, "exact");
    else
        snprintf(out, LBW_MARKUP_SIZE, "%.1f dB", snr);
    return out;
}
