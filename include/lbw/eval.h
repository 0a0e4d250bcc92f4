/* SPDX-License-Identifier: MIT */
/* Detection tests: finding boxes, labelled pictures, average precision, agreement. */
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
 * A detected box in pixels of the picture. Coordinates are continuous: the top left pixel
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
    bool is_crowd;     /* COCO: a region of many; hits in it count neither way */
    bool is_difficult; /* VOC: finding it counts neither way */
};

/*
 * Average precision, 0 … 1, or -1 where nothing was labelled. The first six are COCO's (101
 * recall points, 100 boxes per picture and class, crowd ignored; small < 32² <= medium <= 96² <
 * large pixels of area), the same numbers as pycocotools gives. The last two are Pascal VOC's
 * at IoU .5 (difficult and crowd ignored, any number of boxes, continuous coordinates instead
 * of VOC's "+ 1").
 */
struct lbw_ap {
    double ap; /* mean over IoU .50, .55, … .95 */
    double ap50;
    double ap75;
    double ap_small;
    double ap_medium;
    double ap_large;
    double voc_11;     /* 2007: 11 recall points */
    double voc_all;    /* 2010 on: area under the curve */
    size_t num_truths; /* labelled boxes, crowd and difficult left out */
    size_t num_boxes;  /* detected boxes */
};

/* Pictures of one folder, with labels or without. Unchanged while an evaluation uses it. */
struct lbw_dataset;

struct lbw_dataset_params {
    const char *images; /* a folder of JPEG and PNG files; required */
    /*
     * COCO json file; folder of Pascal VOC xml (NAME.xml, corners are pixel numbers, 1-based
     * and inclusive: width = xmax - xmin + 1); folder of YOLO txt (NAME.txt, one "class cx cy
     * width height" a line, as fractions of the picture). NULL: no labels.
     */
    const char *labels;
    /*
     * The model's classes, to which the labels' names are matched (case, spaces, '_' and '-'
     * aside). None: COCO categories count in the order of their ids, YOLO classes by number,
     * VOC is refused.
     */
    const char *const *names;
    size_t num_names;
    size_t max_images; /* the first so many, in the order of id (COCO) or name; 0: all */
};

/*
 * Reads the folder and the labels; pictures are opened later. A picture without labels is left
 * out and noted; only when none is left is that an error. LBW_ERR_FORMAT names the file, and
 * the class that the model does not know; LBW_ERR_ARGUMENT an empty folder.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_dataset_open(struct lbw_dataset **out,
                                                       const struct lbw_dataset_params *params,
                                                       struct lbw_error *err);
LBW_API void lbw_dataset_close(struct lbw_dataset **dataset);

LBW_API size_t lbw_dataset_num_images(const struct lbw_dataset *dataset);

/* The path of picture i. */
LBW_API const char *lbw_dataset_image(const struct lbw_dataset *dataset, size_t i);

/* COCO's number for a class, for files in its result format; class_index without COCO labels.
 */
LBW_API int64_t lbw_dataset_category(const struct lbw_dataset *dataset, int class_index);

/* What was left out and why, one line each, for the user to see. */
LBW_API size_t lbw_dataset_num_notes(const struct lbw_dataset *dataset);
LBW_API const char *lbw_dataset_note(const struct lbw_dataset *dataset, size_t i);

/* A model made ready to run in ONNX Runtime, with its profile. Any number of threads. */
struct lbw_detector;

/* Zero-initialised is fine. */
struct lbw_detector_params {
    int width, height;    /* of inputs of open size, as LBW_GIVEN_SIZE; 0: the profile's */
    unsigned num_threads; /* of the runtime, for one picture; 0: all processors */
    bool no_native;       /* leave the operator library out, see lbw_native_library() */
};

/*
 * The model and the profile are copied as far as they are needed; which boxes are kept is in
 * the profile: score, nms, max_boxes. LBW_ERR_RUNTIME when no ONNX Runtime is found,
 * LBW_ERR_UNSUPPORTED for a model without one input that takes one picture, LBW_ERR_ARGUMENT
 * when the input's size is not known, or is not the one asked for.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_detector_open(struct lbw_detector **out, struct lbw_model *model,
                  const struct lbw_profile *profile, const struct lbw_detector_params *params,
                  struct lbw_error *err);
LBW_API void lbw_detector_close(struct lbw_detector **detector);

/*
 * Finds boxes: *boxes (free with lbw_free()), best first, clipped to the picture.
 * LBW_ERR_UNSUPPORTED when the outputs are not what the profile's family gives; the message
 * lists their shapes.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_detector_run(struct lbw_detector *detector, const struct lbw_image *image,
                 struct lbw_box **boxes, size_t *num_boxes, struct lbw_error *err);

/* Zero where nothing else is said means the default. */
struct lbw_eval_params {
    const struct lbw_profile *profile; /* required; its score and nms hold against labels */
    const struct lbw_dataset *dataset; /* required; with labels, unless there is a reference */
    struct lbw_model *reference;       /* its boxes count as truth; NULL: labels only */
    float reference_score;             /* boxes of the reference that count as truth; 0: .6 */
    float reference_nms;               /* for agreement, on both sides; 0: .3 */
    float agreement_score;    /* boxes that count for AP against the reference; 0: .05 */
    int width, height;        /* of the input, for models that leave it open */
    unsigned num_threads;     /* pictures at a time; 0: one per processor */
    bool no_native;           /* leave the operator library out, see lbw_native_library() */
    lbw_progress_fn progress; /* called from any of the threads, one at a time; NULL: none */
    void *progress_user;
};

/* What was measured of one model. */
struct lbw_eval_model {
    struct lbw_ap ap; /* against the labels; fields are -1 without */
    /* Against the boxes that the reference finds at reference_score; fields are -1 without. */
    struct lbw_ap agreement;
    size_t num_wanted;   /* boxes of the reference at reference_score */
    size_t num_found;    /* of this model at the same score */
    size_t num_lost;     /* of the reference without a partner (same class, IoU >= .5) here */
    size_t num_invented; /* of this model without a partner there */
    double runtime_seconds; /* inside ONNX Runtime, all pictures, summed over threads */
    double decode_seconds;  /* from outputs to boxes */
};

struct lbw_evaluation {
    size_t num_models;
    size_t num_images;     /* evaluated */
    size_t num_unreadable; /* left out, and named in the notes */
    size_t num_classes;
    const char *const *names; /* num_classes items, or NULL */
    double read_seconds;      /* reading pictures and making inputs of them, once for all */
    double wall_seconds;      /* from first to last picture */
    size_t num_notes;
    const char *const *notes; /* one line each, those of the dataset included */
};

/*
 * Runs every model over the dataset. Pictures that cannot be read are left out and noted; only
 * when none is left is that an error. Everything in *out belongs to it; so do the strings
 * except names, which belong to dataset and profile. LBW_ERR_INTERRUPTED when `progress` asked
 * for it.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_eval(struct lbw_evaluation **out, struct lbw_model *const *models, size_t num_models,
         const struct lbw_eval_params *params, struct lbw_error *err);
LBW_API void lbw_evaluation_free(struct lbw_evaluation **evaluation);

/* What was measured of model i; NULL beyond the last. Lives as long as the evaluation. */
LBW_API const struct lbw_eval_model *
lbw_evaluation_model(const struct lbw_evaluation *evaluation, size_t i);

/* Class c of model i against the labels; NULL beyond the last. */
LBW_API const struct lbw_ap *lbw_evaluation_class(const struct lbw_evaluation *evaluation,
                                                  size_t i, size_t c);

/* What one model found in one picture; borrowed from the evaluation and its dataset. */
struct lbw_eval_picture {
    const char *path;
    int64_t id;                  /* COCO's, else the place in the folder */
    const struct lbw_box *boxes; /* best first */
    size_t num_boxes;
};

/*
 * Picture i of the num_images evaluated: the boxes that counted for AP against labels, or
 * without labels for agreement.
 */
LBW_API struct lbw_eval_picture lbw_evaluation_picture(const struct lbw_evaluation *evaluation,
                                                       size_t model, size_t i);

#ifdef __cplusplus
}
#endif

#endif
