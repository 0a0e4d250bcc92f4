/* SPDX-License-Identifier: MIT */
/* lbw version: which lbw this is. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/talk.h"

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)values;
    (void)num_arguments;
    (void)arguments;
    printf("lbw %s\n", lbw_version());
    return LBW_EXIT_DONE;
}

const struct lbw_command lbw_cmd_version = {
    .name = "version",
    .summary = "show the version",
    .arguments = "",
    .run = run,
};
