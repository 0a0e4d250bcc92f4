/* SPDX-License-Identifier: MIT */
/* Which profile a model's outputs look like: one row per signature. */
#include "run/assume.h"

#include <string.h>

#define MAX_SIDE (1 << 20) /* a larger one is nothing that was ever meant */

struct facts {
    const struct lbw_model_info *info;
    int64_t width, height; /* of the first input of rank 4; -1 when open or absurd */
    bool is_ultralytics;
};

static const char *metadata(const struct lbw_model_info *info, const char *key)
{
    for (size_t i = 0; i < info->num_metadata; i++)
        if (!strcmp(info->metadata[2 * i], key))
            return info->metadata[2 * i + 1];
    return "";
}

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

/* Three class outputs, one per stride, and three of distances: bins × 4 sides. */
static bool is_nanodet(const struct facts *facts)
{
    int num = 0;
    for (size_t k = 0; k < facts->info->num_outputs; k++)
        for (int64_t stride = 8; stride <= 32; stride *= 2)
            num += dim(facts, k, 3, 1) == cells(facts, stride) && dim(facts, k, 3, 2) > 0;
    return facts->info->num_outputs == 6 && num == 6;
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
    if (num > 0 && columns == num && rows > 4)
        return true;
    return facts->is_ultralytics && (rows == num || columns == -1 || rows == -1);
}

static bool is_yolov5(const struct facts *facts)
{
    int64_t num = cells_of_three(facts);
    return num > 0 && dim(facts, 0, 3, 1) == 3 * num && dim(facts, 0, 3, 2) > 5;
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
    {"yunet", is_yunet},         {"nanodet", is_nanodet}, {"fastestdet", is_fastestdet},
    {"ultraface", is_ultraface}, {"yolov5", is_yolov5},   {"yolov8", is_yolov8},
    {"yolox", is_yolox},         {"ppocr", is_ppocr},
};

const struct lbw_profile *lbw_guess_profile(const struct lbw_model_info *info)
{
    struct facts facts = {.info = info};
    facts.is_ultralytics = !strcmp(metadata(info, "author"), "Ultralytics") &&
                           !strcmp(metadata(info, "task"), "detect");
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
