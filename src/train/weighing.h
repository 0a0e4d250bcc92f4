/* SPDX-License-Identifier: MIT */
/*
 * The factors of the loss, one per value of a target: by variance alone or, if a profile
 * decodes the model's outputs, by the effect of the value on the boxes.
 */
#ifndef LBW_SRC_TRAIN_WEIGHING_H
#define LBW_SRC_TRAIN_WEIGHING_H

#include <lbw/profile.h>

#include "base/error.h"
#include "detect/decode.h"
#include "train/sessions.h"

/* T targets: the model's outputs if there is a profile, then taps along the trunk. */
struct lbw_weighing {
    const struct lbw_profile *profile; /* NULL: all values of a target have the same factor */
    int width, height;                 /* of the network's input */
    const char *const *names;          /* T */
    size_t num_targets;                /* T */
    size_t num_taps;                   /* this many at the end */
    double tap_weight;                 /* of all taps together; the others together: 1 */

    double *scales;         /* T: of targets whose values count alike; owned */
    struct lbw_array *taps; /* T: the factors of taps, lbw_grad_by_channel(); owned */
    bool *is_probable;      /* T: all scores of the output lie in 0 … 1; owned */
    double by_matter[3];    /* enum lbw_matter: of the outputs of a profile */
    double by_probability;  /* of scores that are probabilities */
};

/*
 * Learns the scales from the teacher's outputs on `num` samples (lessons[i].wanted), so that
 * a constant output at the mean has a loss of 1. LBW_ERR_UNSUPPORTED if targets differ in
 * size between samples, or the profile does not know the outputs.
 */
enum lbw_status lbw_weighing_learn(struct lbw_weighing *weighing,
                                   const struct lbw_lesson *lessons, size_t num,
                                   struct lbw_error *err);
void lbw_weighing_release(struct lbw_weighing *weighing);

/*
 * The targets that are the model's outputs, for the decoder of the profile's family, with boxes
 * in pixels of the network's input. `outputs` is borrowed.
 */
struct lbw_decode_input lbw_weighing_decode_input(const struct lbw_weighing *weighing,
                                                  const struct lbw_array *outputs);

/* Fills in the factors of `wanted`, and scores. Their data must be empty. */
enum lbw_status lbw_weighing_apply(const struct lbw_weighing *weighing,
                                   struct lbw_lesson *lesson, struct lbw_error *err);

/* The `least` for a lesson with scores. */
double lbw_weighing_least(const struct lbw_weighing *weighing, const struct lbw_lesson *lesson);

#endif
