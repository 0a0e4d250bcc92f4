/* SPDX-License-Identifier: MIT */
/* Walks back from the outputs to the last layers with weights. */
#include "onnx/last_layers.h"

#include "base/error.h"

bool lbw_ends_put(struct lbw_strmap *names, char *const *list, size_t num)
{
    for (size_t i = 0; i < num; i++)
        if (*list[i] && !lbw_strmap_put(names, list[i], list[i]))
            return false;
    return true;
}

bool lbw_ends_reach(const Onnx__NodeProto *node, const struct lbw_strmap *names)
{
    for (size_t i = 0; i < node->n_output; i++)
        if (*node->output[i] && lbw_strmap_get(names, node->output[i]))
            return true;
    return false;
}

static bool is_learned(const struct lbw_index *index, const Onnx__NodeProto *node)
{
    if (lbw_node_is(node, "Conv") || lbw_node_is(node, "ConvTranspose") ||
        lbw_node_is(node, "Gemm"))
        return true;
    if (!lbw_node_is(node, "MatMul"))
        return false;
    struct lbw_value *weight = lbw_index_find(index->scopes, lbw_node_input(node, 1));
    return weight && lbw_index_constant(index, weight, false);
}

enum lbw_status lbw_index_ends(const char ***out, size_t *num, const struct lbw_index *index,
                               struct lbw_error *err)
{
    const Onnx__GraphProto *graph = index->model->proto->graph;
    struct lbw_strmap seen = {0};
    const char **targets =
        lbw_arena_alloc(&index->model->arena, graph->n_node * sizeof *targets);
    size_t count = 0;
    bool has_memory = targets != NULL;
    for (size_t i = 0; i < graph->n_output && has_memory; i++)
        has_memory = lbw_strmap_put(&seen, graph->output[i]->name, graph->output[i]);
    for (size_t i = graph->n_node; i-- > 0 && has_memory;) {
        const Onnx__NodeProto *node = graph->node[i];
        /* A tensor's shape does not depend on its values. */
        if (!lbw_ends_reach(node, &seen) || lbw_node_is(node, "Shape"))
            continue;
        if (is_learned(index, node))
            targets[count++] = node->output[0];
        else
            has_memory = lbw_ends_put(&seen, node->input, node->n_input);
    }
    lbw_strmap_release(&seen);
    if (!has_memory)
        return lbw_fail_memory(err);
    if (!count)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "the main graph has no convolution before its outputs");
    for (size_t i = 0; i < count / 2; i++) {
        const char *name = targets[i];
        targets[i] = targets[count - 1 - i];
        targets[count - 1 - i] = name;
    }
    *out = targets;
    *num = count;
    return LBW_OK;
}
