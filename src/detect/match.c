/* SPDX-License-Identifier: MIT */
/* The outputs of each detector: their number, shapes, names, sometimes values. */
#include <stdlib.h>
#include <string.h>

#include "detect/family.h"

#define MOST_QUERIES 1000 /* of a transformer, and of boxes after suppression */

static int64_t cells_of_three(const struct lbw_look *look)
{
    int64_t fine = lbw_look_cells(look, 8);
    return fine < 0 ? -1 : fine + lbw_look_cells(look, 16) + lbw_look_cells(look, 32);
}

/* Strides 4 … 32 (P2) and 8 … 64 (P6) as well. */
static bool are_cells(const struct lbw_look *look, int64_t num, int64_t each)
{
    int64_t three = cells_of_three(look);
    return three > 0 &&
           (num == each * three || num == each * (three + lbw_look_cells(look, 64)) ||
            num == each * (three + lbw_look_cells(look, 4)));
}

/* Segmentation, poses and oriented boxes are detectors with additional channels. */
static bool finds_boxes(const struct lbw_look *look)
{
    static const char *const tasks[] = {"", "detect", "segment", "pose", "obb"};
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (!strcmp(look->task, tasks[i]))
            return true;
    return false;
}

bool lbw_is_yunet(const struct lbw_look *look)
{
    return lbw_look_named(look, "cls_") == 3 && lbw_look_named(look, "obj_") == 3 &&
           lbw_look_named(look, "bbox_") == 3;
}

/* Per stride from 8 on, an output of classes and one of distances, bins × 4 sides. */
static bool has_pairs(const struct lbw_look *look, size_t num_strides)
{
    size_t num = 0;
    struct lbw_look_matrix m;
    for (size_t s = 0; s < num_strides; s++) {
        int64_t cells = lbw_look_cells(look, 8 << s);
        size_t at_stride = 0, with_sides = 0;
        for (size_t k = 0; k < look->num_outputs; k++)
            if (lbw_look_matrix(&m, look, k) && cells > 0 && m.rows == cells) {
                at_stride += m.columns > 0;
                with_sides += m.columns >= 8 && m.columns % 4 == 0;
            }
        num += at_stride == 2 && with_sides >= 1;
    }
    return look->num_outputs == 2 * num_strides && num == num_strides;
}

bool lbw_is_nanodet(const struct lbw_look *look)
{
    return has_pairs(look, 3);
}

bool lbw_is_picodet(const struct lbw_look *look)
{
    return has_pairs(look, 4);
}

bool lbw_is_fastestdet(const struct lbw_look *look)
{
    return look->num_outputs == 1 && lbw_look_dim(look, 0, 4, 1) > 5 && look->width > 0 &&
           lbw_look_dim(look, 0, 4, 2) == look->height / 16 &&
           lbw_look_dim(look, 0, 4, 3) == look->width / 16;
}

/* [1,h/16,w/16,15+classes] and the same at stride 32, three anchors of 4 + 1 each. */
bool lbw_is_yolofastestv2(const struct lbw_look *look)
{
    if (look->num_outputs != 2 || look->width <= 0)
        return false;
    for (size_t k = 0; k < 2; k++) {
        int64_t rows = lbw_look_dim(look, k, 4, 1), columns = lbw_look_dim(look, k, 4, 2);
        int stride = rows == (look->height + 15) / 16 ? 16 : 32;
        if (rows != (look->height + stride - 1) / stride ||
            columns != (look->width + stride - 1) / stride ||
            lbw_look_dim(look, k, 4, 3) <= 15 ||
            lbw_look_dim(look, k, 4, 3) != lbw_look_dim(look, 0, 4, 3))
            return false;
    }
    return lbw_look_dim(look, 0, 4, 1) != lbw_look_dim(look, 1, 4, 1);
}

static bool has_input(const struct lbw_look *look, const char *name)
{
    for (size_t i = 0; i < look->info.num_inputs; i++)
        if (!strcmp(look->info.inputs[i].name, name))
            return true;
    return false;
}

/* ---- lists of boxes and of scores ---- */

/* Two outputs: boxes [n,4], and scores with as many rows, or columns when `transposed`. */
static bool is_list(int64_t *num, int64_t *classes, const struct lbw_look *look,
                    bool transposed)
{
    struct lbw_look_matrix m[2];
    if (look->num_outputs != 2 || !lbw_look_matrix(&m[0], look, 0) ||
        !lbw_look_matrix(&m[1], look, 1))
        return false;
    for (int b = 0; b < 2; b++) {
        const struct lbw_look_matrix *boxes = &m[b], *scores = &m[!b];
        if (boxes->columns != 4 || boxes->rows < 1)
            continue;
        *num = boxes->rows;
        *classes = transposed ? scores->rows : scores->columns;
        if ((transposed ? scores->columns : scores->rows) == boxes->rows && *classes > 0)
            return true;
    }
    return false;
}

/* The number of priors of a profile's strides and anchors. */
static int64_t num_priors(const struct lbw_look *look, const char *name)
{
    const struct lbw_profile *profile = lbw_profile_by_name(name);
    int64_t num = 0;
    for (int s = 0; s < profile->num_strides; s++)
        for (int a = 0; a < profile->num_anchors; a++)
            if (profile->anchors[s][a].width > 0)
                num += lbw_look_cells(look, profile->strides[s]);
    return look->width > 0 ? num : -1;
}

bool lbw_is_ultraface(const struct lbw_look *look)
{
    int64_t num, classes;
    return is_list(&num, &classes, look, false) && classes == 2 && look->has_exp &&
           num == num_priors(look, "ultraface-raw");
}

bool lbw_is_ultraface_offsets(const struct lbw_look *look)
{
    int64_t num, classes;
    return is_list(&num, &classes, look, false) && classes == 2 && !look->has_exp &&
           num == num_priors(look, "ultraface-raw");
}

bool lbw_is_ssd(const struct lbw_look *look)
{
    int64_t num, classes;
    return is_list(&num, &classes, look, false) && !look->has_exp &&
           num == num_priors(look, "ssd");
}

bool lbw_is_ssdlite(const struct lbw_look *look)
{
    int64_t num, classes;
    return is_list(&num, &classes, look, false) && look->has_exp &&
           num == num_priors(look, "ssd");
}

/* There may be landmarks as well. If the graph has an Exp, the boxes are already decoded. */
bool lbw_is_retinaface(const struct lbw_look *look)
{
    int64_t num = num_priors(look, "retinaface");
    size_t with_landmarks = lbw_look_count(look, num, 10);
    return !look->has_exp && lbw_look_count(look, num, 4) == 1 &&
           lbw_look_count(look, num, 2) == 1 && look->num_outputs == 2 + with_landmarks;
}

bool lbw_is_faceboxes(const struct lbw_look *look)
{
    int64_t coarse = lbw_look_cells(look, 32), num, classes;
    return is_list(&num, &classes, look, false) && classes == 2 && !look->has_exp &&
           coarse > 0 &&
           num == 21 * coarse + lbw_look_cells(look, 64) + lbw_look_cells(look, 128);
}

/* There may be other outputs (features, anchors). */
bool lbw_is_efficientdet(const struct lbw_look *look)
{
    int64_t num = num_priors(look, "efficientdet"), found = 0;
    struct lbw_look_matrix m;
    for (size_t k = 0; k < look->num_outputs; k++)
        found += num > 0 && lbw_look_matrix(&m, look, k) && m.rows == num && m.columns != 4;
    return found == 1 && lbw_look_count(look, num, 4) >= 1;
}

/* [896,16] regressors with [896,1] logits: two anchors per cell, then six at half the size. */
static bool has_blaze_lists(const struct lbw_look *look, int64_t stride)
{
    int64_t fine = lbw_look_cells(look, stride);
    int64_t num = 2 * fine + 6 * lbw_look_cells(look, 2 * stride);
    return fine > 0 && look->num_outputs == 2 && lbw_look_count(look, num, 16) == 1 &&
           lbw_look_count(look, num, 1) == 1;
}

bool lbw_is_blazeface(const struct lbw_look *look)
{
    return has_blaze_lists(look, 8);
}

bool lbw_is_blazeface_back(const struct lbw_look *look)
{
    return has_blaze_lists(look, 16);
}

/* Per stride two anchors per cell: scores [n,1], distances [n,4], perhaps keypoints [n,10]. */
bool lbw_is_scrfd(const struct lbw_look *look)
{
    size_t num_keypoints = 0;
    for (int64_t stride = 8; stride <= 32; stride *= 2) {
        int64_t num = 2 * lbw_look_cells(look, stride);
        num_keypoints += lbw_look_count(look, num, 10);
        if (lbw_look_count(look, num, 1) != 1 || lbw_look_count(look, num, 4) != 1)
            return false;
    }
    return look->num_outputs == 6 + num_keypoints;
}

/* Corners in pixels, one box per cell. */
static bool is_cell_list(const struct lbw_look *look, bool transposed, size_t boxes_at)
{
    int64_t num, classes;
    struct lbw_look_matrix m;
    return is_list(&num, &classes, look, transposed) && are_cells(look, num, 1) &&
           lbw_look_matrix(&m, look, boxes_at) && m.columns == 4 && m.rows == num &&
           classes != 4;
}

/* Boxes first. */
bool lbw_is_yolonas(const struct lbw_look *look)
{
    return is_cell_list(look, false, 0);
}

/* Scores first. */
bool lbw_is_damoyolo(const struct lbw_look *look)
{
    return is_cell_list(look, false, 1);
}

/* Rows of label, score and box, and how many rows there are, as PaddleDetection exports it. */
static bool has_paddle_rows(const struct lbw_look *look)
{
    return has_input(look, "scale_factor") && look->num_outputs == 2 &&
           lbw_look_dim(look, 0, 2, 1) == 6 && look->outputs[1].num_dims == 1;
}

bool lbw_is_ppyoloe(const struct lbw_look *look)
{
    return has_paddle_rows(look) || is_cell_list(look, true, 0) || is_cell_list(look, true, 1);
}

/* Boxes and logits of a transformer's queries, whose number does not depend on cells. */
static bool has_queries(const struct lbw_look *look, int64_t *num, int64_t *classes)
{
    return is_list(num, classes, look, false) && *num <= MOST_QUERIES && *num >= 50 &&
           *classes > 1 && !are_cells(look, *num, 1) && *num % 50 == 0 &&
           (lbw_look_named(look, "logit") || lbw_look_named(look, "box") ||
            lbw_look_named(look, "det"));
}

/* Of published models: 100 queries, or 92 channels (91 COCO ids and "no object"). */
bool lbw_is_detr(const struct lbw_look *look)
{
    int64_t num, classes;
    return has_queries(look, &num, &classes) && !lbw_look_named(look, "det") &&
           (num == 100 || classes == 92);
}

/* The pair, or both in one matrix as Ultralytics exports it. */
bool lbw_is_rtdetr(const struct lbw_look *look)
{
    int64_t num, classes;
    struct lbw_look_matrix m;
    if (look->num_outputs == 1 && look->is_ultralytics && !look->has_exp)
        return lbw_look_matrix(&m, look, 0) && m.rows > 0 && m.rows <= MOST_QUERIES &&
               m.rows % 50 == 0 && m.columns > 6 && !are_cells(look, m.columns, 1) &&
               !strcmp(look->task, "detect");
    return has_queries(look, &num, &classes) && !lbw_look_named(look, "det") && num != 100 &&
           classes != 92;
}

/* Scaled inside by a second input: labels, boxes, scores. */
bool lbw_is_rtdetr_boxes(const struct lbw_look *look)
{
    return has_input(look, "orig_target_sizes") && look->num_outputs == 3 &&
           lbw_look_named(look, "labels") == 1 && lbw_look_named(look, "boxes") == 1 &&
           lbw_look_named(look, "scores") == 1;
}

bool lbw_is_rfdetr(const struct lbw_look *look)
{
    int64_t num, classes;
    return has_queries(look, &num, &classes) && lbw_look_named(look, "dets") == 1 &&
           lbw_look_named(look, "labels") == 1;
}

/* ---- YOLO ---- */

/* A list [1,n,4] next to another: the scores of that one are not channels of boxes. */
static bool is_beside_boxes(const struct lbw_look *look)
{
    struct lbw_look_matrix m;
    for (size_t k = 0; k < look->num_outputs; k++)
        if (lbw_look_matrix(&m, look, k) && m.columns == 4 && look->num_outputs > 1)
            return true;
    return false;
}

static bool is_yolov8_by_rows(const struct lbw_look *look);

/* [1, 4 + classes, n]; with n first, the exporter or a run distinguishes it from YOLOX. */
bool lbw_is_yolov8(const struct lbw_look *look)
{
    int64_t rows = lbw_look_dim(look, 0, 3, 1), columns = lbw_look_dim(look, 0, 3, 2);
    if (!finds_boxes(look) || is_beside_boxes(look) || lbw_is_end_to_end(look))
        return false;
    if ((columns > 0 && are_cells(look, columns, 1) && rows > 4) || is_yolov8_by_rows(look))
        return true;
    if (!look->is_ultralytics || !*look->task || lbw_is_yolov5(look) || lbw_is_rtdetr(look))
        return false;
    return (rows > 0 && are_cells(look, rows, 1)) || columns == -1 || rows == -1;
}

bool lbw_is_yolov5(const struct lbw_look *look)
{
    return finds_boxes(look) && are_cells(look, lbw_look_dim(look, 0, 3, 1), 3) &&
           lbw_look_dim(look, 0, 3, 2) > 5;
}

static bool is_cell_matrix(const struct lbw_look *look)
{
    return look->num_outputs == 1 && are_cells(look, lbw_look_dim(look, 0, 3, 1), 1) &&
           lbw_look_dim(look, 0, 3, 2) > 5 && !look->is_ultralytics;
}

/* Whether column 4 of [1,n,5+classes] is 1 throughout, as in YOLOv6. */
static bool has_no_objectness(const struct lbw_look *look)
{
    size_t count = 0, columns = (size_t)lbw_look_dim(look, 0, 3, 2);
    const float *values = lbw_look_values(look, 0, &count);
    if (!values)
        return false;
    for (size_t i = 4; i < count; i += columns)
        if (values[i] != 1)
            return false;
    return true;
}

/* Whether columns 4 and later of [1,n,c] are in 0 … 1, as scores are, in a run if there is one.
 */
static bool has_scores(const struct lbw_look *look)
{
    size_t count = 0, columns = (size_t)lbw_look_dim(look, 0, 3, 2);
    const float *values = lbw_look_values(look, 0, &count);
    for (size_t i = 0; values && i < count; i++)
        if (i % columns >= 4 && !(values[i] >= 0 && values[i] <= 1))
            return false;
    return true;
}

/* Whether a run shows boxes in pixels and not in cells: centres cover the image. */
static bool has_pixels(const struct lbw_look *look)
{
    size_t count = 0, columns = (size_t)lbw_look_dim(look, 0, 3, 2);
    const float *values = lbw_look_values(look, 0, &count);
    for (size_t i = 0; values && i < count; i += columns)
        if (values[i] > (float)look->width / 2 && values[i + 1] > (float)look->height / 2)
            return true;
    return false;
}

/* As YOLOv8 gives it, transposed, without metadata. */
static bool is_yolov8_by_rows(const struct lbw_look *look)
{
    return is_cell_matrix(look) && !look->has_exp && has_pixels(look) && has_scores(look) &&
           !has_no_objectness(look);
}

bool lbw_is_yolov6(const struct lbw_look *look)
{
    return is_cell_matrix(look) && has_no_objectness(look);
}

bool lbw_is_yolox(const struct lbw_look *look)
{
    return is_cell_matrix(look) && !look->has_exp && !has_no_objectness(look) &&
           has_scores(look) && !has_pixels(look);
}

bool lbw_is_yolox_decoded(const struct lbw_look *look)
{
    return is_cell_matrix(look) && look->has_exp && !has_no_objectness(look) &&
           has_scores(look);
}

/* Three anchors per cell in every output, from `first` strides on; channels may be last. */
static bool has_heads(const struct lbw_look *look, int64_t first, size_t num)
{
    size_t found = 0;
    for (size_t k = 0; k < look->num_outputs && look->width > 0; k++) {
        const struct lbw_port *port = &look->outputs[k];
        for (int64_t stride = first; stride <= 32; stride *= 2) {
            int64_t rows = (look->height + stride - 1) / stride;
            int64_t columns = (look->width + stride - 1) / stride;
            const int64_t *d = port->dims;
            found += (port->num_dims == 5 && d[1] == 3 && d[2] == rows && d[3] == columns) ||
                     (port->num_dims == 5 && d[1] == rows && d[2] == columns && d[3] == 3) ||
                     (port->num_dims == 4 && d[1] % 3 == 0 && d[1] > 15 && d[2] == rows &&
                      d[3] == columns) ||
                     (port->num_dims == 4 && d[3] % 3 == 0 && d[3] > 15 && d[1] == rows &&
                      d[2] == columns);
        }
    }
    return look->num_outputs == num && found == num;
}

/* Darknet's heads. YOLOv3, v4 and, in other units, YOLOv5 and v7 have the same shapes. */
bool lbw_is_yolov3(const struct lbw_look *look)
{
    return has_heads(look, 8, 3) && !lbw_is_centernet(look);
}

/* Of keras-yolo3: boxes [1,n,4], scores [1,classes,n], and what its own suppression keeps. */
bool lbw_is_yolov3_boxes(const struct lbw_look *look)
{
    struct lbw_look_matrix boxes, scores;
    return has_input(look, "image_shape") && look->num_outputs == 3 &&
           lbw_look_matrix(&boxes, look, 0) && boxes.columns == 4 &&
           lbw_look_matrix(&scores, look, 1) && scores.columns == boxes.rows;
}

bool lbw_is_raw_yolov5(const struct lbw_look *look)
{
    return lbw_is_yolov3(look);
}

bool lbw_is_any_yolov5(const struct lbw_look *look)
{
    return lbw_is_yolov5(look) || lbw_is_raw_yolov5(look);
}

bool lbw_is_yolov3_tiny(const struct lbw_look *look)
{
    return has_heads(look, 16, 2) && !lbw_is_yolofastestv2(look);
}

/* [1,n,6]: x0 y0 x1 y1 score class, if a run agrees; more columns if the task says so. */
bool lbw_is_end_to_end(const struct lbw_look *look)
{
    int64_t rows = lbw_look_dim(look, 0, 3, 1), columns = lbw_look_dim(look, 0, 3, 2);
    bool has_more = columns > 6 && look->is_ultralytics &&
                    (!strcmp(look->task, "segment") || !strcmp(look->task, "pose"));
    size_t count = 0;
    if (rows < 1 || rows > MOST_QUERIES || (columns != 6 && !has_more) ||
        are_cells(look, rows, 1) || are_cells(look, columns, 1) ||
        (!has_more && look->num_outputs != 1))
        return false;
    const float *values = lbw_look_values(look, 0, &count);
    for (size_t i = 0; values && i < count; i += (size_t)columns) {
        float score = values[i + 4], label = values[i + 5];
        if (!(score >= 0 && score <= 1 && label >= -1 && label == (float)(int)label))
            return false;
    }
    return true;
}

/* ---- maps ---- */

/* The outputs that are maps [1,channels,h,w] at this stride; channels 0: any number. */
static size_t num_maps(const struct lbw_look *look, int64_t stride, int64_t channels)
{
    size_t num = 0;
    for (size_t k = 0; k < look->num_outputs && look->width > 0; k++) {
        int64_t c = lbw_look_dim(look, k, 4, 1);
        num += c > 0 && (!channels || c == channels) &&
               lbw_look_dim(look, k, 4, 2) == (look->height + stride - 1) / stride &&
               lbw_look_dim(look, k, 4, 3) == (look->width + stride - 1) / stride;
    }
    return num;
}

/* Per stride, classes and four distances. */
bool lbw_is_rtmdet(const struct lbw_look *look)
{
    if (look->num_outputs != 6)
        return false;
    for (int64_t stride = 8; stride <= 32; stride *= 2)
        if (num_maps(look, stride, 0) != 2 || num_maps(look, stride, 4) != 1)
            return false;
    return true;
}

/* One heat map per class, sizes and offsets, all at stride 4. */
bool lbw_is_centernet(const struct lbw_look *look)
{
    return look->num_outputs == 3 && num_maps(look, 4, 0) == 3 && num_maps(look, 4, 2) >= 2 &&
           (num_maps(look, 4, 2) == 2 || lbw_look_named(look, "hm") == 1);
}

bool lbw_is_ppocr(const struct lbw_look *look)
{
    return look->num_outputs == 1 && lbw_look_dim(look, 0, 4, 1) == 1 &&
           (lbw_look_named(look, "sigmoid_0.tmp_0") ||
            lbw_look_named(look, "save_infer_model") || lbw_look_named(look, "fetch_name"));
}
