/* SPDX-License-Identifier: MIT */
/* Builds the index in one walk; all names of a scope are known before its nodes are. */
#include "onnx/index.h"

#include <string.h>

#include "onnx/build.h"
#include "onnx/import.h"

/* A value, and the end of its list of uses, hidden from readers. */
struct entry {
    struct lbw_value value;
    struct lbw_use *last_use;
};

struct builder {
    struct lbw_index *index;
    struct lbw_scope *last_scope;
    size_t num_functions;
    struct lbw_arena *arena;
    struct lbw_error *err;
};

static bool has_name(const char *name)
{
    return name && *name;
}

Onnx__NodeProto **lbw_scope_nodes(const struct lbw_scope *scope, size_t *num)
{
    *num = scope->graph ? scope->graph->n_node : scope->function->n_node;
    return scope->graph ? scope->graph->node : scope->function->node;
}

bool lbw_scope_set_nodes(const struct lbw_scope *scope, struct lbw_model *model,
                         Onnx__NodeProto *const *nodes, size_t num)
{
    return scope->graph ? lbw_graph_set_nodes(model, scope->graph, nodes, num)
                        : lbw_function_set_nodes(model, scope->function, nodes, num);
}

struct lbw_value *lbw_index_find(const struct lbw_scope *scope, const char *name)
{
    for (; has_name(name) && scope; scope = scope->parent) {
        struct lbw_value *value = lbw_strmap_get(&scope->values, name);
        if (value)
            return value;
    }
    return NULL;
}

/* The value of that name in this scope, added if missing; NULL when out of memory. */
static struct lbw_value *intern(struct builder *b, struct lbw_scope *scope, const char *name)
{
    struct lbw_value *value = lbw_strmap_get(&scope->values, name);
    if (value)
        return value;
    struct entry *entry = lbw_arena_calloc(b->arena, 1, sizeof *entry);
    if (!entry || !lbw_strmap_put(&scope->values, name, &entry->value))
        return NULL;
    entry->value.name = name;
    entry->value.scope = scope;
    return &entry->value;
}

static const char *node_name(const Onnx__NodeProto *node)
{
    return has_name(node->name) ? node->name : node->op_type ? node->op_type : "";
}

static enum lbw_status define_initializer(struct builder *b, struct lbw_scope *scope,
                                          const char *name, Onnx__TensorProto *tensor)
{
    if (!has_name(name))
        return LBW_OK;
    if (tensor && lbw_strmap_get(&scope->values, name) &&
        ((struct lbw_value *)lbw_strmap_get(&scope->values, name))->initializer)
        return lbw_fail(b->err, LBW_ERR_FORMAT, "two initializers are called '%s'", name);
    struct lbw_value *value = intern(b, scope, name);
    if (!value)
        return lbw_fail_memory(b->err);
    value->initializer = tensor;
    return LBW_OK;
}

static enum lbw_status define_input(struct builder *b, struct lbw_scope *scope,
                                    const char *name)
{
    if (!has_name(name))
        return LBW_OK;
    struct lbw_value *value = intern(b, scope, name);
    if (!value)
        return lbw_fail_memory(b->err);
    if (value->is_input)
        return lbw_fail(b->err, LBW_ERR_FORMAT, "two inputs are called '%s'", name);
    value->is_input = true;
    return LBW_OK;
}

static enum lbw_status define_outputs(struct builder *b, struct lbw_scope *scope,
                                      Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_output; i++) {
        const char *name = node->output[i];
        if (!has_name(name))
            continue;
        struct lbw_value *known = lbw_strmap_get(&scope->values, name);
        if (known)
            return lbw_fail(b->err, LBW_ERR_FORMAT, "node '%s': its output '%s' is made twice",
                            node_name(node), name);
        struct lbw_value *value = intern(b, scope, name);
        if (!value)
            return lbw_fail_memory(b->err);
        value->producer = node;
        value->producer_output = i;
    }
    return LBW_OK;
}

/* Every name that the scope itself defines. */
static enum lbw_status define_names(struct builder *b, struct lbw_scope *scope)
{
    Onnx__GraphProto *graph = scope->graph;
    for (size_t i = 0; graph && i < graph->n_initializer; i++)
        LBW_TRY(
            define_initializer(b, scope, graph->initializer[i]->name, graph->initializer[i]));
    for (size_t i = 0; graph && i < graph->n_sparse_initializer; i++)
        if (graph->sparse_initializer[i]->values)
            LBW_TRY(
                define_initializer(b, scope, graph->sparse_initializer[i]->values->name, NULL));
    for (size_t i = 0; graph && i < graph->n_input; i++)
        LBW_TRY(define_input(b, scope, graph->input[i]->name));
    for (size_t i = 0; !graph && i < scope->function->n_input; i++)
        LBW_TRY(define_input(b, scope, scope->function->input[i]));
    size_t num_nodes;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num_nodes);
    for (size_t i = 0; i < num_nodes; i++)
        LBW_TRY(define_outputs(b, scope, nodes[i]));
    return LBW_OK;
}

static enum lbw_status add_use(struct builder *b, struct lbw_scope *scope,
                               Onnx__NodeProto *node, size_t input)
{
    const char *name = node->input[input];
    if (!has_name(name))
        return LBW_OK;
    struct lbw_value *value = lbw_index_find(scope, name);
    if (!value)
        value = intern(b, scope, name); /* undefined: not for the index to judge */
    struct lbw_use *use = lbw_arena_calloc(b->arena, 1, sizeof *use);
    if (!value || !use)
        return lbw_fail_memory(b->err);
    *use = (struct lbw_use){NULL, scope, node, input};
    struct entry *entry = (struct entry *)value;
    if (entry->last_use)
        entry->last_use->next = use;
    else
        value->uses = use;
    entry->last_use = use;
    return LBW_OK;
}

static enum lbw_status mark_output(struct builder *b, struct lbw_scope *scope, const char *name)
{
    if (!has_name(name))
        return LBW_OK;
    struct lbw_value *value = lbw_index_find(scope, name);
    if (!value)
        value = intern(b, scope, name);
    if (!value)
        return lbw_fail_memory(b->err);
    value->is_output = true;
    return LBW_OK;
}

static enum lbw_status add_scope(struct builder *b, const struct lbw_scope *what);

static enum lbw_status visit_node(struct builder *b, struct lbw_scope *scope,
                                  Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_input; i++)
        LBW_TRY(add_use(b, scope, node, i));
    for (size_t i = 0; i < node->n_attribute; i++) {
        Onnx__AttributeProto *attribute = node->attribute[i];
        struct lbw_scope body = {.parent = scope, .owner = node, .graph = attribute->g};
        if (body.graph)
            LBW_TRY(add_scope(b, &body));
        for (size_t k = 0; k < attribute->n_graphs; k++) {
            body.graph = attribute->graphs[k];
            LBW_TRY(add_scope(b, &body));
        }
    }
    return LBW_OK;
}

static const char *text(const char *s)
{
    return s ? s : "";
}

struct lbw_scope *lbw_index_function(const struct lbw_index *index, const Onnx__NodeProto *node)
{
    struct lbw_scope *scope = lbw_strmap_get(&index->functions, text(node->op_type));
    while (scope && (strcmp(text(scope->function->domain), text(node->domain)) != 0 ||
                     strcmp(text(scope->function->overload), text(node->overload)) != 0))
        scope = scope->same_name;
    return scope;
}

static bool register_function(struct builder *b, struct lbw_scope *scope)
{
    struct lbw_strmap *functions = &b->index->functions;
    const char *name = text(scope->function->name);
    scope->position = b->num_functions++;
    scope->same_name = lbw_strmap_get(functions, name);
    return lbw_strmap_put(functions, name, scope);
}

/* Appends a copy of `what` to the list of scopes and fills it, bodies included. */
static enum lbw_status add_scope(struct builder *b, const struct lbw_scope *what)
{
    struct lbw_scope *scope = lbw_arena_memdup(b->arena, what, sizeof *what);
    if (!scope)
        return lbw_fail_memory(b->err);
    if (b->last_scope)
        b->last_scope->next = scope;
    else
        b->index->scopes = scope;
    b->last_scope = scope;
    if (scope->function && !register_function(b, scope))
        return lbw_fail_memory(b->err);
    LBW_TRY(define_names(b, scope));
    size_t num_nodes;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num_nodes);
    for (size_t i = 0; i < num_nodes; i++)
        LBW_TRY(visit_node(b, scope, nodes[i]));
    for (size_t i = 0; scope->graph && i < scope->graph->n_output; i++)
        LBW_TRY(mark_output(b, scope, scope->graph->output[i]->name));
    for (size_t i = 0; scope->function && i < scope->function->n_output; i++)
        LBW_TRY(mark_output(b, scope, scope->function->output[i]));
    return LBW_OK;
}

static enum lbw_status build(struct builder *b, Onnx__ModelProto *proto)
{
    LBW_TRY(add_scope(b, &(struct lbw_scope){.graph = proto->graph}));
    for (size_t i = 0; i < proto->n_functions; i++) {
        Onnx__FunctionProto *function = proto->functions[i];
        enum lbw_status status = add_scope(b, &(struct lbw_scope){.function = function});
        if (status != LBW_OK)
            return lbw_within(b->err, status, "function '%s'",
                              function->name ? function->name : "");
    }
    return LBW_OK;
}

enum lbw_status lbw_index_init(struct lbw_index *out, struct lbw_model *model,
                               struct lbw_error *err)
{
    struct lbw_index index = {.model = model};
    struct builder builder = {&index, NULL, 0, &model->arena, err};
    enum lbw_status status = build(&builder, model->proto);
    if (status != LBW_OK) {
        lbw_index_release(&index);
        return lbw_within(err, status, "%s", model->name);
    }
    *out = index;
    return LBW_OK;
}

void lbw_index_release(struct lbw_index *index)
{
    for (struct lbw_scope *scope = index->scopes; scope; scope = scope->next)
        lbw_strmap_release(&scope->values);
    lbw_strmap_release(&index->functions);
    *index = (struct lbw_index){0};
}

Onnx__TensorProto *lbw_index_constant(const struct lbw_index *index,
                                      const struct lbw_value *value, bool allow_inputs)
{
    if (value->initializer) {
        bool may_be_input = allow_inputs || index->model->proto->ir_version < 4;
        return value->is_input && !may_be_input ? NULL : value->initializer;
    }
    if (!value->producer || !lbw_node_is(value->producer, "Constant"))
        return NULL;
    const Onnx__AttributeProto *attribute = lbw_node_attribute(value->producer, "value");
    return attribute ? attribute->t : NULL;
}

Onnx__OperatorSetIdProto *lbw_scope_import(const struct lbw_model *model,
                                           const struct lbw_scope *scope)
{
    while (scope->parent)
        scope = scope->parent;
    const Onnx__FunctionProto *f = scope->function;
    Onnx__OperatorSetIdProto **list = f ? f->opset_import : model->proto->opset_import;
    size_t num = f ? f->n_opset_import : model->proto->n_opset_import;
    for (size_t i = 0; i < num; i++)
        if (lbw_domain_is_standard(list[i]->domain))
            return list[i];
    return NULL;
}

int64_t lbw_scope_opset(const struct lbw_model *model, const struct lbw_scope *scope)
{
    const Onnx__OperatorSetIdProto *import = lbw_scope_import(model, scope);
    return import ? import->version : 0;
}

Onnx__AttributeProto *lbw_node_attribute(const Onnx__NodeProto *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (node->attribute[i]->name && strcmp(node->attribute[i]->name, name) == 0)
            return node->attribute[i];
    return NULL;
}

int64_t lbw_node_int(const Onnx__NodeProto *node, const char *name, int64_t otherwise)
{
    const Onnx__AttributeProto *attribute = lbw_node_attribute(node, name);
    return attribute && attribute->has_i ? attribute->i : otherwise;
}

bool lbw_node_says(const Onnx__NodeProto *node, const char *name, const char *value,
                   bool otherwise)
{
    const Onnx__AttributeProto *a = lbw_node_attribute(node, name);
    return a ? a->s.len == strlen(value) && memcmp(a->s.data, value, a->s.len) == 0 : otherwise;
}

float lbw_node_float(const Onnx__NodeProto *node, const char *name, float otherwise)
{
    const Onnx__AttributeProto *attribute = lbw_node_attribute(node, name);
    return attribute && attribute->has_f ? attribute->f : otherwise;
}

bool lbw_node_has_reference(const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (has_name(node->attribute[i]->ref_attr_name))
            return true;
    return false;
}

const char *lbw_node_input(const Onnx__NodeProto *node, size_t i)
{
    return i < node->n_input && node->input[i] ? node->input[i] : "";
}

bool lbw_node_is(const Onnx__NodeProto *node, const char *op_type)
{
    return lbw_domain_is_standard(node->domain) && node->op_type &&
           strcmp(node->op_type, op_type) == 0;
}
