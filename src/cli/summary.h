/* SPDX-License-Identifier: MIT */
/* The closing summary of `lbw quantize`: one screen that says what was gained and lost. */
#ifndef LBW_CLI_SUMMARY_H
#define LBW_CLI_SUMMARY_H

#include <stdbool.h>
#include <stdio.h>

#include <lbw/convert.h>

struct lbw_summary {
    const char *input, *output;
    const char *data; /* what calibration used, or NULL */
    enum lbw_encoding encoding;
    bool all_layers; /* every layer instead of the worst few */
    double seconds;
};

void lbw_summary_print(FILE *to, const struct lbw_report *report,
                       const struct lbw_summary *summary);

#endif
