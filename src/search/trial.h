/* SPDX-License-Identifier: MIT */
/* One conversion in memory, and its detection test. */
#ifndef LBW_SRC_SEARCH_TRIAL_H
#define LBW_SRC_SEARCH_TRIAL_H

#include <lbw/search.h>

#include "base/error.h"

/* What all trials share. Borrowed. */
struct lbw_bench {
    const char *path;
    const struct lbw_search_params *params;
    struct lbw_model *reference; /* the float model */
    const size_t *items;         /* plan items that are searched; NULL: not yet known */
    size_t num;
    lbw_progress_fn progress;
    void *user;
};

/* Checks what no conversion or test would reject early; they check the rest themselves. */
enum lbw_status lbw_search_check(const char *path, const struct lbw_search_params *params,
                                 struct lbw_error *err);

/*
 * A conversion by the plan found holds samples back to check its result. Trials are fitted
 * without them as well, so that it gives the model that was judged.
 */
enum lbw_status lbw_trial_hold_back(struct lbw_calibrate_params *calibrate,
                                    const struct lbw_bench *bench, struct lbw_error *err);

/* Zero-initialise; lbw_trial_close() frees. */
struct lbw_trial {
    struct lbw_model *model;
    struct lbw_plan *plan;
    struct lbw_report *report;
};

enum lbw_effort {
    LBW_EFFORT_PROJECT,     /* no calibration */
    LBW_EFFORT_INDEPENDENT, /* each layer independently */
    LBW_EFFORT_FULL,        /* as the result will be converted */
};

/*
 * Opens and plans; grids[i] (NULL: float) is for items[i], and `grids` may be NULL. Only plans
 * for the full effort have 8-bit activations, if the search has.
 */
enum lbw_status lbw_trial_open(struct lbw_trial *out, const struct lbw_bench *bench,
                               enum lbw_effort effort, const struct lbw_grid *const *grids,
                               double mu, struct lbw_error *err);
enum lbw_status lbw_trial_convert(struct lbw_trial *trial, const struct lbw_bench *bench,
                                  enum lbw_effort effort,
                                  const struct lbw_encode_params *encode,
                                  struct lbw_error *err);
void lbw_trial_close(struct lbw_trial *trial);

/* Codes and scales of the searched weights, and kept ones as they are. */
uint64_t lbw_trial_weight_bytes(const struct lbw_trial *trial, const struct lbw_bench *bench);

/* The tests of models. */
enum lbw_judge {
    LBW_JUDGE_TEST,  /* all images: against labels, if there are any */
    LBW_JUDGE_QUICK, /* the quick images: against the float model's boxes */
};

/* What a test of a model found. */
struct lbw_verdict {
    struct lbw_ap ap;
    double kept; /* share of the float model's boxes */
};

/*
 * `out` takes one item per model. The first test of a search, which no items are known in, also
 * passes its notes on, and fails where it cannot tell good from bad.
 */
enum lbw_status lbw_trial_judge(struct lbw_verdict *out, struct lbw_model *const *models,
                                size_t num_models, const struct lbw_bench *bench,
                                enum lbw_judge judge, struct lbw_error *err);

#endif
