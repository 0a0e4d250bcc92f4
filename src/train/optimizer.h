/* SPDX-License-Identifier: MIT */
/* Values trained by Adam, or with momentum. */
#ifndef LBW_SRC_TRAIN_OPTIMIZER_H
#define LBW_SRC_TRAIN_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>

#include <lbw/tune.h>

#include "base/record.h"

struct lbw_learned {
    size_t num;
    float *values;        /* owned */
    float *mean, *square; /* moments of the gradient; owned */
};

/* Numbers that all values share in one step. */
struct lbw_pace {
    float unbias_mean, unbias_square;
    enum lbw_optimizer optimizer;
    float typical; /* with momentum: lbw_learned_typical() of these values */
};

/* Allocates zeros. False when memory is out. */
bool lbw_learned_init(struct lbw_learned *learned, size_t num);
void lbw_learned_release(struct lbw_learned *learned);

/* The pace of step `t`, from 1 on. */
struct lbw_pace lbw_pace_of(size_t t, enum lbw_optimizer optimizer);

/* The mean over all values of the root of the gradient's mean square. */
float lbw_learned_typical(const struct lbw_learned *learned, const struct lbw_pace *pace);

/* The direction of the step, of about unit length, from the gradient of value i. */
float lbw_learned_direction(struct lbw_learned *learned, size_t i, float gradient,
                            const struct lbw_pace *pace);

void lbw_learned_carry(struct lbw_record *record, struct lbw_learned *learned);

#endif
