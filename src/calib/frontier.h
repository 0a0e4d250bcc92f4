/* SPDX-License-Identifier: MIT */
/*
 * How far the float model and the model as converted so far have run. All nodes before the
 * frontier have; of their outputs, only those that later nodes read are kept, per sample.
 */
#ifndef LBW_SRC_CALIB_FRONTIER_H
#define LBW_SRC_CALIB_FRONTIER_H

#include "base/watch.h"
#include "calib/flow.h"
#include "calib/store.h"
#include "pass/activations.h"

/* The kept samples of one value of the main graph. */
struct lbw_live {
    struct lbw_kept *reference; /* one per sample while later nodes read it, else NULL */
    struct lbw_kept *converted; /* the same if the converted model's differ, else NULL */
    bool is_opaque;             /* not a tensor of numbers: never kept */
};

struct lbw_frontier {
    struct lbw_model *model;
    size_t num_samples;
    unsigned num_threads;
    struct lbw_flow flow;
    struct lbw_store store;
    struct lbw_live *live;        /* by value id */
    Onnx__TensorProto **replaced; /* by value id; NULL: as in the model */
    struct lbw_ranges **rounded;  /* by value id; NULL: as computed */
    size_t position;              /* nodes before this one have run */
    bool is_broken;               /* a run failed half way: the state is invalid */
    struct lbw_watch *watch;      /* may be NULL */
};

/* On failure there is nothing to release. */
enum lbw_status lbw_frontier_init(struct lbw_frontier *out, struct lbw_model *model,
                                  size_t num_samples, unsigned num_threads, uint64_t memory,
                                  struct lbw_error *err);
void lbw_frontier_release(struct lbw_frontier *frontier);

/* Keeps one sample of an input, if anything reads it; takes over *array. */
enum lbw_status lbw_frontier_feed(struct lbw_frontier *frontier, const char *name,
                                  size_t sample, struct lbw_array *array,
                                  struct lbw_error *err);

/*
 * Runs all nodes before `target` in both models, or up to the nearest earlier position where
 * every needed value is a tensor. LBW_ERR_UNSUPPORTED or LBW_ERR_RUNTIME with !is_broken: the
 * runtime rejects these nodes, and nothing has changed.
 */
enum lbw_status lbw_frontier_advance(struct lbw_frontier *frontier, size_t target,
                                     struct lbw_error *err);

/* Moves kept tensors to the file until the others take at most `limit` bytes, now and later. */
enum lbw_status lbw_frontier_limit(struct lbw_frontier *frontier, uint64_t limit,
                                   struct lbw_error *err);
/*
 * From now on the converted model rounds this value: what is kept of it, and what is computed
 * later.
 */
enum lbw_status lbw_frontier_round(struct lbw_frontier *frontier,
                                   const struct lbw_flow_value *value,
                                   const struct lbw_ranges *ranges, struct lbw_error *err);

/* One kept sample of a live value. */
const struct lbw_kept *lbw_frontier_kept(const struct lbw_frontier *frontier,
                                         const struct lbw_flow_value *value, size_t sample,
                                         bool is_converted);

#endif
