/* SPDX-License-Identifier: MIT */
/*
 * The two tables of detectors. A family is a decoder of outputs; a profile is one of its
 * detectors, with preprocessing, strides, anchors, labels. Each is one row.
 */
#ifndef LBW_SRC_DETECT_FAMILY_H
#define LBW_SRC_DETECT_FAMILY_H

#include <lbw/profile.h>

#include "detect/decode.h"
#include "detect/look.h"

struct lbw_family_row {
    const char *name; /* and of the profile that represents the family */
    /* Decodes boxes, and the importance of values (lbw_decoder_matters()). */
    lbw_decode_fn decode;
    /* The classes that the outputs can hold; 0 if unknown. NULL: never known. */
    int64_t (*num_classes)(const struct lbw_profile *profile, const struct lbw_look *look);
    /* The channels after the classes: masks, keypoints, an angle. NULL: none. */
    int64_t (*num_extra)(const struct lbw_look *look);
};

/* The row of a family; NULL beyond the last. */
const struct lbw_family_row *lbw_family_at(size_t family);

struct lbw_profile_row {
    struct lbw_profile profile;
    /*
     * Whether the outputs match. If several profiles do, none is guessed. NULL: by name only.
     */
    bool (*matches)(const struct lbw_look *look);
};

/* Row i; NULL beyond the last. */
const struct lbw_profile_row *lbw_profile_row_at(size_t i);

/* ---- match.c: recognising outputs ---- */

bool lbw_is_yolox(const struct lbw_look *look);
bool lbw_is_yolox_decoded(const struct lbw_look *look);
bool lbw_is_yolov3(const struct lbw_look *look);
bool lbw_is_yolov3_boxes(const struct lbw_look *look);
bool lbw_is_yolov3_tiny(const struct lbw_look *look);
bool lbw_is_yolov5(const struct lbw_look *look);
bool lbw_is_any_yolov5(const struct lbw_look *look);
bool lbw_is_raw_yolov5(const struct lbw_look *look);
bool lbw_is_yolov6(const struct lbw_look *look);
bool lbw_is_yolov8(const struct lbw_look *look);
bool lbw_is_end_to_end(const struct lbw_look *look);
bool lbw_is_yolofastestv2(const struct lbw_look *look);
bool lbw_is_nanodet(const struct lbw_look *look);
bool lbw_is_picodet(const struct lbw_look *look);
bool lbw_is_fastestdet(const struct lbw_look *look);
bool lbw_is_ultraface(const struct lbw_look *look);
bool lbw_is_ultraface_offsets(const struct lbw_look *look);
bool lbw_is_yunet(const struct lbw_look *look);
bool lbw_is_scrfd(const struct lbw_look *look);
bool lbw_is_retinaface(const struct lbw_look *look);
bool lbw_is_faceboxes(const struct lbw_look *look);
bool lbw_is_blazeface(const struct lbw_look *look);
bool lbw_is_blazeface_back(const struct lbw_look *look);
bool lbw_is_ssd(const struct lbw_look *look);
bool lbw_is_ssdlite(const struct lbw_look *look);
bool lbw_is_efficientdet(const struct lbw_look *look);
bool lbw_is_yolonas(const struct lbw_look *look);
bool lbw_is_damoyolo(const struct lbw_look *look);
bool lbw_is_ppyoloe(const struct lbw_look *look);
bool lbw_is_detr(const struct lbw_look *look);
bool lbw_is_rtdetr(const struct lbw_look *look);
bool lbw_is_rtdetr_boxes(const struct lbw_look *look);
bool lbw_is_rfdetr(const struct lbw_look *look);
bool lbw_is_rtmdet(const struct lbw_look *look);
bool lbw_is_centernet(const struct lbw_look *look);
bool lbw_is_ppocr(const struct lbw_look *look);

/* ---- count_classes.c: how many classes the outputs can hold ---- */

int64_t lbw_classes_behind_five(const struct lbw_profile *profile, const struct lbw_look *look);
int64_t lbw_classes_of_yolov8(const struct lbw_profile *profile, const struct lbw_look *look);
int64_t lbw_classes_in_pairs(const struct lbw_profile *profile, const struct lbw_look *look);
int64_t lbw_classes_of_maps(const struct lbw_profile *profile, const struct lbw_look *look);
int64_t lbw_classes_beside_boxes(const struct lbw_profile *profile,
                                 const struct lbw_look *look);
int64_t lbw_classes_of_heads(const struct lbw_profile *profile, const struct lbw_look *look);
int64_t lbw_extra_of_yolov5(const struct lbw_look *look);
int64_t lbw_extra_of_rows(const struct lbw_look *look);
int64_t lbw_extra_of_yolov8(const struct lbw_look *look);

#endif
