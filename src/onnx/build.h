/* SPDX-License-Identifier: MIT */
/* New nodes, attributes and tensors in a model's arena, and lists that grow. */
#ifndef LBW_SRC_ONNX_BUILD_H
#define LBW_SRC_ONNX_BUILD_H

#include "base/strmap.h"
#include "onnx/model.h"

/*
 * Strings are copied. `inputs` and `outputs` end with NULL; "" leaves out an optional input.
 * NULL when memory is out. The functions below accept NULL as a node and fail, so a chain of
 * calls needs only one check at its end.
 */
Onnx__NodeProto *lbw_build_node(struct lbw_model *model, const char *domain,
                                const char *op_type, const char *name,
                                const char *const *inputs, const char *const *outputs);

/* Each returns false when memory is out or node is NULL. */
bool lbw_build_int(struct lbw_model *model, Onnx__NodeProto *node, const char *name,
                   int64_t value);
bool lbw_build_ints(struct lbw_model *model, Onnx__NodeProto *node, const char *name,
                    const int64_t *values, size_t num);
bool lbw_build_float(struct lbw_model *model, Onnx__NodeProto *node, const char *name,
                     float value);
bool lbw_build_string(struct lbw_model *model, Onnx__NodeProto *node, const char *name,
                      const char *value);
bool lbw_build_tensor(struct lbw_model *model, Onnx__NodeProto *node, const char *name,
                      Onnx__TensorProto *value);

/* A list of nodes being made; zero-initialised is empty. Free `nodes`. */
struct lbw_node_list {
    Onnx__NodeProto **nodes;
    size_t num, capacity;
};

/* False when memory is out or node is NULL. */
bool lbw_node_list_add(struct lbw_node_list *list, Onnx__NodeProto *node);

/*
 * Lists of a graph or function. The old arrays stay in the arena; new ones grow by doubling, so
 * that many additions cost linear memory. A NULL tensor or function is a failure too.
 */
bool lbw_graph_add_initializer(struct lbw_model *model, Onnx__GraphProto *graph,
                               Onnx__TensorProto *tensor);
/*
 * Removes, in one pass, inputs whose names are in `gone`, and initializers that it has under
 * their names.
 */
void lbw_graph_remove(Onnx__GraphProto *graph, const struct lbw_strmap *gone);
void lbw_graph_remove_input(Onnx__GraphProto *graph, const char *name);
void lbw_graph_remove_initializer(Onnx__GraphProto *graph, const Onnx__TensorProto *tensor);

/* Replaces the node list by `nodes` (copied). */
bool lbw_graph_set_nodes(struct lbw_model *model, Onnx__GraphProto *graph,
                         Onnx__NodeProto *const *nodes, size_t num);
bool lbw_function_set_nodes(struct lbw_model *model, Onnx__FunctionProto *function,
                            Onnx__NodeProto *const *nodes, size_t num);
bool lbw_model_add_function(struct lbw_model *model, Onnx__FunctionProto *function);

/* A name that no scope of the model uses yet: `stem`, or "stem_2", "stem_3", … */
struct lbw_names;
enum lbw_status lbw_names_new(struct lbw_names **out, const struct lbw_model *model,
                              struct lbw_error *err);
void lbw_names_free(struct lbw_names *names);
const char *lbw_names_make(struct lbw_names *names, struct lbw_model *model, const char *stem);

/* The same for a node. Nodes and tensors may share a name. */
const char *lbw_names_make_node(struct lbw_names *names, struct lbw_model *model,
                                const char *stem);

#endif
