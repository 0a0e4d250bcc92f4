/* SPDX-License-Identifier: MIT */
/* Which profile a model's outputs look like, and how far the model is another than its. */
#include <stdlib.h>
#include <string.h>

#include "detect/assume.h"
#include "detect/profile_check.h"
#include "onnx/metadata.h"

#define USUAL_BINS   8 /* of a distribution over distances */
#define MOST_CLASSES 100000
#define MAX_SIDE     (1 << 20) /* a larger one is nothing that was ever meant */

struct facts {
    const struct lbw_model_info *info;
    int64_t width, height; /* of the first input of rank 4; -1 when open or absurd */
    bool is_ultralytics;
    bool has_other_task; /* segmentation, poses: heads of other channels as well */
};

static void find_sides(struct facts *facts)
{
    facts->width = facts->height = -1;
    for (size_t i = 0; i < facts->info->num_inputs; i++) {
        const struct lbw_port *port = &facts->info->inputs[i];
        if (port->num_dims != 4)
            continue;
        bool is_last = port->dims[3] == 3 && port->dims[1] != 3;
        int64_t height = port->dims[is_last ? 1 : 2], width = port->dims[is_last ? 2 : 3];
        if (height <= MAX_SIDE && width <= MAX_SIDE) {
            facts->height = height;
            facts->width = width;
        }
        return;
    }
}

/* Cells of a grid of this stride over the input; -1 when its size is open. */
static int64_t cells(const struct facts *facts, int64_t stride)
{
    if (facts->width <= 0 || facts->height <= 0)
        return -1;
    return (facts->width + stride - 1) / stride * ((facts->height + stride - 1) / stride);
}

static int64_t cells_of_three(const struct facts *facts)
{
    int64_t fine = cells(facts, 8);
    return fine < 0 ? -1 : fine + cells(facts, 16) + cells(facts, 32);
}

/* Dimension `i` of output `k`, -1 when open, -2 when the output is not of this rank. */
static int64_t dim(const struct facts *facts, size_t k, int rank, int i)
{
    if (k >= facts->info->num_outputs || facts->info->outputs[k].num_dims != rank)
        return -2;
    return facts->info->outputs[k].dims[i];
}

static size_t num_named(const struct facts *facts, const char *part)
{
    size_t num = 0;
    for (size_t k = 0; k < facts->info->num_outputs; k++)
        num += strstr(facts->info->outputs[k].name, part) != NULL;
    return num;
}

static bool is_yunet(const struct facts *facts)
{
    return num_named(facts, "cls_") == 3 && num_named(facts, "obj_") == 3 &&
           num_named(facts, "bbox_") == 3;
}

/* Per stride from 8 on, an output of classes and one of distances, bins × 4 sides. */
static bool has_pairs(const struct facts *facts, size_t num_strides)
{
    size_t num = 0;
    for (size_t k = 0; k < facts->info->num_outputs; k++)
        for (size_t s = 0; s < num_strides; s++)
            num += dim(facts, k, 3, 1) == cells(facts, 8 << s) && dim(facts, k, 3, 2) > 0;
    return facts->info->num_outputs == 2 * num_strides && num == 2 * num_strides;
}

static bool is_nanodet(const struct facts *facts)
{
    return has_pairs(facts, 3);
}

static bool is_picodet(const struct facts *facts)
{
    return has_pairs(facts, 4);
}

static bool is_fastestdet(const struct facts *facts)
{
    return facts->info->num_outputs == 1 && dim(facts, 0, 4, 1) > 5 && facts->width > 0 &&
           dim(facts, 0, 4, 2) == facts->height / 16 &&
           dim(facts, 0, 4, 3) == facts->width / 16;
}

static bool is_ultraface(const struct facts *facts)
{
    int64_t num = dim(facts, 0, 3, 1);
    return facts->info->num_outputs == 2 && num == dim(facts, 1, 3, 1) && num != 0 &&
           dim(facts, 0, 3, 2) == 2 && dim(facts, 1, 3, 2) == 4;
}

/* [1, 4 + classes, n]; the head with n first is told from YOLOX by who exported it. */
static bool is_yolov8(const struct facts *facts)
{
    int64_t num = cells_of_three(facts), rows = dim(facts, 0, 3, 1);
    int64_t columns = dim(facts, 0, 3, 2);
    if (facts->has_other_task)
        return false;
    if (num > 0 && columns == num && rows > 4)
        return true;
    return facts->is_ultralytics && (rows == num || columns == -1 || rows == -1);
}

static bool is_yolov5(const struct facts *facts)
{
    int64_t num = cells_of_three(facts);
    return num > 0 && !facts->has_other_task && dim(facts, 0, 3, 1) == 3 * num &&
           dim(facts, 0, 3, 2) > 5;
}

static bool is_yolox(const struct facts *facts)
{
    int64_t num = cells_of_three(facts);
    return facts->info->num_outputs == 1 && num > 0 && dim(facts, 0, 3, 1) == num &&
           dim(facts, 0, 3, 2) > 5;
}

static bool is_ppocr(const struct facts *facts)
{
    return facts->info->num_outputs == 1 && dim(facts, 0, 4, 1) == 1 &&
           (num_named(facts, "sigmoid_0.tmp_0") || num_named(facts, "save_infer_model") ||
            num_named(facts, "fetch_name"));
}

static const struct signature {
    const char *profile;
    bool (*matches)(const struct facts *facts);
} signatures[] = {
    {"yunet", is_yunet},           {"nanodet", is_nanodet},     {"picodet", is_picodet},
    {"fastestdet", is_fastestdet}, {"ultraface", is_ultraface}, {"yolov5", is_yolov5},
    {"yolov8", is_yolov8},         {"yolox", is_yolox},         {"ppocr", is_ppocr},
};

const struct lbw_profile *lbw_guess_profile(const struct lbw_model_info *info)
{
    struct facts facts = {.info = info};
    facts.is_ultralytics = !strcmp(lbw_metadata_find(info, "author"), "Ultralytics") &&
                           !strcmp(lbw_metadata_find(info, "task"), "detect");
    const char *task = lbw_metadata_find(info, "task");
    facts.has_other_task = *task && strcmp(task, "detect") != 0;
    find_sides(&facts);
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++)
        if (signatures[i].matches(&facts))
            return lbw_profile_by_name(signatures[i].profile);
    return NULL;
}

const struct lbw_profile *lbw_profile_guess(struct lbw_model *model)
{
    struct lbw_model_info info;
    if (lbw_model_describe(&info, model, NULL) != LBW_OK)
        return NULL;
    return lbw_guess_profile(&info);
}

/*
 * Of outputs of classes and of distances (bins × 4 sides), the width of the former; 0 where
 * both could be either.
 */
static int64_t num_classes_in_pairs(const struct lbw_profile *profile,
                                    const struct facts *facts)
{
    int64_t a = dim(facts, 0, 3, 2), b = a;
    for (size_t k = 0; k < facts->info->num_outputs; k++) {
        int64_t columns = dim(facts, k, 3, 2);
        if (columns == profile->num_classes)
            return columns;
        if (columns != a)
            b = columns;
    }
    if (b == 4 * USUAL_BINS || a == b)
        return a;
    if (a == 4 * USUAL_BINS || (a % 4 == 0 && b % 4 != 0))
        return b;
    return a % 4 != 0 && b % 4 == 0 ? a : 0;
}

/* The side of [1, 4 + classes, boxes] or its transpose that is not the boxes. */
static int64_t num_channels_of_yolov8(const struct facts *facts)
{
    int64_t rows = dim(facts, 0, 3, 1), columns = dim(facts, 0, 3, 2);
    int64_t boxes = cells_of_three(facts);
    if (boxes > 0 && (rows == boxes) != (columns == boxes))
        return rows == boxes ? columns : rows;
    return columns <= 0 || (rows > 0 && rows < columns) ? rows : columns;
}

/* The classes that the outputs have room for in this family; 0 where that is not to be seen. */
static int64_t num_classes_of(const struct lbw_profile *profile, const struct facts *facts)
{
    int64_t columns = dim(facts, 0, 3, 2);
    switch (profile->family) {
    case LBW_FAMILY_YOLOX:
        return columns - 5;
    case LBW_FAMILY_YOLOV5:
        return (columns > 0 ? columns : dim(facts, 0, 5, 4)) - 5;
    case LBW_FAMILY_YOLOV8:
        return num_channels_of_yolov8(facts) - 4;
    case LBW_FAMILY_FASTESTDET:
        return dim(facts, 0, 4, 1) - 5;
    case LBW_FAMILY_NANODET:
        return num_classes_in_pairs(profile, facts);
    default:
        return 0;
    }
}

/*
 * Whether the outputs are of the profile's family for sure: then another number of classes is
 * the model's, else most likely the profile is wrong.
 */
static bool is_of_family(const struct lbw_profile *profile, const struct facts *facts)
{
    const struct lbw_profile *guess = lbw_guess_profile(facts->info);
    if (profile->family == LBW_FAMILY_YOLOV5 && dim(facts, 0, 5, 4) > 5)
        return true; /* heads left undecoded, which no other family has */
    return guess && guess->family == profile->family;
}

static enum lbw_status adapt_classes(struct lbw_profile *profile, const struct facts *facts,
                                     struct lbw_error *err)
{
    const char *const *labels = NULL;
    size_t num = 0;
    int64_t seen = num_classes_of(profile, facts);
    struct lbw_arena *arena = lbw_profile_storage(profile);
    if (!arena)
        return lbw_fail_memory(err);
    LBW_TRY(lbw_metadata_labels(&labels, &num, arena, facts->info, err));
    bool is_free = !profile->has_own_classes || profile->num_classes == 0;
    bool is_sure = is_free && num == 0 && seen > 0 && seen != profile->num_classes &&
                   profile->num_classes && is_of_family(profile, facts);
    if (num && (is_free || num == (size_t)profile->num_classes)) {
        profile->labels = labels;
        profile->num_labels = num;
        profile->num_classes = (int)num;
    } else if (is_sure) {
        profile->labels = NULL;
        profile->num_labels = 0;
        profile->num_classes = seen <= MOST_CLASSES ? (int)seen : 0;
    }
    return LBW_OK;
}

enum lbw_status lbw_profile_adapt(struct lbw_profile *profile, struct lbw_model *model,
                                  struct lbw_error *err)
{
    struct lbw_model_info info;
    struct lbw_preprocess *preprocess = &profile->preprocess;
    LBW_TRY(lbw_model_describe(&info, model, err));
    struct facts facts = {.info = &info};
    find_sides(&facts);
    if (!profile->has_own_classes || !profile->labels)
        LBW_TRY(adapt_classes(profile, &facts, err));
    if (!preprocess->width && !preprocess->height)
        lbw_metadata_size(&preprocess->width, &preprocess->height, &info);
    return LBW_OK;
}
