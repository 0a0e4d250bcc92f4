/* SPDX-License-Identifier: MIT */
/* Prints a conversion report for people. */
#include "cli/summary.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/save.h"
#include "cli/table.h"
#include "cli/talk.h"

#define MOST_SNR    200.0 /* dB: nothing to measure, without an error or a signal */
#define MAX_OUTPUTS 4     /* whose errors are shown */
#define MAX_NAMES   3     /* of weights kept, per reason */

static void print_snr_cell(struct lbw_table *table, double snr)
{
    if (fabs(snr) < MOST_SNR)
        lbw_table_cell(table, "%.1f dB", snr);
    else
        lbw_table_cell(table, snr > 0 ? "exact" : "-");
}

static void print_layers(FILE *to, const struct lbw_report *report,
                         const struct lbw_report_row **rows, size_t num)
{
    /* with calibration both are of the layer's output: rounded only, and as written */
    const struct lbw_column columns[] = {
        {"layer", LBW_ALIGN_SHRINK},
        {"shape", LBW_ALIGN_LEFT},
        {"grid", LBW_ALIGN_RIGHT},
        {report->calibrated ? "rounded SNR" : "weights SNR", LBW_ALIGN_RIGHT},
        {"output SNR", LBW_ALIGN_RIGHT}};
    struct lbw_table table;
    lbw_table_init(&table, columns, report->calibrated ? 5 : 4);
    for (size_t i = 0; i < num; i++) {
        const struct lbw_plan_item *item = rows[i]->item;
        char shape[96];
        lbw_table_cell(&table, "%s", item->node);
        lbw_table_cell(&table, "%s", lbw_text_shape(shape, item->num_dims, item->dims));
        lbw_table_cell(&table, "%s", item->grid->name);
        print_snr_cell(&table, rows[i]->snr_projection);
        if (report->calibrated && strcmp(rows[i]->how, "reconstruction") == 0)
            print_snr_cell(&table, rows[i]->snr);
        else if (report->calibrated)
            lbw_table_cell(&table, "-");
    }
    lbw_table_print(&table, to, 2);
    lbw_table_release(&table);
}

/* All layers in order. */
static void print_snr(FILE *to, const struct lbw_report *report)
{
    const struct lbw_report_row **rows = calloc(report->num_rows + 1, sizeof *rows);
    if (!rows)
        return;
    size_t num = 0;
    for (size_t i = 0; i < report->num_rows; i++)
        if (lbw_report_row(report, i)->converted)
            rows[num++] = lbw_report_row(report, i);
    putc('\n', to);
    print_layers(to, report, rows, num);
    free(rows);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Whether two reasons differ at most in their first number: "would save 338 bytes". */
static bool is_same_reason(const char *a, const char *b)
{
    size_t i = strcspn(a, "0123456789"), j = strcspn(b, "0123456789");
    if (i != j || strncmp(a, b, i) != 0)
        return false;
    for (; is_digit(a[i]); i++)
        ;
    for (; is_digit(b[j]); j++)
        ;
    return strcmp(a + i, b + j) == 0;
}

static bool is_alike(const struct lbw_report *report, size_t i, size_t j)
{
    return !lbw_report_row(report, i)->converted && !lbw_report_row(report, j)->converted &&
           is_same_reason(lbw_report_row(report, i)->how, lbw_report_row(report, j)->how);
}

static bool is_first_of_its_reason(const struct lbw_report *report, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (is_alike(report, i, j))
            return false;
    return true;
}

/* The reason of row `first`, with the range of its number over all similar rows. */
static void print_reason_text(FILE *to, const struct lbw_report *report, size_t first)
{
    const char *reason = lbw_report_row(report, first)->how;
    size_t at = strcspn(reason, "0123456789");
    unsigned long long least = ULLONG_MAX, most = 0;
    for (size_t i = first; i < report->num_rows; i++) {
        if (!is_alike(report, first, i))
            continue;
        unsigned long long number = strtoull(lbw_report_row(report, i)->how + at, NULL, 10);
        least = number < least ? number : least;
        most = number > most ? number : most;
    }
    if (!reason[at] || least == most) {
        lbw_print_clean(to, reason);
        return;
    }
    char *head = strndup(reason, at);
    lbw_print_clean(to, head ? head : "?");
    free(head);
    fprintf(to, "%llu to %llu", least, most);
    lbw_print_clean(to, reason + at + strspn(reason + at, "0123456789"));
}

static void print_reason(FILE *to, const struct lbw_report *report, size_t first)
{
    size_t num = 0, shown = 0;
    for (size_t i = first; i < report->num_rows; i++)
        num += is_alike(report, first, i);
    fprintf(to, "  %zu × ", num);
    print_reason_text(to, report, first);
    for (size_t i = first; i < report->num_rows && shown < MAX_NAMES; i++)
        if (is_alike(report, first, i)) {
            fputs(shown++ ? ", " : " (", to);
            lbw_print_clean(to, lbw_report_row(report, i)->item->node);
        }
    fputs(num > shown ? ", …)\n" : ")\n", to);
}

static void print_left_alone(FILE *to, const struct lbw_report *report)
{
    size_t num = report->num_rows - report->num_converted;
    if (!num)
        return;
    fprintf(to, "\nnot converted: %zu weight%s\n", num, num == 1 ? "" : "s");
    for (size_t i = 0; i < report->num_rows; i++)
        if (!lbw_report_row(report, i)->converted && is_first_of_its_reason(report, i))
            print_reason(to, report, i);
}

static void print_sizes(FILE *to, const struct lbw_report *report)
{
    static const struct lbw_column columns[] = {{"", LBW_ALIGN_LEFT},
                                                {"before", LBW_ALIGN_RIGHT},
                                                {"after", LBW_ALIGN_RIGHT},
                                                {"ratio", LBW_ALIGN_RIGHT},
                                                {"", LBW_ALIGN_LEFT}};
    uint64_t before = 0, after = 0;
    for (size_t i = 0; i < report->num_rows; i++)
        if (lbw_report_row(report, i)->converted) {
            before += lbw_report_row(report, i)->bytes_before;
            after += lbw_report_row(report, i)->bytes_after;
        }
    char a[LBW_TEXT_SIZE], b[LBW_TEXT_SIZE];
    struct lbw_table table;
    lbw_table_init(&table, columns, 5);
    lbw_table_cell(&table, "file");
    lbw_table_cell(&table, "%s", lbw_text_bytes(a, report->bytes_before));
    lbw_table_cell(&table, "%s", lbw_text_bytes(b, report->bytes_after));
    lbw_table_cell(&table, "%.3f",
                   (double)report->bytes_after /
                       (double)(report->bytes_before ? report->bytes_before : 1));
    lbw_table_cell(&table, "%s", "");
    lbw_table_cell(&table, "weights");
    lbw_table_cell(&table, "%s", lbw_text_bytes(a, before));
    lbw_table_cell(&table, "%s", lbw_text_bytes(b, after));
    lbw_table_cell(&table, "%.3f", (double)after / (double)(before ? before : 1));
    lbw_table_cell(&table, "%.2f bits per weight, scales included", report->bits_per_weight);
    lbw_table_print(&table, to, 2);
    lbw_table_release(&table);
}

/* Lists what was not done as requested, by reason, each with its number. */
static void print_reasons(FILE *to, const struct lbw_report *report, const char *title,
                          const char *(*reason_of)(const struct lbw_report_row *row))
{
    size_t num = 0;
    for (size_t i = 0; i < report->num_rows; i++)
        num += reason_of(lbw_report_row(report, i)) != NULL;
    if (!num)
        return;
    fprintf(to, "\n%s: %zu weight%s\n", title, num, num == 1 ? "" : "s");
    for (size_t i = 0; i < report->num_rows; i++) {
        const char *reason = reason_of(lbw_report_row(report, i));
        size_t alike = 0, earlier = 0;
        for (size_t j = 0; j < report->num_rows && reason; j++) {
            const char *other = reason_of(lbw_report_row(report, j));
            bool is_same = other && strcmp(reason, other) == 0;
            alike += is_same;
            earlier += is_same && j < i;
        }
        if (reason && !earlier) {
            fprintf(to, "  %zu × ", alike);
            lbw_print_line(to, reason);
        }
    }
}

/* Why calibration could not look at a weight. */
static const char *why_projected(const struct lbw_report_row *row)
{
    static const char prefix[] = "projection: ";
    return strncmp(row->how, prefix, strlen(prefix)) == 0 ? row->how + strlen(prefix) : NULL;
}

static const char *why_plain(const struct lbw_report_row *row)
{
    return *row->note ? row->note : NULL;
}

/* One number: of the weights if nothing was calibrated, else of the layers' outputs. */
static void print_all(FILE *to, const struct lbw_report *report)
{
    size_t num = report->num_measured;
    if (num == 0)
        fprintf(to, "  SNR of all weights: %.1f dB\n", report->snr);
    else if (num == report->num_converted)
        fprintf(to, "  mean SNR of the layers' outputs: %.1f dB\n", report->snr);
    else
        fprintf(to, "  mean SNR of the outputs of %zu of %zu layers: %.1f dB\n", num,
                report->num_converted, report->snr);
}

static const char *why_not_finite(const struct lbw_check_row *row)
{
    if (row->is_skipped)
        return ": not a tensor of numbers, not compared";
    if (isnan(row->snr))
        return ": of another shape, or with NaN or infinity in other places";
    return row->num_values ? ": exact" : ": no finite values to compare";
}

/* The most important line. */
static void print_kept(FILE *to, const struct lbw_check_result *kept)
{
    if (!kept->num_samples)
        return;
    fputs("\n", to);
    if (kept->is_of_boxes) {
        fprintf(
            to,
            "keeps %zu%% of the float model's boxes (%zu of %zu; %zu image%s held back, %zu "
            "lost, %zu invented)\n",
            100 * (kept->num_boxes - kept->num_lost) / kept->num_boxes, /* 100 is all */
            kept->num_boxes - kept->num_lost, kept->num_boxes, kept->num_samples,
            kept->num_samples == 1 ? "" : "s", kept->num_lost, kept->num_invented);
        return;
    }
    for (size_t i = 0; i < kept->num_rows && i < MAX_OUTPUTS; i++) {
        fputs(kept->is_of_layers ? "layer " : "output ", to);
        lbw_print_clean(to, kept->rows[i].name);
        if (isfinite(kept->rows[i].snr))
            fprintf(to, ": SNR %.1f dB, cosine %.4f", kept->rows[i].snr, kept->rows[i].cosine);
        else
            fputs(why_not_finite(&kept->rows[i]), to);
        if (!i)
            fprintf(to, " (%zu sample%s held back)", kept->num_samples,
                    kept->num_samples == 1 ? "" : "s");
        putc('\n', to);
    }
    if (kept->num_rows > MAX_OUTPUTS)
        fprintf(to, "%zu more %s%s (--json lists all)\n", kept->num_rows - MAX_OUTPUTS,
                kept->is_of_layers ? "layer" : "output",
                kept->num_rows == MAX_OUTPUTS + 1 ? "" : "s");
}

void lbw_print_others(FILE *to, const struct lbw_plan *plan)
{
    char size[LBW_TEXT_SIZE];
    for (size_t i = 0; i < lbw_plan_num_others(plan); i++) {
        const struct lbw_plan_other *other = lbw_plan_other(plan, i);
        fputs(i ? "  " : "\noperators with weights outside the plan:\n  ", to);
        lbw_print_clean(to, other->op);
        fprintf(to, ": %s in %zu weight%s%s%s\n", lbw_text_bytes(size, other->bytes),
                other->num_weights, other->num_weights == 1 ? "" : "s",
                *other->note ? "; " : "", other->note);
    }
}

/* The time that calibration took, by part. */
static void print_seconds(FILE *to, const struct lbw_report *report)
{
    char runtime[LBW_TEXT_SIZE], fit[LBW_TEXT_SIZE];
    if (report->calibrated)
        fprintf(to, "%s in ONNX Runtime, %s fitting layers\n",
                lbw_text_seconds(runtime, report->runtime_seconds),
                lbw_text_seconds(fit, report->fit_seconds));
}

/* The loss in the unit of --bits auto, whose own is that of weights alone. */
static void print_activations(FILE *to, const struct lbw_report *report)
{
    fprintf(to,
            "  activations: %zu of %zu in 8 bits; %zu layer%s on integers (--report lists "
            "them)\n",
            report->num_rounded, report->num_edges, report->num_integer,
            report->num_integer == 1 ? "" : "s");
    if (isfinite(report->rounding_loss))
        fprintf(to, "  predicted loss of rounding activations: %.2f (1: all weights on 4x2)\n",
                report->rounding_loss);
    if (!isnan(report->squares_agreement))
        fprintf(to,
                "  ranges by %s of errors: agreement with the float model's boxes %.3f, by %s "
                "%.3f\n",
                report->range_power == 2 ? "squares" : "fourth powers",
                fmax(report->fourths_agreement, report->squares_agreement),
                report->range_power == 2 ? "fourth powers" : "squares",
                fmin(report->fourths_agreement, report->squares_agreement));
}

static void print_summary(FILE *to, const struct lbw_report *report,
                          const struct lbw_summary *summary, bool all_layers)
{
    char time[LBW_TEXT_SIZE], count[LBW_TEXT_SIZE];
    lbw_print_clean(to, summary->output);
    fprintf(to, ": %zu of %zu weight%s (%s parameters) in %s\n", report->num_converted,
            report->num_rows, report->num_rows == 1 ? "" : "s",
            lbw_text_count(count, report->num_weights),
            lbw_text_seconds(time, summary->seconds));
    if (!report->num_converted) {
        print_left_alone(to, report);
        lbw_print_others(to, summary->plan);
        return;
    }
    fprintf(to, "encoding %s, ", lbw_encoding_name(summary->encoding));
    if (report->calibrated && report->num_calibrated == report->num_converted)
        fputs("calibrated with ", to);
    else if (report->calibrated)
        fprintf(to, "calibrated %zu of %zu layers with ", report->num_calibrated,
                report->num_converted);
    else
        fputs("projected without calibration", to);
    lbw_print_line(to, report->calibrated ? summary->data : "");
    print_seconds(to, report);
    if (summary->kept)
        print_kept(to, summary->kept);
    putc('\n', to);
    print_sizes(to, report);
    if (all_layers)
        print_snr(to, report);
    print_all(to, report);
    if (report->num_edges)
        print_activations(to, report);
    print_reasons(to, report, "only projected, not calibrated", why_projected);
    print_reasons(to, report, "stored as plain values", why_plain);
    print_left_alone(to, report);
    lbw_print_others(to, summary->plan);
}

static json_t *kept_json(const struct lbw_check_result *kept)
{
    json_t *out = json_object(), *outputs = json_array();
    lbw_json_set(&out, "samples", json_integer((json_int_t)kept->num_samples));
    if (kept->is_of_boxes) {
        lbw_json_set(&out, "boxes", json_integer((json_int_t)kept->num_boxes));
        lbw_json_set(&out, "lost", json_integer((json_int_t)kept->num_lost));
        lbw_json_set(&out, "invented", json_integer((json_int_t)kept->num_invented));
        lbw_json_set(&out, "at_least", lbw_json_real(lbw_check_at_least(kept)));
    }
    if (kept->is_of_layers)
        lbw_json_set(&out, "of_layers", lbw_json_text(kept->reason));
    for (size_t i = 0; i < kept->num_rows; i++) {
        json_t *row = json_object();
        lbw_json_set(&row, "output", lbw_json_text(kept->rows[i].name));
        lbw_json_set(&row, "values", json_integer((json_int_t)kept->rows[i].num_values));
        lbw_json_set(&row, "snr", lbw_json_real(kept->rows[i].snr));
        lbw_json_set(&row, "cosine", lbw_json_real(kept->rows[i].cosine));
        lbw_json_append(&outputs, row);
    }
    lbw_json_set(&out, "outputs", outputs);
    return out;
}

/* The library's report, with the check on held-back samples. */
static enum lbw_status print_report(char **out, const struct lbw_report *report,
                                    const struct lbw_check_result *kept, struct lbw_error *err)
{
    enum lbw_status status = lbw_report_print(out, report, err);
    if (status != LBW_OK || !kept || !kept->num_samples)
        return status;
    json_t *root = json_loads(*out, 0, NULL);
    lbw_free(*out);
    lbw_json_set(&root, "kept", kept_json(kept));
    *out = root ? json_dumps(root, JSON_INDENT(1) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9))
                : NULL;
    json_decref(root);
    if (*out)
        return LBW_OK;
    *err = (struct lbw_error){LBW_ERR_MEMORY, "out of memory"};
    return LBW_ERR_MEMORY;
}

const char *lbw_report_title(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static bool is_page(const char *path)
{
    const char *end = strrchr(path, '.');
    return end && strcmp(end, ".html") == 0;
}

enum lbw_status lbw_report_save(const struct lbw_report_values *values,
                                const struct lbw_page_params *page, struct lbw_error *err)
{
    if (!values->report)
        return LBW_OK;
    char *text = NULL;
    enum lbw_status status;
    LBW_OR_OUT(is_page(values->report) ? lbw_page_print(&text, page, err)
                                       : print_report(&text, page->report, page->kept, err));
    LBW_OR_OUT(lbw_save_text(values->report, text, err));
out:
    lbw_free(text);
    return status;
}

enum lbw_status lbw_report_show(FILE *to, const struct lbw_report_values *values,
                                const struct lbw_report *report,
                                const struct lbw_summary *summary, struct lbw_error *err)
{
    if (!values->json) {
        if (!values->quiet)
            print_summary(to, report, summary, values->layers);
        return LBW_OK;
    }
    char *text = NULL;
    enum lbw_status status = print_report(&text, report, summary->kept, err);
    if (status == LBW_OK)
        fputs(text, to);
    lbw_free(text);
    return status;
}
