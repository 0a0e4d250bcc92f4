/* SPDX-License-Identifier: MIT */
/* Reading the metadata of a model that concern sizes and classes. */
#include "onnx/metadata.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *lbw_metadata_find(const struct lbw_model_info *info, const char *key)
{
    for (size_t i = 0; i < info->num_metadata; i++)
        if (!strcmp(info->metadata[2 * i], key))
            return info->metadata[2 * i + 1];
    return "";
}

bool lbw_metadata_size(int *width, int *height, const struct lbw_model_info *info)
{
    const char *text = lbw_metadata_find(info, "imgsz");
    int h, w;
    int num = sscanf(text, "[ %5d , %5d", &h, &w);
    if (num != 2)
        num = sscanf(text, "%5d", &h);
    if (num < 1 || h < 1 || (num == 2 && w < 1))
        return false;
    *height = h;
    *width = num == 2 ? w : h;
    return true;
}

static char *skip_blanks(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

/* Length of a UTF-8 character in bytes; 0 for surrogates and values beyond Unicode. */
static size_t put_utf8(char *to, unsigned long c)
{
    if (c >= 0x110000 || (c >= 0xd800 && c < 0xe000))
        return 0;
    size_t num = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = num - 1; i > 0; i--, c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3f));
    to[0] = (char)(first[num] | c);
    return num;
}

/* The escapes of Python's string literals that denote one other character. */
static const char escapes[][2] = {{'a', '\a'},  {'b', '\b'}, {'f', '\f'}, {'n', '\n'},
                                  {'r', '\r'},  {'t', '\t'}, {'v', '\v'}, {'\\', '\\'},
                                  {'\'', '\''}, {'"', '"'}};

/*
 * Decodes one escape after its backslash, as Python does: \n …, \xHH, \uHHHH, \UHHHHHHHH,
 * octal; an unknown one is kept with its backslash. Never longer than its source. NULL if
 * Python would reject it.
 */
static char *take_escape(char **to, char *text)
{
    size_t num_digits = *text == 'x' ? 2 : *text == 'u' ? 4 : *text == 'U' ? 8 : 0;
    char digits[9] = "", *end;
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++)
        if (*text == escapes[i][0]) {
            *(*to)++ = escapes[i][1];
            return text + 1;
        }
    if (*text >= '0' && *text <= '7') {
        size_t num = strspn(text, "01234567");
        memcpy(digits, text, num = num < 3 ? num : 3);
        *to += put_utf8(*to, strtoul(digits, NULL, 8));
        return text + num;
    }
    if (!num_digits) {
        *(*to)++ = '\\';
        *(*to)++ = *text;
        return text + 1;
    }
    strncpy(digits, text + 1, num_digits);
    unsigned long c = strtoul(digits, &end, 16);
    size_t size = put_utf8(*to, c);
    if (!isxdigit((unsigned char)*digits) || digits[1] == 'x' || digits[1] == 'X' ||
        end != digits + num_digits || !size || !c)
        return NULL;
    *to += size;
    return text + 1 + num_digits;
}

/* Unquotes in place; returns the text after it, or NULL. */
static char *take_string(char **out, char *text)
{
    char quote = *text, *to = text;
    *out = text;
    if (quote != '\'' && quote != '"')
        return NULL;
    text++;
    while (*text && *text != quote) {
        if (*text == '\\' && text[1])
            text = take_escape(&to, text + 1);
        else
            *to++ = *text++;
        if (!text)
            return NULL;
    }
    if (!*text)
        return NULL;
    *to = '\0';
    return text + 1;
}

/* The next label, after its number in a mapping; NULL if the text is something else. */
static char *take_label(char **out, char *text, size_t number, bool is_mapping)
{
    text = skip_blanks(text);
    if (is_mapping) {
        char *end;
        if (!isdigit((unsigned char)*text) || strtoul(text, &end, 10) != number)
            return NULL;
        text = skip_blanks(end);
        if (*text++ != ':')
            return NULL;
        text = skip_blanks(text);
    }
    return take_string(out, text);
}

/* Splits `text`. False if it is not of this form throughout. */
static bool read_labels(const char **labels, size_t *num, char *text)
{
    bool is_mapping = *text == '{';
    char close = is_mapping ? '}' : ']';
    *num = 0;
    if (*text != '{' && *text != '[')
        return false;
    do {
        char *label, *behind = take_label(&label, text + 1, *num, is_mapping);
        if (!behind)
            return false;
        labels[(*num)++] = label;
        text = skip_blanks(behind);
    } while (*text == ',');
    return *text == close;
}

/* The same for lines; a line break at the end does not start another. */
static bool read_lines(const char **labels, size_t *num, char *text)
{
    *num = 0;
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) && (*line || rest);)
        labels[(*num)++] = line;
    return *num > 0;
}

enum lbw_status lbw_metadata_labels(const char *const **out, size_t *num,
                                    struct lbw_arena *arena, const struct lbw_model_info *info,
                                    struct lbw_error *err)
{
    const char *names = lbw_metadata_find(info, "names");
    bool is_listed = *names != '\0';
    char *text =
        lbw_arena_strdup(arena, is_listed ? names : lbw_metadata_find(info, "character"));
    size_t most = 0, count;
    for (const char *c = text; c && *c; c++)
        most += *c == ',' || *c == '\n';
    const char **labels = text ? lbw_arena_alloc(arena, (most + 1) * sizeof *labels) : NULL;
    *num = 0;
    if (!labels)
        return lbw_fail_memory(err);
    if ((is_listed ? read_labels : read_lines)(labels, &count, text)) {
        *out = labels;
        *num = count;
    }
    return LBW_OK;
}
