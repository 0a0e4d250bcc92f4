/* SPDX-License-Identifier: MIT */
/* The charts of a page: inline SVG that stretches with the window, with HTML labels. */
#ifndef LBW_SRC_PAGE_CHARTS_H
#define LBW_SRC_PAGE_CHARTS_H

#include <stdio.h>

#include <lbw/convert.h>
#include <lbw/search.h>

/* A strip of bars for each number of layers: bits, SNR, predicted loss. */
enum lbw_status lbw_charts_print(FILE *to, const struct lbw_report *report,
                                 struct lbw_error *err);

/* Average precision against file size, a point per trial. */
void lbw_chart_trials(FILE *to, const struct lbw_search_trial *trials, size_t num);

#endif
