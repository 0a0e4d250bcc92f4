/* SPDX-License-Identifier: MIT */
/* Exact rewrites before planning: BatchNormalization into the Conv before it, zero biases. */
#include "pass/prepare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "onnx/build.h"
#include "onnx/import.h"
#include "onnx/node.h"
#include "onnx/stem.h"
#include "onnx/tensor.h"
#include "pass/bias.h"
#include "pass/clean.h"
#include "pass/encode.h"
#include "pass/native.h"
#include "pass/operators.h"
#include "pass/rewrite.h"

#define FLOAT32           ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define ACTIVATIONS_OPSET 13 /* DequantizeLinear along an axis */

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

static enum lbw_status fold_all(struct lbw_model *model, struct lbw_index *index,
                                size_t *num_folded, struct lbw_error *err)
{
    struct lbw_names *names = NULL;
    LBW_TRY(lbw_names_new(&names, model, err));
    enum lbw_status status = LBW_OK;
    for (struct lbw_scope *s = index->scopes; s && status == LBW_OK; s = s->next)
        if (s->graph)
            status = fold_scope(num_folded, index, names, s, err);
    lbw_names_free(names);
    return status;
}

void lbw_begin_rewrite(struct lbw_model *model)
{
    Onnx__GraphProto *graph = model->proto->graph;
    model->proto->n_training_info = 0;
    if (model->proto->ir_version >= 4)
        return;
    for (size_t i = 0; i < graph->n_initializer; i++)
        lbw_graph_remove_input(graph, graph->initializer[i]->name);
    model->proto->ir_version = 4;
    model->proto->has_ir_version = 1;
}

static enum lbw_status fold_and_clean(struct lbw_model *model, size_t *num_folded,
                                      struct lbw_error *err)
{
    struct lbw_index before = {0};
    enum lbw_status status;
    LBW_OR_OUT(lbw_index_init(&before, model, err));
    LBW_OR_OUT(fold_all(model, &before, num_folded, err));
    if (*num_folded)
        LBW_OR_OUT(lbw_clean(model, &before, err));
out:
    lbw_index_release(&before);
    return status;
}

/* Gives every Conv a bias that calibration may correct; drops unused values. */
static enum lbw_status add_biases(struct lbw_model *model, struct lbw_error *err)
{
    struct lbw_index index = {0};
    struct lbw_names *names = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_index_init(&index, model, err));
    LBW_OR_OUT(lbw_names_new(&names, model, err));
    LBW_OR_OUT(lbw_bias_own(model, &index, names, err));
    LBW_OR_OUT(lbw_clean(model, &index, err));
out:
    lbw_names_free(names);
    lbw_index_release(&index);
    return status;
}

/* The name of an encoded weight that nodes of one scope read; else *out is unchanged. */
static enum lbw_status find_encoded(const char **out, const struct lbw_index *index,
                                    struct lbw_scope *scope, const char *ops,
                                    struct lbw_error *err)
{
    size_t num_nodes, first, last;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num_nodes);
    for (size_t n = 0; n < num_nodes && !*out; n++) {
        if (!lbw_weight_inputs(&first, &last, nodes[n], ops))
            continue;
        for (size_t i = first; i <= last && !*out; i++) {
            struct lbw_encoded encoded = {0};
            struct lbw_value *value =
                lbw_weight_origin(lbw_index_find(scope, lbw_node_input(nodes[n], i)));
            if (value && !lbw_index_constant(index, lbw_weight_source(value), true))
                LBW_TRY(lbw_decode_match(&encoded, index, value, err));
            if (encoded.kind)
                *out = value->name;
        }
    }
    return LBW_OK;
}

/* Refuses to quantize encoded weights a second time by accident. */
static enum lbw_status refuse_encoded(struct lbw_model *model, const char *ops,
                                      struct lbw_error *err)
{
    struct lbw_index index = {0};
    const char *name = NULL;
    enum lbw_status status;
    if (lbw_has_native(model))
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_UNSUPPORTED,
                            "layers are already encoded, as operators of " LBW_DOMAIN
                            ": run 'lbw expand' first, or add --requantize"));
    LBW_OR_OUT(lbw_index_init(&index, model, err));
    for (struct lbw_scope *s = index.scopes; s && !name; s = s->next)
        LBW_OR_OUT(find_encoded(&name, &index, s, ops, err));
    if (name)
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_UNSUPPORTED,
                            "weight '%s' is already encoded: run 'lbw expand' first, or add "
                            "--requantize",
                            name));
out:
    lbw_index_release(&index);
    return status;
}

static enum lbw_status rewrite(struct lbw_model *model, const struct lbw_prepare_params *params,
                               const char *ops, struct lbw_error *err)
{
    size_t num_opened, num_split, num_made;
    LBW_TRY(lbw_open_functions(&num_opened, model, ops, err));
    LBW_TRY(lbw_stem_remember(model, err));
    lbw_begin_rewrite(model);
    LBW_TRY(lbw_split_fused(&num_split, model, err));
    LBW_TRY(lbw_make_constants(&num_made, model, ops, err));
    if (!params->keep_batchnorm)
        LBW_TRY(fold_and_clean(model, &model->num_folded, err));
    return add_biases(model, err);
}

static enum lbw_status prepare(struct lbw_model *model, const struct lbw_prepare_params *params,
                               const char *ops, struct lbw_error *err)
{
    LBW_TRY(lbw_model_check_imports(model, err));
    if (params->requantize)
        LBW_TRY(lbw_expand(model, NULL, err));
    else
        LBW_TRY(refuse_encoded(model, ops, err));
    if (params->activations != LBW_ACTIVATIONS_FLOAT &&
        lbw_model_opset(model, "") < ACTIVATIONS_OPSET)
        LBW_TRY(lbw_model_lift(model, ACTIVATIONS_OPSET, err));
    return lbw_model_rewritten(model, rewrite(model, params, ops, err));
}

/* Inlines what hides weights, and nothing else. */
static enum lbw_status open_up(struct lbw_model *model, const char *ops, struct lbw_error *err)
{
    size_t num_opened = 0, num_split = 0;
    enum lbw_status status;
    LBW_OR_OUT(lbw_open_functions(&num_opened, model, ops, err));
    LBW_OR_OUT(lbw_split_fused(&num_split, model, err));
out:
    return status != LBW_OK || num_opened || num_split ? lbw_model_rewritten(model, status)
                                                       : LBW_OK;
}

enum lbw_status lbw_model_prepare(struct lbw_model *model,
                                  const struct lbw_prepare_params *params,
                                  struct lbw_error *err)
{
    static const struct lbw_prepare_params by_default;
    params = params ? params : &by_default;
    const char *ops;
    LBW_TRY(lbw_model_check(model, err));
    LBW_TRY(
        lbw_check_choice("activations", params->activations, LBW_ACTIVATIONS_INT8 + 1, err));
    LBW_TRY(lbw_ops_of(&ops, model, params->ops, err));
    LBW_TRY(lbw_weight_check_ops(ops, err));
    uint64_t size = lbw_model_size(model);
    if (params->as_is)
        return lbw_within(err, open_up(model, ops, err), "%s", model->name);
    LBW_TRY(lbw_within(err, prepare(model, params, ops, err), "%s", model->name));
    if (!model->is_prepared)
        model->size_unprepared = size;
    model->is_prepared = true;
    return LBW_OK;
}
