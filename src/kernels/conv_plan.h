/* SPDX-License-Identifier: MIT */
/* The part of a convolution that depends on the input's size: where each tap reads. */
#ifndef LBW_SRC_KERNELS_CONV_PLAN_H
#define LBW_SRC_KERNELS_CONV_PLAN_H

#include "kernels/conv.h"

/*
 * Positions count the output row by row, `pitch` to a row; those beyond the output's width are
 * computed and dropped. A tap reads at a fixed distance from its position, because the input
 * has the same pitch: as it is where it can be, else copied into planes, one for each phase
 * that the strides leave apart: plane (a, b) holds x[stride·r + a][stride·q + b] at row r and
 * column q.
 */
struct lbw_conv_plan {
    int64_t in[2], out[2];
    size_t pitch;
    size_t num_positions;
    size_t num_tiles;
    bool is_in_place;
    size_t num_planes; /* per channel; 1 in place */
    size_t plane_size;
    size_t num_taps;
    ptrdiff_t *offsets; /* per tap */
    uint64_t *masks;    /* per tile and tap: the positions whose pixel exists */
    int64_t *phases;    /* per plane: its row's and its column's phase */
};

/* LBW_ERR_UNSUPPORTED where the tables would be out of proportion: use the reference. */
enum lbw_status lbw_conv_plan_new(struct lbw_conv_plan **out,
                                  const struct lbw_conv_params *params, const int64_t in[2],
                                  size_t lanes, struct lbw_error *err);
void lbw_conv_plan_free(struct lbw_conv_plan **plan);

#endif
