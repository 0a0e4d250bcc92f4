/* SPDX-License-Identifier: MIT */
/* Computing some values from the frontier on, in the float and in the converted model. */
#ifndef LBW_SRC_CALIB_STAGE_H
#define LBW_SRC_CALIB_STAGE_H

#include "calib/frontier.h"
#include "run/session.h"
#include "calib/slice.h"

/* A slice in one of the two models, with its session. */
struct lbw_side {
    struct lbw_slice slice;
    struct lbw_session *session;
    bool is_converted;
};

/* The same outputs in both models; `converted` has only those that differ there. */
struct lbw_stage {
    struct lbw_frontier *frontier;
    struct lbw_arena arena;
    struct lbw_side reference;
    struct lbw_side converted; /* no session if no output differs */
};

/* The results of a stage for one sample: the outputs of each side's slice. */
struct lbw_stage_result {
    struct lbw_array *reference;
    struct lbw_array *converted;
    enum lbw_status status;
    struct lbw_error err;
};

/*
 * Fails before running anything: LBW_ERR_UNSUPPORTED for a missing input, LBW_ERR_RUNTIME for
 * nodes that the runtime rejects.
 */
enum lbw_status lbw_stage_open(struct lbw_stage *out, struct lbw_frontier *frontier,
                               struct lbw_flow_value *const *outputs, size_t num_outputs,
                               struct lbw_error *err);
void lbw_stage_close(struct lbw_stage *stage);

/* Fills *result, its status included, for one sample; any number of threads at once. */
void lbw_stage_run(const struct lbw_stage *stage, size_t sample,
                   struct lbw_stage_result *result);
void lbw_stage_result_release(const struct lbw_stage *stage, struct lbw_stage_result *result);

#endif
