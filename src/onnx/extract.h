/* SPDX-License-Identifier: MIT */
/*
 * A model, or a part of it, as bytes for the runtime: the one place that writes them, with the
 * imports and functions of the whole and every value inside, wherever the model keeps it.
 */
#ifndef LBW_SRC_ONNX_EXTRACT_H
#define LBW_SRC_ONNX_EXTRACT_H

#include "onnx/model.h"

/* From this IR version on an initializer need not be an input, so the runtime may fold it. */
#define LBW_FOLDING_IR 4

/* What is written of a model; zero-initialised: the whole, as it is. */
struct lbw_part {
    /*
     * A graph of the caller's in place of the model's own: it may hold nodes and tensors of the
     * model. Then the IR version is at least LBW_FOLDING_IR, and nothing but imports and
     * functions is taken from around the model's graph.
     */
    Onnx__GraphProto *graph;
    bool no_functions;  /* the graph calls none */
    const char *domain; /* of operators that the graph adds, version 1; NULL: none */
    /* Any values of the graph as outputs, in place of its own. */
    const char *const *outputs;
    size_t num_outputs; /* 0: its own */
};

/*
 * *data (free() it) receives the serialised model. The model is as it was afterwards; meanwhile
 * tensors with external data are changed in place. LBW_ERR_FORMAT or LBW_ERR_IO for external
 * data that is not what it should be, LBW_ERR_UNSUPPORTED above 2 GiB.
 */
enum lbw_status lbw_extract(void **data, size_t *size, struct lbw_model *model,
                            const struct lbw_part *part, struct lbw_error *err);

/* Type and dims of a port. */
struct lbw_port_shape {
    int32_t data_type;
    size_t num_dims;     /* at most 8 */
    const int64_t *dims; /* NULL: open */
};

/* A graph input or output of that name, `shape` NULL: untyped. NULL when memory is out. */
Onnx__ValueInfoProto *lbw_extract_port(struct lbw_arena *arena, const char *name,
                                       const struct lbw_port_shape *shape);

#endif
