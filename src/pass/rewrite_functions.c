/* SPDX-License-Identifier: MIT */
/*
 * Inlines functions that hide weights: those that receive the weight of a Conv as an input, and
 * those with a Conv that are called once. Also inlines the branch of an If around a Conv when
 * its condition is a constant. The weights can then be planned, folded and calibrated.
 */
#include "pass/rewrite.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/inline.h"
#include "onnx/walk.h"
#include "pass/encode.h"
#include "pass/native.h"

/* A call, listed with the function that is called. */
struct call {
    struct call *next;
    const struct lbw_scope *scope; /* of the node */
    const Onnx__NodeProto *node;
};

/* What is known of the functions, by position in the model. */
struct survey {
    struct lbw_model *model;
    struct lbw_index index;
    const char *ops;
    bool **is_weight;  /* which of a function's inputs reach a weight input */
    bool *has_weights; /* it, or a function it calls, holds an operator with weights */
    struct call **calls;
    size_t *num_calls;
    size_t *queue; /* functions whose new facts have not reached their callers */
    bool *is_queued;
    size_t num_queued;
};

/* The function whose nodes, bodies included, the scope belongs to, or NULL. */
static const struct lbw_scope *function_around(const struct lbw_scope *scope)
{
    while (scope->parent)
        scope = scope->parent;
    return scope->function ? scope : NULL;
}

/* Records a fact about a function that its callers have to learn. */
static void mark(struct survey *s, bool *what, size_t position)
{
    if (!*what && !s->is_queued[position]) {
        s->queue[s->num_queued++] = position;
        s->is_queued[position] = true;
    }
    *what = true;
}

/* A weight comes from this name: if that is an input of the function, mark the input. */
static void mark_source(struct survey *s, const struct lbw_scope *scope, const char *name)
{
    const struct lbw_value *value = lbw_weight_source(lbw_index_find(scope, name));
    if (!value || !value->is_input || !value->scope->function)
        return;
    const Onnx__FunctionProto *f = value->scope->function;
    size_t position = value->scope->position;
    for (size_t i = 0; i < f->n_input; i++)
        if (strcmp(f->input[i], value->name) == 0)
            mark(s, &s->is_weight[position][i], position);
}

static bool survey_node(struct survey *s, const struct lbw_scope *scope,
                        const Onnx__NodeProto *node)
{
    const struct lbw_scope *within = function_around(scope);
    const struct lbw_scope *called = lbw_index_function(&s->index, node);
    size_t first, last;
    if (within && lbw_weight_inputs(&first, &last, node, s->ops)) {
        mark(s, &s->has_weights[within->position], within->position);
        for (size_t i = first; i <= last; i++)
            mark_source(s, scope, lbw_node_input(node, i));
    }
    if (!called)
        return true;
    struct call *call = lbw_arena_alloc(&s->model->arena, sizeof *call);
    if (!call)
        return false;
    *call = (struct call){s->calls[called->position], scope, node};
    s->calls[called->position] = call;
    s->num_calls[called->position]++;
    return true;
}

/* What is true of a function is true of the functions that call it. */
static void tell_callers(struct survey *s, size_t position)
{
    const Onnx__FunctionProto *f = s->model->proto->functions[position];
    for (const struct call *call = s->calls[position]; call; call = call->next) {
        const struct lbw_scope *within = function_around(call->scope);
        if (!within)
            continue;
        if (s->has_weights[position])
            mark(s, &s->has_weights[within->position], within->position);
        for (size_t i = 0; i < f->n_input && i < call->node->n_input; i++)
            if (s->is_weight[position][i])
                mark_source(s, call->scope, lbw_node_input(call->node, i));
    }
}

static bool survey_all(struct survey *s)
{
    for (const struct lbw_scope *scope = s->index.scopes; scope; scope = scope->next) {
        size_t num;
        Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num);
        for (size_t i = 0; i < num; i++)
            if (!survey_node(s, scope, nodes[i]))
                return false;
    }
    while (s->num_queued) {
        size_t position = s->queue[--s->num_queued];
        s->is_queued[position] = false;
        tell_callers(s, position);
    }
    return true;
}

static bool survey_alloc(struct survey *s)
{
    size_t num = s->model->proto->n_functions;
    s->is_weight = calloc(num + 1, sizeof *s->is_weight);
    s->has_weights = calloc(num + 1, sizeof *s->has_weights);
    s->calls = calloc(num + 1, sizeof *s->calls);
    s->num_calls = calloc(num + 1, sizeof *s->num_calls);
    s->queue = calloc(num + 1, sizeof *s->queue);
    s->is_queued = calloc(num + 1, sizeof *s->is_queued);
    bool ok =
        s->is_weight && s->has_weights && s->calls && s->num_calls && s->queue && s->is_queued;
    for (size_t i = 0; i < num && ok; i++) {
        s->is_weight[i] = calloc(s->model->proto->functions[i]->n_input + 1, sizeof(bool));
        ok = s->is_weight[i] != NULL;
    }
    return ok;
}

static void survey_release(struct survey *s)
{
    for (size_t i = 0; s->is_weight && i < s->model->proto->n_functions; i++)
        free(s->is_weight[i]);
    free(s->is_weight);
    free(s->has_weights);
    free(s->calls);
    free(s->num_calls);
    free(s->queue);
    free(s->is_queued);
    lbw_index_release(&s->index);
}

static bool is_ours(const Onnx__FunctionProto *f)
{
    return f->domain && strcmp(f->domain, LBW_DOMAIN) == 0;
}

/* wanted[i]: function i is to be inlined. */
static enum lbw_status choose(bool *wanted, struct lbw_model *model, const char *ops,
                              struct lbw_error *err)
{
    struct survey s = {.model = model, .ops = ops};
    LBW_TRY(lbw_index_init(&s.index, model, err));
    enum lbw_status status = survey_alloc(&s) && survey_all(&s) ? LBW_OK : lbw_fail_memory(err);
    for (size_t i = 0; status == LBW_OK && i < model->proto->n_functions; i++) {
        const Onnx__FunctionProto *f = model->proto->functions[i];
        wanted[i] = s.has_weights[i] && s.num_calls[i] == 1;
        for (size_t k = 0; k < f->n_input; k++)
            wanted[i] = wanted[i] || s.is_weight[i][k];
        wanted[i] = (wanted[i] && !is_ours(f)) || lbw_is_native(f);
    }
    survey_release(&s);
    return status;
}

static bool is_no_weight(ProtobufCMessage *message, void *user)
{
    size_t first, last;
    return message->descriptor != &onnx__node_proto__descriptor ||
           !lbw_weight_inputs(&first, &last, (const Onnx__NodeProto *)message, user);
}

/* An If with a weight somewhere in its branches. */
static bool holds_weights(void *user, const Onnx__NodeProto *node)
{
    return !lbw_walk((ProtobufCMessage *)(uintptr_t)&node->base, is_no_weight, user);
}

enum lbw_status lbw_open_functions(size_t *num, struct lbw_model *model, const char *ops,
                                   struct lbw_error *err)
{
    size_t num_calls = 0, num_branches = 0;
    bool *wanted = calloc(model->proto->n_functions + 1, sizeof *wanted);
    if (!wanted)
        return lbw_fail_memory(err);
    bool any = false;
    enum lbw_status status;
    LBW_OR_OUT(choose(wanted, model, ops, err));
    for (size_t i = 0; i < model->proto->n_functions; i++)
        any = any || wanted[i];
    if (any)
        LBW_OR_OUT(lbw_inline_calls(&num_calls, model, wanted, err));
    LBW_OR_OUT(
        lbw_inline_branches(&num_branches, model, holds_weights, (void *)(uintptr_t)ops, err));
    *num = num_calls + num_branches;
out:
    free(wanted);
    return status;
}
