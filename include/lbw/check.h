/* SPDX-License-Identifier: MIT */
/* What a conversion keeps, measured on samples that it did not see. */
#ifndef LBW_CHECK_H
#define LBW_CHECK_H

#include <lbw/convert.h>
#include <lbw/eval.h>
#include <lbw/profile.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The float model's answers to samples held back, ready to be compared with another model's. */
struct lbw_check;

struct lbw_check_params {
    /*
     * Where the conversion's samples come from; hold_back is ignored. Generated samples are
     * drawn anew, with another seed. NULL: zeros.
     */
    const struct lbw_calibrate_params *calibrate;
    const struct lbw_profile *profile; /* what the outputs mean; NULL: nobody knows */
    size_t num_samples; /* to hold back; 0: an eighth, 8 at most, or 4 generated */
};

/* One output of the model over the samples held back. */
struct lbw_check_row {
    const char *name; /* lives as long as the check */
    double snr;       /* dB; INFINITY when equal */
    double cosine;
};

struct lbw_check_result {
    size_t num_samples;
    bool is_of_boxes; /* the profile knows the outputs, and the float model found boxes */
    /* At a score of .4 on both sides; partners have the same class and IoU >= .5. */
    size_t num_boxes;    /* of the float model */
    size_t num_lost;     /* of them, without a partner in the other model */
    size_t num_invented; /* of the other model, without a partner */
    size_t num_rows;
    const struct lbw_check_row *rows; /* valid until the next call, or until closed */
};

/*
 * Runs the float model, which may change or be closed afterwards. *out is NULL where there are
 * too few samples to hold any back. LBW_ERR_RUNTIME when ONNX Runtime is missing.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_check_open(struct lbw_check **out,
                                                     struct lbw_model *model,
                                                     const struct lbw_check_params *params,
                                                     struct lbw_error *err);
LBW_API void lbw_check_close(struct lbw_check **check);

/* What struct lbw_calibrate_params has to hold back, so that these samples stay unseen. */
LBW_API size_t lbw_check_hold_back(const struct lbw_check *check);

/* Runs another model on the same samples: LBW_ERR_ARGUMENT when its outputs are others. */
LBW_NODISCARD LBW_API enum lbw_status lbw_check_run(struct lbw_check_result *out,
                                                    struct lbw_check *check,
                                                    struct lbw_model *model,
                                                    struct lbw_error *err);

/* One of the samples, as the network sees it. */
struct lbw_check_picture {
    int width, height;
    void *jpeg; /* free with lbw_free() */
    size_t jpeg_size;
    /* Boxes in its pixels, scores of .4 and more; borrowed until the next run, or closed. */
    const struct lbw_box *wanted, *found; /* by the float model, by the other one */
    size_t num_wanted, num_found;
};

/*
 * Sample i after lbw_check_run(). LBW_ERR_UNSUPPORTED where its input is not one picture with a
 * profile, and in builds without libturbojpeg; LBW_ERR_ARGUMENT beyond the last.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_check_picture(struct lbw_check_picture *out,
                                                        const struct lbw_check *check, size_t i,
                                                        struct lbw_error *err);

#ifdef __cplusplus
}
#endif

#endif
