/* SPDX-License-Identifier: MIT */
/* Timing models in ONNX Runtime, several interleaved in one run. */
#ifndef LBW_BENCH_H
#define LBW_BENCH_H

#include <stdbool.h>

#include <lbw/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero-initialised: two seconds per model, all processors, native kernels if found. */
struct lbw_bench_params {
    double seconds;       /* of measurement per model; 0: 2 */
    size_t num_runs;      /* per model, however long it takes; 0: as many as `seconds` allow */
    unsigned num_threads; /* of the runtime; 0: all processors */
    int width, height;    /* of dynamic inputs; 0: the model's own */
    bool no_native;       /* do not load the operator library, see lbw_native_library() */
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
    struct lbw_spread speed;   /* first model's time / this one's, per round; above 1: faster */
};

struct lbw_bench {
    size_t num_runs; /* rounds measured; in each, every model ran once */
    size_t num_models;
    struct lbw_bench_model *models; /* in the order given */
};

/*
 * Times every model on one generated image of its own size: a few rounds to warm up, then
 * rounds in which the models take turns, so that other load on the machine affects them alike.
 * LBW_ERR_ARGUMENT without models; LBW_ERR_RUNTIME when ONNX Runtime is missing or rejects a
 * model. Free *out with lbw_bench_free().
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_bench(struct lbw_bench **out, struct lbw_model *const *models, size_t num_models,
          const struct lbw_bench_params *params, struct lbw_error *err);
LBW_API void lbw_bench_free(struct lbw_bench **bench);

#ifdef __cplusplus
}
#endif

#endif
