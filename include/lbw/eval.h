/* SPDX-License-Identifier: MIT */
/* Detection tests: labelled pictures, boxes, average precision. */
#ifndef LBW_EVAL_H
#define LBW_EVAL_H

#include <stdbool.h>
#include <lbw/base.h>

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
 * out and noted; only when none is left is that an error. LBW_ERR_FORMAT and LBW_ERR_ARGUMENT
 * name the file and the class that the model does not know.
 */
LBW_API enum lbw_status lbw_dataset_open(struct lbw_dataset **out,
                                         const struct lbw_dataset_params *params,
                                         struct lbw_error *err);
LBW_API void lbw_dataset_close(struct lbw_dataset **dataset);

LBW_API size_t lbw_dataset_num_images(const struct lbw_dataset *dataset);

/* The path of picture i. */
LBW_API const char *lbw_dataset_image(const struct lbw_dataset *dataset, size_t i);

/* What was left out and why, one line each, for the user to see. */
LBW_API size_t lbw_dataset_num_notes(const struct lbw_dataset *dataset);
LBW_API const char *lbw_dataset_note(const struct lbw_dataset *dataset, size_t i);

#ifdef __cplusplus
}
#endif

#endif
