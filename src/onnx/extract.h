/* SPDX-License-Identifier: MIT */
/*
 * A model, or a part of it, as bytes for the runtime. Only this file writes them: with the
 * imports and functions of the model, and every value embedded, wherever the model keeps it.
 */
#ifndef LBW_SRC_ONNX_EXTRACT_H
#define LBW_SRC_ONNX_EXTRACT_H

#include "onnx/model.h"

/* From this IR version on, initializers need not be inputs, so the runtime may fold them. */
#define LBW_FOLDING_IR 4

/* The part to write. Zero-initialised: the whole model as it is. */
struct lbw_part {
    /*
     * A graph to write instead of the model's; it may hold nodes and tensors of the model. The
     * IR version is then at least LBW_FOLDING_IR, and only imports and functions come from the
     * model.
     */
    Onnx__GraphProto *graph;
    bool no_functions; /* the graph calls none */
    const char
        *domain; /* imported at version 1, for operators that the graph adds; NULL: none */
    /* Values of the graph, to be its outputs instead of its own; other nodes are left out. */
    const char *const *outputs;
    size_t num_outputs; /* 0: its own */
};

/*
 * *data (free() it) receives the serialised model. External tensors of the model are changed in
 * place meanwhile and restored. LBW_ERR_FORMAT or LBW_ERR_IO for bad external data,
 * LBW_ERR_UNSUPPORTED above 2 GiB.
 */
enum lbw_status lbw_extract(void **data, size_t *size, struct lbw_model *model,
                            const struct lbw_part *part, struct lbw_error *err);

/* Type and dims of a port. */
struct lbw_port_shape {
    int32_t data_type;
    size_t num_dims;     /* at most 8 */
    const int64_t *dims; /* NULL: open */
};

/* A graph input or output of that name; untyped if `shape` is NULL. NULL when memory is out. */
Onnx__ValueInfoProto *lbw_extract_port(struct lbw_arena *arena, const char *name,
                                       const struct lbw_port_shape *shape);

#endif
