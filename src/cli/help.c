/* SPDX-License-Identifier: MIT */
/* Help texts: short lines, options and what they do in two columns. */
#include "cli/help.h"

#include <string.h>

#include "cli/table.h"

#define WIDTH      80 /* for any terminal */
#define MAX_INDENT 30

/* Columns of the first `length` bytes of `text`. */
static int width_of(const char *text, size_t length)
{
    char word[320];
    snprintf(word, sizeof word, "%.*s", (int)length, text);
    return (int)lbw_text_width(word);
}

/* Prints words of `text` up to WIDTH columns, later lines indented; the cursor is at `at`. */
static void print_wrapped(FILE *to, const char *text, size_t length, int indent, int at)
{
    size_t i = 0;
    while (i < length) {
        size_t word = 0;
        while (i + word < length && text[i + word] != ' ' && text[i + word] != '\n')
            word++;
        int columns = width_of(text + i, word);
        if (at + columns + (at > indent) > WIDTH && at > indent) {
            fprintf(to, "\n%*s", indent, "");
            at = indent;
        }
        fprintf(to, "%s%.*s", at > indent ? " " : "", (int)word, text + i);
        at += (at > indent) + columns;
        i += word;
        while (i < length && (text[i] == ' ' || text[i] == '\n'))
            i++;
    }
    putc('\n', to);
}

/* Paragraphs that begin with blanks keep their indent. */
static void print_paragraphs(FILE *to, const char *text)
{
    while (*text) {
        const char *end = strstr(text, "\n\n");
        size_t length = end ? (size_t)(end - text) : strlen(text);
        int blanks = (int)strspn(text, " ");
        fprintf(to, "%*s", blanks, "");
        print_wrapped(to, text + blanks, length - (size_t)blanks, blanks, blanks);
        putc('\n', to);
        text += length + (end ? 2 : 0);
    }
}

void lbw_help_option_head(char *out, size_t size, const struct lbw_option *option)
{
    char value[256];
    lbw_option_value_name(value, sizeof value, option);
    char letter[5] = "    ";
    if (option->letter)
        snprintf(letter, sizeof letter, "-%c, ", option->letter);
    snprintf(out, size, "%s--%s%s%s", letter, option->name, *value ? " " : "", value);
}

static void print_option(FILE *to, const struct lbw_option *option, int indent)
{
    char head[320];
    lbw_help_option_head(head, sizeof head, option);
    fprintf(to, "  %s", head);
    int at = 2 + (int)lbw_text_width(head);
    if (at + 2 > indent) {
        putc('\n', to);
        at = 0;
    }
    fprintf(to, "%*s", indent - at, "");
    print_wrapped(to, option->help, strlen(option->help), indent, indent);
}

static int option_indent(const struct lbw_command *command)
{
    int indent = 16;
    for (const struct lbw_option *o = command->options; o && o->name; o++) {
        char head[320];
        lbw_help_option_head(head, sizeof head, o);
        int need = (int)lbw_text_width(head) + 4;
        if (need > indent && need <= MAX_INDENT)
            indent = need;
    }
    return indent;
}

void lbw_help_command(FILE *to, const struct lbw_command *command)
{
    static const struct lbw_option help = {"help", 'h', .help = "show this help"};
    bool has_options = command->options && command->options[0].name;
    fprintf(to, "usage: lbw %s%s%s%s\n\n", command->name, has_options ? " [OPTION]…" : "",
            *command->arguments ? " " : "", command->arguments);
    print_paragraphs(to, command->description ? command->description : command->summary);
    int indent = option_indent(command);
    for (const struct lbw_option *o = command->options; o && o->name; o++)
        print_option(to, o, indent);
    print_option(to, &help, indent);
    if (command->example)
        fprintf(to, "\nExample:\n  %s\n", command->example);
}

void lbw_help_overview(FILE *to)
{
    fputs("usage: lbw COMMAND [OPTION]… [ARGUMENT]…\n\n"
          "Low bit-width weights for ONNX detectors: every convolution weight becomes zero\n"
          "or a power of two times a scale, or the sum of two, in a file that stock\n"
          "runtimes load.\n\n"
          "Commands:\n",
          to);
    size_t widest = 0;
    for (const struct lbw_command *const *c = lbw_commands; *c; c++)
        if (strlen((*c)->name) > widest)
            widest = strlen((*c)->name);
    for (const struct lbw_command *const *c = lbw_commands; *c; c++)
        fprintf(to, "  %-*s  %s\n", (int)widest, (*c)->name, (*c)->summary);
    fputs("\nSee 'lbw COMMAND --help' for details and 'lbw --version' for the version.\n"
          "Exit status: 0 success, 1 failure, 2 usage error, 3 comparison or budget not met,\n"
          "130 interrupted.\n",
          to);
}
