/* SPDX-License-Identifier: MIT */
/* Replaces an If whose condition is a constant by the nodes of the branch it takes. */
#include <stdlib.h>
#include <string.h>

#include "onnx/inline.h"
#include "onnx/rename.h"
#include "onnx/tensor.h"

struct splicer {
    struct lbw_model *model;
    struct lbw_index *index;
    struct lbw_names *names;
    lbw_inline_fn fn;
    void *user;
    size_t num_spliced;
    struct lbw_node_list list; /* being made */
    struct lbw_error *err;
};

static bool add(struct splicer *s, Onnx__NodeProto *node)
{
    return lbw_node_list_add(&s->list, node);
}

/* The constant that a name refers to, through Identity nodes, or NULL. */
static const Onnx__TensorProto *constant_behind(const struct splicer *s,
                                                const struct lbw_scope *scope, const char *name)
{
    const struct lbw_value *value = lbw_index_find(scope, name);
    for (int i = 0; value && value->producer && i < 64; i++) {
        if (!lbw_node_is(value->producer, "Identity"))
            break;
        value = lbw_index_find(value->scope, lbw_node_input(value->producer, 0));
    }
    return value ? lbw_index_constant(s->index, value, false) : NULL;
}

/* The branch that an If always takes, or NULL. */
static Onnx__GraphProto *taken_branch(const struct splicer *s, const struct lbw_scope *scope,
                                      const Onnx__NodeProto *node)
{
    if (!lbw_node_is(node, "If") || !s->fn(s->user, node))
        return NULL;
    const Onnx__TensorProto *proto = constant_behind(s, scope, lbw_node_input(node, 0));
    struct lbw_tensor tensor;
    int64_t condition;
    if (!proto || lbw_tensor_view(&tensor, s->model, proto, NULL) != LBW_OK ||
        tensor.count != 1 || lbw_tensor_read_int64(&tensor, &condition, NULL) != LBW_OK)
        return NULL;
    const Onnx__AttributeProto *branch =
        lbw_node_attribute(node, condition ? "then_branch" : "else_branch");
    /* a function has no initializers */
    bool fits = branch && branch->g && branch->g->n_output == node->n_output &&
                branch->g->n_sparse_initializer == 0 &&
                (scope->graph || branch->g->n_initializer == 0);
    return fits ? branch->g : NULL;
}

/*
 * Gives the branch's outputs the names of the If's; outputs that no node makes are passed on.
 */
static bool map_outputs(struct splicer *s, struct lbw_strmap *map,
                        const Onnx__GraphProto *branch, const Onnx__NodeProto *node)
{
    for (size_t n = 0; n < branch->n_node; n++)
        for (size_t k = 0; k < branch->node[n]->n_output; k++)
            for (size_t i = 0; i < node->n_output; i++) {
                const char *made = branch->node[n]->output[k];
                const char *given = branch->output[i]->name;
                if (made && *made && node->output[i] && *node->output[i] && given &&
                    strcmp(made, given) == 0 && !lbw_strmap_get(map, made) &&
                    !lbw_strmap_put(map, made, node->output[i]))
                    return false;
            }
    for (size_t i = 0; i < branch->n_initializer; i++) {
        const char *name = branch->initializer[i]->name;
        const char *fresh = name ? lbw_names_make(s->names, s->model, name) : NULL;
        if (!fresh || !lbw_strmap_put(map, name, (void *)fresh))
            return false;
    }
    return lbw_rename_collect(map, s->model, s->names, "", branch->node, branch->n_node);
}

/* Identity nodes for outputs that no node of the branch makes under the If's name. */
static bool pass_on(struct splicer *s, const struct lbw_strmap *map,
                    const Onnx__GraphProto *branch, const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_output; i++) {
        const char *output = node->output[i] ? node->output[i] : "";
        const char *inner = branch->output[i]->name ? branch->output[i]->name : "";
        const char *now = lbw_strmap_get(map, inner);
        now = now ? now : inner;
        if (!*output || strcmp(now, output) == 0)
            continue;
        const char *const inputs[] = {now, NULL}, *const outputs[] = {output, NULL};
        if (!add(s, lbw_build_node(s->model, "", "Identity", "", inputs, outputs)))
            return false;
    }
    return true;
}

static bool splice(struct splicer *s, const struct lbw_scope *scope, Onnx__GraphProto *branch,
                   Onnx__NodeProto *node)
{
    struct lbw_strmap map = {0};
    bool ok = map_outputs(s, &map, branch, node);
    for (size_t i = 0; i < branch->n_initializer && ok; i++) {
        Onnx__TensorProto *tensor = branch->initializer[i];
        tensor->name = lbw_strmap_get(&map, tensor->name);
        ok = lbw_graph_add_initializer(s->model, scope->graph, tensor);
    }
    for (size_t i = 0; i < branch->n_node && ok; i++) {
        lbw_rename_node(&map, branch->node[i]);
        ok = add(s, branch->node[i]);
    }
    ok = ok && pass_on(s, &map, branch, node);
    lbw_strmap_release(&map);
    node->n_output = 0; /* the node was replaced: skip its bodies */
    s->num_spliced++;
    return ok;
}

/* In the body of a replaced node. */
static bool is_gone(const struct lbw_scope *scope)
{
    for (; scope->parent; scope = scope->parent)
        if (scope->owner->n_output == 0)
            return true;
    return false;
}

/* Node names have to be unique in a graph: of two nodes with one name the first keeps it. */
static bool part_names(struct splicer *s)
{
    struct lbw_strmap seen = {0};
    bool ok = true;
    for (size_t i = 0; i < s->list.num && ok; i++) {
        Onnx__NodeProto *node = s->list.nodes[i];
        if (!node->name || !*node->name)
            continue;
        if (lbw_strmap_get(&seen, node->name))
            node->name = NULL;
        else
            ok = lbw_strmap_put(&seen, node->name, node);
    }
    lbw_strmap_release(&seen);
    return ok;
}

static bool splice_scope(struct splicer *s, struct lbw_scope *scope)
{
    size_t num, before = s->num_spliced;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num);
    s->list.num = 0;
    for (size_t i = 0; i < num; i++) {
        Onnx__GraphProto *branch = taken_branch(s, scope, nodes[i]);
        if (!(branch ? splice(s, scope, branch, nodes[i]) : add(s, nodes[i])))
            return false;
    }
    if (s->num_spliced == before)
        return true;
    if (!part_names(s))
        return false;
    return lbw_scope_set_nodes(scope, s->model, s->list.nodes, s->list.num);
}

/* An If in a spliced branch is handled in the next round. */
static enum lbw_status splice_round(struct splicer *s)
{
    struct lbw_index index;
    LBW_TRY(lbw_index_init(&index, s->model, s->err));
    s->index = &index;
    bool ok = true;
    for (struct lbw_scope *scope = index.scopes; scope && ok; scope = scope->next)
        ok = is_gone(scope) || splice_scope(s, scope);
    lbw_index_release(&index);
    return ok ? LBW_OK : lbw_fail_memory(s->err);
}

enum lbw_status lbw_inline_branches(size_t *num, struct lbw_model *model, lbw_inline_fn fn,
                                    void *user, struct lbw_error *err)
{
    struct splicer s = {.model = model, .fn = fn, .user = user, .err = err};
    size_t before;
    LBW_TRY(lbw_names_new(&s.names, model, err));
    enum lbw_status status;
    do {
        before = s.num_spliced;
        status = splice_round(&s);
    } while (status == LBW_OK && s.num_spliced > before);
    lbw_names_free(s.names);
    free(s.list.nodes);
    if (status == LBW_OK)
        *num = s.num_spliced;
    return status;
}
