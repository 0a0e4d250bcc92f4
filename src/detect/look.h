/* SPDX-License-Identifier: MIT */
/* What a model's outputs look like: as it declares them, and as a run shows them. */
#ifndef LBW_SRC_DETECT_LOOK_H
#define LBW_SRC_DETECT_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lbw/model.h>

#include "base/error.h"

/* What one run on a generated picture gave. In the model's arena. */
struct lbw_seen {
    bool is_done;             /* it ran: the rest is filled in */
    int64_t width, height;    /* of the picture input in that run */
    struct lbw_port *outputs; /* no dim is open; num_dims -1 where it is no tensor of numbers */
    const float *const *values; /* per output; NULL where it is too large to keep */
    size_t *counts;
};

/* The facts by which detectors are recognised. Borrowed from the model. */
struct lbw_look {
    struct lbw_model *model;
    struct lbw_model_info info;
    size_t num_outputs;
    const struct lbw_port *outputs; /* of a run where the model leaves their shapes open */
    int64_t width, height;          /* of the picture input that goes with them; -1: open */
    bool is_ultralytics;
    const char *task; /* of the metadata, "" for none */
    bool has_exp;     /* an Exp node: sizes of boxes are decoded inside */
    bool is_open;     /* the model leaves the sides of its picture input open */
};

/*
 * Looks at the model. Where its shapes are open, it is run once on a generated picture, of the
 * metadata's size or a small one; where that cannot be done (without a runtime, or when it
 * fails), the open shapes are all there is. LBW_ERR_MEMORY, or what lbw_model_describe() says.
 */
enum lbw_status lbw_look_init(struct lbw_look *out, struct lbw_model *model,
                              struct lbw_error *err);

/* Dimension `i` of output `k`: -1 when open, -2 when the output is not of this rank. */
int64_t lbw_look_dim(const struct lbw_look *look, size_t k, int rank, int i);

/* The output as rows × columns: its last two dims, those before them being 1 or open. */
struct lbw_look_matrix {
    int64_t rows, columns; /* -1 when open */
};
bool lbw_look_matrix(struct lbw_look_matrix *out, const struct lbw_look *look, size_t k);

/* The number of outputs that are matrices of these sizes. */
size_t lbw_look_count(const struct lbw_look *look, int64_t rows, int64_t columns);

/* The number of outputs whose names hold `part`, in any case. */
size_t lbw_look_named(const struct lbw_look *look, const char *part);

/* Cells of a grid of this stride over the input, a part of a cell counting whole; -1: open. */
int64_t lbw_look_cells(const struct lbw_look *look, int64_t stride);

/*
 * The values of output `k` in a run, for which the model is run where it was not; NULL where
 * that cannot be done. *count receives their number.
 */
const float *lbw_look_values(const struct lbw_look *look, size_t k, size_t *count);

#endif
