/* SPDX-License-Identifier: MIT */
/* lbw completion: scripts that complete commands, options and their values. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/talk.h"

/* Whether a value of this name is a path. */
static bool is_path(const char *argument)
{
    return argument &&
           (strstr(argument, "FILE") || strstr(argument, "DIR") || strstr(argument, "MODEL") ||
            strstr(argument, "OUT") || strstr(argument, ".onnx"));
}

/* Prints text for inside '…' quotes, with a backslash before the characters of `special`. */
static void print_quoted(const char *text, const char *special, const char *quote)
{
    for (; *text; text++) {
        if (*text == '\'') {
            fputs(quote, stdout);
            continue;
        }
        if (*text == '\\' || strchr(special, *text))
            putchar('\\');
        putchar(*text);
    }
}

static void print_words(const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        printf("%s%s", i ? " " : "", words[i]);
}

static void print_commands(void)
{
    for (const struct lbw_command *const *c = lbw_commands; *c; c++)
        printf("%s%s", c == lbw_commands ? "" : " ", (*c)->name);
}

/* Whether the arguments of a command are from a known list. */
static bool has_words(const struct lbw_command *command)
{
    return command->words || command == &lbw_cmd_help;
}

static void print_argument_words(const struct lbw_command *command)
{
    if (command->words)
        print_words(command->words);
    else
        print_commands();
}

static void print_choices(const struct lbw_option *option)
{
    for (int i = 0; option->choice(i); i++)
        printf("%s%s", i ? " " : "", option->choice(i));
}

static void bash_value(const struct lbw_option *option)
{
    fputs("        ", stdout);
    if (option->letter)
        printf("-%c | ", option->letter);
    printf("--%s) ", option->name);
    if (option->choice) {
        fputs("_lbw_words '", stdout);
        print_choices(option);
        puts("'; return ;;");
    } else {
        puts(is_path(option->argument) ? "return ;;" : "compopt +o default; return ;;");
    }
}

static void bash_command(const struct lbw_command *command)
{
    printf("    %s)\n        case $before in\n", command->name);
    for (const struct lbw_option *o = command->options; o && o->name; o++)
        if (o->type != LBW_OPTION_FLAG)
            bash_value(o);
    fputs("        esac\n        case $word in\n        -*) _lbw_words '", stdout);
    for (const struct lbw_option *o = command->options; o && o->name; o++)
        printf("--%s ", o->name);
    fputs("--help' ;;\n", stdout);
    if (has_words(command)) {
        fputs("        *) _lbw_words '", stdout);
        print_argument_words(command);
        puts("' ;;");
    } else if (command->max_arguments == 0) {
        puts("        *) compopt +o default ;;");
    }
    puts("        esac ;;");
}

static void print_bash(void)
{
    fputs("# bash completion of lbw, made by 'lbw completion bash'\n"
          "_lbw_words() {\n"
          "    compopt +o default\n"
          "    COMPREPLY=($(compgen -W \"$1\" -- \"$word\"))\n"
          "}\n"
          "_lbw() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    # --name=value: bash takes = for a word\n"
          "    if [[ $word == = ]]; then\n"
          "        word=\n"
          "    elif [[ $before == = ]]; then\n"
          "        before=${COMP_WORDS[COMP_CWORD - 2]}\n"
          "    fi\n"
          "    COMPREPLY=()\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        _lbw_words '",
          stdout);
    print_commands();
    fputs(" --help --version'\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n", stdout);
    for (const struct lbw_command *const *c = lbw_commands; *c; c++)
        bash_command(*c);
    puts("    esac\n}\ncomplete -o default -F _lbw lbw");
}

static void zsh_option(const struct lbw_option *option)
{
    const char *repeat = option->type == LBW_OPTION_LIST ? "*" : "";
    const char *equals = option->type == LBW_OPTION_FLAG ? "" : "="; /* or a blank */
    fputs(" \\\n            ", stdout);
    if (option->letter)
        printf("%s{-%c,--%s%s}'[", repeat, option->letter, option->name, equals);
    else
        printf("'%s--%s%s[", repeat, option->name, equals);
    print_quoted(option->help, "[]:", "'\\''");
    putchar(']');
    if (option->type != LBW_OPTION_FLAG) {
        char value[256];
        lbw_option_value_name(value, sizeof value, option);
        putchar(':');
        print_quoted(option->choice ? option->name : value, "[]:", "'\\''");
        putchar(':');
        if (option->choice) {
            putchar('(');
            print_choices(option);
            putchar(')');
        } else if (is_path(option->argument)) {
            fputs("_files", stdout);
        }
    }
    putchar('\'');
}

static void zsh_command(const struct lbw_command *command)
{
    printf("    %s)\n        _arguments -s", command->name);
    for (const struct lbw_option *o = command->options; o && o->name; o++)
        zsh_option(o);
    fputs(" \\\n            {-h,--help}'[show this help]'", stdout);
    if (has_words(command)) {
        fputs(" \\\n            '*:argument:(", stdout);
        print_argument_words(command);
        fputs(")'", stdout);
    } else if (command->max_arguments) {
        fputs(" \\\n            '*:file:_files'", stdout);
    }
    puts(" ;;");
}

static void print_zsh(void)
{
    puts("#compdef lbw\n# zsh completion of lbw, made by 'lbw completion zsh'\n_lbw() {\n"
         "    local -a commands=(");
    for (const struct lbw_command *const *c = lbw_commands; *c; c++) {
        printf("        '%s:", (*c)->name);
        print_quoted((*c)->summary, "", "'\\''");
        puts("'");
    }
    puts("    )\n    if ((CURRENT == 2)); then\n        _describe command commands\n"
         "        return\n    fi\n    local command=$words[2]\n    shift words\n"
         "    ((CURRENT--))\n    case $command in");
    for (const struct lbw_command *const *c = lbw_commands; *c; c++)
        zsh_command(*c);
    puts("    esac\n}\nif [[ $funcstack[1] == _lbw ]]; then\n    _lbw \"$@\"\nelse\n"
         "    compdef _lbw lbw\nfi");
}

static void fish_option(const struct lbw_command *command, const struct lbw_option *option)
{
    printf("complete -c lbw -n '__fish_seen_subcommand_from %s' -l %s", command->name,
           option->name);
    if (option->letter)
        printf(" -s %c", option->letter);
    if (option->choice) {
        fputs(" -x -a '", stdout);
        print_choices(option);
        putchar('\'');
    } else if (option->type != LBW_OPTION_FLAG) {
        fputs(is_path(option->argument) ? " -r -F" : " -x", stdout);
    }
    fputs(" -d '", stdout);
    print_quoted(option->help, "", "\\'");
    puts("'");
}

static void print_fish(void)
{
    puts("# fish completion of lbw, made by 'lbw completion fish'");
    for (const struct lbw_command *const *c = lbw_commands; *c; c++) {
        printf("complete -c lbw -n __fish_use_subcommand -x -a %s -d '", (*c)->name);
        print_quoted((*c)->summary, "", "\\'");
        puts("'");
    }
    for (const struct lbw_command *const *c = lbw_commands; *c; c++) {
        for (const struct lbw_option *o = (*c)->options; o && o->name; o++)
            fish_option(*c, o);
        if (!has_words(*c))
            continue;
        printf("complete -c lbw -n '__fish_seen_subcommand_from %s' -x -a '", (*c)->name);
        print_argument_words(*c);
        puts("'");
    }
}

static const char *const shells[] = {"bash", "zsh", "fish", NULL};
static void (*const printers[])(void) = {print_bash, print_zsh, print_fish};

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)values;
    (void)num_arguments;
    for (size_t i = 0; shells[i]; i++)
        if (strcmp(arguments[0], shells[i]) == 0) {
            printers[i]();
            return LBW_EXIT_DONE;
        }
    return lbw_usage_error("completion", "no shell '%s', only bash, zsh and fish",
                           arguments[0]);
}

const struct lbw_command lbw_cmd_completion = {
    .name = "completion",
    .summary = "print a completion script for bash, zsh or fish",
    .arguments = "SHELL",
    .description = "Prints a script that lets SHELL (bash, zsh or fish) complete commands, "
                   "options and their values. 'meson install' puts all three in place.",
    .example = "eval \"$(lbw completion bash)\"",
    .words = shells,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
