/* SPDX-License-Identifier: MIT */
/*
 * Where calibration gets its numbers: "show me this tensor in the float model and in the model
 * as converted so far". src/run implements it with ONNX Runtime; src/pass never knows who
 * answers.
 */
#ifndef LBW_SRC_PASS_ACTIVATIONS_H
#define LBW_SRC_PASS_ACTIVATIONS_H

#include <lbw/model.h>

#include "base/error.h"
#include "base/watch.h"
#include "num/range.h"

/* Where --memory gives none, and the share of it that the fit of a layer may take. */
#define LBW_DEFAULT_MEMORY     ((uint64_t)1 << 30)
#define LBW_FIT_MEMORY(memory) (((memory) ? (memory) : LBW_DEFAULT_MEMORY) / 2)

/* Cells along each side of a sample's map of emphasis. */
#define LBW_EMPHASIS_SIDE  ((size_t)32)
#define LBW_EMPHASIS_CELLS (LBW_EMPHASIS_SIDE * LBW_EMPHASIS_SIDE)

/* One tensor of one sample, row-major, converted to float32 from whatever the model computes.
 */
struct lbw_activation {
    size_t sample;
    size_t num_dims;
    const int64_t *dims;
    const float *reference; /* in the float model */
    const float *converted; /* in the model as converted so far; may be the same pointer */
    /*
     * What positions count for beyond 1, by where they lie in the sample: LBW_EMPHASIS_SIDE
     * rows of as many cells, stretched over the tensor's last two axes. NULL: all alike.
     */
    const float *emphasis;
};

/* Called once per sample, in order. */
typedef enum lbw_status (*lbw_activation_fn)(void *user, const struct lbw_activation *values,
                                             struct lbw_error *err);

struct lbw_activations {
    /*
     * Shows tensor `name` (of the main graph) for every sample. LBW_ERR_UNSUPPORTED when this
     * tensor cannot be reached or is no float tensor: the caller falls back to projection.
     */
    enum lbw_status (*show)(struct lbw_activations *self, const char *name,
                            lbw_activation_fn fn, void *user, struct lbw_error *err);
    /*
     * From now on the converted model uses these float32 values for constant `name` (an
     * initializer or the output of a Constant node of the main graph), `count` of them, copied;
     * the runtime type stays the tensor's own.
     */
    enum lbw_status (*replace)(struct lbw_activations *self, const char *name,
                               const float *values, size_t count, struct lbw_error *err);
    /*
     * Promise: no constant read by a main-graph node before position `node` will be replaced
     * any more. Lets the implementation run those nodes once and keep only what is still
     * needed.
     */
    enum lbw_status (*settle)(struct lbw_activations *self, size_t node, struct lbw_error *err);
    size_t num_samples;
    uint64_t
        identity; /* differs when samples or mode differ: what a state file was made with */
    const struct lbw_model *model; /* that is shown; NULL: whatever is converted */
    uint64_t memory; /* bytes that the fit of a layer may take; 0: as many as it wants */
    /* Set by the caller before it asks: bytes that it is about to take, and who looks on. */
    uint64_t reserved;
    struct lbw_watch *watch; /* may be NULL */
    /*
     * From now on the converted model rounds tensor `name`, which it computes or is fed, to
     * `range` (copied). Nodes that read it must not have been promised by settle(). NULL where
     * only weights are converted.
     */
    enum lbw_status (*round)(struct lbw_activations *self, const char *name,
                             const struct lbw_range *range, struct lbw_error *err);
    double seconds; /* that show() has taken so far, without those spent in its callbacks */
};

#endif
