/* SPDX-License-Identifier: MIT */
/* Expands encoded weights to plain float initializers, and activations to float. */
#include <stdlib.h>
#include <string.h>

#include "onnx/build.h"
#include "onnx/walk.h"
#include "pass/clean.h"
#include "pass/encode.h"
#include "pass/native.h"
#include "pass/prepare.h"
#include "pass/qdq.h"
#include "pass/recover.h"
#include "pass/rewrite.h"

static void remove_node(struct lbw_scope *scope, const Onnx__NodeProto *node)
{
    size_t num, num_kept = 0;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num);
    for (size_t i = 0; i < num; i++)
        if (nodes[i] != node)
            nodes[num_kept++] = nodes[i];
    *(scope->graph ? &scope->graph->n_node : &scope->function->n_node) = num_kept;
}

/* Replaces the last decoding node by an initializer, or a Constant in a function. */
static enum lbw_status place(struct lbw_model *model, struct lbw_value *value,
                             Onnx__TensorProto *tensor, struct lbw_error *err)
{
    struct lbw_scope *scope = value->scope;
    if (!tensor)
        return lbw_fail_memory(err);
    if (scope->graph) {
        remove_node(scope, value->producer);
        return lbw_graph_add_initializer(model, scope->graph, tensor) ? LBW_OK
                                                                      : lbw_fail_memory(err);
    }
    const char *const none[] = {NULL};
    const char *const outputs[] = {value->name, NULL};
    Onnx__NodeProto *node = lbw_build_node(model, "", "Constant", "", none, outputs);
    if (!lbw_build_tensor(model, node, "value", tensor))
        return lbw_fail_memory(err);
    *value->producer = *node;
    return LBW_OK;
}

/* Plain int8 before a layer on integers: on no grid, and kept as it is. */
static enum lbw_status is_plain(bool *out, struct lbw_model *model,
                                const struct lbw_encoded *encoded, struct lbw_error *err)
{
    struct lbw_codes codes = {0};
    const struct lbw_grid *grid = NULL;
    *out = false;
    if (encoded->grid || encoded->codes->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__INT8)
        return LBW_OK;
    LBW_TRY(lbw_recover_encoded(&codes, &grid, model, encoded, err));
    lbw_codes_release(&codes);
    *out = !grid;
    return LBW_OK;
}

static enum lbw_status expand_value(struct lbw_model *model, const struct lbw_index *index,
                                    struct lbw_value *value, bool keeps_plain, size_t *num,
                                    struct lbw_error *err)
{
    struct lbw_encoded encoded;
    bool stays = false;
    float *values = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_decode_match(&encoded, index, value, err));
    if (encoded.kind && keeps_plain && lbw_weight_reads_codes(index, value))
        LBW_OR_OUT(is_plain(&stays, model, &encoded, err));
    if (!encoded.kind || stays)
        return LBW_OK;
    values = malloc((encoded.count + 1) * sizeof *values);
    if (!values)
        LBW_OR_OUT(lbw_fail_memory(err));
    LBW_OR_OUT(lbw_decode_values(values, model, &encoded, err));
    lbw_begin_rewrite(model);
    ++*num;
    LBW_OR_OUT(place(model, value,
                     lbw_encode_plain(model, value->name, encoded.data_type, encoded.dims,
                                      encoded.num_dims, values, encoded.count),
                     err));
out:
    free(values);
    return lbw_within(err, status, "weight '%s'", value->name);
}

static enum lbw_status expand_scope(struct lbw_model *model, const struct lbw_index *index,
                                    struct lbw_scope *scope, bool keeps_plain, size_t *num,
                                    struct lbw_error *err)
{
    size_t num_nodes;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num_nodes);
    /* the list shrinks while we walk: take a copy */
    Onnx__NodeProto **list = malloc((num_nodes + 1) * sizeof *list);
    if (!list)
        return lbw_fail_memory(err);
    if (num_nodes)
        memcpy(list, nodes, num_nodes * sizeof *list);
    enum lbw_status status = LBW_OK;
    for (size_t i = 0; i < num_nodes && status == LBW_OK; i++) {
        const char *output = list[i]->n_output ? list[i]->output[0] : NULL;
        struct lbw_value *value = output ? lbw_strmap_get(&scope->values, output) : NULL;
        /* only values that are read as weights matter */
        if (value && value->producer == list[i] && lbw_weight_is_read(value) &&
            !lbw_weight_is_cast(value))
            status = expand_value(model, index, value, keeps_plain, num, err);
    }
    free(list);
    return status;
}

static bool is_ours(const char *domain)
{
    return domain && strcmp(domain, LBW_DOMAIN) == 0;
}

/* Notes what nodes call of our domain, in a map of names. */
static bool note_call(ProtobufCMessage *message, void *user)
{
    struct lbw_strmap *called = user;
    const Onnx__NodeProto *node = (const Onnx__NodeProto *)message;
    return message->descriptor != &onnx__node_proto__descriptor || !is_ours(node->domain) ||
           lbw_strmap_put(called, node->op_type ? node->op_type : "", message);
}

/* Drops functions of lbw's domain that nothing calls, and the domain once nothing uses it. */
static enum lbw_status drop_functions(struct lbw_model *model, struct lbw_error *err)
{
    Onnx__ModelProto *proto = model->proto;
    struct lbw_strmap called = {0};
    size_t num_kept = 0;
    if (!lbw_walk(&proto->base, note_call, &called)) {
        lbw_strmap_release(&called);
        return lbw_fail_memory(err);
    }
    for (size_t i = 0; i < proto->n_functions; i++) {
        Onnx__FunctionProto *f = proto->functions[i];
        if (!is_ours(f->domain) || lbw_strmap_get(&called, f->name ? f->name : ""))
            proto->functions[num_kept++] = f;
    }
    proto->n_functions = num_kept;
    num_kept = 0;
    for (size_t i = 0; i < proto->n_opset_import; i++)
        if (!is_ours(proto->opset_import[i]->domain) || called.num_used)
            proto->opset_import[num_kept++] = proto->opset_import[i];
    proto->n_opset_import = num_kept;
    lbw_strmap_release(&called);
    return LBW_OK;
}

/* Replaces lbw's integer operators by the nodes of their function bodies, weights included. */
static enum lbw_status open_native(struct lbw_model *model, struct lbw_error *err)
{
    size_t num;
    if (!lbw_has_native(model))
        return LBW_OK;
    return lbw_model_rewritten(model, lbw_open_functions(&num, model, LBW_ALL_OPS, err));
}

static enum lbw_status expand_all(struct lbw_model *model, struct lbw_index *index,
                                  bool keeps_plain, size_t *num, struct lbw_error *err)
{
    for (struct lbw_scope *s = index->scopes; s; s = s->next)
        LBW_TRY(expand_scope(model, index, s, keeps_plain, num, err));
    LBW_TRY(lbw_clean(model, index, err));
    return *num ? drop_functions(model, err) : LBW_OK;
}

enum lbw_status lbw_expand_weights(size_t *num, struct lbw_model *model, bool keeps_plain,
                                   struct lbw_error *err)
{
    struct lbw_index index;
    size_t count = 0;
    LBW_TRY(lbw_index_init(&index, model, err));
    enum lbw_status status = expand_all(model, &index, keeps_plain, &count, err);
    lbw_index_release(&index);
    if (status == LBW_OK)
        *num = count;
    return lbw_model_rewritten(model, status);
}

enum lbw_status lbw_expand(struct lbw_model *model, size_t *num, struct lbw_error *err)
{
    size_t count = 0, num_roundings = 0;
    LBW_TRY(lbw_model_check(model, err));
    LBW_TRY(lbw_within(err, open_native(model, err), "%s", model->name));
    LBW_TRY(lbw_within(err, lbw_expand_weights(&count, model, false, err), "%s", model->name));
    if (count)
        LBW_TRY(lbw_within(
            err, lbw_model_rewritten(model, lbw_qdq_remove(&num_roundings, model, err)), "%s",
            model->name));
    if (num)
        *num = count;
    return LBW_OK;
}
