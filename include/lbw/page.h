/* SPDX-License-Identifier: MIT */
/* Results as an HTML page without references, for a browser or a notebook. */
#ifndef LBW_PAGE_H
#define LBW_PAGE_H

#include <lbw/budget.h>
#include <lbw/check.h>
#include <lbw/convert.h>
#include <lbw/search.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The contents of a page: a conversion, a search, or both. */
struct lbw_page_params {
    const char *title;                   /* the model's name, any bytes; NULL: "model" */
    const char *data;                    /* the calibration set in a few words; NULL: none */
    const struct lbw_report *report;     /* of a conversion; NULL: none */
    const struct lbw_budget *budget;     /* if bits were chosen; else NULL */
    const struct lbw_check_result *kept; /* NULL, or num_samples of 0: not measured */
    struct lbw_check *check;             /* after its run, for images with boxes; NULL: none */
    const struct lbw_search_trial *trials; /* of a search, in order; `what` is not read */
    size_t num_trials;
    bool is_fragment; /* a <section> for another page, not a page of its own */
};

/*
 * Prints the page as UTF-8 that is valid HTML and well-formed XML; free with lbw_free(). It has
 * no scripts and no references, follows the reader's light or dark theme, and contains no
 * times: the same results give the same bytes. Text from a model is escaped. LBW_ERR_ARGUMENT
 * without both a report and trials.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_page_print(char **out, const struct lbw_page_params *params, struct lbw_error *err);

#ifdef __cplusplus
}
#endif

#endif
