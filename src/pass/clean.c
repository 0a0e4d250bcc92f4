/* SPDX-License-Identifier: MIT */
/* Taking away what a rewrite left unused or made in vain, and nothing else. */
#include "pass/pass.h"

#include <string.h>

#include "onnx/build.h"

/* Read by someone before the rewrite, by no one now. */
static bool is_orphan(const struct lbw_scope *before, const struct lbw_scope *now,
                      const char *name)
{
    const struct lbw_value *was = name ? lbw_strmap_get(&before->values, name) : NULL;
    const struct lbw_value *is = name ? lbw_strmap_get(&now->values, name) : NULL;
    return was && was->uses && is && !is->uses && !is->is_output;
}

static bool node_is_orphan(const struct lbw_scope *before, const struct lbw_scope *now,
                           const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_output; i++)
        if (node->output[i] && *node->output[i] && !is_orphan(before, now, node->output[i]))
            return false;
    return node->n_output > 0;
}

/* One sweep over a scope; true when something went. */
static bool sweep_scope(const struct lbw_scope *before, struct lbw_scope *now)
{
    Onnx__GraphProto *graph = now->graph;
    bool changed = false;
    for (size_t i = graph ? graph->n_initializer : 0; i-- > 0;) {
        Onnx__TensorProto *tensor = graph->initializer[i];
        if (!is_orphan(before, now, tensor->name))
            continue;
        lbw_graph_remove_input(graph, tensor->name);
        lbw_graph_remove_initializer(graph, tensor);
        changed = true;
    }
    size_t num, num_kept = 0;
    Onnx__NodeProto **nodes = lbw_scope_nodes(now, &num);
    for (size_t i = 0; i < num; i++)
        if (!node_is_orphan(before, now, nodes[i]))
            nodes[num_kept++] = nodes[i];
    *(graph ? &graph->n_node : &now->function->n_node) = num_kept;
    return changed || num_kept < num;
}

static bool is_gone(const struct lbw_scope *before, const struct lbw_scope *now,
                    const char *name)
{
    return name && lbw_strmap_get(&before->values, name) && !lbw_strmap_get(&now->values, name);
}

static void forget_values(const struct lbw_scope *before, const struct lbw_scope *now,
                          Onnx__ValueInfoProto **list, size_t *num)
{
    size_t num_kept = 0;
    for (size_t i = 0; i < *num; i++)
        if (!is_gone(before, now, list[i]->name))
            list[num_kept++] = list[i];
    *num = num_kept;
}

/* What is said about names that nothing makes any more. */
static void forget(const struct lbw_scope *before, const struct lbw_scope *now)
{
    Onnx__GraphProto *graph = now->graph;
    size_t num_kept = 0;
    if (!graph) {
        forget_values(before, now, now->function->value_info, &now->function->n_value_info);
        return;
    }
    forget_values(before, now, graph->value_info, &graph->n_value_info);
    for (size_t i = 0; i < graph->n_quantization_annotation; i++)
        if (!is_gone(before, now, graph->quantization_annotation[i]->tensor_name))
            graph->quantization_annotation[num_kept++] = graph->quantization_annotation[i];
    graph->n_quantization_annotation = num_kept;
}

enum lbw_status lbw_clean(struct lbw_model *model, const struct lbw_index *before,
                          struct lbw_error *err)
{
    for (bool changed = true; changed;) {
        struct lbw_index now;
        LBW_TRY(lbw_index_init(&now, model, err));
        changed = false;
        const struct lbw_scope *old = before->scopes;
        /* scopes come in the same order as long as no body is added or removed */
        for (struct lbw_scope *s = now.scopes; s && old; s = s->next, old = old->next)
            if (s->graph == old->graph && s->function == old->function) {
                forget(old, s);
                changed = sweep_scope(old, s) || changed;
            }
        lbw_index_release(&now);
    }
    return LBW_OK;
}

/* What comes before the suffix in the name of an added bias, or NULL. */
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

/* The name of the bias that an added one was copied from, when it still is the same; "" when
 * none is needed, NULL when this one is. */
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
    LBW_TRY(lbw_index_init(&index, model, err));
    for (size_t i = graph->n_initializer; i-- > 0;) {
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
        lbw_graph_remove_initializer(graph, tensor);
    }
    lbw_index_release(&index);
    return LBW_OK;
}
