/* SPDX-License-Identifier: MIT */
/* Walks the tree by protobuf-c's descriptors, which locate the messages inside a message. */
#include "onnx/walk.h"

static bool walk_field(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                       lbw_walk_fn fn, void *user)
{
    char *base = (char *)message;
    void *member = base + field->offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t num = *(size_t *)(void *)(base + field->quantifier_offset);
        ProtobufCMessage **messages = *(ProtobufCMessage ***)member;
        for (size_t i = 0; i < num; i++)
            if (!lbw_walk(messages[i], fn, user))
                return false;
        return true;
    }
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
        *(uint32_t *)(void *)(base + field->quantifier_offset) != field->id)
        return true;
    ProtobufCMessage *child = *(ProtobufCMessage **)member;
    return !child || lbw_walk(child, fn, user);
}

bool lbw_walk(ProtobufCMessage *message, lbw_walk_fn fn, void *user)
{
    if (!fn(message, user))
        return false;
    const ProtobufCMessageDescriptor *type = message->descriptor;
    for (unsigned i = 0; i < type->n_fields; i++)
        if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE &&
            !walk_field(message, &type->fields[i], fn, user))
            return false;
    return true;
}

Onnx__TensorProto *lbw_walk_tensor(ProtobufCMessage *message)
{
    if (message->descriptor != &onnx__tensor_proto__descriptor)
        return NULL;
    return (Onnx__TensorProto *)message;
}
