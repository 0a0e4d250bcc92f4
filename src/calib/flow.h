/* SPDX-License-Identifier: MIT */
/* What each node of the main graph reads and writes, captures of its bodies included. */
#ifndef LBW_SRC_CALIB_FLOW_H
#define LBW_SRC_CALIB_FLOW_H

#include "base/strmap.h"
#include "onnx/model.h"

#define LBW_FLOW_NOWHERE SIZE_MAX

enum lbw_flow_kind {
    LBW_FLOW_INPUT,    /* given by the caller */
    LBW_FLOW_CONSTANT, /* an initializer, or the tensor of a Constant node */
    LBW_FLOW_DERIVED,  /* computed from constants alone */
    LBW_FLOW_COMPUTED, /* depends on an input */
};

/* One name of the main graph. */
struct lbw_flow_value {
    const char *name;
    enum lbw_flow_kind kind;
    size_t id;                       /* position in flow->values */
    size_t producer;                 /* position of the node, or LBW_FLOW_NOWHERE */
    size_t end;                      /* one past the last node that reads it; 0 for none */
    bool is_output;                  /* of the model */
    const Onnx__TensorProto *tensor; /* of CONSTANT, else NULL */
    size_t mark;                     /* scratch of lbw_flow_init() */
};

struct lbw_flow_node {
    struct lbw_flow_value **reads; /* each once */
    size_t num_reads;
    struct lbw_flow_value **writes;
    size_t num_writes;
    bool calls; /* it, or a node in its bodies, may call a function of the model */
};

struct lbw_flow {
    struct lbw_arena arena;
    struct lbw_strmap names; /* → struct lbw_flow_value */
    struct lbw_flow_value **values;
    size_t num_values;
    struct lbw_flow_node *nodes; /* as in model->proto->graph->node */
    size_t num_nodes;
};

/* Borrows names and tensors from the model, which must not change meanwhile. */
enum lbw_status lbw_flow_init(struct lbw_flow *out, const struct lbw_model *model,
                              struct lbw_error *err);
void lbw_flow_release(struct lbw_flow *flow);

/* NULL if the main graph has no such name. */
struct lbw_flow_value *lbw_flow_find(const struct lbw_flow *flow, const char *name);

#endif
