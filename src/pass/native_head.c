/* SPDX-License-Identifier: MIT */
/*
 * Rows of a detector's results. A level's value is one part, or a Concat of parts along the
 * channels; a part is dequantized bytes, perhaps with a Sigmoid. Exporters make rows of it in
 * one of these ways:
 *
 *     Reshape to [n, c, positions], Transpose (0, 2, 1), Concat of levels along axis 1
 *     Reshape to [n, c, positions], Concat of levels along axis 2, Transpose (0, 2, 1)
 *     Transpose (0, 2, 3, 1), Reshape to [n, rows, c], Concat of levels along axis 1
 *
 * The Sigmoid may also follow a level's rows.
 */
#include "pass/native_head.h"

#include <string.h>

#include "onnx/tensor.h"
#include "pass/native.h"
#include "pass/native_float.h"

#define MAX_LEVELS   6
#define MAX_PARTS    3
#define MAX_SPLIT    16
#define MAX_CHANNELS (1 << 16)

struct head {
    const struct lbw_native_finder *finder;
    struct lbw_native_call *call;
    char letters[MAX_PARTS + 1]; /* of each level's parts */
    size_t num_levels;
    int64_t shape[3];     /* of the rows: [batch or 0, -1, channels] */
    bool is_score;        /* the level at hand has a Sigmoid behind its rows */
    const int64_t *range; /* of the channels that are the only part; NULL: whole parts */
};

static bool has_perm(const Onnx__NodeProto *transpose, const int64_t *perm, size_t num)
{
    const Onnx__AttributeProto *a = lbw_node_attribute(transpose, "perm");
    return a && a->n_ints == num && memcmp(a->ints, perm, num * sizeof *perm) == 0;
}

static bool keeps_batch(const Onnx__NodeProto *transpose)
{
    const Onnx__AttributeProto *a = lbw_node_attribute(transpose, "perm");
    return a && a->n_ints && a->ints[0] == 0;
}

static bool is_turned(const Onnx__NodeProto *transpose)
{
    static const int64_t perm[] = {0, 2, 1};
    return has_perm(transpose, perm, 3);
}

/*
 * One number of a shape that is put together: a constant, or 0 for the first dim of `of`, or of
 * what that is the Transpose of, which keeps it.
 */
static bool read_dim(int64_t *out, const struct lbw_native_finder *r, const char *name,
                     const char *of)
{
    const Onnx__NodeProto *unsqueeze = lbw_native_made_by(r, name, "Unsqueeze");
    const char *number = unsqueeze ? lbw_node_input(unsqueeze, 0) : name;
    const Onnx__NodeProto *gather = lbw_native_made_by(r, number, "Gather");
    const Onnx__NodeProto *shape =
        gather ? lbw_native_made_by(r, lbw_node_input(gather, 0), "Shape") : NULL;
    if (!gather)
        return lbw_native_ints(out, 1, r, number) == 1;
    const Onnx__NodeProto *turn = lbw_native_made_by(r, of, "Transpose");
    const char *source = shape ? lbw_node_input(shape, 0) : "";
    bool is_of = strcmp(source, of) == 0 ||
                 (turn && keeps_batch(turn) && strcmp(source, lbw_node_input(turn, 0)) == 0);
    return shape && !shape->n_attribute && is_of &&
           lbw_native_ints(out, 1, r, lbw_node_input(gather, 1)) == 1 && *out == 0;
}

/* The shape that a Reshape to rank 3 makes, with 0 where it keeps the batch. */
static bool read_shape(int64_t shape[3], const struct lbw_native_finder *r,
                       const Onnx__NodeProto *reshape)
{
    const char *name = lbw_node_input(reshape, 1);
    const Onnx__NodeProto *concat = lbw_native_made_by(r, name, "Concat");
    if (lbw_node_int(reshape, "allowzero", 0))
        return false;
    if (!concat)
        return lbw_native_ints(shape, 3, r, name) == 3;
    for (size_t i = 0; i < 3; i++)
        if (concat->n_input != 3 ||
            !read_dim(&shape[i], r, lbw_node_input(concat, i), lbw_node_input(reshape, 0)))
            return false;
    return true;
}

/* All levels have the same channels and batch, but some may keep what others name. */
static bool add_shape(struct head *h, int64_t batch, int64_t channels)
{
    const int64_t shape[] = {batch ? batch : h->shape[0], -1, channels};
    if (h->num_levels && (h->shape[2] != channels || (h->shape[0] && h->shape[0] != shape[0])))
        return false;
    memcpy(h->shape, shape, sizeof shape);
    return channels > 0;
}

/* The channels that a QuantizeLinear rounds, or 0. */
static int64_t num_channels(const struct lbw_native_finder *r, const char *bytes)
{
    const Onnx__NodeProto *q = lbw_native_made_by(r, bytes, "QuantizeLinear");
    const char *name = q ? lbw_node_input(q, 0) : "";
    const Onnx__NodeProto *conv = lbw_native_made_by(r, name, "Conv");
    int64_t dims[4];
    bool is_encoded;
    if (conv && lbw_native_weight_dims(dims, &is_encoded, r, lbw_node_input(conv, 1)))
        return dims[0];
    return lbw_native_dims(dims, r, name) ? dims[1] : 0;
}

/* One output of a Split along the channels: which of them it is. */
static bool read_split(int64_t range[2], const struct lbw_native_finder *r,
                       const struct lbw_value *value)
{
    const Onnx__NodeProto *split = value->producer;
    int64_t sizes[MAX_SPLIT];
    size_t num = lbw_native_ints(sizes, MAX_SPLIT, r, lbw_node_input(split, 1));
    if (lbw_node_int(split, "axis", 0) != 1 || num != split->n_output)
        return false;
    for (size_t i = 0; i <= value->producer_output; i++) {
        if (sizes[i] < 0 || sizes[i] > MAX_CHANNELS)
            return false;
        range[0] = range[1];
        range[1] += sizes[i];
    }
    return true;
}

static bool read_slice(int64_t range[2], const struct lbw_native_finder *r,
                       const Onnx__NodeProto *slice)
{
    int64_t axis, step = 1;
    return lbw_native_ints(&range[0], 1, r, lbw_node_input(slice, 1)) == 1 &&
           lbw_native_ints(&range[1], 1, r, lbw_node_input(slice, 2)) == 1 &&
           lbw_native_ints(&axis, 1, r, lbw_node_input(slice, 3)) == 1 && axis == 1 &&
           (!*lbw_node_input(slice, 4) ||
            (lbw_native_ints(&step, 1, r, lbw_node_input(slice, 4)) == 1 && step == 1)) &&
           range[0] >= 0 && range[0] <= range[1];
}

/* What a Split or Slice takes channels of; the range becomes attributes. NULL: neither. */
static const char *add_range(struct head *h, const char *name)
{
    const struct lbw_native_finder *r = h->finder;
    const struct lbw_value *value = lbw_native_value(r, name);
    const Onnx__NodeProto *node = value ? value->producer : NULL;
    int64_t *range = lbw_arena_calloc(&r->model->arena, 2, sizeof *range);
    bool is = range && node &&
              ((lbw_node_is(node, "Split") && read_split(range, r, value)) ||
               (lbw_node_is(node, "Slice") && read_slice(range, r, node)));
    if (!is)
        return NULL;
    lbw_native_add_ints(h->call, "begin", &range[0], 1);
    lbw_native_add_ints(h->call, "end", &range[1], 1);
    h->range = range;
    return lbw_node_input(node, 0);
}

/* Part number p of a level; its channels are added to *channels. */
static bool add_part(int64_t *channels, struct head *h, const char *name, size_t p)
{
    const struct lbw_native_finder *r = h->finder;
    const Onnx__NodeProto *sigmoid = lbw_native_made_by(r, name, "Sigmoid");
    const char letter = sigmoid || h->is_score ? 'S' : 'L';
    name = sigmoid ? lbw_node_input(sigmoid, 0) : name;
    const char *whole = !h->num_levels && !p ? add_range(h, name) : NULL;
    name = whole ? whole : name;
    const Onnx__NodeProto *d = lbw_native_dequantizer(r, name);
    const char *bytes = d ? lbw_node_input(d, 0) : "";
    int64_t num = d ? num_channels(r, bytes) : 0;
    if ((sigmoid && h->is_score) || num < 1 || num > MAX_CHANNELS ||
        (h->range && h->range[1] > num) || (h->num_levels && h->letters[p] != letter))
        return false;
    h->letters[p] = letter;
    *channels += h->range ? h->range[1] - h->range[0] : num;
    lbw_native_add_input(h->call, bytes);
    lbw_native_add_scaling(h->call, d);
    return true;
}

/* A value of rank 4, of which `anchors` rows of h->shape[2] channels are made. */
static bool add_level(struct head *h, const char *name, bool has_anchors)
{
    const Onnx__NodeProto *concat = lbw_native_made_by(h->finder, name, "Concat");
    size_t num_parts = concat ? concat->n_input : 1;
    int64_t channels = 0;
    if ((concat && lbw_node_int(concat, "axis", 0) != 1) || num_parts > MAX_PARTS ||
        h->num_levels == MAX_LEVELS || (h->num_levels && strlen(h->letters) != num_parts))
        return false;
    for (size_t p = 0; p < num_parts; p++)
        if (!add_part(&channels, h, concat ? lbw_node_input(concat, p) : name, p))
            return false;
    h->num_levels++;
    if (h->range && num_parts > 1)
        return false;
    return has_anchors ? channels % h->shape[2] == 0 : channels == h->shape[2];
}

/* Reshape to [n, c, positions]. */
static bool add_planes(struct head *h, const char *name)
{
    const Onnx__NodeProto *reshape = lbw_native_made_by(h->finder, name, "Reshape");
    int64_t shape[3];
    if (!reshape || !read_shape(shape, h->finder, reshape) || shape[0] < -1 ||
        (shape[0] < 0 && shape[2] < 1) || (shape[2] < 1 && shape[2] != -1))
        return false;
    return add_shape(h, shape[0] < 0 ? 0 : shape[0], shape[1]) &&
           add_level(h, lbw_node_input(reshape, 0), false);
}

/* A level's rows of rank 3. */
static bool add_rows(struct head *h, const char *name)
{
    static const int64_t perm[] = {0, 2, 3, 1};
    const struct lbw_native_finder *r = h->finder;
    const Onnx__NodeProto *sigmoid = lbw_native_made_by(r, name, "Sigmoid");
    h->is_score = sigmoid != NULL;
    name = sigmoid ? lbw_node_input(sigmoid, 0) : name;
    const Onnx__NodeProto *turn = lbw_native_made_by(r, name, "Transpose");
    if (turn)
        return is_turned(turn) && add_planes(h, lbw_node_input(turn, 0));
    const Onnx__NodeProto *reshape = lbw_native_made_by(r, name, "Reshape");
    turn = reshape ? lbw_native_made_by(r, lbw_node_input(reshape, 0), "Transpose") : NULL;
    int64_t shape[3];
    return turn && has_perm(turn, perm, 4) && read_shape(shape, r, reshape) && shape[0] >= 0 &&
           shape[1] == -1 && add_shape(h, shape[0], shape[2]) &&
           add_level(h, lbw_node_input(turn, 0), true);
}

/* A Concat of levels along an axis of three. */
static bool add_levels(struct head *h, const Onnx__NodeProto *concat, int64_t axis,
                       bool (*add)(struct head *h, const char *name))
{
    int64_t found = lbw_node_int(concat, "axis", 0);
    if (found != axis && found != axis - 3)
        return false;
    for (size_t i = 0; i < concat->n_input; i++)
        if (h->range || !add(h, lbw_node_input(concat, i)))
            return false;
    return h->num_levels > 0;
}

static bool match(struct head *h, const Onnx__NodeProto *node)
{
    const struct lbw_native_finder *r = h->finder;
    if (lbw_node_is(node, "Concat"))
        return add_levels(h, node, 1, add_rows);
    const Onnx__NodeProto *concat = lbw_native_made_by(r, lbw_node_input(node, 0), "Concat");
    if (lbw_node_is(node, "Transpose") && concat)
        return is_turned(node) && add_levels(h, concat, 2, add_planes);
    return add_rows(h, node->output[0]);
}

/* Whether rows go on to a Concat or Sigmoid that takes bytes instead, or become bytes again. */
static bool goes_on(const struct lbw_native_finder *r, const Onnx__NodeProto *node)
{
    const Onnx__NodeProto *reader = lbw_native_only_reader(r, node);
    struct lbw_native_call call = {0};
    return reader && (lbw_node_is(reader, "QuantizeLinear") ||
                      ((lbw_node_is(reader, "Concat") || lbw_node_is(reader, "Sigmoid")) &&
                       lbw_native_match_head(&call, r, reader)));
}

bool lbw_native_match_head(struct lbw_native_call *call, const struct lbw_native_finder *r,
                           const Onnx__NodeProto *node)
{
    struct lbw_arena *arena = &r->model->arena;
    struct head h = {.finder = r, .call = call};
    if (!match(&h, node) || goes_on(r, node))
        return false;
    int64_t *shape = lbw_arena_alloc(arena, sizeof h.shape);
    call->op = lbw_arena_printf(arena, "QHead%s%s%zu", h.range ? "Slice" : "", h.letters,
                                h.num_levels);
    if (!shape || !call->op || !lbw_native_has_function(call->op))
        return false;
    memcpy(shape, h.shape, sizeof h.shape);
    lbw_native_add_ints(call, "shape", shape, 3);
    call->last = node;
    return true;
}
