/* SPDX-License-Identifier: MIT */
/* The optimizers: moments of gradients, and the steps that follow from them. */
#include "train/optimizer.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* Adam's usual constants. */
#define BETA_MEAN   0.9f
#define BETA_SQUARE 0.999f

/* The longest step; about 1 is usual. */
#define MOST_MOVE 3.0f

bool lbw_learned_init(struct lbw_learned *learned, size_t num)
{
    learned->num = num;
    learned->values = calloc(num + 1, sizeof *learned->values);
    learned->mean = calloc(num + 1, sizeof *learned->mean);
    learned->square = calloc(num + 1, sizeof *learned->square);
    return learned->values && learned->mean && learned->square;
}

void lbw_learned_release(struct lbw_learned *learned)
{
    free(learned->values);
    free(learned->mean);
    free(learned->square);
}

struct lbw_pace lbw_pace_of(size_t t, enum lbw_optimizer optimizer)
{
    return (struct lbw_pace){.unbias_mean = (float)(1 / (1 - pow(BETA_MEAN, (double)t))),
                             .unbias_square = (float)(1 / (1 - pow(BETA_SQUARE, (double)t))),
                             .optimizer = optimizer};
}

float lbw_learned_typical(const struct lbw_learned *learned, const struct lbw_pace *pace)
{
    double sum = 0;
    for (size_t i = 0; i < learned->num; i++)
        sum += sqrtf(learned->square[i] * pace->unbias_square);
    return learned->num ? (float)(sum / (double)learned->num) : 0;
}

float lbw_learned_direction(struct lbw_learned *learned, size_t i, float gradient,
                            const struct lbw_pace *pace)
{
    float *mean = &learned->mean[i], *square = &learned->square[i];
    *mean = BETA_MEAN * *mean + (1 - BETA_MEAN) * gradient;
    *square = BETA_SQUARE * *square + (1 - BETA_SQUARE) * gradient * gradient;
    float unit = pace->optimizer == LBW_OPTIMIZER_SGD ? pace->typical
                                                      : sqrtf(*square * pace->unbias_square);
    float move = unit > 0 ? *mean * pace->unbias_mean / unit : 0;
    return move > MOST_MOVE ? MOST_MOVE : move < -MOST_MOVE ? -MOST_MOVE : move;
}

void lbw_learned_carry(struct lbw_record *record, struct lbw_learned *learned)
{
    lbw_record_floats(record, learned->values, learned->num, -FLT_MAX, FLT_MAX);
    lbw_record_floats(record, learned->mean, learned->num, -FLT_MAX, FLT_MAX);
    lbw_record_floats(record, learned->square, learned->num, 0, FLT_MAX);
}
