/* SPDX-License-Identifier: MIT */
/* Names as words of a line that can be read back, whatever bytes they are. */
#ifndef LBW_SRC_BASE_TEXT_H
#define LBW_SRC_BASE_TEXT_H

#include <stdbool.h>
#include <stdio.h>

bool lbw_text_is_utf8(const char *text);

/*
 * The text as it is where that is one word, harmless to look at, else in double quotes: a quote
 * and a backslash get a backslash in front, a line break becomes \n, and what lbw_text_clean()
 * would replace \xNN, byte by byte.
 */
void lbw_text_print_word(FILE *to, const char *text);

/*
 * Cuts such a word off *text in place; NULL at the end of the line, or where a comment begins
 * (#).
 */
char *lbw_text_take_word(char **text);

#endif
