/* SPDX-License-Identifier: MIT */
/*
 * LBW-Net training (arXiv 1612.06052, section 3) on the ONNX graph itself, with the float model
 * as the teacher: no labels, no training framework.
 */
#ifndef LBW_TUNE_H
#define LBW_TUNE_H

#include <lbw/convert.h>
#include <lbw/profile.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The progress of training. */
struct lbw_tune_status {
    size_t step;      /* steps done */
    size_t num_steps; /* an estimate if time is the limit */
    size_t num_views; /* of images so far: steps times batch */
    double loss;      /* of this step's images, without taps; a constant output has 1 */
    double held_back; /* loss on views of the held-back images, when last measured */
    double best;      /* the lowest of these so far */
    double agreement; /* AP .50:.95 there with the teacher's boxes as truth; -1: unknown */
    double changed;   /* share of the codes that differ from those at the start */
    double rate;      /* learning rate of this step */
    double images_per_second;
    double seconds_left;
};

/* Called after each step; non-zero stops with LBW_ERR_INTERRUPTED. */
typedef int (*lbw_tune_fn)(void *user, const struct lbw_tune_status *status);

/* How a step follows from the gradient. */
enum lbw_optimizer {
    LBW_OPTIMIZER_ADAM, /* a step size per weight */
    LBW_OPTIMIZER_SGD,  /* with momentum .9, in units of the layer's typical gradient */
};

/* "adam", "sgd"; NULL past the last. */
LBW_API const char *lbw_optimizer_name(enum lbw_optimizer optimizer);

/* Zero-initialised: 400 steps on generated images. */
struct lbw_tune_params {
    const char *source; /* as in struct lbw_calibrate_params; all samples are kept in memory */
    const struct lbw_samples *samples;       /* instead of `source`; NULL: none */
    size_t num_samples;                      /* at most this many; 0: 64 */
    const struct lbw_preprocess *preprocess; /* NULL: inferred from the model */
    int width, height;                       /* of dynamic inputs; 0: the model's own */
    uint64_t seed;                           /* of generated images, order, flips and crops */
    const char *const *targets; /* tensors where student and teacher are compared */
    size_t num_targets;         /* 0: see `profile` */
    /*
     * The profile of the detector: teacher and student are compared at the model's outputs,
     * each value weighed by its effect on the boxes. If it is NULL, or if operators after the
     * last convolutions have no gradient, they are compared at the outputs of these
     * convolutions, with equal weight.
     */
    const struct lbw_profile *profile;
    /*
     * Also compare at the outputs of this many layers along the trunk, unless `targets` are
     * given: they say more about an image than scores and boxes do. 0: none.
     */
    size_t num_taps;
    double tap_weight; /* of all taps together, relative to the outputs; 0: 3 */
    enum lbw_optimizer optimizer;
    size_t num_steps; /* 0: 400, or as many as fit into `minutes` */
    double minutes;   /* stop by then, even before num_steps; 0: no limit */
    size_t batch;     /* views of images per step; 0: 8 */
    /*
     * The number of different views of the images, which are used repeatedly. The teacher's
     * outputs on as many as fit into 1 GiB are kept; on the others it runs each time. 0: 1024,
     * or as many as are kept.
     */
    size_t num_views;
    /*
     * The learning rate: the step of a weight is about this share of the largest level of its
     * channel. It warms up and decays as a cosine; it is doubled at first while the held-back
     * loss falls (with taps at most once), and halved when it is 50 % above its lowest. 0:
     * .0001.
     */
    double rate;
    /*
     * A file that training is saved to from time to time, and when `progress` stops it. If it
     * exists, training resumes from it; the result is that of an uninterrupted run unless
     * `minutes` is the limit. NULL: none.
     */
    const char *checkpoint;
    lbw_tune_fn progress;
    void *user;
};

struct lbw_tuner;

/*
 * Prepares training of the planned weights of `model`: builds the graph of gradients, runs the
 * model once for all sizes, and opens the sessions. Pass the tuner to lbw_convert(), which
 * trains once all weights have their codes. It holds references to model and plan, and copies
 * what `params` points to. *assumed as in lbw_calibrate_open(). LBW_ERR_ARGUMENT for a target
 * that is not a tensor of the main graph, or fewer than 2 samples; LBW_ERR_UNSUPPORTED when
 * gradients reach none of the weights.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_tune_open(struct lbw_tuner **out, struct lbw_model *model, const struct lbw_plan *plan,
              const struct lbw_tune_params *params, const char **assumed,
              struct lbw_error *err);
LBW_API void lbw_tune_close(struct lbw_tuner **tuner);

/* The result of training; lives as long as the tuner. */
struct lbw_tune_result {
    size_t num_targets;
    const char *const *targets;
    size_t num_taps; /* this many targets at the end of the list are taps */
    bool is_weighed; /* values are weighed by their effect on the boxes */
    size_t num_cuts; /* operators without a gradient: weights before them are not trained */
    const char *const *cuts;
    size_t num_learned;                       /* planned weights that gradients reach */
    size_t num_out_of_reach;                  /* planned weights that they do not reach */
    size_t num_plain;                         /* weights that stay float and are trained */
    size_t num_train, num_held_back;          /* samples */
    size_t num_steps;                         /* done */
    size_t num_resumed;                       /* of these, by earlier runs */
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
