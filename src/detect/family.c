/* SPDX-License-Identifier: MIT */
/* The table of families: one row each. */
#include "detect/family.h"

static const struct lbw_family_row families[] = {
    [LBW_FAMILY_YOLOX] = {"yolox", lbw_decode_yolox, lbw_classes_behind_five, NULL},
    [LBW_FAMILY_YOLOV5] = {"yolov5", lbw_decode_yolov5, lbw_classes_behind_five,
                           lbw_extra_of_yolov5},
    [LBW_FAMILY_YOLOV8] = {"yolov8", lbw_decode_yolov8, lbw_classes_of_yolov8,
                           lbw_extra_of_yolov8},
    [LBW_FAMILY_NANODET] = {"nanodet", lbw_decode_nanodet, lbw_classes_in_pairs, NULL},
    [LBW_FAMILY_FASTESTDET] = {"fastestdet", lbw_decode_fastestdet, lbw_classes_behind_five,
                               NULL},
    [LBW_FAMILY_ULTRAFACE] = {"ultraface", lbw_decode_listed, lbw_classes_beside_boxes, NULL},
    [LBW_FAMILY_YUNET] = {"yunet", lbw_decode_yunet, NULL, NULL},
    [LBW_FAMILY_SSD] = {"ssd", lbw_decode_ssd, lbw_classes_beside_boxes, NULL},
    [LBW_FAMILY_NMS] = {"nms", lbw_decode_nms, NULL, lbw_extra_of_rows},
    [LBW_FAMILY_PPOCR] = {"ppocr", lbw_decode_ppocr, NULL, NULL},
    [LBW_FAMILY_YOLOV3] = {"yolov3", lbw_decode_yolov3, lbw_classes_of_heads, NULL},
    [LBW_FAMILY_YOLOFASTESTV2] = {"yolofastestv2", lbw_decode_yolofastestv2,
                                  lbw_classes_of_heads, NULL},
    [LBW_FAMILY_SCRFD] = {"scrfd", lbw_decode_scrfd, NULL, NULL},
    [LBW_FAMILY_BLAZEFACE] = {"blazeface", lbw_decode_blazeface, NULL, NULL},
    [LBW_FAMILY_FACEBOXES] = {"faceboxes", lbw_decode_faceboxes, NULL, NULL},
    [LBW_FAMILY_YOLONAS] = {"yolonas", lbw_decode_listed, lbw_classes_beside_boxes, NULL},
    [LBW_FAMILY_DETR] = {"detr", lbw_decode_listed, lbw_classes_beside_boxes, NULL},
    [LBW_FAMILY_RTMDET] = {"rtmdet", lbw_decode_rtmdet, lbw_classes_of_maps, NULL},
    [LBW_FAMILY_CENTERNET] = {"centernet", lbw_decode_centernet, lbw_classes_of_maps, NULL},
};

const struct lbw_family_row *lbw_family_at(size_t family)
{
    return family < sizeof families / sizeof *families ? &families[family] : NULL;
}

const char *lbw_family_name(enum lbw_family family)
{
    const struct lbw_family_row *row = lbw_family_at((size_t)family);
    return row ? row->name : "unknown";
}
