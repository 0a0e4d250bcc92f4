/* SPDX-License-Identifier: MIT */
/*
 * Which node makes and which nodes read each name, per scope. ONNX names live in scopes: the
 * main graph, each body of an If, Loop or Scan (which also sees the names around it), and each
 * model-local function (which sees nothing outside itself).
 */
#ifndef LBW_SRC_ONNX_INDEX_H
#define LBW_SRC_ONNX_INDEX_H

#include "base/strmap.h"
#include "onnx/model.h"

struct lbw_value;

/* A list of nodes with names of its own. Exactly one of graph and function is set. */
struct lbw_scope {
    struct lbw_scope *next; /* all scopes of the model, main graph first */
    struct lbw_scope
        *parent;            /* the graph around a body; NULL for the main graph and functions */
    Onnx__NodeProto *owner; /* the If, Loop or Scan this body belongs to, else NULL */
    Onnx__GraphProto *graph;
    Onnx__FunctionProto *function;
    size_t position;             /* of a function, in the model's list */
    struct lbw_scope *same_name; /* the next function of this name, in another domain */
    struct lbw_strmap values;    /* name → struct lbw_value */
};

/* One place where a name is read. */
struct lbw_use {
    struct lbw_use *next; /* in node order, bodies where their node stands */
    struct lbw_scope
        *scope; /* of the reading node; inside the value's own scope for captures */
    Onnx__NodeProto *node;
    size_t input; /* node->input[input] */
};

/* One name in one scope. */
struct lbw_value {
    const char *name;
    struct lbw_scope *scope;
    Onnx__TensorProto *initializer; /* of this name in the scope's graph, else NULL */
    Onnx__NodeProto *producer;      /* else the node with this output, else NULL */
    size_t producer_output;
    bool is_input;  /* listed as an input of the graph or function */
    bool is_output; /* listed as an output of the graph or function */
    struct lbw_use *uses;
};

struct lbw_index {
    struct lbw_model *model;
    struct lbw_scope *scopes;    /* main graph first */
    struct lbw_strmap functions; /* name → struct lbw_scope */
};

/*
 * Lives in the model's arena except for the maps. After any edit of the model it is stale:
 * release it and build another. LBW_ERR_FORMAT when two nodes of a scope produce the same name.
 */
enum lbw_status lbw_index_init(struct lbw_index *out, struct lbw_model *model,
                               struct lbw_error *err);
void lbw_index_release(struct lbw_index *index);

/* The scope of the function that a node calls, or NULL. */
struct lbw_scope *lbw_index_function(const struct lbw_index *index,
                                     const Onnx__NodeProto *node);

/* Looks a name up in the scope and, for bodies, in the graphs around it. NULL when unknown. */
struct lbw_value *lbw_index_find(const struct lbw_scope *scope, const char *name);

/*
 * The tensor of a name whose value is constant: an initializer that is not a graph input (or
 * any initializer if IR < 4 or `allow_inputs`), or the `value` of a Constant node. Else NULL.
 */
Onnx__TensorProto *lbw_index_constant(const struct lbw_index *index,
                                      const struct lbw_value *value, bool allow_inputs);

/* The nodes of a scope. */
Onnx__NodeProto **lbw_scope_nodes(const struct lbw_scope *scope, size_t *num);

/* Replaces them (copied); the index is not updated. False when memory is out. */
bool lbw_scope_set_nodes(const struct lbw_scope *scope, struct lbw_model *model,
                         Onnx__NodeProto *const *nodes, size_t num);

/*
 * The import of the default domain that applies to a scope: its function's or the model's, or
 * NULL.
 */
Onnx__OperatorSetIdProto *lbw_scope_import(const struct lbw_model *model,
                                           const struct lbw_scope *scope);

/* Its version, or 0. */
int64_t lbw_scope_opset(const struct lbw_model *model, const struct lbw_scope *scope);

/* The attribute of that name, or NULL. */
Onnx__AttributeProto *lbw_node_attribute(const Onnx__NodeProto *node, const char *name);
int64_t lbw_node_int(const Onnx__NodeProto *node, const char *name, int64_t otherwise);
float lbw_node_float(const Onnx__NodeProto *node, const char *name, float otherwise);

/* Whether that attribute is this string; `otherwise` where the node has none. */
bool lbw_node_says(const Onnx__NodeProto *node, const char *name, const char *value,
                   bool otherwise);

/*
 * True if the node takes an attribute from the call of its function, so that the functions
 * above do not know its value.
 */
bool lbw_node_has_reference(const Onnx__NodeProto *node);

/* node->input[i], or "" when absent or left out. */
const char *lbw_node_input(const Onnx__NodeProto *node, size_t i);

/* True for the domain of standard operators ("" or "ai.onnx"). */
bool lbw_node_is(const Onnx__NodeProto *node, const char *op_type);

#endif
