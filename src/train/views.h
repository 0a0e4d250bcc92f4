/* SPDX-License-Identifier: MIT */
/*
 * A fixed set of views of the training samples. The teacher's outputs on as many as fit into
 * 1 GiB are kept in half precision from their first use; images are drawn again each time.
 */
#ifndef LBW_SRC_TRAIN_VIEWS_H
#define LBW_SRC_TRAIN_VIEWS_H

#include "train/weighing.h"

/* The teacher's outputs for one view. */
struct lbw_view {
    void **wanted; /* per target: halves, or floats where halves would overflow; owned */
    bool *is_half; /* per target; owned */
    double least;  /* struct lbw_lesson */
};

struct lbw_views {
    const struct lbw_sessions *sessions;
    const struct lbw_weighing *weighing;
    struct lbw_array *const *samples; /* num_samples × inputs */
    size_t num_samples;
    uint64_t seed;
    size_t num_plain;       /* of the first views, which are samples as they are */
    size_t num;             /* of views; view v is one of sample v % num_samples */
    size_t num_kept;        /* the teacher's outputs are kept for this many views, the first */
    struct lbw_view *items; /* num_kept; owned */
};

/*
 * About `num` views, at least one of each sample, and a multiple of `batch`, so that no step
 * uses a view twice; 0: 1024, or as many as have their outputs kept.
 */
enum lbw_status lbw_views_init(struct lbw_views *views, size_t num, size_t batch,
                               struct lbw_error *err);
void lbw_views_release(struct lbw_views *views);

/* Draws the images of view v: one array per input, owned by the caller. */
enum lbw_status lbw_views_draw(const struct lbw_views *views, size_t v,
                               struct lbw_array *images, struct lbw_error *err);

/*
 * Fills an empty lesson; runs the teacher if view v is new. Threads may ask for different views
 * at the same time, but not for the same view.
 */
enum lbw_status lbw_views_teach(const struct lbw_views *views, size_t v,
                                const struct lbw_array *images, struct lbw_lesson *lesson,
                                struct lbw_error *err);

#endif
