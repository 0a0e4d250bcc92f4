/* SPDX-License-Identifier: MIT */
/* From a detector's outputs to boxes on the image: one function per family. */
#ifndef LBW_SRC_DETECT_DECODE_H
#define LBW_SRC_DETECT_DECODE_H

#include <stdbool.h>

#include <lbw/eval.h>
#include <lbw/profile.h>

#include "base/error.h"
#include "feed/feed.h"

/* A growing list of boxes. Zero-initialised is empty. */
struct lbw_boxes {
    struct lbw_box *items; /* malloc'ed */
    size_t num;
    size_t capacity;
};

void lbw_boxes_release(struct lbw_boxes *boxes);

/* A model's outputs for one image. All borrowed. */
struct lbw_decode_input {
    size_t num_outputs;
    const char *const *names;
    const struct lbw_array *outputs; /* batch of one; any numeric type */
    const struct lbw_profile *profile;
    int width, height; /* of the network's input */
    struct lbw_placement placement;
    int picture_width, picture_height;
    float score; /* least score, instead of the profile's */
    float nms;   /* instead of the profile's */
};

/*
 * Fills `out` with at most profile->max_boxes boxes, best first, clipped to the image.
 * LBW_ERR_UNSUPPORTED for outputs that the family does not have: the message lists their
 * shapes.
 */
enum lbw_status lbw_decode(struct lbw_boxes *out, const struct lbw_decode_input *input,
                           struct lbw_error *err);

/* What a value of an output determines. */
enum lbw_matter {
    LBW_MATTER_NOTHING,
    LBW_MATTER_SCORE, /* whether there is a box, and its class */
    LBW_MATTER_BOX,   /* the position of its sides */
};

/* The importance of each value of one output. Both owned, one entry per value. */
struct lbw_importance {
    size_t count;
    float *weights; /* >= 0; about how much the result changes with the square of the value */
    uint8_t *kinds; /* enum lbw_matter */
};

void lbw_importance_release(struct lbw_importance *importance);

/*
 * The importance of the values of these outputs, one entry of `out` per output: all scores;
 * classes and sides of boxes only as far as the outputs indicate an object there.
 * LBW_ERR_UNSUPPORTED as lbw_decode(), and for families without such weights: outputs that are
 * not differentiable (nms) or not a list of boxes (ppocr).
 */
enum lbw_status lbw_decode_importance(struct lbw_importance *out,
                                      const struct lbw_decode_input *input,
                                      struct lbw_error *err);

/* ---- for the families (decode_*.c) ---- */

#define LBW_MAX_OUTPUTS 32

/* One output as floats. */
struct lbw_plane {
    const char *name;
    const float *data;
    size_t num_dims;
    int64_t dims[8];
    size_t count;
    bool is_integer; /* of an integer type in the model */
    float *storage;  /* owns `data` if it had to be converted */
};

struct lbw_decoder {
    const struct lbw_decode_input *input;
    const struct lbw_profile *profile;
    size_t num_planes;
    struct lbw_plane planes[LBW_MAX_OUTPUTS];
    struct lbw_boxes boxes;            /* not yet sorted, clipped or suppressed */
    struct lbw_importance *importance; /* one per plane; NULL while boxes are wanted */
    bool has_weighed;                  /* the importance of some value was recorded */
    struct lbw_error *err;
};

typedef enum lbw_status (*lbw_decode_fn)(struct lbw_decoder *decoder);

enum lbw_status lbw_decode_yolox(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_yolov5(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_yolov8(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_nanodet(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_fastestdet(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_listed(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_yunet(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_ssd(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_nms(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_ppocr(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_yolov3(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_yolofastestv2(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_scrfd(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_blazeface(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_faceboxes(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_rtmdet(struct lbw_decoder *decoder);
enum lbw_status lbw_decode_centernet(struct lbw_decoder *decoder);

/* The undecoded heads of yolov5. */
enum lbw_status lbw_decode_heads(struct lbw_decoder *decoder);

/* A plane as rows × columns: the last two dims, all before them being 1. */
struct lbw_matrix {
    const float *data;
    size_t rows, columns;
};

bool lbw_plane_matrix(struct lbw_matrix *out, const struct lbw_plane *plane);

/*
 * The classes of a plane with `columns` columns of class scores, background included: the
 * profile's number if it matches, else `columns` if the profile leaves it open, else 0.
 */
size_t lbw_decoder_classes(const struct lbw_decoder *decoder, size_t columns);

/* The class of column `column` of the scores; -1 for the background. */
int lbw_decoder_class(const struct lbw_decoder *decoder, size_t column);

/* Adds a box by its corners in pixels of the input; drops low scores. */
enum lbw_status lbw_decoder_add(struct lbw_decoder *decoder, int class_index, float score,
                                float x0, float y0, float x1, float y1);

/* The same by four numbers in the order and unit of the profile. */
enum lbw_status lbw_decoder_add_listed(struct lbw_decoder *decoder, int class_index,
                                       float score, const float *p);

/* The same by centre and size. */
enum lbw_status lbw_decoder_add_centred(struct lbw_decoder *decoder, int class_index,
                                        float score, float cx, float cy, float width,
                                        float height);

/*
 * Adds one box per class whose score (of `num` consecutive ones) times `factor` is high enough.
 */
enum lbw_status lbw_decoder_add_classes(struct lbw_decoder *decoder, const float *scores,
                                        size_t num, float factor, float cx, float cy,
                                        float width, float height);

/*
 * Records the importance of `num` values of a plane, `step` apart from `first` on. Does nothing
 * while boxes are wanted.
 */
void lbw_decoder_matters(struct lbw_decoder *decoder, enum lbw_matter kind, const float *first,
                         size_t num, size_t step, float weight);

/* Cells of the input along a side at a stride, rounded up. */
size_t lbw_decoder_cells(int side, int stride);

float lbw_sigmoid(float x);

/* The index of the largest of `num` values, `step` apart. */
size_t lbw_argmax(const float *values, size_t num, size_t step);

/*
 * Records the importance of the four numbers of a box, `step` apart, in its width and height.
 */
void lbw_decoder_box_matters(struct lbw_decoder *decoder, const float *p, size_t step,
                             float score, float width, float height);

/* Even where the model sees nothing, no class must appear. */
#define LBW_LEAST_CLASS 0.01f

/* Logits of the background: small shifts have hardly any effect. */
#define LBW_LEAST_LOGIT 0.01f

/* Whether `part` occurs in the name, ignoring case. */
bool lbw_name_has(const char *name, const char *part);

/* LBW_ERR_UNSUPPORTED, with the key, if a stride of the profile has no anchors. */
enum lbw_status lbw_decoder_check_anchors(const struct lbw_decoder *decoder);

/* "…: expected WANTED; the outputs are 'a' [1,2,3], 'b' [4]". */
enum lbw_status lbw_decoder_mismatch(const struct lbw_decoder *decoder, const char *wanted);

#endif
