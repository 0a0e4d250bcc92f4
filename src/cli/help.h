/* SPDX-License-Identifier: MIT */
/* Help for people at a terminal, made from the command tables. */
#ifndef LBW_CLI_HELP_H
#define LBW_CLI_HELP_H

#include <stdio.h>

#include "cli/option.h"

/* `lbw --help`: what lbw is, the commands, where to read on. */
void lbw_help_overview(FILE *to);

/* `lbw COMMAND --help`. */
void lbw_help_command(FILE *to, const struct lbw_command *command);

/* "-o, --output FILE"; options without a letter are aligned. At most `size` bytes. */
void lbw_help_option_head(char *out, size_t size, const struct lbw_option *option);

#endif
