/* SPDX-License-Identifier: MIT */
/* Inlines functions: copies their nodes, renames them, and inserts the call's attributes. */
#include "onnx/inline.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/calls.h"
#include "onnx/opset.h"
#include "onnx/rename.h"

static const char *text(const char *s)
{
    return s ? s : "";
}

/* Whose imports apply to the current nodes: the model's, or a function's. */
struct host {
    Onnx__OperatorSetIdProto ***imports;
    size_t *num_imports;
};

struct inliner {
    struct lbw_model *model;
    struct lbw_index index; /* for the functions; the rest is stale by then */
    struct lbw_names *names;
    const bool *wanted;
    struct host host;
    size_t num_inlined;
    struct lbw_error *err;
};

static bool is_same_domain(const char *a, const char *b)
{
    a = strcmp(text(a), "ai.onnx") == 0 ? "" : text(a);
    b = strcmp(text(b), "ai.onnx") == 0 ? "" : text(b);
    return strcmp(a, b) == 0;
}

/* The host's version of a domain; -1 if it does not import it. */
static int64_t host_version(const struct host *host, const char *domain)
{
    for (size_t i = 0; i < *host->num_imports; i++)
        if (is_same_domain((*host->imports)[i]->domain, domain))
            return (*host->imports)[i]->version;
    return -1;
}

static const Onnx__NodeProto *find_obstacle(const struct lbw_index *index, const char *domain,
                                            int64_t from, int64_t to,
                                            Onnx__NodeProto *const *nodes, size_t num);

/* The same in the bodies of a node. */
static const Onnx__NodeProto *find_obstacle_inside(const struct lbw_index *index,
                                                   const char *domain, int64_t from, int64_t to,
                                                   const Onnx__NodeProto *node)
{
    const Onnx__NodeProto *found = NULL;
    for (size_t k = 0; k < node->n_attribute && !found; k++) {
        const Onnx__AttributeProto *attribute = node->attribute[k];
        if (attribute->g)
            found = find_obstacle(index, domain, from, to, attribute->g->node,
                                  attribute->g->n_node);
        for (size_t g = 0; g < attribute->n_graphs && !found; g++)
            found = find_obstacle(index, domain, from, to, attribute->graphs[g]->node,
                                  attribute->graphs[g]->n_node);
    }
    return found;
}

/*
 * The first operator of the domain that might mean something else at the other version, or
 * NULL.
 */
static const Onnx__NodeProto *find_obstacle(const struct lbw_index *index, const char *domain,
                                            int64_t from, int64_t to,
                                            Onnx__NodeProto *const *nodes, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        bool is_at_stake =
            is_same_domain(nodes[i]->domain, domain) && !lbw_index_function(index, nodes[i]);
        bool is_same = is_same_domain(domain, "") && lbw_lift_keeps(nodes[i], from, to);
        if (is_at_stake && !is_same)
            return nodes[i];
        const Onnx__NodeProto *inside = find_obstacle_inside(index, domain, from, to, nodes[i]);
        if (inside)
            return inside;
    }
    return NULL;
}

/* The first obstacle to putting the function's nodes into the host, or NULL. */
static const Onnx__NodeProto *obstacle(const struct lbw_index *index, const struct host *host,
                                       const Onnx__FunctionProto *f)
{
    const Onnx__NodeProto *found = NULL;
    for (size_t i = 0; i < f->n_opset_import && !found; i++) {
        const Onnx__OperatorSetIdProto *import = f->opset_import[i];
        int64_t version = host_version(host, import->domain);
        if (version >= 0 && version != import->version)
            found = find_obstacle(index, import->domain, import->version, version, f->node,
                                  f->n_node);
    }
    return found;
}

const Onnx__NodeProto *lbw_inline_obstacle(const struct lbw_index *index,
                                           const Onnx__FunctionProto *f)
{
    const struct host host = {&index->model->proto->opset_import,
                              &index->model->proto->n_opset_import};
    return obstacle(index, &host, f);
}

/* The domains that the function's nodes need and the host does not import yet. */
static bool import_missing(struct inliner *in, const Onnx__FunctionProto *f)
{
    size_t num = *in->host.num_imports;
    Onnx__OperatorSetIdProto **list =
        lbw_arena_calloc(&in->model->arena, num + f->n_opset_import, sizeof *list);
    if (!list)
        return false;
    if (num)
        memcpy(list, *in->host.imports, num * sizeof *list);
    for (size_t i = 0; i < f->n_opset_import; i++)
        if (host_version(&in->host, f->opset_import[i]->domain) < 0)
            list[num++] = f->opset_import[i];
    *in->host.imports = list;
    *in->host.num_imports = num;
    return true;
}

/* The value of an attribute reference in this call, or NULL. */
static const Onnx__AttributeProto *
actual_attribute(const Onnx__NodeProto *call, const Onnx__FunctionProto *f, const char *name)
{
    const Onnx__AttributeProto *found = lbw_node_attribute(call, name);
    for (size_t i = 0; !found && i < f->n_attribute_proto; i++)
        if (strcmp(text(f->attribute_proto[i]->name), name) == 0)
            found = f->attribute_proto[i];
    return found;
}

/* Replaces attribute references by the call's attributes; those not given are left out. */
static bool resolve_attributes(struct inliner *in, Onnx__NodeProto *node,
                               const Onnx__NodeProto *call, const Onnx__FunctionProto *f)
{
    size_t num_kept = 0;
    for (size_t i = 0; i < node->n_attribute; i++) {
        Onnx__AttributeProto *attribute = node->attribute[i];
        if (attribute->ref_attr_name && *attribute->ref_attr_name) {
            const Onnx__AttributeProto *actual =
                actual_attribute(call, f, attribute->ref_attr_name);
            if (!actual)
                continue;
            Onnx__AttributeProto *copy = lbw_attribute_copy(in->model, actual);
            if (!copy)
                return false;
            copy->name = attribute->name;
            node->attribute[num_kept++] = copy;
            continue;
        }
        for (size_t n = 0; attribute->g && n < attribute->g->n_node; n++)
            if (!resolve_attributes(in, attribute->g->node[n], call, f))
                return false;
        for (size_t k = 0; k < attribute->n_graphs; k++)
            for (size_t n = 0; n < attribute->graphs[k]->n_node; n++)
                if (!resolve_attributes(in, attribute->graphs[k]->node[n], call, f))
                    return false;
        node->attribute[num_kept++] = attribute;
    }
    node->n_attribute = num_kept;
    return true;
}

/* The prefix of new names: the last part of the call's name, or of its output's. */
static const char *prefix_of(struct inliner *in, const Onnx__NodeProto *call)
{
    const char *name = *text(call->name)                          ? call->name
                       : call->n_output && *text(call->output[0]) ? call->output[0]
                                                                  : text(call->op_type);
    const char *slash = strrchr(name, '/');
    name = slash ? slash + 1 : name;
    return lbw_arena_printf(&in->model->arena, "%s/", name);
}

/*
 * Names of the function → names of the caller: formal inputs and outputs first, then new names.
 * An output that is also an input gets an Identity in `out`.
 */
static bool map_names(struct inliner *in, struct lbw_strmap *map, struct lbw_node_list *out,
                      const Onnx__NodeProto *call, const Onnx__FunctionProto *f)
{
    bool ok = true;
    for (size_t i = 0; i < f->n_input && ok; i++)
        ok = lbw_strmap_put(map, text(f->input[i]), (void *)lbw_node_input(call, i));
    for (size_t i = 0; i < f->n_output && i < call->n_output && ok; i++) {
        const char *actual = text(call->output[i]);
        const char *known = lbw_strmap_get(map, text(f->output[i]));
        if (!*actual)
            continue;
        if (!known) {
            ok = lbw_strmap_put(map, text(f->output[i]), call->output[i]);
            continue;
        }
        const char *const inputs[] = {known, NULL}, *const outputs[] = {actual, NULL};
        ok = lbw_node_list_add(out,
                               lbw_build_node(in->model, "", "Identity", "", inputs, outputs));
    }
    const char *prefix = prefix_of(in, call);
    return ok && prefix &&
           lbw_rename_collect(map, in->model, in->names, prefix, f->node, f->n_node);
}

/* Appends the function's nodes to `out`, with the names and attributes of this call. */
static bool copy_body(struct inliner *in, struct lbw_node_list *out,
                      const Onnx__NodeProto *call, const Onnx__FunctionProto *f)
{
    struct lbw_strmap map = {0};
    bool ok = import_missing(in, f) && map_names(in, &map, out, call, f);
    for (size_t i = 0; i < f->n_node && ok; i++) {
        Onnx__NodeProto *node = lbw_node_copy(in->model, f->node[i]);
        ok = node != NULL;
        if (!ok)
            break;
        lbw_rename_node(&map, node);
        node->name = NULL; /* names have to be unique; the outputs' are */
        ok = resolve_attributes(in, node, call, f) && lbw_node_list_add(out, node);
    }
    lbw_strmap_release(&map);
    return ok;
}

static enum lbw_status expand_list(struct inliner *in, struct lbw_node_list *out,
                                   Onnx__NodeProto *const *nodes, size_t num);

static enum lbw_status expand_graph(struct inliner *in, Onnx__GraphProto *graph)
{
    struct lbw_node_list list = {0};
    enum lbw_status status;
    LBW_OR_OUT(expand_list(in, &list, graph->node, graph->n_node));
    if (!lbw_graph_set_nodes(in->model, graph, list.nodes, list.num))
        status = lbw_fail_memory(in->err);
out:
    free(list.nodes);
    return status;
}

static enum lbw_status expand_call(struct inliner *in, struct lbw_node_list *out,
                                   const Onnx__NodeProto *call, const Onnx__FunctionProto *f)
{
    struct lbw_node_list body = {0};
    in->num_inlined++;
    enum lbw_status status;
    LBW_OR_OUT(copy_body(in, &body, call, f) ? LBW_OK : lbw_fail_memory(in->err));
    status = expand_list(in, out, body.nodes, body.num);
out:
    free(body.nodes);
    return status;
}

/* Appends the nodes to `out`, expanding wanted calls in them and in their bodies. */
static enum lbw_status expand_list(struct inliner *in, struct lbw_node_list *out,
                                   Onnx__NodeProto *const *nodes, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        const struct lbw_scope *called = lbw_index_function(&in->index, nodes[i]);
        Onnx__FunctionProto *f =
            called && in->wanted[called->position] ? called->function : NULL;
        if (f && !obstacle(&in->index, &in->host, f)) {
            LBW_TRY(expand_call(in, out, nodes[i], f));
            continue;
        }
        for (size_t k = 0; k < nodes[i]->n_attribute; k++) {
            Onnx__AttributeProto *attribute = nodes[i]->attribute[k];
            if (attribute->g)
                LBW_TRY(expand_graph(in, attribute->g));
            for (size_t g = 0; g < attribute->n_graphs; g++)
                LBW_TRY(expand_graph(in, attribute->graphs[g]));
        }
        if (!lbw_node_list_add(out, nodes[i]))
            return lbw_fail_memory(in->err);
    }
    return LBW_OK;
}

static enum lbw_status expand_function(struct inliner *in, Onnx__FunctionProto *f)
{
    struct lbw_node_list list = {0};
    in->host = (struct host){&f->opset_import, &f->n_opset_import};
    enum lbw_status status;
    LBW_OR_OUT(expand_list(in, &list, f->node, f->n_node));
    if (!lbw_function_set_nodes(in->model, f, list.nodes, list.num))
        status = lbw_fail_memory(in->err);
out:
    free(list.nodes);
    return status;
}

/* The functions that remain, in the order of discovery. */
struct kept {
    bool *is_kept; /* by position in the model */
    size_t *queue;
    size_t num;
};

static void keep(struct kept *kept, size_t at)
{
    if (!kept->is_kept[at])
        kept->queue[kept->num++] = at;
    kept->is_kept[at] = true;
}

static void keep_called(struct kept *kept, const struct lbw_index *index,
                        Onnx__NodeProto *const *nodes, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        const struct lbw_scope *called = lbw_index_function(index, nodes[i]);
        if (called)
            keep(kept, called->position);
        for (size_t k = 0; k < nodes[i]->n_attribute; k++) {
            const Onnx__AttributeProto *attribute = nodes[i]->attribute[k];
            if (attribute->g)
                keep_called(kept, index, attribute->g->node, attribute->g->n_node);
            for (size_t g = 0; g < attribute->n_graphs; g++)
                keep_called(kept, index, attribute->graphs[g]->node,
                            attribute->graphs[g]->n_node);
        }
    }
}

/* Expands the calls in remaining functions: those not wanted, and those still called. */
static enum lbw_status expand_functions(struct inliner *in, struct kept *kept)
{
    Onnx__ModelProto *proto = in->model->proto;
    for (size_t i = 0; i < proto->n_functions; i++)
        if (!in->wanted[i])
            keep(kept, i);
    keep_called(kept, &in->index, proto->graph->node, proto->graph->n_node);
    for (size_t i = 0; i < kept->num; i++) {
        Onnx__FunctionProto *f = proto->functions[kept->queue[i]];
        LBW_TRY(expand_function(in, f));
        keep_called(kept, &in->index, f->node, f->n_node);
    }
    size_t num_kept = 0;
    for (size_t i = 0; i < proto->n_functions; i++)
        if (kept->is_kept[i])
            proto->functions[num_kept++] = proto->functions[i];
    proto->n_functions = num_kept;
    return LBW_OK;
}

static enum lbw_status inline_all(struct inliner *in)
{
    Onnx__ModelProto *proto = in->model->proto;
    struct kept kept = {.is_kept = calloc(proto->n_functions + 1, sizeof(bool)),
                        .queue = calloc(proto->n_functions + 1, sizeof(size_t))};
    enum lbw_status status;
    if (!kept.is_kept || !kept.queue)
        LBW_OR_OUT(lbw_fail_memory(in->err));
    in->host = (struct host){&proto->opset_import, &proto->n_opset_import};
    LBW_OR_OUT(expand_graph(in, proto->graph));
    LBW_OR_OUT(expand_functions(in, &kept));
out:
    free(kept.is_kept);
    free(kept.queue);
    return status;
}

enum lbw_status lbw_inline_calls(size_t *num, struct lbw_model *model, const bool *wanted,
                                 struct lbw_error *err)
{
    struct inliner in = {.model = model, .wanted = wanted, .err = err};
    enum lbw_status status;
    LBW_OR_OUT(lbw_index_init(&in.index, model, err));
    LBW_OR_OUT(lbw_calls_check(&in.index, wanted, err));
    LBW_OR_OUT(lbw_names_new(&in.names, model, err));
    LBW_OR_OUT(inline_all(&in));
    *num = in.num_inlined;
out:
    lbw_names_free(in.names);
    lbw_index_release(&in.index);
    return lbw_within(err, status, "%s", model->name);
}
