/* SPDX-License-Identifier: MIT */
/* Rewriting the model: old tensors out, codes and decoding nodes in, order kept. */
#include "pass/encode.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "onnx/opset.h"
#include "pass/clean.h"
#include "pass/prepare.h"

/* One row per encoding, in the order of enum lbw_encoding. */
static const struct encoding {
    struct lbw_encoding_info info;
    lbw_encode_fn *encode;
} encodings[] = {
    {{"packed", "several codes per word, decoded by a function", "IR 8, or --inline", true,
      false},
     lbw_encode_packed},
    {{"dq", "smallest exact type, DequantizeLinear", "opset 10; below, Cast and Mul", false,
      true},
     lbw_encode_dq},
    {{"float", "the values themselves", "nothing", false, false}, lbw_encode_float},
    {{"native", "packed, 8-bit layers in ai.lbw", "IR 8, opset 13", true, false},
     lbw_encode_packed},
};

const struct lbw_encoding_info *lbw_encoding_info(enum lbw_encoding encoding)
{
    return (size_t)encoding < LBW_NUM(encodings) ? &encodings[encoding].info : NULL;
}

const char *lbw_encoding_name(enum lbw_encoding encoding)
{
    const struct lbw_encoding_info *info = lbw_encoding_info(encoding);
    return info ? info->name : NULL;
}

enum lbw_status lbw_encode_check(const struct lbw_encode_params *params, struct lbw_error *err)
{
    LBW_TRY(lbw_check_choice("encoding", params->encoding, LBW_NUM(encodings), err));
    return lbw_target_check(params->target, err);
}

uint64_t lbw_encode_estimate(const struct lbw_weight *weight)
{
    const struct lbw_grid *grid = weight->item.grid;
    size_t digits = (size_t)grid->digits_per_word;
    uint64_t words = (weight->item.count + digits - 1) / digits * (uint64_t)grid->word_size;
    /* the name is in codes, scale and node; the rest is tags, dims, operator and domain */
    return words + 2 * lbw_weight_num_steps(weight) + 7 * strlen(weight->item.tensor) + 120;
}

#define AT(version) (UINT32_C(1) << (version))

/* The operators of our encodings, and the opsets that changed them (ONNX Changelog.md). */
static const struct {
    const char *op;
    uint32_t changes;
} changes[] = {
    {"Cast", AT(9) | AT(13) | AT(19) | AT(21) | AT(23) | AT(24) | AT(25)},
    {"DequantizeLinear", AT(10) | AT(13) | AT(19) | AT(21) | AT(23) | AT(24) | AT(25)},
    {"Div", AT(13) | AT(14)},
    {"Gather", AT(11) | AT(13)},
    {"Mul", AT(13) | AT(14)},
    {"ReduceProd", AT(11) | AT(13) | AT(18)},
    {"Reshape", AT(13) | AT(14) | AT(19) | AT(21) | AT(23) | AT(24) | AT(25)},
    {"Slice", AT(10) | AT(11) | AT(13)},
    {"Sub", AT(13) | AT(14)},
};

static bool is_changed(const char *op, int64_t from, int64_t to)
{
    if (from == to)
        return false;
    if (from > to)
        return is_changed(op, to, from);
    if (from < LBW_MIN_OPSET || to > LBW_MAX_OPSET)
        return true; /* unknown to us */
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        for (int64_t version = from + 1; version <= to; version++)
            if (strcmp(changes[i].op, op) == 0 && changes[i].changes & AT(version))
                return true;
    return false;
}

const char *lbw_encode_obstacle(const struct lbw_encoder *encoder, const char *const *ops)
{
    for (; *ops; ops++)
        if (is_changed(*ops, encoder->at_opset, encoder->opset))
            return *ops;
    return NULL;
}

bool lbw_encode_constant(struct lbw_decoding *out, struct lbw_encoder *encoder,
                         const struct lbw_scope *scope, Onnx__TensorProto *tensor)
{
    if (!tensor)
        return false;
    if (scope->graph)
        return lbw_graph_add_initializer(encoder->model, scope->graph, tensor);
    const char *const none[] = {NULL};
    const char *const outputs[] = {tensor->name, NULL};
    Onnx__NodeProto *node = lbw_build_node(encoder->model, "", "Constant", "", none, outputs);
    out->nodes[out->num_nodes++] = node;
    return lbw_build_tensor(encoder->model, node, "value", tensor);
}

const char *lbw_encode_zero_point(struct lbw_decoding *out, struct lbw_encoder *encoder,
                                  const struct lbw_weight *weight,
                                  const struct lbw_codes *codes)
{
    struct lbw_model *model = encoder->model;
    bool is_gemm = false;
    for (size_t i = 0; i < weight->num_consumers; i++)
        is_gemm = is_gemm || lbw_node_is(weight->consumers[i].node, "Gemm");
    if (!is_gemm || !codes->is_integer)
        return "";
    int64_t num = codes->axis < 0 ? 1 : (int64_t)codes->num_steps;
    char *stem = lbw_arena_printf(&model->arena, "lbw.zeros.%lld%s", (long long)num,
                                  codes->axis < 0 ? "s" : "");
    const char *name = stem ? lbw_strmap_get(&encoder->shared, stem) : NULL;
    if (name || !stem)
        return name;
    unsigned char *data = lbw_arena_calloc(&model->arena, (size_t)num, 1);
    name = data ? lbw_names_make(encoder->names, model, stem) : NULL;
    if (!name || !lbw_strmap_put(&encoder->shared, stem, (void *)(uintptr_t)name))
        return NULL;
    Onnx__TensorProto *tensor =
        lbw_tensor_new(model, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT8, &num,
                       codes->axis < 0 ? 0 : 1, data, (size_t)num);
    return lbw_encode_constant(out, encoder, weight->value->scope, tensor) ? name : NULL;
}

/* The position in the weight's own scope where it is first read; bodies count as their node. */
static size_t first_position(const struct lbw_weight *weight)
{
    size_t num, first = SIZE_MAX;
    Onnx__NodeProto **nodes = lbw_scope_nodes(weight->value->scope, &num);
    for (const struct lbw_use *use = weight->value->uses; use; use = use->next) {
        const struct lbw_scope *scope = use->scope;
        const Onnx__NodeProto *node = use->node;
        for (; scope && scope != weight->value->scope; scope = scope->parent)
            node = scope->owner;
        for (size_t i = 0; i < num && i < first; i++)
            if (nodes[i] == node)
                first = i;
    }
    return first == SIZE_MAX ? 0 : first;
}

/* All decodings of one scope, with the positions where they go. */
struct insertion {
    size_t position;
    const struct lbw_decoding *decoding;
};

static int by_position(const void *a, const void *b)
{
    const struct insertion *p = a, *q = b;
    if (p->position != q->position)
        return p->position < q->position ? -1 : 1;
    return p->decoding < q->decoding ? -1 : p->decoding > q->decoding;
}

/*
 * The old node list with decodings inserted, without the Constant and Cast nodes they replace.
 */
static bool rebuild_nodes(struct lbw_model *model, struct lbw_scope *scope,
                          struct insertion *insertions, size_t num_insertions,
                          const struct lbw_strmap *replaced)
{
    size_t num, total = 0, next = 0;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num);
    for (size_t i = 0; i < num_insertions; i++)
        total += insertions[i].decoding->num_nodes;
    Onnx__NodeProto **list = malloc((num + total + 1) * sizeof *list);
    if (!list)
        return false;
    if (num_insertions)
        qsort(insertions, num_insertions, sizeof *insertions, by_position);
    total = 0;
    for (size_t i = 0; i < num; i++) {
        for (; next < num_insertions && insertions[next].position == i; next++)
            for (size_t j = 0; j < insertions[next].decoding->num_nodes; j++)
                list[total++] = insertions[next].decoding->nodes[j];
        const char *output = nodes[i]->n_output ? nodes[i]->output[0] : NULL;
        if (!output || lbw_strmap_get(replaced, output) != nodes[i])
            list[total++] = nodes[i];
    }
    bool done = lbw_scope_set_nodes(scope, model, list, total);
    free(list);
    return done;
}

/* Inserts the decodings of one scope. */
static enum lbw_status insert_decodings(const struct lbw_plan *plan, struct lbw_scope *scope,
                                        const struct lbw_decoding *decodings,
                                        struct lbw_error *err)
{
    struct lbw_strmap replaced = {0};
    struct insertion *insertions = calloc(plan->num_weights + 1, sizeof *insertions);
    size_t num = 0;
    bool done = insertions != NULL;
    for (size_t i = 0; i < plan->num_weights && done; i++) {
        const struct lbw_weight *weight = &plan->weights[i];
        bool is_cast = weight->root != weight->value && decodings[i].size > 0;
        if (weight->value->scope != scope || (decodings[i].num_nodes == 0 && !is_cast))
            continue;
        insertions[num++] = (struct insertion){first_position(weight), &decodings[i]};
        if (weight->value->producer)
            done = lbw_strmap_put(&replaced, weight->value->name, weight->value->producer);
    }
    if (done && num)
        done = rebuild_nodes(plan->model, scope, insertions, num, &replaced);
    free(insertions);
    lbw_strmap_release(&replaced);
    return done ? LBW_OK : lbw_fail_memory(err);
}

/*
 * Removes the converted weights of one scope from its inputs, which could override them, and
 * from its initializers if their values are stored elsewhere.
 */
static enum lbw_status remove_old(const struct lbw_plan *plan, const struct lbw_scope *scope,
                                  const struct lbw_codes *codes,
                                  const struct lbw_decoding *decodings, struct lbw_error *err)
{
    struct lbw_strmap gone = {0};
    bool done = true;
    for (size_t i = 0; i < plan->num_weights && done; i++) {
        struct lbw_value *value = plan->weights[i].value;
        if (codes[i].codes && value->scope == scope && value->initializer)
            done = lbw_strmap_put(&gone, value->name,
                                  decodings[i].num_nodes ? (void *)value->initializer : value);
    }
    if (done && scope->graph && gone.num_used)
        lbw_graph_remove(scope->graph, &gone);
    lbw_strmap_release(&gone);
    return done ? LBW_OK : lbw_fail_memory(err);
}

static enum lbw_status encode_all(struct lbw_encoder *encoder, const struct lbw_plan *plan,
                                  const struct lbw_codes *codes, enum lbw_encoding encoding,
                                  struct lbw_decoding *decodings, struct lbw_error *err)
{
    for (size_t i = 0; i < plan->num_weights; i++) {
        const struct lbw_weight *weight = &plan->weights[i];
        if (!codes[i].codes)
            continue;
        lbw_begin_rewrite(plan->model);
        encoder->at_opset = lbw_scope_opset(plan->model, weight->value->scope);
        /*
         * below opset 9 a Constant node, the only constant of a function, cannot hold integers
         */
        encoder->has_integers = weight->value->scope->graph || encoder->at_opset >= 9;
        LBW_TRY(lbw_within(
            err, encodings[encoding].encode(&decodings[i], encoder, weight, &codes[i], err),
            "weight '%s'", weight->item.tensor));
    }
    for (struct lbw_scope *s = plan->index.scopes; s; s = s->next) {
        LBW_TRY(remove_old(plan, s, codes, decodings, err));
        LBW_TRY(insert_decodings(plan, s, decodings, err));
    }
    bool is_cast = false;
    for (size_t i = 0; i < plan->num_weights; i++)
        is_cast =
            is_cast || (codes[i].codes && plan->weights[i].root != plan->weights[i].value);
    return is_cast ? lbw_clean(plan->model, &plan->index, err) : LBW_OK;
}

enum lbw_status lbw_encode(const struct lbw_plan *plan, const struct lbw_codes *codes,
                           const struct lbw_encode_params *params, struct lbw_stored *stored,
                           struct lbw_error *err)
{
    struct lbw_encoder encoder = {.model = plan->model,
                                  .target = params->target,
                                  .opset = lbw_model_opset(plan->model, "")};
    /* below opset 9 an ai.lbw function could not hold its integers */
    encoder.is_inline = params->inline_nodes || encoder.opset < 9;
    struct lbw_decoding *decodings = calloc(plan->num_weights + 1, sizeof *decodings);
    if (!decodings)
        return lbw_fail_memory(err);
    enum lbw_status status;
    LBW_OR_OUT(lbw_names_new(&encoder.names, plan->model, err));
    status = encode_all(&encoder, plan, codes, params->encoding, decodings, err);
out:
    for (size_t i = 0; i < plan->num_weights && status == LBW_OK; i++)
        stored[i] = (struct lbw_stored){decodings[i].size, decodings[i].note};
    lbw_names_free(encoder.names);
    lbw_strmap_release(&encoder.shared);
    free(decodings);
    return status;
}
