/* SPDX-License-Identifier: MIT */
/* Finds what a constant is computed from; the operators are in constant_op.c. */
#include "onnx/constant.h"

#include <string.h>

#include "base/bits.h"
#include "onnx/constant_op.h"

#define MOST_NODES  256 /* for one value, counted once per path */
#define MOST_DEPTH  64
#define MOST_VALUES ((size_t)1 << 29) /* of 8 bytes, in memory for one weight */

/* ---- inputs ---- */

/* The nodes that compute a value, and the constants that they read. */
struct tree {
    const struct lbw_index *index;
    const Onnx__NodeProto *nodes[MOST_NODES];
    const struct lbw_scope *scopes[MOST_NODES];
    size_t num_nodes;
    size_t num_visits;
    bool is_open; /* depends on other values, or is too large to examine */
};

static bool holds_graphs(const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (node->attribute[i]->g || node->attribute[i]->n_graphs)
            return true;
    return false;
}

static bool is_random(const Onnx__NodeProto *node)
{
    const char *op = node->op_type ? node->op_type : "";
    return strncmp(op, "Random", 6) == 0 || strcmp(op, "Multinomial") == 0 ||
           strcmp(op, "Bernoulli") == 0;
}

static void visit(struct tree *tree, const struct lbw_value *value, unsigned depth)
{
    const Onnx__NodeProto *node = value ? value->producer : NULL;
    if (value && lbw_index_constant(tree->index, value, true))
        return;
    if (!node || depth == MOST_DEPTH || tree->num_visits == MOST_NODES || holds_graphs(node) ||
        is_random(node) || lbw_node_has_reference(node)) {
        tree->is_open = true;
        return;
    }
    tree->num_visits++;
    size_t known = 0;
    while (known < tree->num_nodes && tree->nodes[known] != node)
        known++;
    if (known == tree->num_nodes) {
        tree->nodes[tree->num_nodes] = node;
        tree->scopes[tree->num_nodes++] = value->scope;
    }
    for (size_t i = 0; i < node->n_input && !tree->is_open; i++)
        if (*lbw_node_input(node, i))
            visit(tree, lbw_index_find(value->scope, node->input[i]), depth + 1);
}

bool lbw_constant_is_made(const struct lbw_index *index, const struct lbw_value *value)
{
    struct tree tree = {.index = index};
    visit(&tree, value, 0);
    return !tree.is_open;
}

/* ---- what becomes unused ---- */

static bool is_in(const struct tree *tree, const bool *goes, const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < tree->num_nodes; i++)
        if (tree->nodes[i] == node)
            return goes[i];
    return false;
}

/* The first remaining node that reads the value, or NULL; *is_kept: it is needed anyway. */
static const Onnx__NodeProto *reader_that_stays(bool *is_kept, const struct tree *tree,
                                                const bool *goes, const struct lbw_value *value)
{
    *is_kept = value->is_output;
    for (const struct lbw_use *use = value->uses; use; use = use->next)
        if (!is_in(tree, goes, use->node)) {
            *is_kept = true;
            return use->node;
        }
    return NULL;
}

static bool is_one_of(const struct lbw_value *const *values, size_t num,
                      const struct lbw_value *value)
{
    for (size_t i = 0; i < num; i++)
        if (values[i] == value)
            return true;
    return false;
}

/* A node is dropped when all its readers are; readers of the values get constants. */
static void find_what_goes(bool *goes, const struct tree *tree,
                           const struct lbw_value *const *values, size_t num)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < tree->num_nodes; i++)
            for (size_t k = 0; k < tree->nodes[i]->n_output && goes[i]; k++) {
                const struct lbw_value *made =
                    lbw_index_find(tree->scopes[i], tree->nodes[i]->output[k]);
                bool is_kept = false;
                if (made && !is_one_of(values, num, made))
                    reader_that_stays(&is_kept, tree, goes, made);
                goes[i] = !is_kept;
                changed = changed || is_kept;
            }
    }
}

static uint64_t size_of(const struct lbw_index *index, const struct lbw_value *value)
{
    struct lbw_tensor tensor;
    const Onnx__TensorProto *proto = lbw_index_constant(index, value, true);
    if (!proto || lbw_tensor_view(&tensor, index->model, proto, NULL) != LBW_OK)
        return 0;
    return tensor.size;
}

uint64_t lbw_constant_spared(const Onnx__NodeProto **reader, const struct lbw_index *index,
                             const struct lbw_value *const *values, size_t num)
{
    struct tree tree = {.index = index};
    bool goes[MOST_NODES];
    const struct lbw_value *seen[MOST_NODES];
    size_t num_seen = 0;
    uint64_t size = 0;
    for (size_t i = 0; i < num; i++)
        visit(&tree, values[i], 0);
    memset(goes, true, sizeof goes);
    find_what_goes(goes, &tree, values, num);
    if (reader)
        *reader = NULL;
    for (size_t i = 0; i < tree.num_nodes && !tree.is_open; i++)
        for (size_t k = 0; k < tree.nodes[i]->n_input; k++) {
            const struct lbw_value *in =
                lbw_index_find(tree.scopes[i], lbw_node_input(tree.nodes[i], k));
            bool is_kept = true, is_seen = num_seen == MOST_NODES;
            for (size_t s = 0; s < num_seen && in; s++)
                is_seen = is_seen || seen[s] == in;
            if (!in || is_seen || !lbw_index_constant(index, in, true))
                continue;
            seen[num_seen++] = in;
            const Onnx__NodeProto *other = reader_that_stays(&is_kept, &tree, goes, in);
            size += is_kept ? 0 : size_of(index, in);
            if (reader && other && !*reader)
                *reader = other;
        }
    return size;
}

static bool reads(const struct tree *tree, const struct lbw_index *index,
                  const struct lbw_value *constant)
{
    for (size_t i = 0; i < tree->num_nodes; i++)
        for (size_t k = 0; k < tree->nodes[i]->n_input; k++)
            if (lbw_index_find(tree->scopes[i], lbw_node_input(tree->nodes[i], k)) == constant)
                return lbw_index_constant(index, constant, true) != NULL;
    return false;
}

bool lbw_constant_is_shared(const struct lbw_index *index, const struct lbw_value *a,
                            const struct lbw_value *b)
{
    struct tree one = {.index = index}, other = {.index = index};
    visit(&one, a, 0);
    visit(&other, b, 0);
    for (size_t i = 0; i < one.num_nodes; i++)
        for (size_t k = 0; k < one.nodes[i]->n_input; k++) {
            const struct lbw_value *in =
                lbw_index_find(one.scopes[i], lbw_node_input(one.nodes[i], k));
            if (in && reads(&other, index, in))
                return true;
        }
    return false;
}

/* ---- computing it ---- */

struct maker {
    const struct lbw_index *index;
    struct lbw_arena arena;
    const Onnx__NodeProto *stranger; /* not computed here */
    size_t num_visits;
    size_t num_values; /* in memory, of constants and results */
    struct lbw_error *err;
};

/* A constant or result of so many values more, or too much memory for one weight. */
static enum lbw_status count_values(struct maker *m, size_t num)
{
    if (num > MOST_VALUES || m->num_values > MOST_VALUES - num)
        return lbw_fail(m->err, LBW_ERR_UNSUPPORTED, "too large to be computed here");
    m->num_values += num;
    return LBW_OK;
}

/* A constant of the model as numbers. */
static enum lbw_status read_tensor(struct lbw_numbers *out, struct maker *m,
                                   const Onnx__TensorProto *proto)
{
    struct lbw_tensor t;
    LBW_TRY(lbw_tensor_view(&t, m->index->model, proto, m->err));
    if (t.num_dims > LBW_NUMBERS_DIMS)
        return lbw_fail(m->err, LBW_ERR_UNSUPPORTED, "too many dimensions");
    LBW_TRY(count_values(m, 2 * t.count)); /* as they are stored, and as doubles */
    LBW_TRY(lbw_numbers_alloc(out, &m->arena, t.data_type, t.dims, t.num_dims, m->err));
    void *raw = lbw_arena_alloc(&m->arena, (t.count + 1) * 8);
    if (!raw)
        return lbw_fail_memory(m->err);
    if (t.data_type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE && t.data) {
        memcpy(out->values, t.data, t.count * sizeof *out->values);
        return LBW_OK;
    }
    if (lbw_numbers_is_float(t.data_type)) {
        float *values = raw;
        LBW_TRY(lbw_tensor_read_float(&t, values, m->err));
        for (size_t i = 0; i < t.count; i++)
            out->values[i] = (double)values[i];
        return LBW_OK;
    }
    int64_t *values = raw;
    LBW_TRY(lbw_tensor_read_int64(&t, values, m->err));
    for (size_t i = 0; i < t.count; i++)
        out->values[i] = (double)values[i];
    return LBW_OK;
}

static enum lbw_status make(struct lbw_numbers *out, struct maker *m,
                            const struct lbw_value *value, unsigned depth)
{
    const Onnx__TensorProto *constant = lbw_index_constant(m->index, value, true);
    const Onnx__NodeProto *node = value->producer;
    struct lbw_numbers *inputs;
    if (constant)
        return read_tensor(out, m, constant);
    if (!node || depth == MOST_DEPTH || m->num_visits++ == MOST_NODES)
        return lbw_fail(m->err, LBW_ERR_UNSUPPORTED, "not a constant");
    const struct lbw_constant_op *op = lbw_constant_op_find(node);
    if (!op || (value->producer_output != 0 && !op->has_outputs) ||
        lbw_node_has_reference(node)) {
        m->stranger = node;
        return lbw_fail(m->err, LBW_ERR_UNSUPPORTED, "made by an operator unknown here");
    }
    inputs = lbw_arena_calloc(&m->arena, node->n_input + 1, sizeof *inputs);
    if (!inputs)
        return lbw_fail_memory(m->err);
    for (size_t i = 0; i < node->n_input; i++) {
        const struct lbw_value *in = lbw_index_find(value->scope, lbw_node_input(node, i));
        if (!*lbw_node_input(node, i))
            continue;
        if (!in)
            return lbw_fail(m->err, LBW_ERR_UNSUPPORTED, "not a constant");
        LBW_TRY(make(&inputs[i], m, in, depth + 1));
    }
    struct lbw_constant_call call = {.node = node,
                                     .opset = lbw_scope_opset(m->index->model, value->scope),
                                     .inputs = inputs,
                                     .num_inputs = node->n_input,
                                     .output = value->producer_output,
                                     .arena = &m->arena};
    const Onnx__AttributeProto *attribute = lbw_node_attribute(node, "value");
    struct lbw_numbers number;
    if (attribute && attribute->t) {
        LBW_TRY(read_tensor(&number, m, attribute->t));
        call.value = &number;
    }
    enum lbw_status status = op->fn(out, &call, m->err);
    if (status == LBW_ERR_UNSUPPORTED)
        m->stranger = node;
    LBW_TRY(status);
    lbw_numbers_round(out);
    return count_values(m, out->count);
}

/* Numbers as raw bytes of their type; NULL when memory is out or for other types. */
static Onnx__TensorProto *to_tensor(struct lbw_model *model, const char *name,
                                    const struct lbw_numbers *n)
{
    size_t width = lbw_data_type_bits(n->type) / 8;
    unsigned char *data = lbw_arena_alloc(&model->arena, n->count * width + 1);
    for (size_t i = 0; data && i < n->count; i++) {
        float value = (float)n->values[i];
        uint64_t bits = lbw_float_bits(value);
        if (n->type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16)
            bits = lbw_half_from_float(value);
        else if (n->type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16)
            bits = lbw_bfloat16_from_float(value);
        else if (n->type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE)
            memcpy(&bits, &n->values[i], sizeof bits);
        lbw_store_le(data + i * width, bits, width);
    }
    return data ? lbw_tensor_new(model, name, n->type, n->dims, n->num_dims, data,
                                 n->count * width)
                : NULL;
}

enum lbw_status lbw_constant_make(Onnx__TensorProto **out, const Onnx__NodeProto **node,
                                  const struct lbw_index *index, const struct lbw_value *value,
                                  struct lbw_error *err)
{
    struct lbw_error met = {0};
    struct maker m = {.index = index, .err = &met};
    struct lbw_numbers numbers = {0};
    *out = NULL;
    enum lbw_status status =
        lbw_constant_is_made(index, value) ? make(&numbers, &m, value, 0) : LBW_ERR_UNSUPPORTED;
    if (status == LBW_OK && lbw_numbers_is_float(numbers.type)) {
        *out = to_tensor(index->model, value->name, &numbers);
        status = *out ? LBW_OK : LBW_ERR_MEMORY;
    }
    if (node)
        *node = m.stranger;
    lbw_arena_release(&m.arena);
    return status == LBW_ERR_MEMORY ? lbw_fail_memory(err) : LBW_OK;
}
