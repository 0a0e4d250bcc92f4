/* SPDX-License-Identifier: MIT */
/* What `quantize` and `tune` share: from a model file and options to a converted one. */
#ifndef LBW_SRC_CLI_CONVERSION_H
#define LBW_SRC_CLI_CONVERSION_H

#include <lbw/lbw.h>

#include "cli/calibrate_options.h"
#include "cli/encode_options.h"
#include "cli/picture.h"
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

/* Everything such a command opens; closed in one place by lbw_conversion_close(). */
struct lbw_conversion {
    const struct lbw_conversion_values *v;
    const char *input;
    struct lbw_model *model;
    struct lbw_plan *plan;
    struct lbw_picture picture;
    struct lbw_activations *activations; /* the command's to open; NULL: only round */
    struct lbw_report *report;
    bool is_auto; /* bits were chosen: */
    struct lbw_budget budget;
    bool wants_check; /* samples are held back, and what is kept is measured on them */
    struct lbw_check *check;
    struct lbw_check_result kept; /* num_samples is 0 where nothing was measured */
    size_t num_held;              /* samples to hold back; 0: as the library does */
    double loss;                  /* predicted loss allowed to --bits auto; 0: the library's */
    char data[320];               /* what it learned from, for the summary */
    struct lbw_error err;
};

/* Whether the options go together; else it is explained, and LBW_EXIT_USAGE ends it. */
bool lbw_conversion_is_usable(const struct lbw_conversion_values *values, const char *command);

/* Opens the model and plans it, which for --bits auto looks at calibration data. */
enum lbw_status lbw_conversion_open(struct lbw_conversion *c);

/* Fills `data`: so many samples of the source. */
void lbw_conversion_describe(struct lbw_conversion *c, size_t num);

/* Converts, with training where there is a tuner, and saves model and report. */
enum lbw_status lbw_conversion_run(struct lbw_conversion *c, struct lbw_tuner *tuner);

/* The two halves of it: all but saving, and that. */
enum lbw_status lbw_conversion_convert(struct lbw_conversion *c, struct lbw_tuner *tuner);
enum lbw_status lbw_conversion_save(struct lbw_conversion *c);

/* Opens and plans anew after a conversion, with the same samples held back. */
enum lbw_status lbw_conversion_again(struct lbw_conversion *c);

/* Prints the summary, or what the options want instead. */
enum lbw_status lbw_conversion_show(struct lbw_conversion *c);

void lbw_conversion_close(struct lbw_conversion *c);

#endif
