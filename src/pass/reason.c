/* SPDX-License-Identifier: MIT */
/* The reasons: an input, a sparse initializer, constants that are not folded, computed. */
#include "pass/reason.h"

#include <string.h>

#include "onnx/constant.h"
#include "onnx/inline.h"
#include "onnx/tensor.h"

static const char *or_else(const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

/* Why the weights of a function remain its inputs. */
static const char *in_function(const struct lbw_index *index, const Onnx__FunctionProto *f)
{
    struct lbw_arena *arena = &index->model->arena;
    const Onnx__NodeProto *node = lbw_inline_obstacle(index, f);
    if (!node)
        return or_else(lbw_arena_printf(arena, "an input of function '%s'", f->name),
                       "an input of its function");
    return or_else(lbw_arena_printf(arena,
                                    "an input of function '%s', whose %s is at another opset "
                                    "than the model (--opset lifts both)",
                                    f->name, node->op_type),
                   "an input of its function");
}

static const char *label(const Onnx__NodeProto *node)
{
    return node->name && *node->name           ? node->name
           : node->n_output && node->output[0] ? node->output[0]
                                               : "";
}

/* Computed from constants alone, but not folded. */
static const char *made_of_constants(const struct lbw_index *index,
                                     const struct lbw_value *value)
{
    static const char otherwise[] = "made of constants";
    struct lbw_arena *arena = &index->model->arena;
    const Onnx__NodeProto *stranger, *reader;
    Onnx__TensorProto *tensor;
    if (lbw_constant_make(&tensor, &stranger, index, value, NULL) != LBW_OK)
        return otherwise;
    if (!tensor && stranger)
        return or_else(lbw_arena_printf(arena, "made of constants by %s, which is not folded",
                                        stranger->op_type ? stranger->op_type : "?"),
                       otherwise);
    if (tensor && lbw_constant_spared(&reader, index, &value, 1) < tensor->raw_data.len)
        return or_else(reader ? lbw_arena_printf(arena, "made of constants that '%s' reads too",
                                                 label(reader))
                              : "made of constants, and larger than these",
                       otherwise);
    return or_else(lbw_arena_printf(arena, "made of constants by %s",
                                    value->producer->op_type ? value->producer->op_type : "?"),
                   otherwise);
}

const char *lbw_reason_of(const struct lbw_index *index, const struct lbw_value *value)
{
    const Onnx__GraphProto *graph = value->scope->graph;
    for (size_t i = 0; graph && i < graph->n_sparse_initializer; i++)
        if (graph->sparse_initializer[i]->values &&
            graph->sparse_initializer[i]->values->name &&
            strcmp(graph->sparse_initializer[i]->values->name, value->name) == 0)
            return "a sparse initializer";
    if (value->is_input && value->scope->function)
        return in_function(index, value->scope->function);
    if (value->is_input)
        return value->scope->owner ? "an input of its body" : "an input of the model";
    if (value->producer && lbw_constant_is_made(index, value))
        return made_of_constants(index, value);
    return "computed at run time from an input";
}
