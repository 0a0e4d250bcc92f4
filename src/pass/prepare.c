/* SPDX-License-Identifier: MIT */
/* Exact rewrites before planning, one after the other; each is in a rewrite_*.c. */
#include "pass/prepare.h"

#include "base/check.h"
#include "onnx/build.h"
#include "onnx/import.h"
#include "onnx/node.h"
#include "onnx/stem.h"
#include "onnx/tensor.h"
#include "pass/bias.h"
#include "pass/clean.h"
#include "pass/encode.h"
#include "pass/native.h"
#include "pass/operators.h"
#include "pass/rewrite.h"

#define ACTIVATIONS_OPSET 13 /* DequantizeLinear along an axis */

void lbw_begin_rewrite(struct lbw_model *model)
{
    Onnx__GraphProto *graph = model->proto->graph;
    model->proto->n_training_info = 0;
    if (model->proto->ir_version >= 4)
        return;
    for (size_t i = 0; i < graph->n_initializer; i++)
        lbw_graph_remove_input(graph, graph->initializer[i]->name);
    model->proto->ir_version = 4;
    model->proto->has_ir_version = 1;
}

/* Gives every Conv a bias that calibration may correct; drops unused values. */
static enum lbw_status add_biases(struct lbw_model *model, struct lbw_error *err)
{
    struct lbw_index index = {0};
    struct lbw_names *names = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_index_init(&index, model, err));
    LBW_OR_OUT(lbw_names_new(&names, model, err));
    LBW_OR_OUT(lbw_bias_own(model, &index, names, err));
    LBW_OR_OUT(lbw_clean(model, &index, err));
out:
    lbw_names_free(names);
    lbw_index_release(&index);
    return status;
}

/* The name of an encoded weight that nodes of one scope read; else *out is unchanged. */
static enum lbw_status find_encoded(const char **out, const struct lbw_index *index,
                                    struct lbw_scope *scope, const char *ops,
                                    struct lbw_error *err)
{
    size_t num_nodes, first, last;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num_nodes);
    for (size_t n = 0; n < num_nodes && !*out; n++) {
        if (!lbw_weight_inputs(&first, &last, nodes[n], ops))
            continue;
        for (size_t i = first; i <= last && !*out; i++) {
            struct lbw_encoded encoded = {0};
            struct lbw_value *value =
                lbw_weight_origin(lbw_index_find(scope, lbw_node_input(nodes[n], i)));
            if (value && !lbw_index_constant(index, lbw_weight_source(value), true))
                LBW_TRY(lbw_decode_match(&encoded, index, value, err));
            if (encoded.kind)
                *out = value->name;
        }
    }
    return LBW_OK;
}

/* Refuses to quantize encoded weights a second time by accident. */
static enum lbw_status refuse_encoded(struct lbw_model *model, const char *ops,
                                      struct lbw_error *err)
{
    struct lbw_index index = {0};
    const char *name = NULL;
    enum lbw_status status;
    if (lbw_has_native(model))
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_UNSUPPORTED,
                            "layers are already encoded, as operators of " LBW_DOMAIN
                            ": run 'lbw expand' first, or add --requantize"));
    LBW_OR_OUT(lbw_index_init(&index, model, err));
    for (struct lbw_scope *s = index.scopes; s && !name; s = s->next)
        LBW_OR_OUT(find_encoded(&name, &index, s, ops, err));
    if (name)
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_UNSUPPORTED,
                            "weight '%s' is already encoded: run 'lbw expand' first, or add "
                            "--requantize",
                            name));
out:
    lbw_index_release(&index);
    return status;
}

static enum lbw_status rewrite(struct lbw_model *model, const struct lbw_prepare_params *params,
                               const char *ops, struct lbw_error *err)
{
    size_t num_opened, num_split, num_made;
    LBW_TRY(lbw_open_functions(&num_opened, model, ops, err));
    LBW_TRY(lbw_stem_remember(model, err));
    lbw_begin_rewrite(model);
    LBW_TRY(lbw_split_fused(&num_split, model, err));
    LBW_TRY(lbw_make_constants(&num_made, model, ops, err));
    if (!params->keep_batchnorm)
        LBW_TRY(lbw_fold_batchnorm(&model->num_folded, model, err));
    return add_biases(model, err);
}

static enum lbw_status prepare(struct lbw_model *model, const struct lbw_prepare_params *params,
                               const char *ops, struct lbw_error *err)
{
    LBW_TRY(lbw_model_check_imports(model, err));
    if (params->requantize)
        LBW_TRY(lbw_expand(model, NULL, err));
    else
        LBW_TRY(refuse_encoded(model, ops, err));
    if (params->activations != LBW_ACTIVATIONS_FLOAT &&
        lbw_model_opset(model, "") < ACTIVATIONS_OPSET)
        LBW_TRY(lbw_model_lift(model, ACTIVATIONS_OPSET, err));
    return lbw_model_rewritten(model, rewrite(model, params, ops, err));
}

/* Inlines what hides weights, and nothing else. */
static enum lbw_status open_up(struct lbw_model *model, const char *ops, struct lbw_error *err)
{
    size_t num_opened = 0, num_split = 0;
    enum lbw_status status;
    LBW_OR_OUT(lbw_open_functions(&num_opened, model, ops, err));
    LBW_OR_OUT(lbw_split_fused(&num_split, model, err));
out:
    return status != LBW_OK || num_opened || num_split ? lbw_model_rewritten(model, status)
                                                       : LBW_OK;
}

enum lbw_status lbw_model_prepare(struct lbw_model *model,
                                  const struct lbw_prepare_params *params,
                                  struct lbw_error *err)
{
    static const struct lbw_prepare_params by_default;
    params = params ? params : &by_default;
    const char *ops;
    LBW_TRY(lbw_model_check(model, err));
    LBW_TRY(
        lbw_check_choice("activations", params->activations, LBW_ACTIVATIONS_INT8 + 1, err));
    LBW_TRY(lbw_ops_of(&ops, model, params->ops, err));
    LBW_TRY(lbw_weight_check_ops(ops, err));
    uint64_t size = lbw_model_size(model);
    if (params->as_is)
        return lbw_within(err, open_up(model, ops, err), "%s", model->name);
    LBW_TRY(lbw_within(err, prepare(model, params, ops, err), "%s", model->name));
    if (!model->is_prepared)
        model->size_unprepared = size;
    model->is_prepared = true;
    return LBW_OK;
}
