/* SPDX-License-Identifier: MIT */
/* The table of detector families that need no file: preprocessing and how outputs are read. */
#include <lbw/profile.h>

#include <stdio.h>
#include <string.h>

#include "base/check.h"

#define NUM(array) (sizeof(array) / sizeof *(array))

static const char *const coco_labels[] = {
    "person",        "bicycle",      "car",
    "motorcycle",    "airplane",     "bus",
    "train",         "truck",        "boat",
    "traffic light", "fire hydrant", "stop sign",
    "parking meter", "bench",        "bird",
    "cat",           "dog",          "horse",
    "sheep",         "cow",          "elephant",
    "bear",          "zebra",        "giraffe",
    "backpack",      "umbrella",     "handbag",
    "tie",           "suitcase",     "frisbee",
    "skis",          "snowboard",    "sports ball",
    "kite",          "baseball bat", "baseball glove",
    "skateboard",    "surfboard",    "tennis racket",
    "bottle",        "wine glass",   "cup",
    "fork",          "knife",        "spoon",
    "bowl",          "banana",       "apple",
    "sandwich",      "orange",       "broccoli",
    "carrot",        "hot dog",      "pizza",
    "donut",         "cake",         "chair",
    "couch",         "potted plant", "bed",
    "dining table",  "toilet",       "tv",
    "laptop",        "mouse",        "remote",
    "keyboard",      "cell phone",   "microwave",
    "oven",          "toaster",      "sink",
    "refrigerator",  "book",         "clock",
    "vase",          "scissors",     "teddy bear",
    "hair drier",    "toothbrush",
};

static const char *const voc_labels[] = {
    "aeroplane", "bicycle",     "bird",  "boat",        "bottle", "bus",       "car",
    "cat",       "chair",       "cow",   "diningtable", "dog",    "horse",     "motorbike",
    "person",    "pottedplant", "sheep", "sofa",        "train",  "tvmonitor",
};

static const char *const face_labels[] = {"face"};
static const char *const text_labels[] = {"text"};

#define LABELS(table)                                                                          \
    .num_labels = NUM(table), .labels = (table), .num_classes = (int)NUM(table)
#define STRIDES_3 .num_strides = 3, .strides = {8, 16, 32}
#define NO_NORM   .mean = {0, 0, 0}, .std = {1, 1, 1}
#define TO_UNIT   .mean = {0, 0, 0}, .std = {255, 255, 255}

/* ImageNet's statistics times 255; PaddleOCR applies them in this order to BGR pixels, too. */
#define IMAGENET .mean = {123.675f, 116.28f, 103.53f}, .std = {58.395f, 57.12f, 57.375f}

static const struct lbw_profile profiles[] = {
    {
        .name = "yolox",
        .family = LBW_FAMILY_YOLOX,
        .description = "YOLOX, raw heads in one output (COCO)",
        .preprocess = {.resize = LBW_RESIZE_LETTERBOX_CORNER,
                       .color = LBW_COLOR_BGR,
                       .pad = 114,
                       NO_NORM,
                       .multiple = 32},
        STRIDES_3,
        LABELS(coco_labels),
        .score = 0.01f,
        .nms = 0.65f,
        .background = -1,
        .max_boxes = 100,
    },
    {
        .name = "yolov5",
        .family = LBW_FAMILY_YOLOV5,
        .description = "YOLOv5 exports (COCO)",
        .preprocess = {.resize = LBW_RESIZE_LETTERBOX,
                       .color = LBW_COLOR_RGB,
                       .pad = 114,
                       TO_UNIT,
                       .multiple = 32},
        STRIDES_3,
        LABELS(coco_labels),
        .score = 0.01f,
        .nms = 0.6f,
        .background = -1,
        .max_boxes = 100,
        .num_anchors = 3,
        .anchors = {{{10, 13}, {16, 30}, {33, 23}},
                    {{30, 61}, {62, 45}, {59, 119}},
                    {{116, 90}, {156, 198}, {373, 326}}},
    },
    {
        .name = "yolov7",
        .family = LBW_FAMILY_YOLOV5,
        .description = "YOLOv7 exports: yolov5's, other anchors (COCO)",
        .preprocess = {.resize = LBW_RESIZE_LETTERBOX,
                       .color = LBW_COLOR_RGB,
                       .pad = 114,
                       TO_UNIT,
                       .multiple = 32},
        STRIDES_3,
        LABELS(coco_labels),
        .score = 0.01f,
        .nms = 0.6f,
        .background = -1,
        .max_boxes = 100,
        .num_anchors = 3,
        .anchors = {{{12, 16}, {19, 36}, {40, 28}},
                    {{36, 75}, {76, 55}, {72, 146}},
                    {{142, 110}, {192, 243}, {459, 401}}},
    },
    {
        .name = "yolov8",
        .family = LBW_FAMILY_YOLOV8,
        .description = "YOLOv8 exports, also transposed (COCO)",
        .preprocess = {.resize = LBW_RESIZE_LETTERBOX,
                       .color = LBW_COLOR_RGB,
                       .pad = 114,
                       TO_UNIT,
                       .multiple = 32},
        STRIDES_3,
        LABELS(coco_labels),
        .score = 0.01f,
        .nms = 0.7f,
        .background = -1,
        .max_boxes = 100,
    },
    {
        .name = "yolov11",
        .family = LBW_FAMILY_YOLOV8,
        .description = "YOLO11 exports: read as yolov8 (COCO)",
        .preprocess = {.resize = LBW_RESIZE_LETTERBOX,
                       .color = LBW_COLOR_RGB,
                       .pad = 114,
                       TO_UNIT,
                       .multiple = 32},
        STRIDES_3,
        LABELS(coco_labels),
        .score = 0.01f,
        .nms = 0.7f,
        .background = -1,
        .max_boxes = 100,
    },
    {
        .name = "nanodet",
        .family = LBW_FAMILY_NANODET,
        .description = "NanoDet, six outputs (COCO)",
        .preprocess = {.resize = LBW_RESIZE_LETTERBOX,
                       .color = LBW_COLOR_BGR,
                       .pad = 0,
                       .mean = {103.53f, 116.28f, 123.675f},
                       .std = {57.375f, 57.12f, 58.395f},
                       .multiple = 32},
        STRIDES_3,
        LABELS(coco_labels),
        .score = 0.01f,
        .nms = 0.6f,
        .background = -1,
        .max_boxes = 100,
    },
    {
        .name = "picodet",
        .family = LBW_FAMILY_NANODET,
        .description = "PP-PicoDet before its NMS, 8 outputs (COCO)",
        .preprocess =
            {.resize = LBW_RESIZE_STRETCH, .color = LBW_COLOR_RGB, IMAGENET, .multiple = 32},
        .num_strides = 4,
        .strides = {8, 16, 32, 64},
        LABELS(coco_labels),
        .score = 0.01f,
        .nms = 0.6f,
        .background = -1,
        .max_boxes = 100,
    },
    {
        .name = "fastestdet",
        .family = LBW_FAMILY_FASTESTDET,
        .description = "FastestDet, one head at stride 16 (COCO)",
        .preprocess =
            {.resize = LBW_RESIZE_STRETCH, .color = LBW_COLOR_BGR, TO_UNIT, .multiple = 32},
        .num_strides = 1,
        .strides = {16},
        LABELS(coco_labels),
        .score = 0.01f,
        .nms = 0.45f,
        .background = -1,
        .max_boxes = 100,
        .objectness_power = 0.6f,
    },
    {
        .name = "ultraface",
        .family = LBW_FAMILY_ULTRAFACE,
        .description = "Ultra-Light faces: scores and decoded boxes",
        .preprocess = {.resize = LBW_RESIZE_STRETCH,
                       .color = LBW_COLOR_RGB,
                       .mean = {127, 127, 127},
                       .std = {128, 128, 128}},
        LABELS(face_labels),
        .score = 0.01f,
        .nms = 0.3f,
        .background = 0,
        .max_boxes = 200,
    },
    {
        .name = "yunet",
        .family = LBW_FAMILY_YUNET,
        .description = "YuNet faces, twelve outputs",
        .preprocess = {.width = 640,
                       .height = 640,
                       .resize = LBW_RESIZE_LETTERBOX_CORNER,
                       .color = LBW_COLOR_BGR,
                       .pad = 0,
                       NO_NORM,
                       .multiple = 32},
        STRIDES_3,
        LABELS(face_labels),
        .score = 0.01f,
        .nms = 0.45f,
        .background = -1,
        .max_boxes = 200,
    },
    {
        .name = "ssd",
        .family = LBW_FAMILY_SSD,
        .description = "MobileNet-SSD 300, offsets to priors (VOC)",
        .preprocess = {.resize = LBW_RESIZE_STRETCH,
                       .color = LBW_COLOR_RGB,
                       .mean = {127, 127, 127},
                       .std = {128, 128, 128}},
        .num_strides = 6,
        .strides = {16, 32, 64, 100, 150, 300},
        LABELS(voc_labels),
        .score = 0.01f,
        .nms = 0.45f,
        .background = 0,
        .max_boxes = 200,
        .variance = {0.1f, 0.2f},
/* min, √(min·max), then the ratios 2, 1/2, 3, 1/3 of min, as the SSD paper's section 2.2. */
#define PRIORS(min, mean, x2, y2, x3, y3)                                                      \
    {                                                                                          \
        {min, min}, {mean, mean}, {x2, y2}, {y2, x2}, {x3, y3},                                \
        {                                                                                      \
            y3, x3                                                                             \
        }                                                                                      \
    }
        .num_anchors = 6,
        .anchors = {PRIORS(60, 79.372539f, 84.852814f, 42.426407f, 103.923048f, 34.641016f),
                    PRIORS(105, 125.499004f, 148.492424f, 74.246212f, 181.865335f, 60.621778f),
                    PRIORS(150, 171.026314f, 212.132034f, 106.066017f, 259.807621f, 86.60254f),
                    PRIORS(195, 216.333077f, 275.771645f, 137.885822f, 337.749907f,
                           112.583302f),
                    PRIORS(240, 261.533937f, 339.411255f, 169.705627f, 415.692194f,
                           138.564065f),
                    PRIORS(285, 306.67572f, 403.050865f, 201.525433f, 493.63448f, 164.544827f)},
    },
    {
        .name = "nms",
        .family = LBW_FAMILY_NMS,
        .description = "any with NMS: boxes, scores, labels (COCO)",
        .preprocess = {.resize = LBW_RESIZE_STRETCH, .color = LBW_COLOR_RGB, TO_UNIT},
        LABELS(coco_labels),
        .score = 0.01f,
        .nms = 1,
        .background = -1,
        .max_boxes = 100,
        .box_order = LBW_BOX_XYXY,
    },
    {
        .name = "ppocr",
        .family = LBW_FAMILY_PPOCR,
        .description = "PP-OCR text detectors: a probability map",
        .preprocess = {.width = 736,
                       .height = 736,
                       .resize = LBW_RESIZE_STRETCH,
                       .color = LBW_COLOR_BGR,
                       IMAGENET,
                       .multiple = 32},
        LABELS(text_labels),
        .score = 0.3f,
        .nms = 1,
        .background = -1,
        .max_boxes = 1000,
    },
};

static const char *const family_names[] = {
    [LBW_FAMILY_YOLOX] = "yolox",
    [LBW_FAMILY_YOLOV5] = "yolov5",
    [LBW_FAMILY_YOLOV8] = "yolov8",
    [LBW_FAMILY_NANODET] = "nanodet",
    [LBW_FAMILY_FASTESTDET] = "fastestdet",
    [LBW_FAMILY_ULTRAFACE] = "ultraface",
    [LBW_FAMILY_YUNET] = "yunet",
    [LBW_FAMILY_SSD] = "ssd",
    [LBW_FAMILY_NMS] = "nms",
    [LBW_FAMILY_PPOCR] = "ppocr",
};

const struct lbw_profile *lbw_profile_at(size_t i)
{
    return i < NUM(profiles) ? &profiles[i] : NULL;
}

const struct lbw_profile *lbw_profile_by_name(const char *name)
{
    for (size_t i = 0; name && i < NUM(profiles); i++)
        if (!strcmp(profiles[i].name, name))
            return &profiles[i];
    return NULL;
}

const char *lbw_family_name(enum lbw_family family)
{
    return (size_t)family < NUM(family_names) ? family_names[family] : "unknown";
}

static bool names_a_file(const char *name)
{
    size_t length = strlen(name);
    return strchr(name, '/') || (length > 5 && !strcmp(name + length - 5, ".json"));
}

enum lbw_status lbw_profile_find(struct lbw_profile *out, const char *name,
                                 struct lbw_error *err)
{
    LBW_TRY(lbw_check_given("profile", name, err));
    const struct lbw_profile *known = lbw_profile_by_name(name);
    if (known) {
        *out = *known;
        return LBW_OK;
    }
    if (names_a_file(name))
        return lbw_profile_read(out, name, err);
    char list[sizeof err->message] = "";
    for (size_t i = 0, used = 0; i < NUM(profiles) && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, " %s", profiles[i].name);
    return lbw_fail(err, LBW_ERR_ARGUMENT, "unknown profile '%s': use one of%s, or FILE.json", name,
                    list);
}
