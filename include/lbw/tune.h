/* SPDX-License-Identifier: MIT */
/*
 * LBW-Net's training (arXiv 1612.06052, section 3) on the ONNX graph itself, with the float
 * model as the teacher: no labels, no training framework.
 */
#ifndef LBW_TUNE_H
#define LBW_TUNE_H

#include <lbw/convert.h>
#include <lbw/profile.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How training stands. */
struct lbw_tune_status {
    size_t step;      /* done */
    size_t num_steps; /* expected, when time is what limits */
    size_t num_views; /* of pictures so far: steps times batch */
    double loss;      /* of this step's pictures; 1 would be as bad as no detector at all */
    double held_back; /* loss on the held-back pictures, when last looked at */
    double best;      /* the least of those so far */
    double agreement; /* AP .50:.95 with the teacher's boxes there as truth; -1: not known */
    double changed;   /* share of the codes that are not what they were at the start */
    double rate;      /* learning rate of this step */
    double images_per_second;
    double seconds_left;
};

/* Called after each step; non-zero stops with LBW_ERR_INTERRUPTED. */
typedef int (*lbw_tune_fn)(void *user, const struct lbw_tune_status *status);

/* How a step is taken from the gradient. */
enum lbw_optimizer {
    LBW_OPTIMIZER_ADAM, /* each weight at its own pace */
    LBW_OPTIMIZER_SGD,  /* with momentum .9, in units of the layer's typical gradient */
};

/* "adam", "sgd"; NULL past the last. */
LBW_API const char *lbw_optimizer_name(enum lbw_optimizer optimizer);

/* Zero-initialised: 400 steps on generated pictures. */
struct lbw_tune_params {
    const char *source; /* as in struct lbw_calibrate_params; all samples are kept in memory */
    const struct lbw_samples *samples;       /* in place of `source`; NULL: none */
    size_t num_samples;                      /* at most that many; 0: 64 */
    const struct lbw_preprocess *preprocess; /* NULL: inferred from the model */
    int width, height;                       /* of dynamic inputs; 0: the model's own */
    uint64_t seed;                           /* of generated pictures, order, flips and crops */
    const char *const *targets; /* tensors where student and teacher are compared */
    size_t num_targets;         /* 0: see `profile` */
    /*
     * What the outputs mean. With it, teacher and student are compared at the model's outputs,
     * each value by what it is worth to the boxes. NULL, or no gradient through all that
     * decodes in the model: at the outputs of the last convolutions, all values alike.
     */
    const struct lbw_profile *profile;
    size_t num_taps;   /* compare at so many layers along the trunk, too; 0: none */
    double tap_weight; /* of all taps together, the outputs together being 1; 0: 1 */
    enum lbw_optimizer optimizer;
    size_t num_steps; /* 0: 400, or what fits into `minutes` */
    double minutes;   /* stop by then, even before num_steps; 0: no limit */
    size_t batch;     /* views of pictures per step; 0: 8 */
    /*
     * Different views of the pictures, used again and again: the teacher looks at each once. 0:
     * 1024, or what fits into 1 GiB.
     */
    size_t num_views;
    /*
     * Learning rate: a weight's step is about this share of the largest level of its channel.
     * It rises, falls as a cosine, is doubled at first while the held-back loss falls, and
     * halved when that goes astray. 0: .0001.
     */
    double rate;
    /*
     * A file that says where training stands, written some times on the way and when `progress`
     * stops it. Where it exists, training goes on from it, with the same result as in one piece
     * if num_steps limits. NULL: none.
     */
    const char *checkpoint;
    lbw_tune_fn progress;
    void *user;
};

struct lbw_tuner;

/*
 * Prepares training of the planned weights of `model`: builds the graph of gradients, finds out
 * all sizes by running the model once, opens the sessions. Give the tuner to lbw_convert(): it
 * trains when all weights have their codes. It holds model and plan, and copies what `params`
 * points to. *assumed as in lbw_calibrate_open(). LBW_ERR_ARGUMENT for a target that is no
 * tensor of the main graph, or fewer than 2 samples; LBW_ERR_UNSUPPORTED when no weight can be
 * reached.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_tune_open(struct lbw_tuner **out, struct lbw_model *model, const struct lbw_plan *plan,
              const struct lbw_tune_params *params, const char **assumed,
              struct lbw_error *err);
LBW_API void lbw_tune_close(struct lbw_tuner **tuner);

/* What came of it; lives as long as the tuner. */
struct lbw_tune_result {
    size_t num_targets;
    const char *const *targets;
    size_t num_taps; /* the last so many targets */
    bool is_weighed; /* by what values are worth to the boxes */
    size_t num_cuts; /* operators without a gradient: weights before them are not learned */
    const char *const *cuts;
    size_t num_learned;                       /* weights that training reaches */
    size_t num_out_of_reach;                  /* planned weights that it does not */
    size_t num_plain;                         /* weights that stay float and are learned */
    size_t num_train, num_held_back;          /* samples */
    size_t num_steps;                         /* done */
    size_t num_resumed;                       /* of those by earlier runs */
    double held_back_before, held_back_after; /* loss */
    double agreement_before, agreement_after; /* as in the status */
    double changed;                           /* share of the codes */
    double seconds;
};
LBW_API const struct lbw_tune_result *lbw_tune_result(const struct lbw_tuner *tuner);

#ifdef __cplusplus
}
#endif

#endif
