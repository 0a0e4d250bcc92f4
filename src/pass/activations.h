/* SPDX-License-Identifier: MIT */
/*
 * Where calibration gets its numbers: the values of a tensor in the float model and in the
 * model as converted so far. src/calib implements this; src/pass does not know how.
 */
#ifndef LBW_SRC_PASS_ACTIVATIONS_H
#define LBW_SRC_PASS_ACTIVATIONS_H

#include <lbw/model.h>

#include "base/error.h"
#include "base/watch.h"
#include "num/range.h"

/* The default of --memory, and the share of it that the fit of a layer may take. */
#define LBW_DEFAULT_MEMORY     ((uint64_t)1 << 30)
#define LBW_FIT_MEMORY(memory) (((memory) ? (memory) : LBW_DEFAULT_MEMORY) / 2)

/* Cells along each side of a sample's map of emphasis. */
#define LBW_EMPHASIS_SIDE  ((size_t)32)
#define LBW_EMPHASIS_CELLS (LBW_EMPHASIS_SIDE * LBW_EMPHASIS_SIDE)

/* One tensor of one sample, row-major, converted to float32 from the type it is computed in. */
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
     * Calls fn with tensor `name` (of the main graph) for every sample. LBW_ERR_UNSUPPORTED if
     * the tensor cannot be reached or is not of floats; the caller then falls back to
     * projection.
     */
    enum lbw_status (*show)(struct lbw_activations *self, const char *name,
                            lbw_activation_fn fn, void *user, struct lbw_error *err);
    /*
     * From now on the converted model uses these float32 values for constant `name` (an
     * initializer or the output of a Constant node of the main graph), `count` of them, copied.
     * The runtime type stays that of the tensor.
     */
    enum lbw_status (*replace)(struct lbw_activations *self, const char *name,
                               const float *values, size_t count, struct lbw_error *err);
    /*
     * A promise: no constant read by a main-graph node before position `node` will be replaced
     * any more. The implementation may run those nodes once and keep only what is still needed.
     */
    enum lbw_status (*settle)(struct lbw_activations *self, size_t node, struct lbw_error *err);
    size_t num_samples;
    uint64_t
        identity; /* differs when samples or mode differ: identifies them in a state file */
    const struct lbw_model *model; /* the only one that show() accepts; NULL: any */
    uint64_t memory;               /* bytes that the fit of a layer may take; 0: no limit */
    /* Set by the caller before show(): bytes that it is about to allocate, and its watch. */
    uint64_t reserved;
    struct lbw_watch *watch; /* may be NULL */
    /*
     * From now on the converted model rounds tensor `name`, a value or an input, to `ranges`
     * (copied). settle() must not have promised the nodes that read it. NULL if only weights
     * can be converted.
     */
    enum lbw_status (*round)(struct lbw_activations *self, const char *name,
                             const struct lbw_ranges *ranges, struct lbw_error *err);
    /*
     * Settles all nodes; *out receives how far the converted model's boxes agree with those of
     * the float model, 0 … 1. LBW_ERR_UNSUPPORTED if that cannot be measured, or rests on too
     * few boxes. NULL, as restart is then, if no detector is known.
     */
    enum lbw_status (*judge)(double *out, struct lbw_activations *self, struct lbw_error *err);
    /* Starts over: the converted model is the float model again, and nothing is settled. */
    enum lbw_status (*restart)(struct lbw_activations *self, struct lbw_error *err);
    double seconds; /* spent in show() so far, without its callbacks */
};

#endif
