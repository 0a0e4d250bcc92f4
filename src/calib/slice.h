/* SPDX-License-Identifier: MIT */
/* A part of the main graph as a model of its own: it computes some values from earlier ones. */
#ifndef LBW_SRC_CALIB_SLICE_H
#define LBW_SRC_CALIB_SLICE_H

#include "feed/feed.h"
#include "calib/flow.h"
#include "pass/activations.h"

struct lbw_slice {
    const struct lbw_flow *flow;
    bool *has_node; /* by position in the main graph */
    struct lbw_flow_value **inputs;
    size_t num_inputs;
    struct lbw_flow_value **constants;
    size_t num_constants;
    struct lbw_flow_value **outputs;
    size_t num_outputs;
};

/*
 * The nodes that the outputs depend on: those from position `from` on, and those that depend on
 * constants alone, wherever they are. Other values they depend on become inputs. Lives in
 * `arena`; LBW_ERR_MEMORY.
 */
enum lbw_status lbw_slice_init(struct lbw_slice *out, struct lbw_arena *arena,
                               const struct lbw_flow *flow,
                               struct lbw_flow_value *const *outputs, size_t num_outputs,
                               size_t from, struct lbw_error *err);

/*
 * The slice as a graph for lbw_extract(), in `arena`. inputs[i] gives type and dims of input i;
 * the dims are dynamic where open_dims[i]. replaced[id], unless NULL, replaces the constant of
 * that value id. *calls receives whether the graph may call functions of the model.
 */
enum lbw_status lbw_slice_graph(Onnx__GraphProto *out, bool *calls,
                                const struct lbw_slice *slice, struct lbw_arena *arena,
                                const struct lbw_model *model, const struct lbw_array *inputs,
                                const bool *open_dims, Onnx__TensorProto *const *replaced,
                                struct lbw_ranges *const *rounded, struct lbw_error *err);

#endif
