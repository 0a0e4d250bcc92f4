/* SPDX-License-Identifier: MIT */
/* lbw manual: the manual page in roff, made from the command tables. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/help.h"
#include "cli/talk.h"

/* Not today's date, so that the same program prints the same page. Update it with a release. */
#define DATE "2026-11-24"

#define ELLIPSIS "\\[u2026]"

/* One character of UTF-8 beyond ASCII as \[uXXXX]: groff reads bytes unless told otherwise. */
static size_t print_unicode(const char *text)
{
    static const unsigned char masks[] = {0x7f, 0x1f, 0x0f, 0x07};
    size_t num_more = (*text & 0xf0) == 0xf0 ? 3 : (*text & 0xe0) == 0xe0 ? 2 : 1;
    unsigned long code = (unsigned char)*text & masks[num_more];
    for (size_t i = 1; i <= num_more; i++)
        code = code << 6 | ((unsigned char)text[i] & 0x3f);
    printf("\\[u%04lX]", code);
    return num_more;
}

/* Escapes characters that are special in roff. */
static void print_roff(const char *text)
{
    bool starts_line = true;
    for (; *text; text++) {
        if (*text == '\n') {
            fputs(text[1] == '\n' ? "\n.PP\n" : "\n", stdout);
            while (text[1] == '\n')
                text++;
            starts_line = true;
            continue;
        }
        if (starts_line && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '\'')
            fputs("\\(aq", stdout);
        else if ((unsigned char)*text >= 0x80)
            text += print_unicode(text);
        else
            putchar(*text);
        starts_line = false;
    }
}

static void print_option(const struct lbw_option *option)
{
    char value[256];
    lbw_option_value_name(value, sizeof value, option);
    fputs(".TP\n", stdout);
    if (option->letter)
        printf("\\fB\\-%c\\fR, ", option->letter);
    fputs("\\fB\\-\\-", stdout);
    print_roff(option->name);
    fputs("\\fR", stdout);
    if (*value) {
        fputs(" \\fI", stdout);
        print_roff(value);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    print_roff(option->help);
    putchar('\n');
}

static void print_command(const struct lbw_command *command)
{
    printf(".SS \"lbw %s\"\n\\fBlbw %s\\fR", command->name, command->name);
    if (command->options && command->options[0].name)
        fputs(" [\\fIOPTION\\fR]" ELLIPSIS, stdout);
    if (*command->arguments) {
        fputs(" \\fI", stdout);
        print_roff(command->arguments);
        fputs("\\fR", stdout);
    }
    fputs("\n.PP\n", stdout);
    print_roff(command->description ? command->description : command->summary);
    putchar('\n');
    for (const struct lbw_option *o = command->options; o && o->name; o++)
        print_option(o);
    if (command->example) {
        fputs(".PP\nExample:\n.PP\n.nf\n    ", stdout);
        print_roff(command->example);
        fputs("\n.fi\n", stdout);
    }
}

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)values;
    (void)num_arguments;
    (void)arguments;
    printf(".TH LBW 1 \"" DATE "\" \"lbw %s\" \"User Commands\"\n", lbw_version());
    puts(".SH NAME\nlbw \\- low bit\\-width weights for ONNX detectors\n.SH SYNOPSIS\n"
         "\\fBlbw\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]" ELLIPSIS " [\\fIARGUMENT\\fR]" ELLIPSIS
         "\n"
         ".SH DESCRIPTION\n"
         "Converts the convolution weights of an exported ONNX detector to zero or a power of\n"
         "two times a scale, or the sum of two, and writes a model that stock runtimes load.\n"
         "The name \\fB\\-\\fR means standard input or output. Models may be compressed by\n"
         "gzip; an output named \\fB*.gz\\fR is compressed.\n"
         ".PP\n"
         "Options may be anywhere after the command; \\fB\\-\\-\\fR ends them, and\n"
         "\\fB\\-\\-name=value\\fR equals \\fB\\-\\-name value\\fR.\n"
         "Every command takes \\fB\\-h\\fR and \\fB\\-\\-help\\fR.\n"
         ".SH COMMANDS");
    for (const struct lbw_command *const *c = lbw_commands; *c; c++)
        print_command(*c);
    puts(".SH EXIT STATUS\n.TP\n\\fB0\\fR\nsuccess\n.TP\n\\fB1\\fR\nfailure; one line on "
         "standard error gives the reason\n.TP\n\\fB2\\fR\nusage error\n.TP\n\\fB3\\fR\na "
         "comparison or a budget was not met\n.TP\n\\fB130\\fR\ninterrupted: nothing is "
         "written, except that search writes its best plan so far, and quantize and tune keep\n"
         "their \\fB\\-\\-state\\fR and \\fB\\-\\-checkpoint\\fR files to resume from\n.SH "
         "ENVIRONMENT\n.TP\n\\fBLBW_ORT\\fR\npath of libonnxruntime.so or its folder, if it is "
         "not found automatically\n.TP\n\\fBLBW_ORT_LIBRARY\\fR\npath of liblbw_ort.so, the "
         "library of native kernels, if it is not next to liblbw\n.TP\n\\fBTMPDIR\\fR\n"
         "folder of temporary files (default /var/tmp, then /tmp)\n.SH SEE ALSO\nP. Yin, S. "
         "Zhang, Y. Qi, J. Xin, "
         "\\fIQuantization and Training of Low Bit\\-Width\nConvolutional Neural Networks for "
         "Object Detection\\fR, arXiv 1612.06052");
    return LBW_EXIT_DONE;
}

const struct lbw_command lbw_cmd_manual = {
    .name = "manual",
    .summary = "print the manual page",
    .arguments = "",
    .description = "Prints the manual page as roff.",
    .example = "lbw manual | man -l -",
    .run = run,
};
