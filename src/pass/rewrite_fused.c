/* SPDX-License-Identifier: MIT */
/* Splits FusedConv (com.microsoft), which ONNX Runtime writes for a Conv and its activation. */
#include <stdlib.h>
#include <string.h>

#include "onnx/build.h"
#include "onnx/index.h"
#include "onnx/tensor.h"
#include "pass/rewrite.h"

/* The activations, with the attributes that activation_params holds. */
static const struct activation {
    const char *name;
    const char *params[2];
} activations[] = {
    {"Relu", {NULL, NULL}},    {"Tanh", {NULL, NULL}},
    {"Sigmoid", {NULL, NULL}}, {"LeakyRelu", {"alpha", NULL}},
    {"Clip", {"min", "max"}},  {"HardSigmoid", {"alpha", "beta"}},
};

static const struct activation *find(const Onnx__AttributeProto *name)
{
    for (size_t i = 0; name && i < sizeof activations / sizeof *activations; i++)
        if (strlen(activations[i].name) == name->s.len &&
            memcmp(activations[i].name, name->s.data, name->s.len) == 0)
            return &activations[i];
    return NULL;
}

static bool is_fused(const Onnx__NodeProto *node)
{
    return node->op_type && strcmp(node->op_type, "FusedConv") == 0 && node->domain &&
           strcmp(node->domain, "com.microsoft") == 0 && node->n_output == 1 &&
           !lbw_node_has_reference(node);
}

struct splitter {
    struct lbw_model *model;
    struct lbw_index index;
    struct lbw_names *names;
    struct lbw_node_list list;
    size_t num;
};

static Onnx__AttributeProto *take(Onnx__NodeProto *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++) {
        Onnx__AttributeProto *a = node->attribute[i];
        if (!a->name || strcmp(a->name, name) != 0)
            continue;
        memmove(node->attribute + i, node->attribute + i + 1,
                (node->n_attribute - i - 1) * sizeof *node->attribute);
        node->n_attribute--;
        return a;
    }
    return NULL;
}

/* From opset 11 on Clip reads its bounds. */
static const char *bound(struct splitter *s, const char *stem, float value)
{
    const char *name = lbw_names_make(s->names, s->model, stem);
    float *data = lbw_arena_memdup(&s->model->arena, &value, sizeof value);
    Onnx__TensorProto *tensor =
        name && data ? lbw_tensor_new(s->model, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                                      NULL, 0, data, sizeof value)
                     : NULL;
    const char *const none[] = {NULL}, *const outputs[] = {name, NULL};
    Onnx__NodeProto *node =
        tensor ? lbw_build_node(s->model, "", "Constant", "", none, outputs) : NULL;
    return lbw_build_tensor(s->model, node, "value", tensor) &&
                   lbw_node_list_add(&s->list, node)
               ? name
               : NULL;
}

static bool add_activation(struct splitter *s, const struct lbw_scope *scope,
                           const struct activation *a, const Onnx__AttributeProto *params,
                           const char *input, const char *output)
{
    const char *inputs[] = {input, NULL, NULL, NULL};
    const char *const outputs[] = {output, NULL};
    bool by_input = strcmp(a->name, "Clip") == 0 && lbw_scope_opset(s->model, scope) >= 11;
    for (size_t i = 0; i < 2 && by_input; i++)
        if (!(inputs[i + 1] = bound(s, a->params[i], params->floats[i])))
            return false;
    Onnx__NodeProto *node = lbw_build_node(s->model, "", a->name, "", inputs, outputs);
    for (size_t i = 0; i < 2 && a->params[i] && !by_input; i++)
        if (!lbw_build_float(s->model, node, a->params[i], params->floats[i]))
            return false;
    return lbw_node_list_add(&s->list, node);
}

/* Whether the activation has all its parameters. */
static bool can_split(const Onnx__NodeProto *node)
{
    const Onnx__AttributeProto *name = lbw_node_attribute(node, "activation");
    const Onnx__AttributeProto *params = lbw_node_attribute(node, "activation_params");
    const struct activation *a = find(name);
    size_t wanted = a ? (a->params[0] != NULL) + (a->params[1] != NULL) : 0;
    return is_fused(node) && (!name || a) &&
           (!wanted || (params && params->n_floats >= wanted));
}

/* Turns the node into the Conv; the nodes after it produce its old output. */
static bool split(struct splitter *s, const struct lbw_scope *scope, Onnx__NodeProto *node)
{
    struct lbw_model *model = s->model;
    char *output = node->output[0];
    const struct activation *a = find(take(node, "activation"));
    const Onnx__AttributeProto *params = take(node, "activation_params");
    const char *summand = lbw_node_input(node, 3);
    size_t num_behind = (a != NULL) + (*summand != '\0');
    node->op_type = lbw_arena_strdup(&model->arena, "Conv");
    node->domain = NULL;
    node->n_input = node->n_input > 3 ? 3 : node->n_input;
    s->num++;
    if (!node->op_type || !lbw_node_list_add(&s->list, node))
        return false;
    if (!num_behind)
        return true;
    const char *at = lbw_names_make(s->names, model, output);
    node->output[0] = (char *)(uintptr_t)at;
    if (at && *summand) {
        const char *sum = a ? lbw_names_make(s->names, model, output) : output;
        const char *const inputs[] = {at, summand, NULL}, *const outputs[] = {sum, NULL};
        if (!sum ||
            !lbw_node_list_add(&s->list, lbw_build_node(model, "", "Add", "", inputs, outputs)))
            return false;
        at = sum;
    }
    return at && (!a || add_activation(s, scope, a, params, at, output));
}

static enum lbw_status split_scope(struct splitter *s, const struct lbw_scope *scope,
                                   struct lbw_error *err)
{
    size_t num, before = s->num;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num);
    s->list.num = 0;
    for (size_t i = 0; i < num; i++)
        if (!(can_split(nodes[i]) ? split(s, scope, nodes[i])
                                  : lbw_node_list_add(&s->list, nodes[i])))
            return lbw_fail_memory(err);
    if (s->num == before)
        return LBW_OK;
    return lbw_scope_set_nodes(scope, s->model, s->list.nodes, s->list.num)
               ? LBW_OK
               : lbw_fail_memory(err);
}

enum lbw_status lbw_split_fused(size_t *num, struct lbw_model *model, struct lbw_error *err)
{
    struct splitter s = {.model = model};
    LBW_TRY(lbw_index_init(&s.index, model, err));
    enum lbw_status status = lbw_names_new(&s.names, model, err);
    for (struct lbw_scope *scope = s.index.scopes; scope && status == LBW_OK;
         scope = scope->next)
        status = split_scope(&s, scope, err);
    lbw_names_free(s.names);
    lbw_index_release(&s.index);
    free(s.list.nodes);
    *num = s.num;
    return status;
}
