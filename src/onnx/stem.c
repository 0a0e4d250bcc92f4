/* SPDX-License-Identifier: MIT */
/* Stems: read from the graph until it is rewritten, remembered from then on. */
#include "onnx/stem.h"

#include <string.h>

#include "onnx/constant.h"
#include "onnx/index.h"
#include "onnx/tensor.h"

#define LONGEST_CHAIN 64 /* of nodes between the input and the first that computes */

#define DEEPEST_CALL 8

/* The graph, or inside it a function that is called there. */
struct place {
    const struct lbw_scope *scope;
    const Onnx__NodeProto *call; /* in the place before; NULL for the graph */
};

/* The way from the graph to the place that is looked at. */
struct path {
    const struct lbw_index *index;
    struct place places[DEEPEST_CALL];
    size_t depth;
};

/*
 * The only reader of a name at the end of the path, which grows where that is a call; NULL if
 * there are none or several.
 */
static Onnx__NodeProto *only_reader(struct path *path, const char *name)
{
    for (;;) {
        const struct lbw_scope *scope = path->places[path->depth].scope;
        const struct lbw_value *value = lbw_index_find(scope, name);
        const struct lbw_use *use = value ? value->uses : NULL;
        if (!use || use->next || use->scope != scope)
            return NULL;
        const struct lbw_scope *called = lbw_index_function(path->index, use->node);
        if (!called)
            return use->node;
        if (path->depth + 1 == DEEPEST_CALL || use->input >= called->function->n_input)
            return NULL;
        path->places[++path->depth] = (struct place){called, use->node};
        name = called->function->input[use->input];
    }
}

/* The value of a name at the end of the path; what a call passes comes from further out. */
static const struct lbw_value *find(const struct path *path, const char *name)
{
    for (size_t depth = path->depth;; depth--) {
        const struct place *place = &path->places[depth];
        const struct lbw_value *value = lbw_index_find(place->scope, name);
        if (!value || !value->is_input || !place->call)
            return value;
        size_t i = 0;
        while (i < place->scope->function->n_input &&
               strcmp(place->scope->function->input[i], name) != 0)
            i++;
        name = lbw_node_input(place->call, i);
    }
}

/* *out stays NULL unless the name is a constant of `count` floats (0: any number). */
static enum lbw_status read_constant(const float **out, struct lbw_tensor *tensor,
                                     const struct path *path, const char *name, size_t count,
                                     struct lbw_error *err)
{
    const struct lbw_index *index = path->index;
    const struct lbw_value *value = find(path, name);
    Onnx__TensorProto *proto = value ? lbw_index_constant(index, value, true) : NULL;
    if (value && !proto) /* e.g. a weight in another order */
        LBW_TRY(lbw_constant_make(&proto, NULL, index, value, err));
    enum lbw_status status =
        proto ? lbw_tensor_view(tensor, index->model, proto, err) : LBW_ERR_FORMAT;
    if (status == LBW_ERR_MEMORY)
        return status;
    if (status != LBW_OK || (count && tensor->count != count))
        return LBW_OK;
    float *values = lbw_arena_calloc(&index->model->arena, tensor->count + 1, sizeof *values);
    if (!values)
        return lbw_fail_memory(err);
    if (lbw_tensor_read_float(tensor, values, NULL) == LBW_OK)
        *out = values;
    return LBW_OK;
}

/* Skips nodes that move pixels without changing them. */
static Onnx__NodeProto *first_worker(struct path *path, const char *input)
{
    Onnx__NodeProto *node = only_reader(path, input);
    for (int i = 0; node && node->n_output == 1; i++) {
        if (i == LONGEST_CHAIN)
            return NULL; /* a cycle has no end */
        if (!lbw_node_is(node, "Identity") && !lbw_node_is(node, "Cast") &&
            !lbw_node_is(node, "Transpose") && !lbw_node_is(node, "Pad"))
            break;
        node = only_reader(path, node->output[0]);
    }
    return node;
}

static bool scales_its_input(const Onnx__NodeProto *node)
{
    static const char *const names[] = {"ImageScaler", "Sub", "Div",
                                        "Mul",         "Add", "BatchNormalization"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (node->op_type && !strcmp(node->op_type, names[i]))
            return true;
    return false;
}

/* Leaves stem->weight NULL if the model does not begin that way. */
static enum lbw_status read_pair(struct lbw_stem *stem, const struct path *path,
                                 const Onnx__NodeProto *conv, struct lbw_error *err)
{
    struct path next = *path;
    const Onnx__NodeProto *norm = conv->n_output ? only_reader(&next, conv->output[0]) : NULL;
    struct lbw_tensor weight = {0}, other;
    const float *values = NULL;
    if (!norm || !lbw_node_is(norm, "BatchNormalization") ||
        lbw_node_int(conv, "group", 1) != 1)
        return LBW_OK;
    LBW_TRY(read_constant(&values, &weight, path, lbw_node_input(conv, 1), 0, err));
    if (!values || weight.num_dims != 4)
        return LBW_OK;
    size_t num = (size_t)weight.dims[0];
    LBW_TRY(read_constant(&stem->bias, &other, path, lbw_node_input(conv, 2), num, err));
    LBW_TRY(read_constant(&stem->mean, &other, &next, lbw_node_input(norm, 3), num, err));
    LBW_TRY(read_constant(&stem->variance, &other, &next, lbw_node_input(norm, 4), num, err));
    if (!stem->mean || !stem->variance)
        return LBW_OK;
    stem->weight = values;
    stem->outputs = weight.dims[0];
    stem->channels = weight.dims[1];
    stem->height = weight.dims[2];
    stem->width = weight.dims[3];
    return LBW_OK;
}

/* *out stays NULL if the model gives no information. */
static enum lbw_status read_stem(struct lbw_stem **out, const struct lbw_index *index,
                                 const char *input, struct lbw_error *err)
{
    struct lbw_arena *arena = &index->model->arena;
    struct lbw_stem stem = {.input = input};
    struct path path = {.index = index, .places = {{index->scopes, NULL}}};
    const Onnx__NodeProto *node = first_worker(&path, input);
    if (!node)
        return LBW_OK;
    stem.scales_its_input = scales_its_input(node);
    if (lbw_node_is(node, "Conv"))
        LBW_TRY(read_pair(&stem, &path, node, err));
    if (!stem.scales_its_input && !stem.weight)
        return LBW_OK;
    stem.input = lbw_arena_strdup(arena, input);
    *out = stem.input ? lbw_arena_memdup(arena, &stem, sizeof stem) : NULL;
    return *out ? LBW_OK : lbw_fail_memory(err);
}

static const struct lbw_stem *remembered(const struct lbw_model *model, const char *input)
{
    const struct lbw_stem *stem = model->stems;
    while (stem && strcmp(stem->input, input) != 0)
        stem = stem->next;
    return stem;
}

enum lbw_status lbw_stem_of(const struct lbw_stem **out, struct lbw_model *model,
                            const char *input, struct lbw_error *err)
{
    struct lbw_index index;
    struct lbw_stem *read = NULL;
    *out = remembered(model, input);
    if (*out)
        return LBW_OK;
    LBW_TRY(lbw_index_init(&index, model, err));
    enum lbw_status status = read_stem(&read, &index, input, err);
    lbw_index_release(&index);
    *out = read;
    return status;
}

static enum lbw_status remember(struct lbw_model *model, const struct lbw_index *index,
                                struct lbw_error *err)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_input; i++) {
        const char *name = graph->input[i]->name;
        struct lbw_stem *stem = NULL;
        if (!name || remembered(model, name))
            continue;
        LBW_TRY(read_stem(&stem, index, name, err));
        if (!stem)
            continue;
        stem->next = model->stems;
        model->stems = stem;
    }
    return LBW_OK;
}

enum lbw_status lbw_stem_remember(struct lbw_model *model, struct lbw_error *err)
{
    struct lbw_index index;
    LBW_TRY(lbw_index_init(&index, model, err));
    enum lbw_status status = remember(model, &index, err);
    lbw_index_release(&index);
    return status;
}
