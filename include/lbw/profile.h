/* SPDX-License-Identifier: MIT */
/* Profiles: the preprocessing, decoder and classes of a detector. */
#ifndef LBW_PROFILE_H
#define LBW_PROFILE_H

#include <stdbool.h>
#include <lbw/image.h>
#include <lbw/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Detectors that share a decoder. Sizes are in pixels of the input unless stated otherwise. */
enum lbw_family {
    LBW_FAMILY_YOLOX,   /* [1,n,5+classes] cx cy w h obj cls; xy = (p + cell)·s, wh = e^p·s */
    LBW_FAMILY_YOLOV5,  /* [1,n,5+classes] cx cy w h obj cls, decoded inside the model */
    LBW_FAMILY_YOLOV8,  /* [1,4+classes,n] or [1,n,4+classes] cx cy w h cls, decoded */
    LBW_FAMILY_NANODET, /* per stride cls [n,classes] and box [n,4·bins]: distances */
    LBW_FAMILY_FASTESTDET,    /* [1,5+classes,h,w] obj tx ty tw th cls */
    LBW_FAMILY_ULTRAFACE,     /* scores [n,classes], boxes [n,4]: normalised corners, decoded */
    LBW_FAMILY_YUNET,         /* cls, obj, bbox, kps per stride; score = √(cls·obj) */
    LBW_FAMILY_SSD,           /* scores [n,classes], boxes [n,4]: offsets to `anchors` */
    LBW_FAMILY_NMS,           /* boxes, scores and labels come out ready */
    LBW_FAMILY_PPOCR,         /* [1,1,h,w] probability map of text */
    LBW_FAMILY_YOLOV3,        /* per stride [1,anchors·(5+classes),h,w]: Darknet's raw heads */
    LBW_FAMILY_YOLOFASTESTV2, /* per stride [1,h,w,12+3+classes]: 3 boxes share the classes */
    LBW_FAMILY_SCRFD,         /* per stride, 2 anchors a cell: scores [n,1], distances [n,4] */
    LBW_FAMILY_BLAZEFACE,     /* logits [n,1], boxes [n,16]: pixels from the cells' centres */
    LBW_FAMILY_FACEBOXES,     /* scores [n,2], boxes [n,4]: offsets to densified priors */
    LBW_FAMILY_YOLONAS,   /* boxes [n,4] and scores [n,classes] or [classes,n] of all cells */
    LBW_FAMILY_DETR,      /* logits [n,classes] and boxes [n,4] of n queries */
    LBW_FAMILY_RTMDET,    /* per stride [1,classes,h,w] logits and [1,4,h,w]: distances */
    LBW_FAMILY_CENTERNET, /* maps [1,classes,h,w], sizes and offsets [1,2,h,w] */
};

/* The order of the four numbers of a box, in families that leave it open. */
enum lbw_box_order {
    LBW_BOX_XYXY, /* x0 y0 x1 y1 */
    LBW_BOX_YXYX, /* y0 x0 y1 x1 */
    LBW_BOX_CXCYWH,
};

#define LBW_MAX_STRIDES 8
#define LBW_MAX_ANCHORS 9 /* per stride */

struct lbw_anchor {
    float width, height; /* pixels of the input */
};

/*
 * Fields that a family does not use are 0. A copy by assignment borrows the texts: it is valid
 * as long as the original, and releasing it frees nothing. lbw_profile_copy() makes an
 * independent copy.
 */
struct lbw_profile {
    const char *name;
    enum lbw_family family;
    const char *description;          /* one line */
    struct lbw_preprocess preprocess; /* width and height are for dynamic inputs only */
    int num_strides;
    int strides[LBW_MAX_STRIDES];
    int num_classes;      /* without the background; 0: from the model's outputs */
    bool has_own_classes; /* from the user's file, not the built-in profile */
    bool has_own_size;    /* width and height are from the user's file */
    int num_extra; /* yolov5, yolov8: channels after the classes; a single one is an angle */
    size_t num_labels;
    const char *const *labels; /* NULL, or one name per class */
    float score;               /* boxes with lower scores are dropped (low, for mAP) */
    float nms; /* IoU above which the weaker of two boxes is dropped: 0 any, 1 never */
    bool class_agnostic;           /* boxes of different classes suppress each other */
    int background;                /* class that means "nothing here", or -1 */
    int max_boxes;                 /* kept per image, best first */
    float objectness_power;        /* fastestdet: score = obj^power · cls^(1-power) */
    float variance[2];             /* ssd: of the centre, of the size */
    float spread[LBW_MAX_STRIDES]; /* yolov3: range of the sigmoids, in cells; 0 means 1 */
    enum lbw_box_order box_order;
    bool normalized; /* lists of boxes: coordinates are fractions of the input's sides */
    /* Per stride: ssd priors, anchors of undecoded heads; {0, 0} after the last. */
    int num_anchors;
    struct lbw_anchor anchors[LBW_MAX_STRIDES][LBW_MAX_ANCHORS];
    void *storage;                   /* of the texts; NULL in built-in profiles */
    const struct lbw_profile *owner; /* of the storage: the struct at this address */
};

/* Built-in profile i, in a fixed order; NULL beyond the last. Static storage. */
LBW_API const struct lbw_profile *lbw_profile_at(size_t i);

/* The built-in profile of that name, or NULL. */
LBW_API const struct lbw_profile *lbw_profile_by_name(const char *name);

/* "yolox", …; static storage. */
LBW_API const char *lbw_family_name(enum lbw_family family);

/*
 * Reads a profile from a JSON object. "extends" names a built-in profile to start from, else
 * "family" starts from the built-in profile of that name; one of the two is required.
 * Keys: name extends family description size [w,h] resize color layout pad mean [3] std [3]
 * multiple strides [n] classes labels [n] extra score nms class_agnostic background max_boxes
 * objectness_power variance [2] spread [n] box_order normalized anchors [[[w,h],…] per stride].
 * LBW_ERR_FORMAT names the file and the key (unknown key, wrong type, value out of range).
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_profile_read(struct lbw_profile *out,
                                                       const char *path, struct lbw_error *err);

/* The same from memory; `path` is for messages. */
LBW_NODISCARD LBW_API enum lbw_status lbw_profile_parse(struct lbw_profile *out,
                                                        const void *data, size_t size,
                                                        const char *path,
                                                        struct lbw_error *err);

/*
 * Finds a profile as --profile does: `name` is a built-in name, or the path of a file if it
 * ends in ".json" or contains a "/". LBW_ERR_ARGUMENT lists the built-in names. *out is to be
 * released.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_profile_find(struct lbw_profile *out,
                                                       const char *name, struct lbw_error *err);

/* Copies a profile and all its texts; *out is to be released. */
LBW_NODISCARD LBW_API enum lbw_status lbw_profile_copy(struct lbw_profile *out,
                                                       const struct lbw_profile *profile,
                                                       struct lbw_error *err);

/* Frees what lbw_profile_read(), _copy() and _adapt() made, and nothing twice. NULL is fine. */
LBW_API void lbw_profile_release(struct lbw_profile *profile);

/*
 * Adapts a profile to a model: takes the classes, and for dynamic inputs the size, from the
 * metadata of Ultralytics ("names", "imgsz") and Paddle ("character"). If these name no classes
 * and the outputs have another number of classes than the profile, the number is taken from the
 * outputs, without labels, provided that lbw_profile_guess() recognises the same family (in
 * another family any number may fit by chance). Classes, labels and size from the user's file
 * are kept. The profile is to be released afterwards.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_profile_adapt(struct lbw_profile *profile, struct lbw_model *model, struct lbw_error *err);

/*
 * The built-in profile that the model's outputs match (by shapes, names and exporter), or NULL;
 * the default when the user names none. If the model leaves shapes open, or two detectors
 * differ in their values only, it is run once on a generated image, provided that ONNX
 * Runtime is found.
 */
LBW_API const struct lbw_profile *lbw_profile_guess(struct lbw_model *model);

/*
 * Built-in profile i of those that the outputs match; NULL beyond the last. If there are
 * several, lbw_profile_guess() returns NULL.
 */
LBW_API const struct lbw_profile *lbw_profile_candidate(struct lbw_model *model, size_t i);

/*
 * The preprocessing that calibration assumes by default: that of the guessed profile, else the
 * one that fits the statistics of the model's first BatchNormalization, else RGB / 255. Width
 * and height are 0 if the profile has none. LBW_ERR_UNSUPPORTED when no input takes images.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_preprocess_assume(struct lbw_preprocess *out,
                                                            struct lbw_model *model,
                                                            struct lbw_error *err);

/*
 * Sets one field of `preprocess` from text, as the command line does: --size WxH, --resize
 * stretch|letterbox|letterbox-corner, --color rgb|bgr|gray, --layout nchw|nhwc, --pad N,
 * --mean A,B,C and --std A,B,C (or one number for all), --multiple N. `key` has no dashes.
 * LBW_ERR_ARGUMENT: "size: '41x' is not WIDTHxHEIGHT".
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_preprocess_option(struct lbw_preprocess *preprocess,
                                                            const char *key, const char *value,
                                                            struct lbw_error *err);

/*
 * Describes all fields on one line: "416x416 letterbox-corner bgr, pad 114, mean 0,0,0, std
 * 1,1,1". Writes at most `size` bytes, always terminated.
 */
LBW_API void lbw_preprocess_describe(char *out, size_t size,
                                     const struct lbw_preprocess *preprocess);

#ifdef __cplusplus
}
#endif

#endif
