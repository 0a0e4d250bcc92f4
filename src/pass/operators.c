/* SPDX-License-Identifier: MIT */
/* Which operators hold weights, by the bytes of the constants that they read. */
#include "pass/operators.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/constant.h"
#include "onnx/import.h"
#include "onnx/tensor.h"
#include "pass/foreign.h"

#define LEAST_SHARE  (1.0 / 2000) /* of the model; operators with less are not listed */
#define MOST_VISITS  256          /* of one value's inputs and theirs */
#define LONGEST_PATH 64           /* of nodes that only move a constant */
#define LINEAR_SHARE 10 /* Gemm and MatMul are converted from a tenth of the weights on */

/* ---- the constants that a value depends on ---- */

struct leaves {
    const struct lbw_index *index;
    const Onnx__TensorProto **list;
    size_t num, capacity, num_visits;
    bool failed;
};

static void collect_leaves(struct leaves *l, const struct lbw_value *value, unsigned depth)
{
    const Onnx__TensorProto *constant =
        value ? lbw_index_constant(l->index, value, true) : NULL;
    const Onnx__NodeProto *node = value ? value->producer : NULL;
    if (constant && l->num == l->capacity) {
        size_t capacity = 2 * l->capacity + 64;
        void *grown = realloc(l->list, capacity * sizeof(const Onnx__TensorProto *));
        l->failed = !grown;
        l->list = grown ? grown : l->list;
        l->capacity = grown ? capacity : l->capacity;
    }
    if (constant && !l->failed)
        l->list[l->num++] = constant;
    if (constant || !node || l->failed || depth == LONGEST_PATH ||
        l->num_visits++ >= MOST_VISITS)
        return;
    for (size_t i = 0; i < node->n_input; i++)
        collect_leaves(l, lbw_index_find(value->scope, lbw_node_input(node, i)), depth + 1);
}

static uint64_t size_of(const struct lbw_index *index, const Onnx__TensorProto *proto)
{
    struct lbw_tensor tensor;
    return lbw_tensor_view(&tensor, index->model, proto, NULL) == LBW_OK ? tensor.size : 0;
}

/* ---- which operators to convert ---- */

/* Bytes of the weights that the node reads. */
static uint64_t weights_of(struct leaves *l, const struct lbw_scope *scope,
                           const Onnx__NodeProto *node, size_t first, size_t last)
{
    uint64_t size = 0;
    for (size_t i = first; i <= last; i++) {
        const struct lbw_value *value = lbw_index_find(scope, lbw_node_input(node, i));
        l->num = l->num_visits = 0;
        if (value && lbw_constant_is_made(l->index, value))
            collect_leaves(l, value, 0);
        for (size_t k = 0; k < l->num; k++)
            size += size_of(l->index, l->list[k]);
    }
    return size;
}

enum lbw_status lbw_ops_of(const char **out, struct lbw_model *model, const char *ops,
                           struct lbw_error *err)
{
    struct lbw_index index;
    uint64_t linear = 0, all = 0;
    *out = ops ? ops : model->ops;
    if (*out)
        return LBW_OK;
    LBW_TRY(lbw_index_init(&index, model, err));
    struct leaves l = {.index = &index};
    for (struct lbw_scope *s = index.scopes; s; s = s->next) {
        size_t num, first, last;
        Onnx__NodeProto **nodes = lbw_scope_nodes(s, &num);
        for (size_t i = 0; i < num; i++) {
            if (!lbw_weight_inputs(&first, &last, nodes[i], NULL))
                continue;
            uint64_t size = weights_of(&l, s, nodes[i], first, last);
            all += size;
            linear += lbw_weight_inputs(&first, &last, nodes[i], LBW_DEFAULT_OPS) ? 0 : size;
        }
    }
    free(l.list);
    lbw_index_release(&index);
    if (l.failed)
        return lbw_fail_memory(err);
    *out = model->ops = linear > all / LINEAR_SHARE ? LBW_ALL_OPS : LBW_DEFAULT_OPS;
    return LBW_OK;
}

/* ---- weights outside the plan ---- */

static int by_address(const void *a, const void *b)
{
    const uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return x < y ? -1 : x > y;
}

struct finder {
    struct lbw_plan *plan;
    struct leaves looked_at; /* by address */
    size_t capacity;
};

static bool is_one_of(const Onnx__NodeProto *node, const char *const *ops, size_t num)
{
    for (size_t i = 0; i < num; i++)
        if (lbw_node_is(node, ops[i]))
            return true;
    return false;
}

static bool moves(const Onnx__NodeProto *node)
{
    static const char *const ops[] = {"Identity",         "Cast",    "Transpose",     "Reshape",
                                      "Squeeze",          "Flatten", "Unsqueeze",     "Split",
                                      "DequantizeLinear", "Slice",   "QuantizeLinear"};
    return is_one_of(node, ops, sizeof ops / sizeof *ops);
}

/* Arithmetic, where constants are offsets, anchors and norms. */
static bool holds_no_weights(const Onnx__NodeProto *node)
{
    static const char *const ops[] = {"Add",
                                      "Sub",
                                      "Mul",
                                      "Div",
                                      "Pow",
                                      "Max",
                                      "Min",
                                      "Where",
                                      "Concat",
                                      "Tile",
                                      "Expand",
                                      "Pad",
                                      "Resize",
                                      "Upsample",
                                      "Equal",
                                      "Less",
                                      "Greater",
                                      "And",
                                      "Or",
                                      "Not",
                                      "PRelu",
                                      "Clip",
                                      "Mod",
                                      "ScatterND",
                                      "Loop",
                                      "If",
                                      "Scan",
                                      "Range",
                                      "BatchNormalization",
                                      "LayerNormalization",
                                      "InstanceNormalization",
                                      "GroupNormalization"};
    return is_one_of(node, ops, sizeof ops / sizeof *ops);
}

/* The node that uses the constant, past those that only move it. */
static const Onnx__NodeProto *reader_of(const struct lbw_value *value)
{
    for (int i = 0; value && value->uses && i < LONGEST_PATH; i++) {
        const Onnx__NodeProto *node = value->uses->node;
        if (!moves(node))
            return node;
        value = node->n_output ? lbw_index_find(value->uses->scope, node->output[0]) : NULL;
    }
    return NULL;
}

static const char *note_on(const Onnx__NodeProto *node)
{
    size_t first, last;
    const char *domain = node->domain ? node->domain : "";
    if (strcmp(domain, "com.microsoft.nchwc") == 0)
        return "saved by ONNX Runtime after optimization: convert the model from before that";
    if (lbw_foreign_is_operator(node))
        return "quantized by another tool";
    if (lbw_weight_inputs(&first, &last, node, NULL))
        return "see --ops";
    return "";
}

/* The entry of this operator, added if missing; NULL when out of memory. */
static struct lbw_plan_other *entry_for(struct finder *f, const Onnx__NodeProto *node)
{
    struct lbw_plan *plan = f->plan;
    struct lbw_arena *arena = &plan->model->arena;
    const char *domain = lbw_domain_is_standard(node->domain) ? "" : node->domain;
    const char *op = lbw_arena_printf(arena, "%s%s%s", domain, *domain ? ":" : "",
                                      node->op_type ? node->op_type : "?");
    for (size_t i = 0; op && i < plan->num_others; i++)
        if (strcmp(plan->others[i].op, op) == 0)
            return &plan->others[i];
    if (op && plan->num_others == f->capacity) {
        size_t capacity = 2 * f->capacity + 8;
        struct lbw_plan_other *grown = lbw_arena_calloc(arena, capacity, sizeof *grown);
        if (grown && plan->num_others)
            memcpy(grown, plan->others, plan->num_others * sizeof *grown);
        f->capacity = capacity;
        plan->others = grown;
    }
    if (!op || !plan->others)
        return NULL;
    plan->others[plan->num_others] = (struct lbw_plan_other){.op = op, .note = note_on(node)};
    return &plan->others[plan->num_others++];
}

/* More than one row: not a vector of biases, norms or sizes. */
static bool is_matrix(const Onnx__TensorProto *tensor)
{
    size_t num = 0;
    for (size_t i = 0; i < tensor->n_dims; i++)
        num += tensor->dims[i] > 1;
    return num >= 2;
}

static enum lbw_status count_constant(struct finder *f, const struct lbw_value *value,
                                      const Onnx__TensorProto *tensor, struct lbw_error *err)
{
    const Onnx__NodeProto *node = is_matrix(tensor) ? reader_of(value) : NULL;
    bool is_looked_at =
        f->looked_at.num &&
        bsearch(&tensor, f->looked_at.list, f->looked_at.num, sizeof(void *), by_address);
    if (!node || holds_no_weights(node) || is_looked_at)
        return LBW_OK;
    struct lbw_plan_other *other = entry_for(f, node);
    if (!other)
        return lbw_fail_memory(err);
    other->num_weights++;
    other->bytes += size_of(&f->plan->index, tensor);
    return LBW_OK;
}

static enum lbw_status count_scope(struct finder *f, const struct lbw_scope *scope,
                                   struct lbw_error *err)
{
    size_t num;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num);
    for (size_t i = 0; scope->graph && i < scope->graph->n_initializer; i++) {
        Onnx__TensorProto *tensor = scope->graph->initializer[i];
        const struct lbw_value *value =
            tensor->name ? lbw_strmap_get(&scope->values, tensor->name) : NULL;
        if (value)
            LBW_TRY(count_constant(f, value, tensor, err));
    }
    for (size_t i = 0; i < num; i++) {
        const struct lbw_value *value =
            nodes[i]->n_output ? lbw_index_find(scope, nodes[i]->output[0]) : NULL;
        const Onnx__TensorProto *tensor = value && value->producer == nodes[i]
                                              ? lbw_index_constant(&f->plan->index, value, true)
                                              : NULL;
        if (tensor)
            LBW_TRY(count_constant(f, value, tensor, err));
    }
    return LBW_OK;
}

/* Largest first; equals keep the order of the model, which qsort() does not promise. */
static void sort(struct lbw_plan_other *others, size_t num)
{
    for (size_t i = 1; i < num; i++)
        for (size_t k = i; k > 0 && others[k].bytes > others[k - 1].bytes; k--) {
            struct lbw_plan_other other = others[k];
            others[k] = others[k - 1];
            others[k - 1] = other;
        }
}

enum lbw_status lbw_others_find(struct lbw_plan *plan, struct lbw_error *err)
{
    struct finder f = {.plan = plan, .looked_at = {.index = &plan->index}};
    enum lbw_status status = LBW_OK;
    for (size_t i = 0; i < plan->num_weights; i++) {
        f.looked_at.num_visits = 0;
        if (lbw_constant_is_made(&plan->index, plan->weights[i].value))
            collect_leaves(&f.looked_at, plan->weights[i].value, 0);
    }
    if (f.looked_at.failed)
        status = lbw_fail_memory(err);
    else if (f.looked_at.num)
        qsort(f.looked_at.list, f.looked_at.num, sizeof(void *), by_address);
    for (struct lbw_scope *s = plan->index.scopes; s && status == LBW_OK; s = s->next)
        status = count_scope(&f, s, err);
    free(f.looked_at.list);
    sort(plan->others, plan->num_others);
    while (plan->num_others && (double)plan->others[plan->num_others - 1].bytes <
                                   (double)plan->model_size * LEAST_SHARE)
        plan->num_others--;
    return status;
}
