/* SPDX-License-Identifier: MIT */
/* Moves QuantizeLinear ahead of nodes that only move values, so that these move bytes. */
#include "pass/native_hoist.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/rename.h"

#define MAX_DEPTH 64
#define MAX_NODES 512 /* counted once for each way to them */

struct hoist {
    const struct lbw_native_finder *finder;
    const Onnx__NodeProto *quantize; /* the one at hand */
    struct lbw_node_list list;
    size_t num;
    struct lbw_error *err;
};

/* Inputs of a node that it only moves, to its first output; 0: it does more than that. */
static size_t num_moved(const Onnx__NodeProto *node)
{
    if (lbw_node_is(node, "Concat"))
        return node->n_input;
    if (lbw_node_is(node, "Resize"))
        return lbw_node_says(node, "mode", "nearest", true) &&
               !lbw_node_says(node, "coordinate_transformation_mode", "tf_crop_and_resize",
                              false);
    return lbw_native_moves(node) && !lbw_node_is(node, "Split");
}

/* What a value is put together from. */
struct sources {
    bool bytes, others, resizes;
    size_t num_nodes;
};

static void look_at(struct sources *out, const struct lbw_native_finder *r, const char *name,
                    int depth)
{
    const struct lbw_value *value = lbw_native_value(r, name);
    const Onnx__NodeProto *node = value ? value->producer : NULL;
    size_t num = node && value->scope == r->scope && depth < MAX_DEPTH ? num_moved(node) : 0;
    if (lbw_native_dequantizer(r, name))
        out->bytes = true;
    else if (!num)
        out->others = true;
    out->num_nodes++;
    out->resizes = out->resizes || (num && lbw_node_is(node, "Resize"));
    for (size_t i = 0; i < num && out->num_nodes <= MAX_NODES; i++)
        look_at(out, r, lbw_node_input(node, i), depth + 1);
}

/* The node that makes a value of bytes and something that no operator takes with them. */
static const Onnx__NodeProto *find_mover(const struct lbw_native_finder *r, const char *name)
{
    struct sources sources = {0};
    look_at(&sources, r, name, 0);
    bool is_mixed =
        sources.bytes && (sources.others || sources.resizes) && sources.num_nodes <= MAX_NODES;
    return is_mixed && !lbw_native_dequantizer(r, name) ? lbw_native_value(r, name)->producer
                                                        : NULL;
}

/* Adds what makes `to`, the bytes of a value. */
static enum lbw_status add_bytes(struct hoist *h, const char *name, const char *to, int depth)
{
    struct lbw_model *model = h->finder->model;
    const Onnx__NodeProto *mover = depth < MAX_DEPTH ? find_mover(h->finder, name) : NULL;
    Onnx__NodeProto *node = lbw_node_copy(model, mover ? mover : h->quantize);
    const char *label = node && node->name && *node->name
                            ? lbw_names_make_node(h->finder->names, model, node->name)
                            : "";
    if (!node || !label)
        return lbw_fail_memory(h->err);
    node->name = (char *)label;
    node->output[0] = (char *)to;
    if (!mover)
        node->input[0] = (char *)name;
    for (size_t i = 0, num = mover ? num_moved(mover) : 0; i < num; i++) {
        char *stem = lbw_arena_printf(&model->arena, "%s.bytes", node->input[i]);
        const char *bytes = stem ? lbw_names_make(h->finder->names, model, stem) : NULL;
        if (!bytes)
            return lbw_fail_memory(h->err);
        LBW_TRY(add_bytes(h, node->input[i], bytes, depth + 1));
        node->input[i] = (char *)bytes;
    }
    h->num += mover != NULL;
    return lbw_node_list_add(&h->list, node) ? LBW_OK : lbw_fail_memory(h->err);
}

static enum lbw_status add_node(struct hoist *h, Onnx__NodeProto *node)
{
    const struct lbw_native_finder *r = h->finder;
    h->quantize = node;
    if (lbw_node_is(node, "QuantizeLinear") && node->n_output == 1 &&
        lbw_native_has_byte_scaling(r, node) && find_mover(r, lbw_node_input(node, 0)))
        return add_bytes(h, lbw_node_input(node, 0), node->output[0], 0);
    return lbw_node_list_add(&h->list, node) ? LBW_OK : lbw_fail_memory(h->err);
}

enum lbw_status lbw_native_hoist(size_t *num, const struct lbw_native_finder *finder,
                                 struct lbw_error *err)
{
    struct hoist h = {.finder = finder, .err = err};
    enum lbw_status status = LBW_OK;
    size_t num_nodes;
    Onnx__NodeProto **nodes = lbw_scope_nodes(finder->scope, &num_nodes);
    for (size_t i = 0; i < num_nodes && status == LBW_OK; i++)
        status = add_node(&h, nodes[i]);
    if (status == LBW_OK && h.num &&
        !lbw_scope_set_nodes(finder->scope, finder->model, h.list.nodes, h.list.num))
        status = lbw_fail_memory(err);
    *num += h.num;
    free(h.list.nodes);
    return status;
}
