/* SPDX-License-Identifier: MIT */
/* lbw version: versions of lbw and of what it uses. */
#include <stdio.h>

#include <lbw/runtime.h>

#include "cli/commands.h"
#include "cli/talk.h"

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)values;
    (void)num_arguments;
    (void)arguments;
    const char *runtime = NULL;
    struct lbw_error err = {0};
    printf("lbw %s\n", lbw_version());
    if (lbw_runtime_version(&runtime, &err) == LBW_OK)
        printf("ONNX Runtime %s\n", runtime);
    else
        printf("%s\n", err.message);
    return LBW_EXIT_DONE;
}

const struct lbw_command lbw_cmd_version = {
    .name = "version",
    .summary = "show the versions of lbw and of ONNX Runtime",
    .arguments = "",
    .description =
        "Prints the versions of lbw and of ONNX Runtime, or why the latter is missing.",
    .run = run,
};
