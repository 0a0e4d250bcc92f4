/* SPDX-License-Identifier: MIT */
/* How fast models run in ONNX Runtime: several in one run, interleaved. */
#ifndef LBW_BENCH_H
#define LBW_BENCH_H

#include <stdbool.h>

#include <lbw/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero-initialised: two seconds per model, all processors, native kernels where they are found.
 */
struct lbw_bench_params {
    double seconds;       /* of measuring per model; 0: 2 */
    size_t num_runs;      /* per model, whatever time that takes; 0: what `seconds` allow */
    unsigned num_threads; /* of the runtime; 0: all processors */
    int width, height;    /* of inputs of open size; 0: the model's own */
    bool no_native;       /* leave the operator library out, see lbw_native_library() */
    lbw_progress_fn progress;
    void *user;
};

/* A median with the quartiles below and above it. */
struct lbw_spread {
    double median;
    double low;
    double high;
};

struct lbw_bench_model {
    double load_seconds;       /* from bytes in memory to a session */
    double first_seconds;      /* the first run */
    struct lbw_spread seconds; /* of one run */
    /* Time of the first model over the time of this one, in the same round: above 1 is faster.
     */
    struct lbw_spread speed;
};

struct lbw_bench {
    size_t num_runs; /* rounds measured; in each, every model ran once */
    size_t num_models;
    struct lbw_bench_model *models; /* in the order given */
};

/*
 * Feeds every model one generated picture of its own size and times it: a few rounds to warm
 * up, then rounds in which the models take turns, so that whatever else the machine does meets
 * all of them alike. LBW_ERR_ARGUMENT without models; LBW_ERR_RUNTIME when ONNX Runtime is
 * missing or refuses a model. Freed by lbw_bench_free().
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_bench(struct lbw_bench **out, struct lbw_model *const *models, size_t num_models,
          const struct lbw_bench_params *params, struct lbw_error *err);
LBW_API void lbw_bench_free(struct lbw_bench **bench);

#ifdef __cplusplus
}
#endif

#endif
