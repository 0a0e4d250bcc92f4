/* SPDX-License-Identifier: MIT */
/*
 * The changes in meaning of standard operators from opset 8 to 25 (ONNX Changelog.md), and how
 * to express an old node in the new version. Where the old text is unclear but runtimes agree,
 * their reading counts.
 */
#include <string.h>

#include "base/bits.h"
#include "onnx/opset.h"
#include "onnx/tensor.h"

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

static bool has_input(const Onnx__NodeProto *node, size_t i)
{
    return *lbw_node_input(node, i) != '\0';
}

static bool has_output(const Onnx__NodeProto *node, size_t i)
{
    return i < node->n_output && node->output[i] && *node->output[i];
}

/* A name for something new next to the node. */
static const char *stem(struct lbw_lift *lift, const Onnx__NodeProto *node, const char *what)
{
    const char *base = has_output(node, 0) ? node->output[0] : "node";
    const char *text = lbw_arena_printf(&lift->model->arena, "%s_%s", base, what);
    return text ? text : what;
}

static enum lbw_status ints_constant(const char **name, struct lbw_lift *lift,
                                     const Onnx__NodeProto *node, const char *what,
                                     const int64_t *values, size_t num)
{
    unsigned char *bytes = lbw_arena_alloc(&lift->model->arena, num * 8);
    if (!bytes)
        return lbw_fail_memory(lift->err);
    for (size_t i = 0; i < num; i++)
        lbw_store_le(bytes + 8 * i, (uint64_t)values[i], 8);
    return lbw_lift_constant(name, lift, stem(lift, node, what), TYPE(INT64),
                             (int64_t[]){(int64_t)num}, 1, bytes, num * 8);
}

static enum lbw_status floats_constant(const char **name, struct lbw_lift *lift,
                                       const Onnx__NodeProto *node, const char *what,
                                       const float *values, size_t num)
{
    unsigned char *bytes = lbw_arena_alloc(&lift->model->arena, num * 4);
    if (!bytes)
        return lbw_fail_memory(lift->err);
    for (size_t i = 0; i < num; i++)
        lbw_store_le(bytes + 4 * i, lbw_float_bits(values[i]), 4);
    return lbw_lift_constant(name, lift, stem(lift, node, what), TYPE(FLOAT),
                             (int64_t[]){(int64_t)num}, 1, bytes, num * 4);
}

/* `num` equal values of the type of `like`. */
static enum lbw_status typed_constant(const char **name, struct lbw_lift *lift,
                                      const Onnx__NodeProto *node, const char *what,
                                      const char *like, const int64_t *dims, size_t num_dims,
                                      const float *values, size_t num)
{
    int32_t type = lbw_lift_type(lift, like);
    size_t size = lbw_data_type_bits(type) / 8;
    if (type != TYPE(FLOAT) && type != TYPE(FLOAT16) && type != TYPE(DOUBLE))
        return lbw_lift_refuse(lift, node, "the type of its input is not known");
    unsigned char *bytes = lbw_arena_calloc(&lift->model->arena, num, size);
    if (!bytes)
        return lbw_fail_memory(lift->err);
    for (size_t i = 0; i < num; i++) {
        double wide = (double)values[i];
        uint64_t bits = lbw_float_bits(values[i]);
        if (type == TYPE(FLOAT16))
            bits = lbw_half_from_float(values[i]);
        if (type == TYPE(DOUBLE))
            memcpy(&bits, &wide, sizeof bits);
        lbw_store_le(bytes + i * size, bits, size);
    }
    return lbw_lift_constant(name, lift, stem(lift, node, what), type, dims, num_dims, bytes,
                             num * size);
}

/* Turns an attribute of integers, if present, into input `position` of the node. */
static enum lbw_status ints_to_input(struct lbw_lift *lift, Onnx__NodeProto *node,
                                     const char *attribute, size_t position)
{
    const Onnx__AttributeProto *a = lbw_lift_take(node, attribute);
    const char *inputs[8] = {NULL};
    if (!a || (a->n_ints == 0 && !a->has_i))
        return LBW_OK;
    const int64_t *values = a->n_ints ? a->ints : &a->i;
    LBW_TRY(ints_constant(&inputs[position], lift, node, attribute, values,
                          a->n_ints ? a->n_ints : 1));
    return lbw_lift_set_inputs(lift, node, inputs, position + 1);
}

static enum lbw_status add_text(struct lbw_lift *lift, Onnx__NodeProto *node, const char *name,
                                const char *value)
{
    lbw_lift_take(node, name);
    if (!lbw_build_string(lift->model, node, name, value))
        return lbw_fail_memory(lift->err);
    return LBW_OK;
}

static enum lbw_status rename_op(struct lbw_lift *lift, Onnx__NodeProto *node,
                                 const char *op_type)
{
    node->op_type = lbw_arena_strdup(&lift->model->arena, op_type);
    return node->op_type ? LBW_OK : lbw_fail_memory(lift->err);
}

/* --- 9 --- */

static enum lbw_status batch_normalization_9(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    if (lbw_node_int(node, "spatial", 1) != 1)
        return lbw_lift_refuse(lift, node, "it normalises each position separately");
    lbw_lift_take(node, "spatial");
    return LBW_OK;
}

static enum lbw_status scan_9(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    return lbw_lift_refuse(lift, node, "its first form has no equivalent");
}

static enum lbw_status upsample_9(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    const Onnx__AttributeProto *scales = lbw_lift_take(node, "scales");
    const char *inputs[2] = {NULL};
    if (!scales)
        return lbw_lift_refuse(lift, node, "it has no scales");
    LBW_TRY(
        floats_constant(&inputs[1], lift, node, "scales", scales->floats, scales->n_floats));
    return lbw_lift_set_inputs(lift, node, inputs, 2);
}

/* --- 10 --- */

/* Experimental operators; runtimes keep them for old opsets only. */
static enum lbw_status experimental_10(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    return lbw_lift_refuse(lift, node, "the operator was removed");
}

/* border is left, top, right, bottom; scale, if given, the height and width to keep. */
static enum lbw_status crop_10(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    const Onnx__AttributeProto *border = lbw_node_attribute(node, "border");
    const Onnx__AttributeProto *scale = lbw_node_attribute(node, "scale");
    const char *inputs[4] = {NULL};
    if (!border || border->n_ints != 4 || (scale && scale->n_ints != 2))
        return lbw_lift_refuse(lift, node, "its border or scale is incomplete");
    const int64_t *b = border->ints;
    int64_t starts[] = {b[1], b[0]}, axes[] = {2, 3}, ends[2];
    for (size_t i = 0; i < 2; i++) {
        int64_t behind = b[i == 0 ? 3 : 2];
        ends[i] = behind > 0 ? -behind : INT64_MAX;
        if (behind < 0 || starts[i] < 0 ||
            (scale && __builtin_add_overflow(starts[i], scale->ints[i], &ends[i])))
            return lbw_lift_refuse(lift, node, "its border or scale makes no sense");
    }
    node->n_attribute = 0;
    LBW_TRY(ints_constant(&inputs[1], lift, node, "starts", starts, 2));
    LBW_TRY(ints_constant(&inputs[2], lift, node, "ends", ends, 2));
    LBW_TRY(ints_constant(&inputs[3], lift, node, "axes", axes, 2));
    LBW_TRY(lbw_lift_set_inputs(lift, node, inputs, 4));
    return rename_op(lift, node, "Slice");
}

/* x × scale + bias, with a bias for each channel or for all. */
static enum lbw_status scale_and_add(struct lbw_lift *lift, Onnx__NodeProto *node, float scale,
                                     const float *bias, size_t num)
{
    const char *x = lbw_node_input(node, 0), *factor, *inputs[2] = {NULL};
    int64_t dims[] = {(int64_t)num, 1, 1};
    const char *product = lbw_names_make(lift->names, lift->model, stem(lift, node, "product"));
    LBW_TRY(typed_constant(&factor, lift, node, "scale", x, NULL, 0, &scale, 1));
    LBW_TRY(
        typed_constant(&inputs[1], lift, node, "bias", x, dims, num > 1 ? 3 : 0, bias, num));
    if (!product)
        return lbw_fail_memory(lift->err);
    LBW_TRY(lbw_lift_emit(lift, lbw_build_node(lift->model, "", "Mul", product,
                                               (const char *[]){x, factor, NULL},
                                               (const char *[]){product, NULL})));
    inputs[0] = product;
    node->n_attribute = 0;
    LBW_TRY(lbw_lift_set_inputs(lift, node, inputs, 2));
    return rename_op(lift, node, "Add");
}

static enum lbw_status affine_10(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    float beta = lbw_node_float(node, "beta", 0);
    return scale_and_add(lift, node, lbw_node_float(node, "alpha", 1), &beta, 1);
}

static enum lbw_status image_scaler_10(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    const Onnx__AttributeProto *bias = lbw_node_attribute(node, "bias");
    if (!bias || !bias->n_floats)
        return lbw_lift_refuse(lift, node, "it has no bias");
    return scale_and_add(lift, node, lbw_node_float(node, "scale", 1), bias->floats,
                         bias->n_floats);
}

static enum lbw_status scale_10(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    float zero = 0;
    return scale_and_add(lift, node, lbw_node_float(node, "scale", 1), &zero, 1);
}

static enum lbw_status dropout_10(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    lbw_lift_drop_unused(lift, node);
    if (has_output(node, 1))
        return lbw_lift_refuse(lift, node, "its mask would change its type");
    return LBW_OK;
}

static enum lbw_status slice_10(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    const Onnx__AttributeProto *starts = lbw_node_attribute(node, "starts");
    const Onnx__AttributeProto *ends = lbw_node_attribute(node, "ends");
    if (!starts || !ends)
        return lbw_lift_refuse(lift, node, "it has no starts or no ends");
    LBW_TRY(ints_to_input(lift, node, "starts", 1));
    LBW_TRY(ints_to_input(lift, node, "ends", 2));
    return ints_to_input(lift, node, "axes", 3);
}

static enum lbw_status top_k_10(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    return ints_to_input(lift, node, "k", 1);
}

static enum lbw_status upsample_10(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    if (has_output(node, 0) && !lbw_strmap_put(&lift->upsample, node->output[0], node))
        return lbw_fail_memory(lift->err);
    return rename_op(lift, node, "Resize");
}

/* --- 11 --- */

static enum lbw_status clip_11(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    static const char *const names[] = {"min", "max"};
    const char *inputs[3] = {NULL};
    size_t num = 1;
    for (size_t i = 0; i < 2; i++) {
        const Onnx__AttributeProto *a = lbw_lift_take(node, names[i]);
        if (!a)
            continue;
        LBW_TRY(typed_constant(&inputs[i + 1], lift, node, names[i], lbw_node_input(node, 0),
                               NULL, 0, &a->f, 1));
        num = i + 2;
    }
    return lbw_lift_set_inputs(lift, node, inputs, num);
}

static enum lbw_status one_hot_11(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    return lbw_lift_refuse(lift, node, "negative indices would now count from the end");
}

static enum lbw_status pad_11(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    const Onnx__AttributeProto *value = lbw_lift_take(node, "value");
    const char *inputs[3] = {NULL};
    LBW_TRY(ints_to_input(lift, node, "pads", 1));
    if (!value || value->f == 0)
        return LBW_OK;
    LBW_TRY(typed_constant(&inputs[2], lift, node, "value", lbw_node_input(node, 0), NULL, 0,
                           &value->f, 1));
    return lbw_lift_set_inputs(lift, node, inputs, 3);
}

/* Runtimes round the old nearest Resize down when it enlarges, up when it reduces. */
static enum lbw_status nearest_mode(const char **mode, struct lbw_lift *lift,
                                    const Onnx__NodeProto *node)
{
    const Onnx__TensorProto *proto = lbw_lift_tensor(lift, lbw_node_input(node, 1));
    struct lbw_tensor scales;
    float values[16];
    bool grows = false, shrinks = false;
    *mode = "floor";
    if (has_output(node, 0) && lbw_strmap_get(&lift->upsample, node->output[0]))
        return LBW_OK;
    if (!proto || lbw_tensor_view(&scales, lift->model, proto, NULL) != LBW_OK ||
        scales.count > 16 || lbw_tensor_read_float(&scales, values, NULL) != LBW_OK)
        return lbw_lift_refuse(lift, node, "its scales, and so its rounding, are unknown");
    for (size_t i = 0; i < scales.count; i++) {
        grows |= values[i] > 1;
        shrinks |= values[i] < 1;
    }
    if (grows && shrinks)
        return lbw_lift_refuse(lift, node, "it rounds differently along different axes");
    *mode = shrinks ? "ceil" : "floor";
    return LBW_OK;
}

static enum lbw_status resize_11(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    const char *inputs[3] = {NULL, NULL, lbw_node_input(node, 1)};
    if (!lbw_node_says(node, "mode", "linear", false)) {
        const char *mode = NULL;
        LBW_TRY(nearest_mode(&mode, lift, node));
        LBW_TRY(add_text(lift, node, "nearest_mode", mode));
    }
    LBW_TRY(add_text(lift, node, "coordinate_transformation_mode", "asymmetric"));
    LBW_TRY(floats_constant(&inputs[1], lift, node, "roi", NULL, 0));
    return lbw_lift_set_inputs(lift, node, inputs, 3);
}

static enum lbw_status scatter_11(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    return rename_op(lift, node, "ScatterElements");
}

/* --- 12 --- */

static enum lbw_status dropout_12(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    lbw_lift_drop_unused(lift, node);
    if (has_output(node, 1))
        return lbw_lift_refuse(lift, node, "its mask would change its meaning");
    lbw_lift_take(node, "ratio"); /* without training_mode it is the identity */
    return LBW_OK;
}

/* --- 13 --- */

static enum lbw_status axes_13(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    return ints_to_input(lift, node, "axes", 1);
}

static enum lbw_status split_13(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    return ints_to_input(lift, node, "split", 1);
}

static enum lbw_status resize_13(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    if (lbw_node_says(node, "coordinate_transformation_mode", "tf_half_pixel_for_nn", false))
        return lbw_lift_refuse(lift, node, "tf_half_pixel_for_nn was removed");
    if (!has_input(node, 3))
        return LBW_OK;
    const char *inputs[4] = {NULL, NULL, "", NULL}; /* only sizes, no empty scales */
    return lbw_lift_set_inputs(lift, node, inputs, 4);
}

/* Up to 12 all dimensions from the axis on are one; they still are after a Flatten. */
static enum lbw_status softmax_13(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    struct lbw_model *model = lift->model;
    int64_t axis = lbw_node_int(node, "axis", 1);
    int rank = lbw_lift_rank(lift, lbw_node_input(node, 0));
    lbw_lift_take(node, "axis");
    if (!lbw_build_int(model, node, "axis", -1))
        return lbw_fail_memory(lift->err);
    if (axis == -1 || (rank > 0 && axis == rank - 1))
        return LBW_OK;
    if (!has_output(node, 0) || !has_input(node, 0))
        return LBW_OK;
    const char *input = lbw_node_input(node, 0), *output = node->output[0];
    const char *shape = lbw_names_make(lift->names, model, stem(lift, node, "shape"));
    const char *flat = lbw_names_make(lift->names, model, stem(lift, node, "flat"));
    const char *result = lbw_names_make(lift->names, model, stem(lift, node, "result"));
    if (!shape || !flat || !result)
        return lbw_fail_memory(lift->err);
    Onnx__NodeProto *shape_node =
        lbw_build_node(model, "", "Shape", shape, (const char *[]){input, NULL},
                       (const char *[]){shape, NULL});
    Onnx__NodeProto *flatten =
        lbw_build_node(model, "", "Flatten", flat, (const char *[]){input, NULL},
                       (const char *[]){flat, NULL});
    lift->behind =
        lbw_build_node(model, "", "Reshape", result, (const char *[]){result, shape, NULL},
                       (const char *[]){output, NULL});
    if (!shape_node || !lift->behind || !lbw_build_int(model, flatten, "axis", axis))
        return lbw_fail_memory(lift->err);
    LBW_TRY(lbw_lift_emit(lift, shape_node));
    LBW_TRY(lbw_lift_emit(lift, flatten));
    node->input[0] = (char *)(uintptr_t)flat;
    node->output[0] = (char *)(uintptr_t)result;
    return LBW_OK;
}

/* --- 14 and later --- */

static enum lbw_status batch_normalization_14(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    lbw_lift_drop_unused(lift, node);
    return node->n_output > 1 ? lbw_lift_refuse(lift, node, "it is in training mode") : LBW_OK;
}

static enum lbw_status roi_align_16(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    return add_text(lift, node, "coordinate_transformation_mode", "output_half_pixel");
}

static enum lbw_status split_18(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    if (!has_input(node, 1) &&
        !lbw_build_int(lift->model, node, "num_outputs", (int64_t)node->n_output))
        return lbw_fail_memory(lift->err);
    return LBW_OK;
}

static enum lbw_status average_pool_19(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    if (lbw_node_int(node, "ceil_mode", 0) && lbw_node_int(node, "count_include_pad", 0))
        return lbw_lift_refuse(lift, node, "its divisor at the border changed");
    return LBW_OK;
}

static enum lbw_status dft_20(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    const char *inputs[3] = {NULL};
    int64_t axis = lbw_node_int(node, "axis", 1);
    unsigned char bytes[8];
    lbw_lift_take(node, "axis");
    lbw_store_le(bytes, (uint64_t)axis, 8);
    LBW_TRY(lbw_lift_constant(&inputs[2], lift, stem(lift, node, "axis"), TYPE(INT64), NULL, 0,
                              bytes, 8));
    return lbw_lift_set_inputs(lift, node, inputs, 3);
}

static enum lbw_status grid_sample_20(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    if (lbw_node_says(node, "mode", "bilinear", false))
        return add_text(lift, node, "mode", "linear");
    return lbw_node_says(node, "mode", "bicubic", false) ? add_text(lift, node, "mode", "cubic")
                                                         : LBW_OK;
}

static enum lbw_status group_normalization_21(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    return lbw_lift_refuse(lift, node, "its scale was per group and is now per channel");
}

const struct lbw_lift_rule lbw_lift_rules[] = {
    {"BatchNormalization", 9, batch_normalization_9},
    {"Scan", 9, scan_9},
    {"Upsample", 9, upsample_9},

    {"ATen", 10, experimental_10},
    {"Affine", 10, affine_10},
    {"Crop", 10, crop_10},
    {"Dropout", 10, dropout_10},
    {"DynamicSlice", 10, experimental_10},
    {"GRUUnit", 10, experimental_10},
    {"GivenTensorFill", 10, experimental_10},
    {"ImageScaler", 10, image_scaler_10},
    {"ParametricSoftplus", 10, experimental_10},
    {"Scale", 10, scale_10},
    {"ScaledTanh", 10, experimental_10},
    {"Slice", 10, slice_10},
    {"TopK", 10, top_k_10},
    {"Upsample", 10, upsample_10},

    {"Clip", 11, clip_11},
    {"OneHot", 11, one_hot_11},
    {"Pad", 11, pad_11},
    {"Resize", 11, resize_11},
    {"Scatter", 11, scatter_11},

    {"Dropout", 12, dropout_12},

    {"Hardmax", 13, softmax_13},
    {"LogSoftmax", 13, softmax_13},
    {"ReduceSum", 13, axes_13},
    {"Resize", 13, resize_13},
    {"Softmax", 13, softmax_13},
    {"Split", 13, split_13},
    {"Squeeze", 13, axes_13},
    {"Unsqueeze", 13, axes_13},

    {"BatchNormalization", 14, batch_normalization_14},

    {"RoiAlign", 16, roi_align_16},

    {"ReduceL1", 18, axes_13},
    {"ReduceL2", 18, axes_13},
    {"ReduceLogSum", 18, axes_13},
    {"ReduceLogSumExp", 18, axes_13},
    {"ReduceMax", 18, axes_13},
    {"ReduceMean", 18, axes_13},
    {"ReduceMin", 18, axes_13},
    {"ReduceProd", 18, axes_13},
    {"ReduceSumSquare", 18, axes_13},
    {"Split", 18, split_18},

    {"AveragePool", 19, average_pool_19},

    {"DFT", 20, dft_20},
    {"GridSample", 20, grid_sample_20},

    {"GroupNormalization", 21, group_normalization_21},
};
const size_t lbw_num_lift_rules = sizeof lbw_lift_rules / sizeof *lbw_lift_rules;
