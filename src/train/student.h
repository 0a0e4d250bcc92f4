/* SPDX-License-Identifier: MIT */
/*
 * The student: float weights, trained by Adam and projected to codes after every step (arXiv
 * 1612.06052, section 3), together with the steps of the grid and the biases.
 */
#ifndef LBW_SRC_TRAIN_STUDENT_H
#define LBW_SRC_TRAIN_STUDENT_H

#include "pass/bias.h"
#include "feed/feed.h"
#include "train/optimizer.h"

/*
 * One weight. Arrays of item.count are in the tensor's own order. A weight that stays float
 * because a grid would save too little is trained without codes.
 */
struct lbw_layer {
    const struct lbw_weight *weight;
    struct lbw_codes *codes;    /* of the conversion: written at the end */
    struct lbw_learned master;  /* item.count: projected to codes */
    float *average;             /* of the master over some steps; item.count */
    struct lbw_learned steps;   /* num_steps */
    struct lbw_learned *biases; /* num_consumers; no values for one without a bias of its own */
    float *typical; /* rms of the weights of each step; without codes the largest; num_steps */
    float *typical_bias;             /* num_consumers */
    uint8_t *now, *best, *start;     /* codes */
    float *best_values;              /* without codes */
    float *shown_steps, *best_steps; /* as they will be stored */
    float **best_biases;
};

/* Params are inputs of the graph of gradients: weights as decoded, then biases. */
struct lbw_student {
    struct lbw_layer *layers;
    size_t num_layers;
    size_t num_params;
    const char **names;       /* num_params */
    struct lbw_array *arrays; /* num_params; data owned */
    uint64_t num_updates;
    uint64_t num_averaged; /* steps */
    bool is_frozen;
};

/*
 * The params of a planned model: weights with a grid that are constants of the main graph, and
 * those that stay float because they are small. No values yet: names are enough to build
 * graphs.
 */
enum lbw_status lbw_student_init(struct lbw_student *out, const struct lbw_plan *plan,
                                 struct lbw_error *err);
void lbw_student_release(struct lbw_student *student);

/*
 * Starts from the codes of a conversion (one entry per weight of the plan), which must stay
 * where they are. The float weights start at the model's own, as far as they project to the
 * codes, so that the rest of them shows which codes are near a threshold.
 */
enum lbw_status lbw_student_start(struct lbw_student *student, const struct lbw_plan *plan,
                                  struct lbw_codes *codes, struct lbw_error *err);

struct lbw_student_rate {
    double rate;      /* in largest levels of the channel */
    bool is_averaged; /* the float weights join the mean at which codes will be frozen */
    /*
     * Codes stay: at first those of the averaged float weights, where there are some, in which
     * weights that went to and fro across a threshold are where they were most of the time.
     * Steps and biases are still learned.
     */
    bool is_frozen;
    enum lbw_optimizer optimizer;
};

/*
 * One step down: gradients[i] belongs to param i (NULL: out of reach), summed over `num`
 * samples. Projects, so that the arrays are what the next sample sees.
 */
enum lbw_status lbw_student_update(struct lbw_student *student, float *const *gradients,
                                   size_t num, const struct lbw_student_rate *rate,
                                   struct lbw_error *err);

/* Keeps the state as the best so far. */
void lbw_student_keep(struct lbw_student *student);

/* Writes the best state into the codes of the conversion. */
void lbw_student_finish(struct lbw_student *student);

/*
 * The whole state of training, to or from a record. Reading needs a started student, which is
 * invalid after a failure.
 */
void lbw_student_carry(struct lbw_record *record, struct lbw_student *student);

/* The share of codes that differ from the start. */
double lbw_student_changed(const struct lbw_student *student);

#endif
