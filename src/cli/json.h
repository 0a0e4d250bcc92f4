/* SPDX-License-Identifier: MIT */
/* JSON on standard output, for --json. */
#ifndef LBW_CLI_JSON_H
#define LBW_CLI_JSON_H

#include <jansson.h>

/* Prints `value` with its keys in order, takes it, returns an exit code; NULL: no memory. */
int lbw_json_print(json_t *value);

/* A number, or null where it is not finite (JSON has no infinity). */
json_t *lbw_json_real(double value);

#endif
