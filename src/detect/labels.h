/* SPDX-License-Identifier: MIT */
/* Class names of published models. */
#ifndef LBW_SRC_DETECT_LABELS_H
#define LBW_SRC_DETECT_LABELS_H

extern const char *const lbw_coco_labels[80];
extern const char *const lbw_coco91_labels[91];
extern const char *const lbw_voc_labels[20];
extern const char *const lbw_face_labels[1];
extern const char *const lbw_text_labels[1];

#endif
