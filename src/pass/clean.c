/* SPDX-License-Identifier: MIT */
/* Taking away what a rewrite left unused, and nothing else. */
#include "pass/clean.h"

#include "onnx/build.h"

/* Read by a node before the rewrite and by none now. */
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

/* Drops initializers that have become unused; false when out of memory. */
static bool sweep_initializers(bool *changed, const struct lbw_scope *before,
                               const struct lbw_scope *now)
{
    Onnx__GraphProto *graph = now->graph;
    struct lbw_strmap gone = {0};
    bool done = true;
    for (size_t i = 0; i < graph->n_initializer && done; i++)
        if (is_orphan(before, now, graph->initializer[i]->name))
            done = lbw_strmap_put(&gone, graph->initializer[i]->name, graph->initializer[i]);
    if (done && gone.num_used) {
        lbw_graph_remove(graph, &gone);
        *changed = true;
    }
    lbw_strmap_release(&gone);
    return done;
}

/* One sweep over a scope; sets *changed if anything was dropped. False when memory is out. */
static bool sweep_scope(bool *changed, const struct lbw_scope *before, struct lbw_scope *now)
{
    Onnx__GraphProto *graph = now->graph;
    if (graph && !sweep_initializers(changed, before, now))
        return false;
    size_t num, num_kept = 0;
    Onnx__NodeProto **nodes = lbw_scope_nodes(now, &num);
    for (size_t i = 0; i < num; i++)
        if (!node_is_orphan(before, now, nodes[i]))
            nodes[num_kept++] = nodes[i];
    *(graph ? &graph->n_node : &now->function->n_node) = num_kept;
    *changed = *changed || num_kept < num;
    return true;
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

/* Entries about names that no longer exist. */
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
        bool done = true;
        const struct lbw_scope *old = before->scopes;
        /* scopes come in the same order as long as no body is added or removed */
        for (struct lbw_scope *s = now.scopes; s && old; s = s->next, old = old->next)
            if (s->graph == old->graph && s->function == old->function) {
                forget(old, s);
                done = done && sweep_scope(&changed, old, s);
            }
        lbw_index_release(&now);
        if (!done)
            return lbw_fail_memory(err);
    }
    return LBW_OK;
}
