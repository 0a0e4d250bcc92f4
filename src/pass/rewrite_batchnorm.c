/* SPDX-License-Identifier: MIT */
/* Folds a BatchNormalization into the Conv before it, where that is exact. */
#include <math.h>
#include <stdlib.h>

#include "onnx/build.h"
#include "onnx/node.h"
#include "onnx/tensor.h"
#include "pass/clean.h"
#include "pass/layout.h"
#include "pass/rewrite.h"
#include "pass/weight.h"

#define FLOAT32 ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT

static bool is_conv(const Onnx__NodeProto *node)
{
    return lbw_node_is(node, "Conv") || lbw_node_is(node, "ConvTranspose");
}

/* The constant float32 tensor of input i, as `count` values in `*out` (malloc'ed). */
static bool read_constant(float **out, struct lbw_tensor *tensor, const struct lbw_index *index,
                          const struct lbw_scope *scope, const Onnx__NodeProto *node, size_t i)
{
    struct lbw_value *value = lbw_weight_origin(lbw_index_find(scope, lbw_node_input(node, i)));
    Onnx__TensorProto *proto = value ? lbw_index_constant(index, value, true) : NULL;
    if (!proto || lbw_tensor_view(tensor, index->model, proto, NULL) != LBW_OK ||
        tensor->data_type != FLOAT32)
        return false;
    *out = malloc((tensor->count ? tensor->count : 1) * sizeof(float));
    if (*out && lbw_tensor_read_float(tensor, *out, NULL) == LBW_OK)
        return true;
    free(*out);
    *out = NULL;
    return false;
}

/* A Conv and the BatchNormalization that is its only reader. */
struct fold {
    struct lbw_scope *scope;
    Onnx__NodeProto *conv, *norm;
    struct lbw_tensor weight;
    size_t channels;
    float *w, *b;                       /* weight; bias or NULL */
    float *scale, *offset, *mean, *var; /* of the normalization, channels each */
};

static void fold_release(struct fold *f)
{
    free(f->w);
    free(f->b);
    free(f->scale);
    free(f->offset);
    free(f->mean);
    free(f->var);
}

/* Whether it is in inference form and its statistics are constants. */
static bool norm_is_plain(const struct lbw_model *model, const struct lbw_scope *scope,
                          const Onnx__NodeProto *norm)
{
    size_t num_outputs = 0;
    if (lbw_node_has_reference(norm) ||
        (lbw_scope_opset(model, scope) < 7 && !lbw_node_int(norm, "is_test", 0)))
        return false;
    for (size_t i = 0; i < norm->n_output; i++)
        num_outputs += norm->output[i] && *norm->output[i];
    return num_outputs == 1 && norm->n_input >= 5 &&
           lbw_node_int(norm, "training_mode", 0) == 0 && lbw_node_int(norm, "spatial", 1) == 1;
}

/* The Conv whose output only this normalization reads, or NULL. */
static Onnx__NodeProto *conv_before(const struct lbw_scope *scope, const Onnx__NodeProto *norm)
{
    struct lbw_value *value = lbw_index_find(scope, lbw_node_input(norm, 0));
    if (!value || value->scope != scope || !value->producer || !is_conv(value->producer) ||
        lbw_node_has_reference(value->producer))
        return NULL;
    bool is_alone = value->uses && !value->uses->next && !value->is_output;
    return is_alone ? value->producer : NULL;
}

/*
 * Whether the weight has no other readers. A shared one would have to be copied for each
 * BatchNormalization.
 */
static bool owns_weight(const struct lbw_scope *scope, const Onnx__NodeProto *conv)
{
    const struct lbw_value *value = lbw_index_find(scope, lbw_node_input(conv, 1));
    while (value && value->uses && !value->uses->next && !value->is_output) {
        const Onnx__NodeProto *node = value->producer;
        if (!node || !lbw_node_is(node, "Identity"))
            return true;
        value = lbw_index_find(value->scope, lbw_node_input(node, 0));
    }
    return false;
}

static bool fold_read(struct fold *f, const struct lbw_index *index)
{
    struct lbw_tensor t;
    if (!read_constant(&f->w, &f->weight, index, f->scope, f->conv, 1) ||
        f->weight.num_dims < 3)
        return false;
    bool transposed = lbw_node_is(f->conv, "ConvTranspose");
    size_t groups = (size_t)lbw_node_int(f->conv, "group", 1);
    f->channels = transposed ? (size_t)f->weight.dims[1] * groups : (size_t)f->weight.dims[0];
    if (*lbw_node_input(f->conv, 2) &&
        (!read_constant(&f->b, &t, index, f->scope, f->conv, 2) || t.count != f->channels))
        return false;
    float **parts[] = {&f->scale, &f->offset, &f->mean, &f->var};
    for (size_t i = 0; i < 4; i++)
        if (!read_constant(parts[i], &t, index, f->scope, f->norm, i + 1) ||
            t.count != f->channels)
            return false;
    return true;
}

/* The folded values, replacing f->w and f->offset: w·g and (b - mean)·g + offset. */
static bool fold_values(struct fold *f)
{
    struct lbw_layout layout;
    if (!lbw_layout_of(&layout, f->conv, 1, f->weight.dims, f->weight.num_dims) ||
        layout.groups * layout.rows != f->channels)
        return false;
    double epsilon = lbw_node_float(f->norm, "epsilon", 1e-5f);
    for (size_t g = 0; g < layout.groups; g++)
        for (size_t r = 0; r < layout.rows; r++) {
            size_t c = g * layout.rows + r;
            double gain = f->scale[c] / sqrt((double)f->var[c] + epsilon);
            if (!isfinite(gain))
                return false;
            for (size_t i = 0; i < layout.k; i++) {
                float *w = &f->w[lbw_layout_offset(&layout, g, r, i)];
                *w = (float)(*w * gain);
            }
            double bias = f->b ? f->b[c] : 0;
            f->offset[c] = (float)((bias - f->mean[c]) * gain + f->offset[c]);
        }
    return true;
}

static bool fold_write(struct fold *f, struct lbw_model *model, struct lbw_names *names)
{
    const char *weight_name = lbw_node_input(f->conv, 1);
    const char *bias_name = lbw_node_input(f->conv, 2);
    char *bias_stem = lbw_arena_printf(&model->arena, "%s.bias", weight_name);
    int64_t channels = (int64_t)f->channels;
    if (!bias_stem ||
        !lbw_node_set_constant(model, names, f->scope, f->conv, 2,
                               *bias_name ? bias_name : bias_stem, FLOAT32, &channels, 1,
                               f->offset, f->channels * sizeof(float)) ||
        !lbw_node_set_constant(model, names, f->scope, f->conv, 1, weight_name, FLOAT32,
                               f->weight.dims, f->weight.num_dims, f->w,
                               f->weight.count * sizeof(float)))
        return false;
    f->conv->output[0] = f->norm->output[0];
    return true;
}

/* Folds one normalization if that is exact, and sets *folded. */
static enum lbw_status fold_one(bool *folded, struct lbw_index *index, struct lbw_names *names,
                                struct lbw_scope *scope, Onnx__NodeProto *norm,
                                struct lbw_error *err)
{
    struct fold f = {.scope = scope, .norm = norm};
    enum lbw_status status = LBW_OK;
    *folded = false;
    if (!norm_is_plain(index->model, scope, norm) || !(f.conv = conv_before(scope, norm)) ||
        !owns_weight(scope, f.conv))
        return LBW_OK;
    if (fold_read(&f, index) && fold_values(&f)) {
        *folded = fold_write(&f, index->model, names);
        if (!*folded)
            status = lbw_fail_memory(err);
    }
    fold_release(&f);
    return status;
}

static enum lbw_status fold_scope(size_t *num, struct lbw_index *index, struct lbw_names *names,
                                  struct lbw_scope *scope, struct lbw_error *err)
{
    size_t num_nodes, num_kept = 0;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num_nodes);
    for (size_t i = 0; i < num_nodes; i++) {
        bool folded = false;
        Onnx__NodeProto *node = nodes[i];
        if (lbw_node_is(node, "BatchNormalization"))
            LBW_TRY(fold_one(&folded, index, names, scope, node, err));
        if (!folded)
            nodes[num_kept++] = node;
        else
            ++*num;
    }
    scope->graph->n_node = num_kept;
    return LBW_OK;
}

static enum lbw_status fold_all(size_t *num, struct lbw_model *model, struct lbw_index *index,
                                struct lbw_error *err)
{
    struct lbw_names *names = NULL;
    LBW_TRY(lbw_names_new(&names, model, err));
    enum lbw_status status = LBW_OK;
    for (struct lbw_scope *s = index->scopes; s && status == LBW_OK; s = s->next)
        if (s->graph)
            status = fold_scope(num, index, names, s, err);
    lbw_names_free(names);
    return status;
}

enum lbw_status lbw_fold_batchnorm(size_t *num, struct lbw_model *model, struct lbw_error *err)
{
    struct lbw_index before = {0};
    enum lbw_status status;
    LBW_OR_OUT(lbw_index_init(&before, model, err));
    LBW_OR_OUT(fold_all(num, model, &before, err));
    if (*num)
        LBW_OR_OUT(lbw_clean(model, &before, err));
out:
    lbw_index_release(&before);
    return status;
}
