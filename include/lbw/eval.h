/* SPDX-License-Identifier: MIT */
/* Detection tests: detecting boxes, labelled images, average precision, agreement. */
#ifndef LBW_EVAL_H
#define LBW_EVAL_H

#include <stdbool.h>
#include <lbw/image.h>
#include <lbw/model.h>
#include <lbw/profile.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A detected box in pixels of the image. Coordinates are continuous: the top left pixel
 * covers [0, 1) × [0, 1), x and y are the top left corner.
 */
struct lbw_box {
    float x, y;
    float width, height;
    float score; /* 0 … 1 */
    int class_index;
};

/* A labelled box, same coordinates. */
struct lbw_truth {
    double x, y;
    double width, height;
    double area; /* of the object (COCO: of its mask), for the small/medium/large split */
    int class_index;
    bool is_crowd;     /* COCO: a group of objects; boxes in it count neither way */
    bool is_difficult; /* VOC: a box on it counts neither way */
};

/*
 * Average precision, 0 … 1, or -1 if nothing was labelled. The first six are COCO's (101 recall
 * points, 100 boxes per image and class, crowd ignored; small < 32² <= medium <= 96² < large
 * pixels of area), equal to those of pycocotools. The last two are Pascal VOC's at IoU .5
 * (difficult and crowd ignored, any number of boxes, continuous coordinates instead of VOC's
 * "+ 1").
 */
struct lbw_ap {
    double ap; /* mean over IoU .50, .55, … .95 */
    double ap50;
    double ap75;
    double ap_small;
    double ap_medium;
    double ap_large;
    double voc_11;     /* as in 2007: 11 recall points */
    double voc_all;    /* as from 2010: area under the curve */
    size_t num_truths; /* labelled boxes, not counting crowd and difficult */
    size_t num_boxes;  /* detected boxes */
};

/* The images of a folder, with or without labels. Read only: evaluations may share it. */
struct lbw_dataset;

struct lbw_dataset_params {
    const char *images; /* a folder of JPEG and PNG files; required */
    /*
     * A COCO JSON file; a folder of Pascal VOC XML (NAME.xml; corners are pixel numbers,
     * 1-based and inclusive: width = xmax - xmin + 1); or a folder of YOLO text files
     * (NAME.txt; "class cx cy width height" on each line, as fractions of the image). NULL:
     * no labels.
     */
    const char *labels;
    /*
     * The classes of the model. Labels are matched by name, ignoring case, spaces, '_' and '-'.
     * If there are none, class i is the COCO category with the i-th id or the YOLO class i, and
     * VOC labels are refused.
     */
    const char *const *names;
    size_t num_names;
    size_t max_images; /* only this many, the first by id (COCO) or name; 0: all */
};

/*
 * Reads the folder and the labels; images are opened later. Images without labels are left
 * out and noted; it is an error if none remain. LBW_ERR_FORMAT names the file, and the class
 * that the model does not have; LBW_ERR_ARGUMENT an empty folder.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_dataset_open(struct lbw_dataset **out,
                                                       const struct lbw_dataset_params *params,
                                                       struct lbw_error *err);
LBW_API void lbw_dataset_close(struct lbw_dataset **dataset);

LBW_API size_t lbw_dataset_num_images(const struct lbw_dataset *dataset);

/* The path of image i. */
LBW_API const char *lbw_dataset_image(const struct lbw_dataset *dataset, size_t i);

/* The COCO category of a class, for result files; without COCO labels, class_index itself. */
LBW_API int64_t lbw_dataset_category(const struct lbw_dataset *dataset, int class_index);

/* What was left out and why, one line each, to show to the user. */
LBW_API size_t lbw_dataset_num_notes(const struct lbw_dataset *dataset);
LBW_API const char *lbw_dataset_note(const struct lbw_dataset *dataset, size_t i);

/* A model open in ONNX Runtime, with its profile. Any number of threads may run it at once. */
struct lbw_detector;

/* May be zero-initialised. */
struct lbw_detector_params {
    int width, height;    /* of dynamic inputs, as LBW_GIVEN_SIZE; 0: the profile's */
    unsigned num_threads; /* of the runtime, for one image; 0: all processors */
    bool no_native;       /* do not load the operator library, see lbw_native_library() */
};

/*
 * Opens a detector. It keeps no reference to the model and the profile. The profile's score,
 * nms and max_boxes decide which boxes are kept. LBW_ERR_RUNTIME when ONNX Runtime is missing,
 * LBW_ERR_UNSUPPORTED unless the model has exactly one input that takes one image,
 * LBW_ERR_ARGUMENT when the size of the input is unknown or differs from the given one.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_detector_open(struct lbw_detector **out, struct lbw_model *model,
                  const struct lbw_profile *profile, const struct lbw_detector_params *params,
                  struct lbw_error *err);
LBW_API void lbw_detector_close(struct lbw_detector **detector);

/*
 * Detects boxes: *boxes (free with lbw_free()), best first, clipped to the image.
 * LBW_ERR_UNSUPPORTED when the outputs do not match the profile's family; the message lists
 * their shapes.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_detector_run(struct lbw_detector *detector, const struct lbw_image *image,
                 struct lbw_box **boxes, size_t *num_boxes, struct lbw_error *err);

/* Zero means the default unless stated otherwise. */
struct lbw_eval_params {
    const struct lbw_profile *profile; /* required; its score and nms apply against labels */
    const struct lbw_dataset *dataset; /* required; needs labels unless there is a reference */
    struct lbw_model *reference;       /* its boxes are the truth; NULL: labels only */
    float reference_score;             /* least score of a reference box as truth; 0: .6 */
    float reference_nms;               /* for agreement, of both models; 0: .3 */
    float agreement_score;    /* least score of boxes for AP against the reference; 0: .05 */
    int width, height;        /* of dynamic inputs; 0: the profile's */
    unsigned num_threads;     /* images at a time; 0: one per processor */
    bool no_native;           /* do not load the operator library, see lbw_native_library() */
    lbw_progress_fn progress; /* called from any of the threads, one at a time; NULL: none */
    void *progress_user;
};

/* The measurements of one model. */
struct lbw_eval_model {
    struct lbw_ap ap; /* against the labels; fields are -1 if there are none */
    /* Against the reference's boxes at reference_score; fields are -1 without a reference. */
    struct lbw_ap agreement;
    size_t num_wanted;   /* boxes of the reference at reference_score */
    size_t num_found;    /* boxes of this model at the same score */
    size_t num_lost;     /* boxes of the reference without a partner (same class, IoU >= .5) */
    size_t num_invented; /* boxes of this model without a partner */
    double runtime_seconds; /* inside ONNX Runtime, all images, summed over threads */
    double decode_seconds;  /* from outputs to boxes */
};

struct lbw_evaluation {
    size_t num_models;
    size_t num_images;     /* evaluated */
    size_t num_unreadable; /* left out; the notes name them */
    size_t num_classes;
    const char *const *names; /* num_classes items, or NULL */
    double read_seconds;      /* reading and preprocessing images, once for all models */
    double wall_seconds;      /* from first to last image */
    size_t num_notes;
    const char *const *notes; /* one line each, those of the dataset included */
};

/*
 * Runs every model over the dataset. Images that cannot be read are left out and noted; it is
 * an error if none remain. *out owns all it holds except names, which belong to dataset and
 * profile. LBW_ERR_INTERRUPTED when `progress` asked to stop.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_eval(struct lbw_evaluation **out, struct lbw_model *const *models, size_t num_models,
         const struct lbw_eval_params *params, struct lbw_error *err);
LBW_API void lbw_evaluation_free(struct lbw_evaluation **evaluation);

/* The measurements of model i; NULL beyond the last. Lives as long as the evaluation. */
LBW_API const struct lbw_eval_model *
lbw_evaluation_model(const struct lbw_evaluation *evaluation, size_t i);

/* Class c of model i against the labels; NULL beyond the last. */
LBW_API const struct lbw_ap *lbw_evaluation_class(const struct lbw_evaluation *evaluation,
                                                  size_t i, size_t c);

/* The boxes of one model in one image; borrowed from the evaluation and its dataset. */
struct lbw_eval_picture {
    const char *path;
    int64_t id;                  /* COCO's, else the position in the folder */
    const struct lbw_box *boxes; /* best first */
    size_t num_boxes;
};

/*
 * Image i of the num_images evaluated, with the boxes that counted for AP against the labels,
 * or without labels for agreement.
 */
LBW_API struct lbw_eval_picture lbw_evaluation_picture(const struct lbw_evaluation *evaluation,
                                                       size_t model, size_t i);

#ifdef __cplusplus
}
#endif

#endif
