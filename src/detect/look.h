/* SPDX-License-Identifier: MIT */
/* The outputs of a model as it declares them, and as a run shows them. */
#ifndef LBW_SRC_DETECT_LOOK_H
#define LBW_SRC_DETECT_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lbw/model.h>

#include "base/error.h"

/* The result of a run on a generated image. In the model's arena. */
struct lbw_seen {
    bool is_done;             /* it ran: the rest is set */
    int64_t width, height;    /* of the image input in that run */
    struct lbw_port *outputs; /* no dim is open; num_dims -1 if it is not a tensor of numbers */
    const float *const *values; /* per output; NULL if it is too large to keep */
    size_t *counts;
};

/* What detectors are recognised by. Borrowed from the model. */
struct lbw_look {
    struct lbw_model *model;
    struct lbw_model_info info;
    size_t num_outputs;
    const struct lbw_port *outputs; /* from a run if the model leaves their shapes open */
    int64_t width, height;          /* of the image input for them; -1: open */
    bool is_ultralytics;
    const char *task; /* of the metadata, or "" */
    bool has_exp;     /* there is an Exp node: the model decodes sizes of boxes itself */
    bool is_open;     /* the sides of the image input are dynamic */
};

/*
 * Examines the model. If its shapes are open, it is run once on a generated image, of the
 * size in the metadata or a small one; if that fails or there is no runtime, shapes stay open.
 * LBW_ERR_MEMORY, or a failure of lbw_model_describe().
 */
enum lbw_status lbw_look_init(struct lbw_look *out, struct lbw_model *model,
                              struct lbw_error *err);

/* Dimension `i` of output `k`: -1 if open, -2 if the output has another rank. */
int64_t lbw_look_dim(const struct lbw_look *look, size_t k, int rank, int i);

/* The output as rows × columns: its last two dims, those before them being 1 or open. */
struct lbw_look_matrix {
    int64_t rows, columns; /* -1 when open */
};
bool lbw_look_matrix(struct lbw_look_matrix *out, const struct lbw_look *look, size_t k);

/* The number of outputs that are matrices of these sizes. */
size_t lbw_look_count(const struct lbw_look *look, int64_t rows, int64_t columns);

/* The number of outputs whose names contain `part`, ignoring case. */
size_t lbw_look_named(const struct lbw_look *look, const char *part);

/* Cells of a grid of this stride over the input, rounded up; -1: open. */
int64_t lbw_look_cells(const struct lbw_look *look, int64_t stride);

/*
 * The values of output `k` in a run, which is made if necessary; NULL if that fails. *count
 * receives their number.
 */
const float *lbw_look_values(const struct lbw_look *look, size_t k, size_t *count);

#endif
