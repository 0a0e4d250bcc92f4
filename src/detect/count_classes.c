/* SPDX-License-Identifier: MIT */
/* How many classes the outputs can hold, and how many channels follow them. */
#include <stdio.h>
#include <string.h>

#include "detect/family.h"
#include "onnx/metadata.h"

#define USUAL_BINS 8 /* of a distribution over distances */

/* Box and objectness first: [1,n,5+classes], [1,anchors,h,w,5+classes], [1,5+classes,h,w]. */
int64_t lbw_classes_behind_five(const struct lbw_profile *profile, const struct lbw_look *look)
{
    int64_t columns = lbw_look_dim(look, 0, 3, 2);
    if (profile->family == LBW_FAMILY_FASTESTDET)
        return lbw_look_dim(look, 0, 4, 1) - 5;
    if (columns <= 0)
        columns = lbw_look_dim(look, 0, 5, 4);
    return columns - 5 - lbw_extra_of_yolov5(look);
}

/* Masks of a segmentation: as many as the prototype output has maps. */
static int64_t num_masks(const struct lbw_look *look)
{
    for (size_t k = 1; k < look->num_outputs; k++) {
        int64_t masks = lbw_look_dim(look, k, 4, 1), rows = lbw_look_dim(look, k, 4, 2);
        if (masks > 0 && rows == look->height / 4 && rows > 0)
            return masks;
    }
    return 0;
}

/* "kpt_shape", as written by Ultralytics: "[17, 3]". */
static int64_t num_keypoint_channels(const struct lbw_look *look)
{
    int num = 0, each = 0;
    const char *text = lbw_metadata_find(&look->info, "kpt_shape");
    bool is_known = sscanf(text, "[ %4d , %1d", &num, &each) == 2 && num > 0 && each > 0;
    return is_known ? (int64_t)num * each : 0;
}

int64_t lbw_extra_of_yolov5(const struct lbw_look *look)
{
    return !*look->task || !strcmp(look->task, "segment") ? num_masks(look) : 0;
}

/* The side of [1, 4 + classes, boxes] or its transpose that is not the boxes. */
static int64_t num_channels_of_yolov8(const struct lbw_look *look)
{
    int64_t rows = lbw_look_dim(look, 0, 3, 1), columns = lbw_look_dim(look, 0, 3, 2);
    int64_t boxes = lbw_look_cells(look, 8);
    boxes = boxes < 0 ? -1 : boxes + lbw_look_cells(look, 16) + lbw_look_cells(look, 32);
    if (boxes > 0 && (rows == boxes) != (columns == boxes))
        return rows == boxes ? columns : rows;
    return columns <= 0 || (rows > 0 && rows < columns) ? rows : columns;
}

/*
 * If no metadata names the task: scores are in 0 … 1, coordinates of keypoints and angles are
 * not. The channels from the first that leaves this range.
 */
static int64_t num_unlike_scores(const struct lbw_look *look, int64_t channels)
{
    size_t count = 0;
    if (channels < 6 || lbw_look_dim(look, 0, 3, 1) != channels || look->is_ultralytics)
        return 0;
    const float *values = lbw_look_values(look, 0, &count);
    size_t num = count / (size_t)channels;
    for (int64_t c = 5; values && num && c < channels; c++)
        for (size_t i = 0; i < num; i++) {
            float value = values[(size_t)c * num + i];
            if (value < 0 || value > 1)
                return channels - c;
        }
    return 0;
}

int64_t lbw_extra_of_yolov8(const struct lbw_look *look)
{
    if (!strcmp(look->task, "detect"))
        return 0;
    if (!strcmp(look->task, "obb"))
        return 1;
    if (!strcmp(look->task, "pose"))
        return num_keypoint_channels(look);
    int64_t masks = num_masks(look);
    return masks ? masks : num_unlike_scores(look, num_channels_of_yolov8(look));
}

int64_t lbw_classes_of_yolov8(const struct lbw_profile *profile, const struct lbw_look *look)
{
    (void)profile;
    return num_channels_of_yolov8(look) - 4 - lbw_extra_of_yolov8(look);
}

/*
 * Of outputs of classes and of distances (bins × 4 sides), the width of the former; 0 if both
 * could be either.
 */
int64_t lbw_classes_in_pairs(const struct lbw_profile *profile, const struct lbw_look *look)
{
    int64_t a = lbw_look_dim(look, 0, 3, 2), b = a;
    for (size_t k = 0; k < look->num_outputs; k++) {
        int64_t columns = lbw_look_dim(look, k, 3, 2);
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

/* Of maps [1,channels,h,w]: those that are not sides (4), sizes or offsets (2). */
int64_t lbw_classes_of_maps(const struct lbw_profile *profile, const struct lbw_look *look)
{
    int64_t known = profile->family == LBW_FAMILY_CENTERNET ? 2 : 4;
    for (size_t k = 0; k < look->num_outputs; k++) {
        int64_t channels = lbw_look_dim(look, k, 4, 1);
        if (channels > 0 && channels != known)
            return channels;
    }
    return 0;
}

/* Of lists [n,classes] with boxes [n,4], without the background; lists may be transposed. */
int64_t lbw_classes_beside_boxes(const struct lbw_profile *profile, const struct lbw_look *look)
{
    struct lbw_look_matrix m;
    int64_t num = 0, background = profile->background >= 0;
    for (size_t k = 0; k < look->num_outputs; k++)
        if (lbw_look_matrix(&m, look, k) && m.columns == 4)
            num = m.rows;
    for (size_t k = 0; k < look->num_outputs && num > 0; k++)
        if (lbw_look_matrix(&m, look, k) && m.columns != 4 && m.columns != 10 &&
            (m.rows == num || m.columns == num))
            return (m.rows == num ? m.columns : m.rows) - background;
    if (look->num_outputs == 1 && lbw_look_matrix(&m, look, 0)) /* both in one */
        return m.columns - 4;
    return 0;
}

/* Of heads with three anchors per cell, whose channels are second or last. */
int64_t lbw_classes_of_heads(const struct lbw_profile *profile, const struct lbw_look *look)
{
    const struct lbw_port *port = look->outputs;
    if (!look->num_outputs)
        return 0;
    if (port->num_dims == 5)
        return port->dims[4] - 5;
    if (port->num_dims != 4)
        return 0;
    if (profile->family == LBW_FAMILY_YOLOFASTESTV2)
        return port->dims[3] - 15;
    int64_t wide = port->dims[1] > port->dims[3] ? port->dims[1] : port->dims[3];
    int64_t channels = port->dims[2] == port->dims[3] ? port->dims[1] : wide;
    return channels > 0 && channels % 3 == 0 ? channels / 3 - 5 : 0;
}

/* After x0 y0 x1 y1 score class. */
int64_t lbw_extra_of_rows(const struct lbw_look *look)
{
    int64_t columns = lbw_look_dim(look, 0, 3, 2);
    return look->num_outputs && look->is_ultralytics && columns > 6 ? columns - 6 : 0;
}
