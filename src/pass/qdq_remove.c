/* SPDX-License-Identifier: MIT */
/* Removes roundings from a model, so that it computes in float throughout. */
#include "pass/qdq.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "onnx/build.h"
#include "pass/clean.h"
#include "pass/prepare.h"

#define FLOAT32 ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define INT32   ONNX__TENSOR_PROTO__DATA_TYPE__INT32

struct remover {
    struct lbw_model *model;
    struct lbw_index index;
    struct lbw_scope *scope;
    struct lbw_strmap aliases; /* a rounded tensor → the one to read instead */
    struct lbw_strmap gone;    /* output of a node to drop → the node */
    struct lbw_node_list list;
    size_t num;
    struct lbw_error *err;
};

static Onnx__NodeProto *made_by(const struct remover *r, const char *name, const char *op)
{
    const struct lbw_value *value = *name ? lbw_index_find(r->scope, name) : NULL;
    return value && value->scope == r->scope && value->producer &&
                   lbw_node_is(value->producer, op)
               ? value->producer
               : NULL;
}

static struct lbw_value *find_value(const struct remover *r, const char *name)
{
    return *name ? lbw_index_find(r->scope, name) : NULL;
}

/* A value that one node of the main graph reads, and nothing else. */
static bool is_read_once(const struct remover *r, const struct lbw_value *value)
{
    return value && value->scope == r->scope && value->uses && !value->uses->next &&
           value->uses->scope == r->scope && !value->is_output;
}

/* One rounding: x → [Div] → QuantizeLinear → DequantizeLinear → [Mul] → v. */
struct rounding {
    const Onnx__NodeProto *nodes[4]; /* the two in the middle first; the others may be NULL */
    const struct lbw_value *x;
    struct lbw_value *value;
};

/* Whether a constant is the scalar 1, as the scale beside a factor is. */
static bool is_one(const struct remover *r, const char *name)
{
    const struct lbw_value *value = find_value(r, name);
    const Onnx__TensorProto *proto = value ? lbw_index_constant(&r->index, value, true) : NULL;
    struct lbw_tensor tensor;
    float number = 0;
    return proto && lbw_tensor_view(&tensor, r->model, proto, NULL) == LBW_OK &&
           tensor.count == 1 && lbw_tensor_read_float(&tensor, &number, NULL) == LBW_OK &&
           number == 1;
}

/* The scale is the factor of a Div before the QuantizeLinear. */
static const char *read_div(struct rounding *out, const struct remover *r)
{
    const Onnx__NodeProto *div = made_by(r, out->x->name, "Div");
    if (!div || !is_one(r, lbw_node_input(out->nodes[1], 1)) || !is_read_once(r, out->x))
        return NULL;
    const struct lbw_value *x = find_value(r, lbw_node_input(div, 0));
    out->x = x ? x : out->x;
    out->nodes[2] = x ? div : NULL;
    return x ? lbw_node_input(div, 1) : NULL;
}

/* And of a Mul behind the DequantizeLinear. */
static const char *read_mul(struct rounding *out, const struct remover *r)
{
    const Onnx__NodeProto *mul = is_read_once(r, out->value) ? out->value->uses->node : NULL;
    if (!mul || !lbw_node_is(mul, "Mul") || !is_one(r, lbw_node_input(out->nodes[0], 1)) ||
        strcmp(lbw_node_input(mul, 0), out->value->name) != 0)
        return NULL;
    struct lbw_value *value = find_value(r, mul->output[0]);
    out->value = value ? value : out->value;
    out->nodes[3] = value ? mul : NULL;
    return value ? lbw_node_input(mul, 1) : NULL;
}

static bool find_rounding(struct rounding *out, const struct remover *r,
                          const Onnx__NodeProto *dequantize)
{
    const Onnx__NodeProto *quantize =
        made_by(r, lbw_node_input(dequantize, 0), "QuantizeLinear");
    struct lbw_value *value =
        dequantize->n_output ? find_value(r, dequantize->output[0]) : NULL;
    const struct lbw_value *x = quantize ? find_value(r, lbw_node_input(quantize, 0)) : NULL;
    if (!value || !x || find_value(r, quantize->output[0])->is_output ||
        strcmp(lbw_node_input(quantize, 2), lbw_node_input(dequantize, 2)) != 0)
        return false;
    const struct rounding plain = {{dequantize, quantize, NULL, NULL}, x, value};
    *out = plain;
    const char *there = read_div(out, r), *back = read_mul(out, r);
    there = there ? there : lbw_node_input(quantize, 1);
    back = back ? back : lbw_node_input(dequantize, 1);
    if (strcmp(there, back) == 0)
        return true;
    *out = plain;
    return strcmp(lbw_node_input(quantize, 1), lbw_node_input(dequantize, 1)) == 0;
}

static bool drop(struct remover *r, const Onnx__NodeProto *node)
{
    return !node || lbw_strmap_put(&r->gone, node->output[0], (void *)(uintptr_t)node);
}

/* Its producer writes v again, or x replaces v; a QuantizeLinear may have other readers. */
static enum lbw_status remove_rounding(struct remover *r, const Onnx__NodeProto *dequantize)
{
    struct rounding found;
    if (!find_rounding(&found, r, dequantize))
        return LBW_OK;
    const struct lbw_value *x = found.x, *codes = find_value(r, found.nodes[1]->output[0]);
    const char *name = found.value->name;
    bool has_factors = found.nodes[2] || found.nodes[3];
    bool is_only = codes->uses && !codes->uses->next;
    bool is_own = x->producer && is_read_once(r, x) && is_only &&
                  !lbw_node_is(x->producer, "DequantizeLinear");
    if ((found.value->is_output && !is_own) || (has_factors && !is_only))
        return LBW_OK; /* an output of the model keeps its name */
    bool done = drop(r, found.nodes[0]) && drop(r, found.nodes[2]) && drop(r, found.nodes[3]);
    if (is_own || has_factors)
        done = done && drop(r, found.nodes[1]);
    if (is_own)
        x->producer->output[x->producer_output] = (char *)(uintptr_t)name;
    else
        done = done && lbw_strmap_put(&r->aliases, name, (void *)(uintptr_t)x->name);
    r->num++;
    return done ? LBW_OK : lbw_fail_memory(r->err);
}

/* Float constants, or a product of two of them, one of which may be a scalar. */
static float *read_factors(size_t *num, struct remover *r, const char *name, int depth)
{
    const Onnx__NodeProto *cast = made_by(r, name, "Cast"), *mul = made_by(r, name, "Mul");
    if (mul && depth) {
        size_t num_a = 0, num_b = 0;
        float *a = read_factors(&num_a, r, lbw_node_input(mul, 0), depth - 1);
        float *b = read_factors(&num_b, r, lbw_node_input(mul, 1), depth - 1);
        bool is_swapped = num_a > num_b;
        float *many = is_swapped ? a : b, *one = is_swapped ? b : a;
        *num = is_swapped ? num_a : num_b;
        bool fits = a && b && (is_swapped ? num_b : num_a) == 1;
        for (size_t i = 0; fits && i < *num; i++)
            many[i] *= one[0];
        free(one);
        if (!fits) {
            free(many);
            return NULL;
        }
        return many;
    }
    struct lbw_value *value = lbw_index_find(r->scope, cast ? lbw_node_input(cast, 0) : name);
    Onnx__TensorProto *proto = value ? lbw_index_constant(&r->index, value, true) : NULL;
    return proto ? lbw_tensor_copy_floats(num, r->model, proto) : NULL;
}

/* An int32 constant times its scales, as a float constant of the same name. */
static enum lbw_status expand_bias(struct remover *r, const Onnx__NodeProto *node)
{
    const Onnx__NodeProto *dequantize = made_by(r, lbw_node_input(node, 2), "DequantizeLinear");
    struct lbw_value *value =
        dequantize ? lbw_index_find(r->scope, lbw_node_input(dequantize, 0)) : NULL;
    Onnx__TensorProto *proto = value ? lbw_index_constant(&r->index, value, true) : NULL;
    struct lbw_tensor tensor;
    if (!proto || proto->data_type != INT32 || *lbw_node_input(dequantize, 2) ||
        lbw_strmap_get(&r->gone, dequantize->output[0]))
        return LBW_OK;
    size_t num = 0;
    float *factors = NULL;
    int64_t *integers = NULL;
    const char *name = dequantize->output[0];
    enum lbw_status status;
    LBW_OR_OUT(lbw_tensor_view(&tensor, r->model, proto, r->err));
    factors = read_factors(&num, r, lbw_node_input(dequantize, 1), 1);
    if (!factors || (num != 1 && num != tensor.count))
        goto out; /* it stays as it is */
    integers = malloc((tensor.count + 1) * sizeof *integers);
    unsigned char *data = lbw_arena_alloc(&r->model->arena, 4 * tensor.count + 1);
    if (!integers || !data)
        LBW_OR_OUT(lbw_fail_memory(r->err));
    LBW_OR_OUT(lbw_tensor_read_int64(&tensor, integers, r->err));
    for (size_t i = 0; i < tensor.count; i++)
        lbw_store_le(data + 4 * i,
                     lbw_float_bits((float)integers[i] * factors[num == 1 ? 0 : i]), 4);
    if (!drop(r, dequantize) ||
        !lbw_graph_add_initializer(r->model, r->scope->graph,
                                   lbw_tensor_new(r->model, name, FLOAT32, tensor.dims,
                                                  tensor.num_dims, data, 4 * tensor.count)))
        LBW_OR_OUT(lbw_fail_memory(r->err));
out:
    free(factors);
    free(integers);
    return status;
}

static void read_exact(const struct remover *r, Onnx__NodeProto *node)
{
    for (size_t k = 0; k < node->n_input; k++) {
        char *exact = lbw_strmap_get(&r->aliases, node->input[k]);
        for (; exact; exact = lbw_strmap_get(&r->aliases, exact))
            node->input[k] = exact;
    }
}

static enum lbw_status remove_all(struct remover *r)
{
    size_t num;
    LBW_TRY(lbw_index_init(&r->index, r->model, r->err));
    r->scope = r->index.scopes;
    Onnx__NodeProto **nodes = lbw_scope_nodes(r->scope, &num);
    for (size_t i = 0; i < num; i++)
        if (lbw_node_is(nodes[i], "DequantizeLinear"))
            LBW_TRY(remove_rounding(r, nodes[i]));
    for (size_t i = 0; r->num && i < num; i++)
        if (lbw_node_is(nodes[i], "Conv") || lbw_node_is(nodes[i], "Gemm"))
            LBW_TRY(expand_bias(r, nodes[i]));
    if (!r->num)
        return LBW_OK;
    lbw_begin_rewrite(r->model);
    for (size_t i = 0; i < num; i++) {
        const char *output = nodes[i]->n_output ? nodes[i]->output[0] : "";
        if (*output && lbw_strmap_get(&r->gone, output) == nodes[i])
            continue;
        read_exact(r, nodes[i]);
        if (!lbw_node_list_add(&r->list, nodes[i]))
            return lbw_fail_memory(r->err);
    }
    if (!lbw_scope_set_nodes(r->scope, r->model, r->list.nodes, r->list.num))
        return lbw_fail_memory(r->err);
    return lbw_clean(r->model, &r->index, r->err);
}

enum lbw_status lbw_qdq_remove(size_t *num, struct lbw_model *model, struct lbw_error *err)
{
    struct remover r = {.model = model, .err = err};
    enum lbw_status status = remove_all(&r);
    lbw_strmap_release(&r.aliases);
    lbw_strmap_release(&r.gone);
    lbw_index_release(&r.index);
    free(r.list.nodes);
    if (status == LBW_OK)
        *num = r.num;
    return status;
}

size_t lbw_model_num_rounded(const struct lbw_model *model)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    size_t num = 0;
    for (size_t i = 0; graph && i < graph->n_node; i++)
        num += lbw_node_is(graph->node[i], "QuantizeLinear");
    return num;
}
