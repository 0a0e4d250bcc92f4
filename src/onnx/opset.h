/* SPDX-License-Identifier: MIT */
/* Lifting the default domain: what a rule gets to see, and the tools it rewrites nodes with. */
#ifndef LBW_SRC_ONNX_OPSET_H
#define LBW_SRC_ONNX_OPSET_H

#include "onnx/build.h"
#include "onnx/index.h"

#define LBW_MIN_OPSET 7  /* what can be lifted */
#define LBW_MAX_OPSET 25 /* as far as the rules go */

/* A model on its way up. One step takes every node of one scope to the next version. */
struct lbw_lift {
    struct lbw_model *model;
    struct lbw_index index; /* of the model before the lift: what the lift adds is not in it */
    struct lbw_names *names;
    struct lbw_strmap made;     /* name → TensorProto of the constants that were added */
    struct lbw_strmap upsample; /* outputs of nodes that were Upsample: they never shrink */
    struct lbw_scope *scope;    /* at work */
    struct lbw_node_list list;  /* the scope's new one */
    Onnx__NodeProto *behind;    /* a node to be put behind the one at work, or NULL */
    int version;                /* being stepped to */
    struct lbw_error *err;
};

/* Rewrites `node`, which its caller appends afterwards. */
typedef enum lbw_status (*lbw_lift_fn)(struct lbw_lift *lift, Onnx__NodeProto *node);

/* What becomes of an operator when the default domain steps to `version`. */
struct lbw_lift_rule {
    const char *op_type;
    int version;
    lbw_lift_fn fn;
};

/* Only changes that need something done; all others widen types or add defaults. */
extern const struct lbw_lift_rule lbw_lift_rules[];
extern const size_t lbw_num_lift_rules;

/*
 * Whether a node of the default domain means the same at a later version without a change. Of
 * an earlier one, or beyond the rules, nothing is known: false.
 */
bool lbw_lift_keeps(const Onnx__NodeProto *node, int64_t from, int64_t to);

/* LBW_ERR_UNSUPPORTED, naming the node. */
enum lbw_status lbw_lift_refuse(struct lbw_lift *lift, const Onnx__NodeProto *node,
                                const char *why);

/* Appends a node in front of the one at work; NULL is a failed allocation, and told so. */
enum lbw_status lbw_lift_emit(struct lbw_lift *lift, Onnx__NodeProto *node);

/* Appends a Constant node; *name receives its output. `data` (little-endian) is copied. */
enum lbw_status lbw_lift_constant(const char **name, struct lbw_lift *lift, const char *stem,
                                  int32_t data_type, const int64_t *dims, size_t num_dims,
                                  const void *data, size_t size);

/* Takes an attribute off the node; NULL when it has none of that name. */
Onnx__AttributeProto *lbw_lift_take(Onnx__NodeProto *node, const char *name);

/* Gives the node `num` inputs, NULL standing for those it has; missing ones become "". */
enum lbw_status lbw_lift_set_inputs(struct lbw_lift *lift, Onnx__NodeProto *node,
                                    const char *const *inputs, size_t num);

/* Takes outputs that nobody reads off the end of the node; the first one stays. */
void lbw_lift_drop_unused(const struct lbw_lift *lift, Onnx__NodeProto *node);

/* The tensor behind a name in the scope at work, or NULL. */
const Onnx__TensorProto *lbw_lift_tensor(const struct lbw_lift *lift, const char *name);

/* The element type of a name in the scope at work, 0 when it cannot be told. */
int32_t lbw_lift_type(const struct lbw_lift *lift, const char *name);

/* The number of dimensions of a name in the scope at work, -1 when it cannot be told. */
int lbw_lift_rank(const struct lbw_lift *lift, const char *name);

#endif
