/* SPDX-License-Identifier: MIT */
/* Finds the trunk, by walking back from the targets to the inputs. */
#include "grad/trunk.h"

#include <string.h>

#include "base/error.h"
#include "onnx/last_layers.h"

static bool has_body(const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (node->attribute[i]->g || node->attribute[i]->n_graphs)
            return true;
    return false;
}

/* Nodes are in topological order: a walk from the end meets every reader first. */
static enum lbw_status walk_back(struct lbw_trunk *trunk, const struct lbw_index *index,
                                 struct lbw_error *err)
{
    size_t num, kept = 0;
    Onnx__NodeProto **nodes = lbw_scope_nodes(index->scopes, &num);
    trunk->nodes = lbw_arena_alloc(&index->model->arena, num * sizeof *nodes);
    if (!trunk->nodes)
        return lbw_fail_memory(err);
    for (size_t i = num; i-- > 0;) {
        if (!lbw_ends_reach(nodes[i], &trunk->names))
            continue;
        if (has_body(nodes[i]))
            return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                            "%s '%s' contains subgraphs, which gradients cannot pass",
                            nodes[i]->op_type, nodes[i]->name ? nodes[i]->name : "");
        trunk->nodes[kept++] = nodes[i];
        if (!lbw_ends_put(&trunk->names, nodes[i]->input, nodes[i]->n_input) ||
            !lbw_ends_put(&trunk->names, nodes[i]->output, nodes[i]->n_output))
            return lbw_fail_memory(err);
    }
    for (size_t i = 0; i < kept / 2; i++) {
        Onnx__NodeProto *node = trunk->nodes[i];
        trunk->nodes[i] = trunk->nodes[kept - 1 - i];
        trunk->nodes[kept - 1 - i] = node;
    }
    trunk->num_nodes = kept;
    return LBW_OK;
}

enum lbw_status lbw_trunk_init(struct lbw_trunk *out, const struct lbw_index *index,
                               const char *const *targets, size_t num_targets,
                               struct lbw_error *err)
{
    struct lbw_trunk trunk = {0};
    enum lbw_status status = LBW_OK;
    for (size_t i = 0; i < num_targets; i++) {
        struct lbw_value *value = lbw_index_find(index->scopes, targets[i]);
        if (!value || !value->producer)
            LBW_OR_OUT(lbw_fail(err, LBW_ERR_ARGUMENT,
                                "no node of the main graph produces '%s'", targets[i]));
        if (!lbw_strmap_put(&trunk.names, value->name, value))
            LBW_OR_OUT(lbw_fail_memory(err));
    }
    LBW_OR_OUT(walk_back(&trunk, index, err));
    *out = trunk;
    return LBW_OK;
out:
    lbw_strmap_release(&trunk.names);
    return status;
}

void lbw_trunk_release(struct lbw_trunk *trunk)
{
    lbw_strmap_release(&trunk->names);
}

enum lbw_status lbw_grad_values(const char ***out, size_t *num, const struct lbw_index *index,
                                const char *const *targets, size_t num_targets,
                                struct lbw_error *err)
{
    struct lbw_trunk trunk;
    size_t count = 0, max = 0;
    LBW_TRY(lbw_trunk_init(&trunk, index, targets, num_targets, err));
    for (size_t i = 0; i < trunk.num_nodes; i++)
        max += trunk.nodes[i]->n_output;
    const char **names = lbw_arena_alloc(&index->model->arena, max * sizeof *names);
    for (size_t i = 0; names && i < trunk.num_nodes; i++)
        for (size_t k = 0; k < trunk.nodes[i]->n_output; k++)
            if (*trunk.nodes[i]->output[k])
                names[count++] = trunk.nodes[i]->output[k];
    lbw_trunk_release(&trunk);
    if (!names)
        return lbw_fail_memory(err);
    *out = names;
    *num = count;
    return LBW_OK;
}

enum lbw_status lbw_grad_targets(const char ***out, size_t *num, const struct lbw_index *index,
                                 struct lbw_error *err)
{
    return lbw_index_ends(out, num, index, err);
}
