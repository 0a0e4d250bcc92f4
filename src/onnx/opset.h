/* SPDX-License-Identifier: MIT */
/* Lifting the default domain: the state of a lift, and the tools of the rules. */
#ifndef LBW_SRC_ONNX_OPSET_H
#define LBW_SRC_ONNX_OPSET_H

#include "onnx/build.h"
#include "onnx/index.h"

#define LBW_MIN_OPSET 7  /* what can be lifted */
#define LBW_MAX_OPSET 25 /* as far as the rules go */

/* A model being lifted. One step takes every node of one scope to the next version. */
struct lbw_lift {
    struct lbw_model *model;
    struct lbw_index
        index; /* of the model before the lift: it does not contain what the lift adds */
    struct lbw_names *names;
    struct lbw_strmap made;     /* name → TensorProto of the constants added so far */
    struct lbw_strmap upsample; /* outputs of former Upsample nodes: these never shrink */
    struct lbw_scope *scope;    /* at work */
    struct lbw_node_list list;  /* the scope's new nodes */
    Onnx__NodeProto *behind;    /* a node to insert after the current one, or NULL */
    int version;                /* the target of this step */
    struct lbw_error *err;
};

/* Rewrites `node`, which its caller appends afterwards. */
typedef enum lbw_status (*lbw_lift_fn)(struct lbw_lift *lift, Onnx__NodeProto *node);

/* How an operator changes when the default domain steps to `version`. */
struct lbw_lift_rule {
    const char *op_type;
    int version;
    lbw_lift_fn fn;
};

/* Only changes that need a rewrite; all others widen types or add defaults. */
extern const struct lbw_lift_rule lbw_lift_rules[];
extern const size_t lbw_num_lift_rules;

/*
 * Whether a node of the default domain means the same at a later version without a change.
 * False if unknown: for an earlier version, or one beyond the rules.
 */
bool lbw_lift_keeps(const Onnx__NodeProto *node, int64_t from, int64_t to);

/* LBW_ERR_UNSUPPORTED, naming the node. */
enum lbw_status lbw_lift_refuse(struct lbw_lift *lift, const Onnx__NodeProto *node,
                                const char *why);

/* Appends a node before the current one; for NULL, reports a failed allocation. */
enum lbw_status lbw_lift_emit(struct lbw_lift *lift, Onnx__NodeProto *node);

/* Appends a Constant node; *name receives its output. `data` (little-endian) is copied. */
enum lbw_status lbw_lift_constant(const char **name, struct lbw_lift *lift, const char *stem,
                                  int32_t data_type, const int64_t *dims, size_t num_dims,
                                  const void *data, size_t size);

/* Removes an attribute from the node and returns it; NULL if there is none of that name. */
Onnx__AttributeProto *lbw_lift_take(Onnx__NodeProto *node, const char *name);

/* Gives the node `num` inputs: NULL keeps the one it has; missing ones become "". */
enum lbw_status lbw_lift_set_inputs(struct lbw_lift *lift, Onnx__NodeProto *node,
                                    const char *const *inputs, size_t num);

/* Removes unused outputs from the end of the node; the first one stays. */
void lbw_lift_drop_unused(const struct lbw_lift *lift, Onnx__NodeProto *node);

/* The constant of a name in the current scope, or NULL. */
const Onnx__TensorProto *lbw_lift_tensor(const struct lbw_lift *lift, const char *name);

/* The element type of a name in the current scope; 0 if unknown. */
int32_t lbw_lift_type(const struct lbw_lift *lift, const char *name);

/* The number of dimensions of a name in the current scope; -1 if unknown. */
int lbw_lift_rank(const struct lbw_lift *lift, const char *name);

#endif
