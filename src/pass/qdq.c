/* SPDX-License-Identifier: MIT */
/*
 * Adds rounding as nodes. The output of the DequantizeLinear keeps the tensor's name, so that
 * readers do not change; the output of the producer gets a new name.
 */
#include "pass/qdq.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "onnx/build.h"
#include "pass/bias.h"
#include "pass/clean.h"
#include "pass/prepare.h"

#define FLOAT32 ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define INT8    ONNX__TENSOR_PROTO__DATA_TYPE__INT8
#define INT32   ONNX__TENSOR_PROTO__DATA_TYPE__INT32
#define UINT8   ONNX__TENSOR_PROTO__DATA_TYPE__UINT8

/* Pair sums of 255 × 64 stay within 16 bits, as those of every grid do. */
#define MOST_PLAIN 64

/* Biases stay below 2^30; sums below 2^20 beside one of 2^29 are not seen in 8 bits. */
#define MOST_SUM (1 << 20)

struct inserter {
    const struct lbw_plan *plan;
    struct lbw_model *model;
    struct lbw_index index; /* of the model with its weights encoded */
    struct lbw_scope *scope;
    struct lbw_names *names;
    struct lbw_strmap shared; /* a number's type and bits → the constant that holds it */
    struct lbw_strmap edges;  /* tensor → edge of 8 bits */
    struct lbw_strmap layers; /* output of a layer on integers → its codes */
    struct lbw_strmap inputs; /* input of the model → name of its rounded values */
    struct lbw_node_list list;
    size_t num_edges, num_layers, num_plain; /* so far, for names */
    bool has_integer_biases;
    struct lbw_error *err;
};

static const char *make_name(struct inserter *in, const char *letter, size_t number)
{
    char *stem = lbw_arena_printf(&in->model->arena, "%s%zu", letter, number);
    return stem ? lbw_names_make(in->names, in->model, stem) : NULL;
}

/* A scalar constant; equal ones are shared. NULL when memory is out. */
static const char *number(struct inserter *in, const char *letter, int32_t type, uint64_t bits)
{
    struct lbw_model *model = in->model;
    size_t size = lbw_data_type_bits(type) / 8;
    char *key = lbw_arena_printf(&model->arena, "%d %llx", (int)type, (unsigned long long)bits);
    const char *known = key ? lbw_strmap_get(&in->shared, key) : NULL;
    if (known || !key)
        return known;
    unsigned char *data = lbw_arena_alloc(&model->arena, size);
    const char *name = data ? make_name(in, letter, in->shared.num_used) : NULL;
    if (!name)
        return NULL;
    lbw_store_le(data, bits, size);
    Onnx__TensorProto *tensor = lbw_tensor_new(model, name, type, NULL, 0, data, size);
    return lbw_graph_add_initializer(model, in->scope->graph, tensor) &&
                   lbw_strmap_put(&in->shared, key, (void *)(uintptr_t)name)
               ? name
               : NULL;
}

static const char *scale_of(struct inserter *in, const struct lbw_range *range)
{
    return number(in, "r", FLOAT32, lbw_float_bits(range->scale));
}

/* A float32 constant with an item per channel times those of `steps`, of those dims. */
static const char *vector(struct inserter *in, const char *letter, size_t n,
                          const struct lbw_ranges *ranges, const struct lbw_codes *steps,
                          size_t num_dims)
{
    struct lbw_model *model = in->model;
    size_t num = ranges->num;
    const int64_t dims[3] = {(int64_t)num, 1, 1};
    const char *name = make_name(in, letter, n);
    unsigned char *data = lbw_arena_alloc(&model->arena, 4 * num);
    if (!name || !data)
        return NULL;
    for (size_t i = 0; i < num; i++) {
        float step = steps ? steps->steps[steps->num_steps == 1 ? 0 : i] : 1;
        lbw_store_le(data + 4 * i, lbw_float_bits(ranges->items[i].scale * step), 4);
    }
    Onnx__TensorProto *tensor =
        lbw_tensor_new(model, name, FLOAT32, dims, num_dims, data, 4 * num);
    return lbw_graph_add_initializer(model, in->scope->graph, tensor) ? name : NULL;
}

static const char *zero_of(struct inserter *in, const struct lbw_range *range)
{
    return number(in, "z", range->least < 0 ? INT8 : UINT8, (uint8_t)range->zero);
}

static bool add(struct inserter *in, const char *op, const char *const *inputs,
                const char *output)
{
    const char *const outputs[] = {output, NULL};
    return lbw_node_list_add(&in->list, lbw_build_node(in->model, "", op, "", inputs, outputs));
}

/*
 * x → Div → QuantizeLinear → DequantizeLinear → Mul → output, the scales of channels as
 * factors. ONNX Runtime would fuse a QuantizeLinear along an axis into operators that know one
 * scale.
 */
static enum lbw_status add_channel_rounding(struct inserter *in,
                                            const struct lbw_ranges *ranges, const char *x,
                                            const char *output)
{
    size_t n = in->num_edges++;
    const char *codes = make_name(in, "q", n), *factors = vector(in, "t", n, ranges, NULL, 3);
    const char *steps = make_name(in, "i", n), *decoded = make_name(in, "o", n);
    const char *one = number(in, "r", FLOAT32, lbw_float_bits(1));
    const char *zero = zero_of(in, ranges->items);
    if (!codes || !factors || !steps || !decoded || !one || !zero)
        return lbw_fail_memory(in->err);
    const char *const divided[] = {x, factors, NULL};
    const char *const quantized[] = {steps, one, zero, NULL};
    const char *const dequantized[] = {codes, one, zero, NULL};
    const char *const multiplied[] = {decoded, factors, NULL};
    return add(in, "Div", divided, steps) && add(in, "QuantizeLinear", quantized, codes) &&
                   add(in, "DequantizeLinear", dequantized, decoded) &&
                   add(in, "Mul", multiplied, output)
               ? LBW_OK
               : lbw_fail_memory(in->err);
}

/* x → QuantizeLinear → DequantizeLinear → output */
static enum lbw_status add_rounding(struct inserter *in, const struct lbw_ranges *ranges,
                                    const char *x, const char *output)
{
    if (ranges->num > 1)
        return add_channel_rounding(in, ranges, x, output);
    const char *codes = make_name(in, "q", in->num_edges++);
    const char *scale = scale_of(in, ranges->items), *zero = zero_of(in, ranges->items);
    if (!codes || !scale || !zero)
        return lbw_fail_memory(in->err);
    const char *const quantized[] = {x, scale, zero, NULL};
    const char *const dequantized[] = {codes, scale, zero, NULL};
    return add(in, "QuantizeLinear", quantized, codes) &&
                   add(in, "DequantizeLinear", dequantized, output)
               ? LBW_OK
               : lbw_fail_memory(in->err);
}

/* An input of the model keeps its name; its rounded values get a new one, for its readers. */
static enum lbw_status round_inputs(struct inserter *in)
{
    for (size_t i = 0; i < in->plan->num_edges; i++) {
        const struct lbw_edge *edge = &in->plan->edges[i];
        if (edge->position > 0 || edge->item.type != LBW_ACTIVATIONS_INT8)
            continue;
        const char *rounded = make_name(in, "d", in->num_edges);
        if (!rounded ||
            !lbw_strmap_put(&in->inputs, edge->item.tensor, (void *)(uintptr_t)rounded))
            return lbw_fail_memory(in->err);
        LBW_TRY(add_rounding(in, &edge->ranges, edge->item.tensor, rounded));
    }
    return LBW_OK;
}

/* Makes a node read the rounded inputs. */
static void read_rounded(struct inserter *in, Onnx__NodeProto *node)
{
    for (size_t k = 0; k < node->n_input; k++) {
        char *rounded = lbw_strmap_get(&in->inputs, node->input[k]);
        if (rounded)
            node->input[k] = rounded;
    }
}

static enum lbw_status round_outputs(struct inserter *in, Onnx__NodeProto *node)
{
    for (size_t k = 0; k < node->n_output; k++) {
        const struct lbw_edge *edge = lbw_strmap_get(&in->edges, node->output[k]);
        if (!edge)
            continue;
        const char *name = node->output[k], *exact = make_name(in, "x", in->num_edges);
        char **outputs =
            lbw_arena_memdup(&in->model->arena, node->output, node->n_output * sizeof *outputs);
        if (!exact || !outputs)
            return lbw_fail_memory(in->err);
        outputs[k] = (char *)(uintptr_t)exact;
        node->output = outputs;
        LBW_TRY(add_rounding(in, &edge->ranges, exact, name));
    }
    return LBW_OK;
}

/* The values of a layer's float bias; *num is 0 if there is none. Free them. */
static enum lbw_status read_bias(float **out, size_t *num, const struct inserter *in,
                                 const Onnx__NodeProto *node)
{
    struct lbw_value *value = lbw_index_find(in->scope, lbw_node_input(node, 2));
    Onnx__TensorProto *proto = value ? lbw_index_constant(&in->index, value, true) : NULL;
    struct lbw_tensor tensor;
    *num = 0;
    if (!proto)
        return LBW_OK;
    LBW_TRY(lbw_tensor_view(&tensor, in->model, proto, in->err));
    *out = malloc((tensor.count + 1) * sizeof **out);
    if (!*out)
        return lbw_fail_memory(in->err);
    *num = tensor.count;
    return lbw_tensor_read_float(&tensor, *out, in->err);
}

/* Of what output channel i reads: where scales differ it is input channel i alone. */
static float x_scale(const struct lbw_ranges *x, size_t i)
{
    return x->items[x->num > 1 ? i : 0].scale;
}

/* The bias in units of the layer's sums; false if it does not fit in 30 bits. */
static bool round_bias(unsigned char *out, const float *bias, size_t num,
                       const struct lbw_ranges *x, const struct lbw_codes *codes)
{
    for (size_t i = 0; i < num; i++) {
        float step = codes->steps[codes->num_steps == 1 ? 0 : i];
        double units = rint((double)bias[i] / (double)(x_scale(x, i) * step));
        if (!(fabs(units) < 0x1p30))
            return false;
        lbw_store_le(out + 4 * i, (uint64_t)(int64_t)units, 4);
    }
    return true;
}

/*
 * The step at which a bias takes no more than 29 bits. A channel that died in training has next
 * to no weights beside its bias; at their own step it would keep the layer from integers.
 */
static float widen(float step, float bias, float scale)
{
    double excess = fabs((double)bias) / ((double)scale * (double)step * 0x1p29);
    return excess > 1 && isfinite(excess) ? ldexpf(step, (int)ceil(log2(excess))) : step;
}

/* The least that all of a row's sums stay below. */
static size_t sum_limit(const struct lbw_codes *codes, const struct lbw_grid *grid, size_t row,
                        size_t size)
{
    size_t sum = 0;
    for (size_t i = row * size; i < (row + 1) * size; i++)
        sum += 255 * (size_t)abs(grid->levels[codes->codes[i]]);
    return sum;
}

static enum lbw_status widen_steps(struct lbw_codes *codes, const struct lbw_plan *plan,
                                   const struct lbw_weight *weight, struct lbw_error *err)
{
    const Onnx__NodeProto *node = weight->consumers[0].node;
    const struct lbw_edge *x = lbw_edge_of(plan, lbw_node_input(node, 0));
    size_t num = codes->num_steps, size = num ? weight->item.count / num : 0;
    struct lbw_tensor tensor;
    if (!x || (x->ranges.num > 1 && x->ranges.num != num) || codes->axis != 0 ||
        !lbw_weight_bias(&tensor, plan, weight, node) || tensor.count != num)
        return LBW_OK;
    float *bias = malloc((num + 1) * sizeof *bias);
    if (!bias)
        return lbw_fail_memory(err);
    enum lbw_status status = lbw_tensor_read_float(&tensor, bias, err);
    for (size_t row = 0; row < num && status == LBW_OK; row++)
        if (sum_limit(codes, weight->item.grid, row, size) <= MOST_SUM)
            codes->steps[row] = widen(codes->steps[row], bias[row], x_scale(&x->ranges, row));
    free(bias);
    return status;
}

enum lbw_status lbw_qdq_widen(const struct lbw_plan *plan, struct lbw_codes *codes,
                              enum lbw_target target, struct lbw_error *err)
{
    for (size_t i = 0; i < plan->num_weights && target != LBW_TARGET_TENSORRT; i++)
        if (codes[i].codes && codes[i].is_integer && plan->weights[i].num_consumers == 1)
            LBW_TRY(widen_steps(&codes[i], plan, &plan->weights[i], err));
    return LBW_OK;
}

/* The scales of a layer's weight. */
static const char *scales_of(const struct inserter *in, const Onnx__NodeProto *node)
{
    for (size_t i = in->list.num; i-- > 0;) /* added just now, or before */
        if (lbw_node_is(in->list.nodes[i], "DequantizeLinear") &&
            strcmp(in->list.nodes[i]->output[0], lbw_node_input(node, 1)) == 0)
            return lbw_node_input(in->list.nodes[i], 1);
    return NULL;
}

/*
 * b → DequantizeLinear(int32, scale of x × scales of the weight): the product is a node, as it
 * takes fewer bytes than numbers; where x has a scale per channel it is numbers.
 */
static enum lbw_status add_bias(struct inserter *in, Onnx__NodeProto *node,
                                const struct lbw_edge *x, const struct lbw_codes *codes,
                                const float *bias, size_t num)
{
    struct lbw_model *model = in->model;
    const char *scales = scales_of(in, node);
    unsigned char *data = lbw_arena_alloc(&model->arena, 4 * num + 1);
    if (!data)
        return lbw_fail_memory(in->err);
    bool differ = x->ranges.num > 1;
    if (!scales || (differ && x->ranges.num != num) ||
        (codes->num_steps > 1 && codes->num_steps != num) ||
        !round_bias(data, bias, num, &x->ranges, codes))
        return LBW_OK; /* stays float, and so does the layer */
    size_t n = in->num_layers++;
    int64_t dim = (int64_t)num;
    const char *integers = make_name(in, "b", n), *made = make_name(in, "e", n);
    const char *scale = differ ? "" : scale_of(in, x->ranges.items);
    const char *factor =
        differ ? vector(in, "f", n, &x->ranges, codes, 1) : make_name(in, "f", n);
    if (!integers || !factor || !made || !scale)
        return lbw_fail_memory(in->err);
    Onnx__TensorProto *tensor = lbw_tensor_new(model, integers, INT32, &dim, 1, data, 4 * num);
    const char *const factors[] = {scale, scales, NULL};
    const char *const inputs[] = {integers, factor, NULL}, *const outputs[] = {made, NULL};
    Onnx__NodeProto *dequantize =
        lbw_build_node(model, "", "DequantizeLinear", "", inputs, outputs);
    bool done = lbw_graph_add_initializer(model, in->scope->graph, tensor) &&
                (differ || add(in, "Mul", factors, factor));
    if (codes->num_steps > 1 || differ)
        done = lbw_build_int(model, dequantize, "axis", 0) && done;
    node->input[2] = (char *)(uintptr_t)made;
    return lbw_node_list_add(&in->list, dequantize) && done ? LBW_OK : lbw_fail_memory(in->err);
}

/* Plain int8 for a weight without a grid: one step per output channel, in codes->steps. */
static void round_rows(unsigned char *out, struct lbw_codes *codes, const float *values,
                       size_t size, const float *bias, const struct lbw_ranges *x)
{
    for (size_t row = 0; row < codes->num_steps; row++, values += size, out += size) {
        float largest = 0;
        for (size_t i = 0; i < size; i++)
            largest = fmaxf(largest, fabsf(values[i]));
        float step = largest / MOST_PLAIN >= FLT_MIN ? largest / MOST_PLAIN : 1;
        if (bias && size <= MOST_SUM / (255 * MOST_PLAIN))
            step = widen(step, bias[row], x_scale(x, row));
        codes->steps[row] = step;
        for (size_t i = 0; i < size; i++)
            out[i] = (unsigned char)(int8_t)rintf(values[i] / step);
    }
}

/* The rows of a tensor as int8, in the model's arena, and their steps in `codes`. */
static enum lbw_status round_plain(unsigned char **out, struct lbw_codes *codes,
                                   const struct inserter *in, const struct lbw_tensor *tensor,
                                   const float *bias, const struct lbw_ranges *x)
{
    float *values = malloc((tensor->count + 1) * sizeof *values);
    enum lbw_status status;
    codes->num_steps = (size_t)tensor->dims[0];
    codes->axis = 0;
    codes->steps = malloc((codes->num_steps + 1) * sizeof *codes->steps);
    *out = lbw_arena_alloc(&in->model->arena, tensor->count + 1);
    if (!values || !codes->steps || !*out)
        LBW_OR_OUT(lbw_fail_memory(in->err));
    LBW_OR_OUT(lbw_tensor_read_float(tensor, values, in->err));
    round_rows(*out, codes, values, tensor->count / codes->num_steps, bias, x);
out:
    free(values);
    return status;
}

/* The int8 tensor of a weight, its scales, and the DequantizeLinear that the layer reads. */
static enum lbw_status add_plain(struct inserter *in, Onnx__NodeProto *node,
                                 struct lbw_codes *codes, const float *bias,
                                 const struct lbw_ranges *x)
{
    struct lbw_model *model = in->model;
    struct lbw_value *value = lbw_index_find(in->scope, lbw_node_input(node, 1));
    Onnx__TensorProto *proto =
        value ? lbw_index_constant(&in->index, lbw_weight_origin(value), true) : NULL;
    struct lbw_tensor tensor;
    if (!proto)
        return lbw_fail(in->err, LBW_ERR_FORMAT, "weight '%s' is gone",
                        lbw_node_input(node, 1));
    LBW_TRY(lbw_tensor_view(&tensor, model, proto, in->err));
    int64_t rows = tensor.dims[0];
    unsigned char *data;
    LBW_TRY(round_plain(&data, codes, in, &tensor, bias, x));
    size_t n = in->num_plain++;
    const char *integers = make_name(in, "w", n), *scale = make_name(in, "v", n);
    const char *made = value->name; /* keeps its name if possible */
    if (!value->initializer)
        made = make_name(in, "u", n);
    float *steps = lbw_arena_memdup(&model->arena, codes->steps, 4 * codes->num_steps);
    if (!integers || !scale || !made || !steps)
        return lbw_fail_memory(in->err);
    const char *const inputs[] = {integers, scale, NULL}, *const outputs[] = {made, NULL};
    Onnx__NodeProto *dequantize =
        lbw_build_node(model, "", "DequantizeLinear", "", inputs, outputs);
    bool done =
        lbw_graph_add_initializer(model, in->scope->graph,
                                  lbw_tensor_new(model, integers, INT8, tensor.dims,
                                                 tensor.num_dims, data, tensor.count)) &&
        lbw_graph_add_initializer(
            model, in->scope->graph,
            lbw_tensor_new(model, scale, FLOAT32, &rows, 1, steps, 4 * codes->num_steps)) &&
        lbw_build_int(model, dequantize, "axis", 0) && lbw_node_list_add(&in->list, dequantize);
    node->input[1] = (char *)(uintptr_t)made;
    if (value->initializer) {
        lbw_graph_remove_input(in->scope->graph, value->name);
        lbw_graph_remove_initializer(in->scope->graph, proto);
    }
    return done ? LBW_OK : lbw_fail_memory(in->err);
}

/* Adds the nodes that a layer on integers needs before it. */
static enum lbw_status prepare_layer(struct inserter *in, Onnx__NodeProto *node,
                                     struct lbw_codes *codes)
{
    const struct lbw_edge *x = lbw_strmap_get(&in->edges, lbw_node_input(node, 0));
    float *bias = NULL;
    size_t num = 0;
    enum lbw_status status;
    LBW_OR_OUT(read_bias(&bias, &num, in, node));
    bool has_integer_bias = num && x && in->has_integer_biases;
    if (!codes->codes)
        LBW_OR_OUT(
            add_plain(in, node, codes, has_integer_bias ? bias : NULL, x ? &x->ranges : NULL));
    if (has_integer_bias)
        LBW_OR_OUT(add_bias(in, node, x, codes, bias, num));
out:
    free(bias);
    return status;
}

/* Collects rounded edges and layers on integers by name. */
static bool fill_maps(struct inserter *in, struct lbw_codes *codes)
{
    const struct lbw_plan *plan = in->plan;
    for (size_t i = 0; i < plan->num_edges; i++)
        if (plan->edges[i].item.type == LBW_ACTIVATIONS_INT8 &&
            !lbw_strmap_put(&in->edges, plan->edges[i].item.tensor, &plan->edges[i]))
            return false;
    for (size_t i = 0; i < plan->num_weights; i++)
        for (size_t k = 0; codes[i].is_integer && k < plan->weights[i].num_consumers; k++) {
            const struct lbw_consumer *consumer = &plan->weights[i].consumers[k];
            if (lbw_edge_is_integer(plan, &plan->weights[i], consumer) &&
                !lbw_strmap_put(&in->layers, consumer->node->output[0], &codes[i]))
                return false;
        }
    return true;
}

static enum lbw_status insert_all(struct inserter *in, Onnx__NodeProto **nodes, size_t num)
{
    LBW_TRY(round_inputs(in));
    for (size_t i = 0; i < num; i++) {
        const char *output = nodes[i]->n_output ? nodes[i]->output[0] : "";
        struct lbw_codes *layer = lbw_strmap_get(&in->layers, output);
        if (layer)
            LBW_TRY(prepare_layer(in, nodes[i], layer));
        read_rounded(in, nodes[i]);
        if (!lbw_node_list_add(&in->list, nodes[i]))
            return lbw_fail_memory(in->err);
        LBW_TRY(round_outputs(in, nodes[i]));
    }
    if (!lbw_scope_set_nodes(in->scope, in->model, in->list.nodes, in->list.num))
        return lbw_fail_memory(in->err);
    return lbw_clean(in->model, &in->index, in->err);
}

static enum lbw_status insert(struct inserter *in, struct lbw_codes *codes)
{
    size_t num;
    LBW_TRY(lbw_index_init(&in->index, in->model, in->err));
    LBW_TRY(lbw_names_new(&in->names, in->model, in->err));
    in->scope = in->index.scopes;
    lbw_begin_rewrite(in->model);
    if (!fill_maps(in, codes))
        return lbw_fail_memory(in->err);
    Onnx__NodeProto **nodes = lbw_scope_nodes(in->scope, &num);
    return insert_all(in, nodes, num);
}

enum lbw_status lbw_qdq_insert(const struct lbw_plan *plan, struct lbw_codes *codes,
                               enum lbw_target target, struct lbw_error *err)
{
    struct inserter in = {.plan = plan,
                          .model = plan->model,
                          .has_integer_biases = target != LBW_TARGET_TENSORRT,
                          .err = err};
    if (!plan->num_edges)
        return LBW_OK;
    enum lbw_status status = insert(&in, codes);
    lbw_strmap_release(&in.shared);
    lbw_strmap_release(&in.edges);
    lbw_strmap_release(&in.layers);
    lbw_strmap_release(&in.inputs);
    lbw_names_free(in.names);
    lbw_index_release(&in.index);
    free(in.list.nodes);
    return status;
}
