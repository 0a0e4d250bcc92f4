/* SPDX-License-Identifier: MIT */
/* The table of built-in profiles: one row each, see family.h. */
#include "detect/family.h"
#include "detect/labels.h"

#define NUM(array) (sizeof(array) / sizeof *(array))

#define LABELS(table)                                                                          \
    .num_labels = NUM(table), .labels = (table), .num_classes = (int)NUM(table)
#define STRIDES_3 .num_strides = 3, .strides = {8, 16, 32}
#define NO_NORM   .mean = {0, 0, 0}, .std = {1, 1, 1}
#define TO_UNIT   .mean = {0, 0, 0}, .std = {255, 255, 255}

#define IMAGENET_BGR .mean = {103.53f, 116.28f, 123.675f}, .std = {57.375f, 57.12f, 58.395f}

/* ImageNet's statistics times 255; PaddleOCR applies them to BGR pixels in this order, too. */
#define IMAGENET .mean = {123.675f, 116.28f, 103.53f}, .std = {58.395f, 57.12f, 57.375f}

#define SIZE(w, h)             .width = (w), .height = (h)
#define AS(way, colors)        .resize = LBW_RESIZE_##way, .color = LBW_COLOR_##colors
#define TO_127                 .mean = {127, 127, 127}, .std = {128, 128, 128}
#define IS(title, which, text) .name = title, .family = LBW_FAMILY_##which, .description = text

/* Least score and most boxes, for mAP; `overlap` is that of suppression, 1: none. */
#define COCO(overlap)                                                                          \
    LABELS(lbw_coco_labels), .score = 0.01f, .nms = overlap, .background = -1, .max_boxes = 100
#define VOC                                                                                    \
    LABELS(lbw_voc_labels), .score = 0.01f, .nms = 0.45f, .background = 0, .max_boxes = 200
#define FACES(overlap, none)                                                                   \
    LABELS(lbw_face_labels), .score = 0.01f, .nms = overlap, .background = none,               \
                             .max_boxes = 200

#define YOLOV5_ANCHORS                                                                         \
    .num_anchors = 3, .anchors = {{{10, 13}, {16, 30}, {33, 23}},                              \
                                  {{30, 61}, {62, 45}, {59, 119}},                             \
                                  {{116, 90}, {156, 198}, {373, 326}}}
#define YOLOV7_ANCHORS                                                                         \
    .num_anchors = 3, .anchors = {{{12, 16}, {19, 36}, {40, 28}},                              \
                                  {{36, 75}, {76, 55}, {72, 146}},                             \
                                  {{142, 110}, {192, 243}, {459, 401}}}

/* min, √(min·max), then the ratios 2, 1/2, 3, 1/3 of min, as the SSD paper's section 2.2. */
#define PRIORS(min, mean, x2, y2, x3, y3)                                                      \
    {                                                                                          \
        {min, min}, {mean, mean}, {x2, y2}, {y2, x2}, {x3, y3},                                \
        {                                                                                      \
            y3, x3                                                                             \
        }                                                                                      \
    }

/* EfficientDet: four strides wide at three scales, each 1:1, 1.4:0.7 and 0.7:1.4. */
#define THREE(side)                                                                            \
    {side, side}, {1.4f * (side), 0.7f * (side)},                                              \
    {                                                                                          \
        0.7f * (side), 1.4f * (side)                                                           \
    }
#define NINE(stride)                                                                           \
    {                                                                                          \
        THREE(4.f * (stride)), THREE(5.0396842f * (stride)), THREE(6.3496042f * (stride))      \
    }

static const struct lbw_profile_row rows[] = {
    {{IS("yolox", YOLOX, "YOLOX, raw heads in one output (COCO)"),
      .preprocess = {SIZE(640, 640), AS(LETTERBOX_CORNER, BGR), .pad = 114, NO_NORM,
                     .multiple = 32},
      STRIDES_3, COCO(0.65f)},
     lbw_is_yolox},

    {{IS("yolox-decoded", YOLOV5, "YOLOX, decoded in the graph (COCO)"),
      .preprocess = {SIZE(640, 640), AS(LETTERBOX_CORNER, BGR), .pad = 114, NO_NORM,
                     .multiple = 32},
      STRIDES_3, COCO(0.65f), YOLOV5_ANCHORS},
     lbw_is_yolox_decoded},

    {{IS("yolov3", YOLOV3, "YOLOv3, raw heads of Darknet (COCO)"),
      .preprocess = {SIZE(416, 416), AS(STRETCH, RGB), TO_UNIT, .multiple = 32}, STRIDES_3,
      COCO(0.45f), YOLOV5_ANCHORS},
     lbw_is_yolov3},

    {{IS("yolov3-tiny", YOLOV3, "YOLOv3 and v4 tiny, two raw heads (COCO)"),
      .preprocess = {SIZE(416, 416), AS(STRETCH, RGB), TO_UNIT, .multiple = 32},
      .num_strides = 2, .strides = {16, 32}, COCO(0.45f), .num_anchors = 3,
      .anchors = {{{10, 14}, {23, 27}, {37, 58}}, {{81, 82}, {135, 169}, {344, 319}}}},
     lbw_is_yolov3_tiny},

    {{IS("yolov3-boxes", YOLONAS, "YOLOv3 with image_shape: boxes, scores (COCO)"),
      .preprocess = {SIZE(416, 416), AS(LETTERBOX, RGB), .pad = 128, TO_UNIT, .multiple = 32},
      COCO(0.45f), .box_order = LBW_BOX_YXYX},
     lbw_is_yolov3_boxes},

    {{IS("yolov4", YOLOV3, "YOLOv4, raw heads of Darknet (COCO)"),
      .preprocess = {SIZE(416, 416), AS(STRETCH, RGB), TO_UNIT, .multiple = 32}, STRIDES_3,
      COCO(0.45f), YOLOV7_ANCHORS, .spread = {1.2f, 1.1f, 1.05f}},
     lbw_is_yolov3},

    {{IS("yolov5", YOLOV5, "YOLOv5 exports (COCO)"),
      .preprocess = {SIZE(640, 640), AS(LETTERBOX, RGB), .pad = 114, TO_UNIT, .multiple = 32},
      STRIDES_3, COCO(0.6f), YOLOV5_ANCHORS},
     lbw_is_any_yolov5},

    {{IS("yolov6", YOLOV5, "YOLOv6 exports (COCO)"),
      .preprocess = {SIZE(640, 640), AS(LETTERBOX, RGB), .pad = 114, TO_UNIT, .multiple = 32},
      STRIDES_3, COCO(0.65f), YOLOV5_ANCHORS},
     lbw_is_yolov6},

    {{IS("yolov7", YOLOV5, "YOLOv7: as yolov5, other anchors (COCO)"),
      .preprocess = {SIZE(640, 640), AS(LETTERBOX, RGB), .pad = 114, TO_UNIT, .multiple = 32},
      STRIDES_3, COCO(0.6f), YOLOV7_ANCHORS},
     lbw_is_raw_yolov5},

    {{IS("yolov8", YOLOV8, "YOLOv8 exports, also transposed (COCO)"),
      .preprocess = {SIZE(640, 640), AS(LETTERBOX, RGB), .pad = 114, TO_UNIT, .multiple = 32},
      STRIDES_3, COCO(0.7f)},
     lbw_is_yolov8},

    {{IS("yolov10", NMS, "YOLOv10, YOLO26 end to end (COCO)"),
      .preprocess = {SIZE(640, 640), AS(LETTERBOX, RGB), .pad = 114, TO_UNIT, .multiple = 32},
      COCO(1), .box_order = LBW_BOX_XYXY},
     lbw_is_end_to_end},

    {{IS("yolov11", YOLOV8, "YOLO11 exports: read as yolov8 (COCO)"),
      .preprocess = {SIZE(640, 640), AS(LETTERBOX, RGB), .pad = 114, TO_UNIT, .multiple = 32},
      STRIDES_3, COCO(0.7f)},
     NULL},

    {{IS("yolofastestv2", YOLOFASTESTV2, "Yolo-FastestV2, two heads (COCO)"),
      .preprocess = {SIZE(352, 352), AS(STRETCH, BGR), TO_UNIT, .multiple = 32},
      .num_strides = 2, .strides = {16, 32}, COCO(0.45f), .num_anchors = 3,
      .anchors = {{{12.64f, 19.39f}, {37.88f, 51.48f}, {55.71f, 138.31f}},
                  {{126.91f, 78.23f}, {131.57f, 214.55f}, {279.92f, 258.87f}}}},
     lbw_is_yolofastestv2},

    {{IS("yolonas", YOLONAS, "YOLO-NAS: boxes, scores of cells (COCO)"),
      .preprocess = {SIZE(640, 640), AS(LETTERBOX, BGR), .pad = 114, TO_UNIT, .multiple = 32},
      COCO(0.7f), .box_order = LBW_BOX_XYXY},
     lbw_is_yolonas},

    {{IS("damoyolo", YOLONAS, "DAMO-YOLO: scores, boxes of cells (COCO)"),
      .preprocess = {SIZE(640, 640), AS(LETTERBOX_CORNER, RGB), NO_NORM, .multiple = 32},
      COCO(0.7f), .box_order = LBW_BOX_XYXY},
     lbw_is_damoyolo},

    {{IS("ppyoloe", YOLONAS, "PP-YOLOE, also before its NMS (COCO)"),
      .preprocess = {SIZE(640, 640), AS(STRETCH, RGB), IMAGENET, .multiple = 32}, COCO(0.7f),
      .box_order = LBW_BOX_XYXY},
     lbw_is_ppyoloe},

    {{IS("ppyoloe-plus", YOLONAS, "PP-YOLOE+, also before its NMS (COCO)"),
      .preprocess = {SIZE(640, 640), AS(STRETCH, RGB), TO_UNIT, .multiple = 32}, COCO(0.7f),
      .box_order = LBW_BOX_XYXY},
     lbw_is_ppyoloe},

    {{IS("nanodet", NANODET, "NanoDet, six outputs (COCO)"),
      .preprocess = {SIZE(320, 320), AS(LETTERBOX, BGR), .pad = 0, IMAGENET_BGR,
                     .multiple = 32},
      STRIDES_3, COCO(0.6f)},
     lbw_is_nanodet},

    {{IS("picodet", NANODET, "PP-PicoDet before its NMS (COCO)"),
      .preprocess = {SIZE(320, 320), AS(STRETCH, RGB), IMAGENET, .multiple = 32},
      .num_strides = 4, .strides = {8, 16, 32, 64}, COCO(0.6f)},
     lbw_is_picodet},

    {{IS("fastestdet", FASTESTDET, "FastestDet, one head at stride 16 (COCO)"),
      .preprocess = {SIZE(352, 352), AS(STRETCH, BGR), TO_UNIT, .multiple = 32},
      .num_strides = 1, .strides = {16}, COCO(0.45f), .objectness_power = 0.6f},
     lbw_is_fastestdet},

    {{IS("rtmdet", RTMDET, "RTMDet, raw heads or with NMS (COCO)"),
      .preprocess = {SIZE(640, 640), AS(LETTERBOX_CORNER, BGR), .pad = 114, IMAGENET_BGR,
                     .multiple = 32},
      STRIDES_3, COCO(0.65f)},
     NULL},

    {{IS("detr", DETR, "DETR: logits and boxes (COCO)"),
      .preprocess = {SIZE(800, 800), AS(STRETCH, RGB), IMAGENET}, LABELS(lbw_coco91_labels),
      .score = 0.01f, .nms = 1, .background = 91, .max_boxes = 100, .box_order = LBW_BOX_CXCYWH,
      .normalized = true},
     lbw_is_detr},

    {{IS("rtdetr", DETR, "RT-DETR, D-FINE: logits and boxes (COCO)"),
      .preprocess = {SIZE(640, 640), AS(STRETCH, RGB), TO_UNIT}, COCO(1),
      .box_order = LBW_BOX_CXCYWH, .normalized = true},
     lbw_is_rtdetr},

    {{IS("rtdetr-boxes", NMS, "RT-DETR, D-FINE with orig_target_sizes (COCO)"),
      .preprocess = {SIZE(640, 640), AS(STRETCH, RGB), TO_UNIT}, COCO(1),
      .box_order = LBW_BOX_XYXY},
     lbw_is_rtdetr_boxes},

    {{IS("rfdetr", DETR, "RF-DETR: dets and labels (COCO)"),
      .preprocess = {SIZE(560, 560), AS(STRETCH, RGB), IMAGENET}, LABELS(lbw_coco91_labels),
      .score = 0.01f, .nms = 1, .background = -1, .max_boxes = 100, .box_order = LBW_BOX_CXCYWH,
      .normalized = true},
     lbw_is_rfdetr},

    {{IS("centernet", CENTERNET, "CenterNet: heat map, sizes, offsets (COCO)"),
      .preprocess = {SIZE(512, 512), AS(LETTERBOX, BGR), .pad = 0,
                     .mean = {104.04f, 113.985f, 119.85f}, .std = {73.695f, 69.87f, 70.89f},
                     .multiple = 32},
      .num_strides = 1, .strides = {4}, COCO(1)},
     lbw_is_centernet},

    {{IS("efficientdet", SSD, "EfficientDet, five levels (COCO)"),
      .preprocess = {SIZE(512, 512), AS(LETTERBOX_CORNER, RGB), .pad = 0, IMAGENET,
                     .multiple = 128},
      .num_strides = 5, .strides = {8, 16, 32, 64, 128},
      .num_labels = NUM(lbw_coco91_labels) - 1, .labels = lbw_coco91_labels + 1,
      .num_classes = (int)NUM(lbw_coco91_labels) - 1, .score = 0.01f, .nms = 0.5f,
      .background = -1, .max_boxes = 100, .box_order = LBW_BOX_YXYX, .variance = {1, 1},
      .num_anchors = 9, .anchors = {NINE(8), NINE(16), NINE(32), NINE(64), NINE(128)}},
     lbw_is_efficientdet},

    {{IS("ultraface", ULTRAFACE, "Ultra-Light faces: decoded boxes"),
      .preprocess = {SIZE(320, 240), AS(STRETCH, RGB), TO_127}, FACES(0.3f, 0),
      .normalized = true},
     lbw_is_ultraface},

    {{IS("ultraface-raw", SSD, "Ultra-Light faces: offsets to priors"),
      .preprocess = {SIZE(320, 240), AS(STRETCH, RGB), TO_127}, .num_strides = 4,
      .strides = {8, 16, 32, 64}, FACES(0.3f, 0), .variance = {0.1f, 0.2f}, .num_anchors = 3,
      .anchors = {{{10, 10}, {16, 16}, {24, 24}},
                  {{32, 32}, {48, 48}},
                  {{64, 64}, {96, 96}},
                  {{128, 128}, {192, 192}, {256, 256}}}},
     lbw_is_ultraface_offsets},

    {{IS("yunet", YUNET, "YuNet faces, twelve outputs"),
      .preprocess = {SIZE(640, 640), AS(LETTERBOX_CORNER, BGR), .pad = 0, NO_NORM,
                     .multiple = 32},
      STRIDES_3, FACES(0.45f, -1)},
     lbw_is_yunet},

    {{IS("scrfd", SCRFD, "SCRFD faces, six or nine outputs"),
      .preprocess = {SIZE(640, 640), AS(LETTERBOX_CORNER, RGB), .pad = 0,
                     .mean = {127.5f, 127.5f, 127.5f}, .std = {128, 128, 128}, .multiple = 32},
      STRIDES_3, FACES(0.4f, -1)},
     lbw_is_scrfd},

    {{IS("retinaface", SSD, "RetinaFace: offsets, scores, landmarks"),
      .preprocess = {SIZE(640, 640), AS(LETTERBOX_CORNER, BGR), .pad = 0,
                     .mean = {104, 117, 123}, .std = {1, 1, 1}, .multiple = 32},
      STRIDES_3, FACES(0.4f, 0), .variance = {0.1f, 0.2f}, .num_anchors = 2,
      .anchors = {{{16, 16}, {32, 32}}, {{64, 64}, {128, 128}}, {{256, 256}, {512, 512}}}},
     lbw_is_retinaface},

    {{IS("faceboxes", FACEBOXES, "FaceBoxes: offsets to densified priors"),
      .preprocess = {SIZE(1024, 1024), AS(LETTERBOX_CORNER, BGR), .pad = 0,
                     .mean = {104, 117, 123}, .std = {1, 1, 1}, .multiple = 128},
      FACES(0.3f, 0), .variance = {0.1f, 0.2f}},
     lbw_is_faceboxes},

    {{IS("blazeface", BLAZEFACE, "BlazeFace front camera, 128"),
      .preprocess = {SIZE(128, 128), AS(LETTERBOX, RGB), .pad = 0,
                     .mean = {127.5f, 127.5f, 127.5f}, .std = {127.5f, 127.5f, 127.5f}},
      .num_strides = 2, .strides = {8, 16}, FACES(0.3f, -1)},
     lbw_is_blazeface},

    {{IS("blazeface-back", BLAZEFACE, "BlazeFace back camera, 256"),
      .preprocess = {SIZE(256, 256), AS(LETTERBOX, RGB), .pad = 0,
                     .mean = {127.5f, 127.5f, 127.5f}, .std = {127.5f, 127.5f, 127.5f}},
      .num_strides = 2, .strides = {16, 32}, FACES(0.3f, -1)},
     lbw_is_blazeface_back},

    {{IS("ssd", SSD, "MobileNet-SSD 300, offsets to priors (VOC)"),
      .preprocess = {SIZE(300, 300), AS(STRETCH, RGB), TO_127}, .num_strides = 6,
      .strides = {16, 32, 64, 100, 150, 300}, VOC, .variance = {0.1f, 0.2f}, .num_anchors = 6,
      .anchors = {PRIORS(60, 79.372539f, 84.852814f, 42.426407f, 103.923048f, 34.641016f),
                  PRIORS(105, 125.499004f, 148.492424f, 74.246212f, 181.865335f, 60.621778f),
                  PRIORS(150, 171.026314f, 212.132034f, 106.066017f, 259.807621f, 86.60254f),
                  PRIORS(195, 216.333077f, 275.771645f, 137.885822f, 337.749907f, 112.583302f),
                  PRIORS(240, 261.533937f, 339.411255f, 169.705627f, 415.692194f, 138.564065f),
                  PRIORS(285, 306.67572f, 403.050865f, 201.525433f, 493.63448f, 164.544827f)}},
     lbw_is_ssd},

    {{IS("ssdlite", ULTRAFACE, "SSD 300, priors in the graph (VOC)"),
      .preprocess = {SIZE(300, 300), AS(STRETCH, RGB), TO_127}, VOC, .normalized = true},
     lbw_is_ssdlite},

    {{IS("nms", NMS, "any with NMS: boxes, scores, labels (COCO)"),
      .preprocess = {AS(STRETCH, RGB), TO_UNIT}, COCO(1), .box_order = LBW_BOX_XYXY},
     NULL},

    {{IS("ppocr", PPOCR, "PP-OCR text detectors: a probability map"),
      .preprocess = {SIZE(736, 736), AS(STRETCH, BGR), IMAGENET, .multiple = 32},
      LABELS(lbw_text_labels), .score = 0.3f, .nms = 1, .background = -1, .max_boxes = 1000},
     lbw_is_ppocr}};

const struct lbw_profile_row *lbw_profile_row_at(size_t i)
{
    return i < NUM(rows) ? &rows[i] : NULL;
}
