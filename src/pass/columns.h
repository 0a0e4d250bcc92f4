/* SPDX-License-Identifier: MIT */
/* The input columns of a layer (im2col) at sampled output positions, turned into moments. */
#ifndef LBW_SRC_PASS_COLUMNS_H
#define LBW_SRC_PASS_COLUMNS_H

#include "num/reconstruct.h"
#include "pass/activations.h"
#include "pass/weight.h"

/* How a node reads its input, from its attributes; spatial dims at most 3. */
struct lbw_geometry {
    size_t num_spatial; /* 0 for Gemm and MatMul: rows of the last axis */
    bool is_transposed;
    bool is_across; /* Gemm and MatMul with columns along the last axis but one */
    int64_t kernel[3], stride[3], dilation[3], pad_begin[3], pad_end[3], output_padding[3];
    int64_t output_shape[3]; /* of ConvTranspose where given, else 0 */
    char auto_pad;           /* 'N'otset, 'V'alid, 'U'pper, 'L'ower */
};

/* False for a node whose columns cannot be formed (odd rank, contradictory attributes). */
bool lbw_geometry_of(struct lbw_geometry *out, const struct lbw_weight *weight,
                     const struct lbw_consumer *consumer);

/*
 * Collects the columns of one weight over samples and consumers, one set of moments per group.
 */
struct lbw_columns {
    const struct lbw_weight *weight;
    struct lbw_geometry geometry;
    struct lbw_moments *moments; /* layout.groups */
    size_t most;                 /* columns wanted, all samples together */
    bool has_emphasis;           /* positions of some sample counted by boxes */
    size_t num_samples;          /* number of samples to come, for all consumers together */
    uint64_t seed;
    /* for the current consumer's own means: groups × K sums of reference and converted */
    double *own_x, *own_y;
    double own_count;
    /* buffered columns of a layer without groups */
    float *x, *y;
    size_t num_buffered, capacity;
    struct lbw_watch *watch;
    size_t *offsets; /* of the sampled positions: num_positions × taps, SIZE_MAX: padding */
    size_t offsets_capacity;
};

/*
 * The number of columns to keep for a fit within `memory` bytes if their statistics do not fit
 * into it: *num, or 0 if they do. False if too few columns of `num_samples` would remain.
 */
bool lbw_columns_fit(size_t *num, const struct lbw_weight *weight, size_t num_samples,
                     uint64_t memory);

/* The bytes that a fit takes, with `num` from lbw_columns_fit(). */
uint64_t lbw_columns_bytes(const struct lbw_weight *weight, size_t num);

/*
 * `rows` are the weights as groups × rows × K, borrowed. LBW_ERR_UNSUPPORTED if `memory` does
 * not suffice.
 */
enum lbw_status lbw_columns_init(struct lbw_columns *out, const struct lbw_weight *weight,
                                 const float *rows, size_t num_samples, uint64_t memory,
                                 uint64_t seed, struct lbw_error *err);
void lbw_columns_release(struct lbw_columns *columns);

/* Starts another consumer: sets its geometry and clears its means. */
bool lbw_columns_begin(struct lbw_columns *columns, const struct lbw_consumer *consumer);

/* Adds the columns of one sample; an lbw_activation_fn with the columns as `user`. */
enum lbw_status lbw_columns_add(void *user, const struct lbw_activation *values,
                                struct lbw_error *err);

/* Adds what is still in the buffer. */
enum lbw_status lbw_columns_flush(struct lbw_columns *columns, struct lbw_error *err);

#endif
