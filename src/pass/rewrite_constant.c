/* SPDX-License-Identifier: MIT */
/* Weights computed by Transpose, Reshape, Concat, sums and the like become constants. */
#include <stdlib.h>
#include <string.h>

#include "onnx/build.h"
#include "onnx/constant.h"
#include "pass/clean.h"
#include "pass/encode.h"
#include "pass/foreign.h"
#include "pass/prepare.h"
#include "pass/rewrite.h"

/* A weight that replaces the node that computes it. */
struct made {
    struct made *next;
    struct lbw_value *value;
    Onnx__TensorProto *tensor;
    bool is_in, is_tried; /* replaced; looked at together with others */
};

struct folder {
    struct lbw_model *model;
    struct lbw_index index;
    const char *ops;
    struct made *made;
    size_t num;
};

static bool is_known(const struct folder *f, const struct lbw_value *value)
{
    for (const struct made *made = f->made; made; made = made->next)
        if (made->value == value)
            return true;
    return false;
}

/* Whether nothing else reads what the node of the value makes, so that it can go. */
static bool frees_node(const struct lbw_value *value, const struct lbw_value *const *values,
                       size_t num)
{
    for (size_t i = 0; i < value->producer->n_output; i++) {
        const struct lbw_value *made = lbw_index_find(value->scope, value->producer->output[i]);
        bool is_in = !made || (!made->uses && !made->is_output);
        for (size_t k = 0; k < num && !is_in; k++)
            is_in = values[k] == made;
        if (!is_in)
            return false;
    }
    return true;
}

/* Computes the weight if that is possible and worthwhile. */
static enum lbw_status look(struct folder *f, struct lbw_value *value, struct lbw_error *err)
{
    struct lbw_encoded encoded = {0};
    Onnx__TensorProto *tensor = NULL;
    if (!value || !value->producer || value->is_output || is_known(f, value) ||
        lbw_index_constant(&f->index, lbw_weight_source(value), true) ||
        !lbw_constant_is_made(&f->index, value))
        return LBW_OK;
    LBW_TRY(lbw_decode_match(&encoded, &f->index, value, err));
    if (encoded.kind || lbw_foreign_match(&f->index, value).form)
        return LBW_OK;
    LBW_TRY(lbw_constant_make(&tensor, NULL, &f->index, value, err));
    if (!tensor || (value->producer->n_output > 1 && !value->scope->graph))
        return LBW_OK;
    struct made *made = lbw_arena_calloc(&f->model->arena, 1, sizeof *made);
    if (!made)
        return lbw_fail_memory(err);
    const struct lbw_value *const alone = value;
    *made = (struct made){f->made, value, tensor};
    made->is_in = frees_node(value, &alone, 1) &&
                  lbw_constant_spared(NULL, &f->index, &alone, 1) >= tensor->raw_data.len;
    f->made = made;
    f->num += made->is_in;
    return LBW_OK;
}

#define MOST_TOGETHER 64

/* Folds Split's parts only if all of them replace the constant: else the file would grow. */
static void look_together(struct folder *f, struct made *first)
{
    struct made *group[MOST_TOGETHER];
    const struct lbw_value *values[MOST_TOGETHER];
    size_t num = 0;
    uint64_t size = 0;
    for (struct made *made = first; made && num < MOST_TOGETHER; made = made->next)
        if (!made->is_in && !made->is_tried &&
            (made == first || lbw_constant_is_shared(&f->index, first->value, made->value))) {
            made->is_tried = true;
            size += made->tensor->raw_data.len;
            values[num] = made->value;
            group[num++] = made;
        }
    bool is_better = num > 1 && lbw_constant_spared(NULL, &f->index, values, num) >= size;
    for (size_t i = 0; i < num; i++)
        is_better = is_better && frees_node(values[i], values, num);
    if (!is_better)
        return;
    for (size_t i = 0; i < num; i++)
        group[i]->is_in = true;
    f->num += num;
}

static enum lbw_status look_at_scope(struct folder *f, struct lbw_scope *scope,
                                     struct lbw_error *err)
{
    size_t num, first, last;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num);
    for (size_t n = 0; n < num; n++) {
        if (!lbw_weight_inputs(&first, &last, nodes[n], f->ops))
            continue;
        for (size_t i = first; i <= last; i++)
            LBW_TRY(look(
                f, lbw_weight_origin(lbw_index_find(scope, lbw_node_input(nodes[n], i))), err));
    }
    return LBW_OK;
}

/* Makes the node a Constant, or in a graph replaces it by an initializer. */
static enum lbw_status place(const struct folder *f, const struct made *made,
                             struct lbw_error *err)
{
    struct lbw_scope *scope = made->value->scope;
    const char *const none[] = {NULL}, *const outputs[] = {made->value->name, NULL};
    Onnx__NodeProto *node = lbw_build_node(f->model, "", "Constant", "", none, outputs);
    if (!lbw_build_tensor(f->model, node, "value", made->tensor))
        return lbw_fail_memory(err);
    if (!scope->graph) {
        *made->value->producer = *node;
        return LBW_OK;
    }
    Onnx__GraphProto *graph = scope->graph;
    size_t kept = 0;
    for (size_t i = 0; i < graph->n_node; i++)
        if (graph->node[i] != made->value->producer)
            graph->node[kept++] = graph->node[i];
    graph->n_node = kept;
    return lbw_graph_add_initializer(f->model, graph, made->tensor) ? LBW_OK
                                                                    : lbw_fail_memory(err);
}

static enum lbw_status fold(struct folder *f, struct lbw_error *err)
{
    for (struct lbw_scope *s = f->index.scopes; s; s = s->next)
        LBW_TRY(look_at_scope(f, s, err));
    for (struct made *made = f->made; made; made = made->next)
        if (!made->is_in && !made->is_tried)
            look_together(f, made);
    if (!f->num)
        return LBW_OK;
    lbw_begin_rewrite(f->model);
    for (const struct made *made = f->made; made; made = made->next)
        if (made->is_in)
            LBW_TRY(place(f, made, err));
    return lbw_clean(f->model, &f->index, err);
}

enum lbw_status lbw_make_constants(size_t *num, struct lbw_model *model, const char *ops,
                                   struct lbw_error *err)
{
    struct folder f = {.model = model, .ops = ops};
    LBW_TRY(lbw_index_init(&f.index, model, err));
    enum lbw_status status = fold(&f, err);
    lbw_index_release(&f.index);
    *num = f.num;
    return status;
}
