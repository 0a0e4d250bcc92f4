/* SPDX-License-Identifier: MIT */
/* The report: the result for each weight, for people and as JSON. */
#include "pass/report.h"

#include "pass/edge.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The report and all that its rows borrow. */
struct owner {
    struct lbw_report report; /* first */
    struct lbw_report_row *rows;
    struct lbw_plan *plan; /* held */
};

enum lbw_status lbw_report_new(struct lbw_report **out, const struct lbw_plan *plan,
                               struct lbw_error *err)
{
    struct owner *owner = calloc(1, sizeof *owner);
    struct lbw_report_row *rows = calloc(plan->num_weights + 1, sizeof *rows);
    if (!owner || !rows) {
        free(owner);
        free(rows);
        return lbw_fail_memory(err);
    }
    struct lbw_report *report = &owner->report;
    owner->rows = rows;
    owner->plan = lbw_plan_hold(plan);
    report->num_rows = plan->num_weights;
    for (size_t i = 0; i < plan->num_weights; i++)
        rows[i] = (struct lbw_report_row){
            .item = &plan->weights[i].item, .how = plan->weights[i].item.reason, .note = ""};
    *out = report;
    return LBW_OK;
}

void lbw_report_free(struct lbw_report **report)
{
    if (!*report)
        return;
    struct owner *owner = (struct owner *)*report;
    free(owner->rows);
    lbw_plan_free(&owner->plan);
    free(owner);
    *report = NULL;
}

const struct lbw_report_row *lbw_report_row(const struct lbw_report *report, size_t i)
{
    return i < report->num_rows ? &((const struct owner *)report)->rows[i] : NULL;
}

struct lbw_report_row *lbw_report_edit(struct lbw_report *report, size_t i)
{
    return &((struct owner *)report)->rows[i];
}

/* Why a layer is only rounded although there was calibration, or "". */
static const char *reason_of(const struct lbw_report *report)
{
    static const char prefix[] = "projection: ";
    for (size_t i = 0; i < report->num_rows; i++) {
        const struct lbw_report_row *row = lbw_report_row(report, i);
        if (row->converted && strncmp(row->how, prefix, strlen(prefix)) == 0)
            return row->how + strlen(prefix);
    }
    return "";
}

enum lbw_status lbw_report_note(const struct lbw_report *report, struct lbw_error *err)
{
    struct lbw_plan *plan = ((const struct owner *)report)->plan;
    const struct lbw_plan_other *other = lbw_plan_other(plan, 0);
    if (!report->num_converted && !other)
        return lbw_plan_add_note(plan, err, "no weight was converted");
    if (!report->num_converted)
        return lbw_plan_add_note(plan, err, "no weight was converted; %s holds %llu bytes%s%s",
                                 other->op, (unsigned long long)other->bytes,
                                 *other->note ? ": " : "", other->note);
    if (!report->calibrated)
        return lbw_plan_add_note(plan, err,
                                 "rounded without calibration: "
                                 "detectors lose most or all of their boxes that way");
    if (report->num_calibrated == report->num_converted)
        return LBW_OK;
    const char *why = reason_of(report);
    return lbw_plan_add_note(
        plan, err, "calibrated %zu of %zu layers, the others are only rounded%s%s",
        report->num_calibrated, report->num_converted, *why ? ": " : "", why);
}

/* JSON has no infinity. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* JSON is UTF-8, names are bytes. */
static json_t *text(const char *name)
{
    size_t size = 3 * strlen(name) + 1;
    char *clean = malloc(size);
    if (!clean)
        return NULL;
    lbw_text_mend(clean, size, name);
    json_t *value = json_string(clean);
    free(clean);
    return value;
}

json_t *lbw_others_json(const struct lbw_plan *plan)
{
    json_t *list = json_array();
    for (size_t i = 0; i < plan->num_others; i++) {
        const struct lbw_plan_other *other = &plan->others[i];
        if (json_array_append_new(list, json_pack("{s:o, s:I, s:I, s:s}", "op", text(other->op),
                                                  "weights", (json_int_t)other->num_weights,
                                                  "bytes", (json_int_t)other->bytes, "note",
                                                  other->note)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *row_json(const struct lbw_report_row *row)
{
    json_t *shape = json_array();
    for (size_t i = 0; i < row->item->num_dims; i++)
        json_array_append_new(shape, json_integer(row->item->dims[i]));
    json_t *out = json_pack("{s:o, s:o, s:o, s:o, s:b, s:o}", "node", text(row->item->node),
                            "op", text(row->item->op), "tensor", text(row->item->tensor),
                            "shape", shape, "converted", row->converted, "how", text(row->how));
    if (!out || !row->converted)
        return out;
    json_t *more = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o}", "grid",
        row->item->grid->name, "scale", lbw_scale_name(row->item->scale), "group",
        lbw_group_name(row->item->group), "snr_projection", number(row->snr_projection), "snr",
        number(row->snr), "step_min", number(row->step_min), "step_max", number(row->step_max),
        "seconds", number(row->seconds), "bytes_before", (json_int_t)row->bytes_before,
        "bytes_after", (json_int_t)row->bytes_after, "note", text(row->note));
    json_object_update(out, more);
    json_decref(more);
    return out;
}

/* One activation after the conversion. */
static json_t *edge_json(const struct lbw_plan_edge *edge)
{
    bool is_rounded = edge->type == LBW_ACTIVATIONS_INT8;
    return json_pack("{s:o, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "tensor",
                     text(edge->tensor), "node", text(edge->node), "op", text(edge->op), "type",
                     lbw_activations_name(edge->type), "group", lbw_group_name(edge->group),
                     "low", is_rounded ? number((double)edge->low) : json_null(), "high",
                     is_rounded ? number((double)edge->high) : json_null(), "snr",
                     edge->snr != 0 ? number(edge->snr) : json_null(), "cost",
                     edge->cost >= 0 ? number(edge->cost) : json_null(), "noise",
                     edge->snr != 0 ? number(edge->noise) : json_null(), "reason",
                     text(edge->reason));
}

/* NULL if the plan has none, which leaves out the key. */
static json_t *edges_json(const struct lbw_plan *plan)
{
    json_t *list = plan->num_edges ? json_array() : NULL;
    for (size_t i = 0; list && i < plan->num_edges; i++)
        json_array_append_new(list, edge_json(&plan->edges[i].item));
    return list;
}

/* How ranges were fitted; NULL, which leaves out the key, without any. */
static json_t *ranges_json(const struct lbw_report *report)
{
    json_t *out =
        report->range_power > 0 ? json_pack("{s:f}", "power", report->range_power) : NULL;
    if (out && !isnan(report->squares_agreement))
        json_object_set_new(out, "agreement",
                            json_pack("{s:f, s:f}", "4", report->fourths_agreement, "2",
                                      report->squares_agreement));
    return out;
}

enum lbw_status lbw_report_print(char **out, const struct lbw_report *report,
                                 struct lbw_error *err)
{
    json_t *rows = json_array();
    bool failed = false;
    for (size_t i = 0; i < report->num_rows; i++)
        failed =
            json_array_append_new(rows, row_json(lbw_report_row(report, i))) != 0 || failed;
    json_t *root = json_pack(
        "{s:b, s:I, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:f, s:f, s:o, s:o, s:o*, s:o*}",
        "calibrated", report->calibrated, "num_calibrated", (json_int_t)report->num_calibrated,
        "num_converted", (json_int_t)report->num_converted, "num_weights",
        (json_int_t)report->num_weights, "bits_per_weight", number(report->bits_per_weight),
        "snr", number(report->snr), "num_measured", (json_int_t)report->num_measured,
        "bytes_before", (json_int_t)report->bytes_before, "bytes_after",
        (json_int_t)report->bytes_after, "runtime_seconds", report->runtime_seconds,
        "fit_seconds", report->fit_seconds, "weights", rows, "others",
        lbw_others_json(((const struct owner *)report)->plan), "activations",
        edges_json(((const struct owner *)report)->plan), "ranges", ranges_json(report));
    char *made =
        root && !failed
            ? json_dumps(root, JSON_INDENT(1) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9))
            : NULL;
    json_decref(root);
    if (!made)
        return lbw_fail_memory(err);
    *out = made;
    return LBW_OK;
}
