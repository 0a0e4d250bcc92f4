/* SPDX-License-Identifier: MIT */
/* Checking a conversion on samples that it did not see. */
#ifndef LBW_CHECK_H
#define LBW_CHECK_H

#include <lbw/convert.h>
#include <lbw/eval.h>
#include <lbw/profile.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The search for the smallest file that keeps a share of the boxes: LBW_KEEP_SAMPLES are held
 * back, because an eighth of 64 holds too few boxes to distinguish 98 % from 95 %; the loss of
 * struct lbw_budget_params starts at LBW_KEEP_LOSS, and lbw_keep_next() lowers it until enough
 * boxes are kept.
 */
#define LBW_KEEP_SAMPLES 16
#define LBW_KEEP_LOSS    8

/* The float model's outputs for held-back samples, to compare with those of another model. */
struct lbw_check;

struct lbw_check_params {
    /*
     * The calibration set of the conversion; hold_back is ignored. Generated samples are new
     * ones, from another seed. NULL: zero-initialised.
     */
    const struct lbw_calibrate_params *calibrate;
    const struct lbw_profile *profile; /* of the detector; NULL: unknown */
    size_t num_samples; /* to hold back; 0: an eighth of them, at most 8, or 4 generated */
};

/* One output of the model over the held-back samples. */
struct lbw_check_row {
    const char *name;    /* lives as long as the check */
    bool is_skipped;     /* not a tensor of numbers, so not compared: snr and cosine are NaN */
    uint64_t num_values; /* compared, those that are finite */
    /*
     * dB; INFINITY when equal. Both are NaN where the outputs of a sample cannot be compared:
     * of different shapes, or with NaN or infinity in different places.
     */
    double snr;
    double cosine;
};

struct lbw_check_result {
    size_t num_samples;
    bool is_of_boxes; /* there is a profile for the outputs, and the float model found boxes */
    /*
     * ONNX Runtime does not load all of the model (an operator of TensorRT after the heads):
     * the rows are the outputs of its last layers, and `reason` says why, in the runtime's
     * words. num_samples is 0 if an encoding leaves nothing to compare there.
     */
    bool is_of_layers;
    const char *reason; /* lives as long as the check; "" */
    /* Boxes with scores of at least .4; partners have the same class and IoU >= .5. */
    size_t num_boxes;    /* of the float model */
    size_t num_lost;     /* of them, without a partner in the other model */
    size_t num_invented; /* of the other model, without a partner */
    size_t num_rows;
    const struct lbw_check_row *rows; /* valid until the next call, or until closed */
};

/*
 * Runs the float model, which may change or be closed afterwards. Sets *out to NULL when there
 * are too few samples to hold any back. LBW_ERR_RUNTIME when ONNX Runtime is missing, or does
 * not load the model; with params->num_samples of 0, only if not up to its last layers either.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_check_open(struct lbw_check **out,
                                                     struct lbw_model *model,
                                                     const struct lbw_check_params *params,
                                                     struct lbw_error *err);
LBW_API void lbw_check_close(struct lbw_check **check);

/* The hold_back that keeps these samples out of calibration. */
LBW_API size_t lbw_check_hold_back(const struct lbw_check *check);

/* Runs another model on the same samples. LBW_ERR_ARGUMENT when its outputs differ. */
LBW_NODISCARD LBW_API enum lbw_status lbw_check_run(struct lbw_check_result *out,
                                                    struct lbw_check *check,
                                                    struct lbw_model *model,
                                                    struct lbw_error *err);

/*
 * The share of the float model's boxes that is kept, 0 … 1, or more, with a confidence of 84 %:
 * one standard error below the share counted, by Wilson's interval. NaN unless is_of_boxes.
 */
LBW_API double lbw_check_at_least(const struct lbw_check_result *result);

/*
 * Whether to convert again for `share`, with *loss as the predicted loss allowed, which is
 * lowered: halved, or by more where far too many boxes were lost. Not when no box was lost,
 * when lbw_check_at_least() reaches the share, or when *loss is so small that nearly all
 * weights are float.
 */
LBW_NODISCARD LBW_API bool lbw_keep_next(double *loss, const struct lbw_check_result *result,
                                         double share);

/* One of the samples, as the network sees it. */
struct lbw_check_picture {
    int width, height;
    void *jpeg; /* free with lbw_free() */
    size_t jpeg_size;
    /* Boxes in its pixels, scores of at least .4; borrowed until the next run or close. */
    const struct lbw_box *wanted, *found; /* of the float model, of the other one */
    size_t num_wanted, num_found;
};

/*
 * Sample i, after lbw_check_run(). LBW_ERR_UNSUPPORTED unless the input is one image and
 * there is a profile, and in builds without libturbojpeg; LBW_ERR_ARGUMENT beyond the last.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_check_picture(struct lbw_check_picture *out,
                                                        const struct lbw_check *check, size_t i,
                                                        struct lbw_error *err);

#ifdef __cplusplus
}
#endif

#endif
