/* SPDX-License-Identifier: MIT */
/* Regular expressions that name weights and activations. */
#ifndef LBW_SRC_PASS_PATTERN_H
#define LBW_SRC_PASS_PATTERN_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* POSIX extended. */
struct lbw_patterns {
    regex_t *regexes;
    size_t num;
};

/* Room for `most`. Call lbw_patterns_release() also after a failure. */
enum lbw_status lbw_patterns_init(struct lbw_patterns *patterns, size_t most,
                                  struct lbw_error *err);

/* Adds one at the end. LBW_ERR_ARGUMENT: NULL, or not a regular expression. */
enum lbw_status lbw_patterns_add(struct lbw_patterns *patterns, const char *text,
                                 struct lbw_error *err);
void lbw_patterns_release(struct lbw_patterns *patterns);

/* Whether pattern i is found in the name of a node or of its tensor. */
bool lbw_patterns_match(const struct lbw_patterns *patterns, size_t i, const char *node,
                        const char *tensor);

#endif
