/* SPDX-License-Identifier: MIT */
/*
 * Weights that functions hide: where a Conv reads its weight from an input of a function, or in
 * a function that is called once, the function's nodes take the place of the call, and an If
 * around a Conv goes when it always takes the same way. What is left is a graph whose weights
 * can be seen, folded and calibrated.
 */
#include "pass/pass.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/inline.h"
#include "onnx/walk.h"
#include "pass/encode.h"

/* What is known of the functions, by position in the model. */
struct survey {
    struct lbw_model *model;
    struct lbw_index index;
    const char *ops;
    bool **is_weight;  /* which of a function's inputs reach a weight input */
    bool *has_weights; /* it, or a function it calls, holds an operator with weights */
    size_t *num_calls;
    bool changed;
};

/* The position of the function whose nodes, bodies included, the scope belongs to. */
static size_t function_of(const struct survey *s, const struct lbw_scope *scope)
{
    while (scope->parent)
        scope = scope->parent;
    for (size_t i = 0; scope->function && i < s->model->proto->n_functions; i++)
        if (s->model->proto->functions[i] == scope->function)
            return i;
    return SIZE_MAX;
}

/* The weight comes through this name: where that is an input of the function, so does it. */
static void mark_source(struct survey *s, const struct lbw_scope *scope, size_t function,
                        const char *name)
{
    const struct lbw_value *value = lbw_weight_source(lbw_index_find(scope, name));
    if (!value || !value->is_input || !value->scope->function)
        return;
    const Onnx__FunctionProto *f = s->model->proto->functions[function];
    for (size_t i = 0; i < f->n_input; i++)
        if (strcmp(f->input[i], value->name) == 0 && !s->is_weight[function][i])
            s->is_weight[function][i] = s->changed = true;
}

static void survey_node(struct survey *s, const struct lbw_scope *scope, size_t function,
                        const Onnx__NodeProto *node)
{
    size_t first, last, called = lbw_function_find(s->model, node);
    bool has_weights = called != SIZE_MAX && s->has_weights[called];
    if (lbw_weight_inputs(&first, &last, node, s->ops)) {
        has_weights = true;
        for (size_t i = first; i <= last && function != SIZE_MAX; i++)
            mark_source(s, scope, function, lbw_node_input(node, i));
    }
    if (function == SIZE_MAX)
        return;
    if (has_weights && !s->has_weights[function])
        s->has_weights[function] = s->changed = true;
    for (size_t i = 0; called != SIZE_MAX && i < node->n_input; i++)
        if (i < s->model->proto->functions[called]->n_input && s->is_weight[called][i])
            mark_source(s, scope, function, lbw_node_input(node, i));
}

/* One look at every node; repeated until nothing new comes out. */
static void survey_all(struct survey *s, bool counts_calls)
{
    for (const struct lbw_scope *scope = s->index.scopes; scope; scope = scope->next) {
        size_t num, function = function_of(s, scope);
        Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num);
        for (size_t i = 0; i < num; i++) {
            size_t called = counts_calls ? lbw_function_find(s->model, nodes[i]) : SIZE_MAX;
            if (called != SIZE_MAX)
                s->num_calls[called]++;
            survey_node(s, scope, function, nodes[i]);
        }
    }
}

static bool survey_alloc(struct survey *s)
{
    size_t num = s->model->proto->n_functions;
    s->is_weight = calloc(num + 1, sizeof *s->is_weight);
    s->has_weights = calloc(num + 1, sizeof *s->has_weights);
    s->num_calls = calloc(num + 1, sizeof *s->num_calls);
    bool ok = s->is_weight && s->has_weights && s->num_calls;
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
    free(s->num_calls);
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
    enum lbw_status status = survey_alloc(&s) ? LBW_OK : lbw_fail_memory(err);
    if (status == LBW_OK)
        survey_all(&s, true);
    while (status == LBW_OK && s.changed) {
        s.changed = false;
        survey_all(&s, false);
    }
    for (size_t i = 0; status == LBW_OK && i < model->proto->n_functions; i++) {
        const Onnx__FunctionProto *f = model->proto->functions[i];
        wanted[i] = s.has_weights[i] && s.num_calls[i] == 1;
        for (size_t k = 0; k < f->n_input; k++)
            wanted[i] = wanted[i] || s.is_weight[i][k];
        wanted[i] = wanted[i] && !is_ours(f);
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
    enum lbw_status status = choose(wanted, model, ops, err);
    bool any = false;
    for (size_t i = 0; i < model->proto->n_functions; i++)
        any = any || wanted[i];
    if (status == LBW_OK && any)
        status = lbw_inline_calls(&num_calls, model, wanted, err);
    free(wanted);
    if (status == LBW_OK)
        status = lbw_inline_branches(&num_branches, model, holds_weights,
                                     (void *)(uintptr_t)ops, err);
    if (status == LBW_OK)
        *num = num_calls + num_branches;
    return status;
}
