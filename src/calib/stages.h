/* SPDX-License-Identifier: MIT */
/*
 * struct lbw_activations with ONNX Runtime: walks the main graph once, stage by stage, float
 * and converted model in parallel, and keeps per sample only the tensors that later nodes read.
 */
#ifndef LBW_SRC_CALIB_STAGES_H
#define LBW_SRC_CALIB_STAGES_H

#include "pass/activations.h"
#include "feed/feed.h"
#include "run/session.h"

struct lbw_stages_params {
    uint64_t memory;       /* bytes of kept tensors; above it they go to a temporary file */
    unsigned num_threads;  /* 0: all processors */
    int sequential;        /* 0: `converted` is always the float model's own tensor */
    const float *emphasis; /* a map per sample as in struct lbw_activation, or NULL */
    /* Sees the arrays of each sample, in order, and may fill its map; NULL: nobody does. */
    enum lbw_status (*look)(void *user, size_t i, const struct lbw_array *arrays,
                            struct lbw_error *err);
    void *user;
};

/* The model must not change while the stages live; the feed is read once, here. */
enum lbw_status lbw_stages_open(struct lbw_activations **out, struct lbw_model *model,
                                struct lbw_feed *feed, const struct lbw_stages_params *params,
                                struct lbw_error *err);
void lbw_stages_close(struct lbw_activations **stages);

/* The outputs of one sample in both models, borrowed. */
typedef enum lbw_status (*lbw_outputs_fn)(void *user, const struct lbw_array *reference,
                                          const struct lbw_array *converted,
                                          struct lbw_error *err);

/*
 * Runs both models to their ends, and calls fn for every sample with these outputs of the main
 * graph. LBW_ERR_UNSUPPORTED if one of them cannot be reached.
 */
enum lbw_status lbw_stages_finish(struct lbw_activations *stages, const char *const *names,
                                  size_t num_names, lbw_outputs_fn fn, void *user,
                                  struct lbw_error *err);

#endif
