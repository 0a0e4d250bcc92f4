/* SPDX-License-Identifier: MIT */
/* Draws the strips: a bar per layer, in the order of the network. */
#include "page/charts.h"

#include <math.h>

#include "base/error.h"
#include "page/markup.h"

#define FEWEST_SLOTS 12 /* so that one layer does not fill the page */

/* One number of a layer; NaN if it has none. */
typedef double (*value_fn)(const struct lbw_report_row *row);

static double bits_of(const struct lbw_report_row *row)
{
    return row->converted && row->item->count
               ? 8.0 * (double)row->bytes_after / (double)row->item->count
               : NAN;
}

static double fitted_snr(const struct lbw_report_row *row)
{
    return row->converted ? row->snr : NAN;
}

static double rounded_snr(const struct lbw_report_row *row)
{
    return row->converted ? row->snr_projection : NAN;
}

static double predicted_loss(const struct lbw_report_row *row)
{
    return row->converted && row->item->is_chosen ? row->item->predicted_loss : NAN;
}

struct strip {
    const char *title, *note;
    value_fn value, under;             /* `under`: a second bar in the same place; NULL: none */
    const char *value_key, *under_key; /* NULL: no legend */
    bool shows_float;                  /* layers that stay float are grey bars of full height */
    double unit; /* the axis ends at a multiple of it; 0: at the largest value */
};

static const struct strip strips[] = {
    {.title = "Bits per weight",
     .note = "One bar per layer, in the order of the network; scales included.",
     .value = bits_of,
     .value_key = "converted",
     .under_key = "kept in float",
     .shows_float = true,
     .unit = 2},
    {.title = "Signal-to-noise ratio of each layer, dB",
     .note = "Higher is better; 6 dB more is half the error.",
     .value = fitted_snr,
     .under = rounded_snr,
     .value_key = "after fitting",
     .under_key = "rounded only",
     .unit = 10},
    {.title = "Predicted loss of each layer",
     .note = "Relative to the total loss of grid 4x2 everywhere.",
     .value = predicted_loss},
};

/* The end of the axis; 0 if no layer has the number. */
static double top_of(const struct strip *strip, const struct lbw_report *report)
{
    double top = 0;
    for (size_t i = 0; i < report->num_rows; i++) {
        const struct lbw_report_row *row = lbw_report_row(report, i);
        double value = strip->value(row), under = strip->under ? strip->under(row) : NAN;
        if (isfinite(value))
            top = fmax(top, value);
        if (isfinite(under))
            top = fmax(top, under);
    }
    return strip->unit > 0 ? strip->unit * ceil(top / strip->unit) : top;
}

static void print_bar(FILE *to, const char *look, double x, double width, double share)
{
    double height = 100 * fmin(fmax(share, 0), 1);
    if (height > 0)
        fprintf(to, "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
                look, x, 100 - height, width, height);
}

static enum lbw_status print_title(FILE *to, const struct strip *strip,
                                   const struct lbw_report_row *row, struct lbw_error *err)
{
    char rounded[LBW_MARKUP_SIZE], fitted[LBW_MARKUP_SIZE];
    fputs("<title>", to);
    LBW_TRY(lbw_markup_text(to, row->item->node, err));
    if (!row->converted)
        fputs(": kept in float", to);
    else if (strip->value == bits_of)
        fprintf(to, ": grid %s, %.2f bits per weight", row->item->grid->name, bits_of(row));
    else if (strip->under)
        fprintf(to, ": %s rounded, %s fitted", lbw_markup_snr(rounded, row->snr_projection),
                lbw_markup_snr(fitted, row->snr));
    else
        fprintf(to, ": %.3g", strip->value(row));
    fputs("</title>", to);
    return LBW_OK;
}

/* The bar of a layer, and over it the area that responds to the pointer. */
static enum lbw_status print_layer(FILE *to, const struct strip *strip,
                                   const struct lbw_report_row *row, double x, double gap,
                                   double top, struct lbw_error *err)
{
    double width = 10 - gap, value = strip->value(row);
    fputs("<g>", to);
    LBW_TRY(print_title(to, strip, row, err));
    double under = strip->under ? strip->under(row) : NAN;
    if (strip->shows_float && !row->converted)
        print_bar(to, "keep", x, width, 1);
    if (under > value) /* the lower one in front, so that both are visible */
        print_bar(to, "two", x, width, under / top);
    if (!isnan(value))
        print_bar(to, "one", x, width, value / top);
    if (under <= value)
        print_bar(to, "two", x, width, under / top);
    fprintf(to, "<rect class=\"hit\" x=\"%.2f\" y=\"0\" width=\"10\" height=\"100\"/></g>\n",
            x);
    return LBW_OK;
}

static void print_key(FILE *to, const struct strip *strip)
{
    if (!strip->value_key)
        return;
    fprintf(to, "<p><span class=\"key one\"></span>%s<span class=\"key %s\"></span>%s</p>\n",
            strip->value_key, strip->under ? "two" : "keep", strip->under_key);
}

static enum lbw_status print_strip(FILE *to, const struct strip *strip,
                                   const struct lbw_report *report, double top,
                                   struct lbw_error *err)
{
    size_t num = report->num_rows, slots = num < FEWEST_SLOTS ? FEWEST_SLOTS : num;
    double gap = num <= 80 ? 2 : 0;
    fprintf(to,
            "<h2>%s</h2>\n<p>%s</p>\n<div class=\"chart\"><div class=\"axis\"><span>%.2g</span>"
            "<span>%.2g</span><span>0</span></div>\n<svg viewBox=\"0 0 %zu 100\" "
            "preserveAspectRatio=\"none\" role=\"img\"><title>%s</title>\n",
            strip->title, strip->note, top, top / 2, 10 * slots, strip->title);
    for (size_t i = 0; i < num; i++)
        LBW_TRY(
            print_layer(to, strip, lbw_report_row(report, i), 10 * (double)i, gap, top, err));
    fprintf(to,
            "</svg>\n<div class=\"ends\"><span>first layer</span><span>%s</span></div></div>\n",
            num > 1 ? "last layer" : "");
    print_key(to, strip);
    return LBW_OK;
}

enum lbw_status lbw_charts_print(FILE *to, const struct lbw_report *report,
                                 struct lbw_error *err)
{
    for (size_t i = 0; i < sizeof strips / sizeof *strips; i++) {
        struct strip strip = strips[i];
        if (!report->calibrated && strip.under) { /* there is only the rounded one */
            strip.under = NULL;
            strip.value_key = NULL;
        }
        double top = top_of(&strip, report);
        if (top > 0)
            LBW_TRY(print_strip(to, &strip, report, top, err));
    }
    return LBW_OK;
}

static void list_trials(FILE *to, const struct lbw_search_trial *trials, size_t num)
{
    fputs("<div class=\"wide\"><table><tr><th>trial</th><th>AP</th><th>AP50</th><th>bytes</th>"
          "<th>bits</th><th class=\"name\">result</th></tr>\n",
          to);
    for (size_t i = 0; i < num; i++)
        fprintf(to,
                "<tr><td>%zu</td><td>%.4f</td><td>%.4f</td><td>%llu</td><td>%.2f</td>"
                "<td class=\"name\">%s</td></tr>\n",
                trials[i].number, trials[i].ap, trials[i].ap50,
                (unsigned long long)trials[i].size, trials[i].bits_per_weight,
                !trials[i].fits     ? "too large"
                : trials[i].is_best ? "best so far"
                                    : "");
    fputs("</table></div>\n", to);
}

void lbw_chart_trials(FILE *to, const struct lbw_search_trial *trials, size_t num)
{
    double low = INFINITY, high = -INFINITY, least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < num; i++) {
        low = fmin(low, trials[i].ap);
        high = fmax(high, trials[i].ap);
        least = fmin(least, (double)trials[i].size);
        most = fmax(most, (double)trials[i].size);
    }
    double height = high > low ? high - low : 1, width = most > least ? most - least : 1;
    fprintf(to,
            "<h2>Average precision against file size</h2>\n<p>One point per trial; the upper "
            "left is best.</p>\n<div class=\"chart\"><div class=\"axis\"><span>%.4f</span>"
            "<span>%.4f</span></div>\n<svg role=\"img\"><title>Average precision against file "
            "size</title>\n",
            high, low);
    for (size_t i = 0; i < num; i++) {
        const struct lbw_search_trial *t = &trials[i];
        fprintf(to,
                "<circle class=\"%s\" cx=\"%.2f%%\" cy=\"%.2f%%\" r=\"5\"><title>trial %zu: AP "
                "%.4f, %llu bytes, %.2f bits%s</title></circle>\n",
                t->is_best ? "one"
                : t->fits  ? "two"
                           : "keep",
                3 + 94 * ((double)t->size - least) / width, 94 - 88 * (t->ap - low) / height,
                t->number, t->ap, (unsigned long long)t->size, t->bits_per_weight,
                t->fits ? "" : ", too large");
    }
    fprintf(
        to,
        "</svg>\n<div class=\"ends\"><span>%.0f bytes</span><span>%.0f</span></div></div>\n<p>"
        "<span class=\"key one\"></span>best so far<span class=\"key two\"></span>within "
        "the target<span class=\"key keep\"></span>too large</p>\n",
        least, most);
    list_trials(to, trials, num);
}
