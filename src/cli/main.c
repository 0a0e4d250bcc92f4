/* SPDX-License-Identifier: MIT */
/* lbw: finds the command, parses its options, runs it. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/help.h"
#include "cli/option.h"
#include "cli/runtime.h"
#include "cli/save.h"
#include "cli/talk.h"

/* clang-format off */
const struct lbw_command *const lbw_commands[] = {
    &lbw_cmd_inspect,
    &lbw_cmd_plan,
    &lbw_cmd_quantize,
    &lbw_cmd_search,
    &lbw_cmd_tune,
    &lbw_cmd_compare,
    &lbw_cmd_bench,
    &lbw_cmd_eval,
    &lbw_cmd_detect,
    &lbw_cmd_convert,
    &lbw_cmd_expand,
    &lbw_cmd_grids,
    &lbw_cmd_profiles,
    &lbw_cmd_completion,
    &lbw_cmd_manual,
    &lbw_cmd_help,
    &lbw_cmd_version,
    NULL,
};
/* clang-format on */

const struct lbw_command *lbw_command_find(const char *name)
{
    for (const struct lbw_command *const *c = lbw_commands; *c; c++)
        if (strcmp((*c)->name, name) == 0)
            return *c;
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[64];
    size_t num = 0;
    for (const struct lbw_command *const *c = lbw_commands; *c; c++)
        names[num++] = (*c)->name;
    const char *near = lbw_suggest(name, names, num);
    if (near)
        return lbw_usage_error(NULL, "unknown command '%s', did you mean '%s'?", name, near);
    return lbw_usage_error(NULL, "no command '%s'", name);
}

static int run_help(const void *values, int num_arguments, char **arguments)
{
    (void)values;
    if (!num_arguments) {
        lbw_help_overview(stdout);
        return LBW_EXIT_DONE;
    }
    const struct lbw_command *command = lbw_command_find(arguments[0]);
    if (!command)
        return unknown_command(arguments[0]);
    lbw_help_command(stdout, command);
    return LBW_EXIT_DONE;
}

const struct lbw_command lbw_cmd_help = {
    .name = "help",
    .summary = "show help on a command",
    .description = "Shows the help of a command, or the list of commands.",
    .arguments = "[COMMAND]",
    .max_arguments = 1,
    .run = run_help,
};

static int run_command(const struct lbw_command *command, int argc, char **argv)
{
    void *values = calloc(1, command->values_size + 1);
    if (!values) {
        lbw_talk("out of memory");
        return LBW_EXIT_FAILED;
    }
    if (command->defaults)
        memcpy(values, command->defaults, command->values_size);
    int code = LBW_EXIT_USAGE, num_arguments = 0;
    switch (lbw_options_parse(values, &num_arguments, argc, argv, command)) {
    case LBW_PARSE_RUN:
        code = lbw_outputs_are_possible(values, command)
                   ? command->run(values, num_arguments, argv)
                   : LBW_EXIT_FAILED;
        break;
    case LBW_PARSE_HELP:
        lbw_help_command(stdout, command);
        code = LBW_EXIT_DONE;
        break;
    case LBW_PARSE_BAD:
        break;
    }
    lbw_options_release(values, command);
    free(values);
    return code;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        lbw_help_overview(stderr);
        return LBW_EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return run_help(NULL, argc > 2 ? 1 : 0, argv + 2);
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        word = "version";
    else if (word[0] == '-' && word[1])
        return lbw_usage_error(NULL, "expected a command before '%s'", word);
    const struct lbw_command *command = lbw_command_find(word);
    if (!command)
        return unknown_command(word);
    return run_command(command, argc - 2, argv + 2);
}

/*
 * Opens /dev/null for standard files that are closed, so that no file opened later takes their
 * number: reading and writing them fails as before.
 */
static void take_closed_files(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd ? O_RDONLY : O_WRONLY);
}

int main(int argc, char **argv)
{
    take_closed_files();
    /* For the width of characters only: numbers keep their decimal point in every locale. */
    setlocale(LC_CTYPE, "C.UTF-8");
    /*
     * A limit on file sizes then shows as a failed write, and the incomplete file is removed.
     */
    signal(SIGXFSZ, SIG_IGN);
    lbw_runtime_of_build();
    int code = run(argc, argv);
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        lbw_talk("standard output: cannot write: %s", strerror(errno ? errno : EIO));
        if (code == LBW_EXIT_DONE)
            code = LBW_EXIT_FAILED;
    }
    return code;
}
