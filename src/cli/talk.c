/* SPDX-License-Identifier: MIT */
/* Messages in one form, and numbers for people. */
#include "cli/talk.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

char *lbw_printable(const char *text)
{
    size_t size = 3 * strlen(text) + 1;
    char *clean = malloc(size);
    if (clean)
        lbw_text_clean(clean, size, text);
    return clean;
}

void lbw_print_clean(FILE *to, const char *text)
{
    char *clean = lbw_printable(text);
    fputs(clean ? clean : "?", to);
    free(clean);
}

void lbw_print_line(FILE *to, const char *text)
{
    lbw_print_clean(to, text);
    putc('\n', to);
}

static void print_line(const char *command, const char *fmt, va_list ap)
{
    char text[1024];
    vsnprintf(text, sizeof text, fmt, ap);
    fputs("lbw: ", stderr);
    if (command)
        fprintf(stderr, "%s: ", command);
    lbw_print_clean(stderr, text);
    putc('\n', stderr);
}

void lbw_talk(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_line(NULL, fmt, ap);
    va_end(ap);
}

int lbw_usage_error(const char *command, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_line(command, fmt, ap);
    va_end(ap);
    fprintf(stderr, "Try 'lbw %s%s--help'.\n", command ? command : "", command ? " " : "");
    return LBW_EXIT_USAGE;
}

int lbw_explain(const struct lbw_error *err)
{
    if (err->status == LBW_ERR_INTERRUPTED) {
        lbw_talk("interrupted, nothing written");
        return LBW_EXIT_INTERRUPTED;
    }
    lbw_talk("%s", err->message[0] ? err->message : lbw_status_name(err->status));
    return err->status == LBW_ERR_ARGUMENT ? LBW_EXIT_USAGE : LBW_EXIT_FAILED;
}

char *lbw_text_count(char out[LBW_TEXT_SIZE], uint64_t count)
{
    char digits[24];
    int num = snprintf(digits, sizeof digits, "%" PRIu64, count);
    char *to = out;
    for (int i = 0; i < num; i++) {
        if (i && (num - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

char *lbw_text_bytes(char out[LBW_TEXT_SIZE], uint64_t size)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    if (size < 1000) {
        snprintf(out, LBW_TEXT_SIZE, "%d byte%s", (int)size, size == 1 ? "" : "s");
        return out;
    }
    double value = (double)size / 1000;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000;
        unit++;
    }
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    snprintf(out, LBW_TEXT_SIZE, "%.*f %s", decimals, value, units[unit]);
    return out;
}

char *lbw_text_seconds(char out[LBW_TEXT_SIZE], double seconds)
{
    long long whole = (long long)(seconds + 0.5);
    if (seconds < 9.95)
        snprintf(out, LBW_TEXT_SIZE, "%.1f s", seconds);
    else if (whole < 60)
        snprintf(out, LBW_TEXT_SIZE, "%lld s", whole);
    else if (whole < 3600)
        snprintf(out, LBW_TEXT_SIZE, "%lld min %lld s", whole / 60, whole % 60);
    else
        snprintf(out, LBW_TEXT_SIZE, "%lld h %lld min", whole / 3600, whole / 60 % 60);
    return out;
}

char *lbw_text_shape(char out[96], size_t num_dims, const int64_t *dims)
{
    size_t used = 0;
    snprintf(out, 96, "%s", num_dims ? "" : "scalar");
    for (size_t i = 0; i < num_dims && used < 96; i++) {
        const char *before = i ? "x" : "";
        int put = dims[i] < 0 ? snprintf(out + used, 96 - used, "%s?", before)
                              : snprintf(out + used, 96 - used, "%s%" PRId64, before, dims[i]);
        used += (size_t)put;
    }
    return out;
}
