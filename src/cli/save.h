/* SPDX-License-Identifier: MIT */
/* Writing results: a model as its options say, unless interrupted; text as a whole. */
#ifndef LBW_CLI_SAVE_H
#define LBW_CLI_SAVE_H

#include <stdbool.h>
#include <stdio.h>

#include <lbw/model.h>

#include "cli/option.h"

/* One member of the struct of values of a command that writes a model. */
struct lbw_output_values {
    const char *path;
    const char *external;          /* NULL: all in one file */
    uint64_t threshold, alignment; /* 0: not given */
};

/* clang-format off */
#define LBW_OUTPUT_OPTIONS(values, member)                                                     \
    {"output", 'o', LBW_OPTION_OUTPUT, offsetof(values, member.path), "FILE",                  \
     "the model to write; - is standard output, *.gz is compressed"},                          \
    {"external", 0, LBW_OPTION_STRING, offsetof(values, member.external), "FILE",              \
     "store large tensors in this file beside the model; models over 2 GiB need it",           \
     .is_written = true},                                                                      \
    {"external-threshold", 0, LBW_OPTION_BYTES, offsetof(values, member.threshold), "SIZE",    \
     "tensors of at least this size are stored there (default 1K)", .min = 1},                 \
    {"external-alignment", 0, LBW_OPTION_BYTES, offsetof(values, member.alignment), "SIZE",    \
     "alignment of each tensor in the file, a power of two; use 64K for Windows "              \
     "(default 4K)", .min = 1}
/* clang-format on */

/*
 * Whether a file can be written at `path`, as far as this can be known beforehand: it is not a
 * folder; an existing file that is written in place, or is not regular, is writable; else its
 * folder is. If not, explains it. Changes nothing.
 */
bool lbw_output_is_possible(const char *path, bool is_in_place);

/* The same for every LBW_OPTION_OUTPUT that was given: before the work, not after it. */
bool lbw_outputs_are_possible(const void *values, const struct lbw_command *command);

/* Whether the options can be followed; if not, explains it: return LBW_EXIT_USAGE. */
bool lbw_output_is_usable(const struct lbw_output_values *values, const char *command);

/* Where to print about the result: standard error if the model goes to standard output. */
FILE *lbw_output_talk(const struct lbw_output_values *values);

/* The name of the output for messages. */
const char *lbw_output_name(const struct lbw_output_values *values);

/* Whether saving would refuse the names of the files: before long work, not after it. */
enum lbw_status lbw_output_check(const struct lbw_output_values *values,
                                 const struct lbw_model *model, struct lbw_error *err);

/* Saves as the options say, or LBW_ERR_INTERRUPTED if a signal arrived before. */
enum lbw_status lbw_output_save(const struct lbw_output_values *values, struct lbw_model *model,
                                struct lbw_error *err);

/* Writes text to a file whole or not at all; "-" is standard output. LBW_ERR_IO names it. */
enum lbw_status lbw_save_text(const char *path, const char *text, struct lbw_error *err);

#endif
