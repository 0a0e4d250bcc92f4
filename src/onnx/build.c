/* SPDX-License-Identifier: MIT */
/* Adding to the tree; every list that grows doubles its capacity. */
#include "onnx/build.h"

#include <stdlib.h>
#include <string.h>

#include "base/strmap.h"
#include "onnx/walk.h"

/* A list that has grown, and its capacity. */
struct lbw_grown {
    struct lbw_grown *next;
    void *array;
    size_t capacity;
};

/*
 * Appends `item` to a list of pointers. A list is recognised as grown by its array's address,
 * so replacing the array elsewhere is safe: it is then copied once more.
 */
static bool append(struct lbw_model *model, void *list, size_t *num, void *item)
{
    void **array;
    memcpy(&array, list, sizeof array);
    struct lbw_grown *grown = model->grown;
    while (grown && grown->array != (void *)array)
        grown = grown->next;
    if (!grown || *num == grown->capacity) {
        size_t capacity = *num < 4 ? 8 : 2 * *num;
        void **larger = lbw_arena_alloc(&model->arena, capacity * sizeof *larger);
        if (!grown) {
            grown = lbw_arena_calloc(&model->arena, 1, sizeof *grown);
            if (!grown)
                return false;
            grown->next = model->grown;
            model->grown = grown;
        }
        if (!larger)
            return false;
        if (*num)
            memcpy(larger, array, *num * sizeof *larger);
        grown->array = array = larger;
        grown->capacity = capacity;
        memcpy(list, &array, sizeof array);
    }
    array[(*num)++] = item;
    return true;
}

/* A NULL-terminated list of strings, copied. */
static bool copy_strings(struct lbw_model *model, char ***out, size_t *num,
                         const char *const *strings)
{
    size_t count = 0;
    while (strings[count])
        count++;
    char **copies = lbw_arena_alloc(&model->arena, count * sizeof *copies);
    if (!copies)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!(copies[i] = lbw_arena_strdup(&model->arena, strings[i])))
            return false;
    *out = copies;
    *num = count;
    return true;
}

Onnx__NodeProto *lbw_build_node(struct lbw_model *model, const char *domain,
                                const char *op_type, const char *name,
                                const char *const *inputs, const char *const *outputs)
{
    Onnx__NodeProto *node = lbw_arena_alloc(&model->arena, sizeof *node);
    if (!node)
        return NULL;
    onnx__node_proto__init(node);
    node->op_type = lbw_arena_strdup(&model->arena, op_type);
    node->name = lbw_arena_strdup(&model->arena, name);
    if (*domain)
        node->domain = lbw_arena_strdup(&model->arena, domain);
    if (!node->op_type || !node->name || (*domain && !node->domain) ||
        !copy_strings(model, &node->input, &node->n_input, inputs) ||
        !copy_strings(model, &node->output, &node->n_output, outputs))
        return NULL;
    return node;
}

/* A new attribute in the node's list, still without a value; NULL when memory is out. */
static Onnx__AttributeProto *add_attribute(struct lbw_model *model, Onnx__NodeProto *node,
                                           const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    if (!node)
        return NULL;
    Onnx__AttributeProto *attribute = lbw_arena_alloc(&model->arena, sizeof *attribute);
    if (!attribute)
        return NULL;
    onnx__attribute_proto__init(attribute);
    attribute->has_type = true;
    attribute->type = type;
    attribute->name = lbw_arena_strdup(&model->arena, name);
    size_t num = node->n_attribute; /* few */
    Onnx__AttributeProto **list = lbw_arena_alloc(&model->arena, (num + 1) * sizeof *list);
    if (!attribute->name || !list)
        return NULL;
    if (num)
        memcpy(list, node->attribute, num * sizeof *list);
    list[num] = attribute;
    node->attribute = list;
    node->n_attribute = num + 1;
    return attribute;
}

bool lbw_build_int(struct lbw_model *model, Onnx__NodeProto *node, const char *name,
                   int64_t value)
{
    Onnx__AttributeProto *attribute =
        add_attribute(model, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (!attribute)
        return false;
    attribute->has_i = true;
    attribute->i = value;
    return true;
}

bool lbw_build_ints(struct lbw_model *model, Onnx__NodeProto *node, const char *name,
                    const int64_t *values, size_t num)
{
    int64_t *copy = lbw_arena_memdup(&model->arena, values, num * sizeof *values);
    Onnx__AttributeProto *attribute = add_attribute(
        model, copy ? node : NULL, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    if (!attribute)
        return false;
    attribute->n_ints = num;
    attribute->ints = copy;
    return true;
}

bool lbw_build_float(struct lbw_model *model, Onnx__NodeProto *node, const char *name,
                     float value)
{
    Onnx__AttributeProto *attribute =
        add_attribute(model, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (!attribute)
        return false;
    attribute->has_f = true;
    attribute->f = value;
    return true;
}

bool lbw_build_string(struct lbw_model *model, Onnx__NodeProto *node, const char *name,
                      const char *value)
{
    char *copy = lbw_arena_strdup(&model->arena, value);
    Onnx__AttributeProto *attribute = add_attribute(
        model, copy ? node : NULL, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    if (!attribute)
        return false;
    attribute->has_s = true;
    attribute->s = (ProtobufCBinaryData){strlen(copy), (uint8_t *)copy};
    return true;
}

bool lbw_build_tensor(struct lbw_model *model, Onnx__NodeProto *node, const char *name,
                      Onnx__TensorProto *value)
{
    Onnx__AttributeProto *attribute = add_attribute(
        model, value ? node : NULL, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR);
    if (!attribute)
        return false;
    attribute->t = value;
    return true;
}

bool lbw_node_list_add(struct lbw_node_list *list, Onnx__NodeProto *node)
{
    if (list->num == list->capacity) {
        size_t capacity = 2 * list->capacity + 64;
        Onnx__NodeProto **grown = realloc(list->nodes, capacity * sizeof *grown);
        if (!grown)
            return false;
        list->nodes = grown;
        list->capacity = capacity;
    }
    list->nodes[list->num++] = node;
    return node != NULL;
}

bool lbw_graph_add_initializer(struct lbw_model *model, Onnx__GraphProto *graph,
                               Onnx__TensorProto *tensor)
{
    return tensor && append(model, &graph->initializer, &graph->n_initializer, tensor);
}

/* Takes item i out of a list of pointers. */
static void remove_at(void *array, size_t *num, size_t i)
{
    void **items = array;
    memmove(items + i, items + i + 1, (*num - i - 1) * sizeof *items);
    --*num;
}

void lbw_graph_remove(Onnx__GraphProto *graph, const struct lbw_strmap *gone)
{
    size_t num = 0;
    for (size_t i = 0; i < graph->n_input; i++)
        if (!graph->input[i]->name || !lbw_strmap_get(gone, graph->input[i]->name))
            graph->input[num++] = graph->input[i];
    graph->n_input = num;
    num = 0;
    for (size_t i = 0; i < graph->n_initializer; i++) {
        Onnx__TensorProto *tensor = graph->initializer[i];
        if (!tensor->name || lbw_strmap_get(gone, tensor->name) != tensor)
            graph->initializer[num++] = tensor;
    }
    graph->n_initializer = num;
}

void lbw_graph_remove_initializer(Onnx__GraphProto *graph, const Onnx__TensorProto *tensor)
{
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (graph->initializer[i] == tensor) {
            remove_at(graph->initializer, &graph->n_initializer, i);
            return;
        }
}

void lbw_graph_remove_input(Onnx__GraphProto *graph, const char *name)
{
    for (size_t i = 0; i < graph->n_input; i++) {
        if (name && graph->input[i]->name && strcmp(graph->input[i]->name, name) == 0) {
            remove_at(graph->input, &graph->n_input, i);
            return;
        }
    }
}

bool lbw_graph_set_nodes(struct lbw_model *model, Onnx__GraphProto *graph,
                         Onnx__NodeProto *const *nodes, size_t num)
{
    Onnx__NodeProto **copy = lbw_arena_memdup(&model->arena, nodes, num * sizeof *nodes);
    if (!copy)
        return false;
    graph->node = copy;
    graph->n_node = num;
    return true;
}

bool lbw_function_set_nodes(struct lbw_model *model, Onnx__FunctionProto *function,
                            Onnx__NodeProto *const *nodes, size_t num)
{
    Onnx__NodeProto **copy = lbw_arena_memdup(&model->arena, nodes, num * sizeof *nodes);
    if (!copy)
        return false;
    function->node = copy;
    function->n_node = num;
    return true;
}

bool lbw_model_add_function(struct lbw_model *model, Onnx__FunctionProto *function)
{
    return function &&
           append(model, &model->proto->functions, &model->proto->n_functions, function);
}

/* Name → the last number that was appended to it, from 1 on. */
struct lbw_names {
    struct lbw_strmap used; /* for tensors and for nodes */
    struct lbw_strmap nodes;
};

static bool use(struct lbw_strmap *map, const char *name)
{
    return !name || lbw_strmap_put(map, name, (void *)(uintptr_t)1);
}

static bool use_name(struct lbw_names *names, const char *name)
{
    return use(&names->used, name);
}

static bool use_names(struct lbw_names *names, char **list, size_t num)
{
    for (size_t i = 0; i < num; i++)
        if (!use_name(names, list[i]))
            return false;
    return true;
}

/* Every name that a message defines or reads; the walk does the rest. */
static bool collect(ProtobufCMessage *message, void *user)
{
    struct lbw_names *names = user;
    const ProtobufCMessageDescriptor *type = message->descriptor;
    if (type == &onnx__node_proto__descriptor) {
        Onnx__NodeProto *node = (Onnx__NodeProto *)message;
        return use_name(names, node->name) && use(&names->nodes, node->name) &&
               use_names(names, node->input, node->n_input) &&
               use_names(names, node->output, node->n_output);
    }
    if (type == &onnx__function_proto__descriptor) {
        Onnx__FunctionProto *function = (Onnx__FunctionProto *)message;
        return use_name(names, function->name) &&
               use_names(names, function->input, function->n_input) &&
               use_names(names, function->output, function->n_output);
    }
    if (type == &onnx__tensor_proto__descriptor)
        return use_name(names, ((Onnx__TensorProto *)message)->name);
    if (type == &onnx__value_info_proto__descriptor)
        return use_name(names, ((Onnx__ValueInfoProto *)message)->name);
    return true;
}

enum lbw_status lbw_names_new(struct lbw_names **out, const struct lbw_model *model,
                              struct lbw_error *err)
{
    struct lbw_names *names = calloc(1, sizeof *names);
    if (!names || !lbw_walk(&model->proto->base, collect, names)) {
        lbw_names_free(names);
        return lbw_fail_memory(err);
    }
    *out = names;
    return LBW_OK;
}

void lbw_names_free(struct lbw_names *names)
{
    if (names) {
        lbw_strmap_release(&names->used);
        lbw_strmap_release(&names->nodes);
    }
    free(names);
}

static const char *make_name(struct lbw_strmap *used, struct lbw_model *model, const char *stem)
{
    const char *base = lbw_arena_strdup(&model->arena, stem), *name = base;
    uintptr_t number = base ? (uintptr_t)lbw_strmap_get(used, base) : 0;
    while (name && lbw_strmap_get(used, name))
        name = lbw_arena_printf(&model->arena, "%s_%ju", base, (uintmax_t)++number);
    if (!name || !lbw_strmap_put(used, base, (void *)(number ? number : 1)))
        return NULL;
    return name == base || use(used, name) ? name : NULL;
}

const char *lbw_names_make(struct lbw_names *names, struct lbw_model *model, const char *stem)
{
    return make_name(&names->used, model, stem);
}

const char *lbw_names_make_node(struct lbw_names *names, struct lbw_model *model,
                                const char *stem)
{
    return make_name(&names->nodes, model, stem);
}
