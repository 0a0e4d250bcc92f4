/* SPDX-License-Identifier: MIT */
/* One walk over the main graph and its bodies, resolving names where they are read. */
#include "calib/flow.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/walk.h"

/*
 * The names that a body defines; a name defined in none of the enclosing bodies is a capture.
 */
struct body {
    const struct body *around; /* NULL directly inside the main graph */
    struct lbw_strmap names;
};

struct walk {
    struct lbw_flow *flow;
    const struct lbw_model *model;
    struct lbw_flow_value **reads; /* of the current node */
    size_t num_reads;
    size_t position;
    bool calls;
    bool is_random;            /* the current node, or one in its bodies or functions */
    bool has_random_functions; /* any function of the model, as one of them may call it */
};

static const char *text(const char *s)
{
    return s ? s : "";
}

struct lbw_flow_value *lbw_flow_find(const struct lbw_flow *flow, const char *name)
{
    return lbw_strmap_get(&flow->names, name);
}

/* NULL when memory is out. */
static struct lbw_flow_value *add_value(struct lbw_flow *flow, const char *name,
                                        enum lbw_flow_kind kind, size_t producer)
{
    struct lbw_flow_value *value = lbw_strmap_get(&flow->names, name);
    if (value)
        return value;
    value = lbw_arena_calloc(&flow->arena, 1, sizeof *value);
    if (!value || !lbw_strmap_put(&flow->names, name, value))
        return NULL;
    value->name = name;
    value->kind = kind;
    value->producer = producer;
    value->id = flow->num_values;
    flow->values[flow->num_values++] = value;
    return value;
}

static void read_name(struct walk *walk, const struct body *body, const char *name)
{
    if (!*text(name))
        return;
    for (; body; body = body->around)
        if (lbw_strmap_get(&body->names, name))
            return;
    struct lbw_flow_value *value = lbw_strmap_get(&walk->flow->names, name);
    if (!value || value->mark == walk->position + 1)
        return;
    value->mark = walk->position + 1;
    value->end = walk->position + 1;
    walk->reads[walk->num_reads++] = value;
}

static bool define(struct body *body, const char *name)
{
    return !*text(name) || lbw_strmap_put(&body->names, name, body);
}

static bool define_names(struct body *body, const Onnx__GraphProto *graph)
{
    bool ok = true;
    for (size_t i = 0; i < graph->n_input && ok; i++)
        ok = define(body, graph->input[i]->name);
    for (size_t i = 0; i < graph->n_initializer && ok; i++)
        ok = define(body, graph->initializer[i]->name);
    for (size_t i = 0; i < graph->n_node && ok; i++)
        for (size_t k = 0; k < graph->node[i]->n_output && ok; k++)
            ok = define(body, graph->node[i]->output[k]);
    return ok;
}

static bool read_node(struct walk *walk, const struct body *around,
                      const Onnx__NodeProto *node);

static bool read_body(struct walk *walk, const struct body *around,
                      const Onnx__GraphProto *graph)
{
    struct body body = {.around = around};
    bool ok = define_names(&body, graph);
    for (size_t i = 0; i < graph->n_node && ok; i++)
        ok = read_node(walk, &body, graph->node[i]);
    for (size_t i = 0; i < graph->n_output && ok; i++)
        read_name(walk, &body, graph->output[i]->name);
    lbw_strmap_release(&body.names);
    return ok;
}

static bool is_function(const struct lbw_model *model, const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < model->proto->n_functions; i++) {
        const Onnx__FunctionProto *function = model->proto->functions[i];
        if (strcmp(text(function->name), text(node->op_type)) == 0 &&
            strcmp(text(function->domain), text(node->domain)) == 0)
            return true;
    }
    return false;
}

/* Two runs of these differ, so they must not run once per stage. */
static bool is_random(const Onnx__NodeProto *node)
{
    const char *op_type = text(node->op_type);
    return strncmp(op_type, "Random", 6) == 0 || strcmp(op_type, "Multinomial") == 0 ||
           strcmp(op_type, "Bernoulli") == 0;
}

static bool is_sure(ProtobufCMessage *message, void *user)
{
    (void)user;
    return message->descriptor != &onnx__node_proto__descriptor ||
           !is_random((const Onnx__NodeProto *)message);
}

static bool has_random_functions(const struct lbw_model *model)
{
    for (size_t i = 0; i < model->proto->n_functions; i++)
        if (!lbw_walk(&model->proto->functions[i]->base, is_sure, NULL))
            return true;
    return false;
}

/* False when memory is out. Nesting is bounded by the loader. */
static bool read_node(struct walk *walk, const struct body *around, const Onnx__NodeProto *node)
{
    bool ok = true;
    bool is_call = is_function(walk->model, node);
    walk->calls = walk->calls || is_call;
    walk->is_random =
        walk->is_random || is_random(node) || (is_call && walk->has_random_functions);
    for (size_t i = 0; i < node->n_input; i++)
        read_name(walk, around, node->input[i]);
    for (size_t i = 0; i < node->n_attribute && ok; i++) {
        const Onnx__AttributeProto *attribute = node->attribute[i];
        if (attribute->g)
            ok = read_body(walk, around, attribute->g);
        for (size_t k = 0; k < attribute->n_graphs && ok; k++)
            ok = read_body(walk, around, attribute->graphs[k]);
    }
    return ok;
}

static const Onnx__TensorProto *constant_of(const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (node->attribute[i]->t && strcmp(text(node->attribute[i]->name), "value") == 0)
            return node->attribute[i]->t;
    return NULL;
}

static enum lbw_flow_kind kind_of(const struct walk *walk, const Onnx__NodeProto *node,
                                  bool is_constant)
{
    if (is_constant)
        return constant_of(node) ? LBW_FLOW_CONSTANT : LBW_FLOW_DERIVED;
    if (walk->num_reads == 0 || walk->is_random)
        return LBW_FLOW_COMPUTED;
    for (size_t i = 0; i < walk->num_reads; i++)
        if (walk->reads[i]->kind == LBW_FLOW_INPUT || walk->reads[i]->kind == LBW_FLOW_COMPUTED)
            return LBW_FLOW_COMPUTED;
    return LBW_FLOW_DERIVED;
}

static bool add_node(struct walk *walk, size_t position)
{
    struct lbw_flow *flow = walk->flow;
    const Onnx__NodeProto *node = walk->model->proto->graph->node[position];
    struct lbw_flow_node *out = &flow->nodes[position];
    bool is_constant = strcmp(text(node->op_type), "Constant") == 0 &&
                       (!*text(node->domain) || strcmp(node->domain, "ai.onnx") == 0);
    walk->num_reads = 0;
    walk->position = position;
    walk->calls = false;
    walk->is_random = false;
    if (!read_node(walk, NULL, node))
        return false;
    out->calls = walk->calls;
    out->num_reads = walk->num_reads;
    out->reads =
        lbw_arena_memdup(&flow->arena, walk->reads, walk->num_reads * sizeof *walk->reads);
    out->writes = lbw_arena_calloc(&flow->arena, node->n_output, sizeof *out->writes);
    if (!out->reads || !out->writes)
        return false;
    enum lbw_flow_kind kind = kind_of(walk, node, is_constant);
    for (size_t i = 0; i < node->n_output; i++) {
        if (!*text(node->output[i]))
            continue;
        struct lbw_flow_value *value = add_value(flow, node->output[i], kind, position);
        if (!value)
            return false;
        if (kind == LBW_FLOW_CONSTANT)
            value->tensor = constant_of(node);
        out->writes[out->num_writes++] = value;
    }
    return true;
}

static bool build(struct walk *walk)
{
    struct lbw_flow *flow = walk->flow;
    const Onnx__GraphProto *graph = walk->model->proto->graph;
    for (size_t i = 0; i < graph->n_initializer; i++) {
        const Onnx__TensorProto *tensor = graph->initializer[i];
        struct lbw_flow_value *value =
            add_value(flow, text(tensor->name), LBW_FLOW_CONSTANT, LBW_FLOW_NOWHERE);
        if (!value)
            return false;
        value->tensor = tensor;
    }
    for (size_t i = 0; i < graph->n_input; i++)
        if (!add_value(flow, text(graph->input[i]->name), LBW_FLOW_INPUT, LBW_FLOW_NOWHERE))
            return false;
    for (size_t i = 0; i < graph->n_node; i++)
        if (!add_node(walk, i))
            return false;
    for (size_t i = 0; i < graph->n_output; i++) {
        struct lbw_flow_value *value =
            lbw_strmap_get(&flow->names, text(graph->output[i]->name));
        if (value)
            value->is_output = true;
    }
    return true;
}

enum lbw_status lbw_flow_init(struct lbw_flow *out, const struct lbw_model *model,
                              struct lbw_error *err)
{
    struct lbw_flow flow = {0};
    const Onnx__GraphProto *graph = model->proto->graph;
    size_t max_values = graph->n_initializer + graph->n_input;
    for (size_t i = 0; i < graph->n_node; i++)
        max_values += graph->node[i]->n_output;
    struct walk walk = {
        .flow = &flow, .model = model, .has_random_functions = has_random_functions(model)};
    flow.num_nodes = graph->n_node;
    flow.nodes = lbw_arena_calloc(&flow.arena, graph->n_node, sizeof *flow.nodes);
    flow.values = lbw_arena_calloc(&flow.arena, max_values, sizeof(struct lbw_flow_value *));
    walk.reads = lbw_arena_calloc(&flow.arena, max_values, sizeof(struct lbw_flow_value *));
    if (!flow.nodes || !flow.values || !walk.reads || !build(&walk)) {
        lbw_flow_release(&flow);
        return lbw_fail_memory(err);
    }
    *out = flow;
    return LBW_OK;
}

void lbw_flow_release(struct lbw_flow *flow)
{
    lbw_strmap_release(&flow->names);
    lbw_arena_release(&flow->arena);
}
