/* SPDX-License-Identifier: MIT */
/* Choosing the free parameters of a conversion by detection tests. */
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
    size_t number;    /* from 1, which is the plan that the search starts from */
    const char *what; /* "depthwise layers finer"; valid during the call only */
    /* AP, AP50, AP75: against the labels, or without labels against the float model's boxes. */
    double ap, ap50, ap75;
    uint64_t size;          /* of the model file */
    double bits_per_weight; /* codes and scales, over all searched weights */
    double snr;             /* as in struct lbw_report */
    double mu;              /* of LBW_METHOD_THRESHOLD; else 0 */
    bool fits;              /* size is within the target */
    bool is_best;           /* so far */
    double seconds;
};

typedef void (*lbw_search_log_fn)(void *user, const struct lbw_search_trial *trial);
typedef void (*lbw_search_note_fn)(void *user, const char *note);

/* Zero means the default, but for `test`, which is required. */
struct lbw_search_params {
    /*
     * Where the search starts; weights that this plan leaves alone stay so. With
     * LBW_METHOD_THRESHOLD µ is searched too. NULL: zero-initialised.
     */
    const struct lbw_plan_params *plan;
    const struct lbw_prepare_params *prepare; /* NULL: zero-initialised */
    const char *plan_file;                    /* put over it by lbw_plan_apply(); NULL: none */
    /* What each conversion looks at; independent is ignored. NULL: projection alone. */
    const struct lbw_calibrate_params *calibrate;
    double damping;
    struct lbw_encode_params encode;
    /* The detection test; reference and progress are filled in by the search. */
    const struct lbw_eval_params *test;
    const struct lbw_dataset *quick; /* fewer pictures, to test layers one by one; NULL: all */
    uint64_t target_size; /* bytes of the model file; 0: as large as where the search starts */
    double target_bits;   /* bits per searched weight, kept ones counted; 0: target_size */
    const struct lbw_grid *const *grids; /* to choose from; NULL: those the method can do */
    size_t num_grids;
    size_t max_trials;        /* 0: 16 */
    double max_seconds;       /* no trial begins later; 0: no limit */
    lbw_progress_fn progress; /* `done` trials of `total` */
    void *user;
    lbw_search_log_fn log; /* called after each trial; NULL: none */
    /* Called with each note of the first test: pictures left out, and why. NULL: none. */
    lbw_search_note_fn note;
    void *log_user; /* of both */
};

struct lbw_search_result {
    /* For lbw_plan_apply(), the log of all trials in comments at its head; owned. */
    char *plan;
    struct lbw_search_trial start, best; /* `what` is NULL */
    uint64_t target_size;
    size_t num_trials;
    size_t num_weights; /* searched */
    double float_ap; /* of the float model against the labels; 1 without labels, 0 if unknown */
    bool is_interrupted; /* by `progress`, after the first trial: the best one until then */
};

/*
 * Searches for the model at `path`, which is opened anew for each trial:
 *
 * 1. the plan of lbw_plan_choose_bits() for the target is tried, unless `grids` are given: the
 *    search ends no worse;
 * 2. every candidate grid is tried on all layers at once, each layer for itself, which gives
 *    each layer's error and size on each grid;
 * 3. each layer is rounded alone and the float model's boxes are looked for: a layer's weight
 *    in the sum of errors;
 * 4. bytes go where they take away most of that sum; then the weights of groups of layers are
 *    raised and lowered as long as detection tests agree.
 *
 * The same input on the same machine gives the same plan, unless time ran out. *out is freed by
 * lbw_search_result_free(). LBW_ERR_ARGUMENT: a target that no plan meets, nothing to search,
 * pictures without labels in which the float model finds nothing;
 * LBW_ERR_INTERRUPTED when `progress` asked for it before there was a plan.
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
