/* SPDX-License-Identifier: MIT */
/* What the files of training share: the tuner and its state. */
#ifndef LBW_SRC_TRAIN_TUNING_H
#define LBW_SRC_TRAIN_TUNING_H

#include <lbw/tune.h>

#include "base/random.h"
#include "base/record.h"
#include "pass/tuner.h"
#include "train/student.h"
#include "train/targets.h"
#include "train/sessions.h"
#include "train/views.h"

/* The buffers of one sample. */
struct lbw_pass {
    size_t view;
    struct lbw_array *images, *outputs;
    struct lbw_lesson lesson;
};

/* The public handle is the interface, followed by what it needs. */
struct lbw_tuning {
    struct lbw_tuner face; /* first */
    struct lbw_tune_params params;
    struct lbw_profile profile; /* of params */
    struct lbw_plan *plan;      /* held */
    struct lbw_feed *feed;
    struct lbw_student student;
    struct lbw_arena arena; /* of names */
    struct lbw_sessions sessions;
    struct lbw_targets targets;
    struct lbw_weighing weighing;
    struct lbw_tune_result result;

    size_t num_samples, num_held, num_train; /* held-back ones come last */
    struct lbw_array **samples;              /* num_samples × inputs */
    struct lbw_pass *passes;                 /* batch */
    float **sums;                            /* of gradients, per param */
    struct lbw_views views, exams;           /* of the samples to learn from, and held back */
    size_t *order;                           /* of views */
    struct lbw_random random;
    double pace; /* times the rate: 1 at first; doubled while the loss falls, else halved */
    struct lbw_tune_status status;
    double started; /* on the clock, including earlier runs */
    uint64_t run;   /* of the checkpoint: a hash of all that the steps depend on */
};

/* Finds targets, builds graphs, opens sessions, reads all samples (open.c). */
enum lbw_status lbw_tuning_open(struct lbw_tuning *t, struct lbw_model *model,
                                const char **assumed, struct lbw_error *err);
void lbw_tuning_release(struct lbw_tuning *t);
void lbw_pass_clear(const struct lbw_tuning *t, struct lbw_pass *pass);

/* Marks the weights of the plan that gradients reach; others keep their codes. */
void lbw_tuning_mark(const struct lbw_tuning *t, bool *is_tuned);

/*
 * The loss on views of the held-back samples and, where the profile knows the outputs, the
 * agreement of the boxes with the teacher's (judge.c). Keeps the student's state when the loss
 * is the least so far.
 */
enum lbw_status lbw_tuning_judge(struct lbw_tuning *t, struct lbw_error *err);

/*
 * Where training stands, to and from params.checkpoint (checkpoint.c). Restoring wants a
 * student that was just started, comes before saving, and says by *found whether there was a
 * file. LBW_ERR_ARGUMENT for a file of another run.
 */
enum lbw_status lbw_tuning_save(struct lbw_tuning *t, struct lbw_error *err);
enum lbw_status lbw_tuning_restore(bool *found, struct lbw_tuning *t, struct lbw_error *err);

#endif
