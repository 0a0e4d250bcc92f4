/* SPDX-License-Identifier: MIT */
/* All commands: one constant struct each, defined in cmd_NAME.c. */
#ifndef LBW_CLI_COMMANDS_H
#define LBW_CLI_COMMANDS_H

#include "cli/option.h"

extern const struct lbw_command lbw_cmd_bench;
extern const struct lbw_command lbw_cmd_compare;
extern const struct lbw_command lbw_cmd_completion;
extern const struct lbw_command lbw_cmd_convert;
extern const struct lbw_command lbw_cmd_detect;
extern const struct lbw_command lbw_cmd_eval;
extern const struct lbw_command lbw_cmd_expand;
extern const struct lbw_command lbw_cmd_grids;
extern const struct lbw_command lbw_cmd_help; /* main.c */
extern const struct lbw_command lbw_cmd_inspect;
extern const struct lbw_command lbw_cmd_manual;
extern const struct lbw_command lbw_cmd_plan;
extern const struct lbw_command lbw_cmd_profiles;
extern const struct lbw_command lbw_cmd_quantize;
extern const struct lbw_command lbw_cmd_search;
extern const struct lbw_command lbw_cmd_tune;
extern const struct lbw_command lbw_cmd_version;

#endif
