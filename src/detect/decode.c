/* SPDX-License-Identifier: MIT */
/* What decoders share: outputs as floats, classes, boxes, the importance of values. */
#include "detect/decode.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bits.h"
#include "detect/family.h"
#include "detect/nms.h"

void lbw_boxes_release(struct lbw_boxes *boxes)
{
    free(boxes->items);
    *boxes = (struct lbw_boxes){0};
}

bool lbw_plane_matrix(struct lbw_matrix *out, const struct lbw_plane *plane)
{
    if (plane->num_dims < 2)
        return false;
    for (size_t i = 0; i + 2 < plane->num_dims; i++)
        if (plane->dims[i] != 1)
            return false;
    *out = (struct lbw_matrix){plane->data, (size_t)plane->dims[plane->num_dims - 2],
                               (size_t)plane->dims[plane->num_dims - 1]};
    return true;
}

size_t lbw_decoder_classes(const struct lbw_decoder *decoder, size_t columns)
{
    const struct lbw_profile *profile = decoder->profile;
    size_t wanted = (size_t)profile->num_classes + (profile->background >= 0);
    return profile->num_classes == 0 || columns == wanted ? columns : 0;
}

int lbw_decoder_class(const struct lbw_decoder *decoder, size_t column)
{
    int background = decoder->profile->background;
    if (background < 0 || (int)column < background)
        return (int)column;
    return (int)column == background ? -1 : (int)column - 1;
}

enum lbw_status lbw_decoder_add(struct lbw_decoder *decoder, int class_index, float score,
                                float x0, float y0, float x1, float y1)
{
    struct lbw_boxes *boxes = &decoder->boxes;
    const struct lbw_placement *placement = &decoder->input->placement;
    if (!(score >= decoder->input->score) || class_index < 0)
        return LBW_OK;
    struct lbw_box box = {
        .x = (x0 - placement->offset_x) / placement->scale_x,
        .y = (y0 - placement->offset_y) / placement->scale_y,
        .width = (x1 - x0) / placement->scale_x,
        .height = (y1 - y0) / placement->scale_y,
        .score = score,
        .class_index = class_index,
    };
    /* A broken model gives infinities and inverted boxes; they are not detections. */
    if (!isfinite(box.x) || !isfinite(box.y) || !isfinite(box.width) || !isfinite(box.height) ||
        box.width <= 0 || box.height <= 0)
        return LBW_OK;
    if (boxes->num == boxes->capacity) {
        size_t capacity = boxes->capacity ? 2 * boxes->capacity : 256;
        struct lbw_box *items = realloc(boxes->items, capacity * sizeof *items);
        if (!items)
            return lbw_fail_memory(decoder->err);
        boxes->items = items;
        boxes->capacity = capacity;
    }
    boxes->items[boxes->num++] = box;
    return LBW_OK;
}

enum lbw_status lbw_decoder_add_centred(struct lbw_decoder *decoder, int class_index,
                                        float score, float cx, float cy, float width,
                                        float height)
{
    return lbw_decoder_add(decoder, class_index, score, cx - width / 2, cy - height / 2,
                           cx + width / 2, cy + height / 2);
}

enum lbw_status lbw_decoder_add_listed(struct lbw_decoder *decoder, int class_index,
                                       float score, const float *p)
{
    const struct lbw_profile *profile = decoder->profile;
    float sx = profile->normalized ? (float)decoder->input->width : 1;
    float sy = profile->normalized ? (float)decoder->input->height : 1;
    switch (profile->box_order) {
    case LBW_BOX_YXYX:
        return lbw_decoder_add(decoder, class_index, score, p[1] * sx, p[0] * sy, p[3] * sx,
                               p[2] * sy);
    case LBW_BOX_CXCYWH:
        return lbw_decoder_add_centred(decoder, class_index, score, p[0] * sx, p[1] * sy,
                                       p[2] * sx, p[3] * sy);
    case LBW_BOX_XYXY:
        break;
    }
    return lbw_decoder_add(decoder, class_index, score, p[0] * sx, p[1] * sy, p[2] * sx,
                           p[3] * sy);
}

enum lbw_status lbw_decoder_add_classes(struct lbw_decoder *decoder, const float *scores,
                                        size_t num, float factor, float cx, float cy,
                                        float width, float height)
{
    float least = decoder->input->score;
    for (size_t c = 0; c < num; c++)
        if (scores[c] * factor >= least)
            LBW_TRY(lbw_decoder_add_centred(decoder, lbw_decoder_class(decoder, c),
                                            scores[c] * factor, cx, cy, width, height));
    return LBW_OK;
}

void lbw_decoder_matters(struct lbw_decoder *decoder, enum lbw_matter kind, const float *first,
                         size_t num, size_t step, float weight)
{
    if (!decoder->importance || !(weight >= 0))
        return;
    decoder->has_weighed = true;
    for (size_t i = 0; i < decoder->num_planes; i++) {
        const struct lbw_plane *plane = &decoder->planes[i];
        if (first < plane->data || first >= plane->data + plane->count)
            continue;
        size_t at = (size_t)(first - plane->data);
        for (size_t k = 0; k < num; k++) {
            decoder->importance[i].weights[at + k * step] = weight;
            decoder->importance[i].kinds[at + k * step] = (uint8_t)kind;
        }
    }
}

float lbw_sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

size_t lbw_argmax(const float *values, size_t num, size_t step)
{
    size_t best = 0;
    for (size_t i = 1; i < num; i++)
        if (values[i * step] > values[best * step])
            best = i;
    return best;
}

void lbw_decoder_box_matters(struct lbw_decoder *decoder, const float *p, size_t step,
                             float score, float width, float height)
{
    for (size_t k = 0; k < 4; k++) {
        float size = fmaxf(k % 2 ? height : width, 1e-6f);
        lbw_decoder_matters(decoder, LBW_MATTER_BOX, p + k * step, 1, 1, score / (size * size));
    }
}

bool lbw_name_has(const char *name, const char *part)
{
    size_t length = strlen(part);
    for (; *name; name++)
        if (strncasecmp(name, part, length) == 0)
            return true;
    return false;
}

enum lbw_status lbw_decoder_check_anchors(const struct lbw_decoder *decoder)
{
    const struct lbw_profile *profile = decoder->profile;
    for (int s = 0; s < profile->num_strides; s++)
        if (!profile->num_anchors || !(profile->anchors[s][0].width > 0))
            return lbw_fail(
                decoder->err, LBW_ERR_UNSUPPORTED,
                "profile '%s': 'anchors' has no list for stride %d, whose boxes need one",
                profile->name, profile->strides[s]);
    return LBW_OK;
}

size_t lbw_decoder_cells(int side, int stride)
{
    return ((size_t)side + (size_t)stride - 1) / (size_t)stride;
}

/* Appends to a message that may be too long for its buffer. */
static void append(char *text, size_t size, const char *addition)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s", addition);
}

enum lbw_status lbw_decoder_mismatch(const struct lbw_decoder *decoder, const char *wanted)
{
    char shapes[400] = "";
    for (size_t i = 0; i < decoder->num_planes; i++) {
        const struct lbw_plane *plane = &decoder->planes[i];
        char text[96];
        snprintf(text, sizeof text, "%s'%.40s' [", i ? ", " : "", plane->name);
        append(shapes, sizeof shapes, text);
        for (size_t k = 0; k < plane->num_dims; k++) {
            snprintf(text, sizeof text, "%s%" PRId64, k ? "," : "", plane->dims[k]);
            append(shapes, sizeof shapes, text);
        }
        append(shapes, sizeof shapes, "]");
    }
    char classes[48] = "";
    if (decoder->profile->num_classes)
        snprintf(classes, sizeof classes, " with %d classes", decoder->profile->num_classes);
    return lbw_fail(decoder->err, LBW_ERR_UNSUPPORTED,
                    "profile '%s' expects %s%s; the outputs are %s", decoder->profile->name,
                    wanted, classes, shapes);
}

static float value_at(const struct lbw_array *array, size_t i)
{
    switch (array->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
        return lbw_half_to_float(((const uint16_t *)array->data)[i]);
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16:
        return lbw_bfloat16_to_float(((const uint16_t *)array->data)[i]);
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        return (float)((const double *)array->data)[i];
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        return (float)((const int64_t *)array->data)[i];
    default: /* INT32: init_plane() rejects all others */
        return (float)((const int32_t *)array->data)[i];
    }
}

static size_t value_size(int32_t data_type)
{
    switch (data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16:
        return 2;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        return 4;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        return 8;
    }
    return 0;
}

static enum lbw_status init_plane(struct lbw_plane *plane, const char *name,
                                  const struct lbw_array *array, struct lbw_error *err)
{
    size_t count = 1, size = value_size(array->data_type);
    if (!size)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "output '%s': elements of type %d", name,
                        (int)array->data_type);
    for (size_t i = 0; i < array->num_dims; i++)
        if (array->dims[i] < 0 || !lbw_size_mul(&count, count, (size_t)array->dims[i]))
            count = SIZE_MAX / 8;
    if (count > array->size / size)
        return lbw_fail(err, LBW_ERR_FORMAT, "output '%s': %zu bytes for its shape", name,
                        array->size);
    *plane = (struct lbw_plane){.name = name, .num_dims = array->num_dims, .count = count};
    memcpy(plane->dims, array->dims, sizeof plane->dims);
    plane->is_integer = array->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT32 ||
                        array->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    if (array->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT) {
        plane->data = array->data;
        return LBW_OK;
    }
    plane->storage = malloc((count + 1) * sizeof *plane->storage);
    if (!plane->storage)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < count; i++)
        plane->storage[i] = value_at(array, i);
    plane->data = plane->storage;
    return LBW_OK;
}

/* Clips the box to the image; false if nothing remains. */
static bool clip(struct lbw_box *box, float width, float height)
{
    float right = fminf(box->x + box->width, width);
    float bottom = fminf(box->y + box->height, height);
    box->x = fmaxf(box->x, 0);
    box->y = fmaxf(box->y, 0);
    box->width = right - box->x;
    box->height = bottom - box->y;
    return box->width > 0 && box->height > 0;
}

static enum lbw_status read_planes(struct lbw_decoder *decoder)
{
    const struct lbw_decode_input *input = decoder->input;
    if (input->num_outputs > LBW_MAX_OUTPUTS)
        return lbw_fail(decoder->err, LBW_ERR_UNSUPPORTED, "%zu outputs, at most %d are read",
                        input->num_outputs, LBW_MAX_OUTPUTS);
    for (; decoder->num_planes < input->num_outputs; decoder->num_planes++)
        LBW_TRY(init_plane(&decoder->planes[decoder->num_planes],
                           input->names[decoder->num_planes],
                           &input->outputs[decoder->num_planes], decoder->err));
    return LBW_OK;
}

static enum lbw_status decode(struct lbw_decoder *decoder)
{
    const struct lbw_decode_input *input = decoder->input;
    LBW_TRY(read_planes(decoder));
    LBW_TRY(lbw_family_at((size_t)decoder->profile->family)->decode(decoder));
    struct lbw_boxes *boxes = &decoder->boxes;
    struct lbw_nms_params params = {
        .iou = input->nms,
        .max_boxes = decoder->profile->max_boxes > 0 ? (size_t)decoder->profile->max_boxes : 0,
        .any_class = decoder->profile->class_agnostic,
    };
    LBW_TRY(lbw_boxes_suppress(boxes->items, &boxes->num, &params, decoder->err));
    size_t kept = 0;
    for (size_t i = 0; i < boxes->num; i++) {
        boxes->items[kept] = boxes->items[i];
        kept += clip(&boxes->items[kept], (float)input->picture_width,
                     (float)input->picture_height);
    }
    boxes->num = kept;
    return LBW_OK;
}

enum lbw_status lbw_decode(struct lbw_boxes *out, const struct lbw_decode_input *input,
                           struct lbw_error *err)
{
    struct lbw_decoder decoder = {.input = input, .profile = input->profile, .err = err};
    enum lbw_status status = decode(&decoder);
    for (size_t i = 0; i < decoder.num_planes; i++)
        free(decoder.planes[i].storage);
    if (status == LBW_OK)
        *out = decoder.boxes;
    else
        lbw_boxes_release(&decoder.boxes);
    return status;
}

void lbw_importance_release(struct lbw_importance *importance)
{
    free(importance->weights);
    free(importance->kinds);
    *importance = (struct lbw_importance){0};
}

/* Runs the family's decoder for the importance of values; no box is good enough. */
static enum lbw_status find_importance(struct lbw_decoder *decoder)
{
    LBW_TRY(read_planes(decoder));
    for (size_t i = 0; i < decoder->num_planes; i++) {
        struct lbw_importance *one = &decoder->importance[i];
        one->count = decoder->planes[i].count;
        one->weights = calloc(one->count + 1, sizeof *one->weights);
        one->kinds = calloc(one->count + 1, 1);
        if (!one->weights || !one->kinds)
            return lbw_fail_memory(decoder->err);
    }
    LBW_TRY(lbw_family_at((size_t)decoder->profile->family)->decode(decoder));
    return decoder->has_weighed
               ? LBW_OK
               : lbw_fail(decoder->err, LBW_ERR_UNSUPPORTED, "family %s has no values to weigh",
                          lbw_family_name(decoder->profile->family));
}

enum lbw_status lbw_decode_importance(struct lbw_importance *out,
                                      const struct lbw_decode_input *input,
                                      struct lbw_error *err)
{
    struct lbw_decode_input nothing = *input;
    nothing.score = INFINITY;
    struct lbw_decoder decoder = {
        .input = &nothing, .profile = input->profile, .importance = out, .err = err};
    memset(out, 0, input->num_outputs * sizeof *out);
    enum lbw_status status = find_importance(&decoder);
    for (size_t i = 0; i < decoder.num_planes; i++)
        free(decoder.planes[i].storage);
    for (size_t i = 0; i < input->num_outputs && status != LBW_OK; i++)
        lbw_importance_release(&out[i]);
    lbw_boxes_release(&decoder.boxes);
    return status;
}
