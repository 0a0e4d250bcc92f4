/* SPDX-License-Identifier: MIT */
/* The float model as teacher and the graph of gradients, ready to run in ONNX Runtime. */
#ifndef LBW_SRC_TRAIN_SESSIONS_H
#define LBW_SRC_TRAIN_SESSIONS_H

#include "grad/grad.h"
#include "feed/feed.h"
#include "run/session.h"

/* The desired outputs of the student for one sample, and the factor of each value. */
struct lbw_lesson {
    struct lbw_array *wanted, *factors; /* T each; owned, and their data */
    struct lbw_array *scores;           /* num_scored; owned, and their data */
    double least; /* the loss of a student that reproduces them: the entropy of the scores */
};

/*
 * The weights and biases that the student decides about, T targets, I inputs of the model in
 * the order of the feed. Everything is fixed once opened; any number of threads may run it.
 */
struct lbw_sessions {
    struct lbw_arena arena;
    size_t num_images; /* I */
    const char **targets;
    size_t num_targets;
    size_t num_scored; /* this many targets, the first, may hold probabilities */
    struct lbw_grad_shape *target_shapes;
    struct lbw_grad grad; /* of the training session, with its bytes */
    size_t num_params;
    struct lbw_session *teacher;  /* inputs → targets */
    struct lbw_session *training; /* → loss, gradients */
    struct lbw_session *judge;    /* → loss, targets but taps; NULL if the loss is linear */
    size_t *teacher_slots;        /* I: the input of the session */
    size_t *image_slots;          /* I; SIZE_MAX if the trunk does not read it */
    size_t *wanted_slots, *factor_slots; /* T */
    size_t *score_slots;                 /* num_scored */
    size_t *param_slots;                 /* num_params; SIZE_MAX */
    size_t *gradient_slots;              /* num_params: which output; SIZE_MAX */
};

struct lbw_sessions_params {
    const char *const *targets; /* NULL: found */
    size_t num_targets;
    size_t num_scored, num_taps; /* the first, and the last of the targets: see grad.h */
    const char *const *params;   /* initializers or Constant values of the main graph */
    size_t num_params;
    unsigned num_threads; /* of one session */
    /*
     * Without params: what noise costs. The loss is Σ factor·target, there is no judge, and the
     * outputs behind the loss are energies and moments (struct lbw_grad_params).
     */
    bool is_linear;
    const struct lbw_grad_channels *energies, *moments;
    size_t num_energies, num_moments;
};

/*
 * The model is run once on the feed's first sample to learn all sizes; it may change
 * afterwards.
 */
enum lbw_status lbw_sessions_open(struct lbw_sessions *out, const struct lbw_index *index,
                                  struct lbw_feed *feed,
                                  const struct lbw_sessions_params *params,
                                  struct lbw_error *err);
void lbw_sessions_close(struct lbw_sessions *sessions);

/* Runs the float model on a sample: T arrays, owned by the caller. */
enum lbw_status lbw_sessions_teach(const struct lbw_sessions *sessions,
                                   const struct lbw_array *images, struct lbw_array *wanted,
                                   struct lbw_error *err);

/*
 * Runs the student on one sample: outputs are the loss and, behind it, one array per reached
 * param (gradient_slots), or without gradients the targets but taps; as many as the session has
 * outputs, owned by the caller. The loss is that of lbw_grad_build(), lesson->least included.
 */
enum lbw_status lbw_sessions_run(const struct lbw_sessions *sessions, bool with_gradients,
                                 const struct lbw_array *images,
                                 const struct lbw_lesson *lesson,
                                 const struct lbw_array *params, struct lbw_array *outputs,
                                 struct lbw_error *err);

/* Arrays without data; releasing frees what there is. */
enum lbw_status lbw_lesson_init(struct lbw_lesson *out, const struct lbw_sessions *sessions,
                                struct lbw_error *err);
/* Releases the data only. */
void lbw_lesson_clear(struct lbw_lesson *lesson, const struct lbw_sessions *sessions);
void lbw_lesson_release(struct lbw_lesson *lesson, const struct lbw_sessions *sessions);

/* Outputs of lbw_sessions_run() with gradients. */
size_t lbw_sessions_num_outputs(const struct lbw_sessions *sessions);

#endif
