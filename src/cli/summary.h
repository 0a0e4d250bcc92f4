/* SPDX-License-Identifier: MIT */
/* The report of a conversion: one screen on gains and losses, or JSON. */
#ifndef LBW_CLI_SUMMARY_H
#define LBW_CLI_SUMMARY_H

#include <stdbool.h>
#include <stdio.h>

#include <lbw/check.h>
#include <lbw/convert.h>
#include <lbw/page.h>

#include "cli/option.h"

/* One member of the struct of values of a command that converts. */
struct lbw_report_values {
    const char *report;
    bool layers, json, quiet;
};

/* clang-format off */
#define LBW_REPORT_OPTIONS(values, member)                                                     \
    {"report", 0, LBW_OPTION_OUTPUT, offsetof(values, member.report), "FILE",                  \
     "write a report: an HTML page if the name ends in .html, else JSON"},                     \
    {"layers", 0, LBW_OPTION_FLAG, offsetof(values, member.layers), NULL,                      \
     "list every layer with its errors"},                                                                      \
    {"json", 0, LBW_OPTION_FLAG, offsetof(values, member.json), NULL,                          \
     "print the report instead of the summary"},                                               \
    {"quiet", 'q', LBW_OPTION_FLAG, offsetof(values, member.quiet), NULL,                      \
     "print warnings and errors only"}
/* clang-format on */

struct lbw_summary {
    const char *input, *output;
    const char *data; /* the calibration set, or NULL */
    const struct lbw_plan *plan;
    enum lbw_encoding encoding;
    double seconds;
    const struct lbw_check_result *kept; /* num_samples is 0: nothing was held back */
};

/* Prints the operators with weights outside the plan, one per line, if there are any. */
void lbw_print_others(FILE *to, const struct lbw_plan *plan);

/* The name of a model on a page: that of its file without folders. */
const char *lbw_report_title(const char *path);

/* Writes the report's file if the options name one: HTML or JSON, by its name. */
enum lbw_status lbw_report_save(const struct lbw_report_values *values,
                                const struct lbw_page_params *page, struct lbw_error *err);

/* Prints the summary, or what the options ask for instead. */
enum lbw_status lbw_report_show(FILE *to, const struct lbw_report_values *values,
                                const struct lbw_report *report,
                                const struct lbw_summary *summary, struct lbw_error *err);

#endif
