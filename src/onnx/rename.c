/* SPDX-License-Identifier: MIT */
/* Copies nodes through the wire format, and renames by a walk over all messages. */
#include "onnx/rename.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/walk.h"

static void *copy_alloc(void *user, size_t size)
{
    return lbw_arena_alloc(user, size);
}

static void copy_free(void *user, void *pointer)
{
    (void)user;
    (void)pointer;
}

static ProtobufCMessage *copy(struct lbw_model *model, const ProtobufCMessage *message)
{
    ProtobufCAllocator allocator = {copy_alloc, copy_free, &model->arena};
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(size + 1);
    ProtobufCMessage *made = NULL;
    if (bytes) {
        protobuf_c_message_pack(message, bytes);
        made = protobuf_c_message_unpack(message->descriptor, &allocator, size, bytes);
    }
    free(bytes);
    return made;
}

Onnx__NodeProto *lbw_node_copy(struct lbw_model *model, const Onnx__NodeProto *node)
{
    return (Onnx__NodeProto *)copy(model, &node->base);
}

Onnx__AttributeProto *lbw_attribute_copy(struct lbw_model *model,
                                         const Onnx__AttributeProto *attribute)
{
    return (Onnx__AttributeProto *)copy(model, &attribute->base);
}

struct collector {
    struct lbw_strmap *map;
    struct lbw_model *model;
    struct lbw_names *names;
    const char *prefix;
};

static bool define(struct collector *c, const char *name)
{
    if (!name || !*name || lbw_strmap_get(c->map, name))
        return true;
    char *stem = lbw_arena_printf(&c->model->arena, "%s%s", c->prefix, name);
    const char *made = stem ? lbw_names_make(c->names, c->model, stem) : NULL;
    return made && lbw_strmap_put(c->map, name, (void *)made);
}

static bool collect_message(ProtobufCMessage *message, void *user)
{
    struct collector *c = user;
    bool ok = true;
    if (message->descriptor == &onnx__node_proto__descriptor) {
        const Onnx__NodeProto *node = (const Onnx__NodeProto *)message;
        for (size_t i = 0; i < node->n_output && ok; i++)
            ok = define(c, node->output[i]);
    } else if (message->descriptor == &onnx__graph_proto__descriptor) {
        const Onnx__GraphProto *graph = (const Onnx__GraphProto *)message;
        for (size_t i = 0; i < graph->n_input && ok; i++)
            ok = define(c, graph->input[i]->name);
        for (size_t i = 0; i < graph->n_initializer && ok; i++)
            ok = define(c, graph->initializer[i]->name);
        for (size_t i = 0; i < graph->n_sparse_initializer && ok; i++)
            ok = !graph->sparse_initializer[i]->values ||
                 define(c, graph->sparse_initializer[i]->values->name);
    }
    return ok;
}

bool lbw_rename_collect(struct lbw_strmap *map, struct lbw_model *model,
                        struct lbw_names *names, const char *prefix,
                        Onnx__NodeProto *const *nodes, size_t num)
{
    struct collector c = {map, model, names, prefix};
    for (size_t i = 0; i < num; i++)
        if (!lbw_walk(&nodes[i]->base, collect_message, &c))
            return false;
    return true;
}

static void rename_one(const struct lbw_strmap *map, char **name)
{
    char *other = *name && **name ? lbw_strmap_get(map, *name) : NULL;
    if (other)
        *name = other;
}

static bool rename_message(ProtobufCMessage *message, void *user)
{
    const struct lbw_strmap *map = user;
    if (message->descriptor == &onnx__node_proto__descriptor) {
        Onnx__NodeProto *node = (Onnx__NodeProto *)message;
        for (size_t i = 0; i < node->n_input; i++)
            rename_one(map, &node->input[i]);
        for (size_t i = 0; i < node->n_output; i++)
            rename_one(map, &node->output[i]);
    } else if (message->descriptor == &onnx__value_info_proto__descriptor) {
        rename_one(map, &((Onnx__ValueInfoProto *)message)->name);
    } else if (message->descriptor == &onnx__graph_proto__descriptor) {
        Onnx__GraphProto *graph = (Onnx__GraphProto *)message;
        for (size_t i = 0; i < graph->n_initializer; i++)
            rename_one(map, &graph->initializer[i]->name);
        for (size_t i = 0; i < graph->n_sparse_initializer; i++)
            if (graph->sparse_initializer[i]->values)
                rename_one(map, &graph->sparse_initializer[i]->values->name);
    }
    return true;
}

void lbw_rename_node(const struct lbw_strmap *map, Onnx__NodeProto *node)
{
    lbw_walk(&node->base, rename_message, (void *)map);
}
