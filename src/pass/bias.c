/* SPDX-License-Identifier: MIT */
/* Biases of convolutions: added, found, corrected, and dropped if they stay zero. */
#include "pass/bias.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "onnx/node.h"

static bool is_conv(const Onnx__NodeProto *node)
{
    return lbw_node_is(node, "Conv") || lbw_node_is(node, "ConvTranspose");
}

/*
 * The first of several readers, all of them convolutions of this graph with it as their bias.
 */
static bool may_keep_bias(const struct lbw_value *value, const struct lbw_scope *scope,
                          const Onnx__NodeProto *node)
{
    for (const struct lbw_use *use = value->uses; use; use = use->next)
        if (use->scope != scope || use->input != 2 || !is_conv(use->node))
            return false;
    return value->uses->node == node && !value->is_output;
}

/*
 * A bias that other nodes read too: this node gets a copy that can be corrected alone.
 * lbw_clean_biases() removes the copy if it was not.
 */
static bool unshare_bias(struct lbw_model *model, const struct lbw_index *index,
                         struct lbw_names *names, const struct lbw_scope *scope,
                         Onnx__NodeProto *node)
{
    struct lbw_value *value = lbw_index_find(scope, lbw_node_input(node, 2));
    Onnx__TensorProto *proto = value ? lbw_index_constant(index, value, true) : NULL;
    struct lbw_tensor bias;
    if (!proto || !value->uses || !value->uses->next || may_keep_bias(value, scope, node) ||
        lbw_tensor_view(&bias, model, proto, NULL) != LBW_OK || !bias.data)
        return true;
    char *stem = lbw_arena_printf(&model->arena, "%s" LBW_ADDED_BIAS, value->name);
    return stem && lbw_node_set_constant(model, names, scope, node, 2, stem, bias.data_type,
                                         bias.dims, bias.num_dims, bias.data, bias.size);
}

static bool add_zero_bias(struct lbw_model *model, const struct lbw_index *index,
                          struct lbw_names *names, const struct lbw_scope *scope,
                          Onnx__NodeProto *node)
{
    struct lbw_value *value = lbw_index_find(scope, lbw_node_input(node, 1)), *root;
    Onnx__TensorProto *proto = NULL;
    struct lbw_tensor weight;
    struct lbw_layout layout;
    if (value && lbw_weight_constant(&proto, &root, index, value, NULL) != LBW_OK)
        return true; /* planning will report what is wrong with it */
    if (!proto || lbw_tensor_view(&weight, model, proto, NULL) != LBW_OK ||
        !lbw_layout_of(&layout, node, 1, weight.dims, weight.num_dims))
        return true;
    int64_t channels = (int64_t)(layout.groups * layout.rows);
    size_t size = (size_t)channels * lbw_data_type_bits(weight.data_type) / 8;
    char *stem = lbw_arena_printf(&model->arena, "%s" LBW_ADDED_BIAS, value->name);
    void *zeros = lbw_arena_calloc(&model->arena, size + 1, 1);
    return stem && zeros &&
           lbw_node_set_constant(model, names, scope, node, 2, stem, weight.data_type,
                                 &channels, 1, zeros, size);
}

/* Every Conv of the main graph with a constant weight gets a bias of its own. */
enum lbw_status lbw_bias_own(struct lbw_model *model, const struct lbw_index *index,
                             struct lbw_names *names, struct lbw_error *err)
{
    struct lbw_scope *scope = index->scopes;
    size_t num;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num);
    for (size_t i = 0; i < num; i++) {
        if (!is_conv(nodes[i]))
            continue;
        bool done = *lbw_node_input(nodes[i], 2)
                        ? unshare_bias(model, index, names, scope, nodes[i])
                        : add_zero_bias(model, index, names, scope, nodes[i]);
        if (!done)
            return lbw_fail_memory(err);
    }
    return LBW_OK;
}

struct lbw_value *lbw_weight_bias(struct lbw_tensor *tensor, const struct lbw_plan *plan,
                                  const struct lbw_weight *weight, const Onnx__NodeProto *node)
{
    /* as the first factor of a Gemm, a weight's rows are the columns of the bias */
    if (lbw_node_is(node, "MatMul") ||
        (lbw_node_is(node, "Gemm") && weight->consumers[0].input == 0))
        return NULL;
    struct lbw_value *value = lbw_index_find(weight->value->scope, lbw_node_input(node, 2));
    Onnx__TensorProto *proto = value ? lbw_index_constant(&plan->index, value, true) : NULL;
    bool fits = proto && value->uses && !value->uses->next && !value->is_output &&
                lbw_tensor_view(tensor, plan->model, proto, NULL) == LBW_OK &&
                tensor->count == weight->layout.groups * weight->layout.rows &&
                tensor->num_dims > 0 &&
                (size_t)tensor->dims[tensor->num_dims - 1] == tensor->count &&
                tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    return fits ? value : NULL;
}

/* Replaces the values of a float32 constant. */
static enum lbw_status replace(const struct lbw_plan *plan, struct lbw_value *value,
                               const struct lbw_tensor *tensor, const float *values,
                               struct lbw_error *err)
{
    struct lbw_model *model = plan->model;
    unsigned char *data = lbw_arena_alloc(&model->arena, tensor->count * 4);
    for (size_t i = 0; data && i < tensor->count; i++)
        lbw_store_le(data + 4 * i, lbw_float_bits(values[i]), 4);
    Onnx__TensorProto *proto = lbw_index_constant(&plan->index, value, true);
    Onnx__TensorProto *corrected =
        data ? lbw_tensor_new(model, tensor->name, tensor->data_type, tensor->dims,
                              tensor->num_dims, data, tensor->count * 4)
             : NULL;
    if (!corrected)
        return lbw_fail_memory(err);
    if (value->initializer)
        lbw_graph_remove_input(value->scope->graph, value->name);
    *proto = *corrected;
    return LBW_OK;
}

static enum lbw_status write_one_bias(const struct lbw_plan *plan,
                                      const struct lbw_weight *weight,
                                      const Onnx__NodeProto *node, const float *bias,
                                      struct lbw_error *err)
{
    struct lbw_tensor tensor;
    struct lbw_value *value = lbw_weight_bias(&tensor, plan, weight, node);
    return value ? replace(plan, value, &tensor, bias, err) : LBW_OK;
}

enum lbw_status lbw_values_write(const struct lbw_plan *plan, const struct lbw_weight *weight,
                                 const struct lbw_codes *codes, struct lbw_error *err)
{
    struct lbw_tensor tensor;
    if (!codes->values)
        return LBW_OK;
    LBW_TRY(lbw_tensor_view(&tensor, plan->model, weight->tensor, err));
    return replace(plan, weight->value, &tensor, codes->values, err);
}

enum lbw_status lbw_bias_write(const struct lbw_plan *plan, const struct lbw_weight *weight,
                               const struct lbw_codes *codes, struct lbw_error *err)
{
    for (size_t i = 0; i < codes->num_biases; i++)
        if (codes->biases[i])
            LBW_TRY(
                write_one_bias(plan, weight, weight->consumers[i].node, codes->biases[i], err));
    return LBW_OK;
}

/* What precedes the suffix in the name of an added bias, or NULL. */
static const char *stem_of(struct lbw_model *model, const Onnx__TensorProto *tensor)
{
    const char *suffix = tensor->name ? strstr(tensor->name, LBW_ADDED_BIAS) : NULL;
    return suffix ? lbw_arena_printf(&model->arena, "%.*s", (int)(suffix - tensor->name),
                                     tensor->name)
                  : NULL;
}

static bool all_zero(const struct lbw_tensor *tensor)
{
    for (size_t i = 0; i < tensor->size; i++)
        if (tensor->data[i])
            return false;
    return true;
}

static bool same_tensor(const struct lbw_tensor *a, const struct lbw_tensor *b)
{
    return a->data && b->data && a->data_type == b->data_type && a->num_dims == b->num_dims &&
           a->size == b->size &&
           (!a->num_dims || memcmp(a->dims, b->dims, a->num_dims * sizeof *a->dims) == 0) &&
           memcmp(a->data, b->data, a->size) == 0;
}

/*
 * The name of the bias that an added one was copied from, if it is still the same; "" if no
 * bias is needed, NULL if this one is.
 */
static char *bias_instead(const struct lbw_index *index, const Onnx__TensorProto *proto)
{
    struct lbw_tensor added, original;
    const char *stem = stem_of(index->model, proto);
    if (!stem || lbw_tensor_view(&added, index->model, proto, NULL) != LBW_OK || !added.data)
        return NULL;
    if (all_zero(&added))
        return "";
    struct lbw_value *value = lbw_index_find(index->scopes, stem);
    Onnx__TensorProto *other = value ? lbw_index_constant(index, value, true) : NULL;
    bool is_same = other && lbw_tensor_view(&original, index->model, other, NULL) == LBW_OK &&
                   same_tensor(&added, &original);
    return is_same ? (char *)value->name : NULL;
}

static bool is_bias_only(const struct lbw_value *value)
{
    bool is_bias = !value->is_output;
    for (const struct lbw_use *use = value->uses; use; use = use->next)
        is_bias = is_bias && use->input == 2 &&
                  (lbw_node_is(use->node, "Conv") || lbw_node_is(use->node, "ConvTranspose"));
    return is_bias;
}

enum lbw_status lbw_clean_biases(struct lbw_model *model, struct lbw_error *err)
{
    Onnx__GraphProto *graph = model->proto->graph;
    struct lbw_index index;
    struct lbw_strmap gone = {0};
    bool done = true;
    LBW_TRY(lbw_index_init(&index, model, err));
    for (size_t i = 0; i < graph->n_initializer && done; i++) {
        Onnx__TensorProto *tensor = graph->initializer[i];
        char *instead = bias_instead(&index, tensor);
        struct lbw_value *value = instead ? lbw_index_find(index.scopes, tensor->name) : NULL;
        if (!value || !is_bias_only(value))
            continue;
        for (const struct lbw_use *use = value->uses; use; use = use->next)
            if (*instead)
                use->node->input[use->input] = instead;
            else
                use->node->n_input = 2;
        done = lbw_strmap_put(&gone, tensor->name, tensor);
    }
    if (done)
        lbw_graph_remove(graph, &gone);
    lbw_strmap_release(&gone);
    lbw_index_release(&index);
    return done ? LBW_OK : lbw_fail_memory(err);
}
