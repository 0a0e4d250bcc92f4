/* SPDX-License-Identifier: MIT */
/* Finds layers between QuantizeLinear and DequantizeLinear and replaces them by calls. */
#include "pass/native.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/walk.h"
#include "pass/clean.h"
#include "pass/encode.h"
#include "pass/native_hoist.h"
#include "pass/native_match.h"
#include "pass/prepare.h"

#define MIN_OPSET 13 /* DequantizeLinear along an axis */

struct rewriter {
    struct lbw_model *model;
    struct lbw_index index;
    struct lbw_names *names;
    struct lbw_scope *scope; /* of the main graph */
    struct lbw_node_list list;
    struct lbw_strmap before; /* the same → a node that goes before it */
    struct lbw_strmap calls;  /* last output of a layer → the call that replaces it */
    bool has_conv;
    struct lbw_native_count count;
    struct lbw_error *err;
};

/* Attributes of a layer that the operator has; defaults of two spatial dims for the rest. */
static bool add_attributes(struct rewriter *r, Onnx__NodeProto *node,
                           const struct lbw_native_call *call)
{
    static const int64_t ones[2] = {1, 1}, zeros[4] = {0};
    static const struct {
        const char *name;
        const int64_t *values;
        size_t num;
    } lists[] = {{"strides", ones, 2}, {"pads", zeros, 4}, {"dilations", ones, 2}};
    static const char *const taken[] = {
        "strides", "pads", "dilations",    "group",     "axis",
        "alpha",   "beta", "kernel_shape", "ceil_mode", "count_include_pad"};
    bool has_window = strstr(call->op, "Pool") || call->is_conv, done = true;
    Onnx__AttributeProto **list =
        lbw_arena_calloc(&r->model->arena, 18, sizeof *list); /* at most 10 + 8 */
    node->attribute = list;
    for (size_t k = 0; k < 2 && list && call->attributed[k]; k++)
        for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
            Onnx__AttributeProto *a = lbw_node_attribute(call->attributed[k], taken[i]);
            bool belongs = strcmp(taken[i], "kernel_shape") != 0 || !call->is_conv;
            belongs = belongs && !(call->has_pads && strcmp(taken[i], "pads") == 0);
            if (a && belongs && !lbw_node_attribute(node, taken[i]))
                list[node->n_attribute++] = a;
        }
    if (list && call->has_pads)
        done = lbw_build_ints(r->model, node, "pads", call->pads, 4) &&
               lbw_build_int(r->model, node, "count_include_pad", 1);
    for (size_t i = 0; i < 3 && list && has_window; i++)
        if (!lbw_node_attribute(node, lists[i].name) &&
            (i < 2 || strcmp(call->op, "QAveragePool") != 0))
            done = done &&
                   lbw_build_ints(r->model, node, lists[i].name, lists[i].values, lists[i].num);
    if (list && call->has_bounds)
        done = done && lbw_build_float(r->model, node, "min", call->low) &&
               lbw_build_float(r->model, node, "max", call->high);
    if (list && call->has_axis)
        done = done && lbw_build_int(r->model, node, "axis", call->axis);
    for (size_t i = 0; list && i < call->num_lists; i++)
        done = done && lbw_build_ints(r->model, node, call->lists[i].name,
                                      call->lists[i].values, call->lists[i].num);
    return list && done;
}

/* The name of the bytes of a float tensor, scaled as the layer's last node does. */
static const char *quantize_first(struct rewriter *r, const struct lbw_native_call *call)
{
    char *stem = lbw_arena_printf(&r->model->arena, "%s.bytes", call->unquantized);
    const char *name = stem ? lbw_names_make(r->names, r->model, stem) : NULL;
    const char *const inputs[] = {call->unquantized, lbw_node_input(call->last, 1),
                                  lbw_node_input(call->last, 2), NULL};
    const char *const outputs[] = {name, NULL};
    Onnx__NodeProto *node =
        name ? lbw_build_node(r->model, "", "QuantizeLinear", name, inputs, outputs) : NULL;
    return node && lbw_strmap_put(&r->before, call->last->output[0], node) ? name : NULL;
}

static enum lbw_status add_call(struct rewriter *r, const struct lbw_native_call *call,
                                const char *name)
{
    const char *const outputs[] = {call->last->output[0], NULL};
    const char *const *inputs = call->inputs;
    const char *bytes[] = {NULL, NULL};
    LBW_TRY(lbw_native_function(r->model, call->op, r->err));
    if (call->unquantized) {
        bytes[0] = quantize_first(r, call);
        if (!bytes[0])
            return lbw_fail_memory(r->err);
        inputs = bytes;
    }
    Onnx__NodeProto *node =
        lbw_build_node(r->model, LBW_DOMAIN, call->op, name, inputs, outputs);
    if (!node || !add_attributes(r, node, call) || !lbw_strmap_put(&r->calls, outputs[0], node))
        return lbw_fail_memory(r->err);
    return LBW_OK;
}

static enum lbw_status look_at(struct rewriter *r, const Onnx__NodeProto *node)
{
    const struct lbw_native_finder finder = {r->model, &r->index, r->names, r->scope,
                                             &r->calls};
    struct lbw_native_call call;
    if (!lbw_native_match(&call, &finder, node) ||
        lbw_strmap_get(&r->calls, call.last->output[0]))
        return LBW_OK;
    r->has_conv = r->has_conv || call.is_conv;
    return add_call(r, &call, node->name ? node->name : "");
}

/*
 * The region of a Resize that ignores it; where it is an input of the model as well, ONNX
 * Runtime may fail to reorder its axes.
 */
static void drop_region(Onnx__NodeProto *node)
{
    if (lbw_node_is(node, "Resize") && node->n_input > 2 &&
        !lbw_node_says(node, "coordinate_transformation_mode", "tf_crop_and_resize", false))
        node->input[1] = (char *)protobuf_c_empty_string;
}

/* Puts calls in the place of the last nodes of their layers; drops unused values. */
static enum lbw_status rebuild(struct rewriter *r)
{
    size_t num;
    Onnx__NodeProto **nodes = lbw_scope_nodes(r->scope, &num);
    for (size_t i = 0; i < num; i++) {
        const char *output = nodes[i]->n_output ? nodes[i]->output[0] : "";
        drop_region(nodes[i]);
        Onnx__NodeProto *call = *output ? lbw_strmap_get(&r->calls, output) : NULL;
        Onnx__NodeProto *before = *output ? lbw_strmap_get(&r->before, output) : NULL;
        if ((before && !lbw_node_list_add(&r->list, before)) ||
            !lbw_node_list_add(&r->list, call ? call : nodes[i]))
            return lbw_fail_memory(r->err);
    }
    if (!lbw_scope_set_nodes(r->scope, r->model, r->list.nodes, r->list.num))
        return lbw_fail_memory(r->err);
    return lbw_clean(r->model, &r->index, r->err);
}

/* Calls that are left: some only fed nodes that others replaced. */
static void count_calls(struct rewriter *r)
{
    size_t num;
    Onnx__NodeProto **nodes = lbw_scope_nodes(r->scope, &num);
    for (size_t i = 0; i < num; i++) {
        const char *op = nodes[i]->op_type, *domain = nodes[i]->domain;
        if (op && domain && strcmp(domain, LBW_DOMAIN) == 0 && lbw_native_has_function(op))
            *(strstr(op, "Conv") ? &r->count.num_convs : &r->count.num_others) += 1;
    }
}

static enum lbw_status fail_empty(struct lbw_error *err)
{
    return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                    "encoding native needs 8-bit activations (--activations int8): no "
                    "convolution is between DequantizeLinear and QuantizeLinear of uint8");
}

static enum lbw_status hoist(struct rewriter *r)
{
    const struct lbw_native_finder finder = {r->model, &r->index, r->names, r->scope,
                                             &r->calls};
    size_t num = 0;
    LBW_TRY(lbw_native_hoist(&num, &finder, r->err));
    if (!num)
        return LBW_OK;
    LBW_TRY(lbw_clean(r->model, &r->index, r->err));
    lbw_index_release(&r->index);
    LBW_TRY(lbw_index_init(&r->index, r->model, r->err));
    r->scope = r->index.scopes;
    return LBW_OK;
}

static enum lbw_status rewrite(struct rewriter *r)
{
    size_t num;
    LBW_TRY(lbw_index_init(&r->index, r->model, r->err));
    LBW_TRY(lbw_names_new(&r->names, r->model, r->err));
    r->scope = r->index.scopes;
    Onnx__NodeProto **nodes = lbw_scope_nodes(r->scope, &num);
    lbw_begin_rewrite(r->model);
    LBW_TRY(hoist(r));
    nodes = lbw_scope_nodes(r->scope, &num);
    for (size_t i = 0; i < num; i++)
        LBW_TRY(look_at(r, nodes[i]));
    if (!r->has_conv)
        return fail_empty(r->err);
    LBW_TRY(rebuild(r));
    count_calls(r);
    return LBW_OK;
}

static bool is_no_quantizer(ProtobufCMessage *message, void *user)
{
    (void)user;
    return message->descriptor != &onnx__node_proto__descriptor ||
           !lbw_node_is((Onnx__NodeProto *)(void *)message, "QuantizeLinear");
}

enum lbw_status lbw_native_check(const struct lbw_model *model, struct lbw_error *err)
{
    int64_t opset = lbw_model_opset(model, "");
    if (opset < MIN_OPSET)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "opset %lld: native operators need %d (--opset lifts the model)",
                        (long long)opset, MIN_OPSET);
    return lbw_walk(&model->proto->base, is_no_quantizer, NULL) ? fail_empty(err) : LBW_OK;
}

enum lbw_status lbw_nativize(struct lbw_native_count *out, struct lbw_model *model,
                             struct lbw_error *err)
{
    struct rewriter r = {.model = model, .err = err};
    LBW_TRY(lbw_native_check(model, err));
    enum lbw_status status = rewrite(&r);
    lbw_strmap_release(&r.calls);
    lbw_strmap_release(&r.before);
    lbw_names_free(r.names);
    lbw_index_release(&r.index);
    free(r.list.nodes);
    if (status == LBW_OK)
        *out = r.count;
    return status;
}
