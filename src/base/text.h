/* SPDX-License-Identifier: MIT */
/* Printing names, whatever bytes they hold, as words that can be read back. */
#ifndef LBW_SRC_BASE_TEXT_H
#define LBW_SRC_BASE_TEXT_H

#include <stdbool.h>
#include <stdio.h>

bool lbw_text_is_utf8(const char *text);

/*
 * The text on one line: controls become blanks, blanks at the end go, and if it takes more than
 * `size` bytes (at least 8), only whole words remain, and "…".
 */
void lbw_text_excerpt(char *out, size_t size, const char *text);

/*
 * Prints the text as it is if it is one harmless word, else in double quotes: \" and \\ for a
 * quote and a backslash, \n for a line break, and \xNN for each byte that lbw_text_clean()
 * would replace.
 */
void lbw_text_print_word(FILE *to, const char *text);

/*
 * Cuts such a word off *text in place; NULL at the end of the line or at a comment (#).
 */
char *lbw_text_take_word(char **text);

#endif
