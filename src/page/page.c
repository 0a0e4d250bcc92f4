/* SPDX-License-Identifier: MIT */
/* The page: sizes and kept boxes, the network as strips of bars, trials, a table of layers. */
#include <lbw/page.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "page/charts.h"
#include "page/markup.h"
#include "page/pictures.h"
#include "page/style.h"

static void print_size_cards(FILE *to, const struct lbw_report *report)
{
    char before[LBW_MARKUP_SIZE], after[LBW_MARKUP_SIZE];
    double share = 100.0 * (double)report->bytes_after /
                   (double)(report->bytes_before ? report->bytes_before : 1);
    fprintf(to,
            "<div><span>Model file</span><b>%s</b><span>%.1f %% of %s</span></div>\n"
            "<div><span>Bits per weight</span><b>%.2f</b><span>scales included; %zu of %zu "
            "weight%s converted</span></div>\n",
            lbw_markup_bytes(after, report->bytes_after), share,
            lbw_markup_bytes(before, report->bytes_before), report->bits_per_weight,
            report->num_converted, report->num_rows, report->num_rows == 1 ? "" : "s");
}

/* "exact" of values, and not of none. */
static const char *markup_kept(char out[LBW_MARKUP_SIZE], const struct lbw_check_row *row)
{
    return lbw_markup_snr(out, row->num_values ? row->snr : (double)NAN);
}

static void print_kept_card(FILE *to, const struct lbw_check_result *kept)
{
    const char *plural = kept->num_samples == 1 ? "" : "s";
    char snr[LBW_MARKUP_SIZE];
    if (kept->is_of_boxes)
        fprintf(to,
                "<div><span>Boxes kept</span><b>%zu %%</b><span>%zu of %zu of the float "
                "model’s, on %zu held-back sample%s</span></div>\n",
                100 * (kept->num_boxes - kept->num_lost) / kept->num_boxes, /* 100 is all */
                kept->num_boxes - kept->num_lost, kept->num_boxes, kept->num_samples, plural);
    else if (kept->num_rows)
        fprintf(to,
                "<div><span>First output</span><b>%s</b><span>cosine %.4f, on %zu held-back "
                "sample%s</span></div>\n",
                markup_kept(snr, &kept->rows[0]), kept->rows[0].cosine, kept->num_samples,
                plural);
}

static void print_cards(FILE *to, const struct lbw_page_params *p)
{
    fputs("<div class=\"cards\">\n", to);
    if (p->report)
        print_size_cards(to, p->report);
    if (p->kept && p->kept->num_samples)
        print_kept_card(to, p->kept);
    if (p->budget && isfinite(p->budget->loss))
        fprintf(to,
                "<div><span>Predicted loss</span><b>%.2f</b><span>1 is the loss of grid "
                "4x2 everywhere</span></div>\n",
                p->budget->loss);
    if (p->report && p->report->num_edges && isfinite(p->report->rounding_loss))
        fprintf(to,
                "<div><span>Predicted loss of 8-bit activations</span><b>%.2f</b><span>added "
                "to that of weights</span></div>\n",
                p->report->rounding_loss);
    fputs("</div>\n", to);
}

/* The float model's boxes and the converted model's, as one bar. */
static void print_boxes(FILE *to, const struct lbw_check_result *kept)
{
    const size_t nums[] = {kept->num_boxes - kept->num_lost, kept->num_lost,
                           kept->num_invented};
    static const char *const names[] = {"kept", "lost", "invented"};
    static const char *const looks[] = {"one", "bad", "warn"};
    size_t at = 0, all = nums[0] + nums[1] + nums[2];
    fprintf(to,
            "<h2>Boxes</h2>\n<p>Boxes with scores of at least 0.4. One is kept if the "
            "converted model "
            "has a box of the same class with an IoU of at least 0.5.</p>\n<svg class=\"low\" "
            "viewBox=\"0 0 %zu 1\" "
            "preserveAspectRatio=\"none\" "
            "role=\"img\"><title>%zu kept, %zu lost, %zu invented</title>",
            all, nums[0], nums[1], nums[2]);
    for (size_t i = 0; i < 3; at += nums[i++])
        if (nums[i])
            fprintf(to,
                    "<rect class=\"%s\" x=\"%zu\" y=\"0\" width=\"%zu\" height=\"1\">"
                    "<title>%zu %s</title></rect>",
                    looks[i], at, nums[i], nums[i], names[i]);
    fputs("</svg>\n<p>", to);
    for (size_t i = 0; i < 3; i++)
        fprintf(to, "<span class=\"key %s\"></span>%zu %s", looks[i], nums[i], names[i]);
    fputs("</p>\n", to);
}

static enum lbw_status print_outputs(FILE *to, const struct lbw_check_result *kept,
                                     struct lbw_error *err)
{
    char snr[LBW_MARKUP_SIZE];
    fputs("<h2>Outputs</h2>\n<div class=\"wide\"><table><tr><th class=\"name\">output</th>"
          "<th>SNR</th><th>cosine</th></tr>\n",
          to);
    for (size_t i = 0; i < kept->num_rows; i++) {
        fputs("<tr><td class=\"name\">", to);
        LBW_TRY(lbw_markup_text(to, kept->rows[i].name, err));
        fprintf(to, "</td><td>%s</td><td>%.4f</td></tr>\n", markup_kept(snr, &kept->rows[i]),
                kept->rows[i].cosine);
    }
    fputs("</table></div>\n", to);
    return LBW_OK;
}

static enum lbw_status print_row(FILE *to, const struct lbw_report_row *row,
                                 struct lbw_error *err)
{
    char before[LBW_MARKUP_SIZE], after[LBW_MARKUP_SIZE];
    const struct lbw_plan_item *item = row->item;
    fputs("<tr><td class=\"name\">", to);
    LBW_TRY(lbw_markup_text(to, item->node, err));
    fputs("</td><td>", to);
    for (size_t i = 0; i < item->num_dims; i++)
        fprintf(to, "%s%lld", i ? "×" : "", (long long)item->dims[i]);
    if (row->converted)
        fprintf(to, "</td><td>%s</td><td>%.2f</td><td>%s</td><td>%s</td>", item->grid->name,
                8.0 * (double)row->bytes_after / (double)(item->count ? item->count : 1),
                lbw_markup_snr(before, row->snr_projection), lbw_markup_snr(after, row->snr));
    else
        fputs("</td><td>float</td><td>–</td><td>–</td><td>–</td>", to);
    fputs("<td class=\"name\">", to);
    LBW_TRY(lbw_markup_text(to, *row->note ? row->note : row->how, err));
    fputs("</td></tr>\n", to);
    return LBW_OK;
}

static enum lbw_status print_layers(FILE *to, const struct lbw_report *report,
                                    struct lbw_error *err)
{
    fprintf(to,
            "<details><summary>All %zu weights</summary><div class=\"wide\"><table><tr>"
            "<th class=\"name\">node</th><th>shape</th><th>grid</th><th>bits</th>"
            "<th>SNR rounded</th><th>SNR fitted</th><th class=\"name\">how</th></tr>\n",
            report->num_rows);
    for (size_t i = 0; i < report->num_rows; i++)
        LBW_TRY(print_row(to, lbw_report_row(report, i), err));
    fputs("</table></div></details>\n", to);
    return LBW_OK;
}

static enum lbw_status print_head(FILE *to, const struct lbw_page_params *p,
                                  struct lbw_error *err)
{
    const struct lbw_report *report = p->report;
    fputs("<section class=\"lbw-page\" lang=\"en\">\n<h1>", to);
    LBW_TRY(lbw_markup_text(to, p->title ? p->title : "model", err));
    fputs("</h1>\n<p>", to);
    if (report && report->calibrated && p->data && *p->data) {
        fprintf(to, "calibrated %zu of %zu layers with ", report->num_calibrated,
                report->num_converted);
        LBW_TRY(lbw_markup_text(to, p->data, err));
    } else if (report) {
        fputs(report->calibrated ? "calibrated" : "rounded without calibration", to);
    } else {
        fprintf(to, "%zu trial%s of a search", p->num_trials, p->num_trials == 1 ? "" : "s");
    }
    fputs("</p>\n", to);
    return LBW_OK;
}

static enum lbw_status print_section(FILE *to, const struct lbw_page_params *p,
                                     struct lbw_error *err)
{
    LBW_TRY(print_head(to, p, err));
    if (p->report)
        print_cards(to, p);
    if (p->kept && p->kept->num_samples && p->kept->is_of_boxes)
        print_boxes(to, p->kept);
    if (p->check && p->kept && p->kept->is_of_boxes)
        LBW_TRY(lbw_pictures_print(to, p->check, p->kept->num_samples, err));
    if (p->report)
        LBW_TRY(lbw_charts_print(to, p->report, err));
    if (p->num_trials)
        lbw_chart_trials(to, p->trials, p->num_trials);
    if (p->kept && p->kept->num_samples && p->kept->num_rows)
        LBW_TRY(print_outputs(to, p->kept, err));
    if (p->report)
        LBW_TRY(print_layers(to, p->report, err));
    fputs("</section>\n", to);
    return LBW_OK;
}

static enum lbw_status print_page(FILE *to, const struct lbw_page_params *p,
                                  struct lbw_error *err)
{
    if (!p->is_fragment) {
        fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
              "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
              "<title>",
              to);
        LBW_TRY(lbw_markup_text(to, p->title ? p->title : "model", err));
        fputs(" – lbw</title>\n<style>:root{color-scheme:light dark}body{margin:0}"
              "@media(prefers-color-scheme:dark){body{background:#0d1117}}</style>\n"
              "</head>\n<body>\n",
              to);
    }
    fprintf(to, "<style>\n%s</style>\n", style);
    LBW_TRY(print_section(to, p, err));
    if (!p->is_fragment)
        fputs("</body>\n</html>\n", to);
    return LBW_OK;
}

enum lbw_status lbw_page_print(char **out, const struct lbw_page_params *params,
                               struct lbw_error *err)
{
    LBW_TRY(lbw_check_given("params", params, err));
    if (!params->report && !params->num_trials)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "a page needs a report or trials");
    LBW_TRY(lbw_check_list("trials", params->trials, params->num_trials, err));
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return lbw_fail_memory(err);
    enum lbw_status status = print_page(to, params, err);
    bool is_lost = ferror(to) != 0;
    if ((fclose(to) != 0 || is_lost) && status == LBW_OK)
        status = lbw_fail_memory(err);
    if (status == LBW_OK)
        *out = text;
    else
        free(text);
    return status;
}
