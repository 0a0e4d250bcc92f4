/* SPDX-License-Identifier: MIT */
/* JSON on standard output, for --json. */
#ifndef LBW_CLI_JSON_H
#define LBW_CLI_JSON_H

#include <jansson.h>

/* Prints `value` with its keys in order, takes it, returns an exit code; NULL: no memory. */
int lbw_json_print(json_t *value);

/* A text; bytes of it that are no UTF-8 become U+FFFD. */
json_t *lbw_json_text(const char *text);

/*
 * Takes `value` into a list, or into an object under a name treated as by lbw_json_text(). No
 * memory, or a value that is NULL because there was none, makes *to NULL and keeps it so:
 * lbw_json_print() says so in the end, and nothing is missing in silence.
 */
void lbw_json_append(json_t **to, json_t *value);
void lbw_json_set(json_t **to, const char *name, json_t *value);

/* A number, or null where it is not finite (JSON has no infinity). */
json_t *lbw_json_real(double value);

#endif
