/* SPDX-License-Identifier: MIT */
/* Choosing the grids of a conversion by detection tests. */
#ifndef LBW_SEARCH_H
#define LBW_SEARCH_H

#include <lbw/convert.h>
#include <lbw/eval.h>
#include <lbw/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One calibrated conversion with its detection test. */
struct lbw_search_trial {
    size_t number;    /* from 1, the plan that the search starts from */
    const char *what; /* "depthwise layers finer"; valid during the call only */
    /* AP, AP50, AP75: against the labels, or without labels against the float model's boxes. */
    double ap, ap50, ap75;
    double kept;            /* share of the float model's boxes that have a partner; 0 … 1 */
    uint64_t size;          /* of the model file */
    double bits_per_weight; /* codes and scales, over all searched weights */
    double snr;             /* as in struct lbw_report */
    double mu;              /* of LBW_METHOD_THRESHOLD; else 0 */
    bool fits;              /* size is within the target; with `keep`, kept is */
    bool is_best;           /* so far */
    double seconds;
};

typedef void (*lbw_search_log_fn)(void *user, const struct lbw_search_trial *trial);
typedef void (*lbw_search_note_fn)(void *user, const char *note);

/* Zero means the default; only `test` is required. */
struct lbw_search_params {
    /*
     * The plan that the search starts from; weights that it keeps in float stay float. With
     * LBW_METHOD_THRESHOLD, µ is searched too. NULL: zero-initialised.
     */
    const struct lbw_plan_params *plan;
    const struct lbw_prepare_params *prepare; /* NULL: zero-initialised */
    const char *plan_file;                    /* for lbw_plan_apply() to it; NULL: none */
    /*
     * The calibration set of each conversion; independent is ignored. With a hold_back of 0, as
     * many samples are held back as by lbw_check_open(). NULL: projection only.
     */
    const struct lbw_calibrate_params *calibrate;
    double damping;
    struct lbw_encode_params encode;
    /* The detection test; the search fills in reference and progress. */
    const struct lbw_eval_params *test;
    const struct lbw_dataset *quick; /* fewer images, to test layers one by one; NULL: all */
    uint64_t target_size;            /* bytes of the model file; 0: the size at the start */
    double target_bits; /* per searched weight, float ones included; 0: use target_size */
    /*
     * Searches for the smallest plan whose tests keep this share of the float model's boxes,
     * instead of the best of a size. Not with LBW_METHOD_THRESHOLD, a target or grids. 0: no.
     */
    double keep;
    /* To choose from; NULL: all that the method supports. */
    const struct lbw_grid *const *grids;
    size_t num_grids;
    size_t max_trials;  /* 0: 16 */
    double max_seconds; /* no trial starts later; 0: no limit */
    /* `done` trials of `total`; one call at a time, but from any thread. */
    lbw_progress_fn progress;
    void *user;
    lbw_search_log_fn log; /* called after each trial; NULL: none */
    /* Called for each note of the first test (images left out) and plan. NULL: none. */
    lbw_search_note_fn note;
    void *log_user; /* of both */
};

struct lbw_search_result {
    /* For lbw_plan_apply(); comments at the top log all trials. Owned. */
    char *plan;
    struct lbw_search_trial start, best; /* `what` is NULL */
    uint64_t target_size;                /* with `keep`: a little less than best.size */
    size_t num_trials;
    size_t num_weights; /* searched */
    double float_ap; /* of the float model against the labels; 1 without labels, 0: unknown */
    /* `progress` stopped it after the first trial; this is the best so far */
    bool is_interrupted;
};

/*
 * Searches for a plan for the model at `path`, which is opened again for each trial:
 *
 * 1. Unless `grids` are given, it tries the plan of lbw_plan_choose_bits() for the target, so
 *    that the result is never worse than that plan.
 * 2. It rounds every layer to every candidate grid, each layer independently, for the error and
 *    size of each layer on each grid.
 * 3. It rounds each layer alone and counts the boxes of the float model that are still found:
 *    this gives the layer's factor in the sum of errors.
 * 4. It spends bytes where they reduce that sum most, then raises and lowers the factors of
 *    groups of layers as long as detection tests improve.
 *
 * With `keep`, step 1 bisects the bits per weight six times, and the other steps search below
 * the smallest size so far.
 *
 * The same input on the same machine gives the same plan, unless max_seconds stops it. Free
 * *out with lbw_search_result_free(). LBW_ERR_ARGUMENT: a target that no plan meets, a share
 * that no trial keeps, no weights to search, or images without labels in which the float
 * model finds nothing.
 * LBW_ERR_INTERRUPTED when `progress` stopped it before there was a plan.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_search(struct lbw_search_result **out,
                                                 const char *path,
                                                 const struct lbw_search_params *params,
                                                 struct lbw_error *err);
LBW_API void lbw_search_result_free(struct lbw_search_result **result);

#ifdef __cplusplus
}
#endif

#endif
