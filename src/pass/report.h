/* SPDX-License-Identifier: MIT */
/* The report of a conversion. */
#ifndef LBW_SRC_PASS_REPORT_H
#define LBW_SRC_PASS_REPORT_H

#include <lbw/convert.h>

#include "pass/plan.h"

enum lbw_status lbw_report_new(struct lbw_report **out, const struct lbw_plan *plan,
                               struct lbw_error *err);

/* lbw_report_row() with write access; i < num_rows. */
struct lbw_report_row *lbw_report_edit(struct lbw_report *report, size_t i);

/* Adds to the plan's notes what the caller should know of the result. */
enum lbw_status lbw_report_note(const struct lbw_report *report, struct lbw_error *err);

/* The operators outside the plan, as JSON; NULL when out of memory. */
struct json_t *lbw_others_json(const struct lbw_plan *plan);

#endif
