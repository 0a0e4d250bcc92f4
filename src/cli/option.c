/* SPDX-License-Identifier: MIT */
/* Parses a command line by the command's option table. */
#include "cli/option.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/talk.h"

/* Rows of every command. */
static const struct lbw_option help_option = {"help", 'h'};

static size_t num_options(const struct lbw_command *command)
{
    size_t num = 0;
    if (command->options)
        while (command->options[num].name)
            num++;
    return num;
}

static const struct lbw_option *find_long(const struct lbw_command *command, const char *name,
                                          size_t length)
{
    for (size_t i = 0; i < num_options(command); i++)
        if (strlen(command->options[i].name) == length &&
            memcmp(command->options[i].name, name, length) == 0)
            return &command->options[i];
    return length == 4 && memcmp(name, "help", 4) == 0 ? &help_option : NULL;
}

static const struct lbw_option *find_letter(const struct lbw_command *command, char letter)
{
    for (size_t i = 0; i < num_options(command); i++)
        if (command->options[i].letter == letter)
            return &command->options[i];
    return letter == 'h' ? &help_option : NULL;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

#define MAX_WORD    32
#define MAX_CHOICES 64

/* Edits (insert, delete, replace, swap neighbours) from a to b; words over MAX_WORD are far. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows = strlen(a), columns = strlen(b);
    if (rows > MAX_WORD || columns > MAX_WORD)
        return SIZE_MAX;
    size_t d[MAX_WORD + 1][MAX_WORD + 1];
    for (size_t i = 0; i <= rows; i++)
        for (size_t j = 0; j <= columns; j++) {
            if (!i || !j) {
                d[i][j] = i + j;
                continue;
            }
            size_t replaced = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = least(replaced, least(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[rows][columns];
}

const char *lbw_suggest(const char *word, const char *const *names, size_t num)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX, length = strlen(word);
    for (size_t i = 0; i < num; i++) {
        size_t distance = edit_distance(word, names[i]);
        bool is_start = length >= 2 && strncmp(word, names[i], length) == 0;
        if (is_start)
            distance = 1;
        else if (distance > 1 + length / 4)
            continue;
        /* of equals, one with a letter more: "yolov8" for "yolo8", not "yolox" */
        bool is_longer = best && strlen(best) <= length && strlen(names[i]) > length;
        if (distance < best_distance || (distance == best_distance && is_longer)) {
            best = names[i];
            best_distance = distance;
        }
    }
    return best;
}

static int unknown_long(const struct lbw_command *command, const char *word, size_t length)
{
    const char *names[128];
    size_t num = 0;
    for (size_t i = 0; i < num_options(command) && num < 127; i++)
        names[num++] = command->options[i].name;
    names[num++] = help_option.name;
    char text[MAX_WORD + 1];
    snprintf(text, sizeof text, "%.*s", (int)least(length, MAX_WORD), word);
    const char *near = lbw_suggest(text, names, num);
    if (near)
        return lbw_usage_error(command->name, "unknown option '--%s', did you mean '--%s'?",
                               text, near);
    return lbw_usage_error(command->name, "unknown option '--%s'", text);
}

void lbw_option_value_name(char *out, size_t size, const struct lbw_option *option)
{
    if (!option->choice) {
        snprintf(out, size, "%s", option->argument ? option->argument : "");
        return;
    }
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; option->choice(i) && used < size; i++) {
        int put = snprintf(out + used, size - used, "%s%s", i ? "|" : "", option->choice(i));
        used += (size_t)put;
    }
}

static bool in_range(const struct lbw_option *option, double value)
{
    return (option->min == 0 && option->max == 0) ||
           (value >= option->min && value <= option->max);
}

static bool bad_number(const struct lbw_command *command, const struct lbw_option *option,
                       const char *value, const char *kind)
{
    char range[64] = "";
    if (option->max >= (double)INT32_MAX)
        snprintf(range, sizeof range, " from %.15g up", option->min);
    else if (option->min != 0 || option->max != 0)
        snprintf(range, sizeof range, " from %.15g to %.15g", option->min, option->max);
    lbw_usage_error(command->name, "--%s: '%s' is not %s%s", option->name, value, kind, range);
    return false;
}

static bool parse_int(int64_t *out, const struct lbw_command *command,
                      const struct lbw_option *option, const char *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (end == value || *end || errno || !in_range(option, (double)number))
        return bad_number(command, option, value, "a whole number");
    *out = number;
    return true;
}

static bool parse_float(double *out, const struct lbw_command *command,
                        const struct lbw_option *option, const char *value)
{
    char *end;
    double number = strtod(value, &end);
    if (end == value || *end || !isfinite(number) || !in_range(option, number))
        return bad_number(command, option, value, "a number");
    *out = number;
    return true;
}

static bool parse_share(double *out, const struct lbw_command *command,
                        const struct lbw_option *option, const char *value)
{
    char *end;
    double percent = strtod(value, &end);
    bool is_number = end != value;
    end += *end == '%';
    if (!is_number || *end || !(percent > 0 && percent <= 100)) {
        lbw_usage_error(command->name, "--%s: '%s' is not a share such as 98%%", option->name,
                        value);
        return false;
    }
    *out = percent / 100;
    return true;
}

static bool parse_size(struct lbw_option_size *out, const struct lbw_command *command,
                       const struct lbw_option *option, const char *value)
{
    char *end, *start = (char *)(uintptr_t)value;
    long width = strtol(start, &end, 10), height = -1;
    if (end != start && (*end == 'x' || *end == 'X')) {
        start = end + 1;
        height = strtol(start, &end, 10);
    }
    if (end == start || *end || width < 1 || height < 1 || width > 16384 || height > 16384) {
        lbw_usage_error(command->name, "--%s: '%s' is not a size like 640x480", option->name,
                        value);
        return false;
    }
    *out = (struct lbw_option_size){(int)width, (int)height};
    return true;
}

static bool parse_bytes(uint64_t *out, const struct lbw_command *command,
                        const struct lbw_option *option, const char *value)
{
    static const char suffixes[] = "KMGT";
    char *end;
    double number = strtod(value, &end), unit = 1;
    const char *suffix = end != value && *end ? strchr(suffixes, *end & ~0x20) : NULL;
    if (suffix && *suffix) {
        unit = ldexp(1, 10 * (int)(suffix - suffixes + 1));
        end++;
    }
    if (end == value || *end || !(number * unit >= option->min) ||
        number * unit >= ldexp(1, 63)) {
        lbw_usage_error(command->name, "--%s: '%s' is not a number of bytes like 64M or 1.5G",
                        option->name, value);
        return false;
    }
    *out = (uint64_t)(number * unit);
    return true;
}

static bool parse_choice(int *out, const struct lbw_command *command,
                         const struct lbw_option *option, const char *value)
{
    const char *list[MAX_CHOICES];
    size_t num = 0;
    for (; num < MAX_CHOICES && (list[num] = option->choice((int)num)); num++)
        if (strcmp(list[num], value) == 0) {
            *out = (int)num;
            return true;
        }
    const char *near = lbw_suggest(value, list, num);
    char names[256];
    lbw_option_value_name(names, sizeof names, option);
    if (near)
        lbw_usage_error(command->name, "--%s: unknown value '%s', did you mean '%s'?",
                        option->name, value, near);
    else
        lbw_usage_error(command->name, "--%s: unknown value '%s', expected %s", option->name,
                        value, names);
    return false;
}

static bool add_item(struct lbw_option_list *list, const char *value)
{
    const char **items = realloc(list->items, (list->num + 1) * sizeof *items);
    if (!items) {
        lbw_talk("out of memory");
        return false;
    }
    items[list->num++] = value;
    list->items = items;
    return true;
}

static bool store(void *values, const struct lbw_command *command,
                  const struct lbw_option *option, const char *value)
{
    void *place = (char *)values + option->offset;
    switch (option->type) {
    case LBW_OPTION_FLAG:
        *(bool *)place = true;
        return true;
    case LBW_OPTION_OUTPUT:
    case LBW_OPTION_STRING:
        if (option->choice && !parse_choice(&(int){0}, command, option, value))
            return false;
        *(const char **)place = value;
        return true;
    case LBW_OPTION_INT:
        return parse_int(place, command, option, value);
    case LBW_OPTION_FLOAT:
        return parse_float(place, command, option, value);
    case LBW_OPTION_SIZE:
        return parse_size(place, command, option, value);
    case LBW_OPTION_BYTES:
        return parse_bytes(place, command, option, value);
    case LBW_OPTION_SHARE:
        return parse_share(place, command, option, value);
    case LBW_OPTION_CHOICE:
        return parse_choice(place, command, option, value);
    case LBW_OPTION_LIST:
        return add_item(place, value);
    }
    return false;
}

struct parser {
    void *values;
    const struct lbw_command *command;
    int argc;
    char **argv;
    int next;      /* index of the next word */
    int num_stdin; /* values and arguments that name standard input */
};

static bool is_stdin(const struct lbw_option *option, const char *value)
{
    return option->type == LBW_OPTION_STRING && !option->is_written && strcmp(value, "-") == 0;
}

static enum lbw_parse missing_value(const struct parser *p, const struct lbw_option *option)
{
    char name[256];
    lbw_option_value_name(name, sizeof name, option);
    lbw_usage_error(p->command->name, "--%s needs a value: %s", option->name, name);
    return LBW_PARSE_BAD;
}

static enum lbw_parse parse_long(struct parser *p, const char *word)
{
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const struct lbw_option *option = find_long(p->command, word, length);
    if (!option) {
        unknown_long(p->command, word, length);
        return LBW_PARSE_BAD;
    }
    if (option->type == LBW_OPTION_FLAG && equals) {
        lbw_usage_error(p->command->name, "--%s takes no value", option->name);
        return LBW_PARSE_BAD;
    }
    if (option == &help_option)
        return LBW_PARSE_HELP;
    const char *value = equals ? equals + 1 : NULL;
    if (option->type != LBW_OPTION_FLAG && !value) {
        if (p->next == p->argc)
            return missing_value(p, option);
        value = p->argv[p->next++];
    }
    p->num_stdin += is_stdin(option, value);
    return store(p->values, p->command, option, value) ? LBW_PARSE_RUN : LBW_PARSE_BAD;
}

static enum lbw_parse parse_letters(struct parser *p, const char *letters)
{
    while (*letters) {
        const struct lbw_option *option = find_letter(p->command, *letters);
        if (!option) {
            lbw_usage_error(p->command->name, "unknown option '-%c'", *letters);
            return LBW_PARSE_BAD;
        }
        if (option == &help_option)
            return LBW_PARSE_HELP;
        letters++;
        const char *value = NULL;
        if (option->type != LBW_OPTION_FLAG) {
            if (!*letters && p->next == p->argc)
                return missing_value(p, option);
            value = *letters ? letters : p->argv[p->next++];
            letters += strlen(letters);
        }
        p->num_stdin += is_stdin(option, value);
        if (!store(p->values, p->command, option, value))
            return LBW_PARSE_BAD;
    }
    return LBW_PARSE_RUN;
}

static enum lbw_parse check_count(const struct lbw_command *command, int num, char **arguments)
{
    if (num < command->min_arguments) {
        lbw_usage_error(command->name, num ? "too few arguments, expected %s" : "expected %s",
                        command->arguments);
        return LBW_PARSE_BAD;
    }
    if (num > command->max_arguments) {
        const char *extra = arguments[command->max_arguments];
        lbw_usage_error(command->name, "unexpected argument '%s'", extra);
        return LBW_PARSE_BAD;
    }
    return LBW_PARSE_RUN;
}

enum lbw_parse lbw_options_parse(void *values, int *num_arguments, int argc, char **argv,
                                 const struct lbw_command *command)
{
    struct parser p = {values, command, argc, argv, 0, 0};
    int num = 0;
    bool options_end = false;
    while (p.next < argc) {
        char *word = argv[p.next++];
        enum lbw_parse result = LBW_PARSE_RUN;
        if (options_end || word[0] != '-' || !word[1]) {
            p.num_stdin += strcmp(word, "-") == 0;
            argv[num++] = word; /* num < p.next: no unread word is overwritten */
        } else if (strcmp(word, "--") == 0)
            options_end = true;
        else if (word[1] == '-')
            result = parse_long(&p, word + 2);
        else
            result = parse_letters(&p, word + 1);
        if (result != LBW_PARSE_RUN)
            return result;
    }
    *num_arguments = num;
    if (p.num_stdin > 1) {
        lbw_usage_error(command->name, "- is standard input, which can only be read once");
        return LBW_PARSE_BAD;
    }
    return check_count(command, num, argv);
}

void lbw_options_release(void *values, const struct lbw_command *command)
{
    for (size_t i = 0; i < num_options(command); i++) {
        if (command->options[i].type != LBW_OPTION_LIST)
            continue;
        struct lbw_option_list *list = (void *)((char *)values + command->options[i].offset);
        free(list->items);
        *list = (struct lbw_option_list){0};
    }
}
