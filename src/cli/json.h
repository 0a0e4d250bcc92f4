/* SPDX-License-Identifier: MIT */
/* JSON on standard output, for --json. */
#ifndef LBW_CLI_JSON_H
#define LBW_CLI_JSON_H

#include <jansson.h>

/*
 * Prints `value` with its keys in order, takes ownership, returns an exit status; NULL: out of
 * memory.
 */
int lbw_json_print(json_t *value);

/* A text; bytes that are not UTF-8 become U+FFFD. */
json_t *lbw_json_text(const char *text);

/*
 * Moves `value` into a list, or into an object under a name treated as by lbw_json_text().
 * Without memory, or if `value` is NULL for lack of it, *to becomes NULL and stays so:
 * lbw_json_print() reports it, so that nothing is silently missing.
 */
void lbw_json_append(json_t **to, json_t *value);
void lbw_json_set(json_t **to, const char *name, json_t *value);

/* A number, or null if it is not finite (JSON has no infinity). */
json_t *lbw_json_real(double value);

#endif
