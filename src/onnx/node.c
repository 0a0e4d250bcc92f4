/* SPDX-License-Identifier: MIT */
/* Changing the inputs of a node. */
#include "onnx/node.h"

#include <string.h>

#include "onnx/tensor.h"

/* Replaces input i of a node, extending the list if necessary. */
static bool set_input(struct lbw_model *model, Onnx__NodeProto *node, size_t i, char *name)
{
    if (i >= node->n_input) {
        char **inputs = lbw_arena_calloc(&model->arena, i + 1, sizeof *inputs);
        if (!inputs)
            return false;
        if (node->n_input)
            memcpy(inputs, node->input, node->n_input * sizeof *inputs);
        for (size_t j = node->n_input; j < i; j++)
            inputs[j] = lbw_arena_strdup(&model->arena, "");
        node->input = inputs;
        node->n_input = i + 1;
    }
    node->input[i] = name;
    return name != NULL;
}

/*
 * The initializer that is input i if nothing else reads it: it may be overwritten. Else NULL.
 */
static Onnx__TensorProto *own_initializer(const struct lbw_scope *scope,
                                          const Onnx__NodeProto *node, size_t i)
{
    struct lbw_value *value = lbw_index_find(scope, lbw_node_input(node, i));
    bool is_alone = value && value->scope == scope && value->initializer && value->uses &&
                    !value->uses->next && !value->is_output;
    return is_alone ? value->initializer : NULL;
}

bool lbw_node_set_constant(struct lbw_model *model, struct lbw_names *names,
                           const struct lbw_scope *scope, Onnx__NodeProto *node, size_t i,
                           const char *stem, int32_t type, const int64_t *dims, size_t num_dims,
                           const void *data, size_t size)
{
    Onnx__TensorProto *old = own_initializer(scope, node, i);
    const char *name = old ? old->name : lbw_names_make(names, model, stem);
    void *copy = lbw_arena_memdup(&model->arena, data, size);
    if (!name || !copy)
        return false;
    Onnx__TensorProto *tensor = lbw_tensor_new(model, name, type, dims, num_dims, copy, size);
    if (!tensor)
        return false;
    if (old) {
        *old = *tensor;
        lbw_graph_remove_input(scope->graph, name);
        return true;
    }
    return lbw_graph_add_initializer(model, scope->graph, tensor) &&
           set_input(model, node, i, tensor->name);
}
