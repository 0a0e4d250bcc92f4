/* SPDX-License-Identifier: MIT */
/* The inside of a dataset, and the label formats that fill it. */
#ifndef LBW_SRC_EVAL_DATASET_H
#define LBW_SRC_EVAL_DATASET_H

#include <lbw/eval.h>

#include "base/arena.h"
#include "base/error.h"

/* One image. Everything lives in the dataset's arena. */
struct lbw_picture {
    const char *path;
    const char *name; /* without the folder */
    int64_t id;       /* COCO's, else its position in the folder */
    bool is_labelled;
    bool is_relative; /* boxes are fractions of the sides until the image's size is known */
    struct lbw_truth *truths;
    size_t num_truths;
};

struct lbw_dataset {
    struct lbw_arena arena;
    struct lbw_picture *pictures;
    size_t num_pictures;
    const char *const *names; /* classes; NULL if unknown */
    size_t num_names;
    int64_t *categories;   /* COCO's id of each class, -1 for none; NULL without COCO */
    size_t num_classes;    /* named, or the highest index in the labels + 1 */
    size_t num_unlabelled; /* left out */
    const char **notes;
    size_t num_notes;
};

/* A label format: one row of the table in dataset.c. */
struct lbw_label_format {
    const char *name;
    const char *suffix; /* of its files in a folder; NULL: one file has all labels */
    /* Fills in truths of the images for which `path` (file or folder) has labels. */
    enum lbw_status (*load)(struct lbw_dataset *dataset, const char *path,
                            struct lbw_error *err);
};

enum lbw_status lbw_dataset_load_coco(struct lbw_dataset *dataset, const char *path,
                                      struct lbw_error *err);
enum lbw_status lbw_dataset_load_voc(struct lbw_dataset *dataset, const char *path,
                                     struct lbw_error *err);
enum lbw_status lbw_dataset_load_yolo(struct lbw_dataset *dataset, const char *path,
                                      struct lbw_error *err);

/* The index of a class by its name, ignoring case, ' ', '_' and '-'; -1 if unknown. */
int lbw_dataset_class(const struct lbw_dataset *dataset, const char *name);

/* Adds a line to the notes. */
enum lbw_status lbw_dataset_add_note(struct lbw_dataset *dataset, struct lbw_error *err,
                                     const char *fmt, ...) LBW_PRINTF(3, 4);

/* "FOLDER/NAME-without-suffix.SUFFIX" in the arena; NULL when memory is out. */
char *lbw_dataset_label_path(struct lbw_dataset *dataset, const char *folder,
                             const struct lbw_picture *picture, const char *suffix);

/* The truths of one image while they are read. Zero-initialised is empty. */
struct lbw_truths {
    struct lbw_truth *items; /* malloc'ed */
    size_t num;
    size_t capacity;
};

/* False when memory is out. */
bool lbw_truths_add(struct lbw_truths *truths, const struct lbw_truth *truth);

/* Moves them into the dataset and empties `truths`; the image counts as labelled. */
enum lbw_status lbw_truths_store(struct lbw_truths *truths, struct lbw_dataset *dataset,
                                 struct lbw_picture *picture, struct lbw_error *err);

#endif
