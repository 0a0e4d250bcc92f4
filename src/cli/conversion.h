/* SPDX-License-Identifier: MIT */
/*
 * The common part of `quantize` and `tune`: from a model file and options to a converted one.
 */
#ifndef LBW_SRC_CLI_CONVERSION_H
#define LBW_SRC_CLI_CONVERSION_H

#include <lbw/lbw.h>

#include "cli/calibrate_options.h"
#include "cli/encode_options.h"
#include "cli/picture_options.h"
#include "cli/plan_options.h"
#include "cli/save.h"
#include "cli/summary.h"

/* One member of a command's struct of values. */
struct lbw_conversion_values {
    struct lbw_output_values output;
    struct lbw_plan_values plan;
    struct lbw_encode_values encode;
    struct lbw_calibrate_values calib;
    struct lbw_picture_values picture;
    struct lbw_report_values report;
    const char *state;
};

/* Everything that such a command opens; lbw_conversion_close() closes it. */
struct lbw_conversion {
    const struct lbw_conversion_values *v;
    const char *input;
    struct lbw_model *model;
    struct lbw_plan *plan;
    struct lbw_picture picture;
    struct lbw_activations *activations; /* opened by the command; NULL: round only */
    struct lbw_activations *ranges;      /* the same, for 8-bit activations after training */
    struct lbw_report *report;
    bool is_auto; /* bits were chosen: */
    struct lbw_budget budget;
    bool wants_check; /* hold samples back, and check the result on them */
    bool only_plans;  /* then they are held back for --bits auto alone */
    struct lbw_check *check;
    struct lbw_check_result kept; /* num_samples is 0 if nothing was checked */
    struct lbw_error unchecked;   /* why nothing could be checked; no message: it was */
    size_t num_noted;             /* of the plan's notes: printed */
    size_t num_held;              /* samples to hold back; 0: the library's default */
    double loss;       /* predicted loss allowed with --bits auto; 0: the library's default */
    char data[320];    /* the calibration set, for the summary */
    bool is_described; /* what was assumed about the input was printed */
    struct lbw_error err;
};

/* Whether the options go together; if not, explains it: return LBW_EXIT_USAGE. */
bool lbw_conversion_is_usable(const struct lbw_conversion_values *values, const char *command);

/* Opens and plans the model; for --bits auto this uses calibration data. */
enum lbw_status lbw_conversion_open(struct lbw_conversion *c);

/* Fills `data`: "64 samples of SOURCE", or as `assumed` (may be NULL) counts generated ones. */
void lbw_conversion_describe(struct lbw_conversion *c, size_t num, const char *assumed);

/* Converts, with training if there is a tuner, and saves model and report. */
enum lbw_status lbw_conversion_run(struct lbw_conversion *c, struct lbw_tuner *tuner);

/* Its two halves. */
enum lbw_status lbw_conversion_convert(struct lbw_conversion *c, struct lbw_tuner *tuner);
enum lbw_status lbw_conversion_save(struct lbw_conversion *c);

/* Opens and plans again after a conversion, with the same samples held back. */
enum lbw_status lbw_conversion_again(struct lbw_conversion *c);

/* Prints the summary, or what the options ask for instead. */
enum lbw_status lbw_conversion_show(struct lbw_conversion *c);

void lbw_conversion_close(struct lbw_conversion *c);

#endif
