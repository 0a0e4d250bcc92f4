/* SPDX-License-Identifier: MIT */
/* Messages of all commands in one form, and numbers with units. */
#ifndef LBW_CLI_TALK_H
#define LBW_CLI_TALK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/exit.h"

/* One line on standard error, "lbw: …"; control characters are shown as "?". */
void lbw_talk(const char *fmt, ...) LBW_PRINTF(1, 2);

/* Prints text that came from a file or a command line, see lbw_text_clean(). */
void lbw_print_clean(FILE *to, const char *text);

/* The same with a line break after it. */
void lbw_print_line(FILE *to, const char *text);

/* The same as a string, to be freed; NULL when out of memory. */
char *lbw_printable(const char *text);

/* Prints a usage error of a command and where to find help; returns LBW_EXIT_USAGE. */
int lbw_usage_error(const char *command, const char *fmt, ...) LBW_PRINTF(2, 3);

/* Reports a failure and returns its exit status. */
int lbw_explain(const struct lbw_error *err);

/* "1,234,567". Returns `out`; so do the others. */
#define LBW_TEXT_SIZE 40
char *lbw_text_count(char out[LBW_TEXT_SIZE], uint64_t count);

/* "812 bytes", "3.52 MB": powers of 1000, three digits. */
char *lbw_text_bytes(char out[LBW_TEXT_SIZE], uint64_t size);

/* "0.4 s", "42 s", "3 min 20 s". */
char *lbw_text_seconds(char out[LBW_TEXT_SIZE], double seconds);

/* A shape, "16x3x3x3"; -1 is "?". */
char *lbw_text_shape(char out[96], size_t num_dims, const int64_t *dims);

#endif
