/* SPDX-License-Identifier: MIT */
/* Counts the nodes and bytes of each function once, including the functions it calls. */
#include "onnx/calls.h"

#include <stdlib.h>

#define MAX_DEPTH  32                   /* of calls within calls; recursion exceeds it */
#define MAX_NODES  ((size_t)1 << 16)    /* in total, bodies included */
#define MAX_GROWTH 16                   /* they may hold this many times the model's size, */
#define MAX_EXTRA  ((uint64_t)64 << 20) /* or this many bytes */

/* What one function, or the whole model, expands to. */
struct cost {
    size_t num_nodes;
    uint64_t size; /* in a file */
    bool is_known;
};

struct counter {
    const struct lbw_index *index;
    const bool *wanted;
    struct cost *of; /* by position */
    struct lbw_error *err;
};

static enum lbw_status add(const struct counter *c, struct cost *sum, const struct cost *more)
{
    uint64_t most = MAX_EXTRA + MAX_GROWTH * c->index->model->file_size;
    sum->num_nodes += more->num_nodes;
    sum->size += more->size;
    if (sum->num_nodes > MAX_NODES)
        return lbw_fail(c->err, LBW_ERR_UNSUPPORTED,
                        "its functions expand to more than %zu nodes", MAX_NODES);
    if (sum->size > most)
        return lbw_fail(c->err, LBW_ERR_UNSUPPORTED,
                        "its functions expand to more than %d times its size", MAX_GROWTH);
    return LBW_OK;
}

static enum lbw_status add_list(struct counter *c, struct cost *sum, bool is_made,
                                Onnx__NodeProto *const *nodes, size_t num, unsigned depth);

static enum lbw_status add_call(struct counter *c, struct cost *sum,
                                const struct lbw_scope *called, unsigned depth)
{
    const Onnx__FunctionProto *f = called->function;
    struct cost *cost = &c->of[called->position];
    if (depth >= MAX_DEPTH)
        return lbw_fail(c->err, LBW_ERR_FORMAT,
                        "function '%s': calls itself, or goes more than %d calls deep",
                        f->name ? f->name : "", MAX_DEPTH);
    if (!cost->is_known) {
        struct cost found = {.size = onnx__function_proto__get_packed_size(f)};
        LBW_TRY(add_list(c, &found, true, f->node, f->n_node, depth + 1));
        *cost = found;
        cost->is_known = true;
    }
    return add(c, sum, cost);
}

/* Nodes in the body of a call are copied, so they count themselves. */
static enum lbw_status add_list(struct counter *c, struct cost *sum, bool is_made,
                                Onnx__NodeProto *const *nodes, size_t num, unsigned depth)
{
    const struct cost own = {.num_nodes = is_made ? num : 0};
    LBW_TRY(add(c, sum, &own));
    for (size_t i = 0; i < num; i++) {
        const struct lbw_scope *called = lbw_index_function(c->index, nodes[i]);
        if (called && (!c->wanted || c->wanted[called->position]))
            LBW_TRY(add_call(c, sum, called, depth));
        for (size_t k = 0; k < nodes[i]->n_attribute; k++) {
            const Onnx__AttributeProto *attribute = nodes[i]->attribute[k];
            if (attribute->g)
                LBW_TRY(
                    add_list(c, sum, is_made, attribute->g->node, attribute->g->n_node, depth));
            for (size_t g = 0; g < attribute->n_graphs; g++)
                LBW_TRY(add_list(c, sum, is_made, attribute->graphs[g]->node,
                                 attribute->graphs[g]->n_node, depth));
        }
    }
    return LBW_OK;
}

enum lbw_status lbw_calls_check(const struct lbw_index *index, const bool *wanted,
                                struct lbw_error *err)
{
    const Onnx__ModelProto *proto = index->model->proto;
    struct counter c = {.index = index, .wanted = wanted, .err = err};
    struct cost sum = {0};
    enum lbw_status status = LBW_OK;
    c.of = calloc(proto->n_functions + 1, sizeof *c.of);
    if (!c.of)
        return lbw_fail_memory(err);
    LBW_OR_OUT(add_list(&c, &sum, false, proto->graph->node, proto->graph->n_node, 0));
    for (size_t i = 0; c.wanted && i < proto->n_functions; i++)
        if (!c.wanted[i]) /* kept; calls in it are expanded in place */
            LBW_OR_OUT(add_list(&c, &sum, false, proto->functions[i]->node,
                                proto->functions[i]->n_node, 1));
out:
    free(c.of);
    return status;
}
