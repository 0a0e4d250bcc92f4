/* SPDX-License-Identifier: MIT */
/* A walk over every message of a protobuf tree, whatever its type. */
#ifndef LBW_SRC_ONNX_WALK_H
#define LBW_SRC_ONNX_WALK_H

#include <stdbool.h>

#include "onnx.pb-c.h"

/* False stops the walk. `message` may be edited, lists in it may be replaced. */
typedef bool (*lbw_walk_fn)(ProtobufCMessage *message, void *user);

/*
 * Calls fn for `message`, then for the messages below it: parents first, fields in the order of
 * their numbers. Recurses as deep as the tree (LBW_MAX_NESTING for one that was read). False
 * when fn stopped it.
 */
bool lbw_walk(ProtobufCMessage *message, lbw_walk_fn fn, void *user);

/* `message` as a TensorProto, or NULL if it is something else. */
Onnx__TensorProto *lbw_walk_tensor(ProtobufCMessage *message);

#endif
